# SPDX-License-Identifier: Apache-2.0
"""A real server, run under the recorder, and what its clients were told."""

import collections
import contextlib
import os
import pathlib
import re
import signal

import layout
import recorder
from lib import server as servers

LOCATION = re.compile(rb"\r\nlocation: \S*?/v2/(.+?)/(blobs|manifests)/\S+", re.IGNORECASE)
CONTENT_DIGEST = re.compile(rb"\r\ndocker-content-digest: (\S+)", re.IGNORECASE)


MARKERS = "markers"  # a repository that is pushed to before a delete or a push that follows one


class Recording:
    def __init__(self, work, slow_fsyncs=False, **server_options):
        self.slow_fsyncs = slow_fsyncs
        self.output = work / "strace.out"
        self.server = servers.roadstead(work, **server_options)
        self.tag_history = collections.defaultdict(list)  # (repository, tag) → digests in the order of their pushes
        self.deletes = []  # in the order in which one client asked for them
        self.begins = {}  # digest of a marker → what begins behind it
        self.calls = None

    @contextlib.contextmanager
    def running(self):
        """The server runs in here; after it, the recording is there."""
        self.server.spawn(wrapper=recorder.command(self.output, self.slow_fsyncs))
        try:
            self.server.wait_ready()
            yield self.server.api
        finally:
            self._end()
        self.calls = recorder.calls_of(self.output)

    def _end(self):
        """strace passes no signals on: the server itself is told."""
        strace = self.server.daemon
        children = pathlib.Path(f"/proc/{strace.pid}/task/{strace.pid}/children")
        if strace.process.poll() is None:
            for pid in children.read_text().split():
                os.kill(int(pid), signal.SIGTERM)
        assert strace.wait() == 0, strace.output()

    def push(self, image, repository, tag):
        """Pushes an image. The tag counts from before, since a crash may show it before it is acknowledged."""
        self.tag_history[repository, tag].append(image.digest)
        self.server.api.push(image, repository, tag)

    def push_manifest(self, image, repository, reference, tags, headers=()):
        """The same of a manifest that gets all these tags by one request, perhaps on a condition."""
        for digest, data in image.blobs.items():
            self.server.api.push_blob(repository, data, digest)
        for tag in tags:
            self.tag_history[repository, tag].append(image.digest)
        self.server.api.request("PUT", f"/v2/{repository}/manifests/{reference}", body=image.manifest,
                                headers={"Content-Type": image.media_type, **dict(headers)}).expect(201)

    def _mark(self, begins):
        """What begins now may be on the disk from here on."""
        digest = self.server.api.push_blob(MARKERS, f"marker {len(self.begins)}".encode())
        self.begins[digest] = begins

    def delete(self, repository, kind, reference):
        """kind: tags, manifests, blobs. By one client only: its answers are told apart by their order."""
        self.deletes.append((repository, kind, reference))
        self._mark(lambda acknowledged, what=self.deletes[-1]: acknowledged.goes(*what, self.tag_history))
        path = "blobs" if kind == "blobs" else "manifests"
        self.server.api.request("DELETE", f"/v2/{repository}/{path}/{reference}").expect(202)

    def push_again(self, image, repository, tag):
        """What was deleted before."""
        self._mark(lambda acknowledged: acknowledged.comes(repository, tag))
        self.push(image, repository, tag)

    def _acknowledge(self, answer, acknowledged, deletes):
        if answer.head.startswith(b"HTTP/1.1 202 "):
            acknowledged.is_gone(*next(deletes))
            return
        kind, repository, digest = self._what(answer)
        acknowledged.add(kind, repository, digest, self.tag_history)
        if repository == MARKERS:
            self.begins[digest](acknowledged)

    def moments(self, calls=None):
        """(time, disk, what was acknowledged until then, whether just now) wherever a crash may be told from another."""
        acknowledged = layout.Acknowledged()
        deletes = iter(self.deletes)
        player = recorder.Player(self.server.root, calls or self.calls)
        for time, answer in player.play():
            if answer is not None:
                self._acknowledge(answer, acknowledged, deletes)
            yield time, player.disk, acknowledged, answer is not None

    @staticmethod
    def _what(answer):
        place, digest = LOCATION.search(answer.head), CONTENT_DIGEST.search(answer.head)
        assert place and digest, answer.head
        return place.group(2).decode(), place.group(1).decode(), digest.group(1).decode()

    def faults_of(self, tree, acknowledged):
        return layout.faults(tree, acknowledged, self.tag_history)


def matters(path):
    """Running uploads are promised to nobody."""
    return "/_uploads" not in path


def write_tree(tree, root):
    """Puts a tree of the model on the disk."""
    root.mkdir(parents=True)
    for path, data in sorted(tree.items()):
        if data is None:
            (root / path).mkdir(parents=True, exist_ok=True)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
