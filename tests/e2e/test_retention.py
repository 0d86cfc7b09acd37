# SPDX-License-Identifier: Apache-2.0
"""Retention: tags that go by the rules, in the server and by the command, and the pulls that keep them."""

import datetime
import json
import os
import threading
import time

import pytest

from lib import hooks, images, proc
from lib.server import ROADSTEAD

pytestmark = pytest.mark.ours

HOUR = 3600
DAY = 24 * HOUR
UNUSED = {"repositories": ["**"], "not_pulled_for": "720h"}


def retention(*rules, **more):
    return {"roadstead": {"retention": {"rules": list(rules), **more}}}


def repository(server, repo):
    return server.root / "docker/registry/v2/repositories" / repo


def link(server, repo, tag):
    return repository(server, repo) / "_manifests/tags" / tag / "current/link"


def record(server, repo, digest):
    return repository(server, repo) / "_roadstead/pulled" / digest.replace(":", "/")


def since(server, repo):
    return repository(server, repo) / "_roadstead/pulled/since"


def set_back(path, seconds):
    os.utime(path, (time.time() - seconds,) * 2)


def push(server, repo, tag, days=0, seed=None):
    """An image that was pushed so many days ago."""
    made = images.image(seed or f"{repo}:{tag}", layers=1)
    server.api.push(made, repo, tag)
    set_back(link(server, repo, tag), days * DAY)
    return made.digest


def track(server, repo, days):
    """As if pulls had been tracked for so many days."""
    at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=days)
    since(server, repo).parent.mkdir(parents=True, exist_ok=True)
    since(server, repo).write_text(at.strftime("%Y-%m-%dT%H:%M:%SZ"))


