# SPDX-License-Identifier: Apache-2.0
"""distribution-spec, "Content Management": each class is a section, each test a requirement of it."""

import pytest

from lib import images, spec

pytestmark = pytest.mark.ours
algorithms = pytest.mark.parametrize("algorithm", spec.ALGORITHMS)
kinds = pytest.mark.parametrize("kind", spec.KINDS)
methods = pytest.mark.parametrize("method", ["GET", "HEAD"])
DATA = images.random_bytes("spec management", 20_000)
BAD_DIGESTS = ["sha256:abc", "md5:" + "0" * 32, "sha256:" + "g" * 64, "sha256:", "sha512:" + "0" * 64]


class TestDeletingTags:
    @kinds
    @algorithms
    def test_a_deleted_tag_is_202_and_then_404(self, api, repo, kind, algorithm):
        """What it named stays, by digest and by its other tags."""
        content = spec.KINDS[kind](algorithm, f"untag {kind}")
        spec.push(api, content, repo).expect(201)
        spec.tag(api, content, repo, "goes").expect(201)
        spec.tag(api, content, repo, "stays").expect(201)
        api.delete(f"/v2/{repo}/manifests/goes").expect(202)
        assert api.manifest(repo, "goes").expect(404).error_codes() == ["MANIFEST_UNKNOWN"]
        api.head(f"/v2/{repo}/manifests/goes").expect(404)
        for reference in ("stays", content.digest):
            assert api.manifest(repo, reference).expect(200).body == content.manifest
        assert api.tags(repo) == ["stays"]

    def test_a_tag_that_is_not_there_is_404(self, api, repo):
        spec.push(api, spec.index("sha256", []), repo, "1").expect(201)
        assert api.delete(f"/v2/{repo}/manifests/2").expect(404).error_codes() == ["MANIFEST_UNKNOWN"]
        api.delete(f"/v2/{repo}/manifests/1").expect(202)
        assert api.delete(f"/v2/{repo}/manifests/1").expect(404).error_codes() == ["MANIFEST_UNKNOWN"]
        api.delete(f"/v2/{repo}/not/there/manifests/1").expect(404)

    def test_the_last_tag_leaves_an_empty_list(self, api, repo):
        spec.push(api, spec.index("sha256", []), repo, "1").expect(201)
        api.delete(f"/v2/{repo}/manifests/1").expect(202)
        assert api.get(f"/v2/{repo}/tags/list").expect(200).json()["tags"] in ([], None)

    def test_a_deleted_tag_can_be_pushed_again(self, api, repo):
        first, second = (spec.manifest("sha256", f"again {n}") for n in range(2))
        spec.push(api, first, repo, "1").expect(201)
        api.delete(f"/v2/{repo}/manifests/1").expect(202)
        spec.push(api, second, repo, "1").expect(201)
        assert api.manifest(repo, "1").expect(200).body == second.manifest

    def test_a_tag_that_moved_is_deleted_as_it_is_now(self, api, repo):
        for n in range(3):
            spec.push(api, spec.manifest("sha256", f"moved {n}"), repo, "1").expect(201)
        api.delete(f"/v2/{repo}/manifests/1").expect(202)
        api.manifest(repo, "1").expect(404)
        assert not api.tags(repo)


class TestDeletingManifests:
    @kinds
    @algorithms
    def test_a_deleted_manifest_is_202_and_then_404_by_digest_and_every_tag(self, api, repo, kind, algorithm):
        content, other = spec.KINDS[kind](algorithm, f"delete {kind}"), spec.manifest("sha256", "other")
        spec.push(api, content, repo).expect(201)
        spec.push(api, other, repo, "other").expect(201)
        for tag in ("a", "b"):
            spec.tag(api, content, repo, tag).expect(201)
        api.delete(f"/v2/{repo}/manifests/{content.digest}").expect(202)
        for reference in (content.digest, "a", "b"):
            assert api.manifest(repo, reference).expect(404).error_codes() == ["MANIFEST_UNKNOWN"]
            api.head(f"/v2/{repo}/manifests/{reference}").expect(404)
        assert api.tags(repo) == ["other"]
        assert api.manifest(repo, "other").expect(200).body == other.manifest
        assert api.delete(f"/v2/{repo}/manifests/{content.digest}").expect(404).error_codes() == ["MANIFEST_UNKNOWN"]

    @algorithms
    def test_blobs_and_children_stay(self, api, repo, algorithm):
        """A manifest is deleted alone."""
        child = spec.manifest(algorithm, "child")
        content = spec.index(algorithm, [child])
        spec.push(api, content, repo).expect(201)
        api.delete(f"/v2/{repo}/manifests/{content.digest}").expect(202)
        assert api.verify(repo, child.digest) == child.digest

    @algorithms
    def test_a_deleted_manifest_can_be_pushed_again(self, api, repo, algorithm):
        content = spec.manifest(algorithm, "again")
        for _ in range(2):
            spec.push(api, content, repo).expect(201)
            assert api.verify(repo, content.digest) == content.digest
            api.delete(f"/v2/{repo}/manifests/{content.digest}").expect(202)
        api.manifest(repo, content.digest).expect(404)

    @algorithms
    def test_other_repositories_keep_theirs(self, api, repo, algorithm):
        content = spec.manifest(algorithm, "both")
        for name in (repo, f"{repo}/other"):
            spec.push(api, content, name).expect(201)
        api.delete(f"/v2/{repo}/manifests/{content.digest}").expect(202)
        assert api.verify(f"{repo}/other", content.digest) == content.digest

    def test_a_tag_that_moved_away_stays(self, api, repo):
        old, new = (spec.manifest("sha256", f"moved {n}") for n in range(2))
        spec.push(api, old, repo, "latest").expect(201)
        spec.push(api, new, repo, "latest").expect(201)
        api.delete(f"/v2/{repo}/manifests/{old.digest}").expect(202)
        assert api.manifest(repo, "latest").expect(200).body == new.manifest

    @algorithms
    @pytest.mark.parametrize("where", ["here", "nowhere"])
    def test_what_is_not_there_is_404(self, api, repo, algorithm, where):
        if where == "here":
            spec.push(api, spec.index("sha256", []), repo).expect(201)
        reply = api.delete(f"/v2/{repo}/manifests/{spec.digest(b'nobody pushed this', algorithm)}").expect(404)
        assert set(reply.error_codes()) <= {"MANIFEST_UNKNOWN", "NAME_UNKNOWN"}

    @pytest.mark.parametrize("bad", BAD_DIGESTS)
    def test_a_digest_that_is_none_is_400(self, api, repo, bad):
        spec.push(api, spec.index("sha256", []), repo).expect(201)
        assert api.delete(f"/v2/{repo}/manifests/{bad}").expect(400).error_codes() == ["DIGEST_INVALID"]


