# SPDX-License-Identifier: Apache-2.0
"""Real clients on a registry that collects every second: what they deleted is taken, what they push again is there, what
they meet half taken they bring again; and docker-registry can go on with what is left."""

import hashlib
import os
import time

import pytest

from lib import collecting, images
from lib.client import OCI_MANIFEST
from lib.collecting import GRACE, HOUR, make_old, present, wait_until_gone
from lib.disk import Tree
from lib.server import collect_garbage

pytestmark = pytest.mark.ours


@pytest.fixture
def server(start_server):
    return start_server(config=collecting.collection())


@pytest.fixture
def leave_to_docker_registry(work, start_docker_registry):
    """Ends the server; docker-registry's collector then takes nothing of what is needed, and docker-registry serves it.
    needed: {(repository, reference): digest}."""
    def leave(server, needed):
        server.stop()
        before = Tree(server.root).blob_digests()
        report = collect_garbage(work, server.root)
        assert Tree(server.root).blob_digests() == before, report  # nothing is left for it
        peer = start_docker_registry(root=server.root)
        for (repo, reference), digest in needed.items():
            assert peer.api.verify(repo, reference) == digest
        Tree(server.root).assert_whole()
    return leave


def delete(server, repo, *digests):
    for digest in digests:
        server.api.request("DELETE", f"/v2/{repo}/manifests/{digest}").expect(202)


def parts_of(server, repo, digest):
    document = server.api.manifest(repo, digest).expect(200).json()
    return [document["config"]["digest"], *(layer["digest"] for layer in document["layers"])]


def collect(server, digests):
    """Nobody uses anything at this moment: all is old, and what nothing needs goes."""
    make_old(server)
    wait_until_gone(server, digests)


# --- docker ---


def test_docker_pushes_again_what_was_collected(server, docker, busybox, leave_to_docker_registry):
    name = f"{server.host}/team/app:1"
    docker.build(busybox, name)
    image_id, pushed = docker.image_id(name), docker.push(name)
    for _ in range(3):
        blobs = [pushed, *parts_of(server, "team/app", pushed)]
        delete(server, "team/app", pushed)
        collect(server, blobs)
        assert docker.push(name) == pushed  # it remembers that the registry had them all
        docker.remove_all_images()
        assert docker.pull(name) == pushed and docker.image_id(name) == image_id
        assert docker.start_container(name, "cat", "/marker") == "hello\n"
    leave_to_docker_registry(server, {("team/app", "1"): pushed})


def test_docker_mounts_from_a_repository_that_was_collected(server, docker, busybox, leave_to_docker_registry):
    first, second = (f"{server.host}/{repo}/app:1" for repo in ("one", "two"))
    docker.build(busybox, first)
    pushed = docker.push(first)
    blobs = [pushed, *parts_of(server, "one/app", pushed)]
    delete(server, "one/app", pushed)
    collect(server, blobs)
    docker.tag(first, second)
    assert docker.push(second) == pushed  # it asks for mounts from one/app
    docker.remove_all_images()
    assert docker.pull(second) == pushed
    assert docker.start_container(second, "cat", "/marker") == "hello\n"
    leave_to_docker_registry(server, {("two/app", "1"): pushed})


def test_images_of_docker_that_share_a_layer(server, docker, busybox, leave_to_docker_registry):
    pushed = {}
    for tag in "abc":
        (busybox / "marker").write_text(tag)
        docker.build(busybox, f"{server.host}/shared:{tag}")
        pushed[tag] = docker.push(f"{server.host}/shared:{tag}")
    parts = {tag: set(parts_of(server, "shared", digest)) for tag, digest in pushed.items()}
    common = parts["a"] & parts["b"] & parts["c"]
    assert len(common) == 1
    delete(server, "shared", pushed["a"])
    collect(server, parts["a"] - common | {pushed["a"]})
    assert docker.push(f"{server.host}/shared:a") == pushed["a"]
    delete(server, "shared", pushed["b"], pushed["c"])
    collect(server, (parts["b"] | parts["c"]) - common | {pushed["b"], pushed["c"]})
    docker.remove_all_images()
    assert docker.pull(f"{server.host}/shared:a") == pushed["a"]
    assert docker.start_container(f"{server.host}/shared:a", "cat", "/marker") == "a"
    leave_to_docker_registry(server, {("shared", "a"): pushed["a"]})


# --- podman ---


