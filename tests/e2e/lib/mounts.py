# SPDX-License-Identifier: Apache-2.0
"""Small file systems that fill up."""

import contextlib

from . import proc


@contextlib.contextmanager
def tmpfs(directory, megabytes):
    directory.mkdir()
    proc.run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "roadstead-test", directory)
    try:
        yield directory
    finally:
        proc.run("umount", directory)


@contextlib.contextmanager
def ext4(directory, megabytes):
    """On a loop device; without the blocks that are kept for root, as the server runs as root here."""
    image = directory.with_suffix(".img")
    with open(image, "wb") as file:
        file.truncate(megabytes << 20)
    proc.run("mkfs.ext4", "-q", "-m", "0", image)
    directory.mkdir()
    proc.run("mount", "-o", "loop", image, directory)
    try:
        yield directory
    finally:
        proc.run("umount", directory)
        image.unlink()


def release_below(directory):
    """Unmounts what is still mounted there: engines leave network name spaces and layers."""
    points = [line.split()[1] for line in open("/proc/self/mounts")]
    for point in reversed([p for p in points if p.startswith(f"{directory}/")]):
        proc.run("umount", "--lazy", point)


def fill(directory, name="filler"):
    """Takes all the room that is left."""
    path = directory / name
    with contextlib.suppress(OSError), open(path, "ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return path
