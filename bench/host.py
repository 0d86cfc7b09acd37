# SPDX-License-Identifier: Apache-2.0
"""The machine: what it is, and the one setting of it that a bench must fix."""

import contextlib
import json
import os
import platform
import re
import subprocess

CONGESTION = "/proc/sys/net/ipv4/tcp_congestion_control"


def _read(path):
    with open(path) as text:
        return text.read().strip()


def congestion_control():
    return _read(CONGESTION)


@contextlib.contextmanager
def congestion(name):
    """Sets the congestion control for all servers and restores it. Without the right to, the present one stays."""
    before = congestion_control()
    try:
        with open(CONGESTION, "w") as setting:
            setting.write(name)
    except OSError:
        yield before
        return
    try:
        yield name
    finally:
        with open(CONGESTION, "w") as setting:
            setting.write(before)


def prefer(nice):
    """Sets the priority of this program and all it starts. Where the kernel groups tasks by session, the priority of
    the group is what counts between sessions, so we take a session of our own."""
    if nice == 0:
        return
    os.nice(nice)
    with contextlib.suppress(OSError):
        os.setsid()
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as group:
        group.write(str(nice))


def _first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
        return ((done.stdout or done.stderr).strip().splitlines() or ["unknown"])[0]
    except (OSError, subprocess.TimeoutExpired):
        return "not installed"


def _package(name):
    done = _first_line(["dpkg-query", "-W", "-f", "${Version}", name])
    return done if re.match(r"\d", done) else "unknown"


def _commit(root):
    """The commit that was measured, and whether the sources differ from it."""
    commit = _first_line(["git", "-C", root, "rev-parse", "--short", "HEAD"])
    if not re.fullmatch(r"[0-9a-f]+", commit):
        return "not committed"
    changed = subprocess.run(["git", "-C", root, "status", "--porcelain", "--", "src", "meson.build"],
                             capture_output=True, text=True).stdout
    return commit + (" with uncommitted changes" if changed else "")


def _memory_gib():
    return int(re.search(r"MemTotal:\s+(\d+)", _read("/proc/meminfo")).group(1)) / 1048576


def _cpu():
    model = re.search(r"model name\s*:\s*(.*)", _read("/proc/cpuinfo"))
    flags = _read("/proc/cpuinfo")
    return f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} cores, " \
           f"SHA extensions: {'yes' if 'sha_ni' in flags else 'no'}"


def file_system(path):
    return _first_line(["findmnt", "-n", "-o", "FSTYPE", "-T", path])


def _build(roadstead, lane):
    """How the program was built, as meson knows it; of a program from elsewhere we know nothing."""
    if os.path.realpath(roadstead) != os.path.realpath(os.path.join(lane, "roadstead")):
        return "not known: the program came from ROADSTEAD_BIN"
    with open(os.path.join(lane, "meson-info", "intro-buildoptions.json")) as file:
        option = {each["name"]: each["value"] for each in json.load(file)}
    return f"script/build {os.path.basename(lane)}: meson's buildtype {option['buildtype']}, optimization {option['optimization']}"


def describe(root, disk, roadstead, lane):
    """(what, value) pairs for the head of the page."""
    return [
        ("CPU", _cpu()),
        ("memory", f"{_memory_gib():.0f} GiB"),
        ("kernel", platform.release()),
        ("disk", f"{file_system(disk)}, a directory under {os.path.dirname(disk)}"),
        ("Roadstead", f"{_first_line([roadstead, 'version']) if roadstead else 'not built'}, commit {_commit(root)}"),
        ("build of Roadstead", _build(roadstead, lane) if roadstead else "not built"),
        ("docker-registry", _package("docker-registry")),
        ("nginx", _package("nginx")),
        ("wrk", _package("wrk")),
        ("OpenSSL", _package("libssl3")),
    ]
