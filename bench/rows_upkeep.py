# SPDX-License-Identifier: Apache-2.0
"""Collection: how long it takes beside docker-registry's own, and what clients notice while it goes on."""

import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time

import littered
from results import US, at_least, at_most
from rows import Row
from rows_write import LAYER_SIZE, LAYERS, PARALLEL
from servers import DockerRegistry, Roadstead

IMAGES, QUICK_IMAGES = 10_000, 1_000
PLACES = ("tmpfs", "disk")
MUCH, LITTLE = 3, 25  # of so many images of a repository the first is deleted, and so on: 9 of 25, and 1
# What is collected: a place, and of how many images one is deleted.
CASES = {"35 % garbage, tmpfs": ("tmpfs", MUCH), "4 % garbage, tmpfs": ("tmpfs", LITTLE), "35 % garbage, disk": ("disk", MUCH)}
DRY_RUNS = 3
PEER = DockerRegistry.name


@contextlib.contextmanager
def _registry(bench, place, deleted):
    """A registry with garbage, and its directory."""
    registry = littered.Registry(QUICK_IMAGES if bench.quick else IMAGES, deleted)
    with bench.fresh(bench.shared_memory if place == "tmpfs" else bench.disk) as data:
        registry.write(data)
        yield registry, data


class Collector:
    """A program's garbage-collect. `registries`: those that are its own to collect, by case."""

    def __init__(self, kind, binary, registries=None):
        self.kind, self.name, self.binary, self.registries = kind, kind.name, binary, registries

    def command(self, scratch, data, *flags):
        return [self.binary, "garbage-collect", *flags, self.kind(self.binary, data, scratch).config_path]

    def run(self, scratch, data, *flags):
        """Seconds on the clock, and of CPU."""
        with open(os.path.join(scratch, f"collect-{self.name}.log"), "wb+") as log:
            os.sync()
            begin = time.monotonic()
            process = subprocess.Popen(self.command(scratch, data, *flags), stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=log)
            _pid, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.monotonic() - begin
            if process.returncode != 0:
                log.seek(0)
                raise RuntimeError(f"{self.name} garbage-collect: {log.read()[-300:].decode(errors='replace')}")
        return seconds, usage.ru_utime + usage.ru_stime


class Collect(Row):
    name = "collect"
    title = "Garbage collection of 10,000 images"
    method = (f"`garbage-collect` as a command, no server running, its output thrown away: {IMAGES:,} images of {littered.LAYERS} layers in "
              f"{littered.REPOSITORIES} repositories, 200,000 blobs. Of 36 % (4 %) of the images revision and tags were deleted, by which 70,000 (7,600) blobs are "
              "garbage. Each program has a directory of its own with the same bytes, in the page cache, synced; afterwards exactly the same blobs must be "
              "left. Ours also removes the layer links that lead to what is gone (67,600, 7,200), which docker-registry leaves. The dry run removes nothing "
              f"and is made {DRY_RUNS} times.")
    columns = (("dry", "dry run s", ".2f"), ("dry_cpu", "dry run CPU s", ".2f"), ("seconds", "collection s", ".2f"),
               ("cpu", "collection CPU s", ".2f"))
    round_factor = 0  # one round: all is written before anything is removed, as some file systems make files slowly after that

    @contextlib.contextmanager
    def subjects(self, bench):
        kinds = [kind for kind in (Roadstead, DockerRegistry) if bench.binaries.get(kind.program)]
        with contextlib.ExitStack() as stack:
            yield [Collector(kind, bench.binaries[kind.program],
                             {case: stack.enter_context(_registry(bench, *what)) for case, what in CASES.items()})
                   for kind in kinds]

    def measure(self, bench, subject, samples):
        with tempfile.TemporaryDirectory(dir=bench.disk) as scratch:
            for case, (registry, data) in subject.registries.items():
                for _ in range(DRY_RUNS):
                    dry, dry_cpu = subject.run(scratch, data, "-d")
                    samples.add(case, subject.name, dry=dry, dry_cpu=dry_cpu)
                seconds, cpu = subject.run(scratch, data)
                registry.assert_collected(data, subject.name == US)
                samples.add(case, subject.name, seconds=seconds, cpu=cpu)

    def aims(self, samples):
        for case in CASES:
            for metric, what in (("seconds", "collection"), ("dry", "dry run of a collection")):
                yield at_least(f"{what} of 10,000 images with 200,000 blobs, {case}: docker-registry's time",
                               samples.ratio(metric, (case, PEER), (case, US)), 10, "× ours")


CLIENTS, RATE = 4, 50  # of pulls, each of manifests and of blobs; requests a second of each
PATHS = 2_000


