# SPDX-License-Identifier: Apache-2.0
"""kill -9 before each system call of a push that changes something: what was acknowledged is whole, nothing half-written
is visible, and the same push goes through afterwards. (tests/crash shows what a loss of power would do.)"""

import http.client
import mmap
import pathlib
import struct

import pytest

from lib import images, proc
from lib.client import sha256
from lib.disk import Tree
from lib.server import collect_garbage

pytestmark = pytest.mark.ours  # docker-registry writes links in place
KILLAT = pathlib.Path(__file__).parent / "lib/killat.c"
FEWEST, MOST = 15, 1000  # calls that a push may make
CHUNK = 50_000
DISARMED = 0


class Killer:
    """Counts the server's calls down, see lib/killat.c."""

    def __init__(self, work):
        self.library, path = work / "killat.so", work / "killat"
        proc.run("gcc", "-shared", "-fPIC", "-O1", "-o", self.library, KILLAT)
        path.write_bytes(bytes(8))
        with open(path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 8)
        self.env = {"LD_PRELOAD": self.library, "KILLAT_FILE": path}

    def arm(self, count):
        self.map[:] = struct.pack("q", count)

    @property
    def left(self):
        return struct.unpack("q", self.map[:])[0]


@pytest.fixture
def killer(work):
    return Killer(work)


@pytest.fixture
def server(start_server, killer):
    return start_server(env=killer.env)


def until_death(work, *args):
    """Whether the work was acknowledged before the server died."""
    try:
        work(*args)
        return True
    except (OSError, http.client.HTTPException):
        return False


def calls_of(killer, work, *args):
    killer.arm(10**9)
    work(*args)
    calls = 10**9 - killer.left
    killer.arm(DISARMED)
    assert FEWEST < calls < MOST, calls
    return calls


def restart_after_death(server, killer, acknowledged):
    assert acknowledged or server.daemon.wait() == -proc.SIGKILL
    killer.arm(DISARMED)
    server.kill()
    Tree(server.root).assert_whole()
    server.start()


def test_kill_before_each_call_of_a_push(server, killer, work, start_docker_registry):
    calls = calls_of(killer, server.api.push, images.image("counted", layers=1, raw=True), "app", "latest")
    stands = server.api.verify("app", "latest")
    for count in range(1, calls + 1):
        made = images.image(f"step {count}", layers=1, raw=True)
        killer.arm(count)
        acknowledged = until_death(server.api.push, made, "app", "latest")
        restart_after_death(server, killer, acknowledged)
        found = server.api.verify("app", "latest")
        assert found == made.digest if acknowledged else found in (stands, made.digest), f"call {count} of {calls}"
        server.api.push(made, "app", f"v{count}")
        server.api.push(made, "app", "latest")
        assert server.api.verify("app", "latest") == made.digest
        stands = made.digest
    server.stop()
    collect_garbage(work, server.root)  # what the dead left confuses neither docker-registry's collector nor itself
    theirs = start_docker_registry(root=server.root)
    for count in range(1, calls + 1):
        theirs.api.verify("app", f"v{count}")


def test_kill_before_each_call_of_an_upload_in_chunks(server, killer):
    def upload(location, data, offset=0):
        for start in range(offset, len(data), CHUNK):
            location = server.api.location(server.api.patch(location, data[start:start + CHUNK], start).expect(202))
        server.api.finish_upload(location, sha256(data)).expect(201)

    calls = calls_of(killer, upload, server.api.begin_upload("app"), images.random_bytes("counted", 3 * CHUNK))
    for count in range(1, calls + 1):
        data = images.random_bytes(f"chunks {count}", 3 * CHUNK)
        location = server.api.begin_upload("app")
        killer.arm(count)
        acknowledged = until_death(upload, location, data)
        restart_after_death(server, killer, acknowledged)
        if server.api.get(location).status == 204:
            assert not acknowledged
            offset, location = server.api.upload_offset(location)
            upload(location, data, offset)
        elif server.api.blob("app", sha256(data)).status == 404:  # the data had moved, and nothing linked them yet
            assert not acknowledged
            upload(server.api.begin_upload("app"), data)
        assert server.api.blob("app", sha256(data)).expect(200).body == data, f"call {count} of {calls}"
