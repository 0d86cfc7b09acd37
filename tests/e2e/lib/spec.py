# SPDX-License-Identifier: Apache-2.0
"""What the tests of the specifications share: content of every kind, every way to upload a blob, and a client that
holds each answer to the rules that all answers have to keep."""

import base64
import dataclasses
import hashlib
import json
import re

from . import images
from .client import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, OCTETS, Registry, digest_of

ALGORITHMS = ("sha256", "sha512")
MANIFEST_LIMIT = 4 << 20
DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
# "Error Codes", and what registry:2 adds: its clients know these as well.
CODES = {"BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
         "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED",
         "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS"}
LEGACY_CODES = {"TAG_INVALID", "RANGE_INVALID", "PAGINATION_NUMBER_INVALID", "UNKNOWN"}
WARNING = re.compile(r'299 - ".*"')
PULL = re.compile(r"/v2/.+/(manifests|blobs)/([^/?]+)")


def digest(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


# --- a client that looks twice ---


class Strict(Registry):
    """Each reply must keep the rules that no single test owns."""

    def request(self, method, path, body=None, headers=None):
        reply = super().request(method, path, body, headers)
        assert reply.status < 500, (method, path, reply.status, reply.body[:500])
        if method == "HEAD" or reply.status in (204, 304):
            assert reply.body == b"", (method, path, reply.body[:100])
        elif reply.status >= 400:
            check_error(reply)
        for warning in reply.headers.get_all("Warning") or []:
            assert WARNING.fullmatch(warning), warning
        check_digest_header(method, path, reply)
        return reply

    def head(self, path, headers=None):
        return self.request("HEAD", path, headers=headers)

    def delete(self, path):
        return self.request("DELETE", path)


def check_error(reply):
    """ "Error Codes": the form of the body, and codes that clients know."""
    assert reply.headers["Content-Type"].split(";")[0] == "application/json", reply.headers.items()
    assert isinstance(reply.json()["errors"], list) and reply.json()["errors"]
    for error in reply.json()["errors"]:
        assert set(error) <= {"code", "message", "detail"}, error
        assert error["code"] in CODES | LEGACY_CODES, error
        assert isinstance(error.get("message", ""), str), error


def check_digest_header(method, path, reply):
    """Docker-Content-Digest is a digest, and the one of the bytes that come with it."""
    told = reply.headers["Docker-Content-Digest"]
    assert told is None or DIGEST.fullmatch(told), told
    pulled = PULL.match(path) if method in ("GET", "HEAD") and reply.status == 200 else None
    if not pulled or "/blobs/uploads/" in path:
        return
    assert told, (method, path, reply.headers.items())
    assert method == "HEAD" or digest_of(reply.body, told) == told, (path, told)
    assert ":" not in pulled.group(2) or told == pulled.group(2), (path, told)
    if pulled.group(1) == "manifests":
        assert ";" not in reply.headers["Content-Type"], reply.headers.items()


# --- content ---


@dataclasses.dataclass
class Content(images.Image):
    """A manifest that is addressed with `algorithm`, and all below it."""
    algorithm: str = "sha256"
    subject: images.Image = None

    @property
    def digest(self):
        return digest(self.manifest, self.algorithm)

    def descriptor(self, **more):
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.manifest), **more}


def descriptor(media_type, data, algorithm, **more):
    return {"mediaType": media_type, "digest": digest(data, algorithm), "size": len(data), **more}


def manifest(algorithm, seed, config=None, layers=None, media_type=OCI_MANIFEST, types=(images.OCI_CONFIG,
             images.OCI_LAYER), layer_algorithm=None, more_layers=(), **members):
    """An image manifest; its config and layers differ from those of other seeds."""
    layer_algorithm = layer_algorithm or algorithm
    if config is None:
        config = images.encoded({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []},
                                 "config": {"Labels": {"seed": seed}}})
    if layers is None:
        layers = [images.random_bytes(f"{seed}/{n}", 3000 + n) for n in range(2)]
    document = {"schemaVersion": 2, "mediaType": media_type, "config": descriptor(types[0], config, algorithm),
                "layers": [descriptor(types[1], data, layer_algorithm) for data in layers] + list(more_layers)}
    document.update(members)
    blobs = {digest(data, layer_algorithm): data for data in layers} | {digest(config, algorithm): config}
    return Content(images.encoded({k: v for k, v in document.items() if v is not None}), media_type, blobs, [],
                   algorithm)


def index(algorithm, children, media_type=OCI_INDEX, **members):
    document = {"schemaVersion": 2, "mediaType": media_type,
                "manifests": [c.descriptor(platform={"architecture": f"a{n}", "os": "linux"})
                              for n, c in enumerate(children)], **members}
    return Content(images.encoded({k: v for k, v in document.items() if v is not None}), media_type, {},
                   list(children), algorithm)


