# SPDX-License-Identifier: Apache-2.0
"""Referrers (distribution-spec 1.1, "Listing Referrers", "Pushing Manifests with Subject", "Enabling the Referrers API").
"""

import concurrent.futures
import hashlib
import http.client
import json
import re
import urllib.parse

import pytest

from lib import images, mounts, proc
from lib.client import DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, digest_of, sha256
from lib.disk import Tree
from lib.server import collect_garbage

pytestmark = pytest.mark.ours  # docker-registry knows no referrers

NEXT = re.compile(r'<([^>]+)>; rel="next"')
SUBJECT = images.image("subject")
SBOM, SIGNATURE = "application/vnd.example.sbom.v1", "application/vnd.example.signature.v1"


def sha512(data):
    return "sha512:" + hashlib.sha512(data).hexdigest()


def refers(subject, seed, artifact_type=SBOM, annotations=None, kind=OCI_MANIFEST, digest=sha256, **more):
    """A manifest or index with a subject. subject: bytes of a manifest, perhaps of one that is nowhere."""
    document = {"schemaVersion": 2, "mediaType": kind,
                "subject": {"mediaType": OCI_MANIFEST, "digest": digest(subject), "size": len(subject)}}
    if artifact_type:
        document["artifactType"] = artifact_type
    document["annotations"] = {"seed": str(seed), **(annotations or {})}
    if kind == OCI_INDEX:
        document["manifests"] = []
    else:
        document["config"] = images.descriptor(images.EMPTY_TYPE, images.EMPTY)
        document["layers"] = [images.descriptor(images.EMPTY_TYPE, images.EMPTY)]
    return images.Image(images.encoded({**document, **more}), kind,
                        {} if kind == OCI_INDEX else {sha256(images.EMPTY): images.EMPTY})


def path_of(repo, digest, **query):
    return f"/v2/{repo}/referrers/{digest}" + ("?" + urllib.parse.urlencode(query) if query else "")


def listed(api, repo, digest, **query):
    """All pages' descriptors."""
    found, path = [], path_of(repo, digest, **query)
    while path:
        reply = api.get(path).expect(200)
        assert reply.headers["Content-Type"] == OCI_INDEX
        index = reply.json()
        assert index["schemaVersion"] == 2 and index["mediaType"] == OCI_INDEX
        found += index["manifests"]
        link = NEXT.fullmatch(reply.headers["Link"] or "")
        path = link and link.group(1)
    return found


def digests(api, repo, subject, **query):
    return [d["digest"] for d in listed(api, repo, subject, **query)]


def push(api, made, repo="app", reference=None):
    return api.push(made, repo, reference or made.digest)


def test_each_kind_of_referrer_is_described(server):
    api = server.api
    push(api, SUBJECT, reference="1")
    made = {
        "sbom": refers(SUBJECT.manifest, 1, annotations={"org.example.sbom.format": "json", "é\"": "\n"}),
        "by config": refers(SUBJECT.manifest, 2, artifact_type=None),
        "index": refers(SUBJECT.manifest, 3, artifact_type=None, kind=OCI_INDEX),
        "typed index": refers(SUBJECT.manifest, 4, artifact_type=SIGNATURE, kind=OCI_INDEX),
    }
    for image in made.values():
        reply = api.put_manifest("app", image.digest, image.manifest, image.media_type) if not image.blobs else None
        if image.blobs:
            api.push_blob("app", images.EMPTY)
            reply = api.put_manifest("app", image.digest, image.manifest, image.media_type)
        assert reply.expect(201).headers["OCI-Subject"] == SUBJECT.digest
    found = {d["digest"]: d for d in listed(api, "app", SUBJECT.digest)}
    assert found == {image.digest: {
        "mediaType": image.media_type, "digest": image.digest, "size": len(image.manifest),
        "annotations": json.loads(image.manifest)["annotations"],
        **({"artifactType": kind} if kind else {}),
    } for image, kind in zip(made.values(), (SBOM, images.EMPTY_TYPE, None, SIGNATURE))}
    assert list(found) == sorted(found)


