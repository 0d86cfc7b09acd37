# SPDX-License-Identifier: Apache-2.0
"""script/bootstrap, with dpkg and apt played by small scripts: what it asks for, and that no service can start."""

import os
import pathlib
import signal
import subprocess
import tempfile
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DENYING = "#!/bin/sh\n# somebody's own\nexit 101\n"


class Machine:
    """A Debian of scripts. Files in it: installed (names of packages), calls (what apt-get was asked)."""

    def __init__(self, path):
        self.path, self.policy = path, path / "policy-rc.d"
        (path / "bin").mkdir()
        (path / "installed").write_text("")
        (path / "calls").write_text("")
        self.play("dpkg-query", 'for p; do :; done; case $p in -*) ;; *) grep -qx "$p" "$M/installed" && printf installed;; esac')
        self.play("dpkg", "exit 0")
        self.play("apt-cache", 'case $2 in docker-cli) ;; *) echo "  Candidate: 1";; esac')
        self.play("apt-get", 'echo "$*" >>"$M/calls"; "$ROADSTEAD_POLICY_RC" docker start; echo "policy $?" >>"$M/calls"\n'
                  'touch "$M/begun"; sleep "${SLOW:-0}"; [ ! -f "$M/broken" ] || exit 100\n'
                  'for p; do echo "$p" >>"$M/installed"; done')

    def play(self, name, script):
        program = self.path / "bin" / name
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(0o755)

    def environment(self, **more):
        return {"PATH": f"{self.path}/bin:/usr/bin:/bin:/usr/sbin:/sbin", "M": str(self.path),
                "ROADSTEAD_POLICY_RC": str(self.policy), "LC_ALL": "C", **more}

    def run(self, *arguments, **more):
        return subprocess.run([*more.pop("under", ()), "bash", ROOT / "script/bootstrap", *arguments], capture_output=True,
                              text=True, env=self.environment(**more))

    @property
    def calls(self):
        return (self.path / "calls").read_text()


@pytest.fixture
def machine():
    """In a directory that everybody may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="rs-bootstrap-") as path:
        os.chmod(path, 0o755)
        yield Machine(pathlib.Path(path))


def test_what_is_there_is_not_asked_for(machine):
    assert machine.run("build").returncode == 0
    assert "install" in machine.calls
    (machine.path / "calls").write_text("")
    again = machine.run("build")
    assert (again.returncode, again.stdout, again.stderr, machine.calls) == (0, "", "", "")


def test_nothing_is_removed_and_no_service_starts(machine):
    assert machine.run("build").returncode == 0
    line = next(line for line in machine.calls.splitlines() if " install " in line)
    assert "--no-remove" in line and "libjansson-dev" in line
    assert "policy 101" in machine.calls
    assert not machine.policy.exists()


def test_the_guard_goes_when_the_installation_fails(machine):
    (machine.path / "broken").touch()
    done = machine.run("build")
    assert done.returncode == 1
    assert "could not install" in done.stderr or "update failed" in done.stderr
    assert not machine.policy.exists()


def test_the_guard_goes_when_the_script_is_ended(machine):
    process = subprocess.Popen(["bash", ROOT / "script/bootstrap", "build"], env=machine.environment(SLOW="2"),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (machine.path / "begun").exists():
        assert process.poll() is None
        time.sleep(0.01)
    assert machine.policy.exists()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 128 + signal.SIGTERM
    assert not machine.policy.exists()


def test_the_guard_of_a_killed_run_goes(machine):
    process = subprocess.Popen(["bash", ROOT / "script/bootstrap", "build"], env=machine.environment(SLOW="1"),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while not (machine.path / "begun").exists():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert machine.policy.exists()
    assert machine.run("build").returncode == 0
    assert not machine.policy.exists()


def test_somebody_elses_policy_is_left_alone(machine):
    machine.policy.write_text(DENYING)
    machine.policy.chmod(0o751)
    before = machine.policy.stat()
    assert machine.run("build").returncode == 0
    after = machine.policy.stat()
    assert machine.policy.read_text() == DENYING
    assert (before.st_ino, before.st_mode, before.st_mtime_ns) == (after.st_ino, after.st_mode, after.st_mtime_ns)


def test_a_policy_that_lets_start_is_covered(machine):
    machine.policy.write_text("#!/bin/sh\nexit 0\n")
    machine.policy.chmod(0o755)
    before = machine.policy.stat()
    done = machine.run("build")
    assert done.returncode == 0, done.stderr
    assert "policy 101" in machine.calls and "policy 0" not in machine.calls
    assert machine.policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert machine.policy.stat().st_ino == before.st_ino


def test_an_engine_that_is_there_is_used(machine):
    for command in ("dockerd", "docker", "podman"):
        machine.play(command, "exit 0")
    assert machine.run("test").returncode in (0, 1)
    asked = machine.calls.split()
    assert "docker.io" not in asked and "podman" not in asked
    assert "python3-pytest" in asked


def test_missing_privileges_are_one_line(machine):
    machine.play("sudo", "exit 1")
    done = machine.run("build", under=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "root or sudo" in done.stderr and "libyaml-dev" in done.stderr
    assert machine.calls == ""
