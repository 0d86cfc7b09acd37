# SPDX-License-Identifier: Apache-2.0
"""A disk that keeps only what POSIX promises.

The bytes of a file are durable once an fsync of it has returned, and as they were when that fsync began. The entries of
a directory (a name made, replaced, removed) are durable once an fsync of the directory has returned, likewise. All else
may or may not survive a loss of power, each change for itself: a rename between two directories is two changes, and the
order in which things were done means nothing.

Time is the number of a line in the recording. A change counts from the end of its call; an fsync covers the changes
that had ended when it began.
"""

import random

ROOT = ""


class Unresolved(Exception):
    """A path leads nowhere."""


class File:
    def __init__(self):
        self.changes = []  # (time, offset or None for a truncation, bytes or new size)
        self.durable_until = 0
        self.cache = {}

    @property
    def size(self):
        return len(self.content("current"))

    @property
    def dirty(self):
        return bool(self.changes) and self.changes[-1][0] >= self.durable_until

    def content(self, fate):
        """fate: current; dropped (what was not synced never came); zeros (the size came, the bytes did not)."""
        key = (fate, len(self.changes), self.durable_until)
        if key not in self.cache:
            self.cache = {key: self._content(fate)}
        return self.cache[key]

    def _content(self, fate):
        data = bytearray()
        for time, offset, what in self.changes:
            lost = time >= self.durable_until
            if lost and fate == "dropped":
                continue
            if offset is None:
                del data[what:]
                data.extend(bytes(what - len(data)))
                continue
            data.extend(bytes(max(0, offset + len(what) - len(data))))
            data[offset : offset + len(what)] = bytes(len(what)) if lost and fate == "zeros" else what
        return bytes(data)


class Directory:
    def __init__(self, path=ROOT):
        self.path = path
        self.entries = {}  # as the processes see them
        self.durable = {}
        self.pending = []  # (time, name, inode or None), not durable yet

    def change(self, time, name, inode):
        if inode is None:
            self.entries.pop(name, None)
        else:
            self.entries[name] = inode
        self.pending.append((time, name, inode))

    def sync(self, since):
        covered = [c for c in self.pending if c[0] < since]
        self.pending = [c for c in self.pending if c[0] >= since]
        self.durable = applied(self.durable, covered)

    def surviving(self, kept):
        return applied(self.durable, [c for c in self.pending if c in kept])


def applied(entries, changes):
    result = dict(entries)
    for _, name, inode in changes:
        if inode is None:
            result.pop(name, None)
        else:
            result[name] = inode
    return result


class Disk:
    def __init__(self):
        self.root = Directory()
        self.directories = [self.root]

    # --- what processes do ---

    def find(self, path):
        node = self.root
        for name in filter(None, path.split("/")):
            if not isinstance(node, Directory) or name not in node.entries:
                raise Unresolved(path)
            node = node.entries[name]
        return node

    def exists(self, path):
        try:
            self.find(path)
            return True
        except Unresolved:
            return False

    def _place(self, path):
        parent, _, name = path.rpartition("/")
        return self.find(parent), name

    def mkdir(self, time, path):
        parent, name = self._place(path)
        directory = Directory(path)
        self.directories.append(directory)
        parent.change(time, name, directory)

    def create(self, time, path):
        parent, name = self._place(path)
        inode = File()
        parent.change(time, name, inode)
        return inode

    def link(self, time, source, target):
        inode = self.find(source)
        parent, name = self._place(target)
        parent.change(time, name, inode)

    def unlink(self, time, path):
        parent, name = self._place(path)
        self.find(path)
        parent.change(time, name, None)

    def rename(self, time, source, target):
        self.link(time, source, target)
        self.unlink(time, source)

    @staticmethod
    def write(time, inode, offset, data):
        inode.changes.append((time, offset, data))

    @staticmethod
    def truncate(time, inode, size):
        inode.changes.append((time, None, size))

    @staticmethod
    def fsync(inode, began):
        if isinstance(inode, Directory):
            inode.sync(began)
        else:
            inode.durable_until = max(inode.durable_until, began)

    # --- what is left ---

    def pending(self):
        return [(directory, change) for directory in self.directories for change in directory.pending]

    def last_change(self, matters):
        """When a name last changed, in directories that matter; of changes that are not durable yet."""
        return max((change[0] for directory, change in self.pending() if matters(directory.path)), default=0)

    def view(self, fate_of, survives):
        """The tree after a crash: {path: bytes, or None for a directory}. fate_of(file) → see File.content;
        survives(directory) → the pending changes of the directory that survive."""
        result = {}

        def walk(prefix, directory):
            for name, node in directory.surviving(survives(directory)).items():
                path = f"{prefix}/{name}" if prefix else name
                if isinstance(node, Directory):
                    result[path] = None
                    walk(path, node)
                else:
                    result[path] = node.content(fate_of(node))

        walk(ROOT, self.root)
        return result

    def crashes(self, seed, samples=4, matters=lambda path: True):
        """The trees that a crash at this moment may leave, each with a name: the extremes, each change alone lost or
        alone surviving (in directories that matter), and some at random."""
        def everything(directory):
            return directory.pending

        def nothing(_):
            return []

        yield "nothing unsynced survives", self.view(lambda _: "dropped", nothing)
        yield "names survive, bytes do not", self.view(lambda _: "dropped", everything)
        yield "names survive, bytes are zeros", self.view(lambda _: "zeros", everything)
        yield "all survives (a kill)", self.view(lambda _: "current", everything)
        for directory, change in self.pending():
            if not matters(directory.path):
                continue

            def but_one(d, directory=directory, change=change):
                return [c for c in d.pending if d is not directory or c != change]

            def only_one(d, directory=directory, change=change):
                return [change] if d is directory else []

            yield f"only the change of {directory.path}/{change[1]} is lost", self.view(lambda _: "dropped", but_one)
            yield f"only the change of {directory.path}/{change[1]} survives", self.view(lambda _: "zeros", only_one)
        for i in range(samples):
            dice = random.Random(f"{seed}-{i}")
            fates = {}

            def fate_of(inode, dice=dice, fates=fates):
                return fates.setdefault(id(inode), dice.choice(["dropped", "zeros", "current"]))

            def some(directory, dice=dice):
                return [c for c in directory.pending if dice.random() < 0.5]

            yield f"random {i}", self.view(fate_of, some)
