# SPDX-License-Identifier: Apache-2.0
"""The real clients, each with storage and sockets of its own."""

import json
import pathlib
import re

from . import proc

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# Some machines let no container raise its limits to the engine's defaults.
ULIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
INSECURE = "--tls-verify=false"


class Docker:
    """Debian's dockerd with its client. It needs no network: no bridge, containers without one."""

    def __init__(self, work):
        self.work = pathlib.Path(work)
        self.socket = self.work / "docker.sock"
        self.env = proc.environment(self.work, DOCKER_HOST=f"unix://{self.socket}", DOCKER_BUILDKIT="0",
                                    DOCKER_CLI_EXPERIMENTAL="enabled")
        self.daemon = None

    def start(self):
        argv = ["dockerd", "--host", f"unix://{self.socket}", "--data-root", self.work / "data",
                "--exec-root", self.work / "exec", "--pidfile", self.work / "docker.pid", "--bridge=none",
                "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"]
        self.daemon = proc.Daemon(argv, self.work / "dockerd.log", self.env)
        ready = lambda: self.socket.exists() and self.try_run("version").returncode == 0
        proc.wait_until("dockerd answers", ready, self.daemon, seconds=120)
        return self

    def stop(self):
        status = self.daemon.stop()
        assert status == 0, self.daemon.output()

    def run(self, *argv):
        return proc.run("docker", *argv, env=self.env)

    def try_run(self, *argv):
        return proc.run("docker", *argv, env=self.env, check=False)

    def build(self, directory, tag):
        self.run("build", "--force-rm", "-t", tag, directory)

    def push(self, image):
        """The digest that the registry acknowledged."""
        return DIGEST.search(self.run("push", image)).group()

    def pull(self, image):
        return DIGEST.search(self.run("pull", image)).group()

    def tag(self, image, target):
        self.run("tag", image, target)

    def image_id(self, image):
        return self.run("image", "inspect", "--format", "{{.Id}}", image).strip()

    def start_container(self, image, *command):
        return self.run("run", "--rm", "--network=none", image, *command)

    def remove_all_images(self):
        for _ in range(10):  # a parent goes only after its children
            images = self.run("image", "ls", "-aq", "--no-trunc").split()
            if not images:
                return
            self.try_run("image", "rm", "-f", *sorted(set(images)))
        raise AssertionError(f"dockerd keeps {images}")


class Podman:
    def __init__(self, work):
        self.work = pathlib.Path(work)
        self.registries = self.work / "registries.conf"
        self.registries.write_text("")
        self.env = proc.environment(self.work, XDG_RUNTIME_DIR=self.work, CONTAINERS_REGISTRIES_CONF=self.registries)
        self.store = ("--root", self.work / "root", "--runroot", self.work / "runroot", "--storage-driver", "overlay")
        self.options = (*self.store, "--tmpdir", self.work / "tmp", "--cgroup-manager=cgroupfs",
                        "--events-backend=file", "--runtime", "runc", "--log-level", "error")

    def run(self, *argv):
        return proc.run("podman", *self.options, *argv, env=self.env)

    def allow_http(self, host):
        """For the commands that do not look at their --tls-verify."""
        self.registries.write_text(f'[[registry]]\nlocation = "{host}"\ninsecure = true\n')

    def buildah(self, *argv):
        """buildah works on podman's own storage."""
        return proc.run("buildah", *self.store, "--log-level", "error", *argv, env=self.env)

    def push(self, image, target, *options):
        digest_file = self.work / "pushed-digest"
        self.run("push", INSECURE, "--digestfile", digest_file, *options, image, f"docker://{target}")
        return digest_file.read_text().strip()

    def pull(self, image):
        self.run("pull", "--quiet", INSECURE, image)

    def image_id(self, image):
        return "sha256:" + self.run("image", "inspect", "--format", "{{.Id}}", image).strip()

    def start_container(self, image, *command):
        return self.run("run", "--rm", "--network=none", "--pull=never", *ULIMITS, image, *command)

    def remove_all_images(self):
        self.run("image", "rm", "--all", "--force")
        assert self.run("image", "ls", "-aq").strip() == ""


class Containerd:
    """containerd with its ctr, which pulls and pushes as Kubernetes' nodes do. Nothing is run in it."""

    def __init__(self, work):
        self.work = pathlib.Path(work)
        self.socket = self.work / "containerd.sock"
        self.env = proc.environment(self.work)
        self.daemon = None

    def start(self):
        config = self.work / "containerd.toml"
        config.write_text('version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n')
        argv = ["containerd", "--config", config, "--root", self.work / "root", "--state", self.work / "state",
                "--address", self.socket]
        self.daemon = proc.Daemon(argv, self.work / "containerd.log", self.env)
        ready = lambda: self.socket.exists() and self.try_ctr("version").returncode == 0
        proc.wait_until("containerd answers", ready, self.daemon)
        return self

    def stop(self):
        self.daemon.stop()

    def ctr(self, *argv):
        return proc.run("ctr", "--address", self.socket, *argv, env=self.env)

    def try_ctr(self, *argv):
        return proc.run("ctr", "--address", self.socket, *argv, env=self.env, check=False)

    def digests(self):
        """What its content store holds."""
        return set(self.ctr("content", "ls", "-q").split())

    def forget(self, image):
        self.ctr("images", "rm", "--sync", image)
        proc.wait_until("its content is collected", lambda: not self.digests(), self.daemon)


class Skopeo:
    def __init__(self, work):
        self.env = proc.environment(work)

    def run(self, *argv):
        return proc.run("skopeo", *argv, env=self.env)

    def copy(self, source, target, *options):
        self.run("copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false", *options, source, target)

    def sync(self, source_kind, source, target_kind, target, *options):
        self.run("sync", "--src-tls-verify=false", "--dest-tls-verify=false", "--src", source_kind,
                 "--dest", target_kind, *options, source, target)

    def inspect(self, image, *options):
        return self.run("inspect", INSECURE, *options, f"docker://{image}")

    def list_tags(self, image):
        return json.loads(self.run("list-tags", INSECURE, f"docker://{image}"))["Tags"]

    def delete(self, image):
        self.run("delete", INSECURE, f"docker://{image}")

    def digest(self, image):
        return json.loads(self.run("inspect", "--no-tags", INSECURE, f"docker://{image}"))["Digest"]

    def spawn_copy(self, source, target, log, *options):
        """A copy in the background."""
        return proc.Daemon(["skopeo", "copy", "--quiet", "--src-tls-verify=false", "--dest-tls-verify=false", *options,
                            source, target], log, self.env)


class Umoci:
    """umoci speaks to no registry: it makes and unpacks the layouts that skopeo copies."""

    def __init__(self, work):
        self.env = proc.environment(work)

    def run(self, *argv):
        return proc.run("umoci", *argv, env=self.env)
