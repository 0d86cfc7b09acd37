# SPDX-License-Identifier: Apache-2.0
"""Immutable tags and quotas, as the real clients meet them."""

import concurrent.futures
import time

import pytest

from lib import images, proc
from lib.client import sha256
from lib.engines import INSECURE

pytestmark = pytest.mark.ours

KIB = 1024
MIB = 1024 * KIB


def immutable(*rules):
    return {"roadstead": {"immutable_tags": list(rules)}}


def quotas(*rules):
    return {"roadstead": {"quotas": list(rules)}}


VERSIONS = {"repositories": ["team/**"], "tags": ["v*"]}


def refused(done):
    """What a client printed when it was refused."""
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


# --- immutable tags ---


def test_docker_is_told_why(start_server, docker, busybox):
    server = start_server(config=immutable(VERSIONS))
    name = f"{server.host}/team/app:v1"
    docker.build(busybox, name)
    digest = docker.push(name)
    assert docker.push(name) == digest  # the same again
    (busybox / "marker").write_text("another image")
    docker.build(busybox, name)
    text = refused(docker.try_run("push", name))
    print(text)
    assert f"denied: tag v1 of team/app is immutable and is {digest} already" in text
    assert "use another tag" in text
    assert server.api.manifest("team/app", "v1").headers["Docker-Content-Digest"] == digest
    docker.tag(name, f"{server.host}/team/app:main")
    assert docker.push(f"{server.host}/team/app:main") != digest
    docker.remove_all_images()
    assert docker.pull(name) == digest


def test_podman_and_skopeo_are_told_why(start_server, podman, skopeo, work):
    server = start_server(config=immutable(VERSIONS))
    target = f"{server.host}/team/app:v1"
    first, second = images.image("first"), images.image("second")
    source = images.write_layout(first, work / "first")
    skopeo.copy(source, f"docker://{target}")
    skopeo.copy(source, f"docker://{target}")
    other = images.write_layout(second, work / "second")
    done = proc.run("skopeo", "copy", "--dest-tls-verify=false", other, f"docker://{target}", env=skopeo.env,
                    check=False)
    text = refused(done)
    print(text)
    assert f"denied: tag v1 of team/app is immutable and is {first.digest} already" in text
    podman.pull(target)
    podman.run("build", "--quiet", "-t", target, "--from", target, write_containerfile(work))
    text = refused(proc.run("podman", *podman.options, "push", INSECURE, target, env=podman.env, check=False))
    print(text)
    assert "denied: tag v1 of team/app is immutable" in text
    text = refused(proc.run("skopeo", "delete", INSECURE, f"docker://{target}", env=skopeo.env, check=False))
    print(text)
    assert server.api.verify("team/app", "v1") == first.digest


def write_containerfile(work):
    directory = work / "context"
    directory.mkdir()
    (directory / "Containerfile").write_text("FROM any\nLABEL another=one\n")
    return directory


def test_no_way_round(start_server):
    server = start_server(config=immutable(VERSIONS))
    first, second = images.image("first"), images.image("second")
    server.api.push(first, "team/app", "v1")
    server.api.push(second, "team/app", "main")
    path = "/v2/team/app/manifests"
    put = lambda to: server.api.request("PUT", f"{path}/{to}", body=second.manifest,
                                        headers={"Content-Type": second.media_type})
    for reply in (put("v1"), put(f"{second.digest}?tag=main&tag=v1"),
                  server.api.request("DELETE", f"{path}/v1"), server.api.request("DELETE", f"{path}/{first.digest}")):
        assert reply.expect(403).error_codes() == ["DENIED"]
        assert "tag v1 of team/app is immutable" in reply.json()["errors"][0]["message"]
    assert server.api.verify("team/app", "v1") == first.digest
    assert server.api.verify("team/app", "main") == second.digest
    condition = {"Content-Type": second.media_type, "If-Match": first.digest}
    server.api.request("PUT", f"{path}/v1", body=second.manifest, headers=condition).expect(403)
    condition["If-Match"] = second.digest
    server.api.request("PUT", f"{path}/v1", body=second.manifest, headers=condition).expect(412)
    server.api.request("DELETE", f"{path}/main").expect(202)
    server.api.request("DELETE", f"{path}/{second.digest}").expect(202)
    server.api.push(second, "other/app", "v1")
    server.api.push(first, "other/app", "v1")  # no rule for these


def test_of_pushes_to_two_processes_one_wins(start_server):
    config = immutable({"repositories": ["**"]})
    server = start_server(config=config)
    second = start_server(root=server.root, config=config, name="second")
    candidates = [images.image(f"candidate {n}", layers=1, size=100) for n in range(8)]
    for n, made in enumerate(candidates):
        server.api.push(made, "app", f"own-{n}")
    with concurrent.futures.ThreadPoolExecutor(len(candidates)) as pool:
        for race in range(10):
            futures = [pool.submit(api.put_manifest, "app", f"race-{race}", made.manifest, made.media_type)
                       for made, api in zip(candidates, [server.api, second.api] * 4)]
            statuses = [future.result().status for future in futures]
            assert sorted(statuses) == [201] + [403] * 7
            winner = candidates[statuses.index(201)].digest
            assert second.api.verify("app", f"race-{race}") == winner


