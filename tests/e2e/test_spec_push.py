# SPDX-License-Identifier: Apache-2.0
"""distribution-spec, "Push": each class is a section, each test a requirement of it."""

import concurrent.futures
import dataclasses
import itertools
import json
import urllib.parse

import pytest

from lib import images, spec
from lib.client import OCI_INDEX, OCI_MANIFEST, OCTETS

pytestmark = pytest.mark.ours
algorithms = pytest.mark.parametrize("algorithm", spec.ALGORITHMS)
kinds = pytest.mark.parametrize("kind", spec.KINDS)
uploads = pytest.mark.parametrize("way", spec.UPLOADS)
DATA = images.random_bytes("spec push", 700_001)
SIZES = {"empty": b"", "one-byte": b"x", "small": DATA[:5000], "large": DATA}
BAD_DIGESTS = {"no-algorithm": "nothing", "unknown-algorithm": "md5:" + "0" * 32, "blake3": "blake3:" + "0" * 64,
               "short": "sha256:abc", "long": "sha256:" + "0" * 65, "upper-case": "sha256:" + "A" * 64,
               "no-hex": "sha256:" + "g" * 64, "nothing-after": "sha256:", "nothing-at-all": "",
               "short-sha512": "sha512:" + "0" * 64}
bad_digests = pytest.mark.parametrize("bad", BAD_DIGESTS.values(), ids=BAD_DIGESTS)


def assert_blob(api, reply, repo, data, key):
    """ "Upon successful completion": 201, a Location to pull from, and the blob is there."""
    reply.expect(201)
    assert reply.headers["Docker-Content-Digest"] == key
    assert api.get(api.location(reply)).expect(200).body == data
    assert api.blob(repo, key).expect(200).body == data
    assert api.head(f"/v2/{repo}/blobs/{key}").expect(200).headers["Content-Length"] == str(len(data))


class TestPushingBlobs:
    @uploads
    @algorithms
    @pytest.mark.parametrize("size", SIZES)
    def test_every_way_ends_with_201_and_a_blob_to_pull(self, api, repo, way, algorithm, size):
        data, key = SIZES[size], spec.digest(SIZES[size], algorithm)
        assert_blob(api, spec.UPLOADS[way](api, repo, data, key), repo, data, key)

    @uploads
    @algorithms
    @pytest.mark.parametrize("size", SIZES)
    def test_digest_algorithm_may_be_announced(self, api, repo, way, algorithm, size):
        """ "Pushing a blob in chunks": the POST may name the algorithm (end-4c)."""
        data, key = SIZES[size], spec.digest(SIZES[size], algorithm)
        reply = spec.UPLOADS[way](api, repo, data, key, f"?digest-algorithm={algorithm}")
        assert_blob(api, reply, repo, data, key)

    @algorithms
    @pytest.mark.parametrize("name", ["md5", "sha384", "", "sha256:", "SHA-256"])
    def test_an_unknown_digest_algorithm_is_400(self, api, repo, algorithm, name):
        reply = api.request("POST", f"/v2/{repo}/blobs/uploads/?digest-algorithm={name}", body=b"").expect(400, 202)
        if reply.status == 202:  # only nothing at all is as good as not given
            assert name == ""
            key = spec.digest(DATA, algorithm)
            assert_blob(api, spec.put(api, api.location(reply), key, DATA), repo, DATA, key)

    @algorithms
    def test_the_announced_algorithm_need_not_be_the_last_word(self, api, repo, algorithm):
        """What the closing PUT says decides: a digest of another algorithm is honoured or refused, never mixed up."""
        key = spec.digest(DATA, spec.other_algorithm(algorithm))
        reply = spec.in_chunks(api, repo, DATA, key, f"?digest-algorithm={algorithm}").expect(201, 400)
        assert api.has_blob(repo, key) == (reply.status == 201)

    @uploads
    @algorithms
    def test_bytes_of_another_digest_are_400_and_not_kept(self, api, repo, way, algorithm):
        wrong = spec.digest(b"something else", algorithm)
        reply = spec.UPLOADS[way](api, repo, DATA, wrong).expect(400)
        assert reply.error_codes() == ["DIGEST_INVALID"]
        assert not api.has_blob(repo, wrong)
        assert not any(api.has_blob(repo, spec.digest(DATA, a)) for a in spec.ALGORITHMS)

    @uploads
    @bad_digests
    def test_a_digest_that_is_none_is_400(self, api, repo, way, bad):
        """An invalid digest or an algorithm that is not supported: 400."""
        assert spec.UPLOADS[way](api, repo, b"data", bad).expect(400).error_codes() == ["DIGEST_INVALID"]

    def test_put_without_a_digest_is_400(self, api, repo):
        location = spec.begin(api, repo)
        assert api.request("PUT", location, b"data", {"Content-Type": OCTETS}).expect(400).error_codes()

    @uploads
    def test_pushing_a_blob_again_is_201_again(self, api, repo, way):
        key = spec.digest(DATA)
        for _ in range(2):
            assert_blob(api, spec.UPLOADS[way](api, repo, DATA, key), repo, DATA, key)


