# SPDX-License-Identifier: Apache-2.0
"""Listings of many names, and of directories that others change: a page costs and holds the same, and the very next
listing is right."""

import os
import random
import re
import shutil
import statistics
import time

import pytest

from lib import images, mounts
from test_listing import pages

MANY = 20_000
REPOSITORIES = "docker/registry/v2/repositories"


def make_tags(root, repo, names):
    """As a registry leaves them, past any server."""
    below = root / REPOSITORIES / repo / "_manifests/tags"
    (root / REPOSITORIES / repo / "_layers").mkdir(parents=True, exist_ok=True)
    below.mkdir(parents=True, exist_ok=True)
    first = None
    for name in names:
        directory = f"{below}/{name}/current"
        os.makedirs(directory)
        if first is None:
            first = f"{directory}/link"
            with open(first, "w") as file:
                file.write("sha256:" + "a" * 64)
        else:
            os.link(first, f"{directory}/link")


def make_repositories(root, names):
    for name in names:
        os.makedirs(root / REPOSITORIES / name / "_manifests")
        os.makedirs(root / REPOSITORIES / name / "_layers")


def anonymous_memory(server):
    status = open(f"/proc/{server.daemon.pid}/status").read()
    return int(re.search(r"RssAnon:\s+(\d+) kB", status).group(1))


def all_of(found):
    return [name for page in found for name in page]


@pytest.fixture
def memory(work):
    """Where tens of thousands of directories are soon made and removed."""
    with mounts.tmpfs(work / "memory", 512) as directory:
        yield directory


@pytest.fixture
def quick(memory, start_server):
    server = start_server(root=memory / "data")
    yield server
    server.stop()  # before its disk goes


@pytest.fixture(params=["docker-registry", "Roadstead"])
def other(request, server, start_server, start_docker_registry):
    """Another process on the directory of `server`."""
    if request.param == "Roadstead":
        return start_server(root=server.root, name="second")
    return start_docker_registry(root=server.root)


def test_the_next_listing_knows_what_another_process_pushed_and_deleted(server, other):
    made = {f"v{n}": images.image(f"behind {n}", layers=1, size=100) for n in range(12)}
    there, repositories = set(), set()
    chance = random.Random(1)
    for step in range(40):
        tag, repo = f"v{chance.randrange(12)}", f"deep/{chance.choice('xyz')}/{chance.choice('abcd')}"
        if tag in there:
            other.api.request("DELETE", f"/v2/app/manifests/{made[tag].digest}").expect(202)
            there.discard(tag)
        else:
            other.api.push(made[tag], "app", tag)
            there.add(tag)
        assert server.api.tags("app") == sorted(there)
        if repo not in repositories:
            other.api.push(made[tag], repo, "1")
            repositories.add(repo)
        assert server.api.catalog() == sorted(repositories | {"app"})
        if step % 10 == 0:
            time.sleep(0.03)  # so that what was read is believed


def test_what_is_removed_and_restored_by_hand_is_known_at_once(server):
    make_tags(server.root, "app", ["a", "b"])
    make_repositories(server.root, ["team/x", "team/y"])
    time.sleep(0.03)
    for _ in range(3):
        assert server.api.tags("app") == ["a", "b"]
        assert server.api.catalog() == ["app", "team/x", "team/y"]
        shutil.move(server.root / REPOSITORIES / "team", server.root / "aside")
        assert server.api.catalog() == ["app"]
        shutil.move(server.root / "aside", server.root / REPOSITORIES / "team")
        shutil.move(server.root / REPOSITORIES / "app/_manifests/tags/a", server.root / "aside")
        assert server.api.tags("app") == ["b"]
        assert server.api.catalog() == ["app", "team/x", "team/y"]
        shutil.move(server.root / "aside", server.root / REPOSITORIES / "app/_manifests/tags/a")


@pytest.mark.ours
def test_the_pages_of_many_tags_are_all_of_them(quick):
    names = [f"v{n % 7}.{n // 7}" for n in range(MANY)]
    make_tags(quick.root, "app", names)
    found = pages(quick.api, "/v2/app/tags/list?n=1000", "tags")
    assert [len(page) for page in found] == [1000] * 20
    assert all_of(found) == sorted(names)
    assert quick.api.get("/v2/app/tags/list").expect(200).json()["tags"] == sorted(names)


@pytest.mark.ours
@pytest.mark.parametrize("form", ["r{n:05}", "org{high:03}/r{low:02}", "o{low:02}/r{high:03}"])
def test_the_pages_of_many_repositories_are_all_of_them(quick, form):
    names = [form.format(n=n, high=n // 100, low=n % 100) for n in range(MANY)]
    make_repositories(quick.root, names)
    for _ in range(2):
        found = pages(quick.api, "/v2/_catalog?n=1000", "repositories")
        assert [len(page) for page in found] == [1000] * 20
        assert all_of(found) == sorted(names)


@pytest.mark.ours
def test_memory_and_time_do_not_grow_with_the_names(quick):
    for repo, count in (("small", 200), ("large", MANY)):
        make_tags(quick.root, repo, [f"v{n:05}-{'x' * 115}" for n in range(count)])
    make_repositories(quick.root, [f"r{n:05}-{'x' * 200}" for n in range(MANY)])
    time.sleep(0.03)

    def look(repo):
        return quick.api.get(f"/v2/{repo}/tags/list?n=100&last=v00050").expect(200)

    def cost(repo):
        look(repo)
        times = []
        for _ in range(30):
            begun = time.perf_counter()
            look(repo)
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    small = cost("small")
    before = anonymous_memory(quick)
    large = cost("large")
    for _ in range(3):
        pages(quick.api, "/v2/large/tags/list?n=1000", "tags")
        pages(quick.api, "/v2/_catalog?n=1000", "repositories")
    assert anonymous_memory(quick) < before + 5 * 1024  # what a reading needs for a while; the names have 7 MiB
    assert large < 5 * small + 0.001


@pytest.mark.ours
@pytest.mark.parametrize("megabytes", [1, 2, 3])
def test_with_a_full_state_directory_the_listing_is_right(work, memory, start_server, megabytes):
    """Room for the lock and nothing, for a part of the index, for most of it."""
    names = [f"{n:05}-{'x' * 100}" for n in range(MANY)]
    with mounts.tmpfs(work / "state", megabytes) as state:
        server = start_server(root=memory / "data", config={"roadstead": {"state_dir": str(state)}})
        if megabytes == 1:
            mounts.fill(state)
        make_tags(server.root, "app", names)
        for _ in range(2):
            assert all_of(pages(server.api, "/v2/app/tags/list?n=1000", "tags")) == names
        server.stop()


@pytest.mark.ours
def test_the_index_needs_nothing_from_before_a_crash(work, memory, start_server):
    server = start_server(root=memory / "data", config={"roadstead": {"state_dir": str(work / "state")}})
    names = [f"v{n:05}" for n in range(MANY)]
    make_tags(server.root, "app", names)
    assert server.api.get("/v2/app/tags/list?n=3").json()["tags"] == names[:3]
    left = sorted(path.name for path in (work / "state").iterdir())
    server.kill()
    assert sorted(path.name for path in (work / "state").iterdir()) == left
    shutil.rmtree(server.root / REPOSITORIES / "app/_manifests/tags/v00001")
    server.start()
    assert server.api.get("/v2/app/tags/list?n=3").json()["tags"] == ["v00000", "v00002", "v00003"]
    server.stop()
