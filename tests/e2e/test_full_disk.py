# SPDX-License-Identifier: Apache-2.0
"""A full disk: a clear error, no damage, and service goes on when room is made."""

import pytest

from lib import images, mounts
from lib.client import sha256
from lib.disk import Tree

DATA = images.random_bytes("too big", 2_000_000)


@pytest.fixture(params=[mounts.tmpfs, mounts.ext4], ids=["tmpfs", "ext4"])
def small_disk(request, work):
    with request.param(work / "small", 24) as directory:
        yield directory


@pytest.fixture
def server(small_disk, start_server):
    server = start_server(root=small_disk)
    yield server
    server.stop()  # before the disk goes


@pytest.fixture
def stored(server):
    """An image from better days."""
    made = images.index("stored", size=200_000)
    server.api.push(made, "app", "1")
    return made


def assert_full(reply):
    assert reply.status in (500, 503, 507), (reply.status, reply.body)
    assert reply.error_codes()


def assert_serves(server, stored):
    assert server.api.verify("app", "1") == stored.digest
    Tree(server.root).assert_whole()


def push_until_full(server):
    """How many images went in, and the reply that said no."""
    for n in range(100):
        made = images.image(f"fill {n}", layers=1, size=1_500_000)
        for digest, data in made.blobs.items():
            begun = server.api.request("POST", "/v2/fill/blobs/uploads/", body=b"")
            if begun.status != 202:
                return n, begun
            reply = server.api.finish_upload(server.api.location(begun), digest, data)
            if reply.status != 201:
                return n, reply
        reply = server.api.put_manifest("fill", str(n), made.manifest, made.media_type)
        if reply.status != 201:
            return n, reply
    raise AssertionError("the disk did not fill up")


def test_pushes_until_full_fail_clearly_and_go_on_with_room(server, small_disk, stored):
    spare = small_disk / "spare"
    spare.write_bytes(b"\1" * 6_000_000)
    count, reply = push_until_full(server)
    assert_full(reply)
    assert_serves(server, stored)
    for n in range(count):
        server.api.verify("fill", str(n))
    spare.unlink()
    server.api.push(images.image("after", size=300_000), "app", "2")
    server.api.verify("app", "2")
    assert_serves(server, stored)


@pytest.mark.ours  # docker-registry leaves an empty file under the manifest's digest
@pytest.mark.parametrize("room", [0, 100_000], ids=["no room", "some room"])
def test_every_step_of_a_push_fails_clearly(server, small_disk, stored, room):
    location = server.api.begin_upload("app")
    new = images.image("new", layers=1, size=10)
    for digest, data in new.blobs.items():
        server.api.push_blob("app", data, digest)
    spare = small_disk / "spare"
    spare.write_bytes(b"\1" * room)
    filler = mounts.fill(small_disk)
    spare.unlink()
    assert_full(server.api.finish_upload(location, sha256(DATA), DATA))
    mounts.fill(small_disk, "more")
    for attempt in (server.api.request("POST", "/v2/another/blobs/uploads/", body=b""),
                    server.api.put_manifest("app", "1", new.manifest, new.media_type)):
        if attempt.status not in (201, 202):  # an inode or a block may still be free
            assert_full(attempt)
    assert server.api.verify("app", "1") in (stored.digest, new.digest)
    Tree(server.root).assert_whole()
    filler.unlink()
    server.api.push_blob("app", DATA)
    assert server.api.put_manifest("app", "2", new.manifest, new.media_type).status == 201
    assert server.api.verify("app", "2") == new.digest


@pytest.mark.ours  # docker-registry trusts the _state, which is older than what was written
def test_upload_goes_on_where_the_full_disk_stopped_it(server, small_disk):
    location = server.api.location(server.api.patch(server.api.begin_upload("app"), DATA[:500_000], 0).expect(202))
    filler = mounts.fill(small_disk)
    assert_full(server.api.patch(location, DATA[500_000:], 500_000))
    filler.unlink()
    offset, location = server.api.upload_offset(location)
    assert 500_000 <= offset < len(DATA)
    server.api.finish_upload(location, sha256(DATA), DATA[offset:]).expect(201)
    assert server.api.blob("app", sha256(DATA)).expect(200).body == DATA


def test_skopeo_tells_its_user(server, small_disk, skopeo, work):
    made = images.image("told", size=100_000)
    source, target = images.write_dir(made, work / "in"), f"docker://{server.host}/app:1"
    filler = mounts.fill(small_disk)
    copy = skopeo.spawn_copy(source, target, work / "copy.log")
    assert copy.wait() != 0 and copy.output().strip()
    filler.unlink()
    skopeo.copy(source, target, "--preserve-digests")
    assert server.api.verify("app", "1") == made.digest


@pytest.mark.ours
def test_deletes_go_on_when_the_disk_is_full(small_disk, start_docker_registry, start_server):
    """Also on what a docker-registry has written: nothing of ours is there yet, and nothing can be made."""
    made = images.image("deleted", layers=1, size=2000)
    peer = start_docker_registry(root=small_disk)
    for tag in ("v1", "v2"):
        peer.api.push(made, "app", tag)
    peer.stop()
    server = start_server(root=small_disk)
    mounts.fill(small_disk)
    layer = next(iter(made.blobs))
    for path in ("manifests/v1", f"manifests/{made.digest}", f"blobs/{layer}"):
        server.api.request("DELETE", f"/v2/app/{path}").expect(202)
    assert server.api.manifest("app", "v2").status == 404 and not server.api.has_blob("app", layer)
    server.stop()
