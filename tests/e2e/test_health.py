# SPDX-License-Identifier: Apache-2.0
"""Health: /healthz, the section health, and what registry:2 does when a check fails."""

import http.server
import signal
import socket
import threading

import pytest

from lib import images, proc
from lib.client import Registry
from lib.exposition import Metrics

SOON = "100ms"


def checks(**section):
    return {"health": section}


def names_of_failing(server):
    reply = server.debug.get("/debug/health")
    assert reply.headers["Content-Type"] == "application/json; charset=utf-8"
    failing = reply.json()
    assert reply.status == (503 if failing else 200)
    return failing


def await_status(server, status, path="/v2/"):
    proc.wait_until(f"{path} answers {status}", lambda: server.api.get(path).status == status, server.daemon)


class Upstream:
    """Another server that is asked; it can be stopped and started again on its port."""

    def __init__(self):
        self.port, self.status, self.seen = proc.free_port(), 200, []
        self.start()

    def start(self):
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                upstream.seen.append((self.command, self.path, dict(self.headers)))
                self.send_response(upstream.status)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def upstream():
    upstream = Upstream()
    yield upstream
    upstream.stop()


@pytest.fixture(params=["roadstead", pytest.param("docker-registry")])
def start_either(request, start_observed, start_docker_registry):
    """Both registries, to see that they do the same."""
    def start(config):
        if request.param == "roadstead":
            return start_observed(config=config)
        debug = f"127.0.0.1:{proc.free_port()}"
        server = start_docker_registry(config={**config, "http": {"debug": {"addr": debug}}})
        server.debug = Registry(debug)
        return server
    return start


@pytest.mark.ours
def test_a_file_switches_both_registries_off_and_on(start_either, work):
    switch = work / "maintenance"
    server = start_either(checks(file=[{"file": str(switch), "interval": SOON}]))
    assert names_of_failing(server) == {}
    switch.touch()
    await_status(server, 503)
    for path in ("/v2/", "/v2/_catalog", "/v2/a/manifests/x", "/"):
        reply = server.api.get(path).expect(503)
        assert reply.error_codes() == ["UNAVAILABLE"]
    assert names_of_failing(server) == {str(switch): "file exists"}
    switch.unlink()
    await_status(server, 200)
    assert names_of_failing(server) == {}


@pytest.mark.ours
def test_healthz_says_how_it_is_and_is_never_refused(start_observed, work):
    switch = work / "maintenance"
    server = start_observed(config=checks(file=[{"file": str(switch), "interval": SOON}]))
    reply = server.api.get("/healthz").expect(200)
    assert reply.json() == {"status": "ok"} and reply.headers["Cache-Control"] == "no-store"
    assert server.api.request("HEAD", "/healthz").expect(200).body == b""
    switch.touch()
    await_status(server, 503)
    reply = server.api.get("/v2/").expect(503)
    assert int(reply.headers["Retry-After"]) > 0
    reply = server.api.get("/healthz").expect(503)
    assert reply.json() == {"status": "failing"}
    assert str(switch) not in reply.body.decode()
    metrics = Metrics(server.debug.get("/metrics").expect(200).body.decode())
    assert metrics.get("roadstead_healthy") == 0
    assert metrics.get("roadstead_health_check_up", check=str(switch)) == 0
    assert metrics.get("roadstead_health_check_failures_total", check=str(switch)) >= 1
    switch.unlink()
    await_status(server, 200, "/healthz")
    assert "/healthz" not in server.log_text()
    assert server.log_text().count('msg="health check') == 2  # not a line each time


@pytest.mark.ours
def test_healthz_stands_outside_the_prefix_and_the_access_log(start_observed):
    server = start_observed(config={"http": {"prefix": "/part/"}, "roadstead": {"log": {"access": "both"}}})
    server.api.get("/healthz").expect(200)
    server.api.get("/part/v2/").expect(200)
    server.api.get("/part/healthz").expect(404)
    proc.wait_until("the log has it", lambda: "/part/healthz" in server.log_text())
    assert "GET /healthz" not in server.log_text() and "uri=/healthz" not in server.log_text()


@pytest.mark.ours
def test_an_upload_that_is_refused_for_health_can_go_on_later(start_observed, work):
    switch, data = work / "maintenance", images.random_bytes("health", 1 << 20)
    server = start_observed(config=checks(file=[{"file": str(switch), "interval": SOON}]))
    location = server.api.begin_upload("a")
    location = server.api.location(server.api.patch(location, data).expect(202))
    switch.touch()
    await_status(server, 503)
    server.api.patch(location, data).expect(503)
    switch.unlink()
    await_status(server, 200)
    assert server.api.upload_offset(location)[0] == len(data)


@pytest.mark.ours
def test_an_upstream_that_is_killed_and_comes_back(start_either, upstream):
    uri = f"http://127.0.0.1:{upstream.port}/alive"
    server = start_either(checks(http=[{"uri": uri, "interval": SOON, "timeout": "2s", "threshold": 2,
                                        "headers": {"X-Check": ["yes"]}}]))
    proc.wait_until("it is asked", lambda: len(upstream.seen) >= 2)
    method, path, headers = upstream.seen[0]
    assert (method, path, headers["X-Check"]) == ("HEAD", "/alive", "yes")
    server.api.get("/v2/").expect(200)
    upstream.stop()
    await_status(server, 503)
    (name, text), = names_of_failing(server).items()
    assert uri.startswith(name) and text
    upstream.start()
    await_status(server, 200)
    upstream.status = 500
    await_status(server, 503)
    upstream.status = 200
    await_status(server, 200)


