# SPDX-License-Identifier: Apache-2.0
"""roadstead garbage-collect, and the server's own schedule, on data of both registries."""

import json
import re
import shutil
import signal
import time

import pytest

from lib import images, proc
from lib.disk import Tree
from lib.server import ROADSTEAD

pytestmark = pytest.mark.ours

DAY = 24 * 3600


def old(root, seconds=2 * DAY):
    """Everything that is stored was written two days ago."""
    proc.run("find", root / "docker", "-exec", "touch", "-h", "-d", f"{seconds} seconds ago", "{}", "+")


def collect(server, *flags, check=True, env=None, config=True):
    argv = [ROADSTEAD, "garbage-collect", *flags] + ([server.write_config()] if config else [])
    done = proc.run(*argv, env={**server.env, **(env or {})}, check=False)
    assert not any(mark in done.stderr for mark in proc.SANITIZER_MARKS), done.stderr
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


def summary(server, *flags):
    return json.loads(collect(server, "--json", "-q", *flags).stdout)


def listing(root):
    """Every path below, and what the files hold."""
    return {p.relative_to(root).as_posix(): p.read_bytes() if p.is_file() else None
            for p in sorted((root / "docker").glob("**/*"))}


@pytest.fixture
def stocked(server):
    """An image, an index, a referrer, a mount, a deleted image and a loose blob; the server runs."""
    kept, index, gone = images.image("kept"), images.index("multi"), images.image("gone", shared=())
    server.api.push(kept, "app", "1")
    server.api.push(index, "deep/er/multi", "1")
    signature = images.artifact("signature", subject=kept)
    server.api.push(signature, "app", signature.digest)
    server.api.push(gone, "app", "2")
    server.api.request("DELETE", f"/v2/app/manifests/{gone.digest}").expect(202)
    loose = server.api.push_blob("app", b"in no manifest")
    server.needed = {("app", "1"): kept.digest, ("app", signature.digest): signature.digest,
                     ("deep/er/multi", "1"): index.digest}
    server.garbage = {loose, gone.digest, *gone.blobs}
    return server


def assert_collected(server):
    tree = Tree(server.root)
    assert not tree.blob_digests() & server.garbage
    tree.assert_whole()
    for (repo, reference), digest in server.needed.items():
        assert server.api.verify(repo, reference) == digest


def test_without_a_server_all_garbage_goes_at_once(stocked):
    stocked.stop()
    done = collect(stocked)
    assert "no server uses the storage" in done.stdout
    assert f"{len(stocked.garbage)} blobs and 0 manifests eligible for deletion" in done.stdout
    for digest in stocked.garbage:
        assert f"blob eligible for deletion: {digest}" in done.stdout
    assert f"removed {len(stocked.garbage)} blobs" in done.stdout
    stocked.start()
    assert_collected(stocked)


def test_beside_a_server_what_is_young_stays(stocked):
    done = collect(stocked)
    assert "what was used within 86400 seconds stays" in done.stdout
    assert stocked.garbage <= Tree(stocked.root).blob_digests()
    old(stocked.root)
    collect(stocked)
    assert_collected(stocked)


def test_what_is_asked_for_is_young_again(stocked):
    """A client that was told of a blob relies on it."""
    old(stocked.root)
    promised = stocked.api.push_blob("app", b"promised")
    old(stocked.root)
    assert stocked.api.has_blob("app", promised)
    collect(stocked)
    assert promised in Tree(stocked.root).blob_digests()
    assert_collected(stocked)


def test_collected_images_can_be_pushed_again(stocked):
    gone = images.image("gone", shared=())
    old(stocked.root)
    collect(stocked)
    assert not any(stocked.api.has_blob("app", digest) for digest in gone.blobs)
    stocked.api.push(gone, "app", "2")
    assert stocked.api.verify("app", "2") == gone.digest
    old(stocked.root)
    assert summary(stocked)["removed"] == {"manifests": 0, "links": 0, "blobs": 0}
    assert stocked.api.verify("app", "2") == gone.digest


def test_untagged_manifests_go_with_m_alone(server):
    first, second, index = images.image("first"), images.image("second"), images.index("multi")
    server.api.push(first, "app", "latest")
    server.api.push(second, "app", "latest")
    server.api.push(index, "app", "multi")
    old(server.root)
    collect(server)
    assert server.api.verify("app", first.digest) == first.digest
    done = collect(server, "--delete-untagged")
    assert f"manifest eligible for deletion: app@{first.digest}" in done.stdout
    server.api.manifest("app", first.digest).expect(404)
    assert server.api.verify("app", "latest") == second.digest
    assert server.api.verify("app", "multi") == index.digest


