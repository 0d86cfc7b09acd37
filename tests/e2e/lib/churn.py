# SPDX-License-Identifier: Apache-2.0
"""Clients that push, delete, mount and push again the same few blobs while collectors take what is not needed, and a
model of what was acknowledged. Each client has repositories and tags of its own, so it knows what must be there; layers
are shared by all, and come in groups that are left alone for a while, so that they are collected and pushed again."""

import collections
import contextlib
import dataclasses
import random
import signal
import subprocess
import threading
import time

from . import images, proc
from .client import OCI_INDEX, OCI_MANIFEST, digest_of

GROUPS, GROUP_LAYERS, GROUP_SECONDS = 5, 6, 2
KEPT_TAGS = 5
QUICK = 1.0  # seconds; shorter than half of every grace period
ATTEMPTS = 6


@dataclasses.dataclass
class Content:
    """A manifest under one of both algorithms, and what it needs."""
    digest: str
    manifest: bytes
    media_type: str = OCI_MANIFEST
    blobs: dict = dataclasses.field(default_factory=dict)
    children: list = dataclasses.field(default_factory=list)
    subject: str = None

    def descriptor(self):
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.manifest)}

    def closure(self):
        """Digests of all that it needs."""
        found = {self.digest, *self.blobs}
        for child in self.children:
            found |= child.closure()
        return found


def under(algorithm, data):
    return digest_of(data, f"{algorithm}:")


def image_of(layers, config, algorithm="sha256", subject=None):
    """layers: bytes. The algorithm is that of the manifest and of its last layer."""
    blobs = {under("sha256", data): data for data in (config, *layers[:-1])}
    last = under(algorithm, layers[-1])
    blobs[last] = layers[-1]
    described = [{"mediaType": "application/octet-stream", "digest": d, "size": len(b)} for d, b in blobs.items()]
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described[0], "layers": described[1:]}
    if subject:
        document["subject"] = subject.descriptor()
    manifest = images.encoded(document)
    return Content(under(algorithm, manifest), manifest, blobs=blobs, subject=subject and subject.digest)


def index_of(children):
    manifest = images.encoded({"schemaVersion": 2, "mediaType": OCI_INDEX,
                               "manifests": [child.descriptor() for child in children]})
    return Content(under("sha256", manifest), manifest, OCI_INDEX, children=children)


class Counts(collections.Counter):
    """Of all threads; a lost count is no matter."""


