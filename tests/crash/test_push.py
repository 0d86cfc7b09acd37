# SPDX-License-Identifier: Apache-2.0
"""Pushes to the real server: at every moment, whatever a crash leaves of what was not synced, all that was acknowledged
is there and nothing visible is wrong."""

import random
import threading

import pytest

from lib import images, server as servers
from lib.client import sha256
from recording import Recording, matters, write_tree


def assert_survives(recording, samples=4):
    """Looks at every crash after every change of a name and every answer (a sync only takes away what a crash might
    do). Returns how many trees were looked at."""
    count = 0
    seen = None
    for time, disk, acknowledged, just_now in recording.moments():
        if disk.last_change(matters) == seen and not just_now:
            continue
        seen = disk.last_change(matters)
        for name, tree in disk.crashes(time, samples, matters):
            found = recording.faults_of(tree, acknowledged)
            assert not found, f"a crash at line {time} of the recording, {name}: {found[:5]}"
            count += 1
    return count


def acknowledged_at_end(recording):
    for _, _, acknowledged, _ in recording.moments():
        pass
    return acknowledged


def push_of_all_kinds(recording, api):
    first = images.image("first", layers=3, size=3000)
    second = images.image("second", layers=1, size=3000, shared=("first/0",))
    recording.push(first, "library/app", "latest")
    recording.push(second, "library/app", "latest")
    recording.push(images.image("third", layers=0, shared=("first/1",), size=3000), "library/app", "latest")
    recording.push(images.index("index", layers=1, size=2000), "many", "1.0")
    recording.push(images.artifact("artifact", first), "library/app", "signature")
    recording.push(second, "other/name/of/some/depth", "v2.tmp")
    recording.push_manifest(first, "swapped", "lease", ["lease"], {"If-None-Match": "*"})
    recording.push_manifest(second, "swapped", "lease", ["lease"], {"If-Match": first.digest})
    recording.push_manifest(second, "tagged", f"{second.digest}?tag=a&tag=b", ["a", "b"])
    api.push_blob_in_chunks("chunks", random.Random(1).randbytes(300_000), 100_000)
    api.push_blob("chunks", b"")
    shared = sha256(first.manifest)
    digest = next(iter(first.blobs))
    api.request("POST", f"/v2/mounted/blobs/uploads/?mount={digest}&from=library/app", body=b"").expect(201)
    data = b"monolithic"
    api.request("POST", f"/v2/mono/blobs/uploads/?digest={sha256(data)}", body=data).expect(201)
    location = api.begin_upload("chunks")  # never finished
    api.patch(location, b"half an upload", 0).expect(202)
    return shared


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """One recording for several tests."""
    recording = Recording(tmp_path_factory.mktemp("pushed"))
    with recording.running() as api:
        push_of_all_kinds(recording, api)
    return recording


def test_every_kind_of_push_survives(pushed):
    acknowledged = acknowledged_at_end(pushed)
    assert len(acknowledged.manifests) == 12
    assert len(acknowledged.tags) == 7
    assert {repo for repo, _ in acknowledged.blobs} >= {"library/app", "many", "chunks", "mounted", "mono"}
    assert assert_survives(pushed) > 1000


def test_a_forgotten_sync_would_be_noticed(pushed):
    """Each sync is taken out of the recording, one at a time, and the check must notice. (The few it need not notice:
    of an empty file, and of a directory that is synced again before the answer.)"""
    syncs = [c for c in pushed.calls if c.name in ("fsync", "fdatasync")]
    noticed = [s for s in syncs if is_noticed(pushed, s)]
    assert len(syncs) > 50
    assert len(noticed) >= 0.95 * len(syncs), [s.args for s in syncs if s not in noticed]


def is_noticed(recording, sync):
    calls = [c for c in recording.calls if c is not sync]
    for time, disk, acknowledged, just_now in recording.moments(calls):
        if time > sync.ended and just_now:
            for _, tree in disk.crashes(time, 0, lambda _: False):
                if recording.faults_of(tree, acknowledged):
                    return True
    return False


def test_the_server_serves_what_a_crash_left(pushed, work):
    """The same with the server itself: on some of the trees it is started, and asked."""
    moments = [time for time, _, _, _ in pushed.moments()]
    chosen = set(random.Random(2).sample(moments[len(moments) // 4 :], 6)) | {moments[-1]}
    for time, disk, acknowledged, _ in pushed.moments():
        if time in chosen:
            chosen.discard(time)
            trees = list(disk.crashes(time, 2, lambda _: False))
            name, tree = trees[time % len(trees)]
            serve_and_ask(work / str(time), tree, acknowledged, pushed.tag_history)
    assert not chosen


def serve_and_ask(work, tree, acknowledged, tag_history):
    write_tree(tree, work / "data")
    server = servers.roadstead(work).start()
    try:
        api = server.api
        for repository, digest in acknowledged.blobs:
            assert sha256(api.blob(repository, digest).expect(200).body) == digest
        for repository, digest in acknowledged.manifests:
            assert api.verify(repository, digest) == digest
        for (repository, tag), index in acknowledged.tags.items():
            assert api.verify(repository, tag) in tag_history[repository, tag][index:]
        for repository in api.catalog() or []:
            if api.get(f"/v2/{repository}/tags/list").status == 200:
                for tag in api.tags(repository) or []:
                    api.verify(repository, tag)
        again = images.image("first", layers=3, size=3000)  # and whatever was left half done, a new push succeeds
        api.push(again, "library/app", "latest")
        assert api.verify("library/app", "latest") == again.digest
    finally:
        server.stop()


def test_pushes_side_by_side_survive(work):
    """Several clients with layers in common, on a disk that is slow now and then: their syncs meet and are grouped."""
    recording = Recording(work, slow_fsyncs=True)
    failures = []

    def client(number):
        try:
            for round_ in range(4):
                made = images.image(f"{number}/{round_}", layers=1, size=1500, shared=("common", f"round {round_}"))
                recording.push(made, "shared", f"client{number}")
        except BaseException as failure:  # shown by the test's own thread
            failures.append(failure)
            raise

    with recording.running():
        threads = [threading.Thread(target=client, args=(n,)) for n in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures
    assert len(acknowledged_at_end(recording).tags) == 5
    assert_survives(recording, samples=2)


def test_what_another_request_has_not_synced_yet_is_not_relied_upon(work):
    """A blob is seen by a second client while its pusher still waits for the disk. The second one's manifest is
    acknowledged first: it must have made the blob durable itself."""
    made = images.image("borrowed", layers=1, size=2000)
    recording = Recording(work, env={"ROADSTEAD_TEST_FAULTS": "sync:nth=1:times=2:delay=3000"})
    answered = set()
    with recording.running() as api:
        def push(digest, data):
            api.push_blob("app", data)
            answered.add(digest)

        threads = [threading.Thread(target=push, args=part) for part in made.blobs.items()]
        for thread in threads:
            thread.start()
        while not all(api.has_blob("app", digest) for digest in made.blobs):
            pass
        recording.tag_history["app", "v1"].append(made.digest)
        api.put_manifest("app", "v1", made.manifest, made.media_type).expect(201)
        assert not answered, "the blobs were answered first: the test has proved nothing"
        for thread in threads:
            thread.join()
    assert_survives(recording)
