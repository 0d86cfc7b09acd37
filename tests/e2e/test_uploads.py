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


EMPTY = sha256(b"")
EMPTY_512 = "sha512:" + hashlib.sha512(b"").hexdigest()


@pytest.mark.ours
@pytest.mark.parametrize("digest", [EMPTY, EMPTY_512], ids=["sha256", "sha512"])
@pytest.mark.parametrize("body", [b"", None], ids=["length 0", "no body"])
def test_empty_blob_in_one_post(server, digest, body):
    server.api.request("POST", f"/v2/up/load/blobs/uploads/?digest={digest}", body=body).expect(201)
    assert server.api.blob("up/load", digest).expect(200).body == b""
    assert Tree(server.root).uploads() == []


@pytest.mark.ours
def test_empty_blob_in_every_other_way(server):
    for n, body in enumerate((b"", None)):
        repo = f"empty/{n}"
        location = server.api.begin_upload(repo)
        separator = "&" if "?" in location else "?"
        server.api.request("PUT", f"{location}{separator}digest={EMPTY}", body=body).expect(201)
        assert server.api.blob(repo, EMPTY).expect(200).body == b""
    location = server.api.begin_upload("empty/chunk")
    reply = server.api.patch(location, b"").expect(202)
    assert reply.headers["Range"] == "0-0"
    server.api.finish_upload(server.api.location(reply), EMPTY).expect(201)
    assert server.api.has_blob("empty/chunk", EMPTY)
    reply = server.api.request("GET", f"/v2/empty/chunk/blobs/{EMPTY}", headers={"Range": "bytes=0-"})
    assert reply.status in (200, 416) and (reply.status == 416 or reply.body == b"")


@pytest.mark.ours
def test_a_chunk_of_no_bytes_changes_nothing(server):
    location = server.api.location(server.api.patch(server.api.begin_upload("up/load"), b"hello", 0).expect(202))
    reply = server.api.patch(location, b"").expect(202)
    assert reply.headers["Range"] == "0-4"
    server.api.finish_upload(server.api.location(reply), sha256(b"hello")).expect(201)


@pytest.mark.ours
@pytest.mark.parametrize("digest", ["sha256:12", "nothing", "sha1:" + "a" * 40])
def test_single_post_of_no_digest(server, digest):
    for body in (b"data", b""):
        reply = server.api.request("POST", f"/v2/up/load/blobs/uploads/?digest={digest}", body=body).expect(400)
        assert reply.error_codes() == ["DIGEST_INVALID"]
    assert Tree(server.root).uploads() == []


@pytest.mark.ours
def test_single_post_of_other_bytes_leaves_nothing(server):
    reply = server.api.request("POST", f"/v2/up/load/blobs/uploads/?digest={sha256(b'x')}", body=b"data").expect(400)
    assert reply.error_codes() == ["DIGEST_INVALID"]
    assert Tree(server.root).uploads() == [] and not Tree(server.root).blob_digests()


@pytest.mark.ours
def test_chunks_are_hashed_as_announced(server, second_server):
    """An upload that was announced as sha512 is hashed so in every process: its end reads nothing again."""
    data = images.random_bytes("announced", 24 * MIB)
    digest = "sha512:" + hashlib.sha512(data).hexdigest()
    reply = server.api.request("POST", "/v2/up/load/blobs/uploads/?digest-algorithm=sha512", body=b"").expect(202)
    location = server.api.location(reply)
    for n, one in enumerate((server, second_server, server)):
        part = data[n * 8 * MIB:(n + 1) * 8 * MIB]
        location = one.api.location(one.api.patch(location, part, n * 8 * MIB).expect(202))
    before = second_server.bytes_read()
    second_server.api.finish_upload(location, digest).expect(201)
    assert second_server.bytes_read() - before < MIB
    assert server.api.blob("up/load", digest).expect(200).body == data


