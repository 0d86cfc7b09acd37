# SPDX-License-Identifier: Apache-2.0
"""Whose request it is behind nginx and haproxy: in the log, and where a limit counts."""

import contextlib
import re

import pytest

from lib import images, proc, slow
from lib.client import Registry
from lib.proxies import Haproxy, Nginx

pytestmark = pytest.mark.ours  # docker-registry believes everybody

PROXY, OTHER_PROXY = "127.0.0.2", "127.0.0.3"  # where the proxies' connections come from
CLIENT, OTHER_CLIENT = "127.0.0.4", "127.0.0.5"
FAKED = {"X-Forwarded-For": "192.0.2.66", "X-Real-IP": "192.0.2.66"}


@pytest.fixture
def start_proxy(work):
    with contextlib.ExitStack() as ends:
        def start(kind, upstream, **kwargs):
            proxy = kind(work, upstream, **kwargs).start()
            ends.callback(proxy.stop)
            return proxy
        yield start


def trusting(*proxies, **http):
    return {"roadstead": {"http": {"trusted_proxies": list(proxies), **http}}}


def logged_address(server, host, path, source, **headers):
    """Asks for a path and looks up in the log who is said to have asked."""
    connection = slow.connect(host, source)
    slow.send_head(connection, "GET", path, host, Connection="close", **headers)
    with connection:
        slow.read_reply(connection)
    line = re.compile(r'remoteaddr="?([^ "]*)"? .*http\.request\.uri="?' + re.escape(path) + r'[" ]')
    return proc.wait_until("the request is logged", lambda: line.search(server.log_text()), server.daemon).group(1)


@pytest.mark.parametrize("kind", [Nginx, Haproxy])
def test_client_of_a_trusted_proxy_is_logged(start_server, start_proxy, kind):
    server = start_server(config=trusting(PROXY))
    proxy = start_proxy(kind, server.host, source=PROXY)
    assert logged_address(server, proxy.host, "/v2/plain/tags/list", CLIENT) == CLIENT
    assert logged_address(server, proxy.host, "/v2/other/tags/list", OTHER_CLIENT) == OTHER_CLIENT


@pytest.mark.parametrize("kind", [Nginx, Haproxy])
def test_client_cannot_fake_its_address(start_server, start_proxy, kind):
    server = start_server(config=trusting(PROXY))
    proxy = start_proxy(kind, server.host, source=PROXY)
    assert logged_address(server, proxy.host, "/v2/faked/tags/list", CLIENT, **FAKED) == CLIENT
    # The proxy passes this one on as it is, and it does not agree: then it is nobody's word.
    address = logged_address(server, proxy.host, "/v2/faked2/tags/list", CLIENT, Forwarded="for=192.0.2.66")
    assert address.startswith(PROXY + ":")


def test_who_is_no_trusted_proxy_is_not_believed(start_server, start_proxy):
    server = start_server(config=trusting(OTHER_PROXY))
    proxy = start_proxy(Nginx, server.host, source=PROXY)
    assert logged_address(server, proxy.host, "/v2/a/tags/list", CLIENT).startswith(PROXY + ":")
    direct = logged_address(server, server.host, "/v2/b/tags/list", CLIENT, **FAKED, Forwarded="for=192.0.2.66")
    assert direct.startswith(CLIENT + ":")


def test_nobody_is_believed_unless_configured(server):
    assert logged_address(server, server.host, "/v2/a/tags/list", CLIENT, **FAKED).startswith(CLIENT + ":")


def test_chain_of_proxies(start_server, start_proxy):
    server = start_server(config=trusting(PROXY, OTHER_PROXY))
    inner = start_proxy(Nginx, server.host, source=PROXY)
    outer = start_proxy(Haproxy, inner.host, source=OTHER_PROXY)
    assert logged_address(server, outer.host, "/v2/a/tags/list", CLIENT, **FAKED) == CLIENT
    # One link of the chain that is not trusted is as far as it goes.
    server = start_server(config=trusting(PROXY), name="half")
    inner = start_proxy(Nginx, server.host, source=PROXY, name="nginx2")
    outer = start_proxy(Haproxy, inner.host, source=OTHER_PROXY, name="haproxy2")
    assert logged_address(server, outer.host, "/v2/a/tags/list", CLIENT) == OTHER_PROXY


@pytest.mark.parametrize("kind", [Nginx, Haproxy])
def test_proxy_on_a_unix_socket(start_server, start_proxy, work, kind):
    path = work / "registry.sock"
    config = trusting("unix", listen=[f"unix://{path}"])
    server = start_server(config=config)
    proxy = start_proxy(kind, path)
    assert logged_address(server, proxy.host, "/v2/a/tags/list", CLIENT, **FAKED) == CLIENT


def test_uploads_are_limited_by_client_and_not_by_proxy(start_server, start_proxy):
    server = start_server(config=trusting(PROXY, max_body_workers_per_address=1, queue_time="1s"))
    proxy = start_proxy(Nginx, server.host, source=PROXY)
    location = Registry(proxy.host).begin_upload("app")
    push = slow.SlowPush(proxy.host, "PATCH", location, 1000, source=CLIENT)
    push.send(b"x")

    def post(source):
        connection = slow.connect(proxy.host, source)
        slow.send_head(connection, "POST", "/v2/app/blobs/uploads/", proxy.host, Content_Length=1, Connection="close")
        connection.sendall(b"x")
        with connection:
            return slow.read_reply(connection)[0]

    proc.wait_until("the slow one has its place", lambda: post(CLIENT) == 503, server.daemon)
    assert post(OTHER_CLIENT) == 202
    assert push.finish(b"x" * 999)[0] == 202
    assert post(CLIENT) == 202


@pytest.mark.parametrize("kind", [Nginx, Haproxy])
def test_images_pass_through_a_proxy(start_server, start_proxy, skopeo, docker, busybox, work, kind):
    server = start_server(config=trusting(PROXY))
    proxy = start_proxy(kind, server.host, source=PROXY)
    docker.build(busybox, f"{proxy.host}/through/proxy:1")
    pushed = docker.push(f"{proxy.host}/through/proxy:1")
    docker.remove_all_images()
    assert docker.pull(f"{proxy.host}/through/proxy:1") == pushed
    made = images.image("proxied")
    Registry(proxy.host).push(made, "through/api", "1")
    Registry(proxy.host).verify("through/api", "1")
    skopeo.copy(f"docker://{proxy.host}/through/api:1", f"oci:{work}/out:1")
    assert server.api.catalog() == ["through/api", "through/proxy"]
