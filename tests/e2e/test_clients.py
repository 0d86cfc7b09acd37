# SPDX-License-Identifier: Apache-2.0
"""What the real clients can do besides pushing and pulling one image: lists, listings, syncs, deletions, caches."""

import json

import pytest

from lib import images
from lib.client import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX
from lib.disk import Tree
from lib.engines import INSECURE

TAGS = ["1.0", "1.1", "2.0", "latest"]


def docker_url(server, name):
    return f"docker://{server.host}/{name}"


@pytest.fixture
def pushed(server):
    """Images under TAGS in team/app and lists in team/multi; name → digest of each."""
    found = {f"team/app:{tag}": server.api.push(images.image(tag, docker=True), "team/app", tag) for tag in TAGS}
    for tag, docker in (("oci", False), ("docker", True)):
        found[f"team/multi:{tag}"] = server.api.push(images.index(tag, docker=docker), "team/multi", tag)
    return found


# --- docker ---


def test_docker_manifest_makes_annotates_inspects_and_pushes_a_list(server, docker, busybox):
    parts = {}
    for architecture in ("amd64", "arm64"):
        name = f"{server.host}/multi:{architecture}"
        (busybox / "marker").write_text(architecture)
        docker.build(busybox, name)
        parts[name] = docker.push(name)
    both = f"{server.host}/multi:both"
    docker.run("manifest", "create", "--insecure", both, *parts)
    for name, arguments in zip(parts, (["--arch", "amd64"], ["--arch", "arm64", "--variant", "v8"])):
        docker.run("manifest", "annotate", *arguments, "--os", "linux", both, name)
    kept = json.loads(docker.run("manifest", "inspect", both))  # not pushed yet
    printed = docker.run("manifest", "push", "--insecure", "--purge", both)
    reply = server.api.manifest("multi", "both").expect(200)
    assert reply.headers["Content-Type"] == DOCKER_LIST
    assert reply.headers["Docker-Content-Digest"] in printed
    assert [(m["digest"], m["platform"]["architecture"]) for m in reply.json()["manifests"]] == [
        (digest, name.rsplit(":", 1)[1]) for name, digest in parts.items()] == [
        (m["digest"], m["platform"]["architecture"]) for m in kept["manifests"]]
    inspected = json.loads(docker.run("manifest", "inspect", "--insecure", both))
    assert inspected == reply.json()
    detailed = json.loads(docker.run("manifest", "inspect", "--insecure", "--verbose", both))
    assert {d["Descriptor"]["digest"] for d in detailed} == set(parts.values())
    assert all(d["SchemaV2Manifest"]["layers"] for d in detailed)


def test_docker_manifest_amends_a_list_by_digest(server, docker, pushed):
    digests = [pushed["team/app:1.0"], pushed["team/app:1.1"]]
    name = f"{server.host}/team/app:list"
    for digest in digests:
        docker.run("manifest", "create", "--insecure", "--amend", name, f"{server.host}/team/app@{digest}")
    docker.run("manifest", "push", "--insecure", name)
    assert [m["digest"] for m in server.api.manifest("team/app", "list").json()["manifests"]] == digests
    server.api.verify("team/app", "list")


def test_docker_manifest_inspects_one_image(server, docker, pushed):
    name, digest = "team/app:2.0", pushed["team/app:2.0"]
    for reference in (f"{server.host}/{name}", f"{server.host}/team/app@{digest}"):
        found = json.loads(docker.run("manifest", "inspect", "--insecure", reference))
        assert found == server.api.manifest("team/app", digest).json()


def test_docker_pushes_and_pulls_all_tags(server, docker, busybox):
    name = f"{server.host}/all/tags"
    for tag in TAGS:
        (busybox / "marker").write_text(tag)
        docker.build(busybox, f"{name}:{tag}")
    docker.run("push", "--all-tags", name)
    ids = {tag: docker.image_id(f"{name}:{tag}") for tag in TAGS}
    assert sorted(server.api.tags("all/tags")) == TAGS
    docker.remove_all_images()
    docker.run("pull", "--all-tags", name)
    assert {tag: docker.image_id(f"{name}:{tag}") for tag in TAGS} == ids


def test_docker_builds_upon_what_it_pulls(server, docker, busybox, work):
    base = f"{server.host}/base:1"
    docker.build(busybox, base)
    docker.push(base)
    docker.remove_all_images()
    context = work / "upon"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {base}\nCOPY more /more\n")
    (context / "more").write_text("more\n")
    above = f"{server.host}/above:1"
    docker.build(context, above)
    docker.push(above)
    docker.remove_all_images()
    docker.pull(above)
    assert docker.start_container(above, "cat", "/marker", "/more") == "hello\nmore\n"


# --- skopeo ---


