# SPDX-License-Identifier: Apache-2.0
"""distribution-spec, "Listing Referrers", "Referrers Tag Schema" and "Enabling the Referrers API": each class is a
section, each test a requirement of it."""

import concurrent.futures
import dataclasses
import json
import re
import urllib.parse

import pytest

from lib import images, spec
from lib.client import OCI_INDEX, OCI_MANIFEST

pytestmark = pytest.mark.ours
algorithms = pytest.mark.parametrize("algorithm", spec.ALGORITHMS)
subject_algorithms = pytest.mark.parametrize("subject_algorithm", spec.ALGORITHMS)
SBOM, SIGNATURE = "application/vnd.example.sbom.v1+json", "application/vnd.example.signature.v1"
NEXT = re.compile(r'<([^>]+)>; ?rel="?next"?')
MANY = 40


def read(api, path):
    """One page, its form checked."""
    reply = api.get(path).expect(200)
    assert reply.headers["Content-Type"] == OCI_INDEX
    document = reply.json()
    assert document["schemaVersion"] == 2 and document["mediaType"] == OCI_INDEX
    assert isinstance(document["manifests"], list)
    for entry in document["manifests"]:
        assert spec.DIGEST.fullmatch(entry["digest"]) and entry["size"] >= 0 and entry["mediaType"]
    return reply, document["manifests"]


def referrers(api, repo, subject, query=""):
    """All pages: (the entries, by digest; the header that tells what was filtered)."""
    key = subject if isinstance(subject, str) else subject.digest
    found, path = [], f"/v2/{repo}/referrers/{key}{query}"
    while path:
        reply, entries = read(api, path)
        found += entries
        link = reply.headers["Link"]
        path = urllib.parse.urljoin(path, NEXT.fullmatch(link).group(1)) if link else None
    by_digest = {entry["digest"]: entry for entry in found}
    assert len(by_digest) == len(found), "an entry came twice"
    return by_digest, reply.headers["OCI-Filters-Applied"]


def with_subject(content, subject):
    document = json.loads(content.manifest) | {"subject": subject.descriptor()}
    return dataclasses.replace(content, manifest=images.encoded(document))