class TestPostThenPut:
    def test_post_is_202_with_a_location(self, api, repo):
        reply = api.request("POST", f"/v2/{repo}/blobs/uploads/", body=b"").expect(202)
        api.get(api.location(reply)).expect(204)

    def test_each_session_has_a_location_of_its_own(self, api, repo):
        assert len({spec.begin(api, repo) for _ in range(20)}) == 20

    def test_many_sessions_go_on_at_once(self, api, repo):
        """ "Registries MUST support concurrent uploads"; piece by piece in turn, then all at the same time."""
        datas = [images.random_bytes(f"together {n}", 10_000) for n in range(8)]
        sessions = [spec.begin(api, repo) for _ in datas]
        for start, (n, data) in itertools.product((0, 5000), enumerate(datas)):
            part = data[start:start + 5000]
            sessions[n] = api.location(spec.patch(api, sessions[n], part, f"{start}-{start + 4999}").expect(202))
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda s, d: spec.put(api, s, spec.digest(d)), sessions, datas))
        for reply, data in zip(replies, datas):
            assert_blob(api, reply, repo, data, spec.digest(data))

    def test_the_same_blob_from_several_clients_at_once(self, api, repo):
        """ "Layer Upload De-duplication": all succeed."""
        key = spec.digest(DATA)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda way: way(api, repo, DATA, key), spec.UPLOADS.values()))
        for reply in replies:
            assert_blob(api, reply, repo, DATA, key)

    @pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
    def test_locations_are_usable_as_they_are(self, shared, repo, relative):
        """Resolved as RFC 9110 10.2.2 has it, nothing assembled by hand."""
        server = shared("spec-relative", {"http": {"relativeurls": True}}) if relative else shared("spec")
        api, base, key = spec.Strict(server.host), f"http://{server.host}/v2/{repo}/blobs/uploads/", spec.digest(DATA)

        def follow(reply):
            told = reply.headers["Location"]
            assert told.startswith("/" if relative else "http://"), told
            resolved = urllib.parse.urlsplit(urllib.parse.urljoin(base, told))
            assert resolved.netloc == server.host
            return resolved.path + (f"?{resolved.query}" if resolved.query else "")

        session = follow(api.request("POST", f"/v2/{repo}/blobs/uploads/", body=b"").expect(202))
        session = follow(spec.patch(api, session, DATA[:9], "0-8").expect(202))
        session = follow(api.get(session).expect(204))
        blob = follow(spec.put(api, session, key, DATA[9:]).expect(201))
        assert api.get(blob).expect(200).body == DATA
        content = spec.manifest("sha256", "locations")
        pushed = follow(spec.push(api, content, repo, "1").expect(201))
        assert api.get(pushed).expect(200).body == content.manifest


class TestSinglePost:
    @algorithms
    def test_the_location_is_the_blobs(self, api, repo, algorithm):
        reply = spec.in_one_post(api, repo, DATA, spec.digest(DATA, algorithm)).expect(201)
        assert api.get(api.location(reply)).expect(200).body == DATA


