# SPDX-License-Identifier: Apache-2.0
"""distribution-spec, "Pull": each class is a section, each test a requirement of it."""

import pytest

from lib import images, spec
from lib.client import DOCKER_LIST, DOCKER_MANIFEST, MANIFEST_TYPES, OCI_INDEX, OCI_MANIFEST

pytestmark = pytest.mark.ours
algorithms = pytest.mark.parametrize("algorithm", spec.ALGORITHMS)
kinds = pytest.mark.parametrize("kind", spec.KINDS)
methods = pytest.mark.parametrize("method", ["GET", "HEAD"])
DATA = images.random_bytes("spec pull", 100_000)
UNKNOWN = b"nobody pushed this"


@pytest.fixture(scope="module")
def stored(shared):
    """stored(kind, algorithm): (repository, content), pushed by digest and tagged "tagged"."""
    api, made = spec.Strict(shared("spec").host), {}

    def get(kind, algorithm):
        if (kind, algorithm) not in made:
            content, repo = spec.KINDS[kind](algorithm, f"pull {kind} {algorithm}"), f"spec/pull/{kind}/{algorithm}"
            spec.push(api, content, repo).expect(201)
            spec.tag(api, content, repo, "tagged").expect(201)
            made[kind, algorithm] = repo, content
        return made[kind, algorithm]
    return get


@pytest.fixture(scope="module")
def blobs(shared):
    """The path of DATA under each algorithm."""
    api = spec.Strict(shared("spec").host)
    return {a: f"/v2/spec/pull/blobs/blobs/{api.push_blob('spec/pull/blobs', DATA, spec.digest(DATA, a))}"
            for a in spec.ALGORITHMS}


class TestPullingManifests:
    @kinds
    @algorithms
    @pytest.mark.parametrize("by", ["digest", "tag"])
    def test_a_manifest_comes_back_byte_for_byte(self, api, stored, kind, algorithm, by):
        """200; the bytes, the type and the digest are those that were pushed."""
        repo, content = stored(kind, algorithm)
        reference = content.digest if by == "digest" else "tagged"
        reply = api.get(f"/v2/{repo}/manifests/{reference}", {"Accept": content.media_type}).expect(200)
        assert reply.body == content.manifest
        assert reply.headers["Content-Type"] == content.media_type
        assert reply.headers["Content-Length"] == str(len(content.manifest))
        assert reply.headers["Docker-Content-Digest"] == content.digest

    @kinds
    @algorithms
    def test_everything_below_a_manifest_can_be_pulled(self, api, stored, kind, algorithm):
        """Each descriptor leads to content of its digest and size, through the same repository."""
        repo, content = stored(kind, algorithm)
        for key, data in content.blobs.items():
            assert api.blob(repo, key).expect(200).body == data
        for child in content.children:
            assert api.verify(repo, child.digest) == child.digest

    @pytest.mark.parametrize("accept", [
        None, "*/*", MANIFEST_TYPES, OCI_MANIFEST, f"{OCI_MANIFEST};q=0.5, */*;q=0.1", f"{OCI_INDEX}, {OCI_MANIFEST}",
        "application/*",
    ])
    def test_accept_names_what_the_client_understands(self, api, stored, accept):
        repo, content = stored("image", "sha256")
        for reference in (content.digest, "tagged"):
            reply = api.get(f"/v2/{repo}/manifests/{reference}", {"Accept": accept} if accept else {}).expect(200)
            assert reply.body == content.manifest and reply.headers["Content-Type"] == OCI_MANIFEST

    @pytest.mark.parametrize("kind, media_type", [
        ("image", OCI_MANIFEST), ("image-without-media-type", OCI_MANIFEST), ("index", OCI_INDEX),
        ("index-without-media-type", OCI_INDEX), ("docker-image", DOCKER_MANIFEST), ("docker-list", DOCKER_LIST),
    ])
    @methods
    def test_content_type_is_the_pushed_one_without_parameters(self, api, stored, kind, media_type, method):
        repo, content = stored(kind, "sha256")
        for reference in (content.digest, "tagged"):
            reply = api.request(method, f"/v2/{repo}/manifests/{reference}", headers={"Accept": MANIFEST_TYPES})
            assert reply.expect(200).headers["Content-Type"] == media_type

    @methods
    @pytest.mark.parametrize("where", ["the repository", "nowhere/at/all"])
    @pytest.mark.parametrize("reference", ["no-such-tag", *(spec.digest(UNKNOWN, a) for a in spec.ALGORITHMS)],
                             ids=["tag", *spec.ALGORITHMS])
    def test_what_is_not_there_is_404(self, api, stored, method, where, reference):
        repo = stored("image", "sha256")[0] if where == "the repository" else where
        reply = api.request(method, f"/v2/{repo}/manifests/{reference}").expect(404)
        assert method == "HEAD" or set(reply.error_codes()) <= {"MANIFEST_UNKNOWN", "NAME_UNKNOWN"}

    @methods
    def test_a_manifest_of_another_repository_is_404(self, api, stored, method):
        _, content = stored("index", "sha256")
        other, _ = stored("image", "sha256")
        api.request(method, f"/v2/{other}/manifests/{content.digest}").expect(404)

    @pytest.mark.parametrize("tag", ["a", "_", "A-Z.0_9", "9" * 128, "v1.0-rc.1_x"])
    def test_a_tag_has_up_to_128_characters(self, api, repo, tag):
        content = spec.manifest("sha256", "tags")
        assert spec.push(api, content, repo, tag).expect(201)
        assert api.get(f"/v2/{repo}/manifests/{tag}").expect(200).body == content.manifest

    @pytest.mark.parametrize("name", ["a", "0", "a/b", "a.b/c_d/e__f/g-h/i---j", "a/" * 40 + "a", "x" * 200])
    def test_a_name_follows_the_grammar(self, api, name):
        content = spec.manifest("sha256", "names")
        spec.push(api, content, name, "1").expect(201)
        assert api.get(f"/v2/{name}/manifests/1").expect(200).body == content.manifest
        assert api.get(f"/v2/{name}/tags/list").expect(200).json() == {"name": name, "tags": ["1"]}


