# SPDX-License-Identifier: Apache-2.0
"""What must hold in registry:2's layout after a crash: {path: bytes} as the model of the disk gives it."""

import collections
import functools
import hashlib
import json
import re

BASE = "docker/registry/v2/"
DIGEST = re.compile(rb"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")
COLLECTION = re.compile(r"roadstead/v1/(servers/[0-9a-f-]{36}|collector/(lock|grace|plan)|tombstones)")
BLOB = re.compile(BASE + r"blobs/(\w+)/(\w\w)/(\w+)/data")
LINK = re.compile(BASE + r"repositories/(.+?)/(_layers|_manifests/revisions|_manifests/tags/([^/]+)/index)/(\w+)/(\w+)/link")
CURRENT = re.compile(BASE + r"repositories/(.+?)/_manifests/tags/([^/]+)/current/link")


class Acknowledged:
    """What clients were told. A tag may stand where it was last acknowledged to be, or at anything pushed later."""

    def __init__(self):
        self.blobs = set()  # (repository, digest)
        self.manifests = set()
        self.tags = {}  # (repository, tag) → index into its history
        self.tagged = set()  # (repository, tag, digest)
        self.going = set()  # (repository, kind, reference): being deleted, or deleted; nobody says that it must be there
        self.gone = set()  # the same, acknowledged: it must not be there

    def add(self, kind, repository, digest, tag_history):
        if kind == "blobs":
            self.blobs.add((repository, digest))
            return
        self.manifests.add((repository, digest))
        for (repo, tag), history in tag_history.items():
            if repo == repository and digest in history and (repo, "tags", tag) not in self.going:
                self.tagged.add((repo, tag, digest))
                last = self.tags.get((repo, tag), -1)
                if digest in history[last + 1 :]:
                    self.tags[repo, tag] = history.index(digest, last + 1)


    def goes(self, repository, kind, reference, tag_history):
        """A delete begins: what it removes need not be there any more."""
        self.going.add((repository, kind, reference))
        if kind == "blobs":
            self.blobs.discard((repository, reference))
        elif kind == "tags":
            self._tag_goes(repository, reference)
        else:
            self.manifests.discard((repository, reference))
            for (repo, tag), index in list(self.tags.items()):
                if repo == repository and tag_history[repo, tag][index] == reference:
                    self.going.add((repo, "tags", tag))
                    self._tag_goes(repo, tag)

    def _tag_goes(self, repository, tag):
        self.tags.pop((repository, tag), None)
        self.tagged = {entry for entry in self.tagged if entry[:2] != (repository, tag)}

    def is_gone(self, repository, kind, reference):
        self.gone.add((repository, kind, reference))

    def comes(self, repository, tag):
        """Something is pushed to the repository that was deleted before."""
        self.going = {g for g in self.going if g[0] != repository or (g[1] == "tags" and g[2] != tag)}
        self.gone = {g for g in self.gone if g[0] != repository or (g[1] == "tags" and g[2] != tag)}


@functools.lru_cache(maxsize=4096)
def hash_of(algorithm, data):
    return hashlib.new(algorithm, data).hexdigest()


@functools.lru_cache(maxsize=4096)
def parts_of(manifest):
    """(blobs, manifests) that it names."""
    document = json.loads(manifest)
    blobs = [document.get("config"), *(document.get("layers") or [])]
    return ([b["digest"] for b in blobs if b], [m["digest"] for m in document.get("manifests") or []])


class Tree:
    def __init__(self, tree):
        self.faults = []
        self.blobs = {}
        self.layers = collections.defaultdict(set)
        self.revisions = collections.defaultdict(set)
        self.currents = {}
        self.indexed = set()
        for path, data in tree.items():
            passing = "/_uploads/" in path or path.endswith(".tmp") or path.startswith("roadstead/state/")
            if data is not None and not passing:
                self._add(path, data)

    def _add(self, path, data):
        if path.startswith("roadstead/v1/locks/") and data == b"":
            return  # nothing but a place to lock
        if COLLECTION.fullmatch(path) is not None:
            return  # who is there, and what goes: of no meaning after a crash
        if (match := BLOB.fullmatch(path)) is not None:
            algorithm, _, hexadecimal = match.groups()
            if hash_of(algorithm, data) != hexadecimal:
                self.faults.append(f"{path} holds other bytes ({len(data)} of them)")
            self.blobs[f"{algorithm}:{hexadecimal}"] = data
        elif not path.endswith("/link"):
            self.faults.append(f"{path}: what is this?")
        elif DIGEST.fullmatch(data) is None:
            self.faults.append(f"{path} holds {data[:80]!r}")
        elif (match := CURRENT.fullmatch(path)) is not None:
            self.currents[match.groups()] = data.decode()
        elif (match := LINK.fullmatch(path)) is not None:
            self._add_link(path, match, data.decode())
        else:
            self.faults.append(f"{path}: what is this?")

    def _add_link(self, path, match, digest):
        repository, kind, _, algorithm, hexadecimal = match.groups()
        if digest != f"{algorithm}:{hexadecimal}":
            self.faults.append(f"{path} holds {digest}")
        if kind == "_layers":
            self.layers[repository].add(digest)
        elif kind == "_manifests/revisions":
            self.revisions[repository].add(digest)
        else:
            self.indexed.add((repository, match.group(3), digest))

    def need_blob(self, repository, digest, why):
        if digest not in self.layers[repository]:
            self.faults.append(f"{why}: {repository} does not link {digest}")
        elif digest not in self.blobs:
            self.faults.append(f"{why}: the blob {digest} of {repository} is gone")

    def need_manifest(self, repository, digest, why):
        if digest not in self.revisions[repository]:
            self.faults.append(f"{why}: {repository} has no revision {digest}")
        elif digest not in self.blobs:
            self.faults.append(f"{why}: the manifest {digest} of {repository} is gone")
        elif hash_of(digest.split(":")[0], self.blobs[digest]) == digest.split(":")[1]:
            blobs, manifests = parts_of(self.blobs[digest])
            for part in blobs:
                self.need_blob(repository, part, f"{why}, {digest[:15]}")
            for part in manifests:
                self.need_manifest(repository, part, f"{why}, {digest[:15]}")


def faults(tree, acknowledged, tag_history):
    """What is wrong with a tree, as texts."""
    view = Tree(tree)
    for repository, digest in acknowledged.blobs:
        view.need_blob(repository, digest, "an acknowledged blob")
    for repository, digest in acknowledged.manifests:
        view.need_manifest(repository, digest, "an acknowledged manifest")
    for repository, kind, reference in acknowledged.gone:
        held = {"blobs": view.layers[repository], "manifests": view.revisions[repository],
                "tags": {tag for repo, tag in view.currents if repo == repository}}[kind]
        if reference in held:
            view.faults.append(f"{repository}: the deleted {reference} of {kind} is there again")
    for (repository, tag), digest in view.currents.items():  # visible: then it must be whole, acknowledged or not
        view.need_manifest(repository, digest, f"the tag {repository}:{tag}")
    for (repository, tag), index in acknowledged.tags.items():
        found = view.currents.get((repository, tag))
        if found not in tag_history[repository, tag][index:]:
            view.faults.append(f"the tag {repository}:{tag} is {found}")
    for tagged in acknowledged.tagged - view.indexed:
        view.faults.append(f"the index of the tag {tagged} is gone")
    return view.faults
