# SPDX-License-Identifier: Apache-2.0
"""soak.py LANE SECONDS SEED [profile…]: see script/soak."""

import collections
import json
import multiprocessing
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "script" / "lib"), str(pathlib.Path(__file__).parent)]

import clients
import lanes
from talk import Broken, Refused, Talk, digest, make

PROCESSES, GOOD, BAD = 2, 6, 14  # threads of either kind a process
START_S, SETTLE_S, STOP_S = 30, 30, 60
UID = 54321  # of nobody else, so that a limit of its threads counts the server's alone

SHORT = {"head_time": "1s", "idle_time": "4s", "queue_time": "3s", "min_rate": "1KiB", "rate_time": "4s"}
SMALL = {**SHORT, "max_connections": 60, "max_workers": 6, "reserved_workers": 2, "max_body_workers_per_address": 3}
PROFILES = {
    "usual": {"http": SHORT},
    "small": {"http": SMALL},
    "one-lane": {"http": {**SHORT, "lanes": 1}},
    "files": {"http": SHORT, "files": 100, "patient": False},
    "threads": {"http": SHORT, "threads": 12},
}


def config(where, port, http):
    lines = ["version: 0.1", "log: {level: warn}", "storage:", f"  filesystem: {{rootdirectory: {where}/data}}", "http:",
             f"  addr: 127.0.0.1:{port}", "  draintimeout: 25s", "roadstead:", "  log: {access: combined}", "  http:",
             f"    listen: ['unix://{where}/socket']"]
    return "\n".join(lines + [f"    {key}: {value}" for key, value in http.items()]) + "\n"


class Server:
    def __init__(self, lane, profile, where):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.where, self.profile = where, profile
        self.places = [("127.0.0.1", self.port), ("127.0.0.1", self.port), ("127.0.0.1", self.port), f"{where}/socket"]
        (where / "config.yml").write_text(config(where, self.port, profile["http"]))
        (where / "data").mkdir(exist_ok=True)
        os.chmod(where, 0o777)
        os.chmod(where / "data", 0o777)
        self.log = open(where / "server.log", "ab")
        binary = os.environ.get("ROADSTEAD_BIN") or ROOT / "build" / lane / "roadstead"
        environment = lanes.environment()
        environment["ASAN_OPTIONS"] += ":quarantine_size_mb=16"
        self.process = subprocess.Popen(lanes.command(lane, [binary, "serve", where / "config.yml"]), stdin=subprocess.DEVNULL, cwd=where,
                                        stdout=subprocess.DEVNULL, stderr=self.log, env=environment, preexec_fn=self.limit)

    def limit(self):
        if "files" in self.profile:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.profile["files"],) * 2)
        if "threads" in self.profile:
            os.setgroups([])
            os.setgid(UID)
            os.setuid(UID)
            resource.setrlimit(resource.RLIMIT_NPROC, (self.profile["threads"],) * 2)

    def wait(self):
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Broken(f"the server ended at its start with {self.process.returncode}")
            try:
                Talk(self.places[0]).s.close()
                return self
            except Refused:
                time.sleep(0.05)
        raise Broken("the server does not listen")

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def status(self, name):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+)", text, re.M).group(1))

    def stop(self, signals=1):
        """Sends SIGTERM; (its exit status, how long it took)."""
        start = time.monotonic()
        for i in range(signals):
            time.sleep(0.3 * (i > 0))
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise Broken(f"the server did not end within {STOP_S} s of SIGTERM")
        return code, time.monotonic() - start

    def said(self):
        return (self.where / "server.log").read_text(errors="replace")


# --- the load ---


def client_thread(world, kinds, until, told, lock):
    while time.monotonic() < until.value:
        kind = world.rng.choice(kinds)
        try:
            kind(world)
            result = "done"
        except Refused:
            result = "refused"
            time.sleep(0.05)
        except Broken as error:
            result = "broken" if kinds is clients.GOOD else "done"
            if kinds is clients.GOOD and time.monotonic() < until.value:
                with lock:
                    told["broken"].append(f"{kind.__name__}: {error}")
        except OSError:
            result = "refused"
        with lock:
            told["count"][f"{kind.__name__} {result}"] += 1


def client_process(places, blobs, seed, until, patient, pipe):
    told, lock, threads, worlds = {"broken": [], "count": collections.Counter()}, threading.Lock(), [], []
    for i in range(GOOD + BAD):
        world = clients.World(places, blobs, random.Random(f"{seed}-{i}"), patient)
        kinds = clients.GOOD if i < GOOD else clients.BAD
        threads.append(threading.Thread(target=client_thread, args=(world, kinds, until, told, lock)))
        worlds.append(world)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send((told["broken"], dict(told["count"]), [entry for world in worlds for entry in world.pushed]))
    pipe.close()


class Load:
    """Clients in processes of their own, from the construction until stop()."""

    def __init__(self, server, blobs, seed, seconds):
        self.until = multiprocessing.Value("d", time.monotonic() + seconds)
        self.pipes, self.processes = [], []
        for i in range(PROCESSES):
            ours, theirs = multiprocessing.Pipe(False)
            patient = server.profile.get("patient", True)
            args = (server.places, blobs, f"{seed}-{i}", self.until, patient, theirs)
            self.processes.append(multiprocessing.Process(target=client_process, args=args))
            self.processes[-1].start()
            theirs.close()
            self.pipes.append(ours)

    def end_soon(self):
        self.until.value = time.monotonic()

    def join(self):
        broken, count, pushed = [], collections.Counter(), []
        for pipe, process in zip(self.pipes, self.processes):
            b, c, p = pipe.recv()
            broken, pushed = broken + b, pushed + p
            count.update(c)
            process.join()
        return broken, count, pushed


