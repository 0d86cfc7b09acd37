# SPDX-License-Identifier: Apache-2.0
"""SIGTERM: running transfers end, nothing new begins; a second one stops at once."""

import http.client

import pytest

from lib import images, proc, slow
from lib.client import sha256
from lib.disk import Tree

DATA = images.random_bytes("draining", 64 << 20)


def begin_pull(server):
    """A pull that is under way."""
    digest = server.api.push_blob("drain", DATA)
    pull = slow.SlowPull(server.host, f"/v2/drain/blobs/{digest}")
    assert pull.peek()
    return pull


@pytest.fixture
def pull(server):
    return begin_pull(server)


def assert_complete(pull):
    status, body = pull.finish()
    assert (status, sha256(body)) == (200, sha256(DATA))


def wait_refused(server):
    proc.wait_until("new connections are refused", lambda: not server.accepts(), server.daemon)


def test_running_pull_ends_well(server, pull):
    server.daemon.signal(proc.SIGTERM)
    wait_refused(server)
    assert server.running
    assert_complete(pull)
    server.wait_ended()


def test_running_push_ends_well(server):
    location = server.api.begin_upload("drain")
    digest = sha256(DATA)
    joiner = "&" if "?" in location else "?"
    push = slow.SlowPush(server.host, "PUT", f"{location}{joiner}digest={digest}", len(DATA))
    push.send(DATA[:1 << 20])
    written = lambda: any((u / "data").exists() and (u / "data").stat().st_size for u in Tree(server.root).uploads())
    proc.wait_until("the push is under way", written, server.daemon)
    server.daemon.signal(proc.SIGTERM)
    wait_refused(server)
    status, _ = push.finish(DATA[1 << 20:])
    assert status == 201
    server.wait_ended()
    assert Tree(server.root).blob_path(digest).read_bytes() == DATA
    server.start()
    assert server.api.has_blob("drain", digest)


def test_idle_connections_do_not_hold_it_up(server):
    connections = [slow.connect(server.host) for _ in range(20)]
    used = http.client.HTTPConnection(server.host)
    used.request("GET", "/v2/")
    assert used.getresponse().read() is not None
    server.stop()
    for connection in connections:
        assert connection.recv(1) == b""
        connection.close()
    used.close()


@pytest.mark.ours  # docker-registry drains on
def test_second_sigterm_stops_at_once(start_server):
    server = start_server(config={"http": {"draintimeout": "24h"}})
    pull = begin_pull(server)
    server.daemon.signal(proc.SIGTERM)
    wait_refused(server)
    assert server.running
    server.daemon.signal(proc.SIGTERM)
    server.wait_ended(status=1)
    pull.connection.close()


@pytest.mark.ours
def test_no_other_signal_is_taken_for_the_end_of_the_drain(start_server):
    server = start_server(config={"http": {"draintimeout": "24h"}})
    pulls = [begin_pull(server), begin_pull(server)]
    server.daemon.signal(proc.SIGTERM)
    wait_refused(server)
    for number in (proc.signal.SIGUSR1, proc.signal.SIGHUP, proc.signal.SIGUSR1):
        server.daemon.signal(number)
    assert_complete(pulls[0])
    assert server.running
    server.daemon.signal(proc.SIGTERM)
    server.wait_ended(status=1)
    pulls[1].connection.close()


def test_drain_ends_with_its_timeout(start_server):
    server = start_server(config={"http": {"draintimeout": "500ms"}})
    pull = begin_pull(server)
    server.daemon.signal(proc.SIGTERM)
    server.wait_ended()
    pull.connection.close()


@pytest.mark.ours  # docker-registry dies of it
def test_sigint_drains_too(server, pull):
    server.daemon.signal(proc.signal.SIGINT)
    wait_refused(server)
    assert_complete(pull)
    server.wait_ended()