class Endless:
    """`roadstead garbage-collect` again and again, beside a server, within a `with` block."""

    def __init__(self, command):
        self.command, self.runs, self.failure = command, 0, None
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.ended.is_set() and not self.failure:
            done = subprocess.run(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self.runs += 1
            if done.returncode != 0:
                self.failure = done.stderr[-300:].decode(errors="replace")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        if self.failure:
            raise RuntimeError(f"garbage-collect beside a server: {self.failure}")


class Place:
    """A server on a registry with garbage."""

    name = US

    def __init__(self, case, registry, data, server):
        self.case, self.registry, self.data, self.server = case, registry, data, server


class Meanwhile(Row):
    name = "meanwhile"
    title = "Pushes and pulls while a collection goes on"
    method = (f"A server on the registry of `collect` with 35 % garbage. Without: nothing else. With: `garbage-collect` beside it all the time, one run after the other; the "
              f"first finds 70,000 blobs to take. Pushes: images of {LAYERS} layers of 50 kB one after the other, as in `images`. Pulls beside them: {CLIENTS} "
              f"connections for manifests and {CLIENTS} for (tiny) blobs at random, {RATE} requests a second on each, timed from when they were due. "
              "docker-registry is not in it: it cannot collect while it accepts pushes, and has to be read-only.")
    columns = (("rate", "images/s pushed", ".1f"), ("mb", "MB/s", ".1f"), ("manifest_p50", "manifest p50 ms", ".2f"),
               ("manifest_p99", "p99 ms", ".2f"), ("blob_p50", "blob p50 ms", ".2f"), ("blob_p99", "p99 ms", ".2f"),
               ("slowest", "slowest ms", ".0f"), ("runs", "collections", ".0f"))
    round_factor = 0.6
    without, beside = "without", "with"

    @contextlib.contextmanager
    def subjects(self, bench):
        with contextlib.ExitStack() as stack:
            places = []
            for place in PLACES:
                registry, data = stack.enter_context(_registry(bench, place, MUCH))
                if (server := bench.server(Roadstead, data)) is not None:
                    places.append(Place(place, registry, data, stack.enter_context(server)))
            yield places

    def measure(self, bench, subject, samples):
        seconds = 2 if bench.quick else 10
        self._load(bench, subject, 1)
        samples.add(f"{subject.case}, {self.without}", US, **self._load(bench, subject, seconds))
        subject.registry.write(subject.data)  # the garbage is back
        os.sync()
        command = Collector(Roadstead, bench.binaries[Roadstead.program]).command(subject.server.scratch, subject.data, "-q")
        with Endless(command) as collector:
            figures = self._load(bench, subject, seconds)
        samples.add(f"{subject.case}, {self.beside}", US, runs=collector.runs, **figures)

    @staticmethod
    def _load(bench, subject, seconds):
        server, pushed, time_of_pushes = subject.server, 0, 0.0
        with Pulls(bench, server, subject.registry.manifest_paths(PATHS), seconds) as manifests, \
                Pulls(bench, server, subject.registry.blob_paths(PATHS), seconds) as blobs:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                got = bench.client("images", server.address, "bench/small", 5, LAYERS, LAYER_SIZE, PARALLEL)
                pushed, time_of_pushes = pushed + len(got), time_of_pushes + sum(image["seconds"] for image in got)
        rate = pushed / time_of_pushes
        return {"rate": rate, "mb": rate * LAYERS * LAYER_SIZE / 1e6, "slowest": 1e3 * max(manifests.got["max"], blobs.got["max"]),
                **{f"{name}_{p}": 1e3 * pulls.got[p] for name, pulls in (("manifest", manifests), ("blob", blobs)) for p in ("p50", "p99")}}

    def aims(self, samples):
        for place in PLACES:
            ours, bare = (f"{place}, {self.beside}", US), (f"{place}, {self.without}", US)
            yield at_least(f"pushes while a collection goes on, {place}: images/s", samples.ratio("rate", ours, bare), 0.7, "× without")
            for what in ("manifest", "blob"):
                yield at_most(f"pulls while a collection goes on, {place}: {what} p99", samples.median(*ours, f"{what}_p99"), 20, "ms").beside(
                    samples.ratio(f"{what}_p99", ours, bare), "without")


class Pulls:
    """bench/latency.c within a `with` block; `got` is what it printed."""

    def __init__(self, bench, server, paths, seconds):
        self.file = os.path.join(server.scratch, f"paths-{id(self)}")
        with open(self.file, "w") as file:
            file.writelines(f"{path}\n" for path in paths)
        self.command = [bench.client_path("latency"), server.address, self.file, str(CLIENTS), str(RATE), str(seconds)]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_):
        out, errors = self.process.communicate()
        os.unlink(self.file)
        if self.process.returncode != 0:
            raise RuntimeError(f"latency: {errors.strip()}")
        self.got = json.loads(out)
