# SPDX-License-Identifier: Apache-2.0
"""`storage: inmemory`: what holds on a disk holds there, and nothing is left at the end."""

import pathlib
from concurrent.futures import ThreadPoolExecutor

import pytest

from lib import images, proc, slow
from lib.client import sha256

# The same tests as on a disk, run once more with the `server` of this file.
from test_docker import (test_image_is_pulled_by_digest, test_manifest_list_is_pushed_and_chosen_from,
                         test_push_to_a_second_repository_mounts_the_layers, test_pushed_image_comes_back_and_runs,
                         test_second_push_moves_the_tag_and_keeps_the_first_by_digest,
                         test_whole_debian_comes_back_and_runs)
from test_listing import (filled, tagged, test_catalog_page_by_page,
                          test_number_beyond_the_maximum_of_the_catalog_is_refused, test_tags_page_by_page)
from test_mounts import (test_blob_of_another_repository_is_unknown,
                         test_index_needs_its_children_in_its_own_repository,
                         test_manifest_needs_its_blobs_in_its_own_repository,
                         test_mount_of_what_the_source_lacks_becomes_an_upload)
from test_podman import test_podman_pushes_an_index_of_two_architectures
from test_skopeo import (test_image_is_copied_from_repository_to_repository,
                         test_index_is_copied_in_and_out_with_all_architectures, test_tags_are_listed_in_byte_order,
                         test_umoci_layout_makes_the_round_trip)
from test_uploads import (test_chunk_out_of_order_is_refused_and_the_offset_told, test_chunked_upload_is_served_as_it_came,
                          test_monolithic_upload_is_served_as_it_came, test_single_post_is_served_as_it_came,
                          test_upload_belongs_to_its_repository)

SAME_AS_ON_A_DISK = [
    filled, tagged, test_blob_of_another_repository_is_unknown, test_catalog_page_by_page,
    test_chunk_out_of_order_is_refused_and_the_offset_told, test_chunked_upload_is_served_as_it_came,
    test_image_is_copied_from_repository_to_repository, test_image_is_pulled_by_digest,
    test_index_is_copied_in_and_out_with_all_architectures, test_index_needs_its_children_in_its_own_repository,
    test_manifest_list_is_pushed_and_chosen_from, test_manifest_needs_its_blobs_in_its_own_repository,
    test_monolithic_upload_is_served_as_it_came, test_mount_of_what_the_source_lacks_becomes_an_upload,
    test_number_beyond_the_maximum_of_the_catalog_is_refused, test_podman_pushes_an_index_of_two_architectures,
    test_push_to_a_second_repository_mounts_the_layers, test_pushed_image_comes_back_and_runs,
    test_second_push_moves_the_tag_and_keeps_the_first_by_digest, test_single_post_is_served_as_it_came,
    test_tags_are_listed_in_byte_order, test_tags_page_by_page, test_umoci_layout_makes_the_round_trip,
    test_upload_belongs_to_its_repository, test_whole_debian_comes_back_and_runs,
]

MIB = 1 << 20


@pytest.fixture
def start_in_memory(make_server):
    def start(storage="inmemory", env=None, **config):
        server = make_server(config=config, env=env)
        server.config["storage"] = storage
        return server.start()
    return start


@pytest.fixture
def server(start_in_memory):
    return start_in_memory({"inmemory": None, "delete": {"enabled": True}})


def descriptors(server):
    """What the process has open: {number: name}."""
    found = {}
    for file in pathlib.Path(f"/proc/{server.daemon.pid}/fd").iterdir():
        try:
            found[file] = str(file.readlink())
        except FileNotFoundError:  # closed meanwhile
            pass
    return found


def memory_of(server):
    """Bytes that the process has in memory: its own, and those of its memory files."""
    status = pathlib.Path(f"/proc/{server.daemon.pid}/status").read_text()
    own = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon"))
    files = [file for file, name in descriptors(server).items() if "memfd:roadstead-storage" in name]
    return own + sum(file.stat().st_blocks * 512 for file in files)


