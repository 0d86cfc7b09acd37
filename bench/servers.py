# SPDX-License-Identifier: Apache-2.0
"""The servers under test. Each gets an ephemeral port and a configuration in a fresh directory, and is ended by the
process id that we started."""

import os
import resource
import signal
import socket
import subprocess
import time
import urllib.request

import proc

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"

REGISTRY_CONFIG = """\
version: 0.1
log:
  level: error
  accesslog:
    disabled: true
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: {data}
  delete:
    enabled: true
http:
  addr: 127.0.0.1:{port}
"""

ROADSTEAD_CONFIG = """\
roadstead:
  log:
    access: none
"""

NGINX_CONFIG = """\
daemon off;
user root;
worker_processes 2;
worker_rlimit_nofile 20000;
pid {scratch}/nginx.pid;
error_log {scratch}/error.log crit;
events {{ worker_connections 16000; }}
http {{
    access_log off;
    sendfile on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    open_file_cache max=1000 inactive=600s;
    client_body_temp_path {scratch}/body;
    proxy_temp_path {scratch}/proxy;
    fastcgi_temp_path {scratch}/fastcgi;
    uwsgi_temp_path {scratch}/uwsgi;
    scgi_temp_path {scratch}/scgi;
    types {{ }}
    server {{
        listen 127.0.0.1:{port};
        root {data};
        default_type application/octet-stream;
        location ~ /manifests/ {{ default_type {manifest_type}; }}
        location ~ /blobs/ {{ tcp_nopush on; }}
        location = /v2/ {{ return 200 "{{}}"; }}
    }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _few_descriptors():
    """Servers start with the usual soft limit, so that one that does not raise its own is found out."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))


class Server:
    """`data` is the directory that is served; `scratch` is ours for configuration and logs."""

    name = program = config = ""

    def __init__(self, binary, data, scratch):
        self.port = free_port()
        self.data, self.scratch = data, scratch
        self.process = None
        os.makedirs(scratch, exist_ok=True)
        self.config_path = os.path.join(scratch, f"{self.program}-{self.port}.conf")
        with open(self.config_path, "w") as config:
            config.write(self.config.format(data=data, port=self.port, scratch=scratch, manifest_type=MANIFEST_TYPE))
        self.command = self.arguments(binary)

    def arguments(self, binary):
        return [binary, "serve", self.config_path]

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        self.log_path = os.path.join(self.scratch, f"{self.program}-{self.port}.log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=_few_descriptors)
        self._wait_until_ready()
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _wait_until_ready(self):
        end = time.monotonic() + 10
        while time.monotonic() < end and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://{self.address}/v2/", timeout=5):
                    return
            except OSError:
                time.sleep(0.005)
        self.__exit__()
        with open(self.log_path) as log:
            raise RuntimeError(f"{self.name} did not start: {log.read()[-500:].strip() or 'no output'}")


class Roadstead(Server):
    name = program = "roadstead"
    config = REGISTRY_CONFIG + ROADSTEAD_CONFIG


class DockerRegistry(Server):
    name = program = "docker-registry"
    config = REGISTRY_CONFIG


class Nginx(Server):
    name = program = "nginx"
    config = NGINX_CONFIG

    def arguments(self, binary):
        return [binary, "-e", os.path.join(self.scratch, "early.log"), "-c", self.config_path]


class NginxCopying(Nginx):
    """Small files leave nginx faster when it copies them; large ones do not."""

    name = "nginx, sendfile off"
    config = NGINX_CONFIG.replace("sendfile on;", "sendfile off;")


class Limit:
    """bench/limit.c: not a registry, the most that this machine can do."""

    def __init__(self, binary, data, recipe):
        self.name = f"limit, {recipe}"
        self.command = [binary, data, recipe]

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = f"127.0.0.1:{int(self.process.stdout.readline())}"
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


class Usage:
    """CPU seconds and peak memory of a server within a `with` block."""

    def __init__(self, server):
        self.pid = server.pid

    def __enter__(self):
        proc.reset_peak(self.pid)
        self.begin = proc.cpu_seconds(self.pid)
        return self

    def __exit__(self, *_):
        self.cpu = proc.cpu_seconds(self.pid) - self.begin
        self.peak_mb = proc.peak_mb(self.pid)
