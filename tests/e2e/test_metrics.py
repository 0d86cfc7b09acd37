# SPDX-License-Identifier: Apache-2.0
"""Metrics: what Prometheus' own tool says of them, that they count what happens, and registry:2's names."""

import pathlib
import re
import threading

import pytest

from lib import images, proc
from lib.client import Registry, sha256
from lib.exposition import Metrics

pytestmark = pytest.mark.ours
DATA = images.random_bytes("metrics", 3 << 20)
# registry:2 has these names; their form is not what promtool would choose.
FOREIGN = ("registry_",)


def look(server, path="/metrics"):
    reply = server.debug.get(path).expect(200)
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(reply.body.decode())


@pytest.fixture
def server(start_observed):
    return start_observed()


def use(server):
    """Something of everything."""
    made = images.image("metrics")
    server.api.push(made, "app/one", "latest")
    assert server.api.verify("app/one", "latest") == made.digest
    server.api.push_blob_in_chunks("app/one", DATA, 1 << 20)
    server.api.tags("app/one")
    server.api.catalog()
    server.api.get("/").expect(200)
    server.api.get("/nothing/here").expect(404)
    server.api.get("/v2/app/one/manifests/none").expect(404)
    server.api.request("DELETE", "/v2/").expect(405)
    server.api.request("BREW", "/v2/").expect(405)


def test_promtool_finds_nothing_wrong(server):
    use(server)
    done = proc.run("promtool", "check", "metrics", stdin=look(server).text, check=False)
    wrong = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith(FOREIGN)]
    assert not wrong and done.returncode in (0, 3), done  # 3: it has remarks


def test_requests_are_counted_by_route_method_and_status(server):
    before = look(server)
    for _ in range(7):
        server.api.get("/v2/a/manifests/none").expect(404)
    server.api.get("/v2/").expect(200)
    after = look(server)
    requests = "roadstead_http_requests_total"
    assert after.get(requests, route="manifest", method="GET", code="404") == 7
    assert (after.get(requests, route="base", method="GET", code="200")
            == before.get(requests, route="base", method="GET", code="200") + 1)
    assert after.get("roadstead_http_request_duration_seconds_count", route="manifest", method="GET") == 7
    assert 0 < after.get("roadstead_http_request_duration_seconds_sum", route="manifest", method="GET") < 7
    assert after.get("roadstead_http_in_flight_requests", route="manifest") == 0


def test_bytes_are_counted_in_both_directions(server):
    digest = server.api.push_blob("a", DATA)
    server.api.blob("a", digest).expect(200)
    seen = look(server)
    received = seen.get("roadstead_http_request_size_bytes_sum", route="blob_upload_chunk")
    assert len(DATA) < received < len(DATA) + 2000
    assert seen.get("roadstead_http_response_size_bytes_sum", route="blob") == len(DATA)
    assert seen.get("roadstead_http_response_size_bytes_bucket", route="blob", le="4.194304e+06") == 1
    assert seen.get("roadstead_http_response_size_bytes_bucket", route="blob", le="2.097152e+06") == 0


def test_uploads_are_counted(server):
    server.api.push_blob("a", DATA)
    location = server.api.begin_upload("a")
    location = server.api.location(server.api.patch(location, b"12345").expect(202))
    server.api.request("DELETE", location).expect(204)
    server.api.finish_upload(server.api.begin_upload("a"), sha256(b"other"), b"bytes").expect(400)
    seen = look(server)
    assert seen.get("roadstead_uploads_started_total") == 3
    assert seen.get("roadstead_uploads_finished_total") == 1
    assert seen.get("roadstead_uploads_cancelled_total") == 1
    assert seen.get("roadstead_uploads_failed_total") == 1
    assert seen.get("roadstead_upload_received_bytes_total") == len(DATA) + 10
    assert seen.get("roadstead_uploads_writing") == 0


