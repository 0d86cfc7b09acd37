# SPDX-License-Identifier: Apache-2.0
"""Many pushes at the same time, to one process and to two on one directory."""

import concurrent.futures

import pytest

from lib import images
from lib.disk import Tree

BASE = ("base/1", "base/2", "base/3")  # layers that all images share


def at_once(function, *argument_lists):
    """Calls it for each set of arguments in a thread of its own; the first failure is raised."""
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        return list(pool.map(function, *argument_lists))


@pytest.fixture
def servers(server, second_server):
    return server, second_server


@pytest.mark.ours  # docker-registry writes links in place: now and then a reader sees a broken one, and gets a 500
def test_ten_skopeos_push_images_that_share_layers(server, skopeo, work):
    made = [images.image(n, shared=BASE, size=300_000) for n in range(10)]
    sources = [images.write_layout(image, work / f"in{n}") for n, image in enumerate(made)]
    copies = [skopeo.spawn_copy(source, f"docker://{server.host}/shared/app:{n}", work / f"copy{n}.log",
                                "--preserve-digests") for n, source in enumerate(sources)]
    assert [copy.wait() for copy in copies] == [0] * 10, [copy.output() for copy in copies]
    for n, image in enumerate(made):
        assert server.api.verify("shared/app", str(n)) == image.digest
    Tree(server.root).assert_whole()


def test_ten_docker_pushes_of_images_that_share_layers(server, docker, busybox):
    names = [f"{server.host}/shared/app{n}:1" for n in range(10)]
    for n, name in enumerate(names):
        (busybox / "marker").write_text(f"{n}\n")
        docker.build(busybox, name)
    pushed = at_once(docker.push, names)
    docker.remove_all_images()
    assert at_once(docker.pull, names) == pushed
    for n, name in enumerate(names):
        assert docker.start_container(name, "cat", "/marker") == f"{n}\n"
    Tree(server.root).assert_whole()


def test_same_blob_from_many_clients_at_two_processes(servers):
    data = images.random_bytes("same", 5_000_000)
    digests = at_once(lambda n: servers[n % 2].api.push_blob("same/blob", data), range(16))
    assert len(set(digests)) == 1
    for server in servers:
        assert server.api.blob("same/blob", digests[0]).expect(200).body == data
    tree = Tree(servers[0].root)
    tree.assert_whole()
    assert tree.blob_digests() == {digests[0]} and tree.uploads() == []


def test_same_image_from_many_clients_at_two_processes(servers):
    made = images.image("same", layers=4)
    at_once(lambda n: servers[n % 2].api.push(made, "same/image", "latest"), range(16))
    for server in servers:
        assert server.api.verify("same/image", "latest") == made.digest
    Tree(servers[0].root).assert_whole()


def test_same_tag_for_different_images_at_two_processes(servers):
    made = [images.image(n, shared=BASE) for n in range(16)]
    at_once(lambda n: servers[n % 2].api.push(made[n], "same/tag", "latest"), range(16))
    winners = {server.api.verify("same/tag", "latest") for server in servers}
    assert len(winners) == 1 and winners <= {image.digest for image in made}
    for image in made:
        assert servers[0].api.verify("same/tag", image.digest) == image.digest
    Tree(servers[0].root).assert_whole()


def test_tag_read_while_it_moves_is_always_whole(servers):
    made = [images.image(n, shared=BASE) for n in range(30)]
    digests = {image.digest for image in made}
    servers[0].api.push(made[0], "moving", "latest")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pushes = [pool.submit(servers[n % 2].api.push, image, "moving", "latest") for n, image in enumerate(made)]
        while not all(push.done() for push in pushes):
            for server in servers:
                assert server.api.verify("moving", "latest") in digests
        for push in pushes:
            push.result()