def test_it_chooses_what_docker_registry_chooses(work, make_server, start_docker_registry):
    theirs = start_docker_registry()
    for seed in ("a", "b", "c"):
        theirs.api.push(images.image(seed, docker=True), f"team/{seed}", "1")
    gone = images.image("gone", docker=True)
    theirs.api.push(gone, "team/a", "2")
    theirs.api.request("DELETE", f"/v2/team/a/manifests/{gone.digest}").expect(202)
    theirs.api.push_blob("team/b", b"loose")
    theirs.stop()
    said = proc.run("docker-registry", "garbage-collect", "-d", theirs.write_config(), env=theirs.env)
    ours = collect(make_server(root=theirs.root), "-d").stdout
    eligible = re.compile(r"^blob eligible for deletion: (\S+)", re.M)
    assert set(eligible.findall(said)) == set(eligible.findall(ours)) != set()
    counts = re.compile(r"^\d+ blobs marked, \d+ blobs and \d+ manifests eligible for deletion", re.M)
    assert counts.findall(said) == counts.findall(ours) != []


def test_a_dry_run_changes_nothing(stocked):
    stocked.stop()
    before = listing(stocked.root)
    for flags in (["-d"], ["--dry-run=true", "-m"], ["-dm"], ["-qd", "-m=false"]):
        collect(stocked, *flags)
        assert listing(stocked.root) == before, flags
    assert summary(stocked, "-d")["eligible"]["blobs"] == len(stocked.garbage)


def test_command_line(stocked):
    stocked.stop()
    config = stocked.write_config()
    assert collect(stocked, config, "-d", config=False).returncode == 0
    assert collect(stocked, "-dq").stdout == ""
    assert collect(stocked, "-d", config=False, env={"REGISTRY_CONFIGURATION_PATH": str(config)}).returncode == 0
    assert "Usage" in collect(stocked, "--help", config=False).stdout
    for wrong in (["-x"], ["--nothing"], ["--dry-run=perhaps"], ["--grace", "soon"], ["--grace=0"], [config]):
        done = collect(stocked, *wrong, check=False)
        assert done.returncode == 2 and "Usage" in done.stderr, wrong
    assert collect(stocked, config=False, check=False).returncode == 2
    assert collect(stocked, stocked.work / "missing.yml", config=False, check=False).returncode != 0
    assert stocked.garbage <= Tree(stocked.root).blob_digests()


def test_a_grace_that_is_asked_for_holds_without_a_server(stocked):
    stocked.stop()
    done = collect(stocked, "--grace", "1h")
    assert "what was used within 3600 seconds stays" in done.stdout
    assert stocked.garbage <= Tree(stocked.root).blob_digests()


def slow(server, *flags):
    """A run that takes its time over each removal."""
    argv = [ROADSTEAD, "garbage-collect", *flags, server.write_config()]
    env = {**server.env, "ROADSTEAD_TEST_FAULTS": "remove:delay=100"}
    return proc.Daemon(argv, server.work / "collection.log", env)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_was_stopped_goes_on(server, how):
    kept = images.image("kept")
    server.api.push(kept, "app", "1")
    loose = {server.api.push_blob("app", f"loose {i}".encode()) for i in range(40)}
    old(server.root)
    run = slow(server, "-q")
    links = server.root / "docker/registry/v2/repositories/app/_layers/sha256"
    proc.wait_until("some links are gone", lambda: len(list(links.iterdir())) < 35, run)
    run.signal(how)
    status = run.wait()
    assert status == (1 if how != signal.SIGKILL else -signal.SIGKILL), run.output()
    assert loose & Tree(server.root).blob_digests()
    assert server.api.verify("app", "1") == kept.digest
    again = summary(server)
    assert again["resumed"] and again["complete"]
    assert not loose & Tree(server.root).blob_digests()
    assert server.api.verify("app", "1") == kept.digest
    Tree(server.root).assert_whole()


