# SPDX-License-Identifier: Apache-2.0
"""distribution-spec, "Error Codes" and "Endpoints": what is answered to each thing that is malformed or not there.
The form of the body is checked with every reply (lib/spec.py)."""

import pytest

from lib import images, slow, spec
from lib.client import DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, OCTETS

pytestmark = pytest.mark.ours
KEY = spec.digest(b"nobody pushed this")
BAD_NAMES = {"upper-case": "UPPER", "empty-part": "a//b", "begins-badly": "-begins", "ends-badly": "ends-",
             "two-dots": "dot..dot", "three-underscores": "a___b", "dot-first": ".a", "below-nothing": "a/_layers",
             "blank": "a%20b", "percent": "a%25b", "not-ASCII": "%C3%A9", "nul": "a%00b", "long": "x" * 256,
             "backslash": "a%5Cb", "parent": "a/%2e%2e/b"}
BAD_DIGESTS = {"unknown-algorithm": "md5:" + "0" * 32, "short": "sha256:abc", "long": "sha256:" + "0" * 65,
               "no-hex": "sha256:" + "g" * 64, "nothing-after": "sha256:", "upper-case": "sha256:" + "A" * 64,
               "short-sha512": "sha512:" + "0" * 64, "two": KEY + "," + KEY, "nothing-before": ":" + "0" * 64}
BAD_TAGS = {"dash-first": "-a", "dot-first": ".a", "long": "x" * 129, "plus": "a+b", "blank": "a%20b", "at": "a@b",
            "not-ASCII": "%C3%A9", "dollar": "a$b"}
names = pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES)
digests = pytest.mark.parametrize("bad", BAD_DIGESTS.values(), ids=BAD_DIGESTS)
tags = pytest.mark.parametrize("bad", BAD_TAGS.values(), ids=BAD_TAGS)
EMPTY_INDEX = images.encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []})


@pytest.fixture
def there(api, repo):
    """A repository that is there."""
    api.put_manifest(repo, "1", EMPTY_INDEX, OCI_INDEX).expect(201)
    return repo


class TestNameInvalid:
    @names
    @pytest.mark.parametrize("method, rest", [
        ("GET", "manifests/1"), ("HEAD", "manifests/1"), ("PUT", "manifests/1"), ("DELETE", "manifests/1"),
        ("GET", f"blobs/{KEY}"), ("HEAD", f"blobs/{KEY}"), ("DELETE", f"blobs/{KEY}"), ("POST", "blobs/uploads/"),
        ("GET", "tags/list"), ("GET", f"referrers/{KEY}"),
    ])
    def test_a_name_that_is_none_is_refused(self, api, name, method, rest):
        body = EMPTY_INDEX if method == "PUT" else b"" if method == "POST" else None
        reply = api.request(method, f"/v2/{name}/{rest}", body, {"Content-Type": OCI_INDEX} if body else {})
        reply.expect(400, 404)
        assert method == "HEAD" or set(reply.error_codes()) <= {"NAME_INVALID", "NAME_UNKNOWN", "UNKNOWN"}

    @names
    def test_a_mount_from_such_a_name_is_refused_or_an_upload(self, api, repo, name):
        reply = api.request("POST", f"/v2/{repo}/blobs/uploads/?mount={KEY}&from={name}", b"").expect(202, 400)
        assert reply.status == 202 or reply.error_codes() == ["NAME_INVALID"]