@pytest.mark.ours  # docker-registry lists as the directory does
def test_skopeo_lists_every_tag_of_many(server, skopeo):
    made = images.image("many")
    server.api.push(made, "many", "t0000")
    for n in range(1, 1300):  # more than one page of any default
        server.api.put_manifest("many", f"t{n:04}", made.manifest, made.media_type).expect(201)
    assert skopeo.list_tags(f"{server.host}/many") == [f"t{n:04}" for n in range(1300)]


def test_skopeo_inspects_what_is_there(server, skopeo, pushed):
    name = f"{server.host}/team/app:1.1"
    found = json.loads(skopeo.inspect(name))
    assert found["Digest"] == pushed["team/app:1.1"] and found["Architecture"] == "amd64"
    assert sorted(found["RepoTags"]) == TAGS
    assert found["Labels"] == {"seed": "1.1"}
    assert json.loads(skopeo.inspect(name, "--config"))["config"]["Labels"] == {"seed": "1.1"}


@pytest.mark.parametrize("name", ["team/app:1.0", "team/multi:oci", "team/multi:docker"])
def test_skopeo_inspects_the_very_bytes(server, skopeo, pushed, name):
    repo, tag = name.split(":")
    for reference in (f"{repo}:{tag}", f"{repo}@{pushed[name]}"):
        raw = skopeo.inspect(f"{server.host}/{reference}", "--raw")
        assert raw.encode() == server.api.manifest(repo, tag).body


@pytest.mark.parametrize("name", ["team/app:1.0", "team/multi:oci"])
def test_skopeo_deletes_an_image(server, skopeo, pushed, name):
    repo, tag = name.split(":")
    other = server.api.push(images.image("other"), repo, "other")
    skopeo.delete(f"{server.host}/{name}")
    server.api.manifest(repo, tag).expect(404)
    server.api.manifest(repo, pushed[name]).expect(404)
    assert server.api.verify(repo, "other") == other
    assert tag not in skopeo.list_tags(f"{server.host}/{repo}")


def test_skopeo_syncs_a_repository_to_a_directory_and_back(server, start_server, skopeo, pushed, work):
    target = work / "mirror"
    skopeo.sync("docker", f"{server.host}/team/app", "dir", target, "--preserve-digests")
    assert {p.name for p in target.iterdir()} == {f"app:{tag}" for tag in TAGS}
    other = start_server(root=work / "other", name="other")
    skopeo.sync("dir", target, "docker", f"{other.host}/copied", "--preserve-digests")
    assert sorted(other.api.tags("copied/app")) == TAGS
    for tag in TAGS:
        assert other.api.verify("copied/app", tag) == pushed[f"team/app:{tag}"]


def test_skopeo_syncs_lists_with_all_they_name(server, start_server, skopeo, pushed, work):
    target = work / "mirror"
    skopeo.sync("docker", f"{server.host}/team/multi", "dir", target, "--all", "--scoped", "--preserve-digests")
    other = start_server(root=work / "other", name="other")
    skopeo.sync("dir", target / f"{server.host}/team", "docker", f"{other.host}/a/b", "--all", "--preserve-digests")
    for tag in ("oci", "docker"):
        assert other.api.verify("a/b/multi", tag) == pushed[f"team/multi:{tag}"]


def test_skopeo_syncs_from_registry_to_registry(server, start_server, skopeo, pushed, work):
    """By a file that names repositories, tags and a pattern."""
    other = start_server(root=work / "other", name="other")
    wanted = work / "sync.yml"
    wanted.write_text(json.dumps({server.host: {
        "tls-verify": False, "images": {"team/multi": ["oci", "docker"]},
        "images-by-tag-regex": {"team/app": "^1\\..*$"},
    }}))
    skopeo.sync("yaml", wanted, "docker", other.host, "--all", "--preserve-digests")
    assert sorted(other.api.tags("app")) == ["1.0", "1.1"]
    for tag in ("oci", "docker"):
        assert other.api.verify("multi", tag) == pushed[f"team/multi:{tag}"]


def test_skopeo_copies_one_platform_or_the_index_alone(server, skopeo, pushed, work):
    source = docker_url(server, "team/multi:oci")
    skopeo.copy(source, f"dir:{work}/one", "--override-arch", "s390x", "--override-os", "linux")
    one = json.loads((work / "one/manifest.json").read_text())
    assert one["layers"] and "manifests" not in one
    skopeo.copy(source, docker_url(server, "team/multi:again"), "--multi-arch", "index-only", "--preserve-digests")
    assert server.api.verify("team/multi", "again") == pushed["team/multi:oci"]


