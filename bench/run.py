# SPDX-License-Identifier: Apache-2.0
"""The bench: Roadstead, docker-registry and nginx in turn, in one run. See docs/BENCH.md; script/bench starts this."""

import argparse
import contextlib
import datetime
import os
import resource
import shutil
import signal
import sys
import tempfile
import time

import host
import page
import proc
import seed
from rows import Bench
from rows_cost import Idle, Memory, Start
from rows_read import Blobs, Manifests
from rows_scale import Lists, Stored
from rows_upkeep import Collect, Meanwhile
from rows_write import Images, Pushes

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROWS = [Manifests(), Blobs(), Pushes(), Images(), Lists(), Stored(), Collect(), Meanwhile(), Idle(), Memory(), Start()]
TOOLS = ("docker-registry", "nginx", "wrk", "strace")
NEEDED = ("docker-registry", "wrk")


def arguments():
    parser = argparse.ArgumentParser(prog="script/bench", description="Measures Roadstead beside docker-registry and nginx.")
    names = [row.name for row in ROWS]
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {', '.join(names)}; all of them without one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one short round: shows that the bench works, not how fast we are")
    parser.add_argument("--congestion", default="cubic", help="TCP congestion control for all servers (set when we may)")
    parser.add_argument("--nice", type=int, default=0, help="priority of all servers and clients; negative against a busy machine")
    parser.add_argument("--output", help="where the page goes; default bench/RESULTS.md for a whole run, else nowhere")
    parser.add_argument("--lane", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--roadstead", default="", help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = [row for row in given.rows if row not in names]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(names)}")
    if given.quick:
        given.rounds = 1
    return given


def find_programs(roadstead):
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    found = {tool: shutil.which(tool, path=path) for tool in TOOLS}
    missing = [tool for tool in NEEDED if not found[tool]]
    if missing:
        sys.exit(f"script/bench: {', '.join(missing)} not found; script/bootstrap test installs what is missing")
    if os.access(roadstead, os.X_OK):
        found["roadstead"] = roadstead
    return {name: path for name, path in found.items() if path}


@contextlib.contextmanager
def directory(parent):
    path = tempfile.mkdtemp(prefix="roadstead-bench-", dir=parent)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def our_cpu():
    return sum(usage.ru_utime + usage.ru_stime
               for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def run_rows(bench, wanted):
    results = {}
    for row in wanted:
        begin = time.monotonic()
        print(f"{row.name}: {row.title} …", file=sys.stderr, flush=True)
        results[row.name] = row.run(bench)
        for aim in row.aims(results[row.name]):
            print(f"  {aim.work}: {aim.measured} (aim {aim.aim}) {aim.verdict}", file=sys.stderr)
        print(f"  {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    return results


def measure(given, bench, wanted):
    """Returns the page."""
    busy, ours, begin = proc.busy_seconds(), our_cpu(), time.monotonic()
    facts = [("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"))]
    facts += host.describe(ROOT, bench.disk, bench.binaries.get("roadstead"), given.lane)
    with host.congestion(given.congestion) as congestion:
        bench.seed = seed.make(bench.binaries["docker-registry"], bench.client_path("push"), os.path.join(bench.disk, "seed"))
        results = run_rows(bench, wanted)
    others = max(0.0, (proc.busy_seconds() - busy) - (our_cpu() - ours))
    seconds = time.monotonic() - begin
    facts += [
        ("TCP congestion control", f"{congestion}, for all"),
        ("rounds", f"{given.rounds}{', a quick run: not to be taken for a measurement' if given.quick else ''}"),
        ("priority", f"nice {os.nice(0)}, for all"),
        ("the run", f"{seconds:.0f} s; other programs used {others / seconds / os.cpu_count():.0%} of the machine meanwhile"),
    ]
    return page.write(facts, ROWS, results)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what must be restored is restored
    given = arguments()
    host.prefer(given.nice)
    binaries = find_programs(given.roadstead)
    if "roadstead" not in binaries:
        print(f"script/bench: {given.roadstead or 'roadstead'} is not there; its figures will be missing", file=sys.stderr)
    bench = Bench(os.path.join(given.lane, "bench"), binaries, given.rounds, given.quick)
    wanted = [row for row in ROWS if not given.rows or row.name in given.rows]
    with directory(os.environ.get("ROADSTEAD_BENCH_DIR", "/var/tmp")) as bench.disk, directory("/dev/shm") as bench.shared_memory:
        text = measure(given, bench, wanted)
    whole = wanted == ROWS and not given.quick and "roadstead" in binaries
    output = given.output or (os.path.join(ROOT, "bench", "RESULTS.md") if whole else None)
    print(text)
    if output:
        with open(output, "w") as file:
            file.write(text)


main()
