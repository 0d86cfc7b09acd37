# SPDX-License-Identifier: Apache-2.0
"""A push during which the n-th call of the storage fails, or kills the server, for every n: whatever was acknowledged is
whole, nothing half-written is visible, and the same push succeeds afterwards."""

import http.client
import pathlib
import signal

import pytest

import layout
from lib import images, server as servers
from lib.client import sha256

OLD = images.image("old", layers=1, size=2000)
NEW = images.image("new", layers=1, size=2000, shared=("old/0",))
CHUNKED = images.random_bytes("chunked", 90_000)


class Told:
    """What the client was told."""

    def __init__(self):
        self.acknowledged = layout.Acknowledged()
        self.history = {("app", "latest"): [OLD.digest, NEW.digest]}
        self.statuses = []

    def add(self, kind, digest):
        self.acknowledged.add(kind, "app", digest, self.history)


def work_of_a_client(api, told):
    """Goes on after a refusal, as long as there is a server; a client would give up."""
    def ask(call, *args):
        reply = call(*args)
        told.statuses.append(reply.status)
        return reply

    for image in (OLD, NEW):
        for digest, data in image.blobs.items():
            if ask(api.request, "HEAD", f"/v2/app/blobs/{digest}").status == 200:
                continue
            started = ask(api.request, "POST", "/v2/app/blobs/uploads/", b"")
            if started.status == 202 and ask(api.finish_upload, api.location(started), digest, data).status == 201:
                told.add("blobs", digest)
        if ask(api.put_manifest, "app", "latest", image.manifest, image.media_type).status == 201:
            told.add("manifests", image.digest)
        ask(api.manifest, "app", "latest")
    started = ask(api.request, "POST", "/v2/app/blobs/uploads/", b"")
    for offset in (0, 60_000):
        if started.status == 202:
            started = ask(api.patch, api.location(started), CHUNKED[offset : offset + 60_000], offset)
    if started.status == 202 and ask(api.finish_upload, api.location(started), sha256(CHUNKED)).status == 201:
        told.add("blobs", sha256(CHUNKED))


def tree_of(root):
    files = {p.relative_to(root).as_posix(): p.read_bytes() for p in pathlib.Path(root).rglob("*") if p.is_file()}
    return {path: data for path, data in files.items() if not path.endswith("/startedat")}


def run(work, plan):
    """One push under the plan. Returns what the client was told, and whether the server was killed; it has ended."""
    told = Told()
    server = servers.roadstead(work, env={"ROADSTEAD_TEST_FAULTS": plan})
    lost = False
    try:
        server.start()
        work_of_a_client(server.api, told)
    except (OSError, http.client.HTTPException):
        lost = True
    except AssertionError:  # killed at its start, when it makes itself known to the collectors
        lost = server.daemon.wait() == -signal.SIGKILL
        assert lost, plan
    status = server.daemon.wait() if lost else server.daemon.stop()
    killed = status == -signal.SIGKILL  # perhaps at its end, when it takes its leave of the collectors
    assert killed or (status == 0 and not lost), f"{plan}: {status}\n{server.log_text()}"
    found = layout.faults(tree_of(work / "data"), told.acknowledged, told.history)
    assert not found, f"{plan}: {found[:5]}"
    return told, killed


def push_again(work, plan):
    """A new server on what is left: everything succeeds."""
    server = servers.roadstead(work).start()
    try:
        told = Told()
        work_of_a_client(server.api, told)
        assert all(status < 300 or status == 404 for status in told.statuses), f"{plan}: {told.statuses}"
        assert server.api.verify("app", "latest") == NEW.digest, plan
        assert server.api.blob("app", sha256(CHUNKED)).body == CHUNKED
    finally:
        server.stop()


@pytest.fixture(scope="module")
def call_count(tmp_path_factory):
    """How many calls such a push makes: the last that can kill the server, found by halving."""
    low, high = 1, 1024
    while low + 1 < high:
        middle = (low + high) // 2
        _, killed = run(tmp_path_factory.mktemp("count"), f"any:nth={middle}:kill")
        low, high = (middle, high) if killed else (low, middle)
    assert 40 < low < 1000
    return low


@pytest.mark.parametrize("how, step", [("kill", 1), ("error=IO", 1), ("error=STORAGE_FULL", 4), ("error=NOT_FOUND", 4)])
def test_a_call_of_a_push_fails_once(work, call_count, how, step):
    """Every call, or every so many-th where the other ways look at the rest."""
    refused = 0
    for n in range(1, call_count + 1, step):
        plan = f"any:nth={n}:{how}"
        here = work / str(n)
        here.mkdir()
        told, killed = run(here, plan)
        # How many calls a push makes varies by one or two: what is looked at may be in memory or not.
        assert killed == (how == "kill") or n > call_count - 4, plan
        refused += any(status >= 400 and status != 404 for status in told.statuses)
        push_again(here, plan)
    assert refused > call_count / step / 4 or how in ("kill", "error=NOT_FOUND")