def command(server, *options, check=True):
    """Runs `roadstead retention` on the server's configuration."""
    done = proc.run(ROADSTEAD, "retention", *options, server.write_config(), env=server.env, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def decisions(server, *options):
    told = json.loads(command(server, "--json", *options).stdout)
    return {f"{tag['repository']}:{tag['tag']}": (tag["decision"], tag["reason"]) for tag in told["tags"]}


def tree(server):
    """Every path below the root with what it holds, and when it was changed, but for the processes' own state."""
    return {str(path.relative_to(server.root)): (path.lstat().st_mtime_ns, path.is_file() and path.read_bytes())
            for path in sorted(server.root.rglob("*")) if "roadstead/state" not in str(path)}


def runs(server):
    return server.log_text().count('msg="retention has run"')


def wait_for_run(server):
    seen = runs(server)
    proc.wait_until("retention has run", lambda: runs(server) >= seen + 2, server.daemon)


# --- the command ---


def test_the_last_ones_and_those_of_a_pattern_stay(start_server, skopeo, work):
    server = start_server(config=retention({"repositories": ["team/**"], "keep_last": 2, "keep_tags": ["v[0-9]*"]},
                                           {"repositories": ["x*"], "older_than": "240h"}))
    made = images.image("pushed by skopeo")
    images.write_dir(made, work / "image")
    for age, tag in enumerate(("newest", "newer", "old", "oldest")):
        skopeo.copy(f"dir:{work / 'image'}", f"docker://{server.host}/team/app:{tag}")
        set_back(link(server, "team/app", tag), (age + 1) * DAY)
    push(server, "team/app", "v1.0", days=900)
    push(server, "xyz", "a", days=11)
    push(server, "xyz", "b", days=9)
    push(server, "other", "a", days=900)
    before = tree(server)
    expected = {
        "team/app:newer": ("keep", "number 2 of 4 by push time (keep_last: 2)"),
        "team/app:newest": ("keep", "number 1 of 4 by push time (keep_last: 2)"),
        "team/app:old": ("remove", "not among the newest of 4 (keep_last: 2)"),
        "team/app:oldest": ("remove", "not among the newest of 4 (keep_last: 2)"),
        "team/app:v1.0": ("keep", "matches v[0-9]* of keep_tags"),
        "xyz:a": ("remove", "pushed 11 days ago (older_than: 10 days)"),
        "xyz:b": ("keep", "pushed 9 days ago (older_than: 10 days)"),
    }
    assert decisions(server, "-d") == expected
    listed = command(server, "--dry-run").stdout
    assert all(reason in listed for _, reason in expected.values()) and "3 would be removed" in listed
    assert command(server, "-d", "-q").stdout == ""
    assert tree(server) == before
    assert decisions(server) == expected  # and this time they go
    assert server.api.tags("team/app") == ["newer", "newest", "v1.0"]
    assert server.api.tags("xyz") == ["b"] and server.api.tags("other") == ["a"]
    assert server.api.verify("team/app", made.digest) == made.digest  # what lost its tags stays
    assert [fate for fate, _ in decisions(server).values()] == ["keep"] * 4


def test_its_words_and_exit_statuses(start_server, work):
    server = start_server(config=retention({"repositories": ["**"], "keep_last": 1}))
    push(server, "r", "a", days=3)
    digest = push(server, "r", "b", days=2)
    told = json.loads(command(server, "--json", "-d").stdout)
    assert told["dry_run"] is True and (told["repositories"], told["seen"], told["removed"]) == (1, 2, 1)
    kept = told["tags"][1]
    assert kept["digest"] == digest and kept["pushed"].startswith("20") and "pulled" not in kept
    assert json.loads(command(server, "--json", "-q", "-d").stdout)["kept"] == 1
    for wrong in (("--jason",), ("a.yml", "b.yml"), ("-x", "-d")):
        assert command(server, *wrong, check=False).returncode == 2
    link(server, "r", "c").parent.mkdir(parents=True)
    link(server, "r", "c").write_text("sha256:nothing")
    set_back(link(server, "r", "c"), DAY)
    done = command(server, "-q", check=False)
    assert done.returncode == 1 and "r:c: " in done.stderr and done.stdout == ""
    assert link(server, "r", "c").exists() and server.api.get("/v2/r/manifests/b").status == 200
    assert not link(server, "r", "a").exists()
    server.config["roadstead"]["retention"]["rules"][0]["keep_lost"] = 5
    done = command(server, check=False)
    assert done.returncode == 2 and "keep_lost" in done.stderr


def test_a_configured_dry_run_holds_for_the_command(start_server):
    server = start_server(config=retention({"repositories": ["**"], "older_than": "1h"}, dry_run=True))
    push(server, "r", "a", days=3)
    assert decisions(server) == {"r:a": ("remove", "pushed 3 days ago (older_than: 1 h)")}
    assert server.api.tags("r") == ["a"]


# --- the server ---


def test_the_server_removes_tags_and_tells(start_observed):
    receiver = hooks.Receiver().start()
    config = {**retention({"repositories": ["**"], "older_than": "240h"}, interval="1s"),
              "notifications": {"endpoints": [{"name": "hook", "url": f"http://127.0.0.1:{receiver.port}/",
                                               "ignore": {"actions": ["push", "pull"]}}]}}
    server = start_observed(config=config)
    push(server, "team/app", "old", days=11)
    push(server, "team/app", "young", days=9)
    proc.wait_until("the old tag goes", lambda: server.api.tags("team/app") == ["young"], server.daemon)
    proc.wait_until("it tells", lambda: 'msg="retention removed a tag"' in server.log_text(), server.daemon)
    log = server.log_text()
    assert "vars.reference=old" in log
    assert 'reason="pushed 11 days ago (older_than: 10 days)"' in log
    proc.wait_until("it counts", lambda: "roadstead_retention_removed_tags_total 1\n"
                    in server.debug.get("/metrics").body.decode(), server.daemon)
    proc.wait_until("the event comes", lambda: receiver.envelopes, server.daemon)
    event = receiver.envelopes[0].events[0]
    assert (event["action"], event["target"]["repository"], event["target"]["tag"]) == ("delete", "team/app", "old")
    server.stop()
    receiver.stop()


def test_a_dry_run_of_the_server_only_tells(start_server):
    server = start_server(config=retention({"repositories": ["**"], "older_than": "240h"}, interval="1s", dry_run=True))
    push(server, "r", "old", days=11)
    proc.wait_until("it tells", lambda: "retention would remove a tag" in server.log_text(), server.daemon)
    wait_for_run(server)
    assert server.api.tags("r") == ["old"]


def test_read_only_mode_suspends_it(start_server):
    config = retention({"repositories": ["**"], "older_than": "240h"}, interval="1s")
    server = start_server()
    push(server, "r", "old", days=11)
    server.stop()
    config["storage"] = {"maintenance": {"readonly": {"enabled": True}}}
    server = start_server(root=server.root, name="readonly", config=config)
    text = "retention does not run: the registry is in read-only mode"
    proc.wait_until("it says so", lambda: server.log_text().count(text) >= 2, server.daemon)
    assert server.api.tags("r") == ["old"]


def test_tags_that_are_pushed_meanwhile_survive(start_server):
    """Each round sets tags back and pushes them again while runs of the server and of the command go on."""
    server = start_server(config=retention({"repositories": ["**"], "older_than": "1h"}, interval="1s"))
    made = images.image("again", layers=1)
    tags = [f"t{i}" for i in range(8)]
    end = threading.Event()

    def collect():
        while not end.is_set():
            command(server, "-q")
    thread = threading.Thread(target=collect)
    for tag in tags:
        server.api.push(made, "r", tag)
    thread.start()
    try:
        for _ in range(40):
            for tag in tags:
                try:
                    set_back(link(server, "r", tag), DAY)
                except FileNotFoundError:
                    raise AssertionError(f"{tag} was pushed and is gone") from None
                server.api.put_manifest("r", tag, made.manifest, made.media_type).expect(201)
        time.sleep(1.5)
        assert server.api.tags("r") == tags
    finally:
        end.set()
        thread.join()


# --- pulls ---


def test_pulls_by_tag_and_digest_keep(start_server, docker, containerd, work):
    server = start_server(config=retention(UNUSED))
    digests = {tag: push(server, "r", tag, days=100)
               for tag in ("by-tag", "by-digest", "not-modified", "by-docker", "by-containerd", "head", "never")}
    index = images.index("many platforms")
    server.api.push(index, "r", "by-child")
    set_back(link(server, "r", "by-child"), 100 * DAY)
    track(server, "r", 90)
    api = server.api
    api.manifest("r", "by-tag").expect(200)
    api.manifest("r", digests["by-digest"]).expect(200)
    api.get("/v2/r/manifests/not-modified", headers={"If-None-Match": f'"{digests["not-modified"]}"'}).expect(304)
    api.request("HEAD", "/v2/r/manifests/head").expect(200)
    api.manifest("r", index.children[0].digest).expect(200)
    docker.pull(f"{server.host}/r:by-docker")
    containerd.ctr("content", "fetch", "--plain-http", f"{server.host}/r:by-containerd")
    server.stop()  # writes what waits
    told = decisions(server, "-d")
    assert {name[2:] for name, (fate, _) in told.items() if fate == "keep"} == {
        "by-tag", "by-digest", "not-modified", "by-docker", "by-containerd", "head"}
    assert told["r:never"][1] == "no pull on record, pushed 100 days ago (not_pulled_for: 30 days)"
    assert record(server, "r", index.children[0].digest).exists()  # of the image, not of the index, which nobody read
    assert record(server, "r", digests["by-tag"]).stat().st_size == 0


def test_records_outlive_restarts_and_kills(start_server):
    server = start_server(config=retention(UNUSED))
    digests = {tag: push(server, "r", tag, days=100) for tag in ("early", "late", "never")}
    server.api.manifest("r", "early").expect(200)
    server.stop()
    set_back(record(server, "r", digests["early"]), 20 * DAY)
    server.start()
    server.api.manifest("r", "late").expect(200)
    began = time.monotonic()
    proc.wait_until("the record is written", record(server, "r", digests["late"]).exists, server.daemon)
    assert time.monotonic() - began < 45  # every 30 seconds
    server.kill()
    server.start()
    track(server, "r", 90)
    assert decisions(server) == {
        "r:early": ("keep", "pulled 20 days ago (not_pulled_for: 30 days)"),
        "r:late": ("keep", decisions(server, "-d")["r:late"][1]),
        "r:never": ("remove", "no pull on record, pushed 100 days ago (not_pulled_for: 30 days)"),
    }
    assert server.api.tags("r") == ["early", "late"]
    server.api.manifest("r", "early").expect(200)  # pulled at last: the record is renewed
    server.stop()
    assert time.time() - record(server, "r", digests["early"]).stat().st_mtime < HOUR


def test_tracking_has_a_beginning(start_server):
    server = start_server(config=retention(UNUSED, interval="1s"))
    push(server, "r", "old", days=100)
    wait_for_run(server)
    assert since(server, "r").exists() and server.api.tags("r") == ["old"]
    assert "have been tracked for only" in decisions(server, "-d")["r:old"][1]
    server.stop()
    track(server, "r", 90)
    set_back(since(server, "r"), 2 * DAY)  # since then nobody has seen to it: a registry:2 may have served
    server.start()
    wait_for_run(server)
    assert server.api.tags("r") == ["old"]
    server.stop()
    track(server, "r", 90)
    server.start()
    proc.wait_until("the unused tag goes", lambda: not link(server, "r", "old").exists(), server.daemon)


def test_only_repositories_with_such_a_rule_are_tracked(start_server):
    server = start_server(config=retention({"repositories": ["a"], "keep_last": 5},
                                           {"repositories": ["b"], "not_pulled_for": "1h"}))
    for repo in ("a", "b", "c"):
        push(server, repo, "v1")
        server.api.manifest(repo, "v1").expect(200)
    server.stop()
    assert [(repository(server, repo) / "_roadstead").exists() for repo in ("a", "b", "c")] == [False, True, False]


def test_a_read_only_server_records_nothing(start_server):
    server = start_server()
    push(server, "r", "v1")
    server.stop()
    before = tree(server)
    config = {**retention(UNUSED), "storage": {"maintenance": {"readonly": {"enabled": True}}}}
    server = start_server(root=server.root, name="readonly", config=config)
    server.api.manifest("r", "v1").expect(200)
    server.stop()
    assert {path: of for path, of in tree(server).items() if path.startswith("docker/")} == {
        path: of for path, of in before.items() if path.startswith("docker/")}
