# SPDX-License-Identifier: Apache-2.0
"""image-spec, as far as a registry has to do with it: it keeps what it does not understand, and knows what is needed.
Each class is a section, each test a requirement of it."""

import base64
import dataclasses
import json

import pytest

from lib import images, spec
from lib.client import OCI_INDEX, OCI_MANIFEST

pytestmark = pytest.mark.ours
algorithms = pytest.mark.parametrize("algorithm", spec.ALGORITHMS)


def changed(content, **members):
    return dataclasses.replace(content, manifest=images.encoded(json.loads(content.manifest) | members))


def assert_kept(api, repo, content):
    spec.push(api, content, repo).expect(201)
    assert api.manifest(repo, content.digest).expect(200).body == content.manifest


class TestDescriptor:
    @algorithms
    @pytest.mark.parametrize("member", [
        {"annotations": {"a": "b"}}, {"annotations": {}}, {"artifactType": "application/vnd.example.x"},
        {"urls": []}, {"urls": ["https://mirror.example.org/x"]},
        {"platform": {"os": "linux", "architecture": "arm64"}}, {"unknown": {"deep": [1, {"er": None}]}}, {"data": ""},
    ], ids=lambda member: next(iter(member)))
    def test_optional_members_are_kept(self, api, repo, algorithm, member):
        """Of the config, of layers, of an index's entries, of the subject; what is unknown MUST NOT be an error."""
        made = spec.manifest(algorithm, "members")
        document = json.loads(made.manifest)
        parts = {"config": document["config"] | member, "layers": [part | member for part in document["layers"]],
                 "subject": made.descriptor() | member}
        assert_kept(api, repo, changed(made, **parts))
        assert_kept(api, repo, changed(spec.index(algorithm, [made]), manifests=[made.descriptor() | member]))

    @algorithms
    def test_data_carries_the_content_along(self, api, repo, algorithm):
        content = b'{"a": "\xc3\xa9"}'
        made = spec.manifest(algorithm, "data", config=content)
        document = json.loads(made.manifest)
        document["config"]["data"] = base64.b64encode(content).decode()
        assert_kept(api, repo, changed(made, **document))

    @algorithms
    @pytest.mark.parametrize("media_type", ["application/vnd.example+json", "text/plain", "x/y",
                                            "application/octet-stream", "application/vnd.cncf.helm.config.v1+json",
                                            "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"])
    def test_unknown_media_types_are_no_error(self, api, repo, algorithm, media_type):
        assert_kept(api, repo, spec.manifest(algorithm, media_type, types=(media_type, media_type)))

    @algorithms
    def test_a_reference_may_have_either_algorithm(self, api, repo, algorithm):
        for other in spec.ALGORITHMS:
            assert_kept(api, repo, spec.manifest(algorithm, f"of {other}", layer_algorithm=other))
            assert_kept(api, repo, spec.index(algorithm, [spec.manifest(other, f"child {other}")]))


class TestImageManifest:
    @algorithms
    def test_media_type_may_be_missing(self, api, repo, algorithm):
        """ "This property SHOULD be used": it is not required."""
        assert_kept(api, repo, spec.KINDS["image-without-media-type"](algorithm, "bare"))

    @pytest.mark.parametrize("count", [0, 1, 127, 1000])
    def test_any_number_of_layers(self, api, repo, count):
        """None, one, more than an engine mounts."""
        content = spec.manifest("sha256", "layers", layers=[b"same"] * count)
        assert_kept(api, repo, content)

    @algorithms
    def test_layers_may_be_foreign(self, api, repo, algorithm):
        """Non-distributable layers SHOULD NOT be uploaded: their manifest is taken without them."""
        content = spec.KINDS["image-of-foreign-layers"](algorithm, "foreign")
        assert_kept(api, repo, content)
        foreign = json.loads(content.manifest)["layers"][-1]["digest"]
        api.get(f"/v2/{repo}/blobs/{foreign}").expect(404)

    @algorithms
    @pytest.mark.parametrize("urls", [None, [], ["https://layers.example.org/far"]], ids=["no-urls", "empty", "urls"])
    @pytest.mark.parametrize("suffix", ["", "+gzip", "+zstd"])
    def test_urls_do_not_decide_what_is_foreign(self, api, repo, algorithm, urls, suffix):
        """ "The presence of the urls field SHOULD NOT be used to determine whether or not a layer is" one."""
        far = spec.descriptor(f"application/vnd.oci.image.layer.nondistributable.v1.tar{suffix}", b"far", algorithm,
                              **({} if urls is None else {"urls": urls}))
        assert_kept(api, repo, spec.manifest(algorithm, "far", more_layers=[far]))

    @algorithms
    def test_urls_do_not_make_a_layer_foreign(self, api, repo, algorithm):
        """Without the media type it has to be there, wherever else it is to be had."""
        far = spec.descriptor(images.OCI_LAYER, b"far", algorithm, urls=["https://layers.example.org/far"])
        reply = spec.push(api, spec.manifest(algorithm, "near", more_layers=[far]), repo).expect(400, 404)
        assert set(reply.error_codes()) == {"MANIFEST_BLOB_UNKNOWN"}

    @algorithms
    def test_annotations_are_any_text(self, api, repo, algorithm):
        texts = {"": "", "org.opencontainers.image.title": "t", "é\"\\/": "\u0001\u001f\u2028\U0001f600",
                 "k": "x" * 9999}
        assert_kept(api, repo, spec.manifest(algorithm, "texts", annotations=texts))

    @algorithms
    def test_unknown_members_are_no_error(self, api, repo, algorithm):
        assert_kept(api, repo, spec.KINDS["image-with-custom-members"](algorithm, "custom"))


