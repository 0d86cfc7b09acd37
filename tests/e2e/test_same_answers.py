# SPDX-License-Identifier: Apache-2.0
"""Every route and common mistake, asked of Roadstead and of docker-registry: the same status and headers, but for the
differences that stand in DIFFERENT below and in docs/API.md."""

import contextlib
import json
import pathlib
import re
import types

import pytest

from lib import images, server as servers
from lib.client import sha256

pytestmark = pytest.mark.ours

API_PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/API.md"
HELLO, ABSENT = sha256(b"hello"), sha256(b"nobody has it")
NO_UPLOAD = "00000000-0000-4000-8000-000000000000"
MADE = images.image("same answers")
DOCKER = images.image("same answers of docker", docker=True)
OCI_TYPE = {"Content-Type": MADE.media_type}
ACCEPT = {"Accept": MADE.media_type}
OCTETS = {"Content-Type": "application/octet-stream"}
HEADERS = {"X-Content-Type-Options": ["nosniff"], "Access-Control-Allow-Origin": ["*"], "X-Two": ["one", "two"],
           "Cache-Control": ["no-transform"], "Content-Type": ["text/unheard-of"]}

BLOB = f"/v2/app/blobs/{HELLO}"
BY_TAG, BY_DIGEST = "/v2/app/manifests/1", f"/v2/app/manifests/{MADE.digest}"
UPLOADS = "/v2/app/blobs/uploads/"


def etag(digest):
    return {"If-None-Match": f'"{digest}"'}