class Client(threading.Thread):
    """Goes on until it is told to end; `failure` says what went wrong."""

    def __init__(self, apis, number, seed, counts, untagged_goes):
        super().__init__(daemon=True)
        self.apis, self.counts, self.untagged_goes = apis, counts, untagged_goes
        self.random = random.Random(f"{seed}/{number}")
        self.repos = [f"churn/client{number}/{name}" for name in ("a", "b")] + ["churn/shared"]
        self.number = number
        self.tags = {}      # (repository, tag) → Content
        self.digests = {}   # (repository, digest) → Content: by digest, until it is deleted
        self.pushes = 0
        self.ended = threading.Event()
        self.failure = None

    @property
    def api(self):
        return self.random.choice(self.apis)

    @property
    def own(self):
        return self.repos[:2]

    def run(self):
        try:
            while not self.ended.is_set():
                self.step()
        except BaseException as failure:  # shown by the test's own thread
            self.failure = failure

    def step(self):
        action = self.random.choices(
            (self.push_image, self.push_index, self.push_with_referrer, self.delete_something, self.check_something,
             self.push_and_ask, self.delete_blob),
            (10, 3, 2, 6, 4, 3, 2))[0]
        action()

    # What is pushed

    def layer(self):
        """Of the group whose turn it is, now and then of another."""
        group = int(time.monotonic() / GROUP_SECONDS) % GROUPS
        if self.random.random() < 0.1:
            group = self.random.randrange(GROUPS)
        number = self.random.randrange(GROUP_LAYERS)
        return images.random_bytes(f"layer {group}/{number}", 200 + 3000 * number)

    def image(self, subject=None):
        layers = list(dict.fromkeys(self.layer() for _ in range(self.random.choice((1, 2, 3)))))
        config = f"config {self.random.randrange(12)} of {self.random.choice((self.number, 'all'))}".encode()
        return image_of(layers, config, self.random.choices(("sha256", "sha512"), (5, 1))[0], subject)

    # Blobs

    def upload(self, repo, digest, data):
        api = self.api
        way = self.random.choice(("put", "post", "chunks"))
        self.counts[f"uploads: {way}"] += 1
        if way == "post":
            api.request("POST", f"/v2/{repo}/blobs/uploads/?digest={digest}", body=data).expect(201)
            return
        location = api.begin_upload(repo)
        if way == "chunks":
            half = len(data) // 2 + 1
            location = api.location(api.patch(location, data[:half], 0).expect(202))
            data = data[half:]
        self.api.finish_upload(location, digest, data).expect(201)

    def mount(self, repo, digest):
        source = self.random.choice((*self.repos, f"churn/client{self.random.randrange(8)}/a", None))
        query = f"mount={digest}" + (f"&from={source}" if source else "")
        api = self.api
        reply = api.request("POST", f"/v2/{repo}/blobs/uploads/?{query}", body=b"").expect(201, 202)
        self.counts[f"mounts: {'linked' if reply.status == 201 else 'not there'}"] += 1
        if reply.status == 202:
            api.request("DELETE", api.location(reply)).expect(204)
        return reply.status == 201

    def push_blob(self, repo, digest, data):
        """As docker does it: asks first; as others do: mounts, or uploads without asking."""
        way = self.random.choice(("ask", "ask", "mount", "upload"))
        if way == "ask" and self.api.has_blob(repo, digest):
            self.counts["blobs that were there"] += 1
            return
        if way == "mount" and self.mount(repo, digest):
            return
        self.upload(repo, digest, data)

    # Manifests

    def put(self, repo, reference, content):
        self.pushes += 1
        return self.api.put_manifest(repo, reference, content.manifest, content.media_type)

    def push(self, repo, reference, content):
        """Again if the registry says that something is missing; that must be rare."""
        for _ in range(ATTEMPTS):
            for digest, data in content.blobs.items():
                self.push_blob(repo, digest, data)
            for child in content.children:
                self.push(repo, child.digest, child)
            reply = self.put(repo, reference, content)
            if reply.status == 201:
                self.counts["manifests pushed"] += 1
                return
            assert reply.status in (400, 404), (reply.status, reply.body[:500])
            assert "BLOB_UNKNOWN" in reply.body.decode(), reply.body[:500]
            self.counts["pushes refused for a missing blob"] += 1
        raise AssertionError(f"{repo}:{reference} was refused {ATTEMPTS} times")

    def push_tagged(self, repo, content, tag=None):
        tag = tag or f"c{self.number}-{self.random.randrange(8)}"
        self.tags.pop((repo, tag), None)  # while it is pushed it may be the old or the new
        by_digest = content.digest.startswith("sha512")
        if by_digest:
            self.push(repo, f"{content.digest}?tag={tag}", content)
        else:
            self.push(repo, tag, content)
        self.tags[repo, tag] = content
        if not self.untagged_goes:
            self.digests[repo, content.digest] = content
        return tag

    def push_image(self):
        self.push_tagged(self.random.choice(self.repos), self.image())
        self.forget_old()

    def push_index(self):
        self.push_tagged(self.random.choice(self.repos), index_of([self.image(), self.image()]))
        self.forget_old()

    def push_with_referrer(self):
        """An artifact that nothing but its subject keeps."""
        repo = self.random.choice(self.own)
        subject = self.image()
        tag = self.push_tagged(repo, subject)
        referrer = self.image(subject)
        self.push(repo, referrer.digest, referrer)
        if self.tags.get((repo, tag)) is subject:
            self.tags[repo, tag] = dataclasses.replace(subject, children=[referrer])

    # What must be there

    def push_and_ask(self):
        """What was acknowledged a moment ago is there."""
        repo, data = self.random.choice(self.own), self.layer()
        digest = under("sha256", data)
        began = time.monotonic()
        self.upload(repo, digest, data)
        found = self.api.has_blob(repo, digest)
        if time.monotonic() - began < QUICK:
            assert found, f"{repo}@{digest} was acknowledged and is not there"
            self.counts["blobs asked for"] += 1

    def verify(self, api, repo, reference, content):
        reply = api.manifest(repo, reference)
        assert reply.status == 200, f"{repo}:{reference} ({content.digest}) is lost: {reply.status} {reply.body[:300]}"
        assert reply.body == content.manifest, f"{repo}:{reference} is another one"
        for child in content.children:
            self.verify(api, repo, child.digest, child)
        for digest, data in content.blobs.items():
            reply = api.blob(repo, digest)
            assert reply.status == 200, f"{repo}:{reference} ({content.digest}) has lost {digest}: {reply.body[:300]}"
            assert reply.body == data, (repo, digest)
        self.counts["manifests verified"] += 1

    def check_something(self):
        if self.tags:
            (repo, tag), content = self.random.choice(list(self.tags.items()))
            self.verify(self.api, repo, tag, content)
        if self.digests and self.random.random() < 0.3:
            (repo, digest), content = self.random.choice(list(self.digests.items()))
            self.verify(self.api, repo, digest, content)

    def check_everything(self, api):
        for (repo, reference), content in [*self.tags.items(), *self.digests.items()]:
            self.verify(api, repo, reference, content)

    def needed(self):
        found = set()
        for content in [*self.tags.values(), *self.digests.values()]:
            found |= content.closure()
        return found

    # What goes

    def delete_tag(self, repo, tag):
        del self.tags[repo, tag]
        self.api.request("DELETE", f"/v2/{repo}/manifests/{tag}").expect(202, 404)

    def delete_manifest(self, repo, digest):
        """With all its tags. Not where others push the same manifests."""
        self.digests.pop((repo, digest), None)
        for place in [p for p, content in self.tags.items() if p[0] == repo and content.digest == digest]:
            del self.tags[place]
        for place in self.leading_to(repo, digest):
            self.tags.pop(place, None), self.digests.pop(place, None)
        self.api.request("DELETE", f"/v2/{repo}/manifests/{digest}").expect(202, 404)
        self.counts["manifests deleted"] += 1

    def leading_to(self, repo, digest):
        return [place for place, content in [*self.tags.items(), *self.digests.items()]
                if place[0] == repo and digest in content.closure()]

    def delete_something(self):
        own = [place for place in self.tags if place[0] in self.own]
        if own and self.random.random() < 0.7:
            repo, tag = self.random.choice(own)
            self.delete_manifest(repo, self.tags[repo, tag].digest)
        elif self.tags:
            self.delete_tag(*self.random.choice(list(self.tags)))

    def forget_old(self):
        while len(self.tags) > KEPT_TAGS:
            self.delete_something()
        for place in list(self.digests)[:-2 * KEPT_TAGS]:
            if place[0] in self.own and place in self.digests:
                self.delete_manifest(*place)

    def delete_blob(self):
        """Of a repository that has nothing else."""
        repo, data = f"churn/client{self.number}/blobs", self.layer()
        digest = under("sha256", data)
        self.push_blob(repo, digest, data)
        self.api.request("DELETE", f"/v2/{repo}/blobs/{digest}").expect(202, 404)
        self.counts["blobs deleted"] += 1