class TestListingReferrers:
    @subject_algorithms
    @pytest.mark.parametrize("subject", ["there", "missing", "no-repository"])
    def test_without_referrers_the_list_is_empty_and_not_404(self, api, repo, subject_algorithm, subject):
        content = spec.manifest(subject_algorithm, "subject")
        if subject == "there":
            spec.push(api, content, repo).expect(201)
        elif subject == "missing":
            spec.push(api, spec.index("sha256", []), repo).expect(201)
        assert referrers(api, repo, content) == ({}, None)

    @algorithms
    @subject_algorithms
    @pytest.mark.parametrize("there", [True, False], ids=["subject-there", "subject-missing"])
    def test_a_referrer_is_listed_with_all_that_describes_it(self, api, repo, algorithm, subject_algorithm, there):
        subject = spec.manifest(subject_algorithm, "subject")
        if there:
            spec.push(api, subject, repo).expect(201)
        annotations = {"org.opencontainers.image.created": "2022-01-01T14:42:55Z", "é ☃": "\"quoted\" \\ </>"}
        made = with_subject(spec.artifact(algorithm, "sbom", artifact_type=SBOM, annotations=annotations), subject)
        spec.push(api, made, repo).expect(201)
        assert referrers(api, repo, subject)[0] == {made.digest: {
            "mediaType": OCI_MANIFEST, "digest": made.digest, "size": len(made.manifest), "artifactType": SBOM,
            "annotations": annotations}}

    def test_an_image_without_artifact_type_has_its_configs(self, api, repo):
        subject = spec.manifest("sha256", "subject")
        for n, members in enumerate(({}, {"artifactType": ""})):
            made = spec.manifest("sha256", f"config {n}", types=(SIGNATURE, "text/plain"), **members)
            made = with_subject(made, subject)
            spec.push(api, made, repo).expect(201)
            assert referrers(api, repo, subject)[0][made.digest]["artifactType"] == SIGNATURE

    def test_an_index_without_artifact_type_has_none(self, api, repo):
        subject = spec.manifest("sha256", "subject")
        made = with_subject(spec.index("sha256", [], annotations={"a": "b"}), subject)
        spec.push(api, made, repo).expect(201)
        assert referrers(api, repo, subject)[0] == {made.digest: {
            "mediaType": OCI_INDEX, "digest": made.digest, "size": len(made.manifest), "annotations": {"a": "b"}}}

    def test_an_index_has_its_artifact_type(self, api, repo):
        subject = spec.manifest("sha256", "subject")
        made = with_subject(spec.index("sha256", [], artifactType=SBOM), subject)
        spec.push(api, made, repo).expect(201)
        assert referrers(api, repo, subject)[0][made.digest]["artifactType"] == SBOM

    def test_an_artifact_type_beats_the_configs(self, api, repo):
        subject = spec.manifest("sha256", "subject")
        made = spec.manifest("sha256", "both", types=(SIGNATURE, "text/plain"), artifactType=SBOM)
        made = with_subject(made, subject)
        spec.push(api, made, repo).expect(201)
        assert referrers(api, repo, subject)[0][made.digest]["artifactType"] == SBOM

    @subject_algorithms
    def test_what_has_no_such_subject_is_not_listed(self, api, repo, subject_algorithm):
        """Not another subject's, not another repository's, not an index's children."""
        subject, other = (spec.manifest(subject_algorithm, seed) for seed in ("subject", "other"))
        mine, theirs = (spec.artifact("sha256", f"of {s.digest}", subject=s) for s in (subject, other))
        spec.push(api, mine, repo).expect(201)
        spec.push(api, theirs, repo).expect(201)
        spec.push(api, spec.artifact("sha256", "elsewhere", subject=subject), f"{repo}/elsewhere").expect(201)
        spec.push(api, spec.index("sha256", [subject]), repo).expect(201)
        assert set(referrers(api, repo, subject)[0]) == {mine.digest}
        assert set(referrers(api, repo, other)[0]) == {theirs.digest}

    def test_a_subject_is_meant_by_its_digest_alone(self, api, repo):
        """The same bytes under another algorithm are another subject."""
        one, other = (spec.manifest(a, "subject", config=b"c", layers=[]) for a in spec.ALGORITHMS)
        spec.push(api, spec.artifact("sha256", "a", subject=one), repo).expect(201)
        assert referrers(api, repo, other)[0] == {}

    def test_pushing_again_lists_once(self, api, repo):
        subject = spec.manifest("sha256", "subject")
        made = spec.artifact("sha256", "again", subject=subject)
        for reference in (None, "1", "2", None):
            spec.push(api, made, repo, reference).expect(201)
        assert set(referrers(api, repo, subject)[0]) == {made.digest}

    def test_referrers_from_several_clients_at_once_are_all_listed(self, api, repo):
        """And each of them as soon as its push was acknowledged."""
        subject = spec.manifest("sha256", "subject")
        made = [with_subject(spec.artifact("sha256", f"together {n}", layers=[], annotations={"n": str(n)}), subject)
                for n in range(40)]

        def work(content):
            spec.push(api, content, repo).expect(201)
            assert content.digest in referrers(api, repo, subject)[0]

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(work, made))
        assert set(referrers(api, repo, subject)[0]) == {content.digest for content in made}

    def test_referrers_come_and_go_at_once(self, api, repo):
        """Half are deleted while the other half is pushed."""
        subject = spec.manifest("sha256", "subject")
        made = [with_subject(spec.artifact("sha256", f"moving {n}", layers=[], annotations={"n": str(n)}), subject)
                for n in range(24)]
        for content in made[:12]:
            spec.push(api, content, repo).expect(201)
        steps = [lambda c=c: api.delete(f"/v2/{repo}/manifests/{c.digest}").expect(202) for c in made[:12]]
        steps += [lambda c=c: spec.push(api, c, repo).expect(201) for c in made[12:]]
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda step: step(), [steps[n // 2 + 12 * (n % 2)] for n in range(24)]))
        assert set(referrers(api, repo, subject)[0]) == {content.digest for content in made[12:]}

    def test_a_referrer_may_have_referrers(self, api, repo):
        chain = [spec.manifest("sha256", "subject")]
        for n in range(3):
            chain.append(spec.artifact("sha256", f"link {n}", subject=chain[-1]))
        spec.push(api, chain[-1], repo).expect(201)
        for subject, referrer in zip(chain, chain[1:]):
            assert set(referrers(api, repo, subject)[0]) == {referrer.digest}

    @pytest.mark.parametrize("bad", ["nothing", "sha256:abc", "sha256:" + "g" * 64, "md5:" + "0" * 32, "sha256:",
                                     "sha256:" + "A" * 64, "sha512:" + "0" * 64])
    def test_a_digest_that_is_none_is_400(self, api, repo, bad):
        spec.push(api, spec.index("sha256", []), repo).expect(201)
        for query in ("", f"?artifactType={SBOM}"):
            assert api.get(f"/v2/{repo}/referrers/{bad}{query}").expect(400).error_codes() == ["DIGEST_INVALID"]

    def test_a_deleted_referrer_is_not_listed(self, api, repo):
        subject = spec.manifest("sha256", "subject")
        made = [spec.artifact("sha256", f"goes {n}", subject=subject) for n in range(3)]
        for content in made:
            spec.push(api, content, repo, f"tag-{content.digest[7:15]}").expect(201)
        api.delete(f"/v2/{repo}/manifests/{made[1].digest}").expect(202)
        assert set(referrers(api, repo, subject)[0]) == {made[0].digest, made[2].digest}
        spec.push(api, made[1], repo).expect(201)
        assert set(referrers(api, repo, subject)[0]) == {content.digest for content in made}

    def test_a_deleted_tag_takes_no_referrer_along(self, api, repo):
        subject = spec.manifest("sha256", "subject")
        made = spec.artifact("sha256", "stays", subject=subject)
        spec.push(api, made, repo, "tag").expect(201)
        api.delete(f"/v2/{repo}/manifests/tag").expect(202)
        assert set(referrers(api, repo, subject)[0]) == {made.digest}

    def test_a_deleted_subject_keeps_its_referrers(self, api, repo):
        subject = spec.manifest("sha256", "subject")
        made = spec.artifact("sha256", "stays", subject=subject)
        spec.push(api, made, repo).expect(201)
        api.delete(f"/v2/{repo}/manifests/{subject.digest}").expect(202)
        assert set(referrers(api, repo, subject)[0]) == {made.digest}


class TestListingReferrersFiltered:
    @pytest.fixture(scope="class")
    def mixed(self, shared):
        """(repository, subject, {artifactType: digests})."""
        api, repo, subject = spec.Strict(shared("spec").host), "spec/referrers/mixed", spec.manifest("sha256", "mixed")
        by_type = {SBOM: set(), SIGNATURE: set(), None: set()}
        for n in range(9):
            kind = list(by_type)[n % 3]
            made = (spec.artifact("sha256", f"mixed {n}", artifact_type=kind) if kind
                    else spec.index("sha256", [], annotations={"n": str(n)}))
            made = with_subject(made, subject)
            spec.push(api, made, repo).expect(201)
            by_type[kind].add(made.digest)
        return repo, subject, by_type

    @pytest.mark.parametrize("kind", [SBOM, SIGNATURE])
    @pytest.mark.parametrize("escaped", [False, True], ids=["plain", "escaped"])
    def test_only_that_type_and_the_header_says_so(self, api, mixed, kind, escaped):
        repo, subject, by_type = mixed
        asked = urllib.parse.quote(kind, safe="") if escaped else kind.replace("+", "%2B")
        found, applied = referrers(api, repo, subject, f"?artifactType={asked}")
        assert set(found) == by_type[kind] and applied == "artifactType"
        assert {entry["artifactType"] for entry in found.values()} == {kind}

    @pytest.mark.parametrize("kind", ["application/vnd.example.other", SBOM[:-1], SBOM.upper(), "application/*"])
    def test_another_type_is_an_empty_list(self, api, mixed, kind):
        found, applied = referrers(api, mixed[0], mixed[1], f"?artifactType={urllib.parse.quote(kind, safe='')}")
        assert found == {} and applied == "artifactType"

    def test_without_a_filter_all_are_there_and_no_header(self, api, mixed):
        repo, subject, by_type = mixed
        found, applied = referrers(api, repo, subject)
        assert set(found) == set().union(*by_type.values()) and applied is None

    def test_a_filter_on_no_referrers_is_applied_too(self, api, repo):
        missing = spec.manifest("sha256", "without referrers")
        assert referrers(api, repo, missing, f"?artifactType={SIGNATURE}") == ({}, "artifactType")

    def test_an_unknown_parameter_filters_nothing(self, api, mixed):
        repo, subject, by_type = mixed
        found, applied = referrers(api, repo, subject, "?annotation=x")
        assert len(found) == 9 and applied is None


class TestListingReferrersInPages:
    """A list that does not fit one manifest comes in pages, each an index, with a Link to the next."""

    @pytest.fixture(scope="class")
    def many(self, shared):
        """More descriptors than four mebibytes hold: (repository, subject, digests)."""
        api, repo, subject = spec.Strict(shared("spec").host), "spec/referrers/many", spec.manifest("sha256", "many")
        made = [with_subject(spec.artifact("sha256", f"many {n}", artifact_type=(SBOM, SIGNATURE)[n % 2], layers=[],
                                           annotations={"n": str(n), "long": "x" * 150_000}), subject)
                for n in range(MANY)]
        for content in made:
            spec.push(api, content, repo).expect(201)
        return repo, subject, made

    def test_every_referrer_comes_once_in_pages_of_bounded_size(self, api, many):
        repo, subject, made = many
        assert set(referrers(api, repo, subject)[0]) == {content.digest for content in made}
        path, pages = f"/v2/{repo}/referrers/{subject.digest}", 0
        while path:
            reply, _ = read(api, path)
            assert len(reply.body) <= spec.MANIFEST_LIMIT
            pages += 1
            path = NEXT.fullmatch(reply.headers["Link"]).group(1) if reply.headers["Link"] else None
        assert pages > 1

    def test_the_pages_keep_the_filter(self, api, many):
        repo, subject, made = many
        asked = urllib.parse.quote(SIGNATURE, safe="")
        found, applied = referrers(api, repo, subject, f"?artifactType={asked}")
        assert set(found) == {content.digest for content in made[1::2]} and applied == "artifactType"

    def test_annotations_come_whole(self, api, many):
        repo, subject, made = many
        found, _ = referrers(api, repo, subject)
        for n, content in enumerate(made):
            assert found[content.digest]["annotations"] == {"n": str(n), "long": "x" * 150_000}


    def test_links_lead_on_below_a_prefix(self, shared):
        """A Link is relative to what was asked for, wherever the registry's API begins."""
        server = shared("spec-prefix", {"http": {"prefix": "/below/"}})
        api, below, subject = Prefixed(server.host), "/below", spec.manifest("sha256", "far below")
        made = [spec.artifact("sha256", f"below {n}", layers=[], annotations={"x": f"{n:0150000}"}) for n in range(30)]
        made = [with_subject(content, subject) for content in made]
        for n, content in enumerate(made):
            spec.push(api, content, "a", f"t{n:02}").expect(201)
        assert set(referrers(api, "a", subject)[0]) == {content.digest for content in made}
        reply = api.get("/v2/a/tags/list?n=29").expect(200)
        path = NEXT.fullmatch(reply.headers["Link"]).group(1)
        assert path.startswith(below) and api.get(path).expect(200).json()["tags"] == ["t29"]


class Prefixed(spec.Strict):
    """Paths that do not begin with the prefix get it."""

    def request(self, method, path, body=None, headers=None):
        return super().request(method, path if path.startswith("/below") else "/below" + path, body, headers)


class TestReferrersTagSchema:
    """Clients that know no referrers API keep a list under a tag: it is a tag as any other."""

    @staticmethod
    def tag_of(subject):
        algorithm, encoded = subject.digest.split(":")
        return f"{algorithm[:32]}-{encoded[:64]}"

    @subject_algorithms
    def test_the_tag_can_be_pushed_pulled_and_deleted(self, api, repo, subject_algorithm):
        subject = spec.manifest(subject_algorithm, "subject")
        made = spec.artifact("sha256", "fallback", subject=subject)
        spec.push(api, made, repo).expect(201)
        fallback = spec.index("sha256", [made])
        tag = self.tag_of(subject)
        api.put_manifest(repo, tag, fallback.manifest, OCI_INDEX).expect(201)
        assert api.manifest(repo, tag).expect(200).body == fallback.manifest
        assert set(referrers(api, repo, subject)[0]) == {made.digest}, "it is listed once"
        api.delete(f"/v2/{repo}/manifests/{tag}").expect(202)
        assert set(referrers(api, repo, subject)[0]) == {made.digest}


class TestEnablingTheReferrersAPI:
    @subject_algorithms
    def test_what_a_registry_without_referrers_stored_is_listed(self, make_server, start_docker_registry, work,
                                                                subject_algorithm):
        """A docker-registry 2.8.2 took a manifest with a subject, and its client kept the fallback tag."""
        subject = spec.manifest(subject_algorithm, "subject")
        made = spec.artifact("sha256", "before", subject=dataclasses.replace(subject, blobs={}))
        fallback = spec.index("sha256", [dataclasses.replace(made, subject=None)])
        ours = make_server(root=work / "data")
        old = start_docker_registry(root=ours.root)
        spec.push(old.api, dataclasses.replace(made, subject=None), "old").expect(201)
        old.api.put_manifest("old", TestReferrersTagSchema.tag_of(subject), fallback.manifest, OCI_INDEX).expect(201)
        old.stop()
        api = spec.Strict(ours.start().host)
        assert set(referrers(api, "old", subject)[0]) == {made.digest}
        after = spec.artifact("sha256", "after", subject=subject)
        spec.push(api, dataclasses.replace(after, subject=None), "old").expect(201)
        assert set(referrers(api, "old", subject)[0]) == {made.digest, after.digest}
