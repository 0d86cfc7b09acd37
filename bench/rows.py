# SPDX-License-Identifier: Apache-2.0
"""What every row of the bench does: prepare its subjects, measure them in turn, round after round."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import servers
from results import Samples


class Bench:
    """Where things are, and how much to do."""

    def __init__(self, clients, binaries, rounds, quick):
        self.clients, self.binaries, self.rounds, self.quick = clients, binaries, rounds, quick
        self.seed = self.disk = self.shared_memory = None

    def client_path(self, name):
        return os.path.join(self.clients, "bench-" + name)

    def client(self, name, *arguments):
        """Runs a load generator; returns its JSON lines."""
        done = subprocess.run([self.client_path(name), *map(str, arguments)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{name}: {done.stderr.strip()}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def server(self, kind, data):
        """A server, not yet started, or None if it is not there."""
        binary = self.binaries.get(kind.program)
        return kind(binary, data, os.path.join(self.disk, "scratch")) if binary else None

    def readers(self, *kinds):
        """Servers of the seeded image."""
        made = [self.server(kind, self.seed.www if issubclass(kind, servers.Nginx) else self.seed.data) for kind in kinds]
        return [server for server in made if server]

    @contextlib.contextmanager
    def fresh(self, parent):
        """An empty directory, away again afterwards; what was dirty before is on the disk first."""
        directory = tempfile.mkdtemp(dir=parent)
        os.sync()
        try:
            yield directory
        finally:
            shutil.rmtree(directory)


class Row:
    """`name` selects it on the command line; `columns` are (metric, heading, format) of its table."""

    name = title = method = ""
    columns = ()
    round_factor = 1.0

    @contextlib.contextmanager
    def subjects(self, bench):
        """What is measured in turn: anything with a `name`. Default: the readers of `kinds`, all running."""
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(server) for server in bench.readers(*self.kinds)]

    def measure(self, bench, subject, samples):
        raise NotImplementedError

    def finish(self, bench, samples):
        """What is counted once, after the rounds."""

    def aims(self, samples):
        raise NotImplementedError

    def run(self, bench):
        samples = Samples()
        with self.subjects(bench) as subjects:
            for number in range(max(1, round(bench.rounds * self.round_factor))):
                for subject in _rotated(subjects, number):
                    self._measure(bench, subject, samples)
        self.finish(bench, samples)
        return samples

    def _measure(self, bench, subject, samples):
        """One that failed is left out from then on, and the page says so."""
        if subject.name in samples.failures:
            return
        try:
            self.measure(bench, subject, samples)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            samples.failures[subject.name] = str(error)
            print(f"{self.name}: {subject.name}: {error}", file=sys.stderr)


def _rotated(subjects, number):
    shift = number % len(subjects) if subjects else 0
    return subjects[shift:] + subjects[:shift]


class Fresh:
    """A subject that is started anew, on an empty directory, for each measurement."""

    def __init__(self, kind):
        self.kind, self.name = kind, kind.name

    @contextlib.contextmanager
    def on(self, bench, parent):
        with bench.fresh(parent) as data, bench.server(self.kind, data) as server:
            yield server


def fresh_subjects(bench, *kinds):
    return [Fresh(kind) for kind in kinds if bench.binaries.get(kind.program)]


_WRK_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def wrk(bench, url, connections, seconds):
    """Requests a second, requests, and milliseconds of the 99th percentile; an answer but 200 is an error."""
    done = subprocess.run([bench.binaries["wrk"], "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-H",
                           f"Accept: {servers.MANIFEST_TYPE}", url], capture_output=True, text=True)
    wrong = re.search(r"Socket errors.*|Non-2xx.*", done.stdout)
    if done.returncode != 0 or wrong:
        raise RuntimeError(f"wrk {url}: {wrong.group(0) if wrong else done.stderr.strip()}")
    number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", done.stdout).groups()
    return (float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1)),
            int(re.search(r"(\d+) requests in", done.stdout).group(1)), float(number) * _WRK_UNITS[unit])
