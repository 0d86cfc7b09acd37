# SPDX-License-Identifier: Apache-2.0
"""Pushes: large blobs against the limit of the machine, and images of small layers, with the flushes counted."""

import contextlib
import os
import re
import signal
import statistics
import subprocess
import time

from results import US, at_least
from rows import Row, fresh_subjects
from servers import DockerRegistry, Limit, Roadstead, Usage

BLOB = 256 << 20
CHUNK = 16 << 20
PIPELINED = "limit, pipelined"
INLINE = "limit, inline"


class LimitSubject:
    def __init__(self, recipe):
        self.recipe, self.name = recipe, f"limit, {recipe}"

    @contextlib.contextmanager
    def on(self, bench, parent):
        with bench.fresh(parent) as data, Limit(bench.client_path("limit"), data, self.recipe) as limit:
            yield limit


class Pushes(Row):
    name = "push"
    title = "256 MiB blob push, on disk"
    method = ("Fresh content each time, made and hashed before the clock starts; time from the POST to the 201. The limit receives "
              "the same bytes from the same client, hashes with OpenSSL, writes and syncs once: `inline` just so, in one thread; "
              "`pipelined` with the hash in a second thread and early write-back, the best we know. The verdicts are held against "
              "`pipelined`, the stricter of the two; the ratio to `inline` stands beside.")
    columns = (("rate", "GB/s", ".3f"), ("cpu_gb", "server CPU s a GB", ".2f"), ("peak_mb", "peak MB", ".1f"))
    cases = (("one PUT", 0), ("PATCH chunks of 16 MiB", CHUNK))

    @contextlib.contextmanager
    def subjects(self, bench):
        yield [LimitSubject("pipelined"), *fresh_subjects(bench, Roadstead), LimitSubject("inline"),
               *fresh_subjects(bench, DockerRegistry)]

    def measure(self, bench, subject, samples):
        bare = isinstance(subject, LimitSubject)
        for case, chunk in ((("bare", 0),) if bare else self.cases):
            with subject.on(bench, bench.disk) as server:
                with Usage(server) as usage:
                    got = bench.client("push", server.address, "-" if bare else "bench/push", BLOB, chunk,
                                       2 if bench.quick else 5)
                timed = [push["seconds"] for push in got[1:]]  # the first one warms up
                samples.add(case, subject.name, rate=BLOB / statistics.median(timed) / 1e9,
                            cpu_gb=usage.cpu / (BLOB * len(got)) * 1e9, peak_mb=usage.peak_mb)

    def aims(self, samples):
        for case, _chunk in self.cases:
            pipelined, inline = (samples.ratio("rate", (case, US), ("bare", limit)) for limit in (PIPELINED, INLINE))
            yield at_least(f"256 MiB blob push, {case}: GB/s", pipelined, 0.8, "× the pipelined limit").beside(
                inline, "the inline limit")


LAYERS = 20
LAYER_SIZE = 50_000
PARALLEL = 5
FLUSHES = "fsync,fdatasync,syncfs,sync"


class Images(Row):
    name = "images"
    title = f"Push of an image of {LAYERS} layers of 50 kB"
    method = (f"As docker does it: HEAD, POST, chunked PATCH and PUT a layer, {PARALLEL} layers at once, the configuration, the manifest; "
              "every image has fresh layers, one image after the other. Flushes (fsync, fdatasync, syncfs, sync) are counted by "
              "strace in a separate run on the disk, outside the times.")
    columns = (("rate", "images/s", ".1f"), ("cpu_ms", "server CPU ms an image", ".1f"), ("peak_mb", "peak MB", ".1f"),
               ("flushes", "flushes an image", ".1f"))
    bounds = {"tmpfs": 5.0, "disk": 2.0}

    @contextlib.contextmanager
    def subjects(self, bench):
        yield fresh_subjects(bench, Roadstead, DockerRegistry)

    def measure(self, bench, subject, samples):
        count = 5 if bench.quick else 30
        for case in self.bounds:
            with subject.on(bench, _place(bench, case)) as server:
                with Usage(server) as usage:
                    got = _push_images(bench, server, count)
            samples.add(case, subject.name, rate=1 / statistics.median(image["seconds"] for image in got),
                        cpu_ms=usage.cpu / count * 1e3, peak_mb=usage.peak_mb)

    def finish(self, bench, samples):
        for subject in fresh_subjects(bench, Roadstead, DockerRegistry):
            if subject.name in samples.failures or "strace" not in bench.binaries:
                continue
            with subject.on(bench, bench.disk) as server:
                samples.add("disk", subject.name, flushes=count_flushes(bench, server, 5))

    def aims(self, samples):
        for case, bound in self.bounds.items():
            ratio = samples.ratio("rate", (case, US), (case, "docker-registry"))
            aim = at_least(f"push of an image of {LAYERS} layers of 50 kB, {case}", ratio, bound, "× docker-registry")
            flushes = samples.median(case, US, "flushes")
            if flushes is not None:
                aim.measured += f", {flushes:.0f} flushes an image"
            yield aim


def _place(bench, case):
    return bench.shared_memory if case == "tmpfs" else bench.disk


def _push_images(bench, server, count):
    return bench.client("images", server.address, "bench/small", count, LAYERS, LAYER_SIZE, PARALLEL)


def count_flushes(bench, server, images):
    """Attaches strace to the server while images are pushed."""
    with bench.fresh(bench.disk) as directory:
        output = os.path.join(directory, "strace")
        strace = subprocess.Popen([bench.binaries["strace"], "-f", "-qq", "-e", f"trace={FLUSHES}", "-o", output,
                                   "-p", str(server.pid)], stderr=subprocess.DEVNULL)
        time.sleep(0.5)  # attached to every thread by then
        try:
            _push_images(bench, server, images)
        finally:
            strace.send_signal(signal.SIGINT)
            strace.wait()
        with open(output) as trace:
            calls = [line for line in trace if re.match(rf"\d+ +({FLUSHES.replace(',', '|')})\(", line)]
    return len(calls) / images
