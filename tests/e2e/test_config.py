# SPDX-License-Identifier: Apache-2.0
"""The configuration as an operator meets it: variables, `config check`, errors at the start."""

import pytest

from lib import client, hooks, images, proc, server as servers

pytestmark = pytest.mark.ours

SECRET = "masked-everywhere"
GOOD = f"""\
version: 0.1
log:
  level: warn
storage:
  filesystem:
    rootdirectory: /srv/images
http:
  addr: 127.0.0.1:5000
  secret: {SECRET}
"""


@pytest.fixture
def check(work):
    def run(text, **env):
        path = work / "checked.yml"
        path.write_text(text)
        return proc.run(servers.ROADSTEAD, "config", "check", path, env=proc.environment(work, **env), check=False)
    return run


def test_good_file_passes_and_is_printed_without_secrets(check):
    done = check(GOOD)
    assert (done.returncode, done.stderr) == (0, "")
    assert "rootdirectory: /srv/images" in done.stdout and "level: warn" in done.stdout
    assert SECRET not in done.stdout


def test_what_is_printed_loads_again(check):
    printed = check(GOOD).stdout
    again = check(printed)
    assert again.returncode == 0 and again.stdout == printed


def test_variable_overrides_the_file(check):
    done = check(GOOD, REGISTRY_LOG_LEVEL="debug", REGISTRY_HTTP_ADDR=":6000")
    assert done.returncode == 0
    assert "level: debug" in done.stdout and "6000" in done.stdout


def test_unknown_key_is_a_warning_with_its_line(check):
    done = check(GOOD.replace("  level: warn", "  level: warn\n  colour: blue"))
    assert done.returncode == 0
    assert "checked.yml:4" in done.stderr and "colour" in done.stderr and "warning" in done.stderr


@pytest.mark.parametrize("line, text, named", [
    (10, "auth:\n  htpasswd:\n    realm: all\n    path: /etc/htpasswd\n", "auth"),
    (10, "proxy:\n  remoteurl: https://example.org\n", "proxy"),
    (10, "http:\n  addr: :5000\n", "http"),
    (10, "roadstead:\n  nothing_of_ours: true\n", "nothing_of_ours"),
], ids=["auth", "proxy", "key twice", "unknown key of ours"])
def test_what_could_restrict_access_and_is_not_honoured_is_an_error_with_its_line(check, line, text, named):
    done = check(GOOD + text)
    assert done.returncode != 0
    assert any(f"checked.yml:{n}" in done.stderr for n in range(line, line + 4)), done.stderr
    assert named in done.stderr and "error" in done.stderr


def test_broken_yaml_is_an_error_with_its_line(check):
    done = check(GOOD + "log: [unclosed\n")
    assert done.returncode != 0 and "checked.yml:1" in done.stderr


def test_server_does_not_start_with_what_it_must_not_ignore(make_server):
    server = make_server(config={"auth": {"htpasswd": {"realm": "all", "path": "/etc/htpasswd"}}}).spawn()
    server.wait_ended(status=2)
    assert "auth" in server.log_text()


def test_variables_alone_configure_the_server(make_server, work):
    server = make_server()
    server.config = {"version": 0.1, "storage": {"filesystem": {"rootdirectory": "/nowhere"}}}
    server.env.update(REGISTRY_HTTP_ADDR=server.host, REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=str(server.root),
                      REGISTRY_HTTP_HEADERS="{X-Told: [by a variable]}")
    server.start()
    server.api.push(images.image("variables"), "app", "1")
    assert server.api.get("/v2/").headers["X-Told"] == "by a variable"
    assert (server.root / "docker/registry/v2/blobs").is_dir()


