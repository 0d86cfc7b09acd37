# SPDX-License-Identifier: Apache-2.0
"""The recorder: what a small program did is played to the same end, and a forgotten fsync is noticed."""

import os
import sys

import pytest

import recorder

SAFE = """
import os, sys
root = os.open(sys.argv[1], os.O_RDONLY)
os.mkdir("d", dir_fd=root)
f = os.open("d/link.1.tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=root)
os.write(f, b'by"tes\\n\\x00')
os.writev(f, [b"1", b"2"])
os.fsync(f)
os.rename("d/link.1.tmp", "d/link", src_dir_fd=root, dst_dir_fd=root)
d = os.open("d", os.O_RDONLY | os.O_DIRECTORY, dir_fd=root)
os.fsync(d)
os.fsync(root)
os.write(int(sys.argv[2]), b"HTTP/1.1 201 Created\\r\\nLocation: /x\\r\\n\\r\\n")
os.unlink("d/link", dir_fd=root)
os.write(f, b"more")
"""
CONTENT = b'by"tes\n\x0012'


def record(work, program, *arguments):
    data = work / "data"
    data.mkdir(exist_ok=True)
    with open(os.devnull, "wb") as sink:
        calls = recorder.run(work / "strace.out", [sys.executable, "-c", program, data, sink.fileno(), *arguments],
                             pass_fds=[sink.fileno()])
    return data, calls


def states_at_the_answer(data, calls):
    player = recorder.Player(data, calls)
    for time, answer in player.play():
        if answer is not None:
            assert answer.head == b"HTTP/1.1 201 Created\r\nLocation: /x"
            return [tree for _, tree in player.disk.crashes(time)]
    raise AssertionError("no answer was recorded")


def test_what_was_done_is_played(work):
    data, calls = record(work, SAFE)
    assert all(tree.get("d/link") == CONTENT for tree in states_at_the_answer(data, calls))
    player = recorder.Player(data, calls)
    moments = list(player.play())
    assert len(moments) == 11  # mkdir, create, write, writev, fsync, rename, two fsyncs, the answer, unlink, write
    assert not player.disk.exists("d/link")
    assert player.disk.exists("d")


def test_each_forgotten_fsync_is_noticed(work):
    data, calls = record(work, SAFE)
    fsyncs = [c for c in calls if c.name == "fsync"]
    assert len(fsyncs) == 3
    for fsync in fsyncs:
        states = states_at_the_answer(data, recorder.without(calls, fsync))
        assert any(tree.get("d/link") != CONTENT for tree in states)


def test_in_place_writing_is_noticed(work):
    data, calls = record(work, """
import os, sys
f = os.open(sys.argv[1] + "/f", os.O_WRONLY | os.O_CREAT)
os.write(f, b"old")
os.fsync(f)
os.fsync(os.open(sys.argv[1], os.O_RDONLY))
f = os.open(sys.argv[1] + "/f", os.O_WRONLY | os.O_TRUNC)
os.pwrite(f, b"new", 0)
os.write(int(sys.argv[2]), b"HTTP/1.1 201 Created\\r\\nLocation: /x\\r\\n\\r\\n")
""")
    assert {tree["f"] for tree in states_at_the_answer(data, calls)} >= {b"old", bytes(3), b"new"}


def test_threads(work):
    """Calls of several threads overlap in the recording."""
    data, calls = record(work, """
import os, sys, threading
def work(i):
    for j in range(40):
        path = f"{sys.argv[1]}/{j}"
        os.makedirs(path, exist_ok=True)
        with open(f"{path}/{i}", "wb") as f:
            f.write(b"%d" % i)
threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
""")
    player = recorder.Player(data, calls)
    for _ in player.play():
        pass
    for j in range(40):
        for i in range(4):
            assert player.disk.find(f"{j}/{i}").content("current") == b"%d" % i


@pytest.mark.parametrize("statement", [
    "os.sendfile(f, os.open('/etc/hostname', os.O_RDONLY), 0, 3)",
    "os.truncate(path, 5); os.posix_fallocate(f, 0, 10)",
    "import mmap; os.ftruncate(f, 4096); mmap.mmap(f, 4096)",
    "os.sync()",
    "os.lseek(f, 5, os.SEEK_SET)",
    "os.dup2(f, 77)",
    "os.open(path, os.O_WRONLY | os.O_DSYNC)",
])
def test_what_the_model_does_not_know_ends_the_test(work, statement):
    data, calls = record(work, f"""
import os, sys
path = sys.argv[1] + "/f"
f = os.open(path, os.O_RDWR | os.O_CREAT)
{statement}
""")
    with pytest.raises(NotImplementedError):
        list(recorder.Player(data, calls).play())
