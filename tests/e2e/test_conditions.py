# SPDX-License-Identifier: Apache-2.0
"""If-Match and If-None-Match of a push: a tag as a compare-and-swap. Pushes that name several tags."""

import concurrent.futures

import pytest

from lib import images
from lib.client import OCI_INDEX, sha256

pytestmark = pytest.mark.ours


def manifest(mark):
    """A manifest that needs nothing else."""
    return images.encoded({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "annotations": {"m": mark}})


def put(api, reference, data, **conditions):
    headers = {"Content-Type": OCI_INDEX, **{k.replace("_", "-"): v for k, v in conditions.items()}}
    return api.request("PUT", f"/v2/app/manifests/{reference}", body=data, headers=headers)


def assert_refused(reply, now):
    assert reply.expect(412).error_codes() == ["PRECONDITION_FAILED"]
    assert reply.headers["Docker-Content-Digest"] == now
    assert reply.headers["Etag"] == (f'"{now}"' if now else None)
    assert (now or "does not exist") in reply.json()["errors"][0]["detail"]


def test_a_tag_is_made_once(server):
    a, b = manifest("a"), manifest("b")
    put(server.api, "v1", a, If_None_Match="*").expect(201)
    for condition in ("*", f'"{sha256(a)}"', f'W/"{sha256(b)}", {sha256(a)}'):
        assert_refused(put(server.api, "v1", b, If_None_Match=condition), sha256(a))
    assert server.api.manifest("app", "v1").body == a
    server.api.manifest("app", sha256(b)).expect(404)
    put(server.api, "v1", b, If_None_Match=sha256(b)).expect(201)


def test_a_tag_moves_from_where_it_is(server):
    a, b = manifest("a"), manifest("b")
    for condition in ("*", f'"{sha256(a)}"', ""):
        assert_refused(put(server.api, "v1", a, If_Match=condition), None)
    assert not (server.root / "docker/registry/v2/repositories").exists()
    put(server.api, "v1", a).expect(201)
    assert_refused(put(server.api, "v1", b, If_Match=f'"{sha256(b)}"'), sha256(a))
    reply = put(server.api, "v1", b, If_Match=f'"{sha256(b)}" , "{sha256(a)}"').expect(201)
    assert reply.headers["Docker-Content-Digest"] == sha256(b)
    put(server.api, "v1", a, If_Match="*").expect(201)
    put(server.api, "v1", b, If_Match=sha256(a), If_None_Match=sha256(b)).expect(201)
    assert_refused(put(server.api, "v1", a, If_Match=sha256(b), If_None_Match="*"), sha256(b))


def test_the_answer_to_a_refusal_is_what_the_next_try_needs(server):
    put(server.api, "v1", manifest("a")).expect(201)
    etag = put(server.api, "v1", manifest("b"), If_None_Match="*").expect(412).headers["Etag"]
    put(server.api, "v1", manifest("b"), If_Match=etag).expect(201)


def test_by_digest_the_manifest_itself_is_meant(server):
    data = manifest("a")
    digest = sha256(data)
    assert_refused(put(server.api, digest, data, If_Match="*"), None)
    put(server.api, f"{digest}?tag=v1", data, If_None_Match="*").expect(201)
    assert_refused(put(server.api, f"{digest}?tag=v2", data, If_None_Match="*"), digest)
    assert server.api.tags("app") == ["v1"]
    put(server.api, f"{digest}?tag=v2", data, If_Match=digest).expect(201)
    assert server.api.tags("app") == ["v1", "v2"]


def test_one_of_many_wins_each_round_at_two_processes(server, second_server):
    apis = [server.api, second_server.api]
    current = manifest("begin")
    put(server.api, "lease", current).expect(201)
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        for turn in range(15):
            tries = [manifest(f"{turn}/{n}") for n in range(12)]
            replies = list(pool.map(lambda n: put(apis[n % 2], "lease", tries[n], If_Match=sha256(current)), range(12)))
            assert sorted(r.status for r in replies) == [201] + [412] * 11
            current = tries[[r.status for r in replies].index(201)]
            assert {r.headers["Docker-Content-Digest"] for r in replies} == {sha256(current)}
            assert [api.manifest("app", "lease").body for api in apis] == [current] * 2


def test_several_tags_in_one_push(server):
    data = manifest("a")
    tags = [f"v1.{n}" for n in range(12)]
    query = "&".join(f"tag={tag}" for tag in [*tags, tags[0]])
    reply = put(server.api, f"{sha256(data)}?{query}", data).expect(201)
    assert reply.headers.get_all("OCI-Tag") == tags
    assert reply.headers["Docker-Content-Digest"] == sha256(data)
    assert server.api.tags("app") == sorted(tags)
    for tag in tags:
        assert server.api.manifest("app", tag).body == data
    assert put(server.api, sha256(data), data).expect(201).headers["OCI-Tag"] is None


@pytest.mark.parametrize("query, status, code", [
    ("tag=good&tag=-bad", 400, "TAG_INVALID"),
    ("tag=", 400, "TAG_INVALID"),
    ("tag=a%2Fb", 400, "TAG_INVALID"),
    ("tag=%zz", 400, "TAG_INVALID"),
    ("tag=" + "x" * 129, 400, "TAG_INVALID"),
    ("&".join(f"tag=t{n}" for n in range(51)), 414, "UNKNOWN"),
])
def test_wrong_tags_store_nothing(server, query, status, code):
    data = manifest("a")
    assert put(server.api, f"{sha256(data)}?{query}", data).expect(status).error_codes() == [code]
    assert not (server.root / "docker").exists()


def test_fifty_tags_in_one_push(server):
    data = manifest("a")
    query = "&".join(f"tag={'t' * 120}{n}" for n in range(50))
    put(server.api, f"{sha256(data)}?{query}", data).expect(201)
    assert len(server.api.tags("app")) == 50