# What the images of registry:2 and registry:3 and Debian's package bring along.
IMAGE = {
    "version": 0.1,
    "log": {"fields": {"service": "registry"}},
    "storage": {"cache": {"blobdescriptor": "inmemory"}, "filesystem": {"rootdirectory": "/var/lib/registry"}},
    "http": {"addr": ":5000", "headers": {"X-Content-Type-Options": ["nosniff"]}},
    "health": {"storagedriver": {"enabled": True, "interval": "10s", "threshold": 3}},
}
BROUGHT = {
    "registry:2": IMAGE,
    "registry:3": servers.merged(IMAGE, {
        "storage": {"delete": {"enabled": True}, "tag": {"concurrencylimit": 8}},
        "http": {"debug": {"addr": ":5001", "prometheus": {"enabled": True, "path": "/metrics"}}}}),
    "Debian": servers.merged(IMAGE, {
        "storage": {"filesystem": {"rootdirectory": "/var/lib/docker-registry"}, "delete": {"enabled": True}},
        "auth": {"htpasswd": {"realm": "basic-realm", "path": "/etc/docker/registry"}}}),
}


@pytest.fixture
def receiver():
    receiver = hooks.Receiver().start()
    yield receiver
    receiver.stop()


@pytest.mark.parametrize("brought", BROUGHT)
def test_the_files_that_registries_bring_work_with_variables_for_all_sections(make_server, work, receiver, brought):
    server = make_server()
    server.config = BROUGHT[brought]
    debug, switch = proc.free_port(), work / "maintenance"
    server.env.update(
        REGISTRY_HTTP_ADDR=server.host, REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=str(server.root), REGISTRY_AUTH="none",
        REGISTRY_STORAGE_DELETE_ENABLED="true", REGISTRY_STORAGE_MAINTENANCE_READONLY_ENABLED="false",
        REGISTRY_STORAGE_MAINTENANCE_UPLOADPURGING="{enabled: true, age: 24h, interval: 24h, dryrun: false}",
        REGISTRY_HTTP_DEBUG_ADDR=f"127.0.0.1:{debug}", REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED="true",
        REGISTRY_HEALTH_STORAGEDRIVER_ENABLED="true", REGISTRY_HEALTH_FILE=f"[{{file: {switch}, interval: 100ms}}]",
        REGISTRY_NOTIFICATIONS_ENDPOINTS=f"[{{name: one, url: 'http://127.0.0.1:{receiver.port}/told'}}]",
        REGISTRY_VALIDATION_MANIFESTS_INDEXES_PLATFORMS="none", REGISTRY_CATALOG_MAXENTRIES="7", REGISTRY_TAGS_MAXTAGS="1")
    server.start()
    made = images.image("brought", layers=1)
    for tag in ("1", "2"):
        server.api.push(made, "app", tag)
    assert server.api.get("/v2/").headers["X-Content-Type-Options"] == "nosniff"
    assert "service=registry" in server.log_text() and "server.yml:" not in server.log_text() and "REGISTRY_" not in server.log_text()
    assert server.api.get("/v2/app/tags/list?n=2").json()["tags"] == ["1"]
    server.api.get("/v2/_catalog?n=8").expect(400)
    absent = images.index("brought", architectures=("amd64",))
    server.api.put_manifest("app", "absent", absent.manifest, absent.media_type).expect(201)
    server.api.request("DELETE", "/v2/app/manifests/1").expect(202)
    proc.wait_until("the events have come", lambda: {event["action"] for envelope in receiver.envelopes
                                                     for event in envelope.events} >= {"push", "delete"})
    observer = client.Registry(f"127.0.0.1:{debug}")
    assert b"registry_http_requests_total" in observer.get("/metrics").expect(200).body
    observer.get("/debug/health").expect(200)
    switch.touch()
    proc.wait_until("the check has failed", lambda: server.api.get("/v2/").status == 503)
    assert list(observer.get("/debug/health").expect(503).json()) == [str(switch)]
    switch.unlink()
    proc.wait_until("the check has passed", lambda: server.api.get("/v2/").status == 200)


def test_read_only_registry_serves_and_takes_nothing(start_server):
    server = start_server()
    made = images.image("read-only")
    server.api.push(made, "app", "1")
    server.stop()
    server.env["REGISTRY_STORAGE_MAINTENANCE_READONLY"] = "enabled: true"
    server.start()
    assert server.api.verify("app", "1") == made.digest
    reply = server.api.request("POST", "/v2/app/blobs/uploads/", body=b"").expect(405)
    assert reply.error_codes() == ["UNSUPPORTED"]