# --- quotas ---


def usage(server):
    return server.debug.get("/debug/quotas").expect(200).json()["quotas"]


def test_docker_is_told_of_a_full_quota(start_observed, docker, busybox):
    server = start_observed(config=quotas({"repositories": ["team/**"], "size": "3MiB"}))
    (busybox / "marker").write_bytes(images.random_bytes("first", MIB))
    name = f"{server.host}/team/app:1"
    docker.build(busybox, name)
    docker.push(name)
    held = usage(server)[0]["used"]
    assert MIB < held < 3 * MIB
    (busybox / "marker").write_bytes(images.random_bytes("second", 2 * MIB))
    docker.build(busybox, f"{server.host}/team/other:1")
    text = refused(docker.try_run("push", f"{server.host}/team/other:1"))
    print(text)
    assert "denied: the quota of team/** is used up" in text
    docker.tag(name, f"{server.host}/team/copy:1")  # what is shared counts once
    docker.push(f"{server.host}/team/copy:1")
    assert usage(server)[0]["used"] == held
    (busybox / "marker").write_bytes(images.random_bytes("third", 4 * MIB))
    docker.build(busybox, f"{server.host}/team/huge:1")
    text = refused(docker.try_run("push", f"{server.host}/team/huge:1"))
    print(text)
    assert "denied: " in text and "larger than the whole quota of team/**" in text
    docker.tag(f"{server.host}/team/huge:1", f"{server.host}/elsewhere:1")
    docker.push(f"{server.host}/elsewhere:1")
    docker.remove_all_images()
    docker.pull(name)
    assert usage(server)[0]["used"] == held


def test_podman_and_skopeo_are_told_of_a_full_quota(start_observed, podman, skopeo, work):
    server = start_observed(config=quotas({"repositories": ["team/**"], "size": "100KiB"}))
    sources = {seed: images.write_layout(images.image(seed, layers=1, size=60 * KIB), work / seed)
               for seed in ("first", "second")}
    sources["huge"] = images.write_layout(images.image("huge", layers=1, size=4 * MIB), work / "huge")
    skopeo.copy(sources["first"], f"docker://{server.host}/team/app:1")
    for seed, expected in (("second", "the quota of team/** is used up"), ("huge", "whole quota of team/**")):
        target = f"docker://{server.host}/team/{seed}:1"
        text = refused(proc.run("skopeo", "copy", "--dest-tls-verify=false", sources[seed], target, env=skopeo.env,
                                check=False))
        print(text)
        assert f"denied: " in text and expected in text
        podman.run("pull", "--quiet", sources[seed])
        image = podman.run("image", "ls", "-q", "--no-trunc").split()[0]
        text = refused(proc.run("podman", *podman.options, "push", INSECURE, image, target, env=podman.env,
                                check=False))
        print(text)
        assert "denied: " in text and "quota of team/**" in text
        podman.remove_all_images()
    skopeo.copy(f"docker://{server.host}/team/app:1", f"docker://{server.host}/team/copy:1")
    assert usage(server)[0]["used"] < 100 * KIB
    assert not list(server.root.glob("**/_uploads/*"))  # nothing is left of what was refused


def test_early_refusals_and_the_books(start_observed):
    server = start_observed(config=quotas({"repositories": ["a", "b"], "size": 1000}, {"repositories": ["b"], "size": 600}))
    api = server.api
    first, second = b"1" * 500, b"2" * 500
    api.push_blob("a", first)
    api.push_blob("b", first)
    assert [quota["used"] for quota in usage(server)] == [500, 500]
    reply = api.request("POST", f"/v2/b/blobs/uploads/?digest={sha256(second)}", body=second).expect(403)
    assert "the quota of b is used up: 500 of its 600 bytes" in reply.json()["errors"][0]["message"]
    api.push_blob("a", second)
    assert [quota["used"] for quota in usage(server)] == [1000, 500]
    assert [quota["blobs"] for quota in usage(server)] == [2, 1]
    for path in ("uploads/", f"uploads/?digest={sha256(b'3')}"):
        assert api.request("POST", f"/v2/a/blobs/{path}", body=b"").expect(403).error_codes() == ["DENIED"]
    api.push_blob("c", b"3" * 10)
    api.request("POST", f"/v2/a/blobs/uploads/?mount={sha256(b'3' * 10)}&from=c", body=b"").expect(403)
    api.request("POST", f"/v2/b/blobs/uploads/?mount={sha256(second)}&from=a", body=b"").expect(403)
    api.request("POST", f"/v2/b/blobs/uploads/?mount={sha256(first)}&from=a", body=b"").expect(201)
    api.request("DELETE", f"/v2/a/blobs/{sha256(second)}").expect(202)
    api.push_blob("a", b"4" * 500)  # at once
    location = api.begin_upload("c")
    api.patch(location, b"x" * 5000).expect(202)
    assert [quota["used"] for quota in usage(server)] == [1000, 500]
    text = server.debug.get("/metrics").expect(200).body.decode()
    assert 'roadstead_quota_size_bytes{quota="a, b"} 1000' in text
    assert 'roadstead_quota_used_bytes{quota="a, b"} 1000' in text
    assert 'roadstead_quota_refused_total{quota="b"} 2' in text
    assert 'roadstead_denied_total{reason="quota"} 5' in text


