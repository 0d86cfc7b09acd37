# SPDX-License-Identifier: Apache-2.0
"""Clients that push without a pause and remember what was acknowledged, until the server dies under them."""

import http.client
import random
import threading

from . import images

BASE = ("crash base 1", "crash base 2")


class Pusher(threading.Thread):
    """Pushes image after image: each under its digest, a tag of its own, and the tag "moving"."""

    def __init__(self, server, repo, seed):
        super().__init__(daemon=True)
        self.server, self.repo, self.seed = server, repo, seed
        self.random = random.Random(seed)
        self.acknowledged = {}  # (repository, reference) → digest
        self.moving = set()     # what "moving" may be: what was acknowledged last, and what is under way
        self.failure = None
        self.ended = threading.Event()

    def run(self):
        try:
            for n in range(10**9):
                if self.ended.is_set():
                    return
                self.push_one(n)
        except (OSError, http.client.HTTPException):
            pass  # the server died, as it should
        except BaseException as failure:
            self.failure = failure

    def push_one(self, n):
        seed = f"{self.seed}/{n}"
        size = self.random.choice((100, 5_000, 70_000, 600_000))
        if self.random.random() < 0.25:
            made = images.index(seed, layers=1, size=size, shared=BASE, raw=True, architectures=("amd64", "arm64"))
        else:
            made = images.image(seed, layers=2, size=size, shared=BASE, raw=True)
        self.acknowledge(f"v{n}", made)
        self.moving.add(made.digest)
        self.acknowledge("moving", made)
        self.moving = {made.digest}

    def acknowledge(self, tag, made):
        self.server.api.push(made, self.repo, tag)
        self.acknowledged[self.repo, tag] = made.digest
        self.acknowledged[self.repo, made.digest] = made.digest


class ChunkPusher(threading.Thread):
    """Uploads blob after blob in chunks, and remembers where the one under way stands."""

    def __init__(self, server, repo, seed):
        super().__init__(daemon=True)
        self.server, self.repo, self.seed = server, repo, seed
        self.acknowledged = {}  # digest → bytes
        self.data = self.location = None
        self.offset = 0
        self.failure = None
        self.ended = threading.Event()

    def run(self):
        try:
            for n in range(10**9):
                if self.ended.is_set():
                    return
                self.push_one(n)
        except (OSError, http.client.HTTPException):
            pass
        except BaseException as failure:
            self.failure = failure

    def push_one(self, n, size=64 * 1024):
        api = self.server.api
        data, self.location = images.random_bytes(f"{self.seed}/{n}", 400_000), None
        location = api.begin_upload(self.repo)
        self.data, self.location, self.offset = data, location, 0
        for offset in range(0, len(data), size):
            self.location = api.location(api.patch(self.location, data[offset:offset + size], offset).expect(202))
            self.offset = min(offset + size, len(data))
        last, self.location = self.location, None
        api.finish_upload(last, images.sha256(data)).expect(201)
        self.acknowledged[images.sha256(data)] = data
