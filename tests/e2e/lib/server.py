# SPDX-License-Identifier: Apache-2.0
"""The registries under test: Roadstead, and Debian's docker-registry 2.8.2 as its peer."""

import copy
import http.client
import json
import os
import pathlib

from . import collecting, proc
from .client import Registry

REPOSITORY_ROOT = pathlib.Path(__file__).resolve().parents[3]
ROADSTEAD = os.environ.get("ROADSTEAD_BIN", str(REPOSITORY_ROOT / "build/release/roadstead"))
# Runs the tests against docker-registry instead, to see that the tests themselves are right.
REFERENCE_ONLY = os.environ.get("ROADSTEAD_E2E_REFERENCE") == "1"


def merged(base, changes):
    """`changes` laid over `base`, section by section."""
    result = copy.deepcopy(base)
    for key, value in (changes or {}).items():
        both_maps = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both_maps else value
    return result


class Server:
    """A registry on a data directory. It can be started again after its end; it keeps its address."""

    def __init__(self, program, work, root=None, config=None, name="server", env=None, host=None):
        self.program = program
        self.work = pathlib.Path(work)
        self.root = pathlib.Path(root or self.work / "data")
        self.name = name
        self.host = str(host or f"127.0.0.1:{proc.free_port()}")  # where tests reach it
        self.env = proc.environment(self.work, **(env or {}))
        self.daemon = None
        self.config = merged({
            "version": 0.1,
            "log": {"level": "info"},
            "storage": {"filesystem": {"rootdirectory": str(self.root)}, "delete": {"enabled": True}},
            "http": {"addr": self.host, "secret": "of all processes in these tests", "draintimeout": "60s"},
        }, config)

    @property
    def config_file(self):
        return self.work / f"{self.name}.yml"

    @property
    def api(self):
        return Registry(self.host)

    def write_config(self):
        self.config_file.write_text(json.dumps(self.config, indent=2))  # JSON is YAML
        return self.config_file

    def spawn(self, wrapper=(), **popen):
        """Starts it and does not wait. `wrapper`: a command to run it under."""
        self.root.mkdir(parents=True, exist_ok=True)
        argv = [*wrapper, self.program, "serve", self.write_config()]
        self.daemon = proc.Daemon(argv, self.work / f"{self.name}.log", self.env, cwd=self.work, **popen)
        return self

    def start(self, wrapper=(), **popen):
        self.spawn(wrapper, **popen)
        self.wait_ready()
        return self

    def wait_ready(self):
        proc.wait_until(f"{self.name} answers", self.answers, self.daemon)

    def answers(self):
        try:
            return self.api.get("/v2/").status in (200, 404)  # 404: under a prefix
        except (OSError, http.client.HTTPException):
            return False

    def accepts(self):
        connection = self.api.connect()
        try:
            connection.connect()
            return True
        except OSError:
            return False
        finally:
            connection.close()

    @property
    def running(self):
        return self.daemon is not None and self.daemon.process.poll() is None

    def stop(self):
        """Ends it as an operator does."""
        if self.daemon is not None:
            if self.running:
                self.daemon.signal(proc.SIGTERM)
            self.wait_ended()

    def wait_ended(self, status=0):
        """It ends by itself, or was told to; checks how."""
        daemon, self.daemon = self.daemon, None
        found = daemon.wait()
        daemon.assert_no_sanitizer_report()
        assert found == status, f"{self.name} ended with {found}\n{daemon.output()}"

    def kill(self):
        """As a crash: kill -9."""
        daemon, self.daemon = self.daemon, None
        daemon.kill()
        daemon.assert_no_sanitizer_report()

    def restart(self):
        self.stop()
        return self.start()

    def bytes_read(self):
        """How many bytes the process has read from files so far."""
        counters = pathlib.Path(f"/proc/{self.daemon.pid}/io").read_text()
        return int(dict(line.split(": ") for line in counters.splitlines())["rchar"])

    def log_text(self):
        return (self.work / f"{self.name}.log").read_text(errors="replace")


def roadstead(work, config=None, **kwargs):
    if collecting.ALWAYS:
        config = merged(collecting.collection(), config)
    return Server("docker-registry" if REFERENCE_ONLY else ROADSTEAD, work, config=config, **kwargs)


def docker_registry(work, **kwargs):
    kwargs.setdefault("name", "docker-registry")
    return Server("docker-registry", work, **kwargs)


def collect_garbage(work, root, delete_untagged=False):
    """Runs docker-registry's own collector over a data directory (nothing may write to it meanwhile)."""
    config = pathlib.Path(work) / "collector.yml"
    config.write_text(json.dumps({"version": 0.1, "storage": {"filesystem": {"rootdirectory": str(root)},
                                                             "delete": {"enabled": True}}}))
    flags = ["-m"] if delete_untagged else []
    return proc.run("docker-registry", "garbage-collect", *flags, config, env=proc.environment(work))
