# SPDX-License-Identifier: Apache-2.0
"""What a registry takes as a manifest: sha512, artifacts, indexes of all sorts, limits, and the operator's rules."""

import hashlib
import json

import pytest

from lib import images, proc, server as servers
from lib.client import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, sha256
from lib.disk import Tree

pytestmark = pytest.mark.ours  # most of it docker-registry answers otherwise

FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"


def sha512(data):
    return "sha512:" + hashlib.sha512(data).hexdigest()


def described(content, media_type=images.OCI_LAYER, digest=sha256, **more):
    return {"mediaType": media_type, "digest": digest(content), "size": len(content), **more}


def document(config, layers, **more):
    return images.encoded({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers, **more})


def index_of(*children, **more):
    return images.encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(children), **more})


def put(server, reference, data, media_type=OCI_MANIFEST):
    return server.api.put_manifest("app", reference, data, media_type)


@pytest.fixture
def blobs(server):
    """The empty config and a layer, under both algorithms."""
    for data in (b"{}", b"layer", b""):
        for digest in (sha256, sha512):
            server.api.push_blob("app", data, digest(data))


# --- sha512 ---

def test_sha512_manifest_lies_under_its_own_digest_and_keeps_it_by_tag(server, blobs):
    data = document(described(b"{}", images.OCI_CONFIG, sha512), [described(b"layer", digest=sha512)])
    digest = sha512(data)
    reply = put(server, f"{digest}?tag=v1", data).expect(201)
    assert reply.headers["Docker-Content-Digest"] == digest and reply.headers["Location"].endswith(digest)
    for reference in (digest, "v1"):
        served = server.api.manifest("app", reference).expect(200)
        assert (served.body, served.headers["Docker-Content-Digest"]) == (data, digest)
    server.api.manifest("app", sha256(data)).expect(404)
    assert server.api.verify("app", "v1") == digest
    Tree(server.root).assert_whole()
    assert digest in Tree(server.root).blob_digests()


def test_a_tag_may_change_its_algorithm(server, blobs):
    data = document(described(b"{}", images.OCI_CONFIG), [])
    put(server, f"{sha512(data)}?tag=v1", data).expect(201)
    put(server, "v1", data).expect(201)
    assert server.api.manifest("app", "v1").headers["Docker-Content-Digest"] == sha256(data)
    for digest in (sha256(data), sha512(data)):
        assert server.api.manifest("app", digest).expect(200).body == data


def test_algorithms_are_mixed_in_one_image_and_one_index(server, blobs):
    one = document(described(b"{}", images.OCI_CONFIG, sha512), [described(b"layer"), described(b"", digest=sha512)])
    two = document(described(b"{}", images.OCI_CONFIG), [described(b"layer", digest=sha512)])
    put(server, sha512(one), one).expect(201)
    put(server, sha256(two), two).expect(201)
    data = index_of(described(one, OCI_MANIFEST, sha512), described(two, OCI_MANIFEST))
    put(server, "all", data, OCI_INDEX).expect(201)
    assert server.api.verify("app", "all") == sha256(data)
    wrong = index_of(described(two, OCI_MANIFEST, sha512))  # there under sha256 only
    assert put(server, "no", wrong, OCI_INDEX).expect(404).error_codes() == ["MANIFEST_BLOB_UNKNOWN"]


WRONG = {"unknown algorithm": "sha384:" + "a" * 96, "blake": "blake3:" + "a" * 64, "upper hex": "sha256:" + "A" * 64,
         "upper algorithm": "SHA256:" + "a" * 64, "short": "sha256:" + "a" * 63, "long": "sha256:" + "a" * 65,
         "swapped": "sha512:" + "a" * 64, "no hex": "sha256:" + "g" * 64, "nothing": "sha256:",
         "composed": "sha256+b64:" + "a" * 64}


