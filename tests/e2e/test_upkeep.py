# SPDX-License-Identifier: Apache-2.0
"""The purge of abandoned uploads, and read-only mode that is switched by signals."""

import datetime
import os
import signal
import socket
import time

import pytest

from lib import images, proc
from lib.client import sha256

pytestmark = pytest.mark.ours

DATA = images.random_bytes("upkeep", 3 << 20)
HOUR = 3600


def purging(**changes):
    return {"storage": {"maintenance": {"uploadpurging": {
        "enabled": True, "age": "24h", "interval": "1s", "dryrun": False, **changes}}}}


def upload_directory(server, repo, location):
    uuid = location.split("?")[0].rsplit("/", 1)[1]
    return server.root / "docker/registry/v2/repositories" / repo / "_uploads" / uuid


def set_back(directory, began, written):
    """Sets the times of an upload to so many seconds ago."""
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=began)
    (directory / "startedat").write_text(at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    os.utime(directory / "data", (time.time() - written,) * 2)


def begin(server, repo, began, written):
    location = server.api.begin_upload(repo)
    location = server.api.location(server.api.patch(location, b"some bytes").expect(202))
    directory = upload_directory(server, repo, location)
    set_back(directory, began, written)
    return location, directory


def runs(server, text="uploads were purged"):
    return server.log_text().count(f'msg="{text}"')


def wait_for_runs(server, count=2):
    seen = runs(server)
    proc.wait_until("the purge has run", lambda: runs(server) >= seen + count, server.daemon)


def test_abandoned_uploads_go_and_others_stay(start_server):
    server = start_server(config=purging())
    old = begin(server, "only/uploads", 25 * HOUR, 25 * HOUR)
    young = begin(server, "only/uploads", 1 * HOUR, 1 * HOUR)
    growing = begin(server, "other", 500 * HOUR, 1 * HOUR)
    server.api.push(images.image("kept", layers=1), "other", "v1")
    wait_for_runs(server)
    assert not old[1].exists()
    assert server.api.get(old[0]).expect(404).error_codes() == ["BLOB_UPLOAD_UNKNOWN"]
    for location, directory in (young, growing):
        assert directory.exists()
        assert server.api.get(location).expect(204).headers["Range"] == "0-9"
    server.api.finish_upload(growing[0], sha256(b"some bytes")).expect(201)
    assert server.api.tags("other") == ["v1"]
    assert "removed=1" in server.log_text()


def test_an_upload_that_is_being_written_stays(start_server):
    server = start_server(config=purging())
    location = server.api.begin_upload("busy")
    directory = upload_directory(server, "busy", location)
    connection = server.api.connect()
    connection.putrequest("PATCH", location)
    connection.putheader("Content-Length", str(len(DATA)))
    connection.endheaders()
    connection.send(DATA[:1 << 20])
    proc.wait_until("a part has come", lambda: (directory / "data").stat().st_size >= 1 << 20, server.daemon)
    set_back(directory, 500 * HOUR, 500 * HOUR)
    wait_for_runs(server)
    connection.send(DATA[1 << 20:])
    reply = connection.getresponse()
    assert reply.status == 202
    reply.read()
    server.api.finish_upload(reply.headers["Location"].split(server.host, 1)[1], sha256(DATA)).expect(201)


def test_a_dry_run_only_tells(start_server):
    server = start_server(config=purging(dryrun=True))
    location, directory = begin(server, "old", 25 * HOUR, 25 * HOUR)
    wait_for_runs(server)
    assert directory.exists()
    assert directory.name in server.log_text() and "dryrun=true" in server.log_text()
    server.api.get(location).expect(204)


def test_it_can_be_switched_off(start_server):
    server = start_server(config={"storage": {"maintenance": {"uploadpurging": {"enabled": False}}}})
    _, directory = begin(server, "old", 25 * HOUR, 25 * HOUR)
    time.sleep(2.5)
    assert directory.exists() and not runs(server)


def test_uploads_of_docker_registry_are_purged_as_well(start_server, start_docker_registry):
    server = start_server(config=purging())
    peer = start_docker_registry(root=server.root)
    location = peer.api.begin_upload("theirs")
    location = peer.api.location(peer.api.patch(location, b"bytes").expect(202))
    directory = upload_directory(server, "theirs", location)
    set_back(directory, 25 * HOUR, 25 * HOUR)
    wait_for_runs(server)
    assert not directory.exists()


def test_the_end_does_not_wait_for_the_next_run(start_server):
    server = start_server(config=purging(interval="24h"))
    before = time.monotonic()
    server.stop()
    assert time.monotonic() - before < 5


# --- read-only mode ---


def refused(server):
    return server.api.request("POST", "/v2/r/blobs/uploads/", body=b"").status == 405


def switch(server, number):
    server.daemon.signal(number)
    proc.wait_until("the signal is heard", lambda: refused(server) == (number == signal.SIGUSR1), server.daemon)


def test_read_only_mode_is_switched_by_signals(start_server):
    server = start_server()
    made = images.image("switched", layers=1)
    server.api.push(made, "r", "v1")
    location = server.api.begin_upload("r")
    switch(server, signal.SIGUSR1)
    layer = next(iter(made.blobs))
    for method, path in (("PATCH", location), ("PUT", f"{location}&digest={layer}"), ("DELETE", location),
                         ("PUT", "/v2/r/manifests/v2"), ("DELETE", "/v2/r/manifests/v1"),
                         ("DELETE", f"/v2/r/blobs/{layer}")):
        reply = server.api.request(method, path, body=b"x").expect(405)
        assert reply.error_codes() == ["UNSUPPORTED"] and b"read-only" in reply.body
    assert server.api.verify("r", "v1") == made.digest
    server.daemon.signal(signal.SIGUSR1)  # once more changes nothing
    switch(server, signal.SIGUSR2)
    server.api.patch(location, b"goes on").expect(202)
    server.api.finish_upload(location, sha256(b"goes on")).expect(201)
    assert "SIGUSR1" in server.log_text() and "SIGUSR2" in server.log_text()


def half_of_a_patch(server):
    """A PATCH of ten bytes of which five have come."""
    location = server.api.begin_upload("r")
    connection = server.api.connect()
    connection.putrequest("PATCH", location)
    connection.putheader("Content-Length", "10")
    connection.endheaders()
    connection.send(b"hello")
    data = upload_directory(server, "r", location) / "data"
    proc.wait_until("a part has come", lambda: data.stat().st_size == 5, server.daemon)
    return location, connection


def test_a_request_that_is_running_ends_well(start_server):
    server = start_server()
    location, connection = half_of_a_patch(server)
    switch(server, signal.SIGUSR1)
    connection.send(b" you!")
    reply = connection.getresponse()
    assert reply.status == 202
    reply.read()
    server.api.finish_upload(location, sha256(b"hello you!")).expect(405)
    switch(server, signal.SIGUSR2)
    server.api.finish_upload(location, sha256(b"hello you!")).expect(201)


def test_a_configured_one_can_be_made_writable(start_server):
    server = start_server(config={"storage": {"maintenance": {"readonly": {"enabled": True}}}})
    assert refused(server)
    switch(server, signal.SIGUSR2)
    server.api.push_blob("r", b"now")


def test_read_only_mode_suspends_the_purge(start_server):
    server = start_server(config=purging())
    _, directory = begin(server, "r", 1 * HOUR, 1 * HOUR)
    switch(server, signal.SIGUSR1)
    set_back(directory, 25 * HOUR, 25 * HOUR)
    text = "the purge of uploads does not run: the registry is in read-only mode"
    seen = runs(server, text)
    proc.wait_until("the purge was due", lambda: runs(server, text) >= seen + 2, server.daemon)
    assert directory.exists()
    switch(server, signal.SIGUSR2)
    wait_for_runs(server)
    assert not directory.exists()


def test_signals_of_strangers_are_harmless(start_server):
    server = start_server()
    for _ in range(3):
        for number in (signal.SIGRTMIN, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            server.daemon.signal(number)
    assert server.answers()
    location, connection = half_of_a_patch(server)
    server.daemon.signal(signal.SIGTERM)
    for number in (signal.SIGUSR2, signal.SIGRTMIN, signal.SIGUSR1, signal.SIGHUP):  # none counts as the second one
        server.daemon.signal(number)
        time.sleep(0.1)
    connection.send(b" you!")
    assert connection.getresponse().status == 202
    server.wait_ended()


def test_systemd_is_told(make_server, work):
    address = work / "notify"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(str(address))
    listener.settimeout(20)
    server = make_server(env={"NOTIFY_SOCKET": str(address)}).start()
    assert listener.recv(100) == b"READY=1"
    assert listener.recv(100) == b"STATUS=Serving"
    switch(server, signal.SIGUSR1)
    assert listener.recv(100) == b"STATUS=Serving, read-only"
    switch(server, signal.SIGUSR2)
    assert listener.recv(100) == b"STATUS=Serving"
    server.stop()
    assert listener.recv(100) == b"STOPPING=1"
    listener.close()
