# SPDX-License-Identifier: Apache-2.0
"""Uploads: whole, in chunks, broken off and gone on with."""

import hashlib

import pytest

from lib import images, proc, slow
from lib.client import sha256
from lib.disk import Tree

MIB = 1 << 20
DATA = images.random_bytes("upload", 3 * MIB + 17)


@pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one byte", "3 MiB"])
def test_monolithic_upload_is_served_as_it_came(server, data):
    digest = server.api.push_blob("up/load", data)
    reply = server.api.blob("up/load", digest).expect(200)
    assert reply.body == data
    assert reply.headers["Docker-Content-Digest"] == digest


@pytest.mark.parametrize("size", [1000 * 1000, MIB, len(DATA)], ids=["decimal", "mebibytes", "one chunk"])
def test_chunked_upload_is_served_as_it_came(server, size):
    digest = server.api.push_blob_in_chunks("up/load", DATA, size)
    assert server.api.blob("up/load", digest).expect(200).body == DATA


@pytest.mark.ours  # docker-registry treats it as the beginning of an upload
def test_single_post_is_served_as_it_came(server):
    digest = sha256(DATA)
    reply = server.api.request("POST", f"/v2/up/load/blobs/uploads/?digest={digest}", body=DATA).expect(201)
    assert reply.headers["Docker-Content-Digest"] == digest
    assert server.api.blob("up/load", digest).body == DATA


@pytest.mark.ours
def test_sha512_blob_is_served_as_it_came(server):
    digest = "sha512:" + hashlib.sha512(DATA).hexdigest()
    server.api.push_blob("up/load", DATA, digest)
    assert server.api.blob("up/load", digest).expect(200).body == DATA
    assert Tree(server.root).blob_path(digest).read_bytes() == DATA


@pytest.mark.ours  # docker-registry keeps the upload
def test_bytes_that_do_not_match_leave_nothing(server):
    location = server.api.begin_upload("up/load")
    location = server.api.location(server.api.patch(location, DATA).expect(202))
    wrong = sha256(b"something else")
    reply = server.api.finish_upload(location, wrong).expect(400)
    assert reply.error_codes() == ["DIGEST_INVALID"]
    assert not server.api.has_blob("up/load", wrong) and not server.api.has_blob("up/load", sha256(DATA))
    server.api.get(location).expect(404)
    assert not Tree(server.root).blob_digests()


@pytest.mark.ours  # docker-registry looks at no Content-Range
def test_chunk_out_of_order_is_refused_and_the_offset_told(server):
    location = server.api.location(server.api.patch(server.api.begin_upload("up/load"), DATA[:1000], 0).expect(202))
    reply = server.api.patch(location, DATA[2000:3000], 2000).expect(416)
    assert reply.headers["Range"] == "0-999"
    location = server.api.location(reply)
    server.api.patch(location, DATA[1000:], 1000).expect(202)
    server.api.finish_upload(location, sha256(DATA)).expect(201)


@pytest.mark.ours  # docker-registry leaves the directory
def test_cancelled_upload_is_gone(server):
    location = server.api.begin_upload("up/load")
    server.api.request("DELETE", location).expect(204)
    assert server.api.get(location).expect(404).error_codes() == ["BLOB_UPLOAD_UNKNOWN"]
    assert Tree(server.root).uploads() == []


def test_upload_belongs_to_its_repository(server):
    location = server.api.begin_upload("first")
    server.api.begin_upload("second")
    other = location.replace("/first/", "/second/")
    assert server.api.patch(other, b"data").status in (400, 404)
    server.api.get(location).expect(204)


def test_upload_goes_on_after_a_restart(server):
    location = server.api.location(server.api.patch(server.api.begin_upload("up/load"), DATA[:MIB], 0).expect(202))
    server.restart()
    offset, location = server.api.upload_offset(location)
    assert offset == MIB
    location = server.api.location(server.api.patch(location, DATA[MIB:], MIB).expect(202))
    server.api.finish_upload(location, sha256(DATA)).expect(201)
    assert server.api.blob("up/load", sha256(DATA)).body == DATA


