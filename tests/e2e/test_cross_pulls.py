# SPDX-License-Identifier: Apache-2.0
"""What one client pushed, the others pull."""

from lib.engines import INSECURE


def test_docker_pushed_podman_and_skopeo_pull(server, docker, podman, skopeo, busybox, work):
    name = f"{server.host}/from/docker:1"
    docker.build(busybox, name)
    image_id, pushed = docker.image_id(name), docker.push(name)
    podman.pull(name)
    assert podman.image_id(name) == image_id
    assert podman.start_container(name, "cat", "/marker") == "hello\n"
    assert skopeo.digest(name) == pushed
    skopeo.copy(f"docker://{name}", f"oci:{work}/out:1")


def test_podman_pushed_docker_pulls(server, docker, podman, busybox):
    name = f"{server.host}/from/podman:1"
    podman.buildah("bud", "--tag", "local", busybox)
    pushed = podman.push("local", name)
    assert docker.pull(name) == pushed
    assert docker.image_id(name) == podman.image_id("local")
    assert docker.start_container(name, "cat", "/marker") == "hello\n"


def test_buildah_pushed_an_index_docker_pulls(server, docker, podman, busybox):
    name = f"{server.host}/from/buildah:1"
    for architecture in ("amd64", "arm64"):
        podman.buildah("bud", "--arch", architecture, "--manifest", "both", busybox)
    podman.buildah("manifest", "push", "--all", INSECURE, "both", f"docker://{name}")
    podman.buildah("manifest", "rm", "both")
    assert docker.pull(name) == server.api.verify("from/buildah", "1")
    assert docker.start_container(name, "cat", "/marker") == "hello\n"


def test_skopeo_copied_docker_and_podman_run(server, docker, podman, skopeo, busybox):
    first, second = f"{server.host}/from/docker:1", f"{server.host}/from/skopeo:1"
    docker.build(busybox, first)
    pushed = docker.push(first)
    skopeo.copy(f"docker://{first}", f"docker://{second}", "--preserve-digests")
    docker.remove_all_images()
    assert docker.pull(second) == pushed
    podman.pull(second)
    for engine in (docker, podman):
        assert engine.start_container(second, "cat", "/marker") == "hello\n"