class TestPullingBlobs:
    @algorithms
    def test_a_blob_comes_back_byte_for_byte(self, api, blobs, algorithm):
        reply = api.get(blobs[algorithm]).expect(200)
        assert reply.body == DATA and reply.headers["Content-Length"] == str(len(DATA))
        assert reply.headers["Docker-Content-Digest"] == spec.digest(DATA, algorithm)

    @methods
    @algorithms
    @pytest.mark.parametrize("repo", ["spec/pull/blobs", "nowhere/at/all"])
    def test_what_is_not_there_is_404(self, api, blobs, method, algorithm, repo):
        reply = api.request(method, f"/v2/{repo}/blobs/{spec.digest(UNKNOWN, algorithm)}").expect(404)
        assert method == "HEAD" or set(reply.error_codes()) <= {"BLOB_UNKNOWN", "NAME_UNKNOWN"}

    @algorithms
    def test_the_same_bytes_under_the_other_algorithm_are_another_blob(self, api, repo, algorithm):
        """A digest that was never pushed is unknown, whatever its bytes are known as."""
        api.push_blob(repo, DATA, spec.digest(DATA, algorithm))
        api.get(f"/v2/{repo}/blobs/{spec.digest(DATA, spec.other_algorithm(algorithm))}").expect(404)

    @algorithms
    @pytest.mark.parametrize("asked, start, end", [
        ("0-0", 0, 1), ("0-99", 0, 100), ("5000-5999", 5000, 6000), ("99999-99999", 99_999, 100_000),
        ("99000-", 99_000, 100_000), ("0-", 0, 100_000), ("-1", 99_999, 100_000), ("-100", 99_900, 100_000),
        ("-100000", 0, 100_000), ("-200000", 0, 100_000), ("50000-200000", 50_000, 100_000),
        ("99999-99999999999999999999", 99_999, 100_000),
    ])
    def test_a_range_is_206_with_just_its_bytes(self, api, blobs, algorithm, asked, start, end):
        """RFC 9110 14: first, middle, open, suffix, and an end beyond the last byte."""
        reply = api.get(blobs[algorithm], {"Range": f"bytes={asked}"}).expect(206)
        assert reply.body == DATA[start:end]
        assert reply.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(DATA)}"
        assert reply.headers["Content-Length"] == str(end - start)

    @pytest.mark.parametrize("asked", ["100000-", "100000-100001", "99999999999-", "9" * 30 + "-", "-0"])
    def test_a_range_beyond_the_blob_is_416_and_tells_the_size(self, api, blobs, asked):
        reply = api.get(blobs["sha256"], {"Range": f"bytes={asked}"}).expect(416)
        assert reply.headers["Content-Range"] == f"bytes */{len(DATA)}"

    @pytest.mark.parametrize("field", ["bytes=5-2", "bytes=a-b", "bytes=", "lines=0-5", "0-5", "bytes=0-5;6-7"])
    def test_a_range_that_is_none_is_not_looked_at(self, api, blobs, field):
        """RFC 9110 14.2: an invalid or unknown Range is ignored."""
        assert api.get(blobs["sha256"], {"Range": field}).expect(200).body == DATA

    def test_several_ranges_give_them_or_the_whole(self, api, blobs):
        reply = api.get(blobs["sha256"], {"Range": "bytes=0-9,20-29"}).expect(200, 206)
        assert reply.body == DATA if reply.status == 200 else (
            reply.headers["Content-Type"].startswith("multipart/byteranges") and DATA[20:30] in reply.body)

    def test_a_pull_that_was_broken_off_goes_on(self, api, blobs):
        """ "Resumable Pull": the parts together are the blob."""
        got = b""
        while len(got) < len(DATA):
            end = min(len(got) + 33_333, len(DATA)) - 1
            got += api.get(blobs["sha512"], {"Range": f"bytes={len(got)}-{end}"}).expect(206).body
        assert got == DATA

    def test_if_range_with_another_tag_gives_the_whole(self, api, blobs):
        etag = api.get(blobs["sha256"]).headers["Etag"]
        fresh = api.get(blobs["sha256"], {"Range": "bytes=0-9", "If-Range": etag}).expect(206)
        assert fresh.body == DATA[:10]
        assert api.get(blobs["sha256"], {"Range": "bytes=0-9", "If-Range": '"other"'}).expect(200).body == DATA

    def test_ranges_are_announced(self, api, blobs):
        assert api.get(blobs["sha256"]).headers["Accept-Ranges"] == "bytes"
        assert api.head(blobs["sha256"]).headers["Accept-Ranges"] == "bytes"

    @algorithms
    def test_the_empty_blob(self, api, repo, algorithm):
        path = f"/v2/{repo}/blobs/{api.push_blob(repo, b'', spec.digest(b'', algorithm))}"
        assert api.get(path).expect(200).body == b""
        assert api.head(path).expect(200).headers["Content-Length"] == "0"
        api.get(path, {"Range": "bytes=0-0"}).expect(416)


