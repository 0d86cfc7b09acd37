# SPDX-License-Identifier: Apache-2.0
"""unit.py PART LANE SUITE [name…]: runs the tests of a suite that meson knows in a lane (all, or those whose names hold
one of the words), two at a time; counts cmocka's cases one by one, a program without any (a corpus) as one."""

import concurrent.futures
import json
import os
import re
import subprocess
import sys

import lanes

TIMES = {"release": 1, "asan": 4, "tsan": 8}  # how much slower than meson's timeout is meant


def tests(lane, suite, words):
    done = subprocess.run(["meson", "introspect", "--tests", str(lanes.ROOT / "build" / lane)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"unit.py: meson introspect failed: {done.stderr.strip()}")
    found = [t for t in json.loads(done.stdout) if any(s.split(":")[-1] == suite for s in t["suite"])]
    return [t for t in found if not words or any(w in t["name"] for w in words)]


def cases(output, code, wants_cases):
    """(passed, failed) of one program."""
    passed = len(re.findall(r"^\[       OK \]", output, re.M))
    failed = len(set(re.findall(r"^\[  (?:FAILED|SKIPPED)\s*\] (\w+)$", output, re.M)))
    begun = len(re.findall(r"^\[ RUN      \]", output, re.M))
    failed = max(failed, begun - passed)
    if not wants_cases:
        return (1, 0) if code == 0 else (0, 1)
    if failed == 0 and (code != 0 or passed == 0 or lanes.report(output)):
        failed = 1
    return passed, failed


def run(test, lane, wants_cases):
    limit = max(test["timeout"], 30) * TIMES.get(lane, 4)
    environment = lanes.environment()
    for key, value in test["env"].items():
        environment.setdefault(key, value)
    try:
        done = subprocess.run(lanes.command(lane, test["cmd"]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, timeout=limit, env=environment, cwd=test["workdir"])
        output, code = done.stdout, done.returncode
    except subprocess.TimeoutExpired as late:
        output, code = (late.stdout or b"").decode(errors="replace") + f"\nended after {limit} s", -1
    except OSError as error:  # not built
        output, code = str(error), -1
    passed, failed = cases(output, code, wants_cases)
    return test["name"], passed, failed, code, output


def main(part, lane, suite, *words):
    found = tests(lane, suite, words)
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 2, 4)) as pool:
        for name, good, bad, code, output in pool.map(lambda t: run(t, lane, suite == "unit"), found):
            passed, failed = passed + good, failed + bad
            print(f"{'FAIL' if bad else 'OK  '} {name}: {good} good, {bad} bad" + (f" (exit {code})" if code else ""), flush=True)
            if bad:
                print(lanes.indent(output), flush=True)
    if not found:
        print(f"FAIL no test of the suite '{suite}' in the lane '{lane}'")
        failed = 1
    lanes.write_counts(part, passed, failed)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