def test_nothing_refers(server):
    reply = server.api.get(path_of("no/such/repository", SUBJECT.digest)).expect(200)
    assert reply.headers["Content-Type"] == OCI_INDEX and reply.headers["Link"] is None
    assert reply.json() == {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    push(server.api, SUBJECT, reference="1")
    assert server.api.get(path_of("app", SUBJECT.digest)).expect(200).json()["manifests"] == []
    assert server.api.get(path_of("app", sha512(b"nothing"))).expect(200).json()["manifests"] == []
    assert "OCI-Subject" not in server.api.put_manifest("app", "2", SUBJECT.manifest, OCI_MANIFEST).expect(201).headers


def test_wrong_requests(server):
    for digest in ("sha256:abc", "latest", "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha384:" + "0" * 96, "%zz"):
        assert server.api.get(f"/v2/app/referrers/{digest}").status == 400, digest
    assert server.api.get("/v2/app/referrers/sha256:abc").error_codes() == ["DIGEST_INVALID"]
    assert server.api.get(path_of("App", SUBJECT.digest)).expect(400).error_codes() == ["NAME_INVALID"]
    assert server.api.get(path_of("app", SUBJECT.digest, n="x")).expect(400).error_codes() == [
        "PAGINATION_NUMBER_INVALID"]
    server.api.request("DELETE", path_of("app", SUBJECT.digest)).expect(405)
    server.api.request("PUT", path_of("app", SUBJECT.digest), body=b"{}").expect(405)


def test_head_tells_what_get_would(server):
    push(server.api, refers(SUBJECT.manifest, 1))
    path = path_of("app", SUBJECT.digest, artifactType=SBOM)
    get, head = (server.api.request(method, path).expect(200) for method in ("GET", "HEAD"))
    names = ("Content-Type", "Content-Length", "OCI-Filters-Applied")
    assert [get.headers[n] for n in names] == [head.headers[n] for n in names]
    assert head.body == b"" and int(head.headers["Content-Length"]) == len(get.body)


def test_subject_that_comes_later_or_never(server):
    first = push(server.api, refers(SUBJECT.manifest, "before"))
    assert digests(server.api, "app", SUBJECT.digest) == [first]
    push(server.api, SUBJECT, reference="1")
    second = push(server.api, refers(SUBJECT.manifest, "after"))
    assert digests(server.api, "app", SUBJECT.digest) == sorted([first, second])
    assert digests(server.api, "other", SUBJECT.digest) == []


def test_filter_by_type(server):
    made = [refers(SUBJECT.manifest, n, artifact_type=kind) for n, kind in enumerate([SBOM, SIGNATURE, SBOM, None])]
    for image in made:
        push(server.api, image)
    for kind, expected in ((SBOM, [made[0], made[2]]), (SIGNATURE, [made[1]]), (images.EMPTY_TYPE, [made[3]]),
                           ("application/none", [])):
        reply = server.api.get(path_of("app", SUBJECT.digest, artifactType=kind)).expect(200)
        assert reply.headers["OCI-Filters-Applied"] == "artifactType"
        assert [d["digest"] for d in reply.json()["manifests"]] == sorted(i.digest for i in expected)
    reply = server.api.get(path_of("app", SUBJECT.digest, artifactType="")).expect(200)
    assert "OCI-Filters-Applied" not in reply.headers and len(reply.json()["manifests"]) == 4


def test_plus_in_a_type_may_come_unescaped(server):
    digest = push(server.api, refers(SUBJECT.manifest, 1, artifact_type="application/vnd.example.sbom+json"))
    for text in ("application/vnd.example.sbom+json", "application%2Fvnd.example.sbom%2Bjson"):
        found = server.api.get(f"/v2/app/referrers/{SUBJECT.digest}?artifactType={text}").expect(200).json()
        assert [d["digest"] for d in found["manifests"]] == [digest], text


def test_pages(server):
    made = sorted(push(server.api, refers(SUBJECT.manifest, n, artifact_type=(SBOM, SIGNATURE)[n % 2]))
                  for n in range(25))
    for n in (1, 7, 24, 25, 26, 100000):
        assert digests(server.api, "app", SUBJECT.digest, n=n) == made, n
    sboms = digests(server.api, "app", SUBJECT.digest, artifactType=SBOM)
    assert len(sboms) == 13
    reply = server.api.get(path_of("app", SUBJECT.digest, artifactType=SBOM, n=13)).expect(200)
    assert reply.headers["Link"] is None  # no page follows that is empty
    for n in (1, 5, 12):
        assert digests(server.api, "app", SUBJECT.digest, artifactType=SBOM, n=n) == sboms
    assert server.api.get(path_of("app", SUBJECT.digest, n=0)).expect(200).json()["manifests"] == []
    assert digests(server.api, "app", SUBJECT.digest, last=made[9]) == made[10:]
    for last in ("", "x", "sha256", "sha256:", "sha512:", "~"):
        server.api.get(path_of("app", SUBJECT.digest, last=last)).expect(200)


def test_page_ends_before_it_is_too_large_for_a_manifest(server):
    big = [refers(SUBJECT.manifest, n, annotations={"filling": "x" * 1_500_000}) for n in range(5)]
    for image in big:
        push(server.api, image)
    reply = server.api.get(path_of("app", SUBJECT.digest)).expect(200)
    assert len(reply.body) <= 4 << 20 and len(reply.json()["manifests"]) == 2 and reply.headers["Link"]
    assert digests(server.api, "app", SUBJECT.digest) == sorted(i.digest for i in big)


def test_algorithms_are_mixed(server):
    api = server.api
    api.push_blob("app", images.EMPTY)
    of_sha512, of_sha256 = refers(SUBJECT.manifest, 1, digest=sha512), refers(SUBJECT.manifest, 2)
    for image in (of_sha512, of_sha256):
        for digest in (sha256(image.manifest), sha512(image.manifest)):
            reply = api.put_manifest("app", digest, image.manifest, image.media_type).expect(201)
            assert reply.headers["OCI-Subject"] == json.loads(image.manifest)["subject"]["digest"]
    for image, subject in ((of_sha512, sha512(SUBJECT.manifest)), (of_sha256, SUBJECT.digest)):
        expected = [sha256(image.manifest), sha512(image.manifest)]
        assert digests(api, "app", subject) == expected
        assert digests(api, "app", subject, n=1) == expected
        for digest in expected:
            assert digest_of(api.manifest("app", digest).expect(200).body, digest) == digest


def test_docker_types_have_no_subject(server):
    image = images.image("docker", docker=True)
    document = json.loads(image.manifest)
    document["subject"] = images.descriptor(OCI_MANIFEST, SUBJECT.manifest)
    image.manifest = images.encoded(document)
    for digest, data in image.blobs.items():
        server.api.push_blob("app", data, digest)
    reply = server.api.put_manifest("app", "1", image.manifest, DOCKER_MANIFEST).expect(201)
    assert "OCI-Subject" not in reply.headers
    assert digests(server.api, "app", SUBJECT.digest) == []


def test_fallback_tag_is_a_tag(server):
    """A client that keeps the list itself may go on doing so; what it lists shows once, and the tag stays its own."""
    made = refers(SUBJECT.manifest, 1)
    push(server.api, made)
    tag = SUBJECT.digest.replace(":", "-")
    fallback = images.Image(images.encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        images.descriptor(OCI_MANIFEST, made.manifest, artifactType=SBOM)]}), OCI_INDEX)
    push(server.api, fallback, reference=tag)
    assert server.api.manifest("app", tag).expect(200).body == fallback.manifest
    assert server.api.tags("app") == [tag]
    assert digests(server.api, "app", SUBJECT.digest) == [made.digest]


