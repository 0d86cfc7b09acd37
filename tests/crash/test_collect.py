# SPDX-License-Identifier: Apache-2.0
"""Collections that are cut off: by a loss of power at any moment, or by a kill at any call of the storage. What was
acknowledged is whole, whatever was to be taken can be pushed again at once, and the next collection ends the work."""

import os
import pathlib
import random
import shutil
import signal
import time

import pytest

import layout
from lib import images, proc, server as servers
from lib.disk import Tree
from recording import Recording, matters, write_tree

KEPT = images.image("kept", layers=2, size=2000, raw=True)
GONE = images.image("gone", layers=2, size=2000, shared=("kept/0",), raw=True)
LATER = images.image("later", layers=1, size=2000, shared=("kept/1", "gone/1"), raw=True)
INDEX = images.index("index", layers=1, size=1000, raw=True, shared=("gone/0",), architectures=("amd64", "arm64"))
COLLECTING = {"roadstead": {"collection": {"enabled": True, "interval": "1s", "grace": "2s"}}}


# --- a loss of power ---

def wait_for_collection(recording, digest):
    """Until nothing is left of a blob."""
    place = Tree(recording.server.root).blob_path(digest)
    proc.wait_until(f"{digest} is collected", lambda: not place.exists(), recording.server.daemon)


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    """Pushes and deletes while the server collects, some of them again when their blobs have been collected."""
    recording = Recording(tmp_path_factory.mktemp("collected"), config=COLLECTING)
    own = [digest for digest in GONE.blobs if digest not in KEPT.blobs]
    with recording.running() as api:
        recording.push(KEPT, "app", "kept")
        recording.push(GONE, "app", "gone")
        recording.delete("app", "manifests", GONE.digest)
        api.push_blob("app", b"a blob of nobody's")
        wait_for_collection(recording, own[0])
        recording.push(INDEX, "other", "index")
        recording.push_again(GONE, "app", "gone")
        recording.push(LATER, "app", "later")
        recording.delete("app", "manifests", GONE.digest)
        recording.push(images.image("beside", layers=1, size=1000, raw=True), "third", "beside")
        wait_for_collection(recording, GONE.digest)
        wait_for_collection(recording, own[-1])
    return recording


def faults_of(recording, tree, acknowledged):
    """Blobs by themselves are promised for a while only."""
    ours = {path: data for path, data in tree.items() if not path.startswith("roadstead/v1/")}
    acknowledged.blobs.clear()
    return recording.faults_of(ours, acknowledged)


def test_a_crash_of_a_collection_loses_nothing(collected):
    count, seen = 0, None
    for time_, disk, acknowledged, just_now in collected.moments():
        if disk.last_change(matters) == seen and not just_now:
            continue
        seen = disk.last_change(matters)
        for name, tree in disk.crashes(time_, 2, lambda _: False):
            found = faults_of(collected, tree, acknowledged)
            assert not found, f"a crash at line {time_} of the recording, {name}: {found[:5]}"
            count += 1
    assert ("app", LATER.digest) in acknowledged.manifests and ("app", GONE.digest) not in acknowledged.manifests
    assert count > 500


def times_of_removals(recording):
    """When the collector took something: of the calls that remove, those of blobs and layer links."""
    return [c.ended for c in recording.calls if c.name == "unlinkat" and c.result == 0 and any(
        part in c.text(1) for part in (b"/data", b"/_layers/", b"tombstones"))]


def test_the_next_collection_ends_the_work(collected, work):
    times = times_of_removals(collected)
    assert len(times) > 8
    chosen = set(random.Random(3).sample(times, 8))
    for time_, disk, acknowledged, _ in collected.moments():
        if any(moment <= time_ for moment in chosen):
            chosen = {moment for moment in chosen if moment > time_}
            trees = list(disk.crashes(time_, 2, lambda _: False))
            name, tree = trees[time_ % len(trees)]
            collect_what_is_left(work / str(time_), tree, acknowledged)


def collect_what_is_left(work, tree, acknowledged):
    write_tree(tree, work / "data")
    server = servers.roadstead(work)
    server.write_config()
    for _ in range(2):  # the first one may go on with the plan that it finds
        told = proc.run(servers.ROADSTEAD, "garbage-collect", server.config_file, env=server.env)
    assert_nothing_is_left(server.root, told)
    server.start()
    try:
        push_quickly(server.api, GONE, "app", "again")
        for repository, digest in acknowledged.manifests:
            assert server.api.verify(repository, digest) == digest
    finally:
        server.stop()


