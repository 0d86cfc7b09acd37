# SPDX-License-Identifier: Apache-2.0
"""The model itself: it must lose what POSIX may lose, and nothing else."""

from disk import Disk


def trees(disk):
    return [tree for _, tree in disk.crashes("seed", samples=30)]


def test_a_file_that_was_never_synced_may_be_gone_empty_or_zeros():
    disk = Disk()
    disk.write(2, disk.create(1, "f"), 0, b"bytes")
    seen = {tree.get("f") for tree in trees(disk)}
    assert seen == {None, b"", bytes(5), b"bytes"}


def test_a_synced_file_in_an_unsynced_directory_may_be_gone_but_not_torn():
    disk = Disk()
    inode = disk.create(1, "f")
    disk.write(2, inode, 0, b"bytes")
    disk.fsync(inode, 3)
    assert {tree.get("f") for tree in trees(disk)} == {None, b"bytes"}
    disk.fsync(disk.root, 4)
    assert {tree.get("f") for tree in trees(disk)} == {b"bytes"}


def test_an_fsync_does_not_cover_what_came_after_it_began():
    disk = Disk()
    inode = disk.create(1, "f")
    disk.write(2, inode, 0, b"old")
    disk.fsync(disk.root, 5)
    disk.write(6, inode, 0, b"new")
    disk.fsync(inode, 5)
    assert {tree["f"] for tree in trees(disk)} == {b"old", bytes(3), b"new"}


def test_a_directory_needs_its_own_entry():
    disk = Disk()
    disk.mkdir(1, "d")
    inode = disk.create(2, "d/f")
    disk.fsync(inode, 3)
    disk.fsync(disk.find("d"), 4)
    assert any("d" not in tree for tree in trees(disk))
    disk.fsync(disk.root, 5)
    assert all(tree["d/f"] == b"" for tree in trees(disk))


def test_a_rename_shows_the_old_or_the_new():
    disk = Disk()
    old, new = disk.create(1, "f"), disk.create(2, "f.tmp")
    disk.write(3, old, 0, b"old")
    disk.write(3, new, 0, b"new")
    disk.fsync(old, 4)
    disk.fsync(new, 4)
    disk.fsync(disk.root, 4)
    disk.rename(5, "f.tmp", "f")
    assert {tree["f"] for tree in trees(disk)} == {b"old", b"new"}
    disk.fsync(disk.root, 6)
    assert {tree["f"] for tree in trees(disk)} == {b"new"}
    assert all("f.tmp" not in tree for tree in trees(disk))


def test_a_rename_between_directories_is_two_changes():
    disk = Disk()
    disk.mkdir(1, "a")
    disk.mkdir(1, "b")
    disk.create(2, "a/f")
    for node in (disk.root, disk.find("a"), disk.find("b")):
        disk.fsync(node, 3)
    disk.rename(4, "a/f", "b/f")
    assert {("a/f" in tree, "b/f" in tree) for tree in trees(disk)} == {
        (True, True), (True, False), (False, True), (False, False)}
    disk.fsync(disk.find("b"), 5)
    assert all("b/f" in tree for tree in trees(disk))


def test_a_removal_may_come_undone():
    disk = Disk()
    disk.create(1, "f")
    disk.fsync(disk.root, 2)
    disk.unlink(3, "f")
    assert {"f" in tree for tree in trees(disk)} == {True, False}
    disk.fsync(disk.root, 4)
    assert not any("f" in tree for tree in trees(disk))


def test_a_truncation_may_come_undone():
    disk = Disk()
    inode = disk.create(1, "f")
    disk.write(2, inode, 0, b"bytes")
    disk.fsync(inode, 3)
    disk.fsync(disk.root, 3)
    disk.truncate(4, inode, 2)
    assert {tree["f"] for tree in trees(disk)} == {b"bytes", b"by"}
    disk.truncate(5, inode, 4)
    assert inode.content("current") == b"by\0\0"