def test_deleted_referrer_is_gone_and_may_come_back(server):
    made = [refers(SUBJECT.manifest, n) for n in range(3)]
    push(server.api, SUBJECT, reference="1")
    for n, image in enumerate(made):
        push(server.api, image, reference=f"tag-{n}")
    server.api.request("DELETE", f"/v2/app/manifests/{made[0].digest}").expect(202)
    server.api.request("DELETE", "/v2/app/manifests/tag-1").expect(202)  # the tag alone
    assert digests(server.api, "app", SUBJECT.digest) == sorted(i.digest for i in made[1:])
    push(server.api, made[0])
    server.api.request("DELETE", f"/v2/app/manifests/{SUBJECT.digest}").expect(202)
    assert digests(server.api, "app", SUBJECT.digest) == sorted(i.digest for i in made)


# Other processes on the same storage

def test_what_docker_registry_accepted_is_listed(server, docker_registry):
    """Also through the fallback tag, which is what its clients used: "Enabling the Referrers API"."""
    before = refers(SUBJECT.manifest, "before any look")
    push(docker_registry.api, before)
    assert digests(server.api, "app", SUBJECT.digest) == [before.digest]
    after = refers(SUBJECT.manifest, "after a look", kind=OCI_INDEX)
    push(docker_registry.api, after)
    fallback = images.Image(images.encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        images.descriptor(i.media_type, i.manifest) for i in (before, after)]}), OCI_INDEX)
    push(docker_registry.api, fallback, reference=SUBJECT.digest.replace(":", "-"))
    assert digests(server.api, "app", SUBJECT.digest) == sorted([before.digest, after.digest])


