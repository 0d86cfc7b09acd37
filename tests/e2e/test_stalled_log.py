# SPDX-License-Identifier: Apache-2.0
"""Nobody reads the log: the server serves on, and later tells how many lines are missing."""

import concurrent.futures
import contextlib
import os
import pathlib
import re

import pytest

from lib import proc
from lib.client import Registry

pytestmark = pytest.mark.ours  # docker-registry hangs

CLIENTS, REQUESTS = 16, 250  # with a long line each: more than any pipe takes
AGENT = "x" * 2000
NOTICE = re.compile(r'level=warning msg="([1-9]\d*) log lines were dropped: the reader of the log is too slow"')
ACCESS_NOTICE = re.compile(r'level=warning msg="([1-9]\d*) lines of the access log were dropped')


class Pipe:
    def __init__(self, stack):
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        stack.callback(os.close, self.reader)

    def take(self):
        """What can be read now."""
        parts = []
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.reader, 1 << 20):
                parts.append(part)
        return b"".join(parts).decode(errors="replace")


@pytest.fixture
def pipes():
    """Of standard output and of standard error."""
    with contextlib.ExitStack() as stack:
        yield Pipe(stack), Pipe(stack)


@pytest.fixture
def server(make_server, pipes):
    def lead():
        os.dup2(pipes[0].writer, 1)
        os.dup2(pipes[1].writer, 2)

    server = make_server(config={"roadstead": {"log": {"access": "both"}}})
    server.start(preexec_fn=lead)
    for pipe in pipes:
        os.close(pipe.writer)
    return server


def ask_often(host):
    with contextlib.closing(Registry(host).connect()) as connection:
        for _ in range(REQUESTS):
            connection.request("GET", "/v2/", headers={"User-Agent": AGENT})
            reply = connection.getresponse()
            reply.read()
            assert reply.status == 200
    return REQUESTS


@pytest.fixture
def stalled(server):
    """After thousands of requests, each of which was answered."""
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(ask_often, [server.host] * CLIENTS)) == CLIENTS * REQUESTS
    return server


def threads(server):
    return int(re.search(r"^Threads:\s+(\d+)$", pathlib.Path(f"/proc/{server.daemon.pid}/status").read_text(),
                         re.MULTILINE)[1])


def test_no_thread_waits_for_the_reader(stalled):
    assert threads(stalled) < 64


def test_sigterm_ends_it(stalled):
    stalled.daemon.signal(proc.SIGTERM)
    stalled.wait_ended()


def test_the_dropped_lines_are_told_when_it_is_read_again(stalled, pipes):
    out, err = pipes
    access, log = out.take(), err.take()
    stalled.api.get("/v2/_catalog")

    def notice():
        nonlocal log
        log += err.take()
        return ACCESS_NOTICE.search(log)

    missing = int(proc.wait_until("the notice comes", notice, stalled.daemon)[1])
    notices = list(NOTICE.finditer(log))  # a short one may have found room before
    assert notices[-1].start() < log.index("/v2/_catalog")
    ready = CLIENTS * REQUESTS + 1  # and at least one to see that it answers
    assert sum(int(n[1]) for n in notices) >= ready - log.count("http.request.uri=/v2/ ") > 0
    assert missing >= ready - access.count('"GET /v2/ HTTP/1.1"') > 0


def test_the_pipe_itself_is_left_as_it_was(make_server):
    """Whoever shares it writes on as before: O_NONBLOCK is of the open file, not of the descriptor."""
    with contextlib.ExitStack() as stack:
        pipe = Pipe(stack)
        stack.callback(os.close, pipe.writer)
        server = make_server().start(preexec_fn=lambda: os.dup2(pipe.writer, 2))
        assert os.get_blocking(pipe.writer)
        proc.wait_until("the start is logged", lambda: "roadstead is listening" in pipe.take(), server.daemon)