class TestPushingABlobInChunks:
    @pytest.fixture
    def begun(self, api, repo):
        """A session that has the first 1000 bytes."""
        return api.location(spec.patch(api, spec.begin(api, repo), DATA[:1000], "0-999").expect(202))

    def test_each_chunk_is_202_with_range_and_location(self, api, repo):
        location = spec.begin(api, repo)
        for start, end in ((0, 0), (1, 99), (100, 4999), (5000, 5000)):
            reply = spec.patch(api, location, DATA[start:end + 1], f"{start}-{end}").expect(202)
            assert reply.headers["Range"] == f"0-{end}"
            location = api.location(reply)
        key = spec.digest(DATA[:5001])
        assert_blob(api, spec.put(api, location, key), repo, DATA[:5001], key)

    @pytest.mark.parametrize("start, end", [(1001, 1500), (2000, 2999), (0, 999), (999, 1500), (500, 1499), (0, 0)],
                             ids=["gap-of-one", "gap", "again", "overlap-of-one", "overlap", "from-the-start"])
    @pytest.mark.parametrize("last", [False, True], ids=["PATCH", "PUT"])
    def test_a_chunk_out_of_order_is_416_and_the_session_goes_on(self, api, repo, begun, start, end, last):
        key = spec.digest(DATA)
        part, content_range = DATA[start:end + 1], f"{start}-{end}"
        if last:
            reply = spec.put(api, begun, key, part, Content_Range=content_range)
        else:
            reply = spec.patch(api, begun, part, content_range)
        reply.expect(416)
        status = api.get(begun).expect(204)
        assert status.headers["Range"] == "0-999"
        location = api.location(status)
        location = api.location(spec.patch(api, location, DATA[1000:], f"1000-{len(DATA) - 1}").expect(202))
        assert_blob(api, spec.put(api, location, key), repo, DATA, key)

    def test_the_first_chunk_begins_with_0(self, api, repo):
        location = spec.begin(api, repo)
        spec.patch(api, location, DATA[10:20], "10-19").expect(416)
        spec.patch(api, location, DATA[:20], "0-19").expect(202)

    def test_a_416_tells_where_the_session_stands(self, api, begun):
        """So that a client that reads no more than this reply can go on."""
        reply = spec.patch(api, begun, DATA[5000:6000], "5000-5999").expect(416)
        assert reply.headers["Range"] == "0-999"
        spec.patch(api, api.location(reply), DATA[1000:2000], "1000-1999").expect(202)

    @pytest.mark.parametrize("field", ["abc", "1000", "1000-", "-1999", "1999-1000", "1000-1999-2", "a-b", "items 0-5"])
    def test_a_content_range_that_is_none_is_refused(self, api, repo, begun, field):
        assert 400 <= spec.patch(api, begun, DATA[1000:2000], field).status < 500
        assert api.get(begun).expect(204).headers["Range"] == "0-999"

    @pytest.mark.parametrize("field", ["1000-1998", "1000-2000", "1000-999999"])
    def test_a_length_that_contradicts_the_range_is_refused(self, api, begun, field):
        reply = spec.patch(api, begun, DATA[1000:2000], field).expect(400)
        assert reply.error_codes() == ["SIZE_INVALID"]
        assert api.get(begun).expect(204).headers["Range"] == "0-999"

    def test_the_status_is_204_with_range_and_location(self, api, repo, begun):
        status = api.get(begun).expect(204)
        assert status.headers["Range"] == "0-999"
        location = api.location(status)
        key = spec.digest(DATA)
        assert_blob(api, spec.put(api, location, key, DATA[1000:]), repo, DATA, key)

    def test_a_session_may_be_followed_by_its_first_location(self, api, repo):
        """Clients SHOULD use the newest Location; the older ones lead to the same session."""
        location, key = spec.begin(api, repo), spec.digest(DATA[:3000])
        for start in (0, 1000, 2000):
            spec.patch(api, location, DATA[start:start + 1000], f"{start}-{start + 999}").expect(202)
        assert api.get(location).expect(204).headers["Range"] == "0-2999"
        assert_blob(api, spec.put(api, location, key), repo, DATA[:3000], key)

    def test_a_push_that_was_broken_off_goes_on(self, api, repo, begun):
        """ "Resumable Push": ask for the status, send the rest, in one piece more."""
        offset = int(api.get(begun).expect(204).headers["Range"].split("-")[1]) + 1
        rest = DATA[offset:]
        location = api.location(spec.patch(api, begun, rest, f"{offset}-{len(DATA) - 1}").expect(202))
        assert_blob(api, spec.put(api, location, spec.digest(DATA)), repo, DATA, spec.digest(DATA))

    def test_the_same_chunk_twice_at_once_is_taken_once(self, api, repo, begun):
        """One is 202, the other 416; the bytes are there once."""
        part = DATA[1000:501_000]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            replies = list(pool.map(lambda _: spec.patch(api, begun, part, f"1000-{500_999}"), range(4)))
        assert sorted(reply.status for reply in replies) == [202, 416, 416, 416]
        assert api.get(begun).expect(204).headers["Range"] == "0-500999"
        key = spec.digest(DATA[:501_000])
        assert_blob(api, spec.put(api, begun, key), repo, DATA[:501_000], key)

    def test_a_chunk_of_nothing_changes_nothing(self, api, repo, begun):
        assert spec.patch(api, begun, b"").expect(202).headers["Range"] == "0-999"
        key = spec.digest(DATA[:1000])
        assert_blob(api, spec.put(api, begun, key, b""), repo, DATA[:1000], key)

    def test_a_session_that_is_closed_twice_at_once_makes_one_blob(self, api, repo, begun):
        key = spec.digest(DATA[:1000])
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            statuses = sorted(pool.map(lambda _: spec.put(api, begun, key).status, range(4)))
        assert statuses[0] == 201 and set(statuses[1:]) <= {201, 404, 416}
        assert api.blob(repo, key).expect(200).body == DATA[:1000]

    def test_a_closed_session_is_404(self, api, repo, begun):
        spec.put(api, begun, spec.digest(DATA[:1000])).expect(201)
        for reply in (api.get(begun), spec.patch(api, begun, b"more"), spec.put(api, begun, spec.digest(DATA[:1000])),
                      api.delete(begun)):
            assert reply.expect(404).error_codes() == ["BLOB_UPLOAD_UNKNOWN"]

    def test_no_minimum_is_told(self, api, repo):
        """Chunks of any length are taken, so there is no OCI-Chunk-Min-Length, or one that is a number."""
        told = api.request("POST", f"/v2/{repo}/blobs/uploads/", body=b"").headers["OCI-Chunk-Min-Length"]
        assert told is None or told.isdecimal()


