# SPDX-License-Identifier: Apache-2.0
"""wire.py PART LANE [file.vtc…]: runs raw conversations with varnishtest, each against a server of its own.

The head of a .vtc may set the server up: a line `# config: head_time: 1s` goes under roadstead.http of its config.yml,
`# http: …` under http, `# top: …` under nothing; what follows the first space after the colon is taken as it stands.
The script sees ${addr}, ${port} and ${dir} (a fresh directory; the storage lies in ${dir}/data).
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import lanes

START_S, STOP_S, TALK_S = 20, 30, 90


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def settings(vtc, name):
    return re.findall(rf"^#[ \t]*{name}: ?(.*)$", vtc, re.M)


def config(vtc, port, where):
    """The server's config.yml for this conversation."""
    lines = ["version: 0.1", "log: {level: debug}", "storage:", "  filesystem:", f"    rootdirectory: {where}/data",
             "  delete: {enabled: true}", "http:", f"  addr: 127.0.0.1:{port}"]
    lines += ["  " + line for line in settings(vtc, "http")]
    ours = ["    " + line for line in settings(vtc, "config")]
    lines += ["roadstead:", "  http:", *ours] if ours else []
    return "\n".join(lines + settings(vtc, "top")) + "\n"


class Server:
    """One server process in a directory of its own, ended by its own process id."""

    def __init__(self, lane, binary, vtc, where):
        self.where, self.port = where, free_port()
        (where / "config.yml").write_text(config(vtc, self.port, where))
        (where / "data").mkdir()
        self.log = open(where / "server.log", "wb")
        self.process = subprocess.Popen(lanes.command(lane, [binary, "serve", where / "config.yml"]), stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=subprocess.STDOUT, env=lanes.environment(), cwd=where)

    def wait(self):
        """None when it accepts connections, else what is wrong."""
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                return f"the server ended with {self.process.returncode} at its start"
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return None
            except OSError:
                time.sleep(0.02)
        return f"the server does not listen after {START_S} s"

    def stop(self):
        """None when SIGTERM ended it in time, with 0 and without a report, else what is wrong."""
        wrong = None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                wrong = f"the server did not end within {STOP_S} s of SIGTERM"
                self.process.kill()
                self.process.wait()
        self.log.close()
        if not wrong and self.process.returncode != 0:
            wrong = f"the server ended with {self.process.returncode}"
        return lanes.report(self.output()) or wrong

    def output(self):
        return (self.where / "server.log").read_text(errors="replace")


def talk(path, server):
    """Runs varnishtest; (None, output) when all went as the script says."""
    command = ["varnishtest", "-t", str(TALK_S), "-D", "addr=127.0.0.1", "-D", f"port={server.port}", "-D", f"dir={server.where}", str(path)]
    (server.where / "tmp").mkdir()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                          text=True, errors="replace", env=lanes.environment(TMPDIR=str(server.where / "tmp")), cwd=server.where)
    return (None if done.returncode == 0 else f"varnishtest ended with {done.returncode}"), done.stdout


def run(lane, binary, path):
    """(path, what is wrong or None, what was said)."""
    where = pathlib.Path(tempfile.mkdtemp(prefix="rs-wire-"))
    said = ""
    try:
        server = Server(lane, binary, path.read_text(), where)
        wrong = server.wait()
        if not wrong:
            wrong, said = talk(path, server)
        end = server.stop()
        wrong = "; ".join(filter(None, [wrong, end])) or None
        if wrong:
            said += f"\n---- the server's log ----\n" + "\n".join(server.output().split("\n")[-60:])
        return path, wrong, said
    finally:
        shutil.rmtree(where, ignore_errors=True)


def main(part, lane, *names):
    binary = pathlib.Path(os.environ.get("ROADSTEAD_BIN") or lanes.ROOT / "build" / lane / "roadstead")
    paths = [pathlib.Path(n).resolve() for n in names] or sorted((lanes.ROOT / "tests" / "wire").glob("*.vtc"))
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(min(os.cpu_count() or 2, 4)) as pool:
        for path, wrong, said in pool.map(lambda p: run(lane, binary, p), paths):
            passed, failed = passed + (not wrong), failed + bool(wrong)
            print(f"{'FAIL' if wrong else 'OK  '} {path.name}" + (f": {wrong}" if wrong else ""), flush=True)
            if wrong:
                print(lanes.indent(said, 160), flush=True)
    if not paths:
        print("FAIL tests/wire holds no .vtc")
        failed = 1
    lanes.write_counts(part, passed, failed)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