def test_an_upload_that_is_under_way_is_seen(server):
    location = server.api.begin_upload("a")
    connection = server.api.connect()
    connection.connect()
    connection.sock.sendall(f"PATCH {location[location.index('/v2/'):]} HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc"
                            .encode())
    proc.wait_until("the upload is being written", lambda: look(server).get("roadstead_uploads_writing") == 1)
    seen = look(server)
    assert seen.get("roadstead_http_in_flight_requests", route="blob_upload_chunk") == 1
    assert seen.get("roadstead_http_workers") == 1
    assert seen.get("roadstead_http_connections") == 1
    assert seen.get("roadstead_http_parked_connections") == 0
    connection.close()
    proc.wait_until("it has ended", lambda: look(server).get("roadstead_uploads_writing") == 0)
    assert look(server).sum("roadstead_http_requests_total", route="blob_upload_chunk", method="PATCH") == 1


def test_a_client_that_goes_away_is_counted(server):
    digest = server.api.push_blob("a", images.random_bytes("long", 64 << 20))
    connection = server.api.connect()
    connection.request("GET", f"/v2/a/blobs/{digest}")
    connection.getresponse().read(1000)
    connection.close()
    proc.wait_until("it is noticed",
                    lambda: look(server).get("roadstead_http_interrupted_requests_total") == 1)
    assert look(server).get("roadstead_http_in_flight_requests", route="blob") == 0


def test_idle_connections_are_parked(server):
    connections = [server.api.connect() for _ in range(20)]
    for connection in connections:
        connection.request("GET", "/v2/")
        connection.getresponse().read()
    proc.wait_until("all are parked", lambda: look(server).get("roadstead_http_parked_connections") == 20)
    assert look(server).get("roadstead_http_connections") == 20
    assert look(server).get("roadstead_http_accepted_connections_total") >= 20
    for connection in connections:
        connection.close()
    proc.wait_until("all have gone", lambda: look(server).get("roadstead_http_connections") == 0)


def test_storage_operations_and_errors_are_counted(start_observed):
    server = start_observed(env={"ROADSTEAD_TEST_FAULTS": "sync:nth=3:error=IO"})
    made = images.image("storage")
    with pytest.raises(AssertionError):
        server.api.push(made, "a", "1")
    seen = look(server)
    assert seen.sum("roadstead_storage_errors_total", operation="sync") == 1
    assert seen.sum("roadstead_storage_operations_total", operation="sync") == 3
    assert seen.sum("roadstead_storage_operation_duration_seconds_count", operation="sync") == 3
    assert seen.sum("roadstead_storage_operations_total", operation="stat") > 0
    assert seen.get("roadstead_storage_flushes_total") > 0


def test_the_manifest_cache_is_counted(server):
    made = images.image("cache")
    server.api.push(made, "a", "1")
    server.restart()
    for _ in range(5):
        server.api.manifest("a", "1")
    seen = look(server)
    assert seen.get("roadstead_manifest_cache_misses_total") >= 1
    assert seen.get("roadstead_manifest_cache_hits_total") >= 4
    assert seen.get("roadstead_manifest_cache_bytes") > 0
    assert (seen.get("registry_storage_cache_total", type="Request")
            == seen.get("registry_storage_cache_total", type="Hit") + seen.get("registry_storage_cache_total", type="Miss"))


def test_no_label_holds_what_a_client_chose(server):
    for n in range(50):
        server.api.get(f"/v2/secret-name-{n}/manifests/tag-{n}")
        server.api.get(f"/secret-path-{n}")
        server.api.request(f"SECRET{n}", "/v2/")
    lines = len(look(server).text.splitlines())
    for n in range(50, 100):
        server.api.get(f"/v2/secret-name-{n}/manifests/tag-{n}")
        server.api.get(f"/secret-path-{n}")
        server.api.request(f"SECRET{n}", "/v2/")
    text = look(server).text
    assert "secret" not in text.lower() and "tag-" not in text
    assert len(text.splitlines()) == lines