@pytest.mark.parametrize("form", ["oci", "v2s2"])
def test_skopeo_converts_while_it_copies(server, skopeo, pushed, form):
    target = docker_url(server, f"converted/{form}:1")
    skopeo.copy(docker_url(server, "team/app:1.0"), target, "--format", form)
    reply = server.api.manifest(f"converted/{form}", "1").expect(200)
    assert (reply.headers["Content-Type"] == DOCKER_MANIFEST) == (form == "v2s2")
    server.api.verify(f"converted/{form}", "1")


def test_skopeo_compresses_with_zstd_while_it_copies(server, skopeo, work):
    made = images.image("zstd", layers=2)
    skopeo.copy(images.write_layout(made, work / "in"), f"dir:{work}/plain", "--dest-decompress")
    skopeo.copy(f"dir:{work}/plain", docker_url(server, "zstd:1"), "--dest-compress-format", "zstd")
    server.api.verify("zstd", "1")
    types = {layer["mediaType"] for layer in server.api.manifest("zstd", "1").json()["layers"]}
    assert types == {"application/vnd.oci.image.layer.v1.tar+zstd"}


def test_skopeo_keeps_digests_from_repository_to_repository_without_sending_twice(server, skopeo, pushed):
    blobs = len(Tree(server.root).blob_digests())
    skopeo.copy(docker_url(server, "team/multi:docker"), docker_url(server, "far/away:1"), "--all",
                "--preserve-digests")
    assert server.api.verify("far/away", "1") == pushed["team/multi:docker"]
    assert len(Tree(server.root).blob_digests()) == blobs


# --- podman and buildah ---


def test_podman_searches_the_catalog_and_lists_tags(server, podman, pushed):
    found = podman.run("search", INSECURE, "--format", "{{.Name}}", f"{server.host}/").split()
    assert sorted(found) == [f"{server.host}/team/app", f"{server.host}/team/multi"]
    assert podman.run("search", INSECURE, "--format", "{{.Name}}", f"{server.host}/app").split() == [
        f"{server.host}/team/app"]
    listed = json.loads(podman.run("search", INSECURE, "--list-tags", "--format", "json", f"{server.host}/team/app"))
    assert sorted(listed[0]["Tags"]) == TAGS
    few = json.loads(podman.run("search", INSECURE, "--list-tags", "--limit", 2, "--format", "json",
                                f"{server.host}/team/app"))
    assert len(few[0]["Tags"]) == 2


def test_podman_makes_a_list_of_images_that_lie_in_the_registry(server, podman, pushed):
    podman.run("manifest", "create", "from-registry")
    for tag, architecture in (("1.0", "amd64"), ("1.1", "arm64")):
        podman.run("manifest", "add", INSECURE, "--arch", architecture, "from-registry",
                   docker_url(server, f"team/app:{tag}"))
    podman.run("manifest", "annotate", "--variant", "v8", "from-registry", pushed["team/app:1.1"])
    podman.run("manifest", "push", "--all", INSECURE, "from-registry", docker_url(server, "team/app:list"))
    podman.run("manifest", "rm", "from-registry")
    reply = server.api.manifest("team/app", "list").expect(200)
    assert {m["platform"]["architecture"] for m in reply.json()["manifests"]} == {"amd64", "arm64"}
    server.api.verify("team/app", "list")


@pytest.mark.parametrize("form, media_type", [("oci", OCI_INDEX), ("v2s2", DOCKER_LIST)])
def test_podman_inspects_pulls_and_pushes_a_list(server, podman, pushed, form, media_type):
    name = f"{server.host}/team/multi:oci"
    podman.allow_http(server.host)
    podman.run("manifest", "create", "--all", "again", docker_url(server, "team/multi:oci"))
    found = json.loads(podman.run("manifest", "inspect", "again"))
    assert {m["digest"] for m in found["manifests"]} == {
        m["digest"] for m in server.api.manifest("team/multi", "oci").json()["manifests"]}
    podman.run("manifest", "push", "--all", "--format", form, INSECURE, "again", docker_url(server, f"pushed/{form}:1"))
    podman.run("manifest", "rm", "again")
    assert server.api.manifest(f"pushed/{form}", "1").expect(200).headers["Content-Type"] == media_type
    server.api.verify(f"pushed/{form}", "1")
    podman.run("pull", "--quiet", INSECURE, "--arch", "s390x", name)
    assert json.loads(podman.run("image", "inspect", name))[0]["Architecture"] == "s390x"


def test_podman_pulls_all_tags(server, podman, pushed):
    podman.allow_http(server.host)
    podman.run("pull", "--quiet", "--all-tags", f"{server.host}/team/app")
    assert sorted(podman.run("image", "ls", "--format", "{{.Tag}}").split()) == TAGS