def prepare(server, seed):
    """Pushes what the good clients pull."""
    blobs = {}
    with Talk(server.places[0]) as t:
        for i, size in enumerate(clients.SIZES):
            data = make(f"{seed}-{i}", size)
            reply = t.ask("POST", f"/v2/base/blobs/uploads/?digest={digest(data)}", body=data)
            if size == 0:  # begins an upload: end it
                reply = t.ask("PUT", clients.path(reply.fields["location"]) + f"?digest={digest(data)}", body=b"")
            clients.expect(reply, 201)
            blobs[digest(data)] = data
        name, data = list(blobs.items())[2]
        layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": name, "size": len(data)}
        manifest = json.dumps({"schemaVersion": 2, "mediaType": clients.MANIFEST, "config": layer, "layers": [layer]})
        clients.expect(t.ask("PUT", "/v2/base/manifests/latest", body=manifest.encode(), fields=[f"Content-Type: {clients.MANIFEST}"]), 201)
    return blobs


# --- what must hold ---


def settle(server, base_files):
    """All clients have gone: so must their connections and files."""
    end = time.monotonic() + SETTLE_S
    while server.files() > base_files:
        if server.process.poll() is not None:
            raise Broken(f"the server ended with {server.process.returncode}")
        if time.monotonic() > end:
            links = [os.readlink(entry.path) for entry in os.scandir(f"/proc/{server.process.pid}/fd")]
            raise Broken(f"{server.files()} descriptors are open {SETTLE_S} s after the load, {base_files} before: {links}")
        time.sleep(0.1)


def check_pushed(server, pushed):
    """What was acknowledged is there."""
    with Talk(server.places[0]) as t:
        for repository, blob, manifest in pushed[-300:]:
            for kind, name in (("blobs", blob), ("manifests", manifest)):
                reply = t.ask("GET", f"/v2/{repository}/{kind}/{name}")
                if reply.status != 200 or digest(reply.body) != name:
                    raise Broken(f"{repository} has no {kind} {name} any more: {reply}")


def judge(broken, count):
    good = sum(n for what, n in count.items() if what.endswith(" done") and what.split()[0] in {k.__name__ for k in clients.GOOD})
    if broken:
        raise Broken(f"{len(broken)} good clients were served badly, such as: " + "; ".join(sorted(set(broken))[:8]))
    if good == 0:
        raise Broken("no good client was served")


def tell(name, count, server, before):
    served = {k: n for k, n in sorted(count.items())}
    print(f"     {name}: " + ", ".join(f"{k} {n}" for k, n in served.items()))
    print(f"     {name}: VmRSS {before} → {server.status('VmRSS')} kB, VmHWM {server.status('VmHWM')} kB, "
          f"{server.files()} descriptors, {server.status('Threads')} threads", flush=True)


def run(lane, name, seconds, seed, where):
    profile = PROFILES[name]
    server = Server(lane, profile, where)
    try:
        server.wait()
        blobs = prepare(server, seed)
        Load(server, blobs, f"{seed}-warm", min(5, seconds / 4)).join()  # what is pooled and cached is there after it
        settle(server, 64)
        time.sleep(1)
        base_files, base_memory = server.files(), server.status("VmRSS")

        load = Load(server, blobs, seed, seconds * 0.6)
        broken, count, pushed = load.join()
        tell(name, count, server, base_memory)
        judge(broken, count)
        settle(server, base_files)
        if lane == "release" and server.status("VmRSS") > base_memory + 24 * 1024:
            raise Broken(f"VmRSS was {base_memory} kB before the load and is {server.status('VmRSS')} kB after it")
        check_pushed(server, pushed)

        for signals in (1, 2):  # an orderly end in the middle of everything, and a hasty one
            load = Load(server, blobs, f"{seed}-{signals}", 3600)
            time.sleep(max(2, seconds * 0.1))
            load.end_soon()
            code, took = server.stop(signals)
            more = load.join()[2]
            print(f"     {name}: ended {took:.1f} s after SIGTERM × {signals} with {code}", flush=True)
            if code != (0 if signals == 1 else 1) and not (signals == 2 and code == 0):
                raise Broken(f"the server ended with {code}")
            server.log.close()
            server = Server(lane, profile, where).wait()
            check_pushed(server, pushed + more)
        code, _ = server.stop()
        if code != 0:
            raise Broken(f"the server ended with {code}")
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        server.log.close()
    wrong = lanes.report(server.said())
    if wrong:
        raise Broken(wrong)


def main(lane, seconds, seed, *names):
    failed = 0
    names = names or tuple(PROFILES)
    print(f"     seed {seed}", flush=True)
    for name in names:
        where = pathlib.Path(tempfile.mkdtemp(prefix="rs-soak-"))
        try:
            run(lane, name, float(seconds) / len(names), seed, where)
            print(f"OK   {lane} {name}", flush=True)
        except Broken as error:
            failed += 1
            log = (where / "server.log").read_text(errors="replace")
            at = log.find("Sanitizer") if lanes.report(log) else len(log) - 4000
            print(f"FAIL {lane} {name}: {error}\n{lanes.indent(log[max(0, at - 200) : at + 8000], 120)}", flush=True)
        finally:
            shutil.rmtree(where, ignore_errors=True)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
