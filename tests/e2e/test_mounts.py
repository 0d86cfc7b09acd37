# SPDX-License-Identifier: Apache-2.0
"""A blob is served only through a repository that links it; a mount links it in one more."""

import hashlib

import pytest

from lib import images
from lib.client import OCI_MANIFEST, sha256
from lib.disk import Tree

DATA = images.random_bytes("mounted", 100_000)


def mount(server, repo, digest, source):
    return server.api.request("POST", f"/v2/{repo}/blobs/uploads/?mount={digest}&from={source}", body=b"")


def test_mounted_blob_is_served_without_a_copy(server):
    digest = server.api.push_blob("a/first", DATA)
    reply = mount(server, "b/second", digest, "a/first").expect(201)
    assert server.api.location(reply) == f"/v2/b/second/blobs/{digest}"
    assert server.api.blob("b/second", digest).expect(200).body == DATA
    assert Tree(server.root).blob_digests() == {digest}


def test_mount_of_what_the_source_lacks_becomes_an_upload(server):
    digest = server.api.push_blob("a/first", DATA)
    server.api.push_blob("a/third", b"other")
    for source, target in (("a/third", "b/one"), ("a/nothing", "b/two")):
        reply = mount(server, target, digest, source).expect(202)
        assert not server.api.has_blob(target, digest)
        server.api.finish_upload(server.api.location(reply), digest, DATA).expect(201)
        assert server.api.blob(target, digest).body == DATA


def test_blob_of_another_repository_is_unknown(server):
    digest = server.api.push_blob("a/first", DATA)
    server.api.push_blob("b/second", b"other")
    assert server.api.blob("b/second", digest).expect(404).error_codes() == ["BLOB_UNKNOWN"]


def test_manifest_needs_its_blobs_in_its_own_repository(server):
    made = images.image("own")
    server.api.push(made, "a/first", "1")
    reply = server.api.put_manifest("b/second", "1", made.manifest, OCI_MANIFEST).expect(400, 404)
    assert set(reply.error_codes()) == {"MANIFEST_BLOB_UNKNOWN"}
    server.api.manifest("b/second", "1").expect(404)
    for digest in made.blobs:
        mount(server, "b/second", digest, "a/first").expect(201)
    server.api.put_manifest("b/second", "1", made.manifest, OCI_MANIFEST).expect(201)
    assert server.api.verify("b/second", "1") == sha256(made.manifest)


def test_index_needs_its_children_in_its_own_repository(server):
    made = images.index("own")
    server.api.push(made, "a/first", "1")
    reply = server.api.put_manifest("b/second", "1", made.manifest, made.media_type).expect(400, 404)
    assert set(reply.error_codes()) == {"MANIFEST_BLOB_UNKNOWN"}
    assert server.api.manifest("b/second", "1").status == 404


@pytest.mark.ours  # docker-registry wants to know from where
def test_mount_from_anywhere(server, second_server):
    digest = server.api.push_blob("a/first", DATA)
    long = "sha512:" + hashlib.sha512(DATA).hexdigest()
    server.api.push_blob("a/first", DATA, long)
    for n, one in enumerate((digest, long)):
        target = f"b/{n}"
        reply = second_server.api.request("POST", f"/v2/{target}/blobs/uploads/?mount={one}", body=b"").expect(201)
        assert second_server.api.location(reply) == f"/v2/{target}/blobs/{one}"
        assert reply.headers["Docker-Content-Digest"] == one
        assert server.api.blob(target, one).expect(200).body == DATA
    nobody = sha256(b"nobody has pushed this")
    reply = server.api.request("POST", f"/v2/b/two/blobs/uploads/?mount={nobody}", body=b"").expect(202)
    assert server.api.get(server.api.location(reply)).expect(204).headers["Range"] == "0-0"


def test_mount_from_the_same_repository(server):
    digest = server.api.push_blob("a/first", DATA)
    mount(server, "a/first", digest, "a/first").expect(201)
    assert server.api.blob("a/first", digest).body == DATA


@pytest.mark.ours  # docker-registry begins an upload, whose end it will refuse
@pytest.mark.parametrize("digest", ["sha256:123", "latest", "md5:d41d8cd98f00b204e9800998ecf8427e"])
def test_mount_of_no_digest(server, digest):
    assert mount(server, "b/two", digest, "a/first").expect(400).error_codes() == ["DIGEST_INVALID"]
    assert not Tree(server.root).uploads()
