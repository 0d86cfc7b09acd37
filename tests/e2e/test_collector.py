# SPDX-License-Identifier: Apache-2.0
"""docker-registry 2.8.2's own garbage-collect on our data takes nothing that is needed."""

import pytest

from lib import images, spec
from lib.client import OCI_INDEX
from lib.disk import Tree
from lib.server import collect_garbage


@pytest.fixture
def needed(server):
    """Something of every kind: {(repository, reference): digest}; the server is stopped."""
    image, index = images.image("plain"), images.index("multi")
    tagged = {
        ("plain/oci", "1"): image,
        ("plain/docker", "1"): images.image("docker", docker=True),
        ("deep/er/path/multi", "1"): index,
        ("multi/docker", "1"): images.index("docker", docker=True),
        ("only/artifact", "1"): images.artifact("artifact"),
        ("only/empty-index", "1"): images.Image(images.encoded(
            {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}), OCI_INDEX),
    }
    for (repo, tag), made in tagged.items():
        server.api.push(made, repo, tag)
    found = {place: made.digest for place, made in tagged.items()}
    untagged = images.artifact("signature", subject=image)
    found["plain/oci", untagged.digest] = server.api.push(untagged, "plain/oci", untagged.digest)
    for digest in image.blobs:
        server.api.request("POST", f"/v2/mounted/blobs/uploads/?mount={digest}&from=plain/oci", body=b"").expect(201)
    server.api.put_manifest("mounted", "1", image.manifest, image.media_type).expect(201)
    found["mounted", "1"] = image.digest
    return found


def assert_all_there(server, needed):
    for (repo, reference), digest in needed.items():
        assert server.api.verify(repo, reference) == digest, (repo, reference)
    Tree(server.root).assert_whole()


@pytest.mark.ours  # of docker-registry's own writing it takes the index without blobs: it creates no _layers/
def test_nothing_that_is_needed_is_taken(server, work, needed):
    garbage = server.api.push_blob("plain/oci", b"in no manifest")
    server.stop()
    before = Tree(server.root).blob_digests()
    report = collect_garbage(work, server.root)
    assert before - Tree(server.root).blob_digests() == {garbage}, report
    server.start()
    # The collector takes blobs and leaves their links: such a link leads to nothing, and is no blob to a client.
    server.api.blob("plain/oci", garbage).expect(404)
    server.api.request("DELETE", f"/v2/plain/oci/blobs/{garbage}")
    for (repo, reference), digest in needed.items():
        assert server.api.verify(repo, reference) == digest, (repo, reference)


@pytest.mark.ours
@pytest.mark.parametrize("algorithm", spec.ALGORITHMS)
def test_every_kind_of_content_is_spared(server, work, algorithm):
    """Also what docker-registry knows nothing of: SHA-512, artifacts, subjects, indexes of everything."""
    made = {f"kinds/{kind}": spec.KINDS[kind](algorithm, "collected") for kind in spec.KINDS}
    for repo, content in made.items():
        spec.push(server.api, content, repo).expect(201)
        spec.tag(server.api, content, repo, "1").expect(201)
    server.stop()
    before = Tree(server.root).blob_digests()
    report = collect_garbage(work, server.root)
    assert Tree(server.root).blob_digests() == before, report
    server.start()
    for repo, content in made.items():
        for reference in ("1", content.digest):
            assert server.api.manifest(repo, reference).expect(200).body == content.manifest
        for digest, data in content.blobs.items():
            assert server.api.blob(repo, digest).expect(200).body == data


@pytest.mark.ours
def test_nothing_is_taken_when_nothing_is_garbage(server, work, needed):
    server.stop()
    before = Tree(server.root).blob_digests()
    report = collect_garbage(work, server.root)
    assert Tree(server.root).blob_digests() == before, report
    server.start()
    assert_all_there(server, needed)


def test_tagged_images_survive_the_deletion_of_untagged_ones(server, work):
    """-m, where it is safe: its own defect is that it takes the untagged children of an index."""
    old, new, index = images.image("old"), images.image("new"), images.index("multi")
    server.api.push(old, "app", "latest")
    server.api.push(new, "app", "latest")
    server.api.push(index, "multi", "1")
    for child in index.children:
        server.api.push(child, "multi", child.digest[7:19])
    server.stop()
    collect_garbage(work, server.root, delete_untagged=True)
    server.start()
    assert server.api.verify("app", "latest") == new.digest
    server.api.manifest("app", old.digest).expect(404)
    assert server.api.verify("multi", "1") == index.digest


def test_upload_that_is_not_finished_survives(server, work):
    server.api.push(images.image("finished"), "app", "1")
    data = images.random_bytes("unfinished", 200_000)
    location = server.api.location(server.api.patch(server.api.begin_upload("app"), data[:100_000], 0).expect(202))
    server.stop()
    collect_garbage(work, server.root)
    server.start()
    offset, location = server.api.upload_offset(location)
    digest = images.sha256(data)
    server.api.finish_upload(location, digest, data[offset:]).expect(201)
    assert server.api.blob("app", digest).body == data


def test_collected_image_can_be_pushed_again(server, work, skopeo):
    """Links that lead to nothing must not make a client believe that the blob is there."""
    made = images.image("again")
    for digest, data in made.blobs.items():
        server.api.push_blob("app", data, digest)
    server.stop()
    collect_garbage(work, server.root)
    server.start()
    assert not any(server.api.has_blob("app", digest) for digest in made.blobs)
    skopeo.copy(images.write_dir(made, work / "in"), f"docker://{server.host}/app:1", "--preserve-digests")
    assert server.api.verify("app", "1") == made.digest