def test_podman_pushes_again_what_was_collected(server, podman, busybox, leave_to_docker_registry):
    name = f"{server.host}/team/app:1"
    podman.buildah("bud", "--tag", "local", busybox)
    for _ in range(3):
        pushed = podman.push("local", name)
        assert server.api.verify("team/app", "1") == pushed
        blobs = [pushed, *parts_of(server, "team/app", pushed)]
        delete(server, "team/app", pushed)
        collect(server, blobs)
    image_id, pushed = podman.image_id("local"), podman.push("local", name)
    podman.remove_all_images()
    podman.pull(name)
    assert podman.image_id(name) == image_id
    assert podman.start_container(name, "cat", "/marker") == "hello\n"
    leave_to_docker_registry(server, {("team/app", "1"): pushed})


# --- skopeo ---


@pytest.mark.parametrize("docker_format", [False, True], ids=["oci", "docker"])
def test_skopeo_copies_an_index_again_after_it_was_collected(server, skopeo, work, docker_format, leave_to_docker_registry):
    shared = ("base 1", "base 2")
    made, other = (images.index(seed, docker=docker_format, shared=shared) for seed in ("made", "other"))
    source, target = images.write_dir(made, work / "in"), f"docker://{server.host}/multi:1"
    server.api.push(other, "multi", "other")
    own = set(images.all_blobs(made)) - set(images.all_blobs(other))
    for _ in range(3):
        skopeo.copy(source, target, "--all", "--preserve-digests")
        delete(server, "multi", made.digest, *(child.digest for child in made.children))
        collect(server, own)
        assert server.api.verify("multi", "other") == other.digest
    skopeo.copy(source, target, "--all", "--preserve-digests")
    skopeo.copy(target, f"dir:{work}/out", "--all", "--preserve-digests")
    sent, got = ({p.name: p.read_bytes() for p in (work / name).iterdir()} for name in ("in", "out"))
    assert sent == got
    leave_to_docker_registry(server, {("multi", "1"): made.digest, ("multi", "other"): other.digest})


def test_untagged_images_go_but_not_the_children_of_a_tagged_index(start_server, skopeo, work):
    """What docker-registry's -m gets wrong."""
    server = start_server(config=collecting.collection(delete_untagged=True))
    old, new, index = images.image("old"), images.image("new"), images.index("multi")
    signature = images.artifact("signature", subject=new)
    skopeo.copy(images.write_dir(index, work / "index"), f"docker://{server.host}/multi:1", "--all", "--preserve-digests")
    for made in (old, new):
        skopeo.copy(images.write_dir(made, work / made.digest[7:19]), f"docker://{server.host}/app:latest",
                    "--preserve-digests")
    server.api.push(signature, "app", signature.digest)
    make_old(server)
    wait_until_gone(server, images.all_blobs(old))
    server.api.manifest("app", old.digest).expect(404)
    assert server.api.verify("app", "latest") == new.digest
    assert server.api.verify("app", signature.digest) == signature.digest
    assert server.api.verify("multi", "1") == index.digest
    server.api.request("DELETE", "/v2/multi/manifests/1").expect(202)
    make_old(server)
    wait_until_gone(server, images.all_blobs(index))
    assert server.api.verify("app", "latest") == new.digest


# --- links that are old, but not yet too old ---


def ages(server, digests):
    """Seconds since each layer link of these was last renewed."""
    now, names = time.time(), {digest.split(":")[1] for digest in digests}
    return [now - path.stat().st_mtime for path in collecting.links(server) if path.parent.name in names]


def test_every_client_renews_the_links_that_it_relies_on(start_server, docker, podman, skopeo, busybox, work):
    """Nothing needs the blobs that a client finds, and they are past half of the grace: asked for, they are young again."""
    server = start_server(config=collecting.collection(grace=2 * HOUR))
    name = f"{server.host}/{{}}:1"
    docker.build(busybox, name.format("docker"))
    podman.buildah("bud", "--tag", name.format("podman"), busybox)
    source = images.write_dir(images.index("renewed"), work / "in")
    pushes = {
        "docker": lambda: docker.push(name.format("docker")),
        "podman": lambda: podman.push(name.format("podman"), name.format("podman")),
        "skopeo": lambda: skopeo.copy(source, f"docker://{name.format('skopeo')}", "--all", "--preserve-digests"),
    }
    for repo, push in pushes.items():
        push()
        manifests = {server.api.verify(repo, "1")}
        document = server.api.manifest(repo, "1").json()
        manifests |= {child["digest"] for child in document.get("manifests", [])}
        images_of = [m for m in manifests if "config" in server.api.manifest(repo, m).json()]
        blobs = {part for manifest in images_of for part in parts_of(server, repo, manifest)}
        delete(server, repo, *manifests)
        make_old(server, 1.5 * HOUR)
        assert min(ages(server, blobs)) > HOUR
        push()
        assert present(server, blobs) == blobs
        assert max(ages(server, blobs | manifests)) < HOUR, repo
        server.api.verify(repo, "1")