def test_what_docker_registry_deletes_is_gone_at_once_and_comes_back(server, docker_registry):
    made = [refers(SUBJECT.manifest, n) for n in range(3)]
    for image in made:
        push(server.api, image)
    everything = sorted(i.digest for i in made)
    assert digests(server.api, "app", SUBJECT.digest) == everything
    for image in made:
        docker_registry.api.request("DELETE", f"/v2/app/manifests/{image.digest}").expect(202)
        assert digests(server.api, "app", SUBJECT.digest) == [d for d in everything if d != image.digest]
        push(docker_registry.api, image)
        assert digests(server.api, "app", SUBJECT.digest) == everything


def test_deleted_and_collected_and_pushed_again(server, work, start_docker_registry):
    """The collector leaves directories without link and bytes; what comes back is found there."""
    made = refers(SUBJECT.manifest, 1)
    push(server.api, SUBJECT, reference="1")
    other = start_docker_registry(root=server.root)
    push(other.api, made)
    other.api.request("DELETE", f"/v2/app/manifests/{made.digest}").expect(202)
    other.stop()
    collect_garbage(work, server.root)
    assert made.digest not in Tree(server.root).blob_digests()
    assert digests(server.api, "app", SUBJECT.digest) == []
    other.start()
    push(other.api, made)
    assert digests(server.api, "app", SUBJECT.digest) == [made.digest]


def test_two_processes_see_each_others_pushes(server, second_server):
    pushed = []
    for n in range(10):
        pushed.append(push((server, second_server)[n % 2].api, refers(SUBJECT.manifest, n)))
        for each in (server, second_server):
            assert digests(each.api, "app", SUBJECT.digest) == sorted(pushed)


def test_concurrent_pushes_are_all_listed(server, second_server):
    made = [refers(SUBJECT.manifest, n) for n in range(60)]
    server.api.push_blob("app", images.EMPTY)

    def go(n):
        api = (server, second_server)[n % 2].api
        api.put_manifest("app", made[n].digest, made[n].manifest, OCI_MANIFEST).expect(201)
        assert made[n].digest in digests(api, "app", SUBJECT.digest)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(go, range(len(made))))
    for each in (server, second_server):
        assert digests(each.api, "app", SUBJECT.digest) == sorted(i.digest for i in made)


# What was stored before, and what becomes of the notes about it (docs/DATA.md)

MANY = 300


def store(root, made, repo="app"):
    """As an older registry left it."""
    v2, digest = root / "docker/registry/v2", made.digest[7:]
    for path, data in ((v2 / f"blobs/sha256/{digest[:2]}/{digest}/data", made.manifest),
                       (v2 / f"repositories/{repo}/_manifests/revisions/sha256/{digest}/link", made.digest.encode())):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return made.digest


def store_many(root):
    """{subject's digest: referrers}"""
    subjects = [f"subject {n}".encode() for n in range(3)]
    found = {sha256(subject): [] for subject in subjects}
    for n in range(MANY):
        subject = subjects[n % 3]
        found[sha256(subject)].append(store(root, refers(subject, n)))
        store(root, images.Image(images.encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [],
                                                 "annotations": {"n": str(n)}}), OCI_INDEX))
    return {subject: sorted(referrers) for subject, referrers in found.items()}


