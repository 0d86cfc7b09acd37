# SPDX-License-Identifier: Apache-2.0
"""How the programs of a lane are run: the sanitizers' settings, and what their reports look like."""

import functools
import os
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOGS = ROOT / "build" / "logs"

_REPORT = re.compile(r"ERROR: \w*Sanitizer|WARNING: \w*Sanitizer|SUMMARY: \w*Sanitizer|runtime error:|assertion failed")


def environment(**more):
    """os.environ without our own variables, and with the sanitizers told to be strict and to fail the program."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ROADSTEAD_", "REGISTRY_"))}
    return {
        **inherited,
        "LC_ALL": "C.UTF-8",
        "ASAN_OPTIONS": "detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1:exitcode=99",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "TSAN_OPTIONS": "exitcode=66:second_deadlock_stack=1:history_size=4",
        **more,
    }


@functools.lru_cache(None)
def _fixed_addresses():
    """The thread sanitizer of clang 14 cannot live with the address randomisation of newer kernels; switch it off
    where that is allowed (containers may forbid it, and mostly have no need)."""
    done = subprocess.run(["setarch", "-R", "true"], capture_output=True)
    return ("setarch", "-R") if done.returncode == 0 else ()


def command(lane, argv):
    return [*(_fixed_addresses() if lane == "tsan" else ()), *map(str, argv)]


def report(output):
    """The first line of a sanitizer's report in the output, or None."""
    match = _REPORT.search(output)
    return output[match.start() :].split("\n")[0] if match else None


def write_counts(part, passed, failed):
    LOGS.mkdir(parents=True, exist_ok=True)
    (LOGS / f"{part}.counts").write_text(f"{passed} {failed}\n")


def indent(output, lines=80):
    return "\n".join("    | " + line for line in output.strip("\n").split("\n")[-lines:])