# --- what other clients do: one request after the other, as crane and the like ---


def head(server, repo, digest):
    return server.api.request("HEAD", f"/v2/{repo}/blobs/{digest}").status


def test_what_was_promised_stays_for_the_grace(server):
    """A HEAD that says yes: the manifest that names the blob is accepted later."""
    made = images.image("promised")
    for digest, data in made.blobs.items():
        server.api.push_blob("app", data, digest)
    time.sleep(GRACE * 0.7)  # past half of the grace, so that it is renewed
    assert {head(server, "app", digest) for digest in made.blobs} == {200}
    time.sleep(GRACE * 0.6)  # past the grace of the upload, not of the HEAD
    server.api.put_manifest("app", "1", made.manifest, made.media_type).expect(201)
    assert server.api.verify("app", "1") == made.digest


def test_what_was_mounted_stays_for_the_grace(server):
    made = images.image("mounted")
    server.api.push(made, "source", "1")
    for digest in made.blobs:
        server.api.request("POST", f"/v2/target/blobs/uploads/?mount={digest}&from=source", body=b"").expect(201)
    delete(server, "source", made.digest)
    for path in collecting.links(server, "source"):
        os.utime(path, (0, 0))
    time.sleep(2)
    server.api.put_manifest("target", "1", made.manifest, made.media_type).expect(201)
    assert server.api.verify("target", "1") == made.digest


def test_a_manifest_that_needs_what_was_collected_is_refused(server):
    made = images.image("lost")
    for digest, data in made.blobs.items():
        server.api.push_blob("app", data, digest)
    collect(server, made.blobs)
    assert {head(server, "app", digest) for digest in made.blobs} == {404}
    reply = server.api.put_manifest("app", "1", made.manifest, made.media_type).expect(404)
    assert set(reply.error_codes()) == {"MANIFEST_BLOB_UNKNOWN"}
    assert server.api.push(made, "app", "1") == made.digest == server.api.verify("app", "1")


def test_an_image_that_is_pulled_while_it_is_collected_arrives(server):
    data = images.random_bytes("pulled", 32 << 20)
    digest = server.api.push_blob("app", data)
    connection = server.api.connect()
    connection.request("GET", f"/v2/app/blobs/{digest}")
    reply = connection.getresponse()
    first = reply.read(1000)
    collect(server, [digest])
    assert hashlib.sha256(first + reply.read()).hexdigest() == digest.split(":")[1]
    connection.close()


def test_an_upload_goes_on_however_old_it_is(server):
    data = images.random_bytes("slow", 300_000)
    location = server.api.begin_upload("app")
    location = server.api.location(server.api.patch(location, data[:100_000], 0).expect(202))
    garbage = server.api.push_blob("app", b"garbage")
    for path in (Tree(server.root).base / "repositories/app/_uploads").glob("**/data"):
        os.utime(path, (time.time() - HOUR,) * 2)
    collect(server, [garbage])
    server.api.finish_upload(location, images.sha256(data), data[100_000:]).expect(201)
    assert server.api.blob("app", images.sha256(data)).expect(200).body == data


def test_links_that_docker_registrys_collector_left_are_cleared(start_server, work):
    """It takes blobs and leaves their links, and ours begins with what it left."""
    server = start_server()
    kept, lost = images.image("kept"), images.image("lost")
    server.api.push(kept, "app", "1")
    server.api.push(lost, "app", "2")
    delete(server, "app", lost.digest)
    server.stop()
    collect_garbage(work, server.root)
    again = start_server(root=server.root, config=collecting.collection(), name="again")
    make_old(again)
    links = lambda: {digest for repo, _, digest in Tree(server.root).links("_layers/*/*")}
    deadline = time.monotonic() + 60
    while links() != set(kept.blobs):
        assert time.monotonic() < deadline, links()
        time.sleep(0.1)
    assert again.api.verify("app", "1") == kept.digest
    assert again.api.manifest("app", "1").headers["Content-Type"] == OCI_MANIFEST
