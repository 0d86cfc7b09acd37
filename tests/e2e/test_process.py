# SPDX-License-Identifier: Apache-2.0
"""Odd surroundings at the start: limits, closed descriptors, a user who may not write."""

import os
import resource

import pytest

from lib import images
from lib.client import sha256

pytestmark = pytest.mark.ours

SMALL = images.random_bytes("below the limit", 64 << 10)
LARGE = images.random_bytes("beyond the limit", 3 << 20)
FILE_LIMIT = 1 << 20
FEW_FILES = ("prlimit", "--nofile=10:10", "setpriv", "--bounding-set=-sys_resource")  # root would raise it again


def put_blob(server, data):
    location = server.api.begin_upload("limited")
    joiner = "&" if "?" in location else "?"
    return server.api.request("PUT", f"{location}{joiner}digest={sha256(data)}", body=data)


def test_a_file_beyond_the_limit_is_one_clients_error(make_server):
    server = make_server()
    server.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT)))
    assert put_blob(server, LARGE).status >= 500
    assert server.running
    assert put_blob(server, SMALL).status == 201
    assert server.api.blob("limited", sha256(SMALL)).body == SMALL
    assert not server.api.has_blob("limited", sha256(LARGE))


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_descriptors(make_server, closed):
    server = make_server(config={"roadstead": {"log": {"access": "both"}}})
    server.start(preexec_fn=lambda: [os.close(fd) for fd in closed])
    for fd in closed:
        assert os.readlink(f"/proc/{server.daemon.pid}/fd/{fd}") == "/dev/null"
    made = images.image("closed")
    server.api.push(made, "closed", "1")
    assert server.api.verify("closed", "1") == made.digest


def test_too_few_descriptors_are_refused_at_the_start(make_server):
    server = make_server().spawn(FEW_FILES)
    server.wait_ended(status=1)
    assert "cannot start: only 10 open files are allowed" in server.log_text()


def test_a_root_that_the_user_cannot_make(make_server, work):
    missing = work / "roots" / "registry"
    config = {"roadstead": {"user": "nobody"}, "storage": {"filesystem": {"rootdirectory": str(missing)}}}
    server = make_server(config=config).spawn()
    server.wait_ended(status=2)
    log = server.log_text()
    assert f"root directory {missing} cannot be created: Permission denied" in log
    assert "nobody" in log
    assert not missing.parent.exists()
