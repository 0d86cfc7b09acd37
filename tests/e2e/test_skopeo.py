# SPDX-License-Identifier: Apache-2.0
"""skopeo and umoci: copies in and out, digest for digest."""

import json

import pytest

from lib import images


def target(server, name):
    return f"docker://{server.host}/{name}"


both_formats = pytest.mark.parametrize("docker", [False, True], ids=["oci", "docker"])


@both_formats
def test_image_is_copied_in_and_out(server, skopeo, work, docker):
    made = images.image("copied", layers=3, docker=docker)
    skopeo.copy(images.write_dir(made, work / "in"), target(server, "img:1"), "--preserve-digests")
    assert server.api.verify("img", "1") == made.digest
    assert skopeo.digest(f"{server.host}/img:1") == made.digest
    skopeo.copy(target(server, "img:1"), f"dir:{work}/out", "--preserve-digests")
    assert_same_files(work)


@both_formats
def test_index_is_copied_in_and_out_with_all_architectures(server, skopeo, work, docker):
    made = images.index("copied", docker=docker)
    skopeo.copy(images.write_dir(made, work / "in"), target(server, "multi:1"), "--all", "--preserve-digests")
    assert server.api.verify("multi", "1") == made.digest
    skopeo.copy(target(server, "multi:1"), f"dir:{work}/out", "--all", "--preserve-digests")
    assert_same_files(work)


def assert_same_files(work):
    files = {p.name: p.read_bytes() for p in (work / "in").iterdir()}
    assert files == {p.name: p.read_bytes() for p in (work / "out").iterdir()}


def test_layout_is_copied_in_and_out(server, skopeo, work):
    made = images.index("layout")
    skopeo.copy(images.write_layout(made, work / "in"), target(server, "multi:1"), "--all", "--preserve-digests")
    skopeo.copy(target(server, "multi:1"), f"oci:{work}/out:1", "--all", "--preserve-digests")
    for digest, data in images.all_blobs(made).items():
        assert (work / "out/blobs/sha256" / digest.split(":")[1]).read_bytes() == data


def test_image_is_copied_from_repository_to_repository(server, skopeo, work):
    made = images.image("moved")
    skopeo.copy(images.write_layout(made, work / "in"), target(server, "first:1"), "--preserve-digests")
    skopeo.copy(target(server, "first:1"), target(server, "deep/er/second:1"), "--preserve-digests")
    assert server.api.verify("deep/er/second", "1") == made.digest


def test_artifact_is_copied_between_servers(server, start_server, skopeo, work):
    made = images.artifact("note")
    server.api.push(made, "notes", "1")
    other = start_server(root=work / "other", name="other")
    other.api.push(made, "notes", "1")
    assert other.api.verify("notes", "1") == server.api.verify("notes", "1") == made.digest


@pytest.mark.ours  # docker-registry lists as the directory does
def test_tags_are_listed_in_byte_order(server, skopeo):
    for tag in ("v2", "v10", "latest"):
        server.api.push(images.image("listed"), "listed", tag)
    listed = json.loads(skopeo.run("list-tags", "--tls-verify=false", target(server, "listed")))
    assert listed["Tags"] == ["latest", "v10", "v2"]
    assert server.api.catalog() == ["listed"]


def test_umoci_layout_makes_the_round_trip(server, skopeo, umoci, work, busybox):
    layout = work / "layout"
    umoci.run("init", "--layout", layout)
    umoci.run("new", "--image", f"{layout}:1")
    umoci.run("insert", "--image", f"{layout}:1", busybox / "busybox", "/bin/busybox")
    umoci.run("insert", "--image", f"{layout}:1", busybox / "marker", "/marker")
    skopeo.copy(f"oci:{layout}:1", target(server, "umoci:1"), "--preserve-digests")
    server.api.verify("umoci", "1")
    skopeo.copy(target(server, "umoci:1"), f"oci:{work}/back:1", "--preserve-digests")
    umoci.run("unpack", "--image", f"{work}/back:1", work / "bundle")
    assert (work / "bundle/rootfs/marker").read_text() == "hello\n"
    assert (work / "bundle/rootfs/bin/busybox").read_bytes() == (busybox / "busybox").read_bytes()
