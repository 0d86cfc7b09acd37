# SPDX-License-Identifier: Apache-2.0
"""Images made here: small, real enough for every client to copy, the same for the same seed."""

import dataclasses
import gzip
import io
import json
import random
import tarfile

from .client import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, sha256

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
EMPTY = b"{}"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"


@dataclasses.dataclass
class Image:
    manifest: bytes
    media_type: str
    blobs: dict = dataclasses.field(default_factory=dict)  # digest → bytes
    children: list = dataclasses.field(default_factory=list)

    @property
    def digest(self):
        return sha256(self.manifest)


def encoded(document):
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()


def descriptor(media_type, data, **more):
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}


def layer(seed, size, raw=False):
    """A layer with one file of random bytes: (compressed, digest of the tar inside). raw: only the bytes, quickly made;
    a registry does not look inside."""
    content = random.Random(f"layer {seed}").randbytes(size)
    if raw:
        return content, sha256(content)
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        entry = tarfile.TarInfo(f"file-{seed}".replace("/", "-"))
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return gzip.compress(tar.getvalue(), compresslevel=1, mtime=0), sha256(tar.getvalue())


def image(seed, layers=2, size=20_000, docker=False, shared=(), architecture="amd64", raw=False):
    """shared: seeds of layers that other images have as well."""
    made = [layer(s, size, raw) for s in (*shared, *(f"{seed}/{n}" for n in range(layers)))]
    config = encoded({
        "architecture": architecture, "os": "linux", "config": {"Labels": {"seed": str(seed)}},
        "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in made]},
    })
    manifest = encoded({
        "schemaVersion": 2, "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
        "config": descriptor(DOCKER_CONFIG if docker else OCI_CONFIG, config),
        "layers": [descriptor(DOCKER_LAYER if docker else OCI_LAYER, data) for data, _ in made],
    })
    blobs = {sha256(data): data for data, _ in made}
    blobs[sha256(config)] = config
    return Image(manifest, DOCKER_MANIFEST if docker else OCI_MANIFEST, blobs)


def index(seed, docker=False, architectures=("amd64", "arm64", "s390x"), **kwargs):
    """An image of several architectures."""
    children = [image(f"{seed}/{a}", docker=docker, architecture=a, **kwargs) for a in architectures]
    media_type = DOCKER_LIST if docker else OCI_INDEX
    manifest = encoded({
        "schemaVersion": 2, "mediaType": media_type,
        "manifests": [descriptor(c.media_type, c.manifest, platform={"architecture": a, "os": "linux"})
                      for c, a in zip(children, architectures)],
    })
    return Image(manifest, media_type, {}, children)


def artifact(seed, subject=None, payload=b"a signature, say"):
    """What is no container image: the empty config, an own type, perhaps a subject."""
    document = {
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "artifactType": "application/vnd.example.thing",
        "config": descriptor(EMPTY_TYPE, EMPTY), "layers": [descriptor("text/plain", payload)],
        "annotations": {"seed": str(seed)},
    }
    if subject:
        document["subject"] = descriptor(subject.media_type, subject.manifest)
    return Image(encoded(document), OCI_MANIFEST, {sha256(EMPTY): EMPTY, sha256(payload): payload})


def all_blobs(made):
    """Every blob and manifest below an image: digest → bytes."""
    found = dict(made.blobs)
    found[made.digest] = made.manifest
    for child in made.children:
        found.update(all_blobs(child))
    return found


def write_layout(made, directory, tag="latest"):
    """Writes an OCI image layout, what skopeo calls oci:directory:tag."""
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    for digest, data in all_blobs(made).items():
        (blobs / digest.split(":")[1]).write_bytes(data)
    entry = descriptor(made.media_type, made.manifest, annotations={"org.opencontainers.image.ref.name": tag})
    (directory / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    return f"oci:{directory}:{tag}"


def write_dir(made, directory):
    """Writes skopeo's dir: form, which keeps Docker's media types."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "version").write_text("Directory Transport Version: 1.1\n")
    (directory / "manifest.json").write_bytes(made.manifest)
    for child in made.children:
        (directory / f"{child.digest.split(':')[1]}.manifest.json").write_bytes(child.manifest)
    for part in (made, *made.children):
        for digest, data in part.blobs.items():
            (directory / digest.split(":")[1]).write_bytes(data)
    return f"dir:{directory}"


def random_bytes(seed, size):
    return random.Random(f"bytes {seed}").randbytes(size)
