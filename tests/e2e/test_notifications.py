# SPDX-License-Identifier: Apache-2.0
"""Notifications: registry:2's envelopes, in order, through dead and slow receivers, restarts and kills."""

import json
import re
import threading
import time

import pytest

from lib import hooks, images, mounts, proc
from lib.client import sha256

pytestmark = pytest.mark.ours
MEDIA_TYPE = "application/vnd.docker.distribution.events.v1+json"


@pytest.fixture
def receiver():
    made = hooks.Receiver().start()
    yield made
    made.stop()


@pytest.fixture
def other_receiver():
    made = hooks.Receiver().start()
    yield made
    made.stop()


def endpoint(receiver, name="hook", **more):
    return {"name": name, "url": receiver.url, "timeout": "5s", "threshold": 5, "backoff": "200ms", **more}


def notifying(*endpoints, references=False, **roadstead):
    config = {"notifications": {"events": {"includereferences": references}, "endpoints": list(endpoints)}}
    if roadstead:
        config["roadstead"] = {"notifications": roadstead}
    return config


def brief(event):
    target = event["target"]
    return event["action"], target["repository"], target.get("tag") or target.get("digest")


def push_tags(server, repo, count, first=0):
    """Manifests 0, 1, … of one image, each under its own tag."""
    made = images.image(repo)
    for digest, data in made.blobs.items():
        server.api.push_blob(repo, data, digest)
    for n in range(first, first + count):
        server.api.put_manifest(repo, f"t{n}", made.manifest, made.media_type).expect(201)
    return made


def tags_of(events, repo, action="push"):
    return [e["target"]["tag"] for e in events
            if e["action"] == action and e["target"]["repository"] == repo and "tag" in e["target"]]


# --- the same as registry:2 ---

def put_annotated(api):
    config, layer = b"{}", b"layer"
    for data in (config, layer):
        api.push_blob("a/b", data)
    manifest = images.encoded({
        "schemaVersion": 2, "mediaType": images.OCI_MANIFEST, "annotations": {"not": "told"},
        "config": images.descriptor("application/x", config),
        "layers": [images.descriptor("text/plain", layer, annotations={"title": "a \"file\" <é>", "b": ""})]})
    return api.put_manifest("a/b", "annotated", manifest, images.OCI_MANIFEST).status


def conversation(server):
    """What tells an event, and what does not; without what Roadstead does otherwise on purpose."""
    api = server.api
    made, listed, docker = images.image("one"), images.index("many"), images.image("docker", docker=True)
    blob = next(iter(made.blobs))
    headers = {"Accept": made.media_type, "User-Agent": "some/1.0 (\"quoted\" <tag>)"}

    def get(path, method="GET", **more):
        return api.request(method, path, headers={**headers, **more}).status

    yield "push", lambda: api.push(made, "a/b", "t1") and 201
    yield "blob again", lambda: api.push_blob("a/b", made.blobs[blob]) and 201
    yield "by digest", lambda: api.put_manifest("a/b", made.digest, made.manifest, made.media_type).status
    yield "index", lambda: api.push(listed, "a/b", "i1") and 201
    yield "docker", lambda: api.push(docker, "a/b", "d1") and 201
    yield "annotated", lambda: put_annotated(api)
    yield "get", lambda: get("/v2/a/b/manifests/t1")
    yield "head", lambda: get("/v2/a/b/manifests/t1", "HEAD")
    yield "get by digest", lambda: get(f"/v2/a/b/manifests/{made.digest}")
    yield "get index", lambda: get("/v2/a/b/manifests/i1", Accept=listed.media_type)
    yield "not modified", lambda: get("/v2/a/b/manifests/t1", **{"If-None-Match": f'"{made.digest}"'})
    yield "no manifest", lambda: get("/v2/a/b/manifests/nope")
    yield "behind a proxy", lambda: get("/v2/a/b/manifests/t1", **{"X-Forwarded-Proto": "https",
                                                                  "X-Forwarded-Host": "images.example.org"})
    yield "blob", lambda: get(f"/v2/a/b/blobs/{blob}")
    yield "head of a blob", lambda: get(f"/v2/a/b/blobs/{blob}", "HEAD")
    yield "part of a blob", lambda: get(f"/v2/a/b/blobs/{blob}", Range="bytes=1-2")
    yield "blob not modified", lambda: get(f"/v2/a/b/blobs/{blob}", **{"If-None-Match": f'"{blob}"'})
    yield "no blob", lambda: get(f"/v2/a/b/blobs/{sha256(b'nothing')}")
    yield "mount", lambda: api.request("POST", f"/v2/c/d/blobs/uploads/?mount={blob}&from=a/b", body=b"").status
    yield "no mount", lambda: api.request("POST", f"/v2/c/d/blobs/uploads/?mount={sha256(b'x')}&from=a/b",
                                          body=b"").status
    yield "cancel", lambda: api.request("DELETE", api.location(
        api.request("POST", "/v2/a/b/blobs/uploads/", body=b""))).status
    yield "two more tags", lambda: [api.put_manifest("a/b", tag, made.manifest, made.media_type) for tag in "uv"] and 201
    yield "delete", lambda: api.request("DELETE", f"/v2/a/b/manifests/{made.digest}").status
    yield "delete again", lambda: api.request("DELETE", f"/v2/a/b/manifests/{made.digest}").status
    yield "delete a blob", lambda: api.request("DELETE", f"/v2/a/b/blobs/{blob}").status
    yield "delete no blob", lambda: api.request("DELETE", f"/v2/a/b/blobs/{sha256(b'none')}").status
    yield "lists", lambda: get("/v2/a/b/tags/list") and get("/v2/_catalog")