class TestCancelABlobUpload:
    @pytest.mark.parametrize("sent", [0, 1000])
    def test_a_cancelled_session_is_204_and_then_404(self, api, repo, sent):
        location = spec.begin(api, repo)
        if sent:
            location = api.location(spec.patch(api, location, DATA[:sent]).expect(202))
        api.delete(location).expect(204)
        for reply in (api.get(location), spec.patch(api, location, b"more"), api.delete(location),
                      spec.put(api, location, spec.digest(DATA[:sent]))):
            assert reply.expect(404).error_codes() == ["BLOB_UPLOAD_UNKNOWN"]
        assert not api.has_blob(repo, spec.digest(DATA[:sent]))


class TestMountingABlobFromAnotherRepository:
    @pytest.fixture
    def source(self, api, repo):
        """A repository that has DATA in both algorithms."""
        for algorithm in spec.ALGORITHMS:
            api.push_blob(f"{repo}/source", DATA, spec.digest(DATA, algorithm))
        return f"{repo}/source"

    @algorithms
    def test_a_mount_is_201_with_the_blobs_location(self, api, repo, source, algorithm):
        key = spec.digest(DATA, algorithm)
        reply = api.request("POST", f"/v2/{repo}/blobs/uploads/?mount={key}&from={source}", body=b"")
        assert_blob(api, reply, repo, DATA, key)

    @algorithms
    def test_a_mount_into_the_same_repository(self, api, source, algorithm):
        key = spec.digest(DATA, algorithm)
        reply = api.request("POST", f"/v2/{source}/blobs/uploads/?mount={key}&from={source}", body=b"")
        assert_blob(api, reply, source, DATA, key)

    @algorithms
    def test_from_is_optional(self, api, repo, algorithm):
        """The blob is taken from wherever it is."""
        data = images.random_bytes(f"anywhere {algorithm}", 4000)
        key = spec.digest(data, algorithm)
        api.push_blob(f"{repo}/somewhere", data, key)
        reply = api.request("POST", f"/v2/{repo}/blobs/uploads/?mount={key}", body=b"")
        assert_blob(api, reply, repo, data, key)

    @algorithms
    @pytest.mark.parametrize("source_name", ["", "&from=nowhere/at/all", "&from={source}"],
                             ids=["from-anywhere", "from-nowhere", "from-the-source"])
    def test_what_cannot_be_mounted_becomes_an_upload(self, api, repo, source, algorithm, source_name):
        """202 with the Location of a session that works."""
        data = images.random_bytes(f"not there {source_name} {algorithm}", 4000)
        key = spec.digest(data, algorithm)
        query = f"?mount={key}{source_name.format(source=source)}"
        reply = api.request("POST", f"/v2/{repo}/blobs/uploads/{query}", body=b"").expect(202)
        assert not api.has_blob(repo, key)
        assert_blob(api, spec.put(api, api.location(reply), key, data), repo, data, key)

    @bad_digests
    def test_a_mount_of_no_digest_is_400_or_an_upload(self, api, repo, source, bad):
        path = f"/v2/{repo}/blobs/uploads/?mount={bad}&from={source}"
        reply = api.request("POST", path, body=b"").expect(202, 400)
        assert reply.status == 202 or reply.error_codes() == ["DIGEST_INVALID"]

    def test_a_mounted_blob_serves_a_manifest(self, api, repo):
        content = spec.manifest("sha512", "mounted")
        spec.push(api, content, f"{repo}/source").expect(201)
        for key in content.blobs:
            api.request("POST", f"/v2/{repo}/blobs/uploads/?mount={key}&from={repo}/source", body=b"").expect(201)
        api.put_manifest(repo, content.digest, content.manifest, content.media_type).expect(201)
        assert api.verify(repo, content.digest) == content.digest


