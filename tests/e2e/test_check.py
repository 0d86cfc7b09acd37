# SPDX-License-Identifier: Apache-2.0
"""`roadstead check`: real images, damage done by hand, what is found, mended and still served."""

import json
import os
import signal
import subprocess
import time

import pytest

from lib import images, proc
from lib.disk import Tree
from lib.server import ROADSTEAD

pytestmark = pytest.mark.ours

MONTH = 30 * 86400


def check(server, *flags, status=0):
    """The report of a run."""
    found = subprocess.run([ROADSTEAD, "check", "--json", *flags, server.write_config()], env=server.env,
                           capture_output=True, text=True, timeout=300)
    assert found.returncode == status, f"{found.returncode}\n{found.stdout}\n{found.stderr}"
    return json.loads(found.stdout)


def kinds(report, outcome=None):
    return sorted(f["kind"] for f in report["findings"] if outcome in (None, f["outcome"]))


def make_old(*paths):
    for path in paths:
        os.utime(path, (time.time() - MONTH,) * 2)


def damage(path):
    """Another byte in the middle; the length stays."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    make_old(path)


def push_all(server, skopeo, work):
    """Some images by a real client: {(repository, tag): Image}."""
    made = {
        ("library/plain", "1"): images.image("plain", layers=3),
        ("library/docker", "1"): images.image("docker", docker=True),
        ("multi", "1"): images.index("multi"),
        ("again", "1"): images.image("again", shared=("plain/0",)),
    }
    for number, ((repo, tag), image) in enumerate(made.items()):
        source = images.write_dir(image, work / f"in{number}")
        skopeo.copy(source, f"docker://{server.host}/{repo}:{tag}", "--all", "--preserve-digests")
    return made


def quarantine(server):
    return sorted(p.name for p in (server.root / "roadstead/v1/quarantine").glob("*/*"))


def test_healthy_data_has_no_findings_beside_the_server(server, skopeo, work):
    made = push_all(server, skopeo, work)
    report = check(server)
    assert report["findings"] == [] and report["complete"]
    counts = report["counts"]
    assert counts["blobs"] == counts["hashedBlobs"] == len(Tree(server.root).blob_digests())
    assert counts["blobBytes"] == counts["hashedBytes"]
    assert counts["tags"] == len(made) and counts["repositories"] == len(made)
    assert counts["unlinkedBlobs"] == 0


def test_healthy_data_of_docker_registry_has_no_findings(start_docker_registry, make_server, skopeo, work):
    """Also with what it leaves behind: deleted manifests and tags, unfinished uploads, and its own collection."""
    theirs = start_docker_registry(root=work / "data")
    made = push_all(theirs, skopeo, work)
    theirs.api.begin_upload("library/plain")
    theirs.api.push(images.image("gone"), "deleted", "1")
    theirs.api.request("DELETE", f"/v2/deleted/manifests/{images.image('gone').digest}").expect(202)
    ours = make_server(root=theirs.root)
    for flags in ([], ["--no-hash"], ["--repair"]):
        report = check(ours, *flags)
        assert report["findings"] == [], flags
    assert report["counts"]["tags"] == len(made)
    for (repo, tag), image in made.items():
        assert theirs.api.verify(repo, tag) == image.digest


def test_what_is_corrupt_is_set_aside_and_can_be_pushed_again(server, start_docker_registry, skopeo, work):
    made = push_all(server, skopeo, work)
    tree = Tree(server.root)
    image = made["library/plain", "1"]
    layer = json.loads(image.manifest)["layers"][1]["digest"]
    damage(tree.blob_path(layer))
    docker = made["library/docker", "1"]
    damage(tree.blob_path(docker.digest))

    report = check(server, status=1)
    assert kinds(report) == ["corrupt-blob", "corrupt-blob", "missing-blob", "missing-manifest"]
    assert tree.blob_path(layer).exists() and quarantine(server) == []
    missing = next(f for f in report["findings"] if f["kind"] == "missing-blob")
    assert missing["repository"] == "library/plain" and missing["subject"] == layer
    assert image.digest in missing["what"] and "tags that point to it: 1" in missing["what"]

    report = check(server, "--repair", status=1)
    assert kinds(report, "mended") == ["broken-tag", "corrupt-blob", "corrupt-blob", "missing-manifest"]
    assert kinds(report, "stays") == ["missing-blob"]
    assert not tree.blob_path(layer).exists()
    names = quarantine(server)
    assert sum(layer.split(":")[1] in n for n in names) == 2  # with its note
    assert kinds(check(server, "--repair", status=1)) == ["missing-blob"]  # nothing new

    # The server gives away nothing wrong, and everybody can push again.
    server.restart()
    server.api.blob("library/plain", layer).expect(404)
    theirs = start_docker_registry(root=server.root)
    for place in (("multi", "1"), ("again", "1")):
        assert theirs.api.verify(*place) == made[place].digest
        assert server.api.verify(*place) == made[place].digest
    for repo, number in (("library/plain", 0), ("library/docker", 1)):
        skopeo.copy(f"dir:{work}/in{number}", f"docker://{server.host}/{repo}:1", "--all", "--preserve-digests")
    assert check(server, "--repair")["findings"] == []
    for (repo, tag), image in made.items():
        assert theirs.api.verify(repo, tag) == image.digest
    tree.assert_whole()


def test_links_are_written_anew(server, skopeo, work, start_docker_registry):
    made = push_all(server, skopeo, work)
    repositories = server.root / "docker/registry/v2/repositories"
    server.stop()
    layer = json.loads(made["library/plain", "1"].manifest)["layers"][0]["digest"].split(":")[1]
    (repositories / f"library/plain/_layers/sha256/{layer}/link").unlink()
    config = json.loads(made["library/plain", "1"].manifest)["config"]["digest"].split(":")[1]
    broken = repositories / f"library/plain/_layers/sha256/{config}/link"
    broken.write_bytes(b"")
    revision = made["library/docker", "1"].digest.split(":")[1]
    (repositories / f"library/docker/_manifests/revisions/sha256/{revision}/link").unlink()
    tag = repositories / "again/_manifests/tags/1/current/link"
    tag.write_bytes(b"sha256:")
    make_old(broken, tag)
    assert kinds(check(server, status=1)) == ["broken-link", "broken-tag", "broken-tag", "missing-link"]
    report = check(server, "--repair")
    assert kinds(report, "mended") == ["broken-link", "broken-tag", "broken-tag", "missing-link"]
    assert check(server, "--repair")["findings"] == []
    server.start()
    theirs = start_docker_registry(root=server.root)
    for (repo, tag), image in made.items():
        assert server.api.verify(repo, tag) == theirs.api.verify(repo, tag) == image.digest
    Tree(server.root).assert_whole()


def test_leftovers_ghosts_and_stale_uploads(server, skopeo, work):
    push_all(server, skopeo, work)
    base = server.root / "docker/registry/v2"
    server.stop()
    leftover = base / "blobs/sha256/ab/data.1b4e28ba-2fa1-11d2-883f-0016d3cca427.tmp"
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_bytes(bytes(1000))
    ghost = base / "repositories/old/ghost"
    (ghost / "_layers/sha256/00").mkdir(parents=True)
    (ghost / "_layers/sha256/00").rmdir()
    (ghost / "_manifests/tags").mkdir(parents=True)
    upload = base / "repositories/library/plain/_uploads/1b4e28ba-2fa1-11d2-883f-0016d3cca427"
    upload.mkdir(parents=True)
    (upload / "startedat").write_text("2020-01-01T00:00:00Z")
    (upload / "data").write_bytes(b"some")
    make_old(leftover, upload / "data", ghost / "_layers", ghost / "_manifests", ghost)
    assert kinds(check(server)) == ["ghost-repository", "leftover", "stale-upload"]  # no errors: status 0
    assert kinds(check(server, "--repair"), "mended") == ["ghost-repository", "leftover", "stale-upload"]
    assert not leftover.exists() and not ghost.exists() and not upload.exists()
    assert check(server)["findings"] == []
    assert "old/ghost" not in server.start().api.catalog()


def test_pushes_go_on_while_it_repairs(server, work):
    """Whatever was acknowledged is there afterwards, while blobs are damaged and checks run one after the other."""
    tree = Tree(server.root)
    run = subprocess.Popen(["sh", "-c", 'for i in 1 2 3 4 5 6; do "$@" >/dev/null; done', "sh", ROADSTEAD, "check",
                            "--repair", str(server.write_config())], env=server.env)
    pushed, victims = {}, 0
    while run.poll() is None or len(pushed) < 20:
        number = len(pushed)
        image = images.image(f"pushed {number}", layers=1, size=2000, raw=True)
        repo = f"r{number % 3}"
        server.api.push(image, repo, f"t{number}")
        pushed[repo, f"t{number}"] = image
        if number % 10 == 5:
            victim = images.random_bytes(f"victim {number}", 3000)
            damage(tree.blob_path(server.api.push_blob("victims", victim)))
            victims += 1
    assert run.wait() == 0 and victims > 0
    for (repo, tag), image in pushed.items():
        assert server.api.verify(repo, tag) == image.digest
    check(server, "--repair")
    assert kinds(check(server, "--repair")) == []


def test_a_signal_ends_it_cleanly(server):
    server.api.push(images.image("large", layers=2, size=4 << 20, raw=True), "r", "1")
    run = subprocess.Popen([ROADSTEAD, "check", "--json", "--rate", "100000", server.write_config()], env=server.env,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    assert run.poll() is None  # it keeps the rate: 8 MiB at 100 kB/s
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=20)
    assert run.returncode == 1, err
    report = json.loads(out)
    assert report["complete"] is False and report["findings"] == []


def test_text_and_usage(server):
    server.api.push(images.image("some"), "r", "1")
    config = server.write_config()
    text = proc.run(ROADSTEAD, "check", config, env=server.env)
    assert "0 errors, 0 warnings, 0 mended" in text
    assert proc.run(ROADSTEAD, "check", "-q", config, env=server.env) == ""
    for wrong in (["--nonsense"], ["--rate"], ["--rate", "x"], [str(config), str(config)], [str(server.root / "none.yml")]):
        found = subprocess.run([ROADSTEAD, "check", *wrong], env=server.env, capture_output=True, text=True)
        assert found.returncode == (1 if wrong[0].endswith("none.yml") else 2), wrong
        assert found.stderr


def test_the_server_checks_in_the_background(start_observed):
    config = {"roadstead": {"check": {"enabled": True, "interval": "1s", "repair": True}}}
    server = start_observed(config=config)
    image = images.image("whole")
    server.api.push(image, "r", "1")
    digest = server.api.push_blob("r", b"some bytes that are going to be damaged")
    damage(Tree(server.root).blob_path(digest))

    def found():
        return "corrupt-blob" in server.log_text()
    proc.wait_until("the damage is found", found, server.daemon)
    proc.wait_until("the run has ended", lambda: 'roadstead_check_findings{kind="corrupt-blob"}' in
                    server.debug.get("/metrics").body.decode(), server.daemon)
    report = server.debug.get("/debug/check").expect(200).json()
    assert report["complete"] and report["repair"]
    assert server.api.verify("r", "1") == image.digest
    server.api.blob("r", digest).expect(404)
    assert any(digest.split(":")[1] in name for name in quarantine(server))


def test_a_full_disk_breaks_nothing(server, skopeo, work):
    """What cannot be moved, as nothing can be written, is told and left."""
    server.api.push(images.image("some"), "r", "1")
    digest = server.api.push_blob("r", b"bytes")
    damage(Tree(server.root).blob_path(digest))
    env = {**server.env, "ROADSTEAD_TEST_FAULTS": "put:error=STORAGE_FULL"}
    found = subprocess.run([ROADSTEAD, "check", "--json", "--repair", server.write_config()], env=env,
                           capture_output=True, text=True, timeout=60)
    assert found.returncode == 1
    report = json.loads(found.stdout)
    assert kinds(report, "failed") == ["corrupt-blob"]
    assert Tree(server.root).blob_path(digest).exists()
    assert report["complete"]
