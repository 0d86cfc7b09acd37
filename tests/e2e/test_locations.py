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