class TestPushingManifests:
    @kinds
    @algorithms
    def test_by_digest_every_kind_is_201_and_comes_back_exactly(self, api, repo, kind, algorithm):
        content = spec.KINDS[kind](algorithm, f"push {kind}")
        self.assert_pushed(api, spec.push(api, content, repo), repo, content, content.digest)

    @kinds
    @algorithms
    def test_by_tag_every_kind_is_201_and_comes_back_exactly(self, api, repo, kind, algorithm):
        """What it names may have any algorithm; its own digest is then the registry's choice, and told."""
        content = spec.KINDS[kind](algorithm, f"push {kind}")
        reply = spec.push(api, content, repo, "1")
        key = reply.expect(201).headers["Docker-Content-Digest"]
        assert key in [spec.digest(content.manifest, a) for a in spec.ALGORITHMS]
        self.assert_pushed(api, reply, repo, content, key)
        assert api.manifest(repo, "1").expect(200).body == content.manifest

    @staticmethod
    def assert_pushed(api, reply, repo, content, key):
        reply.expect(201)
        assert reply.headers["Docker-Content-Digest"] == key
        for path in (api.location(reply), f"/v2/{repo}/manifests/{key}"):
            pulled = api.get(path, {"Accept": content.media_type}).expect(200)
            assert pulled.body == content.manifest
            assert pulled.headers["Content-Type"] == content.media_type

    @kinds
    def test_pushing_again_changes_nothing(self, api, repo, kind):
        content = spec.KINDS[kind]("sha256", f"push {kind}")
        first = spec.push(api, content, repo, "1").expect(201)
        second = spec.push(api, content, repo, "1").expect(201)
        assert first.headers["Docker-Content-Digest"] == second.headers["Docker-Content-Digest"]
        assert api.tags(repo) == ["1"]

    def test_a_tag_moves_to_what_was_pushed_last(self, api, repo):
        contents = [spec.manifest("sha256", f"moving {n}") for n in range(3)]
        for content in contents:
            spec.push(api, content, repo, "latest").expect(201)
            assert api.manifest(repo, "latest").body == content.manifest
        for content in contents:
            assert api.manifest(repo, content.digest).expect(200).body == content.manifest

    @pytest.mark.parametrize("parameters", [";charset=utf-8", "; charset=utf-8", "; a=b; c=\"d\""])
    def test_parameters_of_the_content_type_are_ignored(self, api, repo, parameters):
        for content in (spec.manifest("sha256", "parameters"), spec.index("sha256", [])):
            spec.push(api, content, repo)
            reply = api.put_manifest(repo, "1", content.manifest, content.media_type + parameters).expect(201)
            assert api.get(api.location(reply)).headers["Content-Type"] == content.media_type

    @algorithms
    def test_bytes_of_another_digest_are_400_and_not_kept(self, api, repo, algorithm):
        content, other = (spec.manifest(algorithm, seed) for seed in ("one", "other"))
        spec.push(api, content, repo, "1")
        reply = api.put_manifest(repo, other.digest, content.manifest, content.media_type).expect(400)
        assert reply.error_codes() == ["DIGEST_INVALID"]
        api.manifest(repo, other.digest).expect(404)

    @pytest.mark.parametrize("bad", [bad for bad in BAD_DIGESTS.values() if ":" in bad])
    def test_a_digest_that_is_none_is_400(self, api, repo, bad):
        content = spec.manifest("sha256", "bad digests")
        reply = api.put_manifest(repo, bad, content.manifest, content.media_type).expect(400)
        assert reply.error_codes() == ["DIGEST_INVALID"]

    @algorithms
    @pytest.mark.parametrize("part", ["config", "layers"])
    def test_a_missing_blob_is_told_with_its_code(self, api, repo, algorithm, part):
        content = spec.manifest(algorithm, f"missing {part}")
        document = json.loads(content.manifest)
        missing = (document[part] if part == "config" else document[part][-1])["digest"]
        for key, data in content.blobs.items():
            if key != missing:
                api.push_blob(repo, data, key)
        for reference in ("1", content.digest):
            reply = api.put_manifest(repo, reference, content.manifest, content.media_type).expect(400, 404)
            assert set(reply.error_codes()) == {"MANIFEST_BLOB_UNKNOWN"}
            api.manifest(repo, reference).expect(404)
        api.push_blob(repo, content.blobs[missing], missing)
        api.put_manifest(repo, "1", content.manifest, content.media_type).expect(201)

    @algorithms
    def test_a_missing_child_is_told_with_its_code(self, api, repo, algorithm):
        children = [spec.manifest(algorithm, f"child {n}") for n in range(2)]
        content = spec.index(algorithm, children)
        spec.push(api, children[0], repo).expect(201)
        reply = api.put_manifest(repo, content.digest, content.manifest, content.media_type).expect(400, 404)
        assert set(reply.error_codes()) == {"MANIFEST_BLOB_UNKNOWN"}
        api.manifest(repo, content.digest).expect(404)
        spec.push(api, content, repo).expect(201)

    @algorithms
    def test_four_mebibytes_are_accepted_and_one_byte_more_is_413(self, api, repo, algorithm):
        just, above = (spec.large(algorithm, "large", spec.MANIFEST_LIMIT + n) for n in (0, 1))
        spec.push(api, just, repo).expect(201)
        for reference in ("1", above.digest):
            reply = api.put_manifest(repo, reference, above.manifest, above.media_type).expect(413)
            assert reply.error_codes() == ["MANIFEST_INVALID"]
        parts = iter([above.manifest[:1 << 20], above.manifest[1 << 20:]])  # of a length that nobody told
        api.request("PUT", f"/v2/{repo}/manifests/1", parts, {"Content-Type": above.media_type}).expect(413)
        api.manifest(repo, "1").expect(404)

    def test_a_repository_begins_with_its_first_push(self, api, repo):
        api.get(f"/v2/{repo}/tags/list").expect(404)
        content = spec.index("sha256", [])
        spec.push(api, content, repo, "1").expect(201)
        assert api.get(f"/v2/{repo}/tags/list").expect(200).json() == {"name": repo, "tags": ["1"]}


