# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. docs/TESTING.md says how to run them."""

import contextlib
import itertools
import pathlib
import shutil
import signal
import tempfile

import pytest

from lib import client, collecting, engines, mounts, proc, roots, server as servers, spec, traffic

repository_numbers = itertools.count(1)
collect_ignore = [] if collecting.ALWAYS else ["test_traffic_beside.py"]  # the part e2e-collect's own


def pytest_configure():
    """A run that is ended from outside takes its servers, engines and mounts down as well."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    if servers.REFERENCE_ONLY:
        ours = [item for item in items if item.get_closest_marker("ours")]
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]
    if collecting.ALWAYS:
        leave_out(config, items)
        items.sort(key=lambda item: item.path.name == "test_traffic_beside.py")  # it ends what goes on beside all others


def leave_out(config, items):
    """What cannot run while a collector does; the summary tells."""
    unknown = [name for name in collecting.LEFT_OUT if not (pathlib.Path(__file__).parent / name).is_file()]
    if unknown:
        raise pytest.UsageError(f"lib/collecting.py leaves out what is not there: {unknown}")
    config.left_out = [item for item in items if item.path.name in collecting.LEFT_OUT]
    config.hook.pytest_deselected(items=config.left_out)
    items[:] = [item for item in items if item.path.name not in collecting.LEFT_OUT]


def pytest_terminal_summary(terminalreporter, config):
    if left_out := getattr(config, "left_out", None):
        terminalreporter.section(f"{len(left_out)} cases are left out, as every server collects all the time")
        for name in sorted({item.path.name for item in left_out}):
            terminalreporter.line(f"{name}: {collecting.LEFT_OUT[name]}")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failure shows the end of every log in the test's directory, which is gone afterwards."""
    report = (yield).get_result()
    if report.failed and "work" in getattr(item, "funcargs", {}):
        for log in sorted(item.funcargs["work"].glob("**/*.log")):
            report.sections.append((str(log.name), log.read_text(errors="replace")[-6000:]))


@contextlib.contextmanager
def temporary_directory(prefix):
    """With a short path, as unix sockets need it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix=prefix))
    path.chmod(0o755)
    yield path
    mounts.release_below(path)
    shutil.rmtree(path)


@pytest.fixture
def work():
    """A fresh directory, gone after the test."""
    with temporary_directory("rs-") as path:
        yield path


@pytest.fixture(scope="session")
def session_work():
    with temporary_directory("rs-session-") as path:
        yield path


@contextlib.contextmanager
def managed(make):
    """A maker of servers, and their end: each must stop with 0 and without a sanitizer's report."""
    def remember(ends, server):
        ends.callback(server.stop)
        return server

    with contextlib.ExitStack() as ends:  # every one is ended, whatever the others do
        yield lambda **kwargs: remember(ends, make(**kwargs))


@pytest.fixture
def make_server(work):
    """make_server(root=…, config=…, name=…, host=…, env=…): a Roadstead that is not started yet."""
    with managed(lambda **kwargs: servers.roadstead(work, **kwargs)) as make:
        yield make


@pytest.fixture
def start_server(make_server):
    """Makes and starts one more Roadstead."""
    return lambda **kwargs: make_server(**kwargs).start()


@pytest.fixture
def start_observed(start_server):
    """The same with a debug server, at its attribute `debug`."""
    def start(config=None, **kwargs):
        debug = f"127.0.0.1:{proc.free_port()}"
        observed = servers.merged({"http": {"debug": {"addr": debug, "prometheus": {"enabled": True}}}}, config)
        server = start_server(config=observed, **kwargs)
        server.debug = client.Registry(debug)
        return server
    return start


@pytest.fixture
def server(start_server):
    return start_server()


@pytest.fixture
def second_server(server, start_server):
    """Another process on the same directory."""
    return start_server(root=server.root, name="second")


@pytest.fixture(scope="session")
def shared(session_work):
    """shared(name, config=…): one server for many tests, which take repositories of their own."""
    started = {}
    with managed(lambda **kwargs: servers.roadstead(session_work, **kwargs)) as make:
        def get(name, config=None):
            if name not in started:
                started[name] = make(name=name, root=session_work / f"{name}-data", config=config).start()
            return started[name]
        yield get


@pytest.fixture(scope="session", autouse=collecting.ALWAYS and not servers.REFERENCE_ONLY)
def beside():
    """Regular traffic of docker, podman and skopeo on a registry of its own that collects. In the part e2e-collect it
    begins before the first test and goes on beside all others."""
    with temporary_directory("rs-beside-") as root, managed(lambda **kwargs: servers.roadstead(root, **kwargs)) as make:
        server = make(name="beside", config=collecting.collection()).start()
        busy = traffic.Traffic(server, root / "clients").start()
        yield busy
        busy.stop()


@pytest.fixture
def api(shared):
    """A registry that can do everything, held to the rules that each answer must keep."""
    return spec.Strict(shared("spec").host)


@pytest.fixture
def repo():
    """The name of a repository that is not there yet."""
    return f"spec/number-{next(repository_numbers)}"


@pytest.fixture
def start_docker_registry(work):
    with managed(lambda **kwargs: servers.docker_registry(work, **kwargs)) as make:
        yield lambda **kwargs: make(**kwargs).start()


@pytest.fixture
def docker_registry(server, start_docker_registry):
    """docker-registry 2.8.2 on the directory of `server`."""
    return start_docker_registry(root=server.root)


@pytest.fixture(scope="session")
def dockerd(session_work):
    (session_work / "docker").mkdir()
    engine = engines.Docker(session_work / "docker").start()
    yield engine
    engine.stop()


@pytest.fixture
def docker(dockerd):
    """dockerd without an image."""
    dockerd.remove_all_images()
    yield dockerd
    dockerd.remove_all_images()


@pytest.fixture
def podman(session_work):
    path = session_work / "podman"
    path.mkdir(exist_ok=True)
    engine = engines.Podman(path)
    engine.remove_all_images()
    yield engine
    engine.remove_all_images()


@pytest.fixture
def containerd(work):
    (work / "containerd").mkdir()
    engine = engines.Containerd(work / "containerd").start()
    yield engine
    engine.stop()


@pytest.fixture
def skopeo(work):
    return engines.Skopeo(work)


@pytest.fixture
def umoci(work):
    return engines.Umoci(work)


@pytest.fixture
def busybox(work):
    """A build context of a small image that runs."""
    return roots.busybox_context(work / "busybox")


@pytest.fixture
def debian(work):
    """A build context of a whole Debian."""
    return roots.debian_context(work / "debian")
