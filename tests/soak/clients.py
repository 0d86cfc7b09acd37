# SPDX-License-Identifier: Apache-2.0
"""The clients of a soak: each function is one conversation of one kind of client.

The good ones know what they must get and raise Broken when they get something else; Refused is a server that had no
room for them. The bad ones only have to be survived.
"""

import json
import socket
import threading
import time

from talk import Broken, Refused, Talk, chunked, digest, make

SIZES = (0, 1, 700, 20_000, 300_000, 3_000_000, 20_000_000)
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class World:
    """What the clients of one process share."""

    def __init__(self, places, blobs, rng, patient):
        self.places = places  # addresses to connect to
        self.blobs = blobs  # {digest: bytes} that are there from the start
        self.rng = rng
        self.busy = (503,) if patient else (503, 500)  # with too few descriptors a file may not open
        self.pushed = []  # what the server has acknowledged: (repository, digest, tag)

    def talk(self, **more):
        return Talk(self.rng.choice(self.places), **more)

    def blob(self, most=1 << 40):
        return self.rng.choice([(d, b) for d, b in self.blobs.items() if len(b) <= most])


def expect(reply, *statuses):
    if reply.status not in statuses:
        raise Broken(f"expected {statuses}, got {reply}")


def pull(world):
    """Several pulls over one connection, whole ones and parts."""
    with world.talk() as t:
        for _ in range(world.rng.randrange(1, 6)):
            name, data = world.blob(3_000_000)
            first = world.rng.randrange(0, len(data)) if data and world.rng.random() < 0.4 else None
            fields = [] if first is None else [f"Range: bytes={first}-"]
            reply = t.ask("GET", f"/v2/base/blobs/{name}", fields=fields)
            if reply.status in world.busy:
                return
            expect(reply, 200 if first is None else 206)
            if reply.body != data[first or 0 :]:
                raise Broken(f"other bytes than pushed under {name}")
            reply = t.ask("GET", "/v2/base/manifests/latest")
            if reply.status in world.busy:
                return
            expect(reply, 200)
            if digest(reply.body) != reply.fields["docker-content-digest"]:
                raise Broken("a manifest's bytes do not have its digest")


def pull_large(world):
    name, data = max(world.blobs.items(), key=lambda item: len(item[1]))
    with world.talk() as t:
        reply = t.ask("GET", f"/v2/base/blobs/{name}")
        if reply.status not in world.busy:
            expect(reply, 200)
            if reply.body != data:
                raise Broken("a large blob came wrong")


def push(world):
    """Begins an upload, sends it in one or more pieces of either framing, and a manifest; then reads it all back."""
    rng = world.rng
    data = make(rng.random(), rng.choice((1, 900, 60_000, 900_000)))
    repository = f"push/r{rng.randrange(8)}"
    with world.talk() as t:
        reply = t.ask("POST", f"/v2/{repository}/blobs/uploads/", body=b"")
        if reply.status in world.busy:
            return
        expect(reply, 202)
        cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(3)))
        for first, last in zip([0, *cuts], [*cuts, len(data)]):
            reply = send_piece(t, rng, "PATCH", reply.fields["location"], data[first:last])
            if reply.status in world.busy:
                return
            expect(reply, 202)
        place = reply.fields["location"]
        reply = t.ask("PUT", place + ("&" if "?" in place else "?") + "digest=" + digest(data), body=b"")
        if reply.status in world.busy:
            return
        expect(reply, 201)
        push_manifest(world, t, repository, data)


def path(place):
    return place[place.index("/v2/") :] if "://" in place else place


def send_piece(t, rng, method, place, piece):
    fields = ["Expect: 100-continue"] if rng.random() < 0.2 else []
    if rng.random() < 0.5:
        return t.ask(method, path(place), body=piece, fields=fields)
    lines = [f"{method} {path(place)} HTTP/1.1", "Host: soak", "Transfer-Encoding: chunked", *fields]
    t.send("\r\n".join([*lines, "", ""]).encode() + chunked(piece, rng))
    return t.reply(method)


