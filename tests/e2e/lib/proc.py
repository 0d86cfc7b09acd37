# SPDX-License-Identifier: Apache-2.0
"""Processes that tests start: each is ended by its own pid, and its output is shown when something fails."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import time

HANG = 180  # seconds after which a thing is taken to hang; never a measure of speed
SANITIZER_MARKS = ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "UndefinedBehaviorSanitizer",
                   "runtime error:")
SIGTERM, SIGKILL = signal.SIGTERM, signal.SIGKILL


def environment(home, **extra):
    """A clean environment: Debian's own programs, and a home of the test's own."""
    keep = {k: v for k, v in os.environ.items() if k.endswith("SAN_OPTIONS") or k in ("LANG", "TERM")}
    keep.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", HOME=str(home), TMPDIR=str(home), LC_ALL="C.UTF-8")
    keep.update({k: str(v) for k, v in extra.items()})
    return keep


def run(*argv, env=None, check=True, timeout=HANG, stdin=None, cwd=None):
    """Runs a command to its end; its standard output is the result."""
    argv = [str(a) for a in argv]
    done = subprocess.run(argv, env=env, cwd=cwd, input=stdin, timeout=timeout, text=True, errors="replace",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout if check else done


def free_port(host="127.0.0.1"):
    """A free port below the range that outgoing connections take theirs from, so that none steals it before its use
    or while the server is restarted."""
    while True:
        port = random.SystemRandom().randrange(10240, 32768)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with contextlib.suppress(OSError), socket.socket(family) as probe:
            probe.bind((host, port))
            return port


def wait_until(what, condition, daemon=None, seconds=60):
    """Waits for a state that must come; `seconds` only guards against a hang."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if daemon is not None and daemon.process.poll() is not None:
            raise AssertionError(f"{what}: the process ended with {daemon.process.returncode}\n{daemon.output()}")
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s\n{daemon.output() if daemon else ''}")
        time.sleep(0.01)


class Daemon:
    """A process in the background, its output in a file."""

    def __init__(self, argv, log, env, cwd=None, **popen):
        self.argv = [str(a) for a in argv]
        self.log = log
        self.opened_at = log.stat().st_size if log.exists() else 0
        with open(log, "ab") as out:
            self.process = subprocess.Popen(self.argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=subprocess.STDOUT, **popen)

    @property
    def pid(self):
        return self.process.pid

    def output(self):
        """What this process wrote."""
        with open(self.log, "rb") as log:
            log.seek(self.opened_at)
            return log.read().decode(errors="replace")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=HANG):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.argv[0]} did not end within {timeout} s\n{self.output()}") from None

    def stop(self):
        """SIGTERM; the exit status is the result."""
        if self.process.poll() is None:
            self.signal(SIGTERM)
        return self.wait()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        return self.process.returncode

    def assert_no_sanitizer_report(self):
        text = self.output()
        assert not any(mark in text for mark in SANITIZER_MARKS), text