@pytest.mark.ours
@pytest.mark.parametrize("storage, env", [
    ("inmemory", None), ({"inmemory": {}}, None), ({"inmemory": None}, None),
    ({"filesystem": {"rootdirectory": "/nowhere"}}, {"REGISTRY_STORAGE": "inmemory"}),
    ({"inmemory": {}}, {"REGISTRY_STORAGE_INMEMORY": "{}"}),
], ids=["word", "section", "null", "variable", "variable of the section"])
def test_configured_in_each_way(start_in_memory, storage, env):
    server = start_in_memory(storage, env)
    proc.wait_until("it tells of its storage", lambda: "storage=inmemory" in server.log_text(), server.daemon)
    digest = server.api.push_blob("some/thing", b"bytes")
    assert server.api.blob("some/thing", digest).expect(200).body == b"bytes"
    assert not pathlib.Path(server.root, "docker").exists()


@pytest.mark.ours
@pytest.mark.parametrize("end", ["restart", "kill"])
def test_everything_is_gone_at_the_end(server, end):
    made = images.image("gone")
    server.api.push(made, "app", "1")
    assert server.api.tags("app") == ["1"]
    if end == "kill":
        server.kill()
        server.start()
    else:
        server.restart()
    server.api.manifest("app", "1").expect(404)
    assert server.api.catalog() == []
    server.api.push(made, "app", "1")


@pytest.mark.ours
def test_memory_of_uploads_is_given_back(server):
    data = images.random_bytes("memory", 64 * MIB)
    server.api.push_blob("warm/up", data[:MIB])
    before = memory_of(server)
    for _ in range(3):
        location = server.api.begin_upload("up/load")
        server.api.patch(location, data).expect(202)
        assert memory_of(server) > before + 60 * MIB
        server.api.request("DELETE", location).expect(204)
        assert memory_of(server) < before + 8 * MIB
    location = server.api.begin_upload("up/load")
    server.api.finish_upload(location, sha256(b"other"), data).expect(400)
    assert memory_of(server) < before + 8 * MIB


@pytest.mark.ours
def test_memory_of_a_twofold_push_is_that_of_one(server):
    data = images.random_bytes("twofold", 32 * MIB)
    server.api.push_blob("first", data)
    before = memory_of(server)
    server.api.push_blob("second", data)
    assert memory_of(server) < before + 8 * MIB


@pytest.mark.ours
def test_layers_need_no_descriptors(server):
    before = len(descriptors(server))
    data = images.random_bytes("layers", 80 * 1000)
    for i in range(300):
        server.api.push_blob("app", data + str(i).encode())
    assert len(descriptors(server)) <= before + 8


@pytest.mark.ours
def test_slow_pull_gets_its_bytes_while_others_push(server):
    data = images.random_bytes("slow", 24 * MIB)
    digest = server.api.push_blob("app", data)
    pull = slow.SlowPull(server.host, f"/v2/app/blobs/{digest}")
    pull.peek()
    for i in range(3):
        location = server.api.begin_upload("other")
        server.api.patch(location, images.random_bytes(f"other {i}", 8 * MIB)).expect(202)
        server.api.request("DELETE", location).expect(204)
    assert pull.finish() == (200, data)


@pytest.mark.ours
def test_full_memory_answers_507_and_goes_on(start_in_memory):
    server = start_in_memory("inmemory", roadstead={"storage": {"inmemory_size": "20MiB"}})
    data = images.random_bytes("full", 12 * MIB)
    digest = server.api.push_blob("app", data)
    location = server.api.begin_upload("app")
    reply = server.api.patch(location, data)
    assert reply.status == 507
    assert server.api.blob("app", digest).body == data
    offset, location = server.api.upload_offset(location)
    assert offset < 12 * MIB
    server.api.request("DELETE", location).expect(204)
    server.api.push_blob("app", data[:6 * MIB])


@pytest.mark.ours
def test_many_push_and_pull_at_once(server):
    def one(i):
        data = images.random_bytes(f"many {i % 8}", (i % 8 + 1) * 150 * 1000)
        made = images.image(f"many {i % 5}")
        digest = server.api.push_blob(f"app{i % 3}", data)
        server.api.push(made, f"app{i % 3}", f"tag{i % 7}")
        return server.api.blob(f"app{i % 3}", digest).body == data and server.api.tags(f"app{i % 3}") != []
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(120)))
    proc.wait_until("all is quiet", lambda: server.api.catalog() == ["app0", "app1", "app2"], server.daemon)
