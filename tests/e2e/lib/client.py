# SPDX-License-Identifier: Apache-2.0
"""A small registry client on http.client, for what the real clients do not do."""

import contextlib
import dataclasses
import hashlib
import http.client
import json
import socket
import urllib.parse

from .proc import HANG

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFEST_TYPES = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST))
OCTETS = "application/octet-stream"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of(data, like):
    """The digest of data with the algorithm of the digest `like`."""
    algorithm = like.split(":", 1)[0]
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


@dataclasses.dataclass
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self):
        return json.loads(self.body)

    def error_codes(self):
        """The codes of the specification's error JSON; every error must be one."""
        assert self.headers["Content-Type"].startswith("application/json"), (self.status, self.headers.items())
        errors = self.json()["errors"]
        assert errors and all(e["code"] and e["message"] for e in errors), errors
        return [e["code"] for e in errors]

    def expect(self, *statuses):
        assert self.status in statuses, f"{self.status}, not {statuses}: {self.headers.items()} {self.body[:2000]!r}"
        return self


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, **kwargs):
        super().__init__("localhost", **kwargs)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class Registry:
    """host: "127.0.0.1:5000", "[::1]:5000" or the path of a unix socket. A connection a request."""

    def __init__(self, host):
        self.host = str(host)

    def connect(self):
        if self.host.startswith("/"):
            return UnixConnection(self.host, timeout=HANG)
        return http.client.HTTPConnection(self.host, timeout=HANG)

    def request(self, method, path, body=None, headers=None):
        connection = self.connect()
        try:
            connection.connect()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent: why?
                connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    # Blobs

    def begin_upload(self, repo):
        reply = self.request("POST", f"/v2/{repo}/blobs/uploads/", body=b"").expect(202)
        return self.location(reply)

    @staticmethod
    def location(reply):
        """Path and query of the Location, which may be absolute."""
        parts = urllib.parse.urlsplit(reply.headers["Location"])
        return parts.path + ("?" + parts.query if parts.query else "")

    def patch(self, location, data, offset=None):
        headers = {"Content-Type": OCTETS}
        if offset is not None:
            headers["Content-Range"] = f"{offset}-{offset + len(data) - 1}"
        return self.request("PATCH", location, body=data, headers=headers)

    def finish_upload(self, location, digest, data=b""):
        joined = f"{location}{'&' if '?' in location else '?'}digest={urllib.parse.quote(digest)}"
        return self.request("PUT", joined, body=data, headers={"Content-Type": OCTETS})

    def push_blob(self, repo, data, digest=None):
        digest = digest or sha256(data)
        self.finish_upload(self.begin_upload(repo), digest, data).expect(201)
        return digest

    def push_blob_in_chunks(self, repo, data, size):
        location = self.begin_upload(repo)
        for offset in range(0, len(data), size):
            location = self.location(self.patch(location, data[offset:offset + size], offset).expect(202))
        self.finish_upload(location, sha256(data)).expect(201)
        return sha256(data)

    def upload_offset(self, location):
        """How many bytes the server says that it has, and where to go on."""
        reply = self.get(location).expect(204)
        last = int(reply.headers["Range"].split("-")[1])
        return (last + 1 if last else 0), self.location(reply)

    def blob(self, repo, digest):
        return self.get(f"/v2/{repo}/blobs/{digest}")

    def has_blob(self, repo, digest):
        return self.request("HEAD", f"/v2/{repo}/blobs/{digest}").status == 200

    # Manifests

    def put_manifest(self, repo, reference, data, media_type):
        return self.request("PUT", f"/v2/{repo}/manifests/{reference}", body=data, headers={"Content-Type": media_type})

    def manifest(self, repo, reference):
        return self.get(f"/v2/{repo}/manifests/{reference}", headers={"Accept": MANIFEST_TYPES})

    def tags(self, repo):
        return self.get(f"/v2/{repo}/tags/list").expect(200).json()["tags"]

    def catalog(self):
        return self.get("/v2/_catalog").expect(200).json()["repositories"]

    # Whole images

    def push(self, image, repo, reference):
        """Blobs, children, manifest; the digest is acknowledged when this returns."""
        for digest, data in image.blobs.items():
            if not self.has_blob(repo, digest):
                self.push_blob(repo, data, digest)
        for child in image.children:
            self.push(child, repo, child.digest)
        reply = self.put_manifest(repo, reference, image.manifest, image.media_type).expect(201)
        assert reply.headers["Docker-Content-Digest"] == image.digest
        return image.digest

    def verify(self, repo, reference):
        """Pulls everything below a reference and checks each digest; the manifest's digest is the result."""
        reply = self.manifest(repo, reference).expect(200)
        digest = reply.headers["Docker-Content-Digest"]
        assert digest_of(reply.body, digest) == digest, (repo, reference)
        document = reply.json()
        for child in document.get("manifests") or []:
            assert self.verify(repo, child["digest"]) == child["digest"]
        config = [document["config"]] if "config" in document else []
        for part in config + (document.get("layers") or []):
            blob = self.blob(repo, part["digest"]).expect(200)
            assert len(blob.body) == part["size"], (repo, reference, part)
            assert digest_of(blob.body, part["digest"]) == part["digest"], (repo, reference, part)
        return digest
