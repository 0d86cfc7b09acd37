# SPDX-License-Identifier: Apache-2.0
"""Regular traffic of docker, podman and skopeo on a registry that collects: each client pushes, pulls, deletes and
pushes again, round after round, and whatever was acknowledged must come back byte for byte."""

import random
import shutil
import threading
import time

from . import engines, images, roots
from .collecting import GRACE, present

DEADLINE = 300  # seconds that the last round may take


class Client(threading.Thread):
    """One client in a thread of its own. A round: an image is pushed, pulled and deleted; some time later, when the
    collector has taken none, some or all of it, it is pushed and pulled again. Every second image stays."""

    name = ""

    def __init__(self, server, work):
        super().__init__(daemon=True)
        self.server, self.work = server, work / self.name
        self.work.mkdir()
        self.random = random.Random(self.name)
        self.repo = f"beside/{self.name}"
        self.kept = {}         # tag → digest
        self.rounds = 0        # whole ones
        self.met_missing = 0   # rounds whose second push found something collected
        self.failure = None
        self.ended = threading.Event()

    def run(self):
        try:
            self.begin()
            while not self.ended.is_set():
                self.round(self.rounds)
                self.rounds += 1
        except BaseException as failure:
            self.failure = failure
        finally:
            self.end()

    def begin(self):
        """What the client needs before its first round."""

    def end(self):
        """Its daemons end."""

    def round(self, number):
        tag = f"v{number}"
        digest = self.there_and_back(number, tag)
        self.delete(tag, digest)
        self.ended.wait(self.random.choice((0, GRACE / 2, GRACE, GRACE + 3)))
        missing = self.digests - present(self.server, self.digests)
        assert self.again(number, tag) == digest
        self.met_missing += bool(missing)
        if number % 2:
            self.delete(tag, digest)
        else:
            self.kept[tag] = digest

    def there_and_back(self, number, tag):
        """Makes, pushes, forgets and pulls image `number`; sets self.digests, all blobs and manifests of it."""
        raise NotImplementedError

    def again(self, number, tag):
        """Pushes and pulls the same image once more; its digest."""
        raise NotImplementedError

    def address(self, tag):
        return f"{self.server.host}/{self.repo}:{tag}"

    def verify(self, tag, digest):
        """What everybody else gets: all bytes hash to their digests."""
        assert self.server.api.verify(self.repo, tag) == digest

    def delete(self, tag, digest):
        self.server.api.request("DELETE", f"/v2/{self.repo}/manifests/{digest}").expect(202)
        self.server.api.manifest(self.repo, tag).expect(404)

    def blobs_of(self, digest):
        document = self.server.api.manifest(self.repo, digest).expect(200).json()
        return {digest, document["config"]["digest"], *(layer["digest"] for layer in document["layers"])}


class Engine(Client):
    """docker and podman: an image is built, and runs after it was pulled. All have the layer of busybox in common."""

    def there_and_back(self, number, tag):
        context = roots.busybox_context(self.work / "context", f"{self.name} {number}")
        self.build(context, self.address(tag))
        shutil.rmtree(context)
        return self.again(number, tag)

    def again(self, number, tag):
        name = self.address(tag)
        image_id, digest = self.engine.image_id(name), self.push(name)
        self.verify(tag, digest)
        self.digests = self.blobs_of(digest)
        self.engine.remove_all_images()
        self.engine.pull(name)
        assert self.engine.image_id(name) == image_id
        assert self.engine.start_container(name, "cat", "/marker") == f"{self.name} {number}\n"
        return digest


class DockerClient(Engine):
    name = "docker"

    def begin(self):
        self.engine = engines.Docker(self.work).start()
        self.build, self.push = self.engine.build, self.engine.push

    def end(self):
        if engine := getattr(self, "engine", None):
            engine.remove_all_images()
            engine.stop()


class PodmanClient(Engine):
    name = "podman"

    def begin(self):
        self.engine = engines.Podman(self.work)

    def build(self, context, name):
        self.engine.buildah("bud", "--tag", name, context)

    def push(self, name):
        return self.engine.push(name, name)


class SkopeoClient(Client):
    """Images of three architectures in both formats, which have layers in common; every file is compared."""

    name = "skopeo"

    def begin(self):
        self.engine = engines.Skopeo(self.work)

    def there_and_back(self, number, tag):
        made = images.index(f"beside {number}", docker=bool(number % 3), shared=("beside 1", "beside 2"), layers=2)
        shutil.rmtree(self.work / "in", ignore_errors=True)
        self.source, self.made = images.write_dir(made, self.work / "in"), made
        self.digests = set(images.all_blobs(made))
        return self.again(number, tag)

    def again(self, number, tag):
        back = self.work / "out"
        self.engine.copy(self.source, f"docker://{self.address(tag)}", "--all", "--preserve-digests")
        self.verify(tag, self.made.digest)
        self.engine.copy(f"docker://{self.address(tag)}", f"dir:{back}", "--all", "--preserve-digests")
        sent, got = ({p.name: p.read_bytes() for p in path.iterdir()} for path in (self.work / "in", back))
        assert sent == got
        shutil.rmtree(back)
        return self.made.digest

    def delete(self, tag, digest):
        self.engine.delete(self.address(tag))
        for child in self.made.children:  # of the index alone: no other round has these
            self.server.api.request("DELETE", f"/v2/{self.repo}/manifests/{child.digest}").expect(202)
        self.server.api.manifest(self.repo, tag).expect(404)


class Traffic:
    """All clients at once on one server."""

    def __init__(self, server, work):
        work.mkdir()
        self.server, self.began = server, time.monotonic()
        self.clients = [kind(server, work) for kind in (DockerClient, PodmanClient, SkopeoClient)]

    def start(self):
        for client in self.clients:
            client.start()
        return self

    def failures(self):
        return [client.failure for client in self.clients if client.failure]

    def wait_for(self, what, condition):
        """Until every client has come so far, or one has failed."""
        end = time.monotonic() + DEADLINE
        while not self.failures() and not all(condition(client) for client in self.clients):
            assert time.monotonic() < end, f"{what}: {self}"
            time.sleep(0.1)
        self.assert_well()

    def assert_well(self):
        for failure in self.failures():
            raise failure

    def stop(self):
        """Each client ends the round that it is in."""
        for client in self.clients:
            client.ended.set()
        for client in self.clients:
            client.join(DEADLINE)
            assert not client.is_alive(), f"{client.name} hangs: {self}"

    def verify_all(self):
        """Everything that was acknowledged and not deleted is there; how many images."""
        for client in self.clients:
            for tag, digest in client.kept.items():
                client.verify(tag, digest)
        return sum(len(client.kept) for client in self.clients)

    def __str__(self):
        told = ", ".join(f"{c.name}: {c.rounds} rounds, {c.met_missing} after a collection, {len(c.kept)} kept" for c in self.clients)
        return f"{time.monotonic() - self.began:.0f} s of traffic; {told}"