class TestPushingManifestsWithTagParameters:
    """The main branch's end-7b: a push by digest names tags as well."""

    @algorithms
    @pytest.mark.parametrize("tags", [["1"], ["b", "a", "c"], [f"t{n}" for n in range(10)]], ids=len)
    def test_all_tags_lead_to_the_pushed_digest_and_are_told(self, api, repo, algorithm, tags):
        content = spec.manifest(algorithm, "tagged by parameters")
        spec.push(api, content, repo).expect(201)
        query = "&".join(f"tag={tag}" for tag in tags)
        path = f"/v2/{repo}/manifests/{content.digest}?{query}"
        reply = api.request("PUT", path, content.manifest, {"Content-Type": content.media_type}).expect(201)
        assert reply.headers["Docker-Content-Digest"] == content.digest
        told = [tag.strip() for field in reply.headers.get_all("OCI-Tag") for tag in field.split(",")]
        assert sorted(told) == sorted(tags)
        for tag in tags:
            pulled = api.manifest(repo, tag).expect(200)
            assert pulled.body == content.manifest and pulled.headers["Docker-Content-Digest"] == content.digest
        assert api.tags(repo) == sorted(tags)

    def test_a_tag_that_is_none_is_400_and_nothing_is_tagged(self, api, repo):
        content = spec.manifest("sha256", "badly tagged")
        spec.push(api, content, repo).expect(201)
        path = f"/v2/{repo}/manifests/{content.digest}?tag=good&tag=-bad"
        reply = api.request("PUT", path, content.manifest, {"Content-Type": content.media_type}).expect(400)
        assert reply.error_codes() == ["TAG_INVALID"]
        api.manifest(repo, "good").expect(404)

    def test_too_many_tags_are_refused_before_anything_is_done(self, api, repo):
        content = spec.manifest("sha256", "much tagged")
        spec.push(api, content, repo).expect(201)
        query = "&".join(f"tag=t{n}" for n in range(5000))
        path = f"/v2/{repo}/manifests/{content.digest}?{query}"
        api.request("PUT", path, content.manifest, {"Content-Type": content.media_type}).expect(414, 431)
        assert not api.get(f"/v2/{repo}/tags/list").json().get("tags")

    def test_a_tag_without_parameters_is_not_told(self, api, repo):
        content = spec.manifest("sha256", "untagged")
        assert spec.push(api, content, repo).expect(201).headers["OCI-Tag"] is None


