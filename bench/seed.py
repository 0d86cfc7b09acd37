# SPDX-License-Identifier: Apache-2.0
"""One image in a data directory that all three servers serve: pushed through docker-registry, read by Roadstead in
registry:2's layout, and by nginx through hard links, so that everyone sends the same bytes of the same page cache."""

import hashlib
import json
import os
import subprocess
import urllib.request

from servers import MANIFEST_TYPE, DockerRegistry

REPOSITORY = "bench/image"
TAG = "latest"
BLOB_SIZE = 256 << 20


class Seed:
    def __init__(self, data, www, digest, manifest):
        self.data, self.www, self.manifest = data, www, manifest
        self.manifest_path = f"/v2/{REPOSITORY}/manifests/{TAG}"
        self.blob_path = f"/v2/{REPOSITORY}/blobs/{digest}"


def _put(url, data, media_type):
    request = urllib.request.Request(url, data=data, method="PUT", headers={"Content-Type": media_type})
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 201, answer.status


def _push_small(base, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    start = urllib.request.Request(f"{base}/v2/{REPOSITORY}/blobs/uploads/", method="POST", data=b"")
    with urllib.request.urlopen(start) as answer:
        _put(answer.headers["Location"] + "&digest=" + digest, data, "application/octet-stream")
    return digest


def _descriptor(media_type, size, digest):
    return {"mediaType": media_type, "size": size, "digest": digest}


def _push_image(address, push):
    done = subprocess.run([push, address, REPOSITORY, str(BLOB_SIZE), "0", "1"], check=True, capture_output=True)
    digest = json.loads(done.stdout)["digest"]
    config = b'{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[]}}'
    manifest = json.dumps({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _descriptor("application/vnd.docker.container.image.v1+json", len(config),
                              _push_small(f"http://{address}", config)),
        "layers": [_descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", BLOB_SIZE, digest)],
    }, indent=1).encode()
    _put(f"http://{address}/v2/{REPOSITORY}/manifests/{TAG}", manifest, MANIFEST_TYPE)
    return digest, manifest


def make(registry, push, directory):
    data, www = os.path.join(directory, "data"), os.path.join(directory, "www")
    os.makedirs(data)
    with DockerRegistry(registry, data, os.path.join(directory, "scratch")) as server:
        digest, manifest = _push_image(server.address, push)
    seed = Seed(data, www, digest, manifest)
    hexadecimal = digest.split(":")[1]
    blob = f"{data}/docker/registry/v2/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}/data"
    os.makedirs(os.path.dirname(www + seed.blob_path))
    os.makedirs(os.path.dirname(www + seed.manifest_path))
    os.link(blob, www + seed.blob_path)
    with open(www + seed.manifest_path, "wb") as file:
        file.write(manifest)
    os.sync()
    return seed
