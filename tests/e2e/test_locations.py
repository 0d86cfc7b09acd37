# SPDX-License-Identifier: Apache-2.0
"""Where Location sends a client: behind a proxy, under a prefix, with a host of its own. As docker-registry has it."""

import pytest

from lib import images

PROXY_HTTPS = {"X-Forwarded-Proto": "https"}


def location_of_upload(server, prefix="", headers=None):
    reply = server.api.request("POST", f"{prefix}/v2/app/blobs/uploads/", body=b"", headers=headers).expect(202)
    return reply.headers["Location"].split("?")[0].rsplit("/", 1)[0]


def test_client_is_sent_to_the_host_it_asked(server):
    assert location_of_upload(server) == f"http://{server.host}/v2/app/blobs/uploads"


def test_client_behind_a_tls_proxy_is_sent_to_https(server):
    assert location_of_upload(server, headers=PROXY_HTTPS) == f"https://{server.host}/v2/app/blobs/uploads"


def test_client_behind_a_proxy_is_sent_to_the_proxys_name(server):
    headers = {**PROXY_HTTPS, "X-Forwarded-Host": "outside.example.org"}
    assert location_of_upload(server, headers=headers) == "https://outside.example.org/v2/app/blobs/uploads"


def test_relative_locations(start_server):
    server = start_server(config={"http": {"relativeurls": True}})
    assert location_of_upload(server) == "/v2/app/blobs/uploads"


def test_prefix_stands_in_locations(start_server):
    server = start_server(config={"http": {"prefix": "/under/"}})
    assert location_of_upload(server, "/under") == f"http://{server.host}/under/v2/app/blobs/uploads"
    server.api.get("/v2/").expect(404)


@pytest.mark.parametrize("prefix", ["", "/under"])
def test_configured_host_is_the_whole_beginning_of_locations(start_server, prefix):
    """http.host may hold a path, and http.prefix is not added to it."""
    server = start_server(config={"http": {"prefix": f"{prefix}/", "host": "https://registry.example.org/under/"}})
    assert location_of_upload(server, prefix) == "https://registry.example.org/under/v2/app/blobs/uploads"


def test_configured_host_counts_more_than_the_proxys_headers(start_server):
    server = start_server(config={"http": {"host": "http://inside.example.org"}})
    assert location_of_upload(server, headers=PROXY_HTTPS) == "http://inside.example.org/v2/app/blobs/uploads"


def test_pushed_manifest_and_blob_are_located(server):
    made = images.image("located")
    server.api.push(made, "app", "1")
    reply = server.api.put_manifest("app", "1", made.manifest, made.media_type).expect(201)
    assert server.api.location(reply) == f"/v2/app/manifests/{made.digest}"
    location = server.api.begin_upload("app")
    reply = server.api.finish_upload(location, images.sha256(b"x"), b"x").expect(201)
    assert server.api.location(reply) == f"/v2/app/blobs/{images.sha256(b'x')}"


# --- the same as docker-registry, over a matrix of settings and of what proxies say ---

