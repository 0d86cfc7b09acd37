# SPDX-License-Identifier: Apache-2.0
"""Thousands of silent and slow peers do not keep an honest client from its work."""

import contextlib
import resource

import pytest

from lib import images, slow
from lib.client import sha256

SILENT, HALF_HEADS, SLOW_READERS, SLOW_WRITERS = 1500, 1000, 400, 200
BIG = images.random_bytes("big", 8 << 20)
ELSEWHERE = "127.0.0.2"  # the slow writers' address: what one address may hold has its own limit


@pytest.fixture(autouse=True)
def many_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def crowd(server):
    """All of them at once; they are let go at the end."""
    digest = server.api.push_blob("slow", BIG)
    with contextlib.ExitStack() as stack:
        def keep(connection):
            return stack.enter_context(contextlib.closing(connection))

        for _ in range(SILENT):
            keep(slow.connect(server.host))
        for _ in range(HALF_HEADS):
            keep(slow.connect(server.host)).sendall(b"GET /v2/ HTTP/1.1\r\nHost: x")
        for _ in range(SLOW_READERS):
            pull = slow.SlowPull(server.host, f"/v2/slow/blobs/{digest}")
            keep(pull.connection)
        for _ in range(SLOW_WRITERS):
            location = server.api.begin_upload("slow")
            push = slow.SlowPush(server.host, "PATCH", location, len(BIG), source=ELSEWHERE)
            keep(push.connection).sendall(b"slow")
        yield


def test_honest_client_pushes_and_pulls_amid_the_crowd(server, crowd, skopeo, work):
    made = images.index("honest", size=500_000)
    source = images.write_dir(made, work / "in")
    skopeo.copy(source, f"docker://{server.host}/honest:1", "--all", "--preserve-digests")
    skopeo.copy(f"docker://{server.host}/honest:1", f"dir:{work}/out", "--all", "--preserve-digests")
    assert server.api.verify("honest", "1") == made.digest
    assert server.api.blob("slow", sha256(BIG)).body == BIG


def test_slow_readers_get_every_byte(server):
    digest = server.api.push_blob("slow", BIG)
    pulls = [slow.SlowPull(server.host, f"/v2/slow/blobs/{digest}") for _ in range(50)]
    for pull in pulls:
        assert pull.peek()
    for pull in pulls:
        status, body = pull.finish()
        assert (status, sha256(body)) == (200, digest)


@pytest.mark.ours
def test_connections_beyond_the_maximum_wait_or_are_refused_and_service_goes_on(start_server):
    server = start_server(config={"roadstead": {"http": {"max_connections": 100}}})
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            with contextlib.suppress(OSError):
                stack.enter_context(contextlib.closing(slow.connect(server.host)))
    server.wait_ready()


@pytest.mark.ours
def test_head_beyond_its_time_is_ended(start_server):
    server = start_server(config={"roadstead": {"http": {"head_time": "300ms"}}})
    with contextlib.closing(slow.connect(server.host)) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x")
        answer = connection.makefile("rb").read()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")


@pytest.mark.ours
def test_body_below_the_minimum_rate_is_ended(start_server):
    server = start_server(config={"roadstead": {"http": {"min_rate": 1000, "rate_time": "500ms"}}})
    push = slow.SlowPush(server.host, "PATCH", server.api.begin_upload("slow"), len(BIG))
    push.send(b"slow")
    answer = push.connection.makefile("rb").read()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