@pytest.mark.parametrize("digest", WRONG.values(), ids=WRONG)
def test_wrong_digests_are_400_everywhere(server, blobs, digest):
    def codes(method, path, body=None):
        reply = server.api.request(method, path, body=body)
        assert reply.status == 400, (method, path, reply.status, reply.body)
        return reply.error_codes() if method != "HEAD" else ["DIGEST_INVALID"]

    location = server.api.begin_upload("app")
    for method in ("GET", "HEAD", "DELETE"):
        for kind in ("manifests", "blobs"):
            assert codes(method, f"/v2/app/{kind}/{digest}") == ["DIGEST_INVALID"]
    assert codes("PUT", f"/v2/app/manifests/{digest}", b"{}") == ["DIGEST_INVALID"]
    assert codes("POST", f"/v2/app/blobs/uploads/?digest={digest}", b"x") == ["DIGEST_INVALID"]
    assert codes("POST", f"/v2/app/blobs/uploads/?digest={digest}") == ["DIGEST_INVALID"]
    joint = "&" if "?" in location else "?"
    assert codes("PUT", f"{location}{joint}digest={digest}", b"x") == ["DIGEST_INVALID"]
    assert codes("POST", f"/v2/app/blobs/uploads/?mount={digest}&from=app") == ["DIGEST_INVALID"]


def test_an_unknown_algorithm_for_an_upload(server):
    reply = server.api.request("POST", "/v2/app/blobs/uploads/?digest-algorithm=md5", body=b"").expect(400)
    assert reply.error_codes() == ["DIGEST_INVALID"]
    server.api.request("POST", "/v2/app/blobs/uploads/?digest-algorithm=sha512", body=b"").expect(202)


# --- what is a manifest ---

EMPTY = described(b"{}", images.EMPTY_TYPE)
ODD = {
    "no layers": lambda: {"config": EMPTY, "layers": []},
    "no member layers": lambda: {"config": EMPTY},
    "artifact": lambda: {"artifactType": "application/vnd.example.thing", "config": EMPTY, "layers": [EMPTY]},
    "own config type": lambda: {"config": described(b"{}", "application/vnd.example.config+json"), "layers": []},
    "own layer type": lambda: {"config": EMPTY, "layers": [described(b"layer", "text/x-odd; charset=none")]},
    "layer without a type": lambda: {"config": EMPTY, "layers": [{"digest": sha256(b"layer"), "size": 5}]},
    "same layer twice": lambda: {"config": EMPTY, "layers": [described(b"layer")] * 2},
    "config as layer": lambda: {"config": described(b"layer"), "layers": [described(b"layer")]},
    "empty layer": lambda: {"config": EMPTY, "layers": [described(b"")]},
    "embedded": lambda: {"config": {**EMPTY, "data": "e30="}, "layers": [described(b"layer", data="bGF5ZXI=")]},
    "unknown members": lambda: {"config": EMPTY, "layers": [], "x-own": {"a": [1]}, "annotations": {"k": "v"}},
    "nondistributable": lambda: {"config": EMPTY, "layers": [described(b"far away", NONDISTRIBUTABLE)]},
    "nondistributable with urls": lambda: {
        "config": EMPTY, "layers": [described(b"far away", NONDISTRIBUTABLE, urls=["https://example.org/x"])]},
    "foreign": lambda: {"config": EMPTY, "layers": [described(b"far away", FOREIGN, urls=["https://example.org/x"])]},
}


@pytest.mark.parametrize("typed", [True, False], ids=["with mediaType", "without"])
@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_odd_images_are_taken_and_served_as_they_are(server, blobs, make, typed):
    data = images.encoded({"schemaVersion": 2, **({"mediaType": OCI_MANIFEST} if typed else {}), **make()})
    put(server, "v1", data).expect(201)
    put(server, sha256(data), data).expect(201)
    for reference in ("v1", sha256(data)):
        reply = server.api.manifest("app", reference).expect(200)
        assert (reply.body, reply.headers["Content-Type"]) == (data, OCI_MANIFEST)