def assert_lists(server, expected):
    for subject, referrers in expected.items():
        assert digests(server.api, "app", subject) == referrers


def notes_of(server):
    return server.root / "docker/registry/v2/repositories/app/_roadstead/referrers/sha256"


def test_notes_spare_the_next_process_the_reading(server):
    expected = store_many(server.root)
    before = server.bytes_read()
    assert_lists(server, expected)
    first = server.bytes_read() - before
    server.restart()
    before = server.bytes_read()
    assert digests(server.api, "app", sha256(b"nothing")) == []
    assert server.bytes_read() - before < first / 3
    assert_lists(server, expected)


@pytest.mark.parametrize("damage", ["lost", "cut", "changed", "another's"])
def test_notes_that_are_lost_or_damaged_are_made_anew(server, damage):
    expected = store_many(server.root)
    assert_lists(server, expected)
    path = notes_of(server)
    whole = path.read_bytes()
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes({"cut": whole[:-1000], "changed": whole[:100] + b"\0" + whole[101:], "another's": b"?"}[damage])
    assert_lists(server, expected)
    server.restart()
    assert_lists(server, expected)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("plan", ["read:nth=150:kill", "put:kill"])
def test_killed_while_it_reads_for_the_first_time(start_server, plan):
    server = start_server(env={"ROADSTEAD_TEST_FAULTS": plan})
    expected = store_many(server.root)
    with pytest.raises((OSError, http.client.HTTPException)):
        server.api.get(path_of("app", next(iter(expected))))
    server.wait_ended(-9)
    server.env.pop("ROADSTEAD_TEST_FAULTS")
    server.start()
    assert_lists(server, expected)


def test_two_processes_read_for_the_first_time_at_once(server, second_server):
    expected = store_many(server.root)
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(assert_lists, (server, second_server)[n % 2], expected) for n in range(6)]:
            done.result()
    second_server.restart()
    assert_lists(second_server, expected)


def test_full_disk_costs_the_notes_only(work, start_server):
    with mounts.tmpfs(work / "small", 16) as directory:
        server = start_server(root=directory)
        expected = store_many(server.root)
        filler = mounts.fill(directory)
        assert_lists(server, expected)
        assert not notes_of(server).exists()
        filler.unlink()
        server.restart()
        assert_lists(server, expected)
        assert notes_of(server).exists()
        server.stop()  # before the disk goes


def test_nothing_is_written_where_nothing_may_be(work, start_server):
    """Read-only by configuration, and a disk that is mounted so."""
    config = {"storage": {"maintenance": {"readonly": {"enabled": True}}}}
    with mounts.tmpfs(work / "disk", 16) as directory:
        expected = store_many(directory)
        server = start_server(root=directory, config=config, name="configured")
        assert_lists(server, expected)
        assert not notes_of(server).exists()
        server.stop()
        proc.run("mount", "-o", "remount,ro", directory)
        server = start_server(root=directory, name="mounted")
        assert_lists(server, expected)
        server.stop()


def test_docker_registry_and_its_collector_pass_the_notes_by(server, work, docker_registry):
    made = refers(SUBJECT.manifest, "ours")
    push(server.api, SUBJECT, reference="1")
    push(server.api, made)
    store_many(server.root)
    digests(server.api, "app", SUBJECT.digest)
    assert notes_of(server).exists()
    assert docker_registry.api.catalog() == ["app"]
    docker_registry.stop()
    before = Tree(server.root).blob_digests()
    collect_garbage(work, server.root)
    assert Tree(server.root).blob_digests() == before
    assert digests(server.api, "app", SUBJECT.digest) == [made.digest]
    assert server.api.verify("app", made.digest) == made.digest


def test_referrers_live_in_memory_too(make_server):
    server = make_server()
    server.config["storage"] = {"inmemory": {}}
    server.start()
    made = sorted(push(server.api, refers(SUBJECT.manifest, n)) for n in range(100))
    assert digests(server.api, "app", SUBJECT.digest) == made