class TestDeletingBlobs:
    @algorithms
    @pytest.mark.parametrize("data", [b"", b"x", DATA], ids=["empty", "one-byte", "some"])
    def test_a_deleted_blob_is_202_and_then_404(self, api, repo, algorithm, data):
        key = api.push_blob(repo, data, spec.digest(data, algorithm))
        other = api.push_blob(repo, b"other")
        path = f"/v2/{repo}/blobs/{key}"
        api.delete(path).expect(202)
        assert api.get(path).expect(404).error_codes() == ["BLOB_UNKNOWN"]
        api.head(path).expect(404)
        assert api.delete(path).expect(404).error_codes() == ["BLOB_UNKNOWN"]
        assert api.blob(repo, other).expect(200).body == b"other"

    @algorithms
    def test_a_deleted_blob_can_be_pushed_again(self, api, repo, algorithm):
        key = spec.digest(DATA, algorithm)
        for _ in range(2):
            api.push_blob(repo, DATA, key)
            assert api.blob(repo, key).expect(200).body == DATA
            api.delete(f"/v2/{repo}/blobs/{key}").expect(202)
        assert not api.has_blob(repo, key)

    @algorithms
    def test_other_repositories_keep_theirs(self, api, repo, algorithm):
        key = api.push_blob(f"{repo}/first", DATA, spec.digest(DATA, algorithm))
        api.request("POST", f"/v2/{repo}/second/blobs/uploads/?mount={key}&from={repo}/first", body=b"").expect(201)
        api.delete(f"/v2/{repo}/first/blobs/{key}").expect(202)
        api.get(f"/v2/{repo}/first/blobs/{key}").expect(404)
        assert api.blob(f"{repo}/second", key).expect(200).body == DATA

    @algorithms
    def test_the_other_algorithms_blob_stays(self, api, repo, algorithm):
        keys = [api.push_blob(repo, DATA, spec.digest(DATA, a)) for a in (algorithm, spec.other_algorithm(algorithm))]
        api.delete(f"/v2/{repo}/blobs/{keys[0]}").expect(202)
        assert not api.has_blob(repo, keys[0])
        assert api.blob(repo, keys[1]).expect(200).body == DATA

    @algorithms
    def test_what_is_not_there_is_404(self, api, repo, algorithm):
        key = spec.digest(b"nobody pushed this", algorithm)
        api.delete(f"/v2/{repo}/blobs/{key}").expect(404)
        api.push_blob(repo, DATA)
        assert api.delete(f"/v2/{repo}/blobs/{key}").expect(404).error_codes() == ["BLOB_UNKNOWN"]

    @pytest.mark.parametrize("bad", ["nothing", *BAD_DIGESTS])
    def test_a_digest_that_is_none_is_400(self, api, repo, bad):
        api.push_blob(repo, DATA)
        assert api.delete(f"/v2/{repo}/blobs/{bad}").expect(400).error_codes() == ["DIGEST_INVALID"]

    @algorithms
    def test_a_manifest_that_needs_a_deleted_blob_is_refused(self, api, repo, algorithm):
        content = spec.manifest(algorithm, "robbed")
        spec.push(api, content, repo).expect(201)
        api.delete(f"/v2/{repo}/manifests/{content.digest}").expect(202)
        robbed = next(iter(content.blobs))
        api.delete(f"/v2/{repo}/blobs/{robbed}").expect(202)
        reply = api.put_manifest(repo, "1", content.manifest, content.media_type).expect(400, 404)
        assert set(reply.error_codes()) == {"MANIFEST_BLOB_UNKNOWN"}


class TestDeletionSwitchedOff:
    """ "Registries MAY implement deletion or they MAY disable it": then 405, and all is as it was."""

    @pytest.fixture
    def keeper(self, shared):
        return spec.Strict(shared("spec-keeper", {"storage": {"delete": {"enabled": False}}}).host)

    @algorithms
    @pytest.mark.parametrize("what", ["tag", "manifest", "blob"])
    def test_a_delete_is_405_and_does_nothing(self, keeper, repo, algorithm, what):
        content = spec.manifest(algorithm, "kept")
        spec.push(keeper, content, repo).expect(201)
        spec.tag(keeper, content, repo, "1").expect(201)
        part = {"tag": "manifests/1", "manifest": f"manifests/{content.digest}",
                "blob": f"blobs/{next(iter(content.blobs))}"}[what]
        assert keeper.delete(f"/v2/{repo}/{part}").expect(405).error_codes() == ["UNSUPPORTED"]
        assert keeper.verify(repo, "1") == content.digest

    def test_an_upload_can_still_be_cancelled(self, keeper, repo):
        keeper.delete(spec.begin(keeper, repo)).expect(204)