def artifact(algorithm, seed, subject=None, artifact_type="application/vnd.example.thing", layers=None, **members):
    """The guidelines for artifacts: the empty config, and an artifactType."""
    made = manifest(algorithm, seed, config=images.EMPTY, types=(images.EMPTY_TYPE, "application/vnd.example.part"),
                    layers=[seed.encode()] if layers is None else layers, artifactType=artifact_type,
                    subject=subject and subject.descriptor(), **members)
    made.subject = subject
    return made


def large(algorithm, seed, size):
    """An image whose manifest has exactly `size` bytes."""
    bare = len(manifest(algorithm, seed, annotations={"org.example.fill": ""}).manifest)
    return manifest(algorithm, seed, annotations={"org.example.fill": "x" * (size - bare)})


def image_with_data(algorithm, seed):
    """Descriptors that carry their content along ("data")."""
    made = manifest(algorithm, seed, config=images.EMPTY, layers=[images.EMPTY], types=(images.EMPTY_TYPE,) * 2,
                    artifactType="application/vnd.example.data", annotations={"seed": seed})
    document = json.loads(made.manifest)
    for part in (document["config"], *document["layers"]):
        part["data"] = base64.b64encode(images.EMPTY).decode()
    return dataclasses.replace(made, manifest=images.encoded(document))


def image_of_foreign_layers(algorithm, seed):
    """Non-distributable layers, which nobody pushes."""
    foreign = [descriptor(f"application/vnd.oci.image.layer.nondistributable.v1.tar{suffix}", seed.encode() + b"far",
                          algorithm, urls=["https://layers.example.org/far"]) for suffix in ("", "+gzip", "+zstd")]
    return manifest(algorithm, seed, more_layers=foreign)


def other_algorithm(algorithm):
    return ALGORITHMS[1 - ALGORITHMS.index(algorithm)]


def image_of_both_algorithms(algorithm, seed):
    return manifest(algorithm, seed, layer_algorithm=other_algorithm(algorithm))


def index_of_both_algorithms(algorithm, seed):
    return index(algorithm, [manifest(a, f"{seed}/{a}") for a in ALGORITHMS])


def nested_index(algorithm, seed):
    inner = index(algorithm, [manifest(algorithm, f"{seed}/inner")])
    return index(algorithm, [inner, manifest(algorithm, f"{seed}/beside")])


def with_custom_members(algorithm, seed):
    return manifest(algorithm, seed, **{"org.example.unknown": {"a": [1, 2.5, None, True]}, "x": "y"})


def reformatted(algorithm, seed):
    """The same document in bytes that no encoder would choose."""
    made = manifest(algorithm, seed, annotations={"é": "☃ \U0001f600", "slash": "a/b"})
    text = made.manifest.decode().replace("a/b", "a\\/b").replace(',"', ' ,\r\n\t"').replace("{", "{ ", 1)
    return dataclasses.replace(made, manifest=b"\n " + text.encode() + b"\n\n")


def docker_list(algorithm, seed):
    docker = dict(media_type=DOCKER_MANIFEST, types=(images.DOCKER_CONFIG, images.DOCKER_LAYER))
    return index(algorithm, [manifest(algorithm, f"{seed}/{n}", **docker) for n in range(2)], DOCKER_LIST)


