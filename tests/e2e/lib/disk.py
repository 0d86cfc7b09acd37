# SPDX-License-Identifier: Apache-2.0
"""Looks at a data directory in registry:2's layout, past any server: is what is visible whole?"""

import collections
import hashlib
import json
import re

DIGEST = re.compile(rb"(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")


class Tree:
    def __init__(self, root):
        self.base = root / "docker/registry/v2"

    def blob_path(self, digest):
        algorithm, hexadecimal = digest.split(":")
        return self.base / "blobs" / algorithm / hexadecimal[:2] / hexadecimal / "data"

    def blob_digests(self):
        return {f"{p.parts[-4]}:{p.parts[-2]}" for p in self.base.glob("blobs/*/*/*/data")}

    def links(self, kind):
        """kind: "_layers/*/*" and the like → (repository, path relative to it, digest in the link)."""
        repositories = self.base / "repositories"
        for path in sorted(repositories.glob(f"**/{kind}/link")):
            inner = path.relative_to(repositories).as_posix()
            repository, rest = re.split(r"/(?=_layers/|_manifests/)", inner, maxsplit=1)
            content = path.read_bytes()
            assert DIGEST.fullmatch(content), f"{path} holds {content!r}"
            yield repository, rest, content.decode()

    def uploads(self):
        return sorted(self.base.glob("repositories/**/_uploads/*"))

    def assert_whole(self):
        """Every blob's bytes are its digest's, every revision and tag leads to a manifest, every manifest has all its
        parts in its own repository."""
        for digest in self.blob_digests():
            algorithm, hexadecimal = digest.split(":")
            found = file_hash(self.blob_path(digest), algorithm)
            assert found == hexadecimal, f"the blob {digest} holds {found}"
        linked = collections.defaultdict(set)
        for repository, _, digest in self.links("_layers/*/*"):
            if self.blob_path(digest).is_file():  # else a push was killed between its link and its data: no blob
                linked[repository].add(digest)
        revisions = collections.defaultdict(set)
        for repository, path, digest in self.links("_manifests/revisions/*/*"):
            assert self.blob_path(digest).is_file(), f"{repository}: {path} leads to nothing"
            revisions[repository].add(digest)
        self.assert_tags(revisions)
        for repository, digests in revisions.items():
            for digest in digests:
                self.assert_manifest(digest, linked[repository], digests, repository)

    def assert_tags(self, revisions):
        for kind in ("_manifests/tags/*/current", "_manifests/tags/*/index/*/*"):
            for repository, path, digest in self.links(kind):
                assert digest in revisions[repository], f"{repository}: {path} leads to {digest}, which is no revision"

    def assert_manifest(self, digest, blobs, manifests, repository):
        document = json.loads(self.blob_path(digest).read_bytes())
        for child in document.get("manifests") or []:
            assert child["digest"] in manifests, f"{repository}@{digest} lacks the manifest {child['digest']}"
        for part in [document.get("config")] + (document.get("layers") or []):
            assert part is None or part["digest"] in blobs, f"{repository}@{digest} lacks the blob {part['digest']}"


def file_hash(path, algorithm):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
