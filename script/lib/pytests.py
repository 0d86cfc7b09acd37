# SPDX-License-Identifier: Apache-2.0
"""pytests.py PART DIRECTORY [pytest's arguments…]: runs pytest over a directory and counts its cases one by one. A case
that was skipped or that failed while it was put up or taken down has failed."""

import os
import subprocess
import sys
import xml.etree.ElementTree

import lanes


def count(path):
    try:
        cases = list(xml.etree.ElementTree.parse(path).iter("testcase"))
    except (OSError, xml.etree.ElementTree.ParseError):
        return 0, 1
    bad = {}
    for case in cases:
        name = (case.get("classname"), case.get("name"))
        bad[name] = bad.get(name, False) or any(child.tag in ("failure", "error", "skipped") for child in case)
    failed = sum(bad.values())
    return len(bad) - failed, failed


def main(part, directory, *arguments):
    report = lanes.LOGS / f"{part}.xml"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    mode = {"ROADSTEAD_E2E_COLLECT": "1"} if part == "e2e-collect" else {}
    binary = os.environ.get("ROADSTEAD_BIN") or str(lanes.ROOT / "build/release/roadstead")
    environment = lanes.environment(ROADSTEAD_BIN=binary, **mode)
    done = subprocess.run([sys.executable, "-B", "-m", "pytest", "-p", "no:cacheprovider", "-rA", "--tb=short", "--durations=10",
                           "-o", "console_output_style=classic", "-v", "--junitxml", str(report), *arguments, directory],
                          cwd=lanes.ROOT, env=environment, stdin=subprocess.DEVNULL)
    passed, failed = count(report)
    if failed == 0 and (done.returncode != 0 or passed == 0):
        failed = 1
    lanes.write_counts(part, passed, failed)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