class TestDigestInvalid:
    @digests
    @pytest.mark.parametrize("method, rest", [
        ("GET", "manifests/"), ("HEAD", "manifests/"), ("PUT", "manifests/"), ("DELETE", "manifests/"),
        ("GET", "blobs/"), ("HEAD", "blobs/"), ("DELETE", "blobs/"), ("GET", "referrers/"),
    ])
    def test_in_a_path_is_400(self, api, there, bad, method, rest):
        body = EMPTY_INDEX if method == "PUT" else None
        reply = api.request(method, f"/v2/{there}/{rest}{bad}", body, {"Content-Type": OCI_INDEX} if body else {})
        reply.expect(400)
        assert method == "HEAD" or reply.error_codes() == ["DIGEST_INVALID"]

    @digests
    def test_at_the_end_of_an_upload_is_400(self, api, there, bad):
        assert spec.post_then_put(api, there, b"data", bad).expect(400).error_codes() == ["DIGEST_INVALID"]
        assert spec.in_one_post(api, there, b"data", bad).expect(400).error_codes() == ["DIGEST_INVALID"]

    @pytest.mark.parametrize("key", [spec.digest(b"x", a) for a in spec.ALGORITHMS], ids=spec.ALGORITHMS)
    def test_a_digest_in_percent_escapes_is_the_same(self, api, there, key):
        escaped = key.replace(":", "%3A")
        location = api.location(spec.post_then_put(api, there, b"x", escaped).expect(201))
        assert api.get(location).expect(200).body == b"x"
        assert api.get(f"/v2/{there}/blobs/{escaped}").expect(200).body == b"x"


class TestTags:
    @tags
    @pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
    def test_a_tag_that_is_none_is_not_there(self, api, there, bad, method):
        api.request(method, f"/v2/{there}/manifests/{bad}").expect(400, 404)

    @tags
    def test_a_tag_that_is_none_is_not_pushed(self, api, there, bad):
        reply = api.put_manifest(there, bad, EMPTY_INDEX, OCI_INDEX).expect(400, 404)
        assert set(reply.error_codes()) <= {"TAG_INVALID", "MANIFEST_INVALID", "MANIFEST_UNKNOWN"}
        assert api.tags(there) == ["1"]


class TestUploadUnknown:
    @pytest.mark.parametrize("upload", ["nothing", "12345678-1234-1234-1234-123456789abc", "x" * 300, "%2e%2e",
                                        "12345678-1234-1234-1234-123456789ABC", "00000000-0000-0000-0000-000000000000"])
    @pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
    def test_a_session_that_is_not_there_is_404(self, api, there, upload, method):
        path = f"/v2/{there}/blobs/uploads/{upload}" + (f"?digest={KEY}" if method == "PUT" else "")
        body = b"data" if method in ("PATCH", "PUT") else None
        reply = api.request(method, path, body, {"Content-Type": OCTETS} if body else {}).expect(404)
        assert reply.error_codes() == ["BLOB_UPLOAD_UNKNOWN"]

    @pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
    def test_a_session_of_another_repository_is_404(self, api, there, method):
        location = spec.begin(api, f"{there}/other")
        stranger = location.replace(f"/{there}/other/", f"/{there}/")
        body = b"data" if method in ("PATCH", "PUT") else None
        path = spec.add_digest(stranger, KEY) if method == "PUT" else stranger
        assert api.request(method, path, body).expect(404).error_codes() == ["BLOB_UPLOAD_UNKNOWN"]
        api.get(location).expect(204)


