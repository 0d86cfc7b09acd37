# SPDX-License-Identifier: Apache-2.0
"""Roadstead and docker-registry 2.8.2 on one directory: each serves what the other wrote, digest for digest."""

import pytest

from lib import images, spec
from lib.client import sha256
from lib.disk import Tree

MIB = 1 << 20
DATA = images.random_bytes("interchange", 3 * MIB + 5)
MADE = {
    "plain/oci": images.image("oci", layers=3),
    "plain/docker": images.image("docker", layers=3, docker=True),
    "multi/oci": images.index("oci"),
    "multi/docker": images.index("docker", docker=True),
    "an/artifact": images.artifact("artifact"),
}


@pytest.fixture(params=["written by docker-registry", "written by Roadstead"])
def pair(request, server, docker_registry):
    """(writer, reader)"""
    return (docker_registry, server) if "docker-registry" in request.param else (server, docker_registry)


@pytest.fixture
def written(pair):
    writer, reader = pair
    for repo, image in MADE.items():
        writer.api.push(image, repo, "1")
    return writer, reader


def test_all_kinds_of_images_are_served_digest_for_digest(written):
    _, reader = written
    for repo, image in MADE.items():
        assert reader.api.verify(repo, "1") == reader.api.verify(repo, image.digest) == image.digest
        assert reader.api.manifest(repo, "1").body == image.manifest


def test_headers_that_clients_look_at_are_the_same(written):
    writer, reader = written
    names = ("Content-Type", "Content-Length", "Docker-Content-Digest", "ETag", "Docker-Distribution-Api-Version")
    for repo, image in MADE.items():
        paths = [f"/v2/{repo}/manifests/1"] + [f"/v2/{repo}/blobs/{digest}" for digest in image.blobs]
        for path in paths:
            accept = {"Accept": image.media_type}
            theirs, ours = (server.api.request("HEAD", path, headers=accept).headers for server in (writer, reader))
            assert [theirs[name] for name in names] == [ours[name] for name in names], path


def test_catalog_and_tags_are_the_same(written):
    writer, reader = written
    for tag in ("b", "a", "1.0"):
        writer.api.push(MADE["plain/oci"], "plain/oci", tag)
    assert writer.api.catalog() == reader.api.catalog() == sorted(MADE)
    assert sorted(writer.api.tags("plain/oci")) == sorted(reader.api.tags("plain/oci")) == ["1", "1.0", "a", "b"]


def test_files_on_the_disk_are_the_same(server, start_docker_registry, work):
    theirs = start_docker_registry(root=work / "theirs")
    for registry in (server, theirs):
        for repo, image in MADE.items():
            registry.api.push(image, repo, "1")
    assert files_below(server.root / "docker") == files_below(theirs.root / "docker")


def files_below(directory):
    return {str(p.relative_to(directory)): sha256(p.read_bytes()) for p in directory.rglob("*") if p.is_file()}


def test_docker_pulls_from_the_one_what_it_pushed_to_the_other(pair, docker, busybox):
    writer, reader = pair
    docker.build(busybox, f"{writer.host}/team/app:1")
    pushed = docker.push(f"{writer.host}/team/app:1")
    docker.remove_all_images()
    assert docker.pull(f"{reader.host}/team/app:1") == pushed
    assert docker.start_container(f"{reader.host}/team/app:1", "cat", "/marker") == "hello\n"


def test_skopeo_copies_an_index_out_of_the_other(pair, skopeo, work):
    writer, reader = pair
    made = images.index("skopeo")
    source = images.write_dir(made, work / "in")
    skopeo.copy(source, f"docker://{writer.host}/multi:1", "--all", "--preserve-digests")
    skopeo.copy(f"docker://{reader.host}/multi:1", f"dir:{work}/out", "--all", "--preserve-digests")
    assert {p.name: p.read_bytes() for p in (work / "in").iterdir()} == {
        p.name: p.read_bytes() for p in (work / "out").iterdir()}


def test_turns_at_one_tag(pair):
    versions = [images.image(f"turn {n}", shared=("base",)) for n in range(6)]
    for n, image in enumerate(versions):
        pair[n % 2].api.push(image, "turns", "latest")
        for server in pair:
            assert server.api.verify("turns", "latest") == image.digest
    for image in versions:
        for server in pair:
            assert server.api.verify("turns", image.digest) == image.digest
    Tree(pair[0].root).assert_whole()


def test_one_stops_where_the_other_goes_on(server, docker_registry):
    """As an operator who moves over, and back again."""
    docker_registry.stop()
    server.api.push(MADE["plain/oci"], "moved", "1")
    server.stop()
    docker_registry.start()
    docker_registry.api.push(MADE["multi/oci"], "moved", "2")
    docker_registry.stop()
    server.start()
    assert server.api.verify("moved", "1") == MADE["plain/oci"].digest
    assert server.api.verify("moved", "2") == MADE["multi/oci"].digest
    assert sorted(server.api.tags("moved")) == ["1", "2"]


