# SPDX-License-Identifier: Apache-2.0
"""As PID 1 of a container."""

import pathlib
import re
import shutil

from lib import images, proc, server as servers


def children_of(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_first_process_of_a_namespace_serves_and_drains(make_server):
    server = make_server().start(wrapper=("unshare", "--pid", "--fork", "--kill-child", "--mount-proc"))
    made = images.image("pid1")
    server.api.push(made, "app", "1")
    [child] = children_of(server.daemon.pid)
    status = pathlib.Path(f"/proc/{child}/status").read_text()
    assert re.search(r"^NSpid:\t\d+\t1$", status, re.MULTILINE)
    proc.run("kill", "-TERM", child)
    server.wait_ended()


def copy_program(program, directory):
    """The program with every library it is linked to."""
    program = pathlib.Path(shutil.which(program))
    libraries = re.findall(r"(/\S+) \(0x", proc.run("ldd", program))
    for path in (program, *map(pathlib.Path, libraries)):
        target = directory / "root" / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path.resolve(), target)
    return program


def test_container_serves_and_stops_well(docker, make_server, work):
    server = make_server()
    server.root.mkdir()
    program = copy_program(servers.ROADSTEAD if not servers.REFERENCE_ONLY else "docker-registry", work / "image")
    (work / "image/Dockerfile").write_text(f'FROM scratch\nCOPY root /\nENTRYPOINT ["{program}", "serve"]\n')
    docker.build(work / "image", "registry-in-a-container")
    docker.run("run", "--detach", "--name", "registry", "--network=host", "--volume", f"{work}:{work}",
               "registry-in-a-container", server.write_config())
    try:
        proc.wait_until("the container answers", server.answers)
        made = images.image("in a container")
        server.api.push(made, "app", "1")
        assert server.api.verify("app", "1") == made.digest
        docker.run("stop", "--time", "60", "registry")
        state = docker.run("container", "inspect", "--format", "{{.State.ExitCode}}", "registry").strip()
        assert state == "0", docker.run("logs", "registry")
    finally:
        docker.run("rm", "--force", "registry")