@pytest.mark.ours
def test_a_port_that_closes_and_opens(start_either, upstream):
    addr = f"127.0.0.1:{upstream.port}"
    server = start_either(checks(tcp=[{"addr": addr, "interval": SOON, "timeout": "2s", "threshold": 1}]))
    server.api.get("/v2/").expect(200)
    upstream.stop()
    await_status(server, 503)
    assert list(names_of_failing(server)) == [addr]
    upstream.start()
    await_status(server, 200)


@pytest.mark.ours  # docker-registry does not notice
def test_storage_that_is_moved_away_and_back(start_observed, work):
    server = start_observed(config=checks(storagedriver={"enabled": True, "interval": SOON, "threshold": 2}))
    made = images.image("moved")
    server.api.push(made, "a", "1")
    away = work / "away"
    server.root.rename(away)
    await_status(server, 503)
    assert "gone" in names_of_failing(server)["storagedriver_filesystem"]
    server.api.get("/healthz").expect(503)
    away.rename(server.root)
    await_status(server, 200)
    assert server.api.verify("a", "1") == made.digest


@pytest.mark.ours
def test_storage_that_errs_below_the_threshold_goes_on(start_observed):
    server = start_observed(
        config=checks(storagedriver={"enabled": True, "interval": SOON, "threshold": 1000}),
        env={"ROADSTEAD_TEST_FAULTS": "stat:error=IO"})

    def failures():
        seen = Metrics(server.debug.get("/metrics").expect(200).body.decode())
        return seen.get("roadstead_health_check_failures_total", check="storagedriver_faulty")

    proc.wait_until("the check has failed some times", lambda: failures() >= 3)
    server.api.get("/v2/").expect(200)
    server.api.get("/healthz").expect(200)


@pytest.mark.ours
def test_both_spellings_of_the_variables(start_observed, work):
    one, two = work / "one", work / "two"
    server = start_observed(env={
        "REGISTRY_HEALTH_FILECHECKERS": f"[{{file: {one}, interval: {SOON}}}]",
        "REGISTRY_HEALTH_FILE_1_FILE": str(two), "REGISTRY_HEALTH_FILE_1_INTERVAL": SOON})
    for switch in (one, two):
        switch.touch()
        await_status(server, 503)
        assert list(names_of_failing(server)) == [str(switch)]
        switch.unlink()
        await_status(server, 200)


@pytest.mark.ours
def test_secrets_of_an_address_are_shown_nowhere(start_observed):
    port = proc.free_port()
    server = start_observed(config=checks(http=[
        {"uri": f"http://user:hidden1@127.0.0.1:{port}/hidden2?token=hidden3", "interval": SOON,
         "threshold": 10}]))
    await_status(server, 503)
    shown = server.debug.get("/debug/health").body.decode() + server.debug.get("/metrics").body.decode()
    assert f"http://127.0.0.1:{port}" in shown
    assert "hidden" not in shown + server.log_text()


@pytest.mark.ours
def test_a_server_that_drains_says_so(start_observed):
    """On connections that it still has: new ones are refused."""
    server = start_observed()
    slow = server.api.connect()
    slow.connect()
    slow.sock.sendall(b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n{")
    pipelined = server.api.connect()
    pipelined.connect()
    pipelined.sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: h\r\n")  # half a head
    server.api.get("/v2/").expect(200)
    server.daemon.signal(signal.SIGTERM)
    proc.wait_until("it takes no more connections", lambda: not server.accepts())
    pipelined.sock.sendall(b"\r\n")
    answer = pipelined.sock.recv(4096)
    assert b" 503 " in answer.split(b"\r\n")[0] and b"stopping" in answer
    server.debug.get("/debug/health").expect(200)
    slow.sock.sendall(b"123456789")
    slow.sock.recv(4096)
    slow.close(), pipelined.close()
    server.wait_ended()


@pytest.mark.ours
def test_the_end_can_be_announced_to_load_balancers(start_observed):
    server = start_observed(config={"roadstead": {"http": {"stop_delay": "1500ms"}}})
    server.daemon.signal(signal.SIGTERM)
    await_status(server, 503, "/healthz")
    assert server.api.get("/healthz").json() == {"status": "stopping"}
    server.api.get("/v2/").expect(200)
    server.api.push(images.image("late"), "late", "1")
    server.wait_ended()
    assert not server.accepts()


@pytest.mark.ours
def test_a_second_signal_ends_the_announcement(start_observed):
    server = start_observed(config={"roadstead": {"http": {"stop_delay": "1h"}}})
    server.daemon.signal(signal.SIGTERM)
    await_status(server, 503, "/healthz")
    server.daemon.signal(signal.SIGTERM)
    server.wait_ended(status=1)


@pytest.mark.ours
def test_a_hanging_peer_holds_up_neither_others_nor_the_end(start_observed, work):
    switch = work / "maintenance"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = start_observed(config=checks(
            http=[{"uri": f"http://127.0.0.1:{silent.getsockname()[1]}/", "timeout": "1h", "interval": SOON}],
            file=[{"file": str(switch), "interval": SOON}]))
        switch.touch()
        await_status(server, 503)
        switch.unlink()
        await_status(server, 200)
        server.stop()