class TestGuidelinesForArtifactUsage:
    @algorithms
    @pytest.mark.parametrize("layers", [[], [images.EMPTY], [b"content"], [b"a", b"b", b""]],
                             ids=["none", "the-empty", "one", "several"])
    @pytest.mark.parametrize("artifact_type", ["application/vnd.example.thing", None], ids=["type", "no-type"])
    def test_artifacts_of_every_form(self, api, repo, algorithm, layers, artifact_type):
        content = spec.artifact(algorithm, "forms", layers=layers, artifact_type=artifact_type)
        assert_kept(api, repo, content)
        assert api.verify(repo, content.digest) == content.digest

    @algorithms
    def test_a_config_of_its_own(self, api, repo, algorithm):
        assert_kept(api, repo, spec.manifest(algorithm, "own", config=b"any bytes", artifactType="application/x.y",
                                             types=("application/vnd.example.config", "application/vnd.example.layer")))


class TestImageIndex:
    @algorithms
    def test_manifests_may_be_empty(self, api, repo, algorithm):
        """ "This property MUST be present, but the size of the array MAY be zero"."""
        assert_kept(api, repo, spec.index(algorithm, []))

    @algorithms
    @pytest.mark.parametrize("depth", [1, 2, 5])
    def test_an_index_of_indexes(self, api, repo, algorithm, depth):
        content = spec.manifest(algorithm, "deep")
        for _ in range(depth):
            content = spec.index(algorithm, [content])
        assert_kept(api, repo, content)
        assert api.verify(repo, content.digest) == content.digest

    @pytest.mark.parametrize("platform", [
        {"architecture": "amd64", "os": "linux"}, {"architecture": "arm", "os": "linux", "variant": "v7"}, {},
        {"architecture": "unknown", "os": "unknown"}, {"os": "windows", "architecture": "amd64",
                                                      "os.version": "10.0", "os.features": ["win32k"], "features": []},
    ], ids=["plain", "variant", "empty", "unknown", "windows"])
    def test_platforms_are_kept(self, api, repo, platform):
        child = spec.manifest("sha256", "platform")
        assert_kept(api, repo, changed(spec.index("sha256", [child]), manifests=[child.descriptor(platform=platform)]))

    @pytest.mark.parametrize("count", [2, 300])
    def test_an_index_may_name_one_manifest_several_times(self, api, repo, count):
        assert_kept(api, repo, spec.index("sha256", [spec.manifest("sha256", "same")] * count))

    @algorithms
    def test_entries_may_be_of_other_types_than_manifests(self, api, repo, algorithm):
        """ "Implementations MUST NOT error on an unknown mediaType": a cache of BuildKit is an index of layers."""
        parts = {media_type: f"cache {media_type}".encode()
                 for media_type in (images.OCI_LAYER, "application/vnd.buildkit.cacheconfig.v0")}
        entries = [spec.descriptor(media_type, data, algorithm) for media_type, data in parts.items()]
        content = changed(spec.index(algorithm, []), manifests=entries)
        for data in parts.values():
            api.push_blob(repo, data, spec.digest(data, algorithm))
        assert_kept(api, repo, content)

    @algorithms
    def test_an_entry_of_an_unknown_type_must_be_there_all_the_same(self, api, repo, algorithm):
        entry = spec.descriptor("application/vnd.example.thing", b"nobody pushed this", algorithm)
        content = changed(spec.index(algorithm, []), manifests=[entry])
        assert set(spec.push(api, content, repo).expect(400, 404).error_codes()) == {"MANIFEST_BLOB_UNKNOWN"}

    @algorithms
    def test_an_index_may_be_an_artifact(self, api, repo, algorithm):
        subject = spec.manifest(algorithm, "subject")
        assert_kept(api, repo, spec.index(algorithm, [], artifactType="application/vnd.example.bundle",
                                          subject=subject.descriptor(), annotations={"a": "b"}))


class TestMediaTypes:
    @pytest.mark.parametrize("content", [spec.manifest("sha256", "typed"), spec.index("sha256", [])],
                             ids=[OCI_MANIFEST, OCI_INDEX])
    @pytest.mark.parametrize("told", [None, "application/json", ""], ids=["none", "json", "empty"])
    def test_the_media_type_says_what_it_is_when_the_client_does_not(self, api, repo, content, told):
        """ "Clients SHOULD set the Content-Type": without one the document's own type counts."""
        for key, data in content.blobs.items():
            api.push_blob(repo, data, key)
        headers = {} if told is None else {"Content-Type": told}
        api.request("PUT", f"/v2/{repo}/manifests/1", content.manifest, headers).expect(201)
        assert api.manifest(repo, "1").headers["Content-Type"] == content.media_type
