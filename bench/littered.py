# SPDX-License-Identifier: Apache-2.0
"""A registry with garbage, written straight to the disk in registry:2's layout: images in several hundred repositories,
some of them deleted. The same numbers give the same bytes. Blobs are tiny: what a collector does is the same for large
ones, but for the kernel's freeing of their blocks."""

import hashlib
import json
import os
import time

REPOSITORIES = 400
OWN = 17     # layers of one image alone
SHARED = 3   # layers of a pool; each repository uses a few of it, and its neighbours some of those
POOL = 25    # what the pool has for each repository
REACH = 35   # what a repository uses of it
LAYERS = OWN + SHARED
OLD = 30 * 24 * 3600  # seconds since everything was written

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


def _digest(data):
    return hashlib.sha256(data).hexdigest()


class Image:
    def __init__(self, number, pool, deleted):
        self.number, self.repository = number, number % REPOSITORIES
        self.deleted = number // REPOSITORIES % deleted == 0
        turn = number // REPOSITORIES
        base = [(self.repository * POOL + (turn * SHARED + i) % REACH) % pool for i in range(SHARED)]
        self.shared = [b"pool %d" % n for n in base]
        self.own = [b"layer %d of image %d" % (i, number) for i in range(OWN)]
        self.config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Labels": {"number": str(number)}},
                                  "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(d)}" for d in self.layers]}}).encode()
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE, "config": self._descriptor(CONFIG_TYPE, self.config),
            "layers": [self._descriptor(LAYER_TYPE, data) for data in self.layers]}, indent=3).encode()

    @property
    def layers(self):
        return self.shared + self.own

    @property
    def name(self):
        return f"group-{self.repository % 20:02}/app-{self.repository:03}"

    @property
    def blobs(self):
        return [self.config, *self.layers]

    @staticmethod
    def _descriptor(media_type, data):
        return {"mediaType": media_type, "size": len(data), "digest": f"sha256:{_digest(data)}"}


class Registry:
    """`images` images, with 20 blobs of each; of so many of a repository one is `deleted`. kept, garbage: digests
    (hexadecimal) of blobs and manifests."""

    def __init__(self, images, deleted):
        self.count, self.pool, self.deleted = images, min(POOL * REPOSITORIES, max(SHARED, images)), deleted
        self.kept, self.garbage = set(), set()
        self.kept_links, self.stale_links = set(), set()  # (repository, digest)

    def image(self, number):
        return Image(number, self.pool, self.deleted)

    def write(self, data):
        """Writes what is not there, and notes what is needed."""
        at = time.time() - OLD
        v2 = os.path.join(data, "docker/registry/v2")
        tree = _Tree(v2, at)
        for image in map(self.image, range(self.count)):
            digests = [tree.blob(blob) for blob in image.blobs]
            manifest = tree.blob(image.manifest)
            tree.links(image.name, digests)
            (self.garbage if image.deleted else self.kept).update([*digests, manifest])
            (self.stale_links if image.deleted else self.kept_links).update((image.name, d) for d in digests)
            if not image.deleted:
                tree.tagged(image.name, f"v{image.number}", manifest)
        self.garbage -= self.kept
        self.stale_links -= self.kept_links

    def assert_collected(self, data, with_links):
        """Exactly what is needed is left."""
        v2 = os.path.join(data, "docker/registry/v2")
        left = {name for shard in os.scandir(f"{v2}/blobs/sha256") for name in os.listdir(shard)}
        if left != self.kept:
            raise RuntimeError(f"of {len(self.garbage)} blobs {len(left - self.kept)} are left, and {len(self.kept - left)} are missing")
        names = {name for name, _digest in self.kept_links}
        links = {(name, digest) for name in names for digest in os.listdir(f"{v2}/repositories/{name}/_layers/sha256")}
        if with_links and links != self.kept_links:
            raise RuntimeError(f"{len(links - self.kept_links)} stale links are left, and {len(self.kept_links - links)} are missing")

    def manifest_paths(self, count):
        kept = [image for image in map(self.image, range(self.count)) if not image.deleted]
        return [f"/v2/{image.name}/manifests/v{image.number}" for image in kept[::len(kept) // count or 1]]

    def blob_paths(self, count):
        links = sorted(self.kept_links)
        return [f"/v2/{name}/blobs/sha256:{digest}" for name, digest in links[::len(links) // count or 1]]


class _Tree:
    def __init__(self, v2, at):
        self.v2, self.times = v2, (at, at)
        self.seen = set()
        for n in range(256):
            os.makedirs(f"{v2}/blobs/sha256/{n:02x}", exist_ok=True)

    def _write(self, directory, name, data):
        try:
            os.mkdir(directory)
        except FileExistsError:
            if os.path.exists(f"{directory}/{name}"):
                return
        fd = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        os.write(fd, data)
        os.utime(fd, self.times)
        os.close(fd)

    def blob(self, data):
        name = _digest(data)
        if name not in self.seen:
            self.seen.add(name)
            self._write(f"{self.v2}/blobs/sha256/{name[:2]}/{name}", "data", data)
        return name

    def _repository(self, name):
        path = f"{self.v2}/repositories/{name}"
        if name not in self.seen:
            self.seen.add(name)
            for part in ("_layers/sha256", "_manifests/revisions/sha256", "_manifests/tags", "_uploads"):
                os.makedirs(f"{path}/{part}", exist_ok=True)
        return path

    def links(self, repository, digests):
        path = self._repository(repository)
        for digest in digests:
            if (repository, digest) not in self.seen:
                self.seen.add((repository, digest))
                self._write(f"{path}/_layers/sha256/{digest}", "link", f"sha256:{digest}".encode())

    def tagged(self, repository, tag, manifest):
        path, link = f"{self._repository(repository)}/_manifests", f"sha256:{manifest}".encode()
        self._write(f"{path}/revisions/sha256/{manifest}", "link", link)
        os.makedirs(f"{path}/tags/{tag}/index/sha256", exist_ok=True)
        self._write(f"{path}/tags/{tag}/index/sha256/{manifest}", "link", link)
        self._write(f"{path}/tags/{tag}/current", "link", link)