@pytest.mark.parametrize("layer, status, code", [
    (described(b"far away"), 404, "MANIFEST_BLOB_UNKNOWN"),
    (described(b"far away", urls=["https://example.org/x"]), 404, "MANIFEST_BLOB_UNKNOWN"),
    (described(b"far away", FOREIGN), 404, "MANIFEST_BLOB_UNKNOWN"),
    ({**described(b"layer"), "size": 6}, 400, "MANIFEST_INVALID"),
    (described(b"layer", data="bGF5ZXo="), 400, "MANIFEST_INVALID"),
    (described(b"layer", data="bGF5ZXI"), 400, "MANIFEST_INVALID"),
    ({**described(b"layer"), "digest": "sha384:" + "0" * 96}, 400, "MANIFEST_INVALID"),
])
def test_wrong_layers_are_refused(server, blobs, layer, status, code):
    reply = put(server, "v1", document(EMPTY, [layer])).expect(status)
    assert reply.error_codes() == [code]
    assert server.api.request("HEAD", "/v2/app/manifests/v1").status == 404


def test_nested_and_empty_indexes_and_indexes_of_all_types(server, blobs):
    made = images.image("nested", docker=True)
    server.api.push(made, "app", "docker")
    artifact = document(EMPTY, [EMPTY], artifactType="application/vnd.example.thing")
    put(server, sha256(artifact), artifact).expect(201)
    inner = index_of(described(artifact, OCI_MANIFEST), described(made.manifest, DOCKER_MANIFEST))
    put(server, sha256(inner), inner, OCI_INDEX).expect(201)
    empty = index_of(artifactType="application/vnd.example.list")
    put(server, "empty", empty, OCI_INDEX).expect(201)
    outer = index_of(described(inner, OCI_INDEX), described(empty, OCI_INDEX), described(artifact, OCI_MANIFEST))
    put(server, "outer", outer, OCI_INDEX).expect(201)
    assert server.api.verify("app", "outer") == sha256(outer)
    Tree(server.root).assert_whole()


def test_an_index_may_list_blobs_as_buildkits_cache_does(server, blobs):
    data = index_of(described(b"layer"), described(b"{}", "application/vnd.buildkit.cacheconfig.v0"))
    put(server, "cache", data, OCI_INDEX).expect(201)
    assert server.api.manifest("app", "cache").expect(200).body == data


def test_children_must_be_in_the_repository(server, blobs):
    child = document(EMPTY, [])
    server.api.push_blob("other", b"{}")
    server.api.put_manifest("other", "v1", child, OCI_MANIFEST).expect(201)
    reply = put(server, "all", index_of(described(child, OCI_MANIFEST)), OCI_INDEX).expect(404)
    assert reply.error_codes() == ["MANIFEST_BLOB_UNKNOWN"] and sha256(child) in reply.body.decode()


@pytest.mark.parametrize("filler", ["annotation", "blanks"])
def test_four_mebibytes_are_taken_and_no_byte_more(server, blobs, filler):
    def sized(size):
        if filler == "blanks":
            data = document(EMPTY, [])
            return data + b" " * (size - len(data))
        data = document(EMPTY, [], annotations={"fill": ""})
        return document(EMPTY, [], annotations={"fill": "x" * (size - len(data))})

    largest = sized(4 << 20)
    assert len(largest) == 4 << 20
    put(server, "largest", largest).expect(201)
    assert server.api.manifest("app", "largest").expect(200).body == largest
    assert put(server, "larger", sized((4 << 20) + 1)).expect(413).error_codes() == ["MANIFEST_INVALID"]


def test_docker_schema_1_is_served_but_not_taken(server):
    data = json.dumps({"schemaVersion": 1, "name": "app", "tag": "old", "architecture": "amd64",
                       "fsLayers": [], "history": [], "signatures": [{"header": {}}]}).encode()
    for media_type in ("application/vnd.docker.distribution.manifest.v1+prettyjws", "application/json"):
        reply = put(server, "old", data, media_type).expect(400)
        assert reply.error_codes() == ["MANIFEST_INVALID"] and "schema 1" in reply.body.decode()
    base = server.root / "docker/registry/v2"
    name = sha256(data).split(":")[1]
    for path, content in ((f"blobs/sha256/{name[:2]}/{name}/data", data),
                          (f"repositories/app/_manifests/revisions/sha256/{name}/link", sha256(data).encode()),
                          ("repositories/app/_manifests/tags/old/current/link", sha256(data).encode())):
        (base / path).parent.mkdir(parents=True)
        (base / path).write_bytes(content)
    reply = server.api.get("/v2/app/manifests/old", headers={"Accept": DOCKER_MANIFEST}).expect(200)
    assert reply.body == data
    assert reply.headers["Content-Type"] == "application/vnd.docker.distribution.manifest.v1+prettyjws"