OUTSIDE = "https://outside.example.org"
SETTINGS = {
    "nothing": {},
    "prefix": {"prefix": "/under/"},
    "deep prefix": {"prefix": "/a/b/"},
    "prefix that is none": {"prefix": "/"},
    "host": {"host": OUTSIDE},
    "host with a port": {"host": f"{OUTSIDE}:8443"},
    "host with a path": {"host": f"{OUTSIDE}/path/"},
    "host and prefix": {"host": f"{OUTSIDE}/path/", "prefix": "/under/"},
    "relative": {"relativeurls": True},
    "relative and prefix": {"relativeurls": True, "prefix": "/under/"},
    "relative and host": {"relativeurls": True, "host": OUTSIDE},
}
SAID = {
    "nothing": {},
    "Host": {"Host": "named.example.org"},
    "Host with a port": {"Host": "named.example.org:5000"},
    "scheme": {"X-Forwarded-Proto": "https"},
    "host": {"X-Forwarded-Host": "proxy.example.org"},
    "both": {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "proxy.example.org:8443"},
    "IPv6": {"X-Forwarded-Host": "[2001:db8::1]:5000"},
    "a port apart": {"X-Forwarded-Proto": "https", "X-Forwarded-Port": "8443"},
    "nothing, at length": {"X-Forwarded-Proto": "", "X-Forwarded-Host": ""},
    "several hosts": {"X-Forwarded-Host": "first.example.org, second.example.org"},
    "several schemes": {"X-Forwarded-Proto": "https, http"},
    "unknown scheme": {"X-Forwarded-Proto": "gopher"},
    "no host": {"X-Forwarded-Host": "a b<c>"},
    "RFC 7239": {"Forwarded": "for=192.0.2.1;proto=https;host=proxy.example.org"},
    "RFC 7239, quoted": {"Forwarded": 'proto=https;host="proxy.example.org:8443"'},
    "RFC 7239, several": {"Forwarded": "proto=https;host=first.example.org, proto=http;host=second.example.org"},
    "RFC 7239 beside the others": {"Forwarded": "proto=https;host=first.example.org", "X-Forwarded-Proto": "http",
                                   "X-Forwarded-Host": "second.example.org"},
    "RFC 7239 and a scheme": {"Forwarded": "host=first.example.org", "X-Forwarded-Proto": "https"},
    "RFC 7239, broken": {"Forwarded": 'proto=https;host="'},
    "others": {"X-Forwarded-Scheme": "https", "X-Forwarded-Ssl": "on", "X-Forwarded-Prefix": "/x"},
}
# Where docker-registry takes what is no scheme or host at all for one, or leaves something out.
BETTER = {
    "several schemes": ("https://HOST", "https, http://HOST"),
    "unknown scheme": ("http://HOST", "gopher://HOST"),
    "no host": ("http://HOST", "http://a%20b<c>"),
    "RFC 7239 and a scheme": ("https://first.example.org", "http://first.example.org"),
    "RFC 7239, broken": ("https://HOST", "http://HOST"),
}


def beginning(server, prefix, headers):
    reply = server.api.request("POST", f"{prefix}/v2/app/blobs/uploads/", body=b"", headers=headers).expect(202)
    return reply.headers["Location"].replace(server.host, "HOST").split("/v2/app/blobs/uploads/")[0]


@pytest.mark.ours
@pytest.mark.parametrize("setting", SETTINGS)
def test_locations_begin_as_docker_registrys(start_server, start_docker_registry, work, setting):
    http = SETTINGS[setting]
    prefix = http.get("prefix", "").rstrip("/")
    ours, theirs = (start(config={"http": http}, root=work / name)
                    for start, name in ((start_server, "ours"), (start_docker_registry, "theirs")))
    for name, headers in SAID.items():
        found = beginning(ours, prefix, headers), beginning(theirs, prefix, headers)
        if setting == "relative and prefix":
            assert found == ("/under", ""), name  # there a client is sent to where nothing is
        elif name in BETTER and "host" not in http and "relativeurls" not in http:
            assert found == tuple(begin + prefix for begin in BETTER[name]), name
        else:
            assert found[0] == found[1], name


@pytest.mark.ours
@pytest.mark.parametrize("setting", SETTINGS)
def test_other_answers_lead_where_docker_registrys_do(start_server, start_docker_registry, work, setting):
    """Blobs and manifests that were pushed, the next page of the catalog, `/v2`, and `/` for load balancers."""
    http = SETTINGS[setting]
    prefix = http.get("prefix", "").rstrip("/")
    made = images.image("elsewhere")
    found = []
    for start, name in ((start_server, "ours"), (start_docker_registry, "theirs")):
        server = start(config={"http": http}, root=work / name)
        api, told = server.api, {}
        for repo in ("app", "bpp"):
            for digest, data in made.blobs.items():
                reply = api.request("POST", f"{prefix}/v2/{repo}/blobs/uploads/", body=b"").expect(202)
                path = prefix + api.location(reply)[api.location(reply).index("/v2/"):]
                told["blob"] = api.finish_upload(path, digest, data).expect(201).headers["Location"]
            reply = api.request("PUT", f"{prefix}/v2/{repo}/manifests/1", body=made.manifest,
                                headers={"Content-Type": made.media_type}).expect(201)
            told["manifest"] = reply.headers["Location"]
        told["page"] = api.get(f"{prefix}/v2/_catalog?n=1").expect(200).headers["Link"]
        told["base"] = api.get(f"{prefix}/v2").expect(301).headers["Location"]
        told["root"] = api.get("/").expect(200).body
        told["base page"] = api.get(f"{prefix}/v2/").expect(200).body
        told["outside"] = api.get("/v2/").status
        found.append({key: str(value).replace(server.host, "HOST") for key, value in told.items()})
    if setting == "relative and prefix":
        for key in ("blob", "manifest"):
            assert found[0][key] == prefix + found[1].pop(key)
            found[0].pop(key)
    assert found[0] == found[1]