def test_podman_runs_what_it_has_to_pull_first(server, podman, busybox):
    name = f"{server.host}/run:1"
    podman.buildah("bud", "--tag", "local", busybox)
    podman.push("local", name, "--compression-format", "zstd", "--format", "oci")
    podman.remove_all_images()
    podman.run("pull", "--quiet", INSECURE, name)
    assert podman.start_container(name, "cat", "/marker") == "hello\n"
    assert "+zstd" in server.api.manifest("run", "1").json()["layers"][0]["mediaType"]


def test_buildah_builds_upon_what_it_pulls_and_caches_layers_in_the_registry(server, podman, busybox, work):
    podman.buildah("bud", "--tag", "local", busybox)
    podman.push("local", f"{server.host}/base:1")
    podman.remove_all_images()
    context = work / "upon"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {server.host}/base:1\nCOPY more /more\nCOPY more /again\n")
    (context / "more").write_text("more\n")
    cache = ("--layers", "--cache-to", f"{server.host}/cache", "--cache-from", f"{server.host}/cache")
    podman.buildah("bud", INSECURE, *cache, "--tag", "local", context)
    assert server.api.tags("cache")
    podman.remove_all_images()
    again = podman.buildah("bud", INSECURE, *cache, "--tag", "local", context)
    assert "Cache pulled" in again or "Using cache" in again, again
    assert podman.start_container("local", "cat", "/marker", "/more", "/again") == "hello\nmore\nmore\n"


def test_buildah_adds_to_a_list_and_removes_from_it(server, podman, pushed):
    podman.buildah("manifest", "create", "mine")
    for tag in ("1.0", "1.1"):
        podman.buildah("manifest", "add", INSECURE, "mine", docker_url(server, f"team/app:{tag}"))
    podman.buildah("manifest", "remove", "mine", pushed["team/app:1.0"])
    podman.buildah("manifest", "push", "--all", INSECURE, "mine", docker_url(server, "team/app:mine"))
    podman.buildah("manifest", "rm", "mine")
    listed = server.api.manifest("team/app", "mine").json()["manifests"]
    assert [m["digest"] for m in listed] == [pushed["team/app:1.1"]]


# --- umoci ---


def test_umoci_changes_an_image_that_skopeo_pulled(server, skopeo, umoci, pushed, work):
    layout = work / "layout"
    skopeo.copy(docker_url(server, "team/multi:oci"), f"oci:{layout}:1", "--override-arch", "arm64")
    umoci.run("config", "--image", f"{layout}:1", "--tag", "2", "--config.label", "changed=yes")
    umoci.run("tag", "--image", f"{layout}:2", "3")
    umoci.run("rm", "--image", f"{layout}:1")
    umoci.run("gc", "--layout", layout)
    assert sorted(umoci.run("ls", "--layout", layout).split()) == ["2", "3"]
    skopeo.copy(f"oci:{layout}:3", docker_url(server, "changed:1"), "--preserve-digests")
    assert json.loads(skopeo.inspect(f"{server.host}/changed:1"))["Labels"] == {"changed": "yes", "seed": "oci/arm64"}
    server.api.verify("changed", "1")


# --- containerd ---


def test_containerd_fetches_and_pushes_everything(server, containerd, pushed):
    """By tag, with every platform; what it pushes elsewhere is the same."""
    for name in ("team/multi:oci", "team/multi:docker", "team/app:1.0"):
        source, target = f"{server.host}/{name}", f"{server.host}/from-containerd/{name}"
        containerd.ctr("content", "fetch", "--plain-http", "--all-platforms", source)
        assert pushed[name] in containerd.digests()
        containerd.ctr("images", "push", "--plain-http", target, source)
        repo, tag = target.removeprefix(f"{server.host}/").split(":")
        assert server.api.verify(repo, tag) == pushed[name]
        containerd.forget(source)


def test_containerd_fetches_by_digest(server, containerd, pushed):
    name = f"{server.host}/team/app@{pushed['team/app:2.0']}"
    containerd.ctr("content", "fetch", "--plain-http", name)
    assert pushed["team/app:2.0"] in containerd.digests()


# --- docker-registry as a mirror ---


def test_docker_registry_mirrors_it(server, start_docker_registry, skopeo, pushed, work):
    """A pull-through cache in front of Roadstead."""
    config = {"proxy": {"remoteurl": f"http://{server.host}"}}
    mirror = start_docker_registry(root=work / "mirror", name="mirror", config=config)
    for name in ("team/app:1.0", "team/multi:docker"):
        repo, tag = name.split(":")
        assert mirror.api.verify(repo, tag) == pushed[name]
    skopeo.copy(docker_url(mirror, "team/app:1.1"), f"dir:{work}/out", "--preserve-digests")
    assert (work / "out/manifest.json").read_bytes() == server.api.manifest("team/app", "1.1").body
