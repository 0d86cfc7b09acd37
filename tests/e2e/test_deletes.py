# SPDX-License-Identifier: Apache-2.0
"""Deleting tags, manifests and blobs (distribution-spec 1.1, "Content Management")."""

import hashlib
import json
import pathlib
import threading

import pytest

from lib import images, proc
from lib.client import sha256
from lib.disk import Tree

pytestmark = pytest.mark.ours  # docker-registry 2.8.2 deletes no tags

IMAGE = images.image("deleted", layers=2)
OTHER = images.image("other", layers=1)
MANY = 10_000
NOBODY = sha256(b"nobody has pushed this")


def delete(server, path):
    return server.api.request("DELETE", path)


def assert_gone(server, repo, reference):
    for method in ("GET", "HEAD"):
        assert server.api.request(method, f"/v2/{repo}/manifests/{reference}").status == 404


def test_a_tag_goes_alone(server):
    for tag in ("v1", "v2"):
        server.api.push(IMAGE, "del/app", tag)
    reply = delete(server, "/v2/del/app/manifests/v1").expect(202)
    assert reply.headers["Content-Length"] == "0" and reply.body == b""
    assert "Docker-Content-Digest" not in reply.headers
    assert_gone(server, "del/app", "v1")
    assert server.api.tags("del/app") == ["v2"]
    assert server.api.verify("del/app", "v2") == server.api.verify("del/app", IMAGE.digest) == IMAGE.digest
    assert delete(server, "/v2/del/app/manifests/v1").expect(404).error_codes() == ["MANIFEST_UNKNOWN"]


def test_a_manifest_goes_with_its_tags(server):
    for tag in ("v1", "v2"):
        server.api.push(IMAGE, "del/app", tag)
    server.api.push(OTHER, "del/app", "other")
    server.api.push(IMAGE, "elsewhere", "v1")
    reply = delete(server, f"/v2/del/app/manifests/{IMAGE.digest}").expect(202)
    assert reply.headers["Content-Length"] == "0" and reply.body == b""
    for reference in ("v1", "v2", IMAGE.digest):
        assert_gone(server, "del/app", reference)
    assert server.api.tags("del/app") == ["other"]
    assert server.api.verify("del/app", "other") == OTHER.digest
    assert server.api.verify("elsewhere", "v1") == IMAGE.digest
    reply = delete(server, f"/v2/del/app/manifests/{IMAGE.digest}").expect(404)
    assert reply.error_codes() == ["MANIFEST_UNKNOWN"]
    server.api.push(IMAGE, "del/app", "again")
    assert server.api.verify("del/app", "again") == IMAGE.digest


def test_a_blob_loses_its_place_in_one_repository(server):
    digest = server.api.push_blob("del/app", b"some bytes")
    server.api.push_blob("elsewhere", b"some bytes")
    reply = delete(server, f"/v2/del/app/blobs/{digest}").expect(202)
    assert reply.headers["Content-Length"] == "0" and reply.body == b""
    assert not server.api.has_blob("del/app", digest)
    assert server.api.blob("elsewhere", digest).expect(200).body == b"some bytes"
    assert delete(server, f"/v2/del/app/blobs/{digest}").expect(404).error_codes() == ["BLOB_UNKNOWN"]
    assert Tree(server.root).blob_path(digest).read_bytes() == b"some bytes"  # the collector's
    server.api.push_blob("del/app", b"some bytes")
    assert server.api.has_blob("del/app", digest)


def test_sha512_goes_as_well(server):
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                           "manifests": []}).encode()
    digest = "sha512:" + hashlib.sha512(manifest).hexdigest()
    media_type = "application/vnd.oci.image.index.v1+json"
    server.api.put_manifest("del/app", digest, manifest, media_type).expect(201)
    delete(server, f"/v2/del/app/manifests/{digest}").expect(202)
    assert_gone(server, "del/app", digest)
    blob = "sha512:" + hashlib.sha512(b"long").hexdigest()
    server.api.push_blob("del/app", b"long", blob)
    delete(server, f"/v2/del/app/blobs/{blob}").expect(202)
    assert not server.api.has_blob("del/app", blob)


@pytest.mark.parametrize("path,status,code", [
    ("/v2/none/manifests/v1", 404, "MANIFEST_UNKNOWN"),
    (f"/v2/none/manifests/{NOBODY}", 404, "MANIFEST_UNKNOWN"),
    (f"/v2/none/blobs/{NOBODY}", 404, "BLOB_UNKNOWN"),
    (f"/v2/del/app/manifests/{NOBODY}", 404, "MANIFEST_UNKNOWN"),
    (f"/v2/del/app/blobs/{NOBODY}", 404, "BLOB_UNKNOWN"),
    ("/v2/del/app/manifests/sha256:123", 400, "DIGEST_INVALID"),
    ("/v2/del/app/manifests/md5:d41d8cd98f00b204e9800998ecf8427e", 400, "DIGEST_INVALID"),
    ("/v2/del/app/blobs/sha256:123", 400, "DIGEST_INVALID"),
    ("/v2/del/app/blobs/latest", 400, "DIGEST_INVALID"),
    ("/v2/DEL/manifests/v1", 400, "NAME_INVALID"),
])
def test_what_cannot_be_deleted(server, path, status, code):
    server.api.push(IMAGE, "del/app", "v1")
    assert delete(server, path).expect(status).error_codes() == [code]


@pytest.mark.parametrize("config,word", [
    ({"storage": {"delete": {"enabled": False}}}, "storage.delete.enabled"),
    ({"storage": {"maintenance": {"readonly": {"enabled": True}}}}, "read-only"),
])
def test_switched_off(start_server, config, word):
    server = start_server(config=config)
    for path in ("manifests/v1", f"manifests/{NOBODY}", f"blobs/{NOBODY}"):
        reply = delete(server, f"/v2/del/app/{path}").expect(405)
        assert reply.error_codes() == ["UNSUPPORTED"]
        assert word in reply.body.decode()