def test_the_server_collects_by_itself(start_observed):
    server = start_observed({"roadstead": {"collection": {"enabled": True, "interval": "1s", "grace": "1s"}}})
    kept = images.image("kept")
    server.api.push(kept, "app", "1")
    loose = server.api.push_blob("app", b"loose")
    proc.wait_until("it is collected", lambda: loose not in Tree(server.root).blob_digests(), server.daemon)
    proc.wait_until("it is logged", lambda: 'removed.blobs=1' in server.log_text(), server.daemon)
    metrics = server.debug.get("/metrics").body.decode()
    assert re.search(r'^roadstead_collection_removed_total\{kind="blob"\} 1$', metrics, re.M), metrics
    assert re.search(r"^roadstead_collection_freed_bytes_total 5$", metrics, re.M)
    assert server.api.verify("app", "1") == kept.digest


def test_a_server_that_ends_ends_its_collection(work, make_server):
    server = make_server(config={"roadstead": {"collection": {"enabled": True, "interval": "1s", "grace": "1s"}}},
                         env={"ROADSTEAD_TEST_FAULTS": "remove:delay=300"})
    server.start()
    loose = [server.api.push_blob("app", f"loose {i}".encode()) for i in range(30)]
    proc.wait_until("it has begun", lambda: len(Tree(server.root).blob_digests()) > 0 and
                    len(list(Tree(server.root).links("_layers/*/*"))) < 28, server.daemon)
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 10
    server.env.pop("ROADSTEAD_TEST_FAULTS")
    server.start()
    proc.wait_until("the rest goes", lambda: not set(loose) & Tree(server.root).blob_digests(), server.daemon)


def test_beside_a_writing_docker_registry_it_refuses(work, make_server, start_docker_registry):
    theirs = start_docker_registry()
    theirs.api.push(images.image("kept", docker=True), "app", "1")
    loose = theirs.api.push_blob("app", b"loose")
    location = theirs.api.begin_upload("app")
    ours = make_server(root=theirs.root)
    done = collect(ours, check=False)
    assert done.returncode == 1 and "registry:2" in done.stderr
    assert loose in Tree(theirs.root).blob_digests()
    theirs.api.finish_upload(location, images.sha256(b"ended"), b"ended").expect(201)
    theirs.stop()
    collect(ours)
    assert loose not in Tree(theirs.root).blob_digests()
    theirs.start()
    theirs.api.verify("app", "1")


def test_docker_registry_continues_an_upload_of_ours(server, start_docker_registry):
    data = images.random_bytes("in two halves", 300_000)
    location = server.api.location(server.api.patch(server.api.begin_upload("app"), data[:150_000], 0).expect(202))
    server.stop()
    theirs = start_docker_registry(root=server.root, host=server.host)
    offset, location = theirs.api.upload_offset(location)
    assert offset == 150_000
    theirs.api.finish_upload(location, images.sha256(data), data[offset:]).expect(201)
    assert theirs.api.blob("app", images.sha256(data)).body == data


def test_what_is_not_understood_ends_it(stocked):
    stocked.stop()
    tree = Tree(stocked.root)
    manifest = tree.blob_path(stocked.needed["app", "1"])
    whole = manifest.read_bytes()
    for broken in (b"", whole[:-1], b"{}"):
        manifest.write_bytes(broken)
        before = listing(stocked.root)
        done = collect(stocked, check=False)
        assert done.returncode == 1
        assert "repository app" in done.stderr and "roadstead check --repair" in done.stderr
        assert listing(stocked.root) == before
    manifest.write_bytes(whole)
    collect(stocked)
    stocked.start()
    assert_collected(stocked)


def test_in_memory_there_is_nothing_to_collect(work, make_server):
    server = make_server()
    server.config["storage"] = "inmemory"
    done = collect(server)
    assert "nothing to collect" in done.stderr


def test_a_copy_of_the_data_can_be_collected_by_docker_registry_afterwards(work, stocked, start_docker_registry):
    """What is left is a registry:2's as before."""
    stocked.stop()
    collect(stocked, "-m")
    copy = work / "copy"
    shutil.copytree(stocked.root / "docker", copy / "docker", symlinks=True)
    theirs = start_docker_registry(root=copy)
    theirs.stop()
    said = proc.run("docker-registry", "garbage-collect", "-d", theirs.write_config(), env=theirs.env)
    assert ", 0 blobs and 0 manifests eligible for deletion" in said
    stocked.start()
    assert_collected(stocked)