class TestManifestInvalid:
    CONFIG = {"mediaType": images.OCI_CONFIG, "digest": spec.digest(b"{}"), "size": 2}
    LAYER = {"mediaType": images.OCI_LAYER, "digest": spec.digest(b"layer"), "size": 5}
    IMAGE = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
    INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
    BROKEN = {
        "nothing": (OCI_MANIFEST, b""), "no-JSON": (OCI_MANIFEST, b"manifest"), "open": (OCI_MANIFEST, b"{"),
        "two": (OCI_INDEX, EMPTY_INDEX * 2), "list": (OCI_MANIFEST, b"[]"), "null": (OCI_MANIFEST, b"null"),
        "text": (OCI_MANIFEST, b'"{}"'), "NUL-behind": (OCI_INDEX, EMPTY_INDEX + b"\0"),
        "zeros": (OCI_INDEX, b"\0" * 99),
        "empty-object": (OCI_MANIFEST, b"{}"), "not-UTF-8": (OCI_INDEX, EMPTY_INDEX.replace(b"2", b'2,"x":"\xff"')),
        "deep": (OCI_INDEX, b'{"schemaVersion":2,"x":' + b"[" * 100_000 + b"]" * 100_000 + b',"manifests":[]}'),
    }
    WRONG = {
        "version-1": IMAGE | {"schemaVersion": 1}, "version-3": IMAGE | {"schemaVersion": 3},
        "version-text": IMAGE | {"schemaVersion": "2"}, "no-version": {"mediaType": OCI_INDEX, "manifests": []},
        "no-config": {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []},
        "config-null": IMAGE | {"config": None}, "config-text": IMAGE | {"config": "x"},
        "config-list": IMAGE | {"config": [CONFIG]}, "layers-object": IMAGE | {"layers": {}},
        "layers-of-text": IMAGE | {"layers": ["x"]}, "manifests-object": INDEX | {"manifests": {}},
        "no-manifests": {"schemaVersion": 2, "mediaType": OCI_INDEX},
        "both": IMAGE | {"manifests": []}, "index-with-config": INDEX | {"config": CONFIG},
        "no-digest": IMAGE | {"config": {"mediaType": images.OCI_CONFIG, "size": 2}},
        "bad-digest": IMAGE | {"config": CONFIG | {"digest": "sha256:abc"}},
        "digest-number": IMAGE | {"config": CONFIG | {"digest": 5}},
        "md5-digest": IMAGE | {"layers": [LAYER | {"digest": "md5:" + "0" * 32}]},
        "bad-child": INDEX | {"manifests": [{"mediaType": OCI_MANIFEST, "digest": "nothing", "size": 1}]},
        "no-size": IMAGE | {"layers": [{"mediaType": images.OCI_LAYER, "digest": spec.digest(b"layer")}]},
        "size-negative": IMAGE | {"layers": [LAYER | {"size": -1}]},
        "size-text": IMAGE | {"layers": [LAYER | {"size": "5"}]},
        "size-half": IMAGE | {"layers": [LAYER | {"size": 5.5}]},
        "size-wrong": IMAGE | {"layers": [LAYER | {"size": 6}]},
        "annotations-list": IMAGE | {"annotations": []}, "annotation-number": IMAGE | {"annotations": {"a": 1}},
        "subject-text": IMAGE | {"subject": KEY}, "subject-without-digest": IMAGE | {"subject": {"size": 2}},
        "artifact-type-number": IMAGE | {"artifactType": 5}, "media-type-number": IMAGE | {"mediaType": 5},
    }

    @pytest.fixture
    def filled(self, api, repo):
        api.push_blob(repo, b"{}")
        api.push_blob(repo, b"layer")
        return repo

    def assert_refused(self, api, repo, body, media_type):
        for reference in ("1", spec.digest(body), spec.digest(body, "sha512")):
            reply = api.put_manifest(repo, reference, body, media_type).expect(400)
            assert reply.error_codes() == ["MANIFEST_INVALID"]
            api.manifest(repo, reference).expect(404)

    @pytest.mark.parametrize("broken", BROKEN)
    def test_what_is_no_manifest_is_400(self, api, filled, broken):
        media_type, body = self.BROKEN[broken]
        self.assert_refused(api, filled, body, media_type)

    @pytest.mark.parametrize("wrong", WRONG)
    def test_what_breaks_the_image_specification_is_400(self, api, filled, wrong):
        document = self.WRONG[wrong]
        is_index = document.get("mediaType") == OCI_INDEX
        self.assert_refused(api, filled, images.encoded(document), OCI_INDEX if is_index else OCI_MANIFEST)

    def test_these_would_be_accepted_without_their_fault(self, api, filled):
        for document in (self.IMAGE, self.INDEX):
            api.put_manifest(filled, "1", images.encoded(document), document["mediaType"]).expect(201)

    @pytest.mark.parametrize("told", [OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST])
    def test_a_content_type_that_contradicts_the_media_type_is_400(self, api, filled, told):
        """ "If a manifest includes a mediaType field, clients MUST set the Content-Type header to" it."""
        self.assert_refused(api, filled, images.encoded(self.IMAGE), told)

    @pytest.mark.parametrize("told", ["text/plain", OCTETS, "application/vnd.example.manifest+json", "nonsense"])
    def test_a_content_type_that_is_no_manifests_is_400(self, api, filled, told):
        self.assert_refused(api, filled, images.encoded(self.IMAGE), told)

    def test_docker_schema_1_is_refused(self, api, filled):
        body = images.encoded({"schemaVersion": 1, "name": filled, "tag": "1", "fsLayers": [], "history": []})
        for media_type in ("application/vnd.docker.distribution.manifest.v1+json",
                           "application/vnd.docker.distribution.manifest.v1+prettyjws", "application/json"):
            assert api.put_manifest(filled, "1", body, media_type).expect(400).error_codes() == ["MANIFEST_INVALID"]