def test_upload_begun_at_the_one_ends_at_the_other(pair):
    begin, end = pair
    location = begin.api.location(begin.api.patch(begin.api.begin_upload("up/load"), DATA[:MIB], 0).expect(202))
    offset, location = end.api.upload_offset(location)
    assert offset == MIB
    location = end.api.location(end.api.patch(location, DATA[MIB:2 * MIB], MIB).expect(202))
    offset, location = begin.api.upload_offset(location)
    assert offset == 2 * MIB
    location = begin.api.location(begin.api.patch(location, DATA[2 * MIB:], 2 * MIB).expect(202))
    end.api.finish_upload(location, sha256(DATA)).expect(201)
    for server in pair:
        assert server.api.blob("up/load", sha256(DATA)).expect(200).body == DATA
    assert not Tree(begin.root).uploads()


def test_upload_changes_hands_at_each_step(pair):
    """With nothing but the Location of the step before: no status is asked for, the other's _state is all there is."""
    first, second = pair
    location = first.api.begin_upload("up/load")
    third = len(DATA) // 3
    for server, start, end in ((second, 0, third), (first, third, 2 * third)):
        location = server.api.location(server.api.patch(location, DATA[start:end]).expect(202))
    second.api.finish_upload(location, sha256(DATA), DATA[2 * third:]).expect(201)
    for server in pair:
        assert server.api.blob("up/load", sha256(DATA)).expect(200).body == DATA
        server.api.get(location).expect(404)


@pytest.mark.ours
@pytest.mark.parametrize("secret", ["", "another secret"], ids=["none", "another"])
def test_upload_goes_on_here_whatever_the_secret_was(start_server, start_docker_registry, work, secret):
    """The storage knows the offset: what was begun with another secret, or without one, is not lost here."""
    ours = start_server(config={"http": {"secret": secret}})
    theirs = start_docker_registry(root=ours.root)
    location = theirs.api.location(theirs.api.patch(theirs.api.begin_upload("up/load"), DATA[:MIB]).expect(202))
    assert ours.api.upload_offset(location)[0] == MIB
    ours.api.finish_upload(location, sha256(DATA), DATA[MIB:]).expect(201)
    assert theirs.api.blob("up/load", sha256(DATA)).expect(200).body == DATA


def test_hash_state_of_the_one_spares_the_other_the_reading(pair):
    begin, end = pair
    data = images.random_bytes("long", 32 * MIB)
    location = begin.api.location(begin.api.patch(begin.api.begin_upload("up/load"), data, 0).expect(202))
    before = end.bytes_read()
    end.api.finish_upload(location, sha256(data)).expect(201)
    assert end.bytes_read() - before < 8 * MIB


def test_blob_mounted_by_the_one_is_served_by_the_other(pair):
    writer, reader = pair
    digest = writer.api.push_blob("mount/from", DATA)
    reader.api.request("POST", f"/v2/mount/to/blobs/uploads/?mount={digest}&from=mount/from", body=b"").expect(201)
    for server in pair:
        assert server.api.blob("mount/to", digest).expect(200).body == DATA


@pytest.mark.ours
@pytest.mark.parametrize("kind", ["image-of-both-algorithms", "index-of-both-algorithms", "artifact-with-subject", "index-nested"])
def test_docker_registry_goes_on_beside_what_it_does_not_know(server, docker_registry, kind):
    """SHA-512, subjects, notes of referrers: in the repositories that it writes to."""
    plain, later = MADE["plain/oci"], MADE["plain/docker"]
    server.api.push(plain, "both", "plain")
    made = [spec.KINDS[kind](algorithm, f"beside/{kind}") for algorithm in spec.ALGORITHMS]
    for content in made:
        spec.push(server.api, content, "both").expect(201)
        spec.tag(server.api, content, "both", content.algorithm, "newest").expect(201)
        server.api.get(f"/v2/both/referrers/{(content.subject or content).digest}").expect(200)
    assert docker_registry.api.catalog() == server.api.catalog() == ["both"]
    assert sorted(docker_registry.api.tags("both")) == server.api.tags("both") == ["newest", "plain", "sha256", "sha512"]
    assert docker_registry.api.verify("both", "plain") == plain.digest
    assert docker_registry.api.manifest("both", "sha256").expect(200).body == made[0].manifest
    docker_registry.api.push(later, "both", "newest")
    assert server.api.verify("both", "newest") == later.digest
    for content in made:
        assert server.api.manifest("both", content.algorithm).expect(200).body == content.manifest
        for digest, data in content.blobs.items():
            assert server.api.blob("both", digest).expect(200).body == data