def test_upload_goes_on_after_a_crash(server):
    location = server.api.location(server.api.patch(server.api.begin_upload("up/load"), DATA[:MIB], 0).expect(202))
    server.kill()
    server.start()
    offset, location = server.api.upload_offset(location)
    assert offset == MIB
    server.api.finish_upload(location, sha256(DATA), DATA[MIB:]).expect(201)
    assert server.api.blob("up/load", sha256(DATA)).body == DATA


def upload_data_size(server):
    return sum((path / "data").stat().st_size for path in Tree(server.root).uploads() if (path / "data").exists())


@pytest.mark.ours  # docker-registry trusts the _state, which is stale after a crash
def test_upload_goes_on_after_a_crash_amid_a_chunk(server):
    location = server.api.begin_upload("up/load")
    push = slow.SlowPush(server.host, "PATCH", location, len(DATA))
    push.send(DATA[:2 * MIB])
    proc.wait_until("something is written", lambda: upload_data_size(server) > 0, server.daemon)
    server.kill()
    push.break_off()
    server.start()
    offset, location = server.api.upload_offset(location)
    assert offset <= 2 * MIB
    server.api.finish_upload(location, sha256(DATA), DATA[offset:]).expect(201)
    assert server.api.blob("up/load", sha256(DATA)).body == DATA


@pytest.mark.ours
def test_upload_goes_on_after_the_client_broke_off(server):
    location = server.api.begin_upload("up/load")
    push = slow.SlowPush(server.host, "PATCH", location, len(DATA))
    push.send(DATA[:2 * MIB])
    proc.wait_until("something is written", lambda: upload_data_size(server) > 0, server.daemon)
    push.break_off()
    offset = proc.wait_until("the upload is free", lambda: try_to_go_on(server, location), server.daemon)
    assert 0 < offset <= 2 * MIB
    assert server.api.blob("up/load", sha256(DATA)).body == DATA


def try_to_go_on(server, location):
    """The offset from which it went on; None while the broken request still holds the upload."""
    offset, location = server.api.upload_offset(location)
    reply = server.api.patch(location, DATA[offset:], offset).expect(202, 416)
    if reply.status == 416:
        return None
    server.api.finish_upload(server.api.location(reply), sha256(DATA)).expect(201)
    return offset


def test_upload_goes_on_at_another_process(server, second_server):
    location = server.api.begin_upload("up/load")
    third = len(DATA) // 3
    for api, start, end in ((server.api, 0, third), (second_server.api, third, 2 * third),
                            (server.api, 2 * third, len(DATA))):
        location = api.location(api.patch(location, DATA[start:end], start).expect(202))
    second_server.api.finish_upload(location, sha256(DATA)).expect(201)
    for api in (server.api, second_server.api):
        assert api.blob("up/load", sha256(DATA)).expect(200).body == DATA


def test_other_process_does_not_read_the_whole_again(server, second_server):
    data = images.random_bytes("long", 48 * MIB)
    location = server.api.location(server.api.patch(server.api.begin_upload("up/load"), data, 0).expect(202))
    before = second_server.bytes_read()
    second_server.api.finish_upload(location, sha256(data)).expect(201)
    assert second_server.bytes_read() - before < 8 * MIB
    assert server.api.blob("up/load", sha256(data)).body == data


@pytest.mark.ours  # two writers spoil each other's upload there
def test_second_writer_is_refused_while_the_first_writes(server, second_server):
    location = server.api.begin_upload("up/load")
    push = slow.SlowPush(server.host, "PATCH", location, len(DATA))
    push.send(DATA[:MIB])
    proc.wait_until("something is written", lambda: upload_data_size(server) > 0, server.daemon)
    for other in (server, second_server):
        reply = other.api.patch(location, b"from another").expect(416)
        assert reply.headers["Range"].startswith("0-")
    assert push.finish(DATA[MIB:])[0] == 202
    second_server.api.finish_upload(location, sha256(DATA)).expect(201)
    assert server.api.blob("up/load", sha256(DATA)).body == DATA
