# SPDX-License-Identifier: Apache-2.0
"""docker: push, forget, pull, run."""


def test_pushed_image_comes_back_and_runs(server, docker, busybox):
    name = f"{server.host}/team/busybox:1"
    docker.build(busybox, name)
    image_id, pushed = docker.image_id(name), docker.push(name)
    docker.remove_all_images()
    assert docker.pull(name) == pushed
    assert docker.image_id(name) == image_id
    assert docker.start_container(name, "cat", "/marker") == "hello\n"
    assert server.api.verify("team/busybox", "1") == pushed


def test_image_is_pulled_by_digest(server, docker, busybox):
    name = f"{server.host}/busybox"
    docker.build(busybox, f"{name}:1")
    pushed = docker.push(f"{name}:1")
    docker.remove_all_images()
    assert docker.pull(f"{name}@{pushed}") == pushed
    assert docker.start_container(f"{name}@{pushed}", "echo", "runs") == "runs\n"


def test_whole_debian_comes_back_and_runs(server, docker, debian):
    name = f"{server.host}/debian:12"
    docker.build(debian, name)
    image_id, pushed = docker.image_id(name), docker.push(name)
    docker.remove_all_images()
    assert docker.pull(name) == pushed
    assert docker.image_id(name) == image_id
    assert docker.start_container(name, "cat", "/etc/debian_version").startswith("12.")
    assert "libc6" in docker.start_container(name, "dpkg-query", "-W", "libc6")
    assert server.api.verify("debian", "12") == pushed


def test_second_push_moves_the_tag_and_keeps_the_first_by_digest(server, docker, work, busybox):
    name = f"{server.host}/app:latest"
    docker.build(busybox, name)
    first = docker.push(name)
    (busybox / "marker").write_text("second\n")
    docker.build(busybox, name)
    second = docker.push(name)
    assert first != second
    docker.remove_all_images()
    assert docker.pull(name) == second
    assert docker.start_container(name, "cat", "/marker") == "second\n"
    assert docker.pull(f"{server.host}/app@{first}") == first


def test_push_to_a_second_repository_mounts_the_layers(server, docker, busybox):
    first, second = f"{server.host}/one/app:1", f"{server.host}/two/app:1"
    docker.build(busybox, first)
    docker.push(first)
    docker.tag(first, second)
    output = docker.run("push", second)
    assert output.count("Mounted from one/app") == 2
    docker.remove_all_images()
    docker.pull(second)
    assert docker.start_container(second, "cat", "/marker") == "hello\n"


def test_manifest_list_is_pushed_and_chosen_from(server, docker, busybox):
    amd64, other, both = (f"{server.host}/multi:{tag}" for tag in ("amd64", "s390x", "both"))
    docker.build(busybox, amd64)
    (busybox / "marker").write_text("other\n")
    docker.build(busybox, other)
    digest = docker.push(amd64)
    docker.push(other)
    docker.run("manifest", "create", "--insecure", both, amd64, other)
    docker.run("manifest", "annotate", "--arch", "s390x", "--os", "linux", both, other)
    docker.run("manifest", "push", "--insecure", both)
    docker.remove_all_images()
    pulled = docker.pull(both)
    assert pulled == server.api.verify("multi", "both") != digest
    assert docker.start_container(both, "cat", "/marker") == "hello\n"


def test_missing_image_is_told_so(server, docker):
    output = docker.try_run("pull", f"{server.host}/nothing:here")
    assert output.returncode != 0
    assert "manifest unknown" in output.stderr