# --- the operator's rules: registry:2's section `validation` ---

def with_url(url, media_type=NONDISTRIBUTABLE):
    return document(EMPTY, [described(b"far away", media_type, urls=[url])])


def start(start_server, **validation):
    server = start_server(config={"validation": validation})
    server.api.push_blob("app", b"{}")
    return server


def test_urls_are_matched(start_server):
    server = start(start_server, manifests={"urls": {"allow": ["^https?://good\\.example/"], "deny": ["/secret/"]}})
    put(server, "v1", with_url("https://good.example/layer")).expect(201)
    for url in ("https://evil.example/layer", "https://good.example/secret/layer", "ftp://good.example/layer",
                "https://good.example/#layer", "https://evil.example/?https://good.example/"):
        for media_type in (NONDISTRIBUTABLE, FOREIGN):
            reply = put(server, "v2", with_url(url, media_type)).expect(400)
            assert reply.error_codes() == ["MANIFEST_INVALID"] and url in reply.json()["errors"][0]["detail"]
    assert server.api.tags("app") == ["v1"]


@pytest.mark.parametrize("validation, status", [
    ({"disabled": True}, 201), ({"disabled": True, "enabled": True}, 400), ({"enabled": False}, 400)])
def test_rules_can_be_switched_off(start_server, validation, status):
    server = start(start_server, manifests={"urls": {"deny": ["."]}}, **validation)
    put(server, "v1", with_url("https://good.example/layer")).expect(status)


def test_a_broken_expression_stops_the_start_and_is_named_with_its_line(make_server):
    server = make_server(config={"validation": {"manifests": {"urls": {"allow": ["fine", "(broken"]}}}})
    server.write_config()
    done = proc.run(servers.ROADSTEAD, "config", "check", server.config_file, env=server.env, check=False)
    assert done.returncode != 0
    line = 1 + server.config_file.read_text().split('"(broken"')[0].count("\n")
    assert f"{server.config_file.name}:{line}" in done.stderr and "validation.manifests.urls.allow" in done.stderr


def children():
    return [document(EMPTY, [], annotations={"platform": name}) for name in ("linux/amd64", "linux/arm64", "none")]


def sparse():
    amd64, arm64, none = children()
    return index_of(described(amd64, OCI_MANIFEST, platform={"os": "linux", "architecture": "amd64"}),
                    described(arm64, OCI_MANIFEST, platform={"os": "linux", "architecture": "arm64"}),
                    described(none, OCI_MANIFEST))


def test_an_index_without_its_images(start_server):
    server = start(start_server, manifests={"indexes": {"platforms": "none"}})
    put(server, "all", sparse(), OCI_INDEX).expect(201)
    assert server.api.manifest("app", "all").expect(200).body == sparse()
    server.api.manifest("app", sha256(children()[0])).expect(404)
    missing = document(EMPTY, [described(b"not there")])
    assert put(server, "v1", missing).expect(404).error_codes() == ["MANIFEST_BLOB_UNKNOWN"]


def test_an_index_with_the_images_of_some_platforms(start_server):
    platforms = [{"os": "linux", "architecture": "amd64"}]
    server = start(start_server, manifests={"indexes": {"platforms": "list", "platformlist": platforms}})
    assert put(server, "all", sparse(), OCI_INDEX).expect(404).error_codes() == ["MANIFEST_BLOB_UNKNOWN"]
    put(server, sha256(children()[0]), children()[0]).expect(201)
    put(server, "all", sparse(), OCI_INDEX).expect(201)
    listed = json.loads(sparse())
    assert server.api.get("/v2/app/manifests/all", headers={"Accept": DOCKER_LIST + ", " + OCI_INDEX}).json() == listed