KINDS = {
    "image": manifest,
    "image-uncompressed": lambda a, s: manifest(a, s, types=(images.OCI_CONFIG,
                                                             "application/vnd.oci.image.layer.v1.tar")),
    "image-zstd": lambda a, s: manifest(a, s, types=(images.OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+zstd")),
    "image-without-media-type": lambda a, s: manifest(a, s, mediaType=None),
    "image-without-layers": lambda a, s: manifest(a, s, layers=[]),
    "image-of-an-empty-layer": lambda a, s: manifest(a, s, layers=[b""]),
    "image-of-one-layer-twice": lambda a, s: manifest(a, s, layers=[s.encode()] * 2),
    "image-of-custom-types": lambda a, s: manifest(a, s, config=s.encode(), types=("application/vnd.example.config",
                                                                                   "application/vnd.example.layer")),
    "image-with-annotations": lambda a, s: manifest(a, s, annotations={"org.opencontainers.image.title": s, "": ""}),
    "image-with-custom-members": with_custom_members,
    "image-with-data": image_with_data,
    "image-of-foreign-layers": image_of_foreign_layers,
    "image-of-both-algorithms": image_of_both_algorithms,
    "image-oddly-formatted": reformatted,
    "image-large": lambda a, s: large(a, s, MANIFEST_LIMIT),
    "docker-image": lambda a, s: manifest(a, s, media_type=DOCKER_MANIFEST,
                                          types=(images.DOCKER_CONFIG, images.DOCKER_LAYER)),
    "docker-list": docker_list,
    "index": lambda a, s: index(a, [manifest(a, f"{s}/{n}") for n in range(3)]),
    "index-without-media-type": lambda a, s: index(a, [manifest(a, s)], mediaType=None),
    "index-empty": lambda a, s: index(a, [], annotations={"seed": s}),
    "index-nested": nested_index,
    "index-of-both-algorithms": index_of_both_algorithms,
    "index-of-artifacts": lambda a, s: index(a, [artifact(a, f"{s}/{n}") for n in range(2)],
                                             artifactType="application/vnd.example.bundle"),
    "artifact": artifact,
    "artifact-without-layers": lambda a, s: artifact(a, s, layers=[], annotations={"seed": s}),
    "artifact-of-the-empty-layer": lambda a, s: artifact(a, s, layers=[images.EMPTY], annotations={"seed": s}),
    "artifact-with-subject": lambda a, s: artifact(a, s, subject=manifest(a, f"{s}/subject")),
    "artifact-with-missing-subject": lambda a, s: dataclasses.replace(
        artifact(a, s, subject=manifest(a, f"{s}/missing")), subject=None),
    "index-with-subject": lambda a, s: index(a, [manifest(a, s)], subject=manifest(a, f"{s}/far").descriptor()),
}


def push(api, content, repo, reference=None):
    """Everything below `content` and, if there is one, its subject; the reply to its own PUT, by digest if no
    reference is given."""
    for key, data in content.blobs.items():
        if not api.has_blob(repo, key):
            api.push_blob(repo, data, key)
    for child in (*content.children, *([content.subject] if content.subject else [])):
        push(api, child, repo).expect(201)
    return api.put_manifest(repo, reference or content.digest, content.manifest, content.media_type)


def tag(api, content, repo, *tags):
    """Names it; a tag whose manifest has not SHA-256 is only to be had together with its digest (end-7b)."""
    if content.algorithm == "sha256" and len(tags) == 1:
        return api.put_manifest(repo, tags[0], content.manifest, content.media_type)
    query = "&".join(f"tag={t}" for t in tags)
    return api.put_manifest(repo, f"{content.digest}?{query}", content.manifest, content.media_type)


# --- every way to upload a blob: each takes (api, repo, data, digest, query of the POST) and returns the last reply ---


def begin(api, repo, query=""):
    return api.location(api.request("POST", f"/v2/{repo}/blobs/uploads/{query}", body=b"").expect(202))


def add_digest(location, key):
    return f"{location}{'&' if '?' in location else '?'}digest={key}"


def put(api, location, key, body=b"", **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.request("PUT", add_digest(location, key), body=body, headers={"Content-Type": OCTETS, **named})


def patch(api, location, body, content_range=None):
    headers = {"Content-Type": OCTETS}
    if content_range:
        headers["Content-Range"] = content_range
    return api.request("PATCH", location, body=body, headers=headers)


def pieces(data, count=3):
    """(offset, piece): data in `count` pieces of different lengths; fewer if there is too little."""
    cuts = sorted({0, len(data), *(len(data) * n // count + n for n in range(1, count) if len(data) > 2 * count)})
    return [(start, data[start:end]) for start, end in zip(cuts, cuts[1:])]


def post_then_put(api, repo, data, key, query=""):
    return put(api, begin(api, repo, query), key, data)


def post_then_streamed_put(api, repo, data, key, query=""):
    return put(api, begin(api, repo, query), key, iter([part for _, part in pieces(data)]))


def in_chunks(api, repo, data, key, query="", last_in_put=False):
    location = begin(api, repo, query)
    parts = pieces(data)
    last = parts.pop() if last_in_put and parts else None
    for offset, part in parts:
        end = offset + len(part) - 1
        reply = patch(api, location, part, f"{offset}-{end}").expect(202)
        assert reply.headers["Range"] == f"0-{end}"
        location = api.location(reply)
    if last is None:
        return put(api, location, key)
    return put(api, location, key, last[1], Content_Range=f"{last[0]}-{len(data) - 1}")


def in_chunks_last_in_put(api, repo, data, key, query=""):
    return in_chunks(api, repo, data, key, query, last_in_put=True)


def in_one_patch(api, repo, data, key, query=""):
    return put(api, api.location(patch(api, begin(api, repo, query), data).expect(202)), key)


def in_streamed_patches(api, repo, data, key, query=""):
    """Without a length and without a range, as docker pushes."""
    location = begin(api, repo, query)
    for _, part in pieces(data):
        location = api.location(patch(api, location, iter([part[:7], part[7:]])).expect(202))
    return put(api, location, key)


def in_one_post(api, repo, data, key, query=""):
    path = f"/v2/{repo}/blobs/uploads/?digest={key}{query.replace('?', '&')}"
    return api.request("POST", path, body=data, headers={"Content-Type": OCTETS})


def in_one_streamed_post(api, repo, data, key, query=""):
    path = f"/v2/{repo}/blobs/uploads/?digest={key}{query.replace('?', '&')}"
    return api.request("POST", path, body=iter([data[:9], data[9:]]), headers={"Content-Type": OCTETS})


UPLOADS = {
    "POST-then-PUT": post_then_put,
    "POST-then-streamed-PUT": post_then_streamed_put,
    "single-POST": in_one_post,
    "single-streamed-POST": in_one_streamed_post,
    "one-PATCH": in_one_patch,
    "chunks": in_chunks,
    "chunks-last-in-PUT": in_chunks_last_in_put,
    "streamed-PATCHes": in_streamed_patches,
}
