# SPDX-License-Identifier: Apache-2.0
"""Large registries, written straight to the disk in registry:2's layout: that is quicker than pushing them, and the
same for every server."""

import hashlib
import json
import os

CONFIG = b'{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}'
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
TAGS, IMAGES = "tagged", "stored"  # the repositories


def _digest(data):
    return hashlib.sha256(data).hexdigest()


def _write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


class Tree:
    """A data directory. What is linked in a repository is not checked again by readers, so tags share one manifest."""

    def __init__(self, data):
        self.v2 = os.path.join(data, "docker/registry/v2")

    def _repository(self, name):
        return os.path.join(self.v2, "repositories", name)

    def blob(self, data):
        name = _digest(data)
        _write(f"{self.v2}/blobs/sha256/{name[:2]}/{name}/data", data)
        return name

    def _link(self, path, name):
        _write(f"{path}/link", f"sha256:{name}".encode())

    def layer(self, repository, data):
        name = self.blob(data)
        self._link(f"{self._repository(repository)}/_layers/sha256/{name}", name)
        return name

    def image(self, repository, number):
        """An image of its own: its annotation makes its digest."""
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": len(CONFIG),
                       "digest": f"sha256:{_digest(CONFIG)}"},
            "layers": [], "annotations": {"number": str(number)},
        }).encode()
        name = self.blob(manifest)
        self._link(f"{self._repository(repository)}/_manifests/revisions/sha256/{name}", name)
        return name

    def tag(self, repository, tag, name):
        self._link(f"{self._repository(repository)}/_manifests/tags/{tag}/current", name)

    def empty_repository(self, name):
        for part in ("_layers", "_manifests"):
            os.makedirs(f"{self._repository(name)}/{part}")


def lists(data, count):
    """`count` tags in one repository, and `count` repositories."""
    tree = Tree(data)
    tree.layer(TAGS, CONFIG)
    name = tree.image(TAGS, 0)
    for i in range(count):
        tree.tag(TAGS, f"v{i:06}", name)
        tree.empty_repository(f"r{i:06}")


def images(data, count):
    """`count` images in one repository; the digest of one in the middle, which is tagged."""
    tree = Tree(data)
    tree.layer(IMAGES, CONFIG)
    names = [tree.image(IMAGES, i) for i in range(count)]
    middle = names[count // 2]
    tree.tag(IMAGES, "middle", middle)
    return f"sha256:{middle}"
