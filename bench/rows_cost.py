# SPDX-License-Identifier: Apache-2.0
"""What it costs to be there: idle connections, memory, the start."""

import contextlib
import subprocess
import threading
import time

import proc
from results import US, Aim, at_most
from rows import Row, wrk
from servers import DockerRegistry, Nginx, Roadstead

CONNECTIONS = 10_000
AS_FAST = 0.95  # below this a pull beside idle connections counts as slower; two equal runs differ by some per cent


class Idle(Row):
    name = "idle"
    title = "10,000 idle keep-alive connections"
    method = ("Each connection has made one request and is asked once more at the end: one that the server closed fails the row. "
              "Memory is the resident set of the whole server.")
    kinds = (Roadstead, DockerRegistry)
    columns = (("resident_mb", "resident MB", ".1f"), ("pull", "blob GET GB/s", ".2f"), ("rate", "manifest GET requests/s", ",.0f"),
               ("p99_ms", "manifest p99 ms", ".2f"))
    round_factor = 0.6
    without, beside = "without", "with 10,000 idle"

    def measure(self, bench, subject, samples):
        self._pull(bench, subject, None)
        self._pull(bench, subject, samples, self.without)
        with Crowd(bench, subject):
            self._pull(bench, subject, samples, self.beside)

    def _pull(self, bench, subject, samples, case=""):
        resident = proc.resident_mb(subject.pid)
        (got,) = bench.client("pull", subject.address, bench.seed.blob_path, 1, 2 if bench.quick else 8)
        rate, _requests, p99 = wrk(bench, f"http://{subject.address}{bench.seed.manifest_path}", 32, 1 if bench.quick else 2)
        if samples:
            samples.add(case, subject.name, resident_mb=max(resident, proc.resident_mb(subject.pid)), rate=rate, p99_ms=p99,
                        pull=got["bytes"] / got["seconds"] / 1e9)

    def aims(self, samples):
        work = "10,000 idle keep-alive connections"
        yield at_most(f"{work}: resident memory", samples.median(self.beside, US, "resident_mb"), 60, "MB")
        for metric, what in (("pull", "blob"), ("rate", "manifest")):
            ratio = samples.ratio(metric, (self.beside, US), (self.without, US))
            yield Aim(f"{work}: {what} pulls as fast as without", f"≥ {AS_FAST} × without", "not run", None) if ratio is None \
                else Aim(f"{work}: {what} pulls as fast as without", f"≥ {AS_FAST} × without", f"{ratio:.2f} ×", ratio >= AS_FAST)


class Crowd:
    """The idle connections, held by bench/idle.c within a `with` block."""

    def __init__(self, bench, server):
        self.command = [bench.client_path("idle"), server.address, str(CONNECTIONS), bench.seed.manifest_path]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{CONNECTIONS} connections: {self.process.communicate()[1].strip()}")
        return self

    def __exit__(self, kind, *_):
        out, errors = self.process.communicate()
        if kind is None and out.split() != ["alive", str(CONNECTIONS)]:
            raise RuntimeError(f"of {CONNECTIONS} idle connections: {out.strip() or errors.strip()}")


class Memory(Row):
    name = "memory"
    title = "Private memory"
    method = ("Private_Clean + Private_Dirty of smaps_rollup, read every 20 ms during 100 concurrent pulls of 256 MiB (the highest "
              "counts), on a server just started; MB are 10⁶ bytes.")
    kinds = (Roadstead, DockerRegistry, Nginx)
    columns = (("idle_mb", "idle after the start MB", ".1f"), ("during_mb", "during 100 pulls MB", ".1f"),
               ("after_mb", "1 s after them MB", ".1f"), ("rate", "GB/s", ".2f"))
    round_factor = 0.6
    case = "100 clients"

    def subjects(self, bench):
        return contextlib.nullcontext(bench.readers(*self.kinds))  # each measurement starts its own

    def measure(self, bench, subject, samples):
        with subject:
            time.sleep(0.5)
            idle = proc.private_mb(subject.pid)
            with Watch(subject.pid) as watch:
                (got,) = bench.client("pull", subject.address, bench.seed.blob_path, 100, 1)
            time.sleep(1)
            samples.add(self.case, subject.name, idle_mb=idle, during_mb=watch.highest, rate=got["bytes"] / got["seconds"] / 1e9,
                        after_mb=proc.private_mb(subject.pid))

    def aims(self, samples):
        yield at_most("private memory, idle", samples.median(self.case, US, "idle_mb"), 10, "MB")
        yield at_most("private memory during 100 concurrent 256 MiB pulls", samples.median(self.case, US, "during_mb"), 40, "MB")


class Watch:
    """The highest private memory of a process within a `with` block."""

    def __init__(self, pid):
        self.pid, self.highest = pid, 0.0
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.stop.wait(0.02):
            self.highest = max(self.highest, proc.private_mb(self.pid))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class Start(Row):
    name = "start"
    title = "Start to first answer"
    method = "From before the fork to the first 200 of `GET /v2/`, asked for every 0.1 ms; on the data directory with the image."
    kinds = (Roadstead, DockerRegistry, Nginx)
    columns = (("ms", "ms", ".1f"),)
    case = "GET /v2/"

    def subjects(self, bench):
        return contextlib.nullcontext(bench.readers(*self.kinds))  # each measurement starts its own

    def measure(self, bench, subject, samples):
        for _ in range(3 if bench.quick else 10):
            (ms,) = bench.client("start", subject.address, "/v2/", *subject.command)
            samples.add(self.case, subject.name, ms=ms)

    def aims(self, samples):
        yield at_most("start to first answer", samples.median(self.case, US, "ms"), 20, "ms")