def assert_nothing_is_left(root, told=""):
    """But what some manifest needs."""
    tree = Tree(root)
    needed = {digest for _, _, digest in tree.links("_manifests/revisions/*/*")}
    for digest in list(needed):
        blobs, manifests = layout.parts_of(tree.blob_path(digest).read_bytes())
        needed.update(blobs, manifests)
    left = tree.blob_digests() - needed
    assert not left, (left, told[-1500:])
    assert {digest for _, _, digest in tree.links("_layers/*/*")} <= needed
    assert not (root / "roadstead/v1/tombstones").exists()


def push_quickly(api, image, repository, tag):
    """A tombstone that nobody lifts would hold it up for half a minute."""
    began = time.monotonic()
    api.push(image, repository, tag)
    assert time.monotonic() - began < 10
    assert api.verify(repository, tag) == image.digest


# --- a kill ---

OLD = 3 * 24 * 3600
# Marking only reads; what is put and removed are its plan, tombstones, and what it takes.
PLANS = [f"any:nth={n}:kill" for n in range(1, 600, 60)] + [f"put:nth={n}:kill" for n in range(1, 12)] + [
    f"remove:nth={n}:kill" for n in range(1, 28)] + [f"stat:nth={n}:kill" for n in range(2, 40, 4)]


def make_old(root):
    for path in pathlib.Path(root, "docker").rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - OLD, time.time() - OLD))


def lay(server):
    """KEPT and INDEX are needed; of GONE and a blob nothing is."""
    server.start()
    server.api.push(KEPT, "app", "kept")
    server.api.push(INDEX, "other", "index")
    server.api.push(GONE, "app", "gone")
    server.api.push_blob("app", b"a blob of nobody's")
    server.api.request("DELETE", f"/v2/app/manifests/{GONE.digest}").expect(202)


def collect(server, plan=None):
    """Of what is old. Returns whether it was killed."""
    env = dict(server.env, ROADSTEAD_TEST_FAULTS=plan) if plan else server.env
    done = proc.run(servers.ROADSTEAD, "garbage-collect", "--grace", "1h", server.config_file, env=env, check=False)
    assert done.returncode in (0, -signal.SIGKILL), f"{plan}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.returncode == -signal.SIGKILL


def assert_kept(root, plan):
    acknowledged = layout.Acknowledged()
    acknowledged.manifests = {("app", KEPT.digest), ("other", INDEX.digest)}
    tree = {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file()}
    ours = {path: data for path, data in tree.items() if not path.startswith("roadstead/")}
    found = [f for f in layout.faults(ours, acknowledged, {}) if "/_uploads/" not in f]
    assert not found, f"{plan}: {found[:5]}"


def test_a_kill_at_any_call_of_a_collection(work):
    """Without a server. Then the next collection ends the work, or a server pushes what was to be taken."""
    server = servers.roadstead(work)
    lay(server)
    server.stop()
    make_old(server.root)
    shutil.copytree(server.root, work / "before", symlinks=True)
    killed = 0
    for n, plan in enumerate(PLANS):
        shutil.rmtree(server.root)
        proc.run("cp", "-a", work / "before", server.root)
        killed += collect(server, plan)
        assert_kept(server.root, plan)
        if n % 2 == 0:
            collect(server)
            assert_nothing_is_left(server.root)
            assert_kept(server.root, plan)
        elif n % 6 == 3:
            server.start()
            push_quickly(server.api, GONE, "app", "gone")
            server.stop()
    assert killed > 0.7 * len(PLANS)


def test_pushes_go_on_beside_collectors_that_are_killed(work):
    """The tombstones of the dead are lifted by whoever meets them."""
    server = servers.roadstead(work)
    lay(server)
    met = killed = 0
    try:
        for plan in PLANS[::2]:
            make_old(server.root)
            killed += collect(server, plan)
            met += (server.root / "roadstead/v1/tombstones").exists()
            push_quickly(server.api, GONE, "app", "gone")
            server.api.request("DELETE", f"/v2/app/manifests/{GONE.digest}").expect(202)
            assert server.api.verify("app", "kept") == KEPT.digest
            assert server.api.verify("other", "index") == INDEX.digest
    finally:
        server.stop()
    assert killed > 15 and met > 5