class TestSizeInvalid:
    def test_a_body_that_ends_early_is_not_taken_for_the_whole(self, api, repo):
        """ "provided length did not match content length": the session keeps what came."""
        location = spec.begin(api, repo)
        push = slow.SlowPush(api.host, "PATCH", location, 1000)
        push.send(b"x" * 400)
        push.break_off()
        push = slow.SlowPush(api.host, "PUT", spec.add_digest(location, spec.digest(b"x" * 400)), 1000)
        push.send(b"x" * 400)
        push.break_off()
        assert not api.has_blob(repo, spec.digest(b"x" * 400))

    @pytest.mark.parametrize("field", ["0-8", "0-10", "5-9"])
    def test_a_length_that_contradicts_the_range_is_400_or_416(self, api, repo, field):
        location = spec.begin(api, repo)
        reply = spec.patch(api, location, b"0123456789", field).expect(400, 416)
        assert set(reply.error_codes()) <= {"SIZE_INVALID", "RANGE_INVALID", "BLOB_UPLOAD_INVALID"}


class TestUnsupported:
    @pytest.mark.parametrize("method, rest", [
        ("POST", "manifests/1"), ("PATCH", "manifests/1"), ("PUT", f"blobs/{KEY}"), ("POST", f"blobs/{KEY}"),
        ("PATCH", f"blobs/{KEY}"), ("PUT", "tags/list"), ("DELETE", "tags/list"), ("POST", "tags/list"),
        ("PUT", "blobs/uploads/"), ("DELETE", "blobs/uploads/"), ("DELETE", f"referrers/{KEY}"),
        ("PUT", f"referrers/{KEY}"), ("POST", f"referrers/{KEY}"),
    ])
    def test_a_method_that_the_path_does_not_have_is_405(self, api, there, method, rest):
        reply = api.request(method, f"/v2/{there}/{rest}", b"" if method != "DELETE" else None).expect(405)
        assert reply.error_codes() == ["UNSUPPORTED"] and reply.headers["Allow"]

    @pytest.mark.parametrize("path", ["/v3/", "/v2/x", "/v2/x/manifests", "/v2/x/manifests/", "/v2/x/blobs/",
                                      "/v2/x/tags", "/v2/x/tags/", "/v2/x/tags/list/", "/v2/x/referrers/", "/x",
                                      "/v1/"])
    def test_a_path_that_is_none_is_404(self, api, path):
        api.get(path).expect(404)


class TestReadOnly:
    """registry:2's storage.maintenance.readonly: nothing is written, everything is read."""

    @pytest.mark.parametrize("method, rest", [
        ("PUT", "manifests/1"), ("DELETE", "manifests/1"), ("DELETE", f"blobs/{KEY}"), ("POST", "blobs/uploads/"),
        ("POST", f"blobs/uploads/?mount={KEY}"), ("POST", f"blobs/uploads/?digest={KEY}"),
        ("PATCH", "blobs/uploads/12345678-1234-1234-1234-123456789abc"),
        ("PUT", f"blobs/uploads/12345678-1234-1234-1234-123456789abc?digest={KEY}"),
        ("DELETE", "blobs/uploads/12345678-1234-1234-1234-123456789abc"),
    ])
    def test_every_write_is_405(self, shared, method, rest):
        server = shared("spec-readonly", {"storage": {"maintenance": {"readonly": {"enabled": True}}}})
        reply = spec.Strict(server.host).request(method, f"/v2/x/{rest}", EMPTY_INDEX if method != "DELETE" else None,
                                                 {"Content-Type": OCI_INDEX})
        assert reply.expect(405).error_codes() == ["UNSUPPORTED"]