# name: (method, path, headers, body). {repo} is a repository of the case's own, filled like "app"; {upload} the path
# and query of an upload just begun there, {begun} of one that holds "hel" already.
CASES = {
    "root": ("GET", "/", {}, None),
    "base": ("GET", "/v2/", {}, None),
    "base, HEAD": ("HEAD", "/v2/", {}, None),
    "base without slash": ("GET", "/v2", {}, None),
    "base, POST": ("POST", "/v2/", {}, b""),
    "base, OPTIONS": ("OPTIONS", "/v2/", {}, None),
    "unknown path": ("GET", "/v2/nope", {}, None),
    "unknown path outside": ("GET", "/nope", {}, None),
    "two slashes": ("GET", "/v2/app//tags/list", {}, None),
    "invalid name": ("GET", "/v2/A/tags/list", {}, None),

    "blob": ("GET", BLOB, {}, None),
    "blob, HEAD": ("HEAD", BLOB, {}, None),
    "blob, OPTIONS": ("OPTIONS", BLOB, {}, None),
    "blob, its etag": ("GET", BLOB, etag(HELLO), None),
    "blob, HEAD with its etag": ("HEAD", BLOB, etag(HELLO), None),
    "blob, its etag without quotes": ("GET", BLOB, {"If-None-Match": HELLO}, None),
    "blob, any etag": ("GET", BLOB, {"If-None-Match": "*"}, None),
    "blob, several etags": ("GET", BLOB, {"If-None-Match": f'"x", "{HELLO}"'}, None),
    "blob, another etag": ("GET", BLOB, etag("x"), None),
    "blob, range": ("GET", BLOB, {"Range": "bytes=1-2"}, None),
    "blob, open range": ("GET", BLOB, {"Range": "bytes=3-"}, None),
    "blob, long range": ("GET", BLOB, {"Range": "bytes=3-99"}, None),
    "blob, last bytes": ("GET", BLOB, {"Range": "bytes=-2"}, None),
    "blob, range beyond": ("GET", BLOB, {"Range": "bytes=9-"}, None),
    "blob, several ranges": ("GET", BLOB, {"Range": "bytes=0-0,2-3"}, None),
    "blob, broken range": ("GET", BLOB, {"Range": "junk"}, None),
    "blob, HEAD with range": ("HEAD", BLOB, {"Range": "bytes=1-2"}, None),
    "blob, range if its etag": ("GET", BLOB, {"Range": "bytes=1-2", "If-Range": f'"{HELLO}"'}, None),
    "blob, range if another etag": ("GET", BLOB, {"Range": "bytes=1-2", "If-Range": '"x"'}, None),
    "absent blob": ("GET", f"/v2/app/blobs/{ABSENT}", {}, None),
    "absent blob, HEAD": ("HEAD", f"/v2/app/blobs/{ABSENT}", {}, None),
    "malformed digest of a blob": ("GET", "/v2/app/blobs/sha256:12", {}, None),
    "blob of an absent repository": ("GET", f"/v2/none/blobs/{HELLO}", {}, None),
    "blob, PUT": ("PUT", BLOB, {}, b""),
    "blob, PATCH": ("PATCH", BLOB, {}, b""),
    "blob, DELETE": ("DELETE", f"/v2/{{repo}}/blobs/{HELLO}", {}, None),
    "absent blob, DELETE": ("DELETE", f"/v2/app/blobs/{ABSENT}", {}, None),
    "malformed digest of a blob, DELETE": ("DELETE", "/v2/app/blobs/sha256:12", {}, None),

    "manifest by tag": ("GET", BY_TAG, ACCEPT, None),
    "manifest by tag, HEAD": ("HEAD", BY_TAG, ACCEPT, None),
    "manifest by digest": ("GET", BY_DIGEST, ACCEPT, None),
    "manifest by digest, HEAD": ("HEAD", BY_DIGEST, ACCEPT, None),
    "manifest, OPTIONS": ("OPTIONS", BY_TAG, {}, None),
    "Docker's manifest": ("GET", "/v2/app/manifests/docker", {"Accept": DOCKER.media_type}, None),
    "OCI manifest by tag without Accept": ("GET", BY_TAG, {}, None),
    "OCI manifest by digest without Accept": ("GET", BY_DIGEST, {}, None),
    "manifest by tag, its etag": ("GET", BY_TAG, {**ACCEPT, **etag(MADE.digest)}, None),
    "manifest by tag, its etag without quotes": ("GET", BY_TAG, {**ACCEPT, "If-None-Match": MADE.digest}, None),
    "manifest by tag, HEAD with its etag": ("HEAD", BY_TAG, {**ACCEPT, **etag(MADE.digest)}, None),
    "manifest by digest, its etag": ("GET", BY_DIGEST, {**ACCEPT, **etag(MADE.digest)}, None),
    "manifest by tag, another etag": ("GET", BY_TAG, {**ACCEPT, **etag("x")}, None),
    "absent tag": ("GET", "/v2/app/manifests/none", ACCEPT, None),
    "absent tag, HEAD": ("HEAD", "/v2/app/manifests/none", ACCEPT, None),
    "tag of an absent repository": ("GET", "/v2/none/manifests/1", ACCEPT, None),
    "absent manifest": ("GET", f"/v2/app/manifests/{ABSENT}", ACCEPT, None),
    "malformed digest of a manifest": ("GET", "/v2/app/manifests/sha256:12", ACCEPT, None),
    "manifest, POST": ("POST", BY_TAG, {}, b""),
    "manifest, PATCH": ("PATCH", BY_TAG, {}, b""),
    "manifest, PUT by tag": ("PUT", "/v2/{repo}/manifests/2", OCI_TYPE, MADE.manifest),
    "manifest, PUT by digest": ("PUT", f"/v2/{{repo}}/manifests/{MADE.digest}", OCI_TYPE, MADE.manifest),
    "manifest, PUT by another digest": ("PUT", f"/v2/app/manifests/{ABSENT}", OCI_TYPE, MADE.manifest),
    "manifest, PUT of broken JSON": ("PUT", "/v2/app/manifests/3", OCI_TYPE, b"{"),
    "manifest, PUT of nothing": ("PUT", "/v2/app/manifests/3", OCI_TYPE, b""),
    "manifest, PUT as text": ("PUT", "/v2/app/manifests/3", {"Content-Type": "text/plain"}, MADE.manifest),
    "manifest, PUT without its blobs": ("PUT", "/v2/lacks/manifests/3", OCI_TYPE, MADE.manifest),
    "manifest, DELETE": ("DELETE", f"/v2/{{repo}}/manifests/{MADE.digest}", {}, None),
    "absent manifest, DELETE": ("DELETE", f"/v2/app/manifests/{ABSENT}", {}, None),
    "manifest of an absent repository, DELETE": ("DELETE", f"/v2/none/manifests/{ABSENT}", {}, None),
    "malformed digest of a manifest, DELETE": ("DELETE", "/v2/app/manifests/sha256:12", {}, None),
    "tag, DELETE": ("DELETE", "/v2/{repo}/manifests/1", {}, None),

    "tags": ("GET", "/v2/{repo}/tags/list", {}, None),
    "tags, HEAD": ("HEAD", "/v2/app/tags/list", {}, None),
    "tags, POST": ("POST", "/v2/app/tags/list", {}, b""),
    "tags, DELETE": ("DELETE", "/v2/app/tags/list", {}, None),
    "tags, OPTIONS": ("OPTIONS", "/v2/app/tags/list", {}, None),
    "tags of an absent repository": ("GET", "/v2/none/tags/list", {}, None),
    "catalog": ("GET", "/v2/_catalog?n=1", {}, None),
    "catalog, nothing": ("GET", "/v2/_catalog?n=0", {}, None),
    "catalog, too much": ("GET", "/v2/_catalog?n=2000", {}, None),
    "catalog, no number": ("GET", "/v2/_catalog?n=x", {}, None),
    "catalog, less than nothing": ("GET", "/v2/_catalog?n=-1", {}, None),
    "catalog, HEAD": ("HEAD", "/v2/_catalog", {}, None),
    "catalog, POST": ("POST", "/v2/_catalog", {}, b""),

    "upload, begun": ("POST", UPLOADS, {}, b""),
    "upload, begun without slash": ("POST", UPLOADS[:-1], {}, b""),
    "mount": ("POST", f"/v2/{{repo}}x/blobs/uploads/?mount={HELLO}&from=app", {}, b""),
    "mount of what is there": ("POST", f"{UPLOADS}?mount={HELLO}&from=app", {}, b""),
    "mount of what is absent": ("POST", f"/v2/{{repo}}/blobs/uploads/?mount={ABSENT}&from=app", {}, b""),
    "mount of a malformed digest": ("POST", f"{UPLOADS}?mount=sha256:12&from=app", {}, b""),
    "mount from an invalid name": ("POST", f"{UPLOADS}?mount={HELLO}&from=A%20B", {}, b""),
    "uploads, GET": ("GET", UPLOADS, {}, None),
    "uploads, OPTIONS": ("OPTIONS", UPLOADS, {}, None),
    "upload, status": ("GET", "{upload}", {}, None),
    "upload, status by HEAD": ("HEAD", "{upload}", {}, None),
    "upload, status of a part": ("GET", "{begun}", {}, None),
    "upload, PATCH": ("PATCH", "{upload}", OCTETS, b"hel"),
    "upload, PATCH more": ("PATCH", "{begun}", OCTETS, b"lo"),
    "upload, PATCH with its range": ("PATCH", "{begun}", {**OCTETS, "Content-Range": "3-4"}, b"lo"),
    "upload, PATCH out of order": ("PATCH", "{begun}", {**OCTETS, "Content-Range": "5-6"}, b"lo"),
    "upload, PATCH as text": ("PATCH", "{upload}", {"Content-Type": "text/plain"}, b"hel"),
    "upload, PUT": ("PUT", f"{{upload}}&digest={HELLO}", OCTETS, b"hello"),
    "upload, PUT of the rest": ("PUT", f"{{begun}}&digest={HELLO}", OCTETS, b"lo"),
    "upload, PUT of other bytes": ("PUT", f"{{upload}}&digest={HELLO}", OCTETS, b"HELLO"),
    "upload, PUT without digest": ("PUT", "{upload}", OCTETS, b"hello"),
    "upload, PUT with a malformed digest": ("PUT", "{upload}&digest=sha256:12", OCTETS, b"hello"),
    "upload, DELETE": ("DELETE", "{upload}", {}, None),
    "upload, POST": ("POST", "{upload}", {}, b""),
    "absent upload": ("GET", UPLOADS + NO_UPLOAD, {}, None),
    "absent upload, PATCH": ("PATCH", UPLOADS + NO_UPLOAD, OCTETS, b"x"),
    "absent upload, PUT": ("PUT", f"{UPLOADS}{NO_UPLOAD}?digest={HELLO}", OCTETS, b"x"),
    "absent upload, DELETE": ("DELETE", UPLOADS + NO_UPLOAD, {}, None),
    "no UUID": ("GET", UPLOADS + "nouuid", {}, None),
}