class TestPushingManifestsWithSubject:
    @algorithms
    @pytest.mark.parametrize("there", [True, False], ids=["there", "missing"])
    @pytest.mark.parametrize("subject_algorithm", spec.ALGORITHMS)
    @pytest.mark.parametrize("kind", ["artifact", "image", "index"])
    def test_the_subject_is_accepted_and_told(self, api, repo, algorithm, there, subject_algorithm, kind):
        """The subject may come later or never; OCI-Subject says that it was seen."""
        subject = spec.manifest(subject_algorithm, "subject")
        if there:
            spec.push(api, subject, repo).expect(201)
        made = {"artifact": lambda: spec.artifact(algorithm, "a", artifact_type="application/vnd.example.a",
                                                  annotations={"for": subject.digest}),
                "image": lambda: spec.manifest(algorithm, "i"),
                "index": lambda: spec.index(algorithm, [])}[kind]()
        document = json.loads(made.manifest) | {"subject": subject.descriptor()}
        made = dataclasses.replace(made, manifest=images.encoded(document))
        assert spec.push(api, made, repo).expect(201).headers["OCI-Subject"] == subject.digest
        assert api.put_manifest(repo, "tag", made.manifest, made.media_type).headers["OCI-Subject"] == subject.digest

    @pytest.mark.parametrize("content", [spec.manifest("sha256", "alone"), spec.index("sha256", [])],
                             ids=["image", "index"])
    def test_without_a_subject_there_is_no_header(self, api, repo, content):
        assert spec.push(api, content, repo).expect(201).headers["OCI-Subject"] is None

    @pytest.mark.parametrize("bad", ["nothing", "sha256:abc", "md5:" + "0" * 32])
    @pytest.mark.parametrize("media_type", [OCI_MANIFEST, OCI_INDEX])
    def test_a_subject_without_a_digest_is_400(self, api, repo, bad, media_type):
        made = spec.manifest("sha256", "s") if media_type == OCI_MANIFEST else spec.index("sha256", [])
        spec.push(api, made, repo).expect(201)
        subject = {"mediaType": OCI_MANIFEST, "digest": bad, "size": 2}
        body = images.encoded(json.loads(made.manifest) | {"subject": subject})
        assert api.put_manifest(repo, "1", body, media_type).expect(400).error_codes() == ["MANIFEST_INVALID"]
