# SPDX-License-Identifier: Apache-2.0
"""What a registry costs as it grows: lists of 100 to 100,000 names, and reads with 1 to 100,000 images stored."""

import contextlib
import hashlib
import http.client
import json
import os
import statistics
import time

import proc
import scale
from results import US, at_least, at_most
from rows import Row
from servers import DockerRegistry, Roadstead

LIST_SIZES = (100, 10_000, 100_000)
IMAGE_SIZES = (1, 1_000, 100_000)
PAGE = 100
REFERRERS = 10
SLOW = 1.0  # seconds: who takes longer is asked once


class Client:
    """One keep-alive connection."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection(server.address, timeout=120)

    def ask(self, path, method="GET", body=None, headers={}, expect=200):
        self.connection.request(method, path, body=body, headers=headers)
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status != expect:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:200]!r}")
        return text

    def milliseconds(self, times, *arguments, **keywords):
        """The median time of an answer."""
        taken = []
        while len(taken) < times and (not taken or taken[-1] < SLOW):
            begin = time.perf_counter()
            self.ask(*arguments, **keywords)
            taken.append(time.perf_counter() - begin)
        return statistics.median(taken) * 1e3


class Placed:
    """A server on one of the large registries."""

    def __init__(self, server, size, fact=None):
        self.server, self.size, self.name, self.fact = server, size, server.name, fact
        self.client = Client(server)


class Scale(Row):
    """The registries are made once; every server then serves each of them. `make` writes one."""

    kinds = (Roadstead, DockerRegistry)
    sizes = ()

    @staticmethod
    def make(data, size):
        raise NotImplementedError

    @contextlib.contextmanager
    def subjects(self, bench):
        sizes = self.sizes[:2] if bench.quick else self.sizes
        with contextlib.ExitStack() as stack:
            placed = []
            for size in sizes:
                data = stack.enter_context(bench.fresh(bench.disk))
                fact = self.make(data, size)
                os.sync()
                servers = [server for kind in self.kinds if (server := bench.server(kind, data))]
                placed += [Placed(stack.enter_context(server), size, fact) for server in servers]
            for subject in placed:
                self.warm(subject)
            yield placed

    def warm(self, subject):
        """What the first requests cost is not measured."""

    def most(self, samples):
        """The largest size that was measured (a quick run leaves the last one out)."""
        return max((size for size in self.sizes if samples.median(_case(size), US, self.columns[0][0])), default=self.sizes[-1])


class Lists(Scale):
    name = "lists"
    title = "Tag list and catalog"
    method = (f"Pages of {PAGE} names over one connection, the median of 20 answers, the client's time included. docker-registry 2.8.2 has "
              "no pages of tags and always sends the whole list. `changed`: the first page after a tag was pushed, which finds the "
              "directory changed. `push`: PUT of a manifest under a new tag. Memory: anonymous, after all of it.")
    columns = (("tags_first", "tags, first ms", ".2f"), ("tags_later", "tags, later ms", ".2f"), ("tags_1000", "1,000 tags ms", ".2f"),
               ("catalog_first", "catalog, first ms", ".2f"), ("catalog_later", "catalog, later ms", ".2f"),
               ("catalog_1000", "1,000 repositories ms", ".2f"), ("changed", "changed ms", ".1f"), ("push", "push ms", ".2f"),
               ("memory_mb", "anonymous MB", ".1f"))
    sizes = LIST_SIZES
    make = staticmethod(scale.lists)

    def warm(self, subject):
        subject.pushes = 0
        subject.client.ask(f"/v2/{scale.TAGS}/tags/list?n={PAGE}")
        subject.client.ask(f"/v2/_catalog?n={PAGE}")
        subject.manifest = subject.client.ask(f"/v2/{scale.TAGS}/manifests/v000000", headers={"Accept": scale.MANIFEST_TYPE})

    def _push(self, subject):
        """Replaces nothing that the lists of other rounds need: new tags sort behind all others."""
        subject.pushes += 1
        return subject.client.milliseconds(
            1, f"/v2/{scale.TAGS}/manifests/z-{subject.name[0]}{subject.pushes:06}", "PUT", subject.manifest,
            {"Content-Type": scale.MANIFEST_TYPE}, 201)

    def measure(self, bench, subject, samples):
        client, tags, catalog = subject.client, f"/v2/{scale.TAGS}/tags/list", "/v2/_catalog"
        middle = f"{subject.size // 2:06}"
        pushes = [self._push(subject) for _ in range(20)]
        changed = client.milliseconds(1, f"{tags}?n={PAGE}")
        time.sleep(0.05)
        client.ask(f"{tags}?n={PAGE}")
        figures = {
            "tags_first": client.milliseconds(20, f"{tags}?n={PAGE}"),
            "tags_later": client.milliseconds(20, f"{tags}?n={PAGE}&last=v{middle}"),
            "tags_1000": client.milliseconds(20, f"{tags}?n=1000&last=v{middle}"),
            "catalog_first": client.milliseconds(20, f"{catalog}?n={PAGE}"),
            "catalog_later": client.milliseconds(20, f"{catalog}?n={PAGE}&last=r{middle}"),
            "catalog_1000": client.milliseconds(20, f"{catalog}?n=1000&last=r{middle}"),
        }
        samples.add(_case(subject.size), subject.name, changed=changed, push=statistics.median(pushes),
                    memory_mb=proc.anonymous_mb(subject.server.pid), **figures)

    def aims(self, samples):
        most = _case(self.most(samples))
        for metric, what in (("tags_first", "first page of tags"), ("tags_later", "later page of tags"),
                             ("tags_1000", "page of 1,000 tags"), ("catalog_first", "first page of the catalog"),
                             ("catalog_later", "later page of the catalog"), ("catalog_1000", "page of 1,000 repositories")):
            yield at_most(f"{most}: {what}", samples.median(most, US, metric), 5, "ms").beside(
                samples.ratio(metric, (most, US), (most, DockerRegistry.name)), "docker-registry")
        yield at_most(f"push with {most} beside 100", samples.ratio("push", (most, US), (_case(LIST_SIZES[0]), US)), 1.25, "×")
        yield at_most(f"memory with {most}", samples.median(most, US, "memory_mb"), 16, "MB")


class Stored(Scale):
    name = "stored"
    title = "Reads with many images stored"
    method = (f"Images in one repository; the referrers are {REFERRERS}, of one of them. One connection, the median of 200 answers, the client's "
              "time included. docker-registry 2.8.2 has no referrers. `restart`: the first referrers answer of a fresh process.")
    columns = (("tag", "by tag ms", ".3f"), ("digest", "by digest ms", ".3f"), ("referrers", "referrers ms", ".3f"),
               ("restart", "restart ms", ".0f"), ("memory_mb", "anonymous MB", ".1f"))
    sizes = IMAGE_SIZES
    make = staticmethod(scale.images)

    def warm(self, subject):
        if subject.name == US:
            for i in range(REFERRERS):
                self._refer(subject, i)
            subject.restart = subject.client.milliseconds(1, self._referrers(subject))

    @staticmethod
    def _referrers(subject):
        return f"/v2/{scale.IMAGES}/referrers/{subject.fact}"

    @staticmethod
    def _refer(subject, number):
        size = len(subject.client.ask(f"/v2/{scale.IMAGES}/manifests/{subject.fact}", headers={"Accept": scale.MANIFEST_TYPE}))
        config = {"mediaType": "application/vnd.example.test", "size": len(scale.CONFIG),
                  "digest": "sha256:" + hashlib.sha256(scale.CONFIG).hexdigest()}
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": scale.MANIFEST_TYPE, "config": config, "layers": [],
            "subject": {"mediaType": scale.MANIFEST_TYPE, "size": size, "digest": subject.fact},
            "annotations": {"number": str(number)},
        }).encode()
        digest = "sha256:" + hashlib.sha256(manifest).hexdigest()
        subject.client.ask(f"/v2/{scale.IMAGES}/manifests/{digest}", "PUT", manifest, {"Content-Type": scale.MANIFEST_TYPE}, 201)

    def measure(self, bench, subject, samples):
        accept = {"Accept": scale.MANIFEST_TYPE}
        figures = {"tag": subject.client.milliseconds(200, f"/v2/{scale.IMAGES}/manifests/middle", headers=accept),
                   "digest": subject.client.milliseconds(200, f"/v2/{scale.IMAGES}/manifests/{subject.fact}", headers=accept)}
        if subject.name == US:
            index = json.loads(subject.client.ask(self._referrers(subject)))
            if len(index["manifests"]) != REFERRERS:
                raise RuntimeError(f"{len(index['manifests'])} referrers instead of {REFERRERS}")
            figures["referrers"] = subject.client.milliseconds(200, self._referrers(subject))
            figures["restart"] = subject.restart
        samples.add(_case(subject.size, "image"), subject.name, memory_mb=proc.anonymous_mb(subject.server.pid), **figures)

    def most(self, samples):
        return max((size for size in self.sizes if samples.median(_case(size, "image"), US, "tag")), default=self.sizes[-1])

    def aims(self, samples):
        most, one = _case(self.most(samples), "image"), _case(1, "image")
        for metric, what in (("tag", "GET by tag"), ("digest", "GET by digest"), ("referrers", "referrers")):
            yield at_most(f"{most} beside 1: {what}", samples.ratio(metric, (most, US), (one, US)), 1.25, "×")
        yield at_least(f"{most}: GET by tag, docker-registry's time", samples.ratio("tag", (most, DockerRegistry.name), (most, US)), 1,
                       "× ours")


def _case(size, what="name"):
    return f"{size:,} {what}" + ("s" if size > 1 else "")
