# SPDX-License-Identifier: Apache-2.0
"""Where it listens: TCP, IPv6, several addresses, unix sockets, sockets and readiness of systemd."""

import pathlib
import socket
import stat

import pytest

from lib import images, proc
from lib.client import Registry

ACTIVATE = ("/usr/bin/python3", pathlib.Path(__file__).parent / "lib/activate.py")


def assert_serves(host):
    api, made = Registry(host), images.image("listener")
    api.push(made, "listen", "1")
    assert api.verify("listen", "1") == made.digest


def unix_config(path):
    return {"http": {"net": "unix", "addr": str(path)}}


def test_unix_socket(start_server, work):
    path = work / "registry.sock"
    start_server(host=path, config=unix_config(path))
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert_serves(path)


@pytest.mark.ours  # docker-registry refuses to start
def test_stale_unix_socket_is_replaced(start_server, work):
    path = work / "registry.sock"
    server = start_server(host=path, config=unix_config(path))
    server.kill()
    assert path.exists()
    server.start()
    assert_serves(path)


@pytest.mark.ours
def test_unix_socket_in_use_is_left_alone(start_server, make_server, work):
    path = work / "registry.sock"
    start_server(host=path, config=unix_config(path))
    intruder = make_server(host=path, config=unix_config(path), name="intruder").spawn()
    intruder.wait_ended(status=1)
    assert_serves(path)


def test_ipv6(start_server):
    host = f"[::1]:{proc.free_port('::1')}"
    start_server(host=host, config={"http": {"addr": host}})
    assert_serves(host)


def test_port_without_a_host_serves_both_families(start_server):
    port = proc.free_port()
    start_server(host=f"127.0.0.1:{port}", config={"http": {"addr": f":{port}"}})
    assert_serves(f"127.0.0.1:{port}")
    assert_serves(f"[::1]:{port}")


@pytest.mark.ours
def test_several_addresses(start_server, work):
    second, path = f"[::1]:{proc.free_port('::1')}", work / "more.sock"
    more = [f"tcp://{second}", f"unix://{path}"]
    server = start_server(config={"roadstead": {"http": {"listen": more}}})
    for host in (server.host, second, path):
        assert_serves(host)


@pytest.mark.ours
def test_address_in_use_is_a_clear_error(server, make_server):
    intruder = make_server(host=server.host, name="intruder", root=server.root).spawn()
    intruder.wait_ended(status=1)
    assert server.host in intruder.log_text() and "in use" in intruder.log_text().lower()
    assert_serves(server.host)


def bound_socket():
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.ours
def test_sockets_of_systemd_are_used_and_waiting_clients_served(make_server):
    (first, first_host), (second, second_host) = bound_socket(), bound_socket()
    with first, second:
        early = socket.create_connection(first.getsockname())  # before the server runs
        early.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        sockets = (first.fileno(), second.fileno())
        server = make_server(host=first_host)
        server.start(wrapper=(*ACTIVATE, *sockets, "--"), pass_fds=sockets)
        with early:
            assert early.makefile("rb").read().startswith(b"HTTP/1.1 200 ")
        for host in (first_host, second_host):
            assert_serves(host)
        server.stop()


@pytest.mark.ours
def test_readiness_is_told_when_it_serves(make_server, work):
    path = work / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(proc.HANG)
        server = make_server(env={"NOTIFY_SOCKET": path}).spawn()
        assert "READY=1" in notify.recv(4096).decode().splitlines()
        assert server.answers()
        server.stop()
        told = []
        while "STOPPING=1" not in told:  # its state is told in between
            told += notify.recv(4096).decode().splitlines()
        assert told == ["STATUS=Serving", "STOPPING=1"]
