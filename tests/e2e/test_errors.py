# SPDX-License-Identifier: Apache-2.0
"""What a client is told when something is wrong: the specification's codes, and nothing stored."""

import pytest

from lib import images
from lib.client import OCI_MANIFEST, sha256
from lib.disk import Tree

UNKNOWN = sha256(b"nobody pushed this")
NAMES = ["UPPER", "a//b", "-begins", "ends-", "dot..dot", "a/_layers",
         pytest.param("x" * 256, id="too long", marks=pytest.mark.ours)]  # docker-registry says 500


@pytest.fixture
def stored(server):
    made = images.image("stored")
    server.api.push(made, "app", "1")
    return made


@pytest.mark.parametrize("path, code", [
    ("/v2/app/manifests/nothing", "MANIFEST_UNKNOWN"),
    (f"/v2/app/manifests/{UNKNOWN}", "MANIFEST_UNKNOWN"),
    ("/v2/nothing/manifests/1", "MANIFEST_UNKNOWN"),
    (f"/v2/app/blobs/{UNKNOWN}", "BLOB_UNKNOWN"),
    (f"/v2/nothing/blobs/{UNKNOWN}", "BLOB_UNKNOWN"),
    ("/v2/nothing/tags/list", "NAME_UNKNOWN"),
])
def test_what_is_not_there_is_404_with_its_code(server, stored, path, code):
    assert server.api.get(path).expect(404).error_codes() == [code]
    head = server.api.request("HEAD", path)
    assert head.status in (404, 405) and head.body == b""


@pytest.mark.parametrize("name", NAMES)
def test_bad_name_is_refused(server, name):
    assert server.api.request("POST", f"/v2/{name}/blobs/uploads/", body=b"").status in (301, 400, 404)
    assert not (server.root / "docker/registry/v2/repositories").exists()


@pytest.mark.parametrize("digest", ["sha256:short", "md5:" + "0" * 32, "sha256:" + "G" * 64, "nothing"])
def test_bad_digest_is_refused(server, digest):
    location = server.api.begin_upload("app")
    assert server.api.finish_upload(location, digest, b"data").expect(400).error_codes() == ["DIGEST_INVALID"]
    assert not Tree(server.root).blob_digests()


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"\0" * 100,
    pytest.param(b'{"schemaVersion": 2}', marks=pytest.mark.ours),  # docker-registry calls its digest invalid
], ids=["empty", "open", "list", "zeros", "almost empty"])
def test_broken_manifest_is_refused(server, stored, body):
    reply = server.api.put_manifest("app", "2", body, OCI_MANIFEST).expect(400, 404)
    assert set(reply.error_codes()) <= {"MANIFEST_INVALID", "MANIFEST_BLOB_UNKNOWN"}
    server.api.manifest("app", "2").expect(404)


@pytest.mark.ours  # docker-registry says 400
def test_manifest_beyond_four_mebibytes_is_refused(server, stored):
    reply = server.api.put_manifest("app", "2", b" " * (4 << 20) + stored.manifest, OCI_MANIFEST)
    assert reply.expect(413).error_codes() == ["MANIFEST_INVALID"]


def test_manifest_under_a_digest_that_is_not_its_own_is_refused(server, stored):
    reply = server.api.put_manifest("app", UNKNOWN, stored.manifest, stored.media_type).expect(400)
    assert reply.error_codes() == ["DIGEST_INVALID"]
    server.api.manifest("app", UNKNOWN).expect(404)


def test_manifest_without_one_of_its_blobs_is_refused(server):
    made = images.image("incomplete", layers=3)
    *present, missing = made.blobs
    for digest in present:
        server.api.push_blob("app", made.blobs[digest], digest)
    reply = server.api.put_manifest("app", "1", made.manifest, made.media_type).expect(400, 404)
    assert reply.error_codes() == ["MANIFEST_BLOB_UNKNOWN"]
    assert missing in reply.body.decode()
    server.api.push_blob("app", made.blobs[missing], missing)
    server.api.put_manifest("app", "1", made.manifest, made.media_type).expect(201)


@pytest.mark.ours  # docker-registry answers a range that lies outside with 416 and the head of a whole blob
def test_ranges_of_a_blob(server):
    data = images.random_bytes("ranges", 100_000)
    path = f"/v2/app/blobs/{server.api.push_blob('app', data)}"
    for asked, start, end in (("0-99", 0, 100), ("99900-", 99_900, 100_000), ("-7", 99_993, 100_000)):
        reply = server.api.get(path, headers={"Range": f"bytes={asked}"}).expect(206)
        assert reply.body == data[start:end]
        assert reply.headers["Content-Range"] == f"bytes {start}-{end - 1}/100000"
    reply = server.api.get(path, headers={"Range": "bytes=100000-"}).expect(416)
    assert "Cache-Control" not in reply.headers and "Etag" not in reply.headers