def test_an_upload_without_length_ends_where_it_is_hopeless(start_observed):
    server = start_observed(config=quotas({"repositories": ["a"], "size": "1MiB"}))
    location = server.api.begin_upload("a")
    for status in (202, 202, 202, 202, 403):
        reply = server.api.patch(location, b"x" * (256 * KIB) if status == 202 else b"y").expect(status)
        location = server.api.location(reply) if status == 202 else location
    server.api.get(location).expect(404)
    location = server.api.begin_upload("a")
    def body():
        for _ in range(64):
            yield b"z" * (64 * KIB)
    reply = server.api.request("PATCH", location, body=body(), headers={"Content-Type": "application/octet-stream"})
    assert "larger than the whole quota of a" in reply.expect(403).json()["errors"][0]["message"]
    server.api.get(location).expect(404)


def test_room_that_a_collection_makes_is_found(start_observed):
    server = start_observed(config=quotas({"repositories": ["team/**"], "size": "100KiB"}))
    first, second = (images.image(seed, layers=1, size=60 * KIB) for seed in ("first", "second"))
    server.api.push(first, "team/app", "1")
    server.api.request("DELETE", f"/v2/team/app/manifests/{first.digest}").expect(202)
    layer = max(second.blobs, key=lambda digest: len(second.blobs[digest]))
    refuse = server.api.request("POST", f"/v2/team/app/blobs/uploads/?digest={layer}", body=second.blobs[layer])
    refuse.expect(403)  # the layer is still linked
    for digest in first.blobs:
        server.api.request("DELETE", f"/v2/team/app/blobs/{digest}").expect(202)
    server.api.push(second, "team/app", "2")
    assert server.api.verify("team/app", "2") == second.digest


def test_what_another_process_removes_and_pushes_is_found(start_observed):
    config = quotas({"repositories": ["**"], "size": 1000})
    server = start_observed(config=config)
    second = start_observed(config=config, root=server.root, name="second")
    digest = server.api.push_blob("a", b"1" * 900)
    second.api.request("POST", f"/v2/a/blobs/uploads/?digest={sha256(b'2' * 900)}", body=b"2" * 900).expect(403)
    second.api.request("DELETE", f"/v2/a/blobs/{digest}").expect(202)
    push = lambda: server.api.request("POST", f"/v2/a/blobs/uploads/?digest={sha256(b'2' * 900)}", body=b"2" * 900)
    time.sleep(1.2)  # so long a count is believed before a refusal
    push().expect(201)
    assert usage(server)[0]["used"] == 900


def test_pushes_at_once_never_exceed_it(start_observed):
    server = start_observed(config=quotas({"repositories": ["team/**"], "size": "1MiB"}))
    data = [images.random_bytes(n, 100 * KIB) for n in range(40)]

    def push(n):
        reply = server.api.request("POST", f"/v2/team/r{n % 7}/blobs/uploads/?digest={sha256(data[n])}", body=data[n])
        return reply.expect(201, 403).status

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(push, range(40)))
    assert statuses.count(201) == 10  # 10 × 100 KiB fit into a MiB, 11 do not
    assert usage(server)[0]["used"] == 1000 * KIB


def test_what_is_not_understood_ends_the_start(make_server):
    for config, key in ((immutable({"repositories": ["a"], "tag": ["b"]}), "roadstead.immutable_tags[0].tag"),
                        (immutable({"repositories": []}), "roadstead.immutable_tags[0]"),
                        (quotas({"repositories": ["[a"], "size": 1}), "roadstead.quotas[0]"),
                        (quotas({"repositories": ["a"]}), "roadstead.quotas[0]")):
        server = make_server(config=config, name="wrong")
        server.spawn()
        server.wait_ended(status=2)
        assert f"{key}: " in (server.work / "wrong.log").read_text()


def test_answers_without_policies_know_none(start_observed):
    server = start_observed()
    assert usage(server) == []
    server.api.push(images.image("first"), "a", "v1")
    server.api.push(images.image("second"), "a", "v1")
    assert not [line for line in server.debug.get("/metrics").expect(200).body.decode().splitlines()
                if line.startswith(("roadstead_quota", "roadstead_denied"))]