class TestCheckingIfContentExists:
    @kinds
    @algorithms
    @pytest.mark.parametrize("by", ["digest", "tag"])
    def test_head_of_a_manifest_tells_size_type_and_digest(self, api, stored, kind, algorithm, by):
        repo, content = stored(kind, algorithm)
        reference = content.digest if by == "digest" else "tagged"
        reply = api.head(f"/v2/{repo}/manifests/{reference}", {"Accept": content.media_type}).expect(200)
        assert reply.headers["Content-Length"] == str(len(content.manifest))
        assert reply.headers["Content-Type"] == content.media_type
        assert reply.headers["Docker-Content-Digest"] == content.digest

    @kinds
    @algorithms
    def test_head_of_each_blob_tells_size_and_digest(self, api, stored, kind, algorithm):
        repo, content = stored(kind, algorithm)
        for key, data in content.blobs.items():
            reply = api.head(f"/v2/{repo}/blobs/{key}").expect(200)
            assert reply.headers["Content-Length"] == str(len(data))
            assert reply.headers["Docker-Content-Digest"] == key

    @methods
    @pytest.mark.parametrize("what", ["manifest", "tag", "blob"])
    @pytest.mark.parametrize("form", ['"{}"', "{}", 'W/"{}"', '"other", "{}"', "*"])
    def test_what_the_client_has_is_not_sent_again(self, api, stored, blobs, method, what, form):
        """RFC 9110 13.1.2: 304 if the tag of the client's copy is ours, 200 if not."""
        repo, content = stored("image", "sha256")
        path = {"manifest": f"/v2/{repo}/manifests/{content.digest}", "tag": f"/v2/{repo}/manifests/tagged",
                "blob": blobs["sha256"]}[what]
        key = spec.digest(DATA) if what == "blob" else content.digest
        reply = api.request(method, path, headers={"If-None-Match": form.format(key)}).expect(304)
        assert reply.headers["Etag"] == f'"{key}"' and reply.headers["Docker-Content-Digest"] == key
        api.request(method, path, headers={"If-None-Match": '"sha256:other"'}).expect(200)


class TestRegistryProxying:
    def test_ns_may_be_ignored(self, api, stored, blobs):
        """A registry that is no proxy answers as if there were no such parameter."""
        repo, content = stored("image", "sha256")
        for path, body in ((f"/v2/{repo}/manifests/tagged", content.manifest), (blobs["sha256"], DATA)):
            assert api.get(f"{path}?ns=docker.io").expect(200).body == body
            api.head(f"{path}?ns=docker.io").expect(200)


class TestDeterminingSupport:
    def test_the_base_is_200(self, api):
        api.get("/v2/").expect(200)
        api.head("/v2/").expect(200)
        assert api.get("/v2/").headers["Docker-Distribution-Api-Version"] == "registry/2.0"
