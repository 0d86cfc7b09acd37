# SPDX-License-Identifier: Apache-2.0
"""podman and buildah: push, forget, pull, run; lists of several architectures."""

from lib import roots
from lib.client import OCI_INDEX
from lib.engines import INSECURE


def test_pushed_image_comes_back_and_runs(server, podman, busybox):
    name = f"{server.host}/team/busybox:1"
    podman.buildah("bud", "--tag", "local", busybox)
    image_id, pushed = podman.image_id("local"), podman.push("local", name)
    podman.remove_all_images()
    podman.pull(name)
    assert podman.image_id(name) == image_id
    assert podman.start_container(name, "cat", "/marker") == "hello\n"
    assert server.api.verify("team/busybox", "1") == pushed


def test_image_is_pushed_in_docker_format_too(server, podman, busybox):
    name = f"{server.host}/busybox:docker"
    podman.buildah("bud", "--format", "docker", "--tag", "local", busybox)
    pushed = podman.push("local", name, "--format", "v2s2")
    podman.remove_all_images()
    podman.pull(name)
    assert podman.start_container(name, "echo", "runs") == "runs\n"
    assert server.api.verify("busybox", "docker") == pushed


def test_whole_debian_comes_back_and_runs(server, podman):
    name = f"{server.host}/debian:12"
    podman.run("import", "--quiet", roots.debian_tar(), "local")
    image_id, pushed = podman.image_id("local"), podman.push("local", name)
    podman.remove_all_images()
    podman.pull(name)
    assert podman.image_id(name) == image_id
    assert podman.start_container(name, "cat", "/etc/debian_version").startswith("12.")
    assert server.api.verify("debian", "12") == pushed


def test_buildah_pushes_what_it_built_step_by_step(server, podman):
    name = f"{server.host}/by-hand:1"
    container = podman.buildah("from", "scratch").strip()
    podman.buildah("copy", container, roots.BUSYBOX, "/bin/busybox")
    podman.buildah("config", "--entrypoint", '["/bin/busybox"]', container)
    podman.buildah("commit", "--rm", container, "local")
    podman.buildah("push", INSECURE, "local", f"docker://{name}")
    podman.remove_all_images()
    podman.buildah("pull", INSECURE, name)
    assert podman.start_container(name, "echo", "runs") == "runs\n"


def test_podman_pushes_an_index_of_two_architectures(server, podman, busybox):
    name = f"{server.host}/multi:podman"
    podman.run("manifest", "create", "both")
    for architecture in ("amd64", "arm64"):
        podman.buildah("bud", "--arch", architecture, "--tag", f"localhost/{architecture}", busybox)
        podman.run("manifest", "add", "both", f"containers-storage:localhost/{architecture}")
    podman.run("manifest", "push", "--all", INSECURE, "both", f"docker://{name}")
    podman.run("manifest", "rm", "both")
    assert_index_of_two(server, podman, name, "podman")


def test_buildah_pushes_an_index_of_two_architectures(server, podman, busybox):
    name = f"{server.host}/multi:buildah"
    for architecture in ("amd64", "arm64"):
        podman.buildah("bud", "--arch", architecture, "--manifest", "both", busybox)
    podman.buildah("manifest", "push", "--all", INSECURE, "both", f"docker://{name}")
    podman.buildah("manifest", "rm", "both")
    assert_index_of_two(server, podman, name, "buildah")


def assert_index_of_two(server, podman, name, tag):
    podman.remove_all_images()
    index = server.api.manifest("multi", tag).expect(200)
    assert index.headers["Content-Type"] == OCI_INDEX
    assert {m["platform"]["architecture"] for m in index.json()["manifests"]} == {"amd64", "arm64"}
    server.api.verify("multi", tag)
    podman.pull(name)
    assert podman.start_container(name, "cat", "/marker") == "hello\n"
