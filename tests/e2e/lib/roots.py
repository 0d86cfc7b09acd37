# SPDX-License-Identifier: Apache-2.0
"""What images are made of: busybox, and a whole Debian."""

import contextlib
import os
import pathlib
import shutil
import tempfile

from . import proc

RELEASE = "bookworm"
BUSYBOX = "/usr/bin/busybox"  # of busybox-static


def cache_directory():
    path = pathlib.Path(os.environ.get("ROADSTEAD_TEST_CACHE", os.path.expanduser("~/.cache/roadstead-tests")))
    path.mkdir(parents=True, exist_ok=True)
    return path


def mirror():
    """Where this machine's apt gets that release."""
    found = proc.run("apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Identifier: Packages")
    return next(line.split()[1] for line in found.splitlines() if line.split()[0] == RELEASE)


def debian_tar():
    """A debootstrapped Debian as a tar, made once for all runs."""
    target = cache_directory() / f"debian-{RELEASE}.tar"
    if not target.exists():
        work = pathlib.Path(tempfile.mkdtemp(prefix="debootstrap-", dir=cache_directory()))
        try:
            proc.run("debootstrap", "--variant=minbase", RELEASE, work / "root", mirror(), timeout=1200)
            proc.run("tar", "-C", work / "root", "--numeric-owner", "--exclude=./dev/*", "-cf", work / "root.tar", ".")
            os.rename(work / "root.tar", target)
        finally:
            shutil.rmtree(work)
    return target


def link_or_copy(source, target):
    with contextlib.suppress(OSError):
        return os.link(source, target)
    shutil.copy(source, target)


def busybox_context(directory, marker="hello"):
    """A build context of two layers: busybox, and a file that makes this image unlike others."""
    directory.mkdir(parents=True)
    shutil.copy(BUSYBOX, directory / "busybox")
    (directory / "marker").write_text(marker + "\n")
    (directory / "Dockerfile").write_text(
        'FROM scratch\nCOPY busybox /bin/busybox\nCOPY marker /marker\nENTRYPOINT ["/bin/busybox"]\n')
    return directory


def debian_context(directory):
    directory.mkdir(parents=True)
    link_or_copy(debian_tar(), directory / "debian.tar")
    (directory / "Dockerfile").write_text("FROM scratch\nADD debian.tar /\nCMD [\"/bin/bash\"]\n")
    return directory
