# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments under a push load: what was acknowledged is whole, nothing half-written is visible.
ROADSTEAD_CRASH_ROUNDS says how often, ROADSTEAD_CRASH_SEED repeats a run."""

import os
import random
import time

import pytest

from lib import images, proc
from lib.disk import Tree
from lib.load import ChunkPusher, Pusher

ROUNDS = int(os.environ.get("ROADSTEAD_CRASH_ROUNDS", "25"))
SEED = os.environ.get("ROADSTEAD_CRASH_SEED") or str(random.SystemRandom().randrange(10**9))
LAYOUT_ROUND = 20  # of so many rounds, one directory: a long run does not grow without end


class Round:
    def __init__(self, server, skopeo, work, number):
        self.server, self.number = server, number
        self.random = random.Random(f"{SEED}/{number}")
        name = f"round{number}"
        self.pushers = [Pusher(server, f"{name}/client{n}", f"{SEED}/{number}/{n}") for n in range(3)]
        self.chunks = ChunkPusher(server, f"{name}/chunks", f"{SEED}/{number}/chunks")
        self.copied = images.index(f"{SEED}/{number}/skopeo", layers=2, size=100_000)
        source = images.write_dir(self.copied, work / name)
        self.copy = skopeo.spawn_copy(source, f"docker://{server.host}/{name}/skopeo:1", work / f"{name}.log", "--all",
                                      "--preserve-digests")

    def run_and_crash(self):
        threads = [*self.pushers, self.chunks]
        for thread in threads:
            thread.start()
        self.wait_for_the_moment()
        self.server.kill()
        for thread in threads:
            thread.ended.set()
            thread.join()
            assert thread.failure is None, thread.failure
        self.copy_succeeded = self.copy.wait() == 0

    def wait_for_the_moment(self):
        """Mostly somewhere in the work, on a slow machine as well; now and then right at its beginning."""
        if self.random.random() < 0.8:
            enough = self.random.randrange(1, 20)
            done = lambda: sum(len(pusher.acknowledged) for pusher in self.pushers) >= enough
            proc.wait_until("some pushes are acknowledged", done, self.server.daemon)
        time.sleep(self.random.uniform(0, 0.05))

    def acknowledged(self):
        found = {}
        for pusher in self.pushers:
            found.update({place: digest for place, digest in pusher.acknowledged.items() if place[1] != "moving"})
        if self.copy_succeeded:
            found[f"round{self.number}/skopeo", "1"] = self.copied.digest
        return found

    def check(self):
        """After the restart."""
        api = self.server.api
        for (repo, reference), digest in self.acknowledged().items():
            assert api.verify(repo, reference) == digest, (repo, reference)
        for pusher in self.pushers:
            if (pusher.repo, "moving") in pusher.acknowledged:
                assert api.verify(pusher.repo, "moving") in pusher.moving
        for digest, data in self.chunks.acknowledged.items():
            assert api.blob(self.chunks.repo, digest).expect(200).body == data
        self.go_on_with_upload()

    def go_on_with_upload(self):
        chunks = self.chunks
        if chunks.location is None:
            return
        offset, location = self.server.api.upload_offset(chunks.location)
        assert offset >= chunks.offset, "bytes that were acknowledged are gone"
        digest = images.sha256(chunks.data)
        self.server.api.finish_upload(location, digest, chunks.data[offset:]).expect(201)
        assert self.server.api.blob(chunks.repo, digest).body == chunks.data


@pytest.mark.ours  # docker-registry syncs nothing and writes links in place
def test_acknowledged_images_are_whole_after_every_crash(start_server, skopeo, work):
    print(f"ROADSTEAD_CRASH_SEED={SEED} ROADSTEAD_CRASH_ROUNDS={ROUNDS}")
    count = 0
    for first in range(0, ROUNDS, LAYOUT_ROUND):
        server = start_server(root=work / f"data{first}", name=f"server{first}")
        everything = {}
        for number in range(first, min(first + LAYOUT_ROUND, ROUNDS)):
            crash = Round(server, skopeo, work, number)
            crash.run_and_crash()
            Tree(server.root).assert_whole()
            server.start()
            crash.check()
            everything.update(crash.acknowledged())
        for (repo, reference), digest in everything.items():
            assert server.api.manifest(repo, reference).headers["Docker-Content-Digest"] == digest
        count += len(everything)
        server.stop()
    assert count > ROUNDS, "the load did not get through: nothing was proven"


@pytest.mark.ours
def test_every_push_goes_on_after_a_crash(server):
    """A crash leaves nothing that keeps a client from pushing the same again."""
    for number in range(5):
        pusher = Pusher(server, "again", f"{SEED}/again/{number}")
        pusher.start()
        time.sleep(random.Random(f"{SEED}/{number}").uniform(0.05, 0.3))
        server.kill()
        pusher.ended.set()
        pusher.join()
        assert pusher.failure is None, pusher.failure
        server.start()
        for n in range(3):
            pusher.push_one(n)
        assert server.api.verify("again", "moving") in pusher.moving
    Tree(server.root).assert_whole()