def told(server, receiver):
    """For each step its status and the events, with what differs from run to run replaced by its form."""
    forms = ((r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"), (re.escape(server.host), "HOST"),
             (r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"', '"TIME"'), (r'("addr": "127\.0\.0\.1):\d+"', r'\1:PORT"'),
             (r'("request": {"id": )"[^"]+"', r'\1"ID"'), (f":{server.host.split(':')[1]}", ":PORT"))
    found = []
    for name, step in conversation(server):
        receiver.clear()
        status = step()
        mark = server.api.push_blob("end/of-step", name.encode())  # its event comes last
        proc.wait_until(f"the events of {name}", lambda: any(e["target"].get("digest") == mark for e in receiver.events))
        events = [e for e in receiver.events if e["target"]["repository"] != "end/of-step"]
        text = json.dumps([sorted_by_place(events)])
        for pattern, form in forms:
            text = re.sub(pattern, form, text)
        found.append((name, status, text))
    return found


def sorted_by_place(events):
    """registry:2 keeps no order, so the order is none of the comparison."""
    return sorted(events, key=lambda e: (e["target"].get("digest", ""), e["target"].get("tag", "")))


@pytest.mark.parametrize("references", [False, True])
def test_every_field_is_that_of_registry2(work, start_server, start_docker_registry, receiver, other_receiver, references):
    ours = start_server(config=notifying(endpoint(receiver), references=references))
    theirs = start_docker_registry(root=work / "theirs", name="theirs",
                                   config=notifying(endpoint(other_receiver), references=references))
    mine, reference = told(ours, receiver), told(theirs, other_receiver)
    for (name, status, events), (_, wanted_status, wanted) in zip(mine, reference, strict=True):
        assert (name, status, json.loads(events)) == (name, wanted_status, json.loads(wanted))


def test_requests_are_those_of_registry2(work, start_server, start_docker_registry, receiver, other_receiver):
    headers = {"Authorization": ["Bearer abc"], "X-Two": ["a", "b"]}
    ours = start_server(config=notifying(endpoint(receiver, headers=headers)))
    theirs = start_docker_registry(root=work / "theirs", name="theirs",
                                   config=notifying(endpoint(other_receiver, headers=headers)))
    for server, hook in ((ours, receiver), (theirs, other_receiver)):
        server.api.push_blob("a", b"blob")
        hook.wait(1)
        envelope = hook.envelopes[0]
        assert envelope.path == "/hook"
        assert len(envelope.events) == 1
        assert envelope.headers.get_all("Content-Type") == [MEDIA_TYPE]
        assert envelope.headers.get_all("Authorization") == ["Bearer abc"]
        assert envelope.headers.get_all("X-Two") == ["a", "b"]


def test_a_tag_that_is_deleted_alone_is_told(start_server, receiver):
    """Which registry:2 cannot do; registry:3 tells it so."""
    server = start_server(config=notifying(endpoint(receiver)))
    push_tags(server, "a", 2)
    server.api.request("DELETE", "/v2/a/manifests/t1").expect(202)
    proc.wait_until("the event", lambda: ("delete", "a", "t1") in map(brief, receiver.events))
    assert receiver.events[-1]["target"] == {"repository": "a", "tag": "t1"}


def test_several_tags_of_one_push_are_told_each(start_server, receiver):
    server = start_server(config=notifying(endpoint(receiver)))
    made = push_tags(server, "a", 1)
    reply = server.api.request("PUT", f"/v2/a/manifests/{made.digest}?tag=x&tag=y", body=made.manifest,
                               headers={"Content-Type": made.media_type})
    assert reply.status == 201
    proc.wait_until("the events", lambda: tags_of(receiver.events, "a") == ["t0", "x", "y"])


# --- clients ---

def test_docker_push_and_pull_are_told(start_server, docker, receiver, busybox):
    server = start_server(config=notifying(endpoint(receiver)))
    name = f"{server.host}/team/app:1"
    docker.build(busybox, name)
    docker.push(name)
    docker.remove_all_images()
    docker.pull(name)
    proc.wait_until("a pull of a layer", lambda: ("pull", "team/app") in {brief(e)[:2] for e in receiver.events
                                                                        if "octet" in e["target"]["mediaType"]
                                                                        and e["request"]["method"] == "GET"})
    events = receiver.events
    assert tags_of(events, "team/app") == ["1"]
    pushed = [e for e in events if e["action"] == "push"]
    assert "tag" in pushed[-1]["target"]  # the manifest after its blobs
    assert all("docker" in e["request"]["useragent"] for e in events)


def test_skopeo_copy_is_told(start_server, skopeo, receiver, work):
    server = start_server(config=notifying(endpoint(receiver)))
    made = images.image("skopeo")
    skopeo.copy(images.write_dir(made, work / "source"), f"docker://{server.host}/copied:1", "--preserve-digests")
    proc.wait_until("the manifest's event", lambda: tags_of(receiver.events, "copied"))
    pushed = {e["target"]["digest"] for e in receiver.events if e["action"] == "push"}
    assert pushed == {made.digest, *made.blobs}


# --- who gets what ---

def test_ignored_actions_and_types_are_not_sent(start_server, receiver, other_receiver):
    server = start_server(config=notifying(
        endpoint(receiver, ignore={"actions": ["pull"], "mediatypes": ["application/octet-stream"]}),
        endpoint(other_receiver, "other", ignoredmediatypes=["application/vnd.oci.image.manifest.v1+json"],
                 ignore={"actions": ["push"]})))
    made = push_tags(server, "a", 1)
    server.api.manifest("a", "t0").expect(200)
    server.api.blob("a", next(iter(made.blobs))).expect(200)
    server.api.put_manifest("a", "last", made.manifest, made.media_type).expect(201)
    receiver.wait(2)
    other_receiver.wait(1)
    assert [brief(e) for e in receiver.events] == [("push", "a", "t0"), ("push", "a", "last")]
    assert [e["action"] for e in other_receiver.events] == ["pull"]
    assert other_receiver.events[0]["target"]["mediaType"] == "application/octet-stream"


def test_a_disabled_endpoint_gets_nothing(start_server, receiver, other_receiver):
    server = start_server(config=notifying(endpoint(receiver), endpoint(other_receiver, "off", disabled=True)))
    server.api.push_blob("a", b"blob")
    receiver.wait(1)
    assert other_receiver.events == []


def test_one_dead_endpoint_does_not_hold_up_another(start_server, receiver):
    dead = hooks.Receiver().start()
    dead.stop()
    server = start_server(config=notifying(endpoint(dead, "dead"), endpoint(receiver)))
    push_tags(server, "a", 20)
    proc.wait_until("all events", lambda: len(tags_of(receiver.events, "a")) == 20)
    dead.start()
    proc.wait_until("all events of the other", lambda: len(tags_of(dead.events, "a")) == 20)
    dead.stop()
    assert [e["id"] for e in dead.events] == [e["id"] for e in receiver.events]


# --- receivers that fail ---

def test_events_wait_for_a_receiver_and_keep_their_order(start_server, receiver):
    server = start_server(config=notifying(endpoint(receiver)))
    receiver.stop()
    repos = ["a", "b/c", "d"]
    threads = [threading.Thread(target=push_tags, args=(server, repo, 30)) for repo in repos]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert receiver.events == []
    receiver.start()
    proc.wait_until("all events", lambda: all(len(tags_of(receiver.events, repo)) == 30 for repo in repos))
    for repo in repos:
        assert tags_of(receiver.events, repo) == [f"t{n}" for n in range(30)]
    ids = [e["id"] for e in receiver.events]
    assert len(ids) == len(set(ids))
    assert "takes no events, trying again" in server.log_text()
    assert "takes events again" in server.log_text()


def test_a_refused_event_is_sent_until_it_is_taken(start_server, receiver):
    server = start_server(config=notifying(endpoint(receiver)))
    receiver.status = 503
    push_tags(server, "a", 5)
    proc.wait_until("some tries", lambda: receiver.refused > 3)
    assert receiver.events == []
    receiver.status = 200
    proc.wait_until("all events", lambda: tags_of(receiver.events, "a") == [f"t{n}" for n in range(5)])


def test_a_redirect_is_followed_with_the_event(start_server, receiver, other_receiver):
    receiver.status, receiver.location = 302, other_receiver.url
    server = start_server(config=notifying(endpoint(receiver)))
    push_tags(server, "a", 3)
    proc.wait_until("all events", lambda: tags_of(other_receiver.events, "a") == ["t0", "t1", "t2"])


def test_a_slow_receiver_slows_no_push(start_server, receiver):
    server = start_server(config=notifying(endpoint(receiver)))
    receiver.delay = 0.3
    begin = time.monotonic()
    push_tags(server, "a", 20)  # 23 events: 7 seconds of the receiver's time
    assert time.monotonic() - begin < 5
    receiver.delay = 0
    proc.wait_until("all events", lambda: tags_of(receiver.events, "a") == [f"t{n}" for n in range(20)])


def test_a_backlog_may_be_sent_in_batches(start_server, receiver):
    server = start_server(config=notifying(endpoint(receiver), batch=10))
    receiver.stop()
    push_tags(server, "a", 40)
    receiver.start()
    proc.wait_until("all events", lambda: tags_of(receiver.events, "a") == [f"t{n}" for n in range(40)])
    assert max(len(envelope.events) for envelope in receiver.envelopes) == 10


def test_a_full_queue_loses_its_oldest_events(start_server, receiver):
    """A MiB holds some thousand of them."""
    server = start_server(config=notifying(endpoint(receiver), queue_size="1MiB"))
    receiver.stop()
    made = push_tags(server, "a", 1)
    connection = server.api.connect()
    for _ in range(4000):
        connection.request("HEAD", "/v2/a/manifests/t0", headers={"Accept": made.media_type, "User-Agent": "x" * 200})
        connection.getresponse().read()
    server.api.put_manifest("a", "last", made.manifest, made.media_type).expect(201)
    size = sum(path.stat().st_size for path in server.root.glob("roadstead/state/*/notifications/*/*"))
    assert 500_000 < size < 1_200_000
    receiver.start()
    proc.wait_until("the last event", lambda: tags_of(receiver.events, "a")[-1:] == ["last"])
    assert 500 < len(receiver.events) < 3500
    assert "t0" not in tags_of(receiver.events, "a")


def test_a_full_disk_costs_events_and_no_push(start_server, receiver, work):
    state = work / "state"
    config = notifying(endpoint(receiver))
    config["roadstead"] = {"state_dir": str(state / "own")}
    with mounts.tmpfs(state, 4):
        server = start_server(config=config)
        push_tags(server, "a", 2)
        receiver.wait(5)
        assert state.is_mount()  # what is filled is not the machine's disk
        filler = mounts.fill(state)
        push_tags(server, "b", 40)
        assert len(server.api.tags("b")) == 40
        proc.wait_until("the log tells it", lambda: "are lost, their queue cannot be written" in server.log_text())
        filler.unlink()
        push_tags(server, "c", 3)
        proc.wait_until("the last events", lambda: tags_of(receiver.events, "c") == ["t0", "t1", "t2"])
        server.stop()


def test_a_certificate_that_nobody_knows_is_told(start_server, receiver, work):
    key, certificate = work / "key.pem", work / "certificate.pem"
    proc.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-keyout", key, "-out", certificate)
    receiver.stop()
    receiver.certificate = (certificate, key)
    receiver.start()
    url = f"https://127.0.0.1:{receiver.port}/hook"
    server = start_server(config=notifying({**endpoint(receiver), "url": url}))
    push_tags(server, "a", 1)
    proc.wait_until("the log tells it", lambda: "self-signed certificate" in server.log_text())
    assert receiver.events == []


# --- restarts ---

def test_what_waits_at_the_end_is_sent_after_the_next_start(start_server, receiver):
    server = start_server(config=notifying(endpoint(receiver)))
    receiver.stop()
    push_tags(server, "a", 10)
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 8
    assert "are kept for the next start" in server.log_text()
    receiver.start()
    server.start()
    push_tags(server, "a", 5, first=10)
    proc.wait_until("all events", lambda: tags_of(receiver.events, "a") == [f"t{n}" for n in range(15)])


def test_a_receiver_that_hangs_does_not_hold_up_the_end(start_server, receiver):
    server = start_server(config=notifying(endpoint(receiver, timeout="60s")))
    receiver.delay = 30
    server.api.push_blob("a", b"blob")
    time.sleep(0.3)
    begin = time.monotonic()
    server.stop()
    assert time.monotonic() - begin < 8


def test_what_can_be_sent_at_the_end_is_sent(start_server, receiver):
    server = start_server(config=notifying(endpoint(receiver)))
    receiver.delay = 0.02
    push_tags(server, "a", 30)
    server.stop()
    assert tags_of(receiver.events, "a") == [f"t{n}" for n in range(30)]


def test_a_kill_loses_no_push(start_server, receiver):
    """The kill comes at once after an answer, again and again; what was answered has its event."""
    server = start_server(config=notifying(endpoint(receiver)))
    receiver.stop()
    for n in range(8):
        push_tags(server, "a", 3, first=3 * n)
        server.kill()
        server.start()
    receiver.start()
    proc.wait_until("all events", lambda: len(tags_of(receiver.events, "a")) >= 24)
    assert tags_of(receiver.events, "a") == [f"t{n}" for n in range(24)]


def test_a_kill_while_events_are_sent_repeats_at_most_one(start_server, receiver):
    server = start_server(config=notifying(endpoint(receiver)))
    receiver.delay = 0.05
    push_tags(server, "a", 40)
    proc.wait_until("some events", lambda: len(receiver.events) > 10)
    server.kill()
    receiver.delay = 0
    server.start()
    proc.wait_until("all events", lambda: len(set(tags_of(receiver.events, "a"))) == 40)
    tags = tags_of(receiver.events, "a")
    assert len(tags) <= 41
    assert sorted(set(tags), key=tags.index) == [f"t{n}" for n in range(40)]


def test_the_queue_of_an_endpoint_that_is_gone_is_told(start_server, receiver):
    server = start_server(config=notifying(endpoint(receiver, "old/name")))
    receiver.stop()
    push_tags(server, "a", 2)
    server.stop()
    server.config["notifications"]["endpoints"][0]["name"] = "new"
    server.start()
    assert "is the queue of no configured endpoint" in server.log_text()
    assert "old_name-" in server.log_text()


def test_no_secret_is_logged(start_server, receiver):
    secret = "geheim4711"
    url = receiver.url.replace("http://", f"http://user:{secret}@") + f"/{secret}?token={secret}"
    server = start_server(config=notifying({**endpoint(receiver, headers={"Authorization": [f"Bearer {secret}"]}),
                                            "url": url, "threshold": 2}))
    receiver.stop()
    push_tags(server, "a", 2)
    proc.wait_until("trouble is told", lambda: "trying less often" in server.log_text())
    server.stop()
    assert secret not in server.log_text()
    for path in server.root.glob("roadstead/**/*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes()