def push_manifest(world, t, repository, data):
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(data), "size": len(data)}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": layer, "layers": [layer]}).encode()
    tag = f"t{world.rng.randrange(1000)}"
    reply = t.ask("PUT", f"/v2/{repository}/manifests/{tag}", body=manifest, fields=[f"Content-Type: {MANIFEST}"])
    if reply.status in world.busy:
        return
    expect(reply, 201)
    world.pushed.append((repository, digest(data), digest(manifest)))
    reply = t.ask("GET", f"/v2/{repository}/blobs/{digest(data)}")
    if reply.status in world.busy:
        return
    expect(reply, 200)
    if reply.body != data:
        raise Broken("a pushed blob came back wrong")


def pipeline(world):
    """Many requests at once, some with bodies; the replies must come in their order."""
    rng, asked, said = world.rng, [], []
    for _ in range(rng.choice((2, 10, 60, 200))):
        name, data = world.blob(700)
        kind = rng.randrange(5)
        if kind == 0:
            said.append(f"HEAD /v2/base/blobs/{name} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            asked.append(("HEAD", 200, b""))
        elif kind == 1:
            said.append(b"GET /v2/none/manifests/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc")
            asked.append(("GET", 404, None))
        elif kind == 2:
            head = f"PUT /v2/base/blobs/uploads/{rng.randrange(9)} HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n"
            said.append(head.encode() + bytes(5000))
            asked.append(("PUT", 404, None))
        elif kind == 3:
            said.append(b"\r\nGET /v2/base/tags/list HTTP/1.1\r\nHost: h\r\n\r\n")
            asked.append(("GET", 200, None))
        else:
            said.append(f"GET /v2/base/blobs/{name} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
            asked.append(("GET", 200, data))
    with world.talk() as t:
        sender = threading.Thread(target=t.send_quietly, args=(b"".join(said),))
        sender.start()  # who only sends and does not read meanwhile is given up, and rightly so
        try:
            read_pipeline(world, t, asked)
        finally:
            t.end()
            sender.join()


def read_pipeline(world, t, asked):
    for i, (method, status, body) in enumerate(asked):
        try:
            reply = t.reply(method)
        except Refused:
            return
        if reply.status in world.busy or reply.fields.get("connection") == "close":
            return
        expect(reply, status)
        if body is not None and reply.body != body:
            raise Broken(f"reply {i} of a pipeline is another one's")


def half_close(world):
    name, data = world.blob()
    with world.talk() as t:
        t.send(f"GET /v2/base/blobs/{name} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        try:
            t.s.shutdown(socket.SHUT_WR)
        except OSError:
            return
        reply = t.reply()
        if reply.status not in world.busy and reply.body != data:
            raise Broken("a half-closed connection got other bytes")


def slow_reader(world):
    """Slow, but faster than the minimum rate: it must get every byte."""
    name, data = world.blob(3_000_000)
    until = time.monotonic() + world.rng.uniform(1, 8)

    def pace(n):
        if time.monotonic() < until:
            time.sleep(n / 400_000)

    with world.talk(receive_buffer=32768) as t:
        reply = t.ask("GET", f"/v2/base/blobs/{name}", pace=pace)
        if reply.status not in world.busy and reply.body != data:
            raise Broken("a slow reader got other bytes")


# --- those that mean harm, or are merely broken ---


def stop_reading(world):
    name, _ = world.blob()
    with world.talk(receive_buffer=4096) as t:
        t.send(f"GET /v2/base/blobs/{name} HTTP/1.1\r\nHost: h\r\n\r\n".encode() * world.rng.choice((1, 1, 20)))
        time.sleep(world.rng.uniform(0, 6))
        if world.rng.random() < 0.5:
            t.reset()


def abort_pull(world):
    name, _ = world.blob()
    with world.talk() as t:
        t.send(f"GET /v2/base/blobs/{name} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        for _ in range(world.rng.randrange(4)):
            t.more()
        if world.rng.random() < 0.5:
            t.reset()


def abort_push(world):
    rng = world.rng
    with world.talk() as t:
        reply = t.ask("POST", "/v2/aborted/blobs/uploads/", body=b"")
        if reply.status != 202:
            return
        framing = rng.choice(("Content-Length: 5000000", "Transfer-Encoding: chunked", "Content-Length: 20\r\nExpect: 100-continue"))
        t.send(f"PATCH {path(reply.fields['location'])} HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n".encode())
        t.send(rng.choice((b"", b"5\r\nhello\r\n", b"ffff\r\n", rng.randbytes(rng.choice((10, 200_000))))))
        time.sleep(rng.uniform(0, 1))
        rng.choice((t.reset, t.s.close, lambda: t.s.shutdown(socket.SHUT_WR)))()


def drip_body(world):
    with world.talk() as t:
        t.send(b"PUT /v2/base/manifests/drip HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
        end = time.monotonic() + world.rng.uniform(1, 8)
        while time.monotonic() < end and t.send(b"x"):
            time.sleep(0.2)


def drip_head(world):
    with world.talk() as t:
        for byte in b"GET /v2/ HTTP/1.1\r\nHost: h\r\nUser-Agent: " + b"x" * world.rng.randrange(60) + b"\r\n\r\n":
            if not t.send(bytes([byte])):
                return
            time.sleep(world.rng.choice((0, 0, 0.01, 0.1)))
            if world.rng.random() < 0.005:
                return
        t.reply()


def silence(world):
    talks = []
    try:
        for _ in range(world.rng.choice((1, 5, 30))):
            talks.append(world.talk())
            if world.rng.random() < 0.3:
                talks[-1].send(b"GET / HT")
        time.sleep(world.rng.uniform(0, 4))
    finally:
        for t in talks:
            t.s.close()


def storm(world):
    for _ in range(world.rng.choice((10, 40))):
        with world.talk() as t:
            if world.rng.random() < 0.5:
                t.send(b"GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n")
            if world.rng.random() < 0.5:
                t.reset()


REQUESTS = (
    b"GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n",
    b"PUT /v2/base/manifests/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /v2/base/blobs/uploads/?digest=sha256:00&mount=a&from=b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    b"GET /v2/base/tags/list?n=1&last=%00%zz HTTP/1.0\r\nX-Forwarded-Host: a.b\r\nForwarded: host=\"x\"\r\n\r\n",
    b"GET http://user@host:99/v2/%0d%0aa/manifests/%0a HTTP/1.1\r\nHost: h\r\nRange: bytes=5-2,-\r\n\r\n",
    b"PATCH /v2/a/blobs/uploads/00000000-0000-0000-0000-000000000000 HTTP/1.1\r\nHost: [::1]:5\r\nContent-Range: 5-2\r\n"
    b"Content-Length: 1\r\n\r\nx",
)


def mutate(world):
    """Requests with some bytes changed, doubled or left out."""
    rng = world.rng
    data = bytearray(b"".join(rng.choice(REQUESTS) for _ in range(rng.randrange(1, 4))))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data))
        what = rng.randrange(4)
        if what == 0:
            data[at] = rng.choice(b"\r\n\0 :;,%/\t" + bytes([rng.randrange(256)]))
        elif what == 1:
            del data[at : at + rng.randrange(1, 8)]
        elif what == 2:
            data[at:at] = data[at : at + rng.randrange(1, 30)]
        else:
            data[at:at] = rng.choice((b"\r\n", b"\r\n\r\n", b"Content-Length: 7\r\n", b"ffffffffffffffff", b"\n"))
        if not data:
            return
    drain(world, bytes(data))


def garbage(world):
    rng = world.rng
    drain(world, rng.choice((
        rng.randbytes(rng.randrange(1, 3000)),
        b"\r\n" * 100_000,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 300 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00" + rng.randbytes(500),
        b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 20_000,
        b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 20_000,
    )))


def drain(world, data):
    """Sends it and reads what comes, with little patience: the server may well wait for more."""
    with world.talk(patience=world.rng.choice((0.05, 0.5))) as t:
        try:
            t.send(data)
            while t.more():
                pass
        except Broken:
            pass


GOOD = (pull, pull, pull, pull_large, push, push, push, pipeline, half_close, slow_reader)
BAD = (stop_reading, abort_pull, abort_pull, abort_push, abort_push, drip_body, drip_head, silence, storm, mutate, mutate, garbage)