# name: (row of docs/API.md, status here, there, what else differs). Of errors the codes and the headers are compared.
UNKNOWN_PATH = ("unknown path", 404, 404, "codes")
METHOD = ("method that a path does not know", 405, 405, "codes")
ABSENT_UPLOAD = ("upload that is not there", 404, 404, "codes")
NOT_MODIFIED = ("304 of a manifest", 304, 304, "docker-content-digest etag")
NO_NUMBER = ("`n` that is no number", 400, 200, "codes")
OCI_ALONE = "codes docker-content-digest etag"
DIFFERENT = {
    "root": ("`/`", 200, 200, "docker-distribution-api-version"),
    "base without slash": ("`/v2`", 301, 301, "body content-length content-type"),
    "base, POST": ("`/v2/` by POST, PUT, DELETE", 405, 200, "allow codes"),
    "base, OPTIONS": ("OPTIONS", 200, 200, "allow body content-length content-type"),
    "unknown path": UNKNOWN_PATH,
    "unknown path outside": UNKNOWN_PATH,
    "two slashes": ("path with empty parts", 400, 301, "codes location"),
    "invalid name": ("invalid repository name", 400, 404, "codes"),
    "blob, its etag without quotes": ("`If-None-Match` of a blob, without quotes", 304, 200,
                                      "accept-ranges body content-length content-type"),
    "blob, range beyond": ("range outside of a blob", 416, 416, "accept-ranges cache-control codes docker-content-digest etag"),
    "blob, several ranges": ("several ranges", 200, 206, "body content-length content-type"),
    "blob, broken range": ("broken range", 200, 416, "accept-ranges codes"),
    "blob, HEAD with range": ("HEAD of a blob with `Range`", 200, 206, "content-length content-range"),
    "blob, PUT": METHOD,
    "blob, PATCH": METHOD,
    "OCI manifest by tag without Accept": ("manifest by tag without `Accept`, or with `*/*`", 200, 404, OCI_ALONE),
    "OCI manifest by digest without Accept": ("OCI manifest by digest, `Accept` without its type", 200, 404, OCI_ALONE),
    "manifest by tag, its etag": NOT_MODIFIED,
    "manifest by tag, its etag without quotes": NOT_MODIFIED,
    "manifest by tag, HEAD with its etag": NOT_MODIFIED,
    "manifest by digest, its etag": NOT_MODIFIED,
    "malformed digest of a manifest": ("malformed digest of a manifest", 400, 500, "codes"),
    "manifest, POST": METHOD,
    "manifest, PATCH": METHOD,
    "manifest, PUT without its blobs": ("manifest that names a blob which is not there", 404, 400, "codes"),
    "tag, DELETE": ("DELETE of a tag", 202, 400, "codes"),
    "tags, HEAD": ("HEAD of lists", 200, 405, "allow codes"),
    "tags, POST": (*METHOD[:3], "allow codes"),
    "tags, DELETE": (*METHOD[:3], "allow codes"),
    "tags, OPTIONS": ("OPTIONS", 200, 200, "allow"),
    "catalog, no number": NO_NUMBER,
    "catalog, less than nothing": NO_NUMBER,
    "catalog, HEAD": ("HEAD of lists", 200, 405, "allow codes"),
    "catalog, POST": (*METHOD[:3], "allow codes"),
    "upload, begun without slash": ("`POST …/blobs/uploads` without the last slash", 202, 301,
                                    "docker-upload-uuid location range"),
    "mount of a malformed digest": ("mount of a malformed digest", 400, 202, "codes docker-upload-uuid location range"),
    "uploads, GET": ("`…/blobs/uploads/` by another method than POST", 405, 404, "allow codes"),
    "uploads, OPTIONS": ("OPTIONS", 200, 200, "allow"),
    "upload, PATCH out of order": ("chunk out of order", 416, 202, "codes range"),
    "upload, PATCH as text": ("PATCH of an upload with another `Content-Type`", 202, 500, "codes docker-upload-uuid location range"),
    "upload, POST": ("`…/blobs/uploads/<uuid>` by POST", 405, 202, "allow codes docker-upload-uuid location range"),
    "absent upload": ABSENT_UPLOAD,
    "absent upload, PATCH": ABSENT_UPLOAD,
    "absent upload, PUT": ABSENT_UPLOAD,
    "absent upload, DELETE": ABSENT_UPLOAD,
    "no UUID": ABSENT_UPLOAD,
}
# Headers that are not compared: of every answer, and of errors, whose bodies differ in their words.
NEVER = {"date", "x-request-id"}
NOT_OF_ERRORS = {"content-length", "content-type"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Roadstead and docker-registry, each on a directory of its own with the same in it."""
    work = tmp_path_factory.mktemp("same")
    made = [make(work, root=work / name, config={"http": {"headers": HEADERS}})
            for make, name in ((servers.roadstead, "ours"), (servers.docker_registry, "theirs"))]
    with contextlib.ExitStack() as ends:
        for server in made:
            ends.callback(server.stop)
            server.start()
            fill(server.api, "app")
        yield made


def fill(api, repo):
    api.push(MADE, repo, "1")
    api.push(DOCKER, repo, "docker") if repo == "app" else None
    api.push_blob(repo, b"hello")


def begin(api, repo, data=b""):
    location = api.begin_upload(repo)
    return api.location(api.patch(location, data).expect(202)) if data else location


def ask(server, name):
    method, path, headers, body = CASES[name]
    repo = "case/" + re.sub("[^a-z]+", "-", name.lower()).strip("-")
    if "{repo}" in path:
        fill(server.api, repo)
    path = path.replace("{repo}", repo)
    for word, data in (("{upload}", b""), ("{begun}", b"hel")):
        if word in path:
            path = path.replace(word, begin(server.api, repo, data))
    connection = server.api.connect()
    connection.request(method, path, body=body, headers=headers)
    answer = connection.getresponse()
    found = types.SimpleNamespace(status=answer.status, headers=answer.headers, body=read(answer))
    connection.close()
    return found


def read(answer):
    try:
        return answer.read()
    except servers.http.client.IncompleteRead as error:  # docker-registry's 416 announces bytes that do not come
        return error.partial


def codes(answer):
    """Codes of an error as JSON; "text" of another one, also of one that HEAD does not show."""
    if answer.status < 400:
        return None
    if not answer.headers["Content-Type"].startswith("application/json"):
        return "text"
    return [e["code"] for e in json.loads(answer.body)["errors"]] if answer.body else "json"


def plain(server, value):
    """Without what differs from server to server and from upload to upload."""
    value = re.sub("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", value)
    return re.sub("_state=[^&]*", "_state=S", value.replace(server.host, "HOST"))


def summary(server, answer, is_error):
    """{field: value} of all that is compared; the headers' names in lower case. is_error: one of the two is."""
    fields = {}
    for key in {key.lower() for key in answer.headers} - NEVER:
        fields[key] = [plain(server, value) for value in answer.headers.get_all(key)]
    if is_error:
        for key in NOT_OF_ERRORS:
            fields.pop(key, None)
    else:
        fields["body"] = answer.body
    if "allow" in fields:
        fields["allow"] = sorted(fields["allow"][0].split(", "))
    fields["codes"] = codes(answer)
    return fields


def differing(ours, theirs):
    """Names of the fields that differ. Those of http.headers stand in all answers here, there in those of routes."""
    everywhere = {key.lower() for key in HEADERS if key.lower() not in theirs}
    return {key for key in (ours.keys() | theirs.keys()) - everywhere if ours.get(key) != theirs.get(key)}


@pytest.mark.parametrize("name", CASES)
def test_answers_are_the_same(pair, name):
    answers = [ask(server, name) for server in pair]
    is_error = any(answer.status >= 400 for answer in answers)
    ours, theirs = (summary(server, answer, is_error) for server, answer in zip(pair, answers))
    same = None, answers[1].status, answers[1].status, ""
    _, our_status, their_status, fields = DIFFERENT.get(name, same)
    assert [answer.status for answer in answers] == [our_status, their_status], (ours, theirs)
    assert differing(ours, theirs) == set(fields.split()), (ours, theirs)


def test_each_difference_stands_in_the_documentation():
    page = API_PAGE.read_text()
    rows = {line.split("|")[1].strip() for line in page.splitlines() if line.startswith("| ")}
    assert {row for row, *_ in DIFFERENT.values()} <= rows
    assert DIFFERENT.keys() <= CASES.keys()


def test_errors_have_the_same_members(pair):
    for server in pair:
        error, = server.api.get("/v2/app/manifests/none", headers=ACCEPT).json()["errors"]
        assert {"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}.items() <= error.items()