@pytest.mark.ours
def test_another_algorithm_than_announced_is_read_again(server):
    reply = server.api.request("POST", "/v2/up/load/blobs/uploads/?digest-algorithm=sha512", body=b"").expect(202)
    location = server.api.location(server.api.patch(server.api.location(reply), DATA).expect(202))
    server.api.finish_upload(location, sha256(DATA)).expect(201)
    assert server.api.blob("up/load", sha256(DATA)).body == DATA


@pytest.mark.ours
@pytest.mark.parametrize("name", ["md5", "", "SHA512", "sha512,sha256"])
def test_unknown_algorithm(server, name):
    reply = server.api.request("POST", f"/v2/up/load/blobs/uploads/?digest-algorithm={name}", body=b"").expect(400)
    assert reply.error_codes() == ["DIGEST_INVALID"]
    assert Tree(server.root).uploads() == []


@pytest.mark.ours
def test_last_chunk_out_of_order_is_refused_and_the_upload_lives_on(server):
    location = server.api.location(server.api.patch(server.api.begin_upload("up/load"), b"hello", 0).expect(202))
    separator = "&" if "?" in location else "?"
    digest = sha256(b"hello you")
    for content_range in ("9-12", "0-3", "4-7"):
        reply = server.api.request("PUT", f"{location}{separator}digest={digest}", body=b" you",
                                   headers={"Content-Range": content_range}).expect(416)
        assert reply.error_codes() == ["RANGE_INVALID"]
        assert reply.headers["Range"] == "0-4" and reply.headers["Location"]
        assert server.api.get(location).expect(204).headers["Range"] == "0-4"
    server.api.request("PUT", f"{location}{separator}digest={digest}", body=b" you",
                       headers={"Content-Range": "5-8"}).expect(201)
    assert server.api.blob("up/load", digest).body == b"hello you"


@pytest.mark.ours
def test_uploads_that_have_ended_are_unknown(server):
    finished = server.api.begin_upload("up/load")
    server.api.finish_upload(finished, sha256(b"x"), b"x").expect(201)
    cancelled = server.api.begin_upload("up/load")
    server.api.request("DELETE", cancelled).expect(204)
    never = "/v2/up/load/blobs/uploads/6e1aca1a-0000-4000-8000-000000000000"
    for location in (finished, cancelled, never, "/v2/up/load/blobs/uploads/nonsense"):
        separator = "&" if "?" in location else "?"
        for reply in (server.api.get(location), server.api.patch(location, b"x"), server.api.request("DELETE", location),
                      server.api.request("PUT", f"{location}{separator}digest={sha256(b'x')}", body=b"x")):
            assert reply.expect(404).error_codes() == ["BLOB_UPLOAD_UNKNOWN"]


@pytest.mark.ours
def test_chunked_body_with_a_range(server):
    """Of known range and unknown length."""
    location = server.api.begin_upload("up/load")
    reply = server.api.request("PATCH", location, body=iter([b"he", b"llo"]),
                               headers={"Content-Range": "0-4"}).expect(202)
    assert reply.headers["Range"] == "0-4"
    location = server.api.location(reply)
    reply = server.api.request("PATCH", location, body=iter([b"too long"]),
                               headers={"Content-Range": "5-6"}).expect(400)
    assert reply.error_codes() == ["SIZE_INVALID"]
    assert server.api.get(location).expect(204).headers["Range"] in ("0-4", "0-6")


@pytest.mark.ours
def test_docker_registry_goes_on_with_an_announced_upload(server, docker_registry):
    reply = server.api.request("POST", "/v2/up/load/blobs/uploads/?digest-algorithm=sha512", body=b"").expect(202)
    location = server.api.location(server.api.patch(server.api.location(reply), DATA[:MIB]).expect(202))
    location = docker_registry.api.location(docker_registry.api.patch(location, DATA[MIB:]).expect(202))
    docker_registry.api.finish_upload(location, sha256(DATA)).expect(201)
    assert server.api.blob("up/load", sha256(DATA)).body == DATA