def test_registry_2_has_the_same_names_labels_and_buckets(server, start_docker_registry, work):
    """Everything that docker-registry shows under registry_ is here, but for values of its own."""
    debug = f"127.0.0.1:{proc.free_port()}"
    peer = start_docker_registry(root=work / "other", config={
        "http": {"debug": {"addr": debug, "prometheus": {"enabled": True}}},
        "storage": {"cache": {"blobdescriptor": "inmemory"}}})
    for one in (server, peer):
        made = images.image("names")
        one.api.push(made, "a", "1")
        assert one.api.verify("a", "1") == made.digest
        one.api.tags("a")
        one.api.catalog()
        one.api.get("/v2/a/manifests/none").expect(404)
        one.api.get("/v2/").expect(200)
    theirs = Registry(debug).get("/metrics").expect(200).body.decode()
    kept = [line for line in theirs.splitlines() if line.startswith("registry_")]
    assert len(kept) > 100
    ours = look(server)
    found = set()
    for family in ours.families.values():
        found |= {(name, tuple(sorted(dict(labels)))) for name, labels in family.samples}
    for line in kept:
        name, labels = re.match(r"(\w+)(?:\{(.*)\})? ", line).groups()
        names = tuple(sorted(re.findall(r'(\w+)="', labels or "")))
        assert (name, names) in found, line
    for name in ("registry_http_request_duration_seconds", "registry_http_request_size_bytes",
                 "registry_http_response_size_bytes", "registry_storage_action_seconds"):
        bounds = {m for line in kept if line.startswith(name + "_bucket") for m in re.findall(r'le="([^"]*)"', line)}
        assert {dict(labels)["le"] for sample, labels in ours.families[name].samples
                if sample == name + "_bucket"} == bounds, name
    handlers = {m for line in kept for m in re.findall(r'handler="([^"]*)"', line)}
    assert handlers <= ours.values("handler")
    assert ours.get("registry_http_requests_total", handler="manifest", method="get", code="404") == 1


def test_the_process_tells_of_itself(server):
    seen = look(server)
    stat = pathlib.Path(f"/proc/{server.daemon.pid}/stat").read_text().rsplit(") ", 1)[1].split()
    resident = int(stat[21]) * 4096
    assert abs(seen.get("process_resident_memory_bytes") - resident) < 8 << 20
    fds = len(list(pathlib.Path(f"/proc/{server.daemon.pid}/fd").iterdir()))
    assert abs(seen.get("process_open_fds") - fds) <= 3
    assert seen.get("roadstead_build_info", version=[v for v in seen.values("version")][0]) == 1
    assert 0 < seen.get("process_cpu_seconds_total") < 60
    assert seen.get("roadstead_read_only") == 0


def test_many_look_at_once_while_others_work(server):
    stop, failures = threading.Event(), []

    def watch():
        while not stop.is_set():
            try:
                look(server)
            except Exception as e:
                failures.append(e)
                return

    watchers = [threading.Thread(target=watch) for _ in range(4)]
    for watcher in watchers:
        watcher.start()
    for n in range(3):
        server.api.push(images.image(f"busy {n}"), "busy", str(n))
    stop.set()
    for watcher in watchers:
        watcher.join()
    assert not failures, failures


def test_the_debug_server_has_no_more_than_it_should(start_observed):
    server = start_observed(config={"http": {"debug": {"prometheus": {"path": "/their/metrics"}}}})
    look(server, "/their/metrics")
    for path in ("/", "/metrics", "/debug/vars", "/debug/pprof/", "/v2/", "/healthz"):
        server.debug.get(path).expect(404)
    server.debug.request("POST", "/debug/health").expect(405)
    server.debug.request("HEAD", "/their/metrics").expect(200)
    for path in ("/their/metrics", "/metrics", "/debug/health"):
        server.api.get(path).expect(404)


def test_metrics_are_off_unless_asked_for(start_observed):
    server = start_observed(config={"http": {"debug": {"prometheus": {"enabled": False}}}})
    server.debug.get("/metrics").expect(404)
    server.debug.get("/debug/health").expect(200)


def test_a_debug_address_in_use_stops_the_start(server, make_server):
    other = make_server(name="other", config={"http": {"debug": {"addr": server.debug.host}}}).spawn()
    daemon = other.daemon
    other.wait_ended(status=1)
    assert "http.debug.addr" in daemon.output() and "in use" in daemon.output()