class Collector(threading.Thread):
    """Runs garbage-collect beside the servers, again and again; ends it or kills it now and then."""

    def __init__(self, argv, env, seed, counts):
        super().__init__(daemon=True)
        self.argv, self.env, self.counts = argv, env, counts
        self.random = random.Random(f"{seed}/collector")
        self.ended = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.ended.wait(self.random.uniform(0, 0.4)):
                self.collect(self.random.choice(("whole", "whole", "SIGTERM", "SIGKILL", "SIGKILL")))
        except BaseException as failure:
            self.failure = failure

    def collect(self, how):
        process = subprocess.Popen([str(a) for a in self.argv], env=self.env, stdin=subprocess.DEVNULL, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if how != "whole":
            time.sleep(self.random.choice((0.002, 0.01, 0.03, 0.1, 0.5)) * self.random.random())
            process.send_signal(getattr(signal, how))
        output, _ = process.communicate(timeout=proc.HANG)
        self.judge(how, process.returncode, output)

    def judge(self, how, status, output):
        busy = "another collection" in output
        self.counts[f"collector: {how}, {'busy' if busy else status}"] += 1
        ended_early = how == "SIGTERM" and status in (-signal.SIGTERM, 128 + signal.SIGTERM, 0, 1)
        killed = how == "SIGKILL" and status == -signal.SIGKILL
        assert status == 0 or busy or ended_early or killed, f"{how}: {status}\n{output[-3000:]}"


@contextlib.contextmanager
def running(threads):
    """They run in here, and have not failed."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.ended.set()
        for thread in threads:
            thread.join(proc.HANG)
    for thread in threads:
        if thread.failure is not None:
            raise thread.failure
        assert not thread.is_alive(), f"{thread} hangs"