def test_another_process_sees_it_at_once(server, second_server):
    for _ in range(5):
        for tag in ("v1", "v2"):
            server.api.push(IMAGE, "del/app", tag)
        for _ in range(3):  # both have it in memory
            assert server.api.verify("del/app", "v1") == second_server.api.verify("del/app", "v1") == IMAGE.digest
        delete(second_server, f"/v2/del/app/manifests/{IMAGE.digest}").expect(202)
        for one in (server, second_server):
            for reference in ("v1", "v2", IMAGE.digest):
                assert_gone(one, "del/app", reference)


def test_docker_registry_sees_ours_and_we_see_its(server, docker_registry):
    for repo in ("ours", "its", "tag", "blob"):
        server.api.push(IMAGE, repo, "v1")
    server.api.push(OTHER, "tag", "v2")
    delete(server, f"/v2/ours/manifests/{IMAGE.digest}").expect(202)
    delete(docker_registry, f"/v2/its/manifests/{IMAGE.digest}").expect(202)
    delete(server, "/v2/tag/manifests/v1").expect(202)
    layer = next(iter(IMAGE.blobs))
    delete(server, f"/v2/blob/blobs/{layer}").expect(202)
    for one in (server, docker_registry):
        for repo in ("ours", "its"):
            for reference in ("v1", IMAGE.digest):
                assert_gone(one, repo, reference)
            assert not one.api.tags(repo)
        assert_gone(one, "tag", "v1")
        assert one.api.tags("tag") == ["v2"]
        assert not one.api.has_blob("blob", layer)
    for repo, writer in (("ours", docker_registry), ("its", server)):  # and pushed again by the other
        writer.api.push(IMAGE, repo, "v1")
        for one in (server, docker_registry):
            assert one.api.verify(repo, "v1") == IMAGE.digest
    delete(docker_registry, f"/v2/blob/manifests/{IMAGE.digest}").expect(202)
    layer = list(IMAGE.blobs)[1]
    delete(docker_registry, f"/v2/its/blobs/{layer}").expect(202)
    assert not server.api.has_blob("its", layer)


def test_a_blob_that_is_being_pulled_arrives(server):
    data = images.random_bytes("pulled", 32 << 20)
    digest = server.api.push_blob("del/app", data)
    connection = server.api.connect()
    connection.request("GET", f"/v2/del/app/blobs/{digest}")
    reply = connection.getresponse()
    first = reply.read(1000)
    delete(server, f"/v2/del/app/blobs/{digest}").expect(202)
    assert hashlib.sha256(first + reply.read()).hexdigest() == digest.split(":")[1]
    connection.close()


def tags_directory(server, repo):
    return server.root / "docker/registry/v2/repositories" / repo / "_manifests/tags"


def test_many_tags_need_little_memory(server):
    server.api.push(IMAGE, "many", "first")
    server.api.push(OTHER, "many", "other")
    tags = tags_directory(server, "many")
    for n in range(MANY):  # a tenth of them leads to the manifest
        digest = IMAGE.digest if n % 10 == 0 else OTHER.digest
        link = tags / f"t{n}/current/link"
        link.parent.mkdir(parents=True)
        link.write_text(digest)
    before = peak_memory(server)
    delete(server, f"/v2/many/manifests/{IMAGE.digest}").expect(202)
    assert peak_memory(server) - before < 8 << 20
    left = {entry.name for entry in pathlib.Path(tags).iterdir()}
    assert left == {"other"} | {f"t{n}" for n in range(MANY) if n % 10}


def peak_memory(server):
    status = pathlib.Path(f"/proc/{server.daemon.pid}/status").read_text()
    return int(dict(line.split(":", 1) for line in status.splitlines())["VmHWM"].split()[0]) * 1024


def test_pushes_and_deletes_at_once(server, second_server):
    """Nobody fails but for what was just deleted, and afterwards every tag leads to a whole image."""
    failures = []

    def repeat(action):
        try:
            for _ in range(40):
                action()
        except BaseException as failure:
            failures.append(failure)
            raise

    def push(one, tag):
        for digest, data in IMAGE.blobs.items():
            one.api.push_blob("del/app", data)
        reply = one.api.put_manifest("del/app", tag, IMAGE.manifest, IMAGE.media_type)
        assert reply.status in (201, 404), reply.body  # 404: a blob was deleted

    def remove(one, path):
        assert delete(one, f"/v2/del/app/{path}").status in (202, 404)

    layer = next(iter(IMAGE.blobs))
    actions = [lambda: push(server, "v1"), lambda: push(second_server, "v1"), lambda: push(server, "v2"),
               lambda: remove(server, f"manifests/{IMAGE.digest}"), lambda: remove(second_server, "manifests/v1"),
               lambda: remove(second_server, f"blobs/{layer}")]
    threads = [threading.Thread(target=repeat, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for tag in server.api.tags("del/app") or []:
        assert server.api.manifest("del/app", tag).expect(200).body == IMAGE.manifest
    server.api.push(IMAGE, "del/app", "v1")
    assert server.api.verify("del/app", "v1") == IMAGE.digest


def test_skopeo_deletes(server, work):
    server.api.push(IMAGE, "del/app", "v1")
    proc.run("skopeo", "delete", "--tls-verify=false", f"docker://{server.host}/del/app:v1", env=proc.environment(work))
    assert_gone(server, "del/app", "v1")
    assert_gone(server, "del/app", IMAGE.digest)
