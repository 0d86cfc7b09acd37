# SPDX-License-Identifier: Apache-2.0
"""Records what a program does to a directory, with strace, and plays it to the model of a disk.

A call that could change the directory and that the model does not know ends the test: better a test that must be
extended than one that overlooks a write.
"""

import dataclasses
import pathlib
import posixpath
import re
import subprocess

from disk import Disk, File, Unresolved

KNOWN = """open openat creat close write pwrite64 writev pwritev rename renameat renameat2 link linkat mkdir mkdirat
    unlink unlinkat rmdir ftruncate fsync fdatasync sync_file_range sendto sendmsg""".split()
# Harmless elsewhere; on a file below the directory nobody has taught the model what they do.
UNKNOWN = """openat2 pwritev2 truncate fallocate sync syncfs sendfile splice copy_file_range dup dup2 dup3 lseek mmap
    symlink symlinkat io_uring_setup""".split()
ANSWER = re.compile(rb"HTTP/1\.1 20[12] ")
PROGRESS = re.compile(rb"\r\nlocation: \S*/blobs/uploads/", re.IGNORECASE)  # of an upload: promises nothing


def command(output, slow_fsyncs=False):
    """What to put before a command line. slow_fsyncs: every fifth of a thread takes 60 ms, so that much happens while
    it runs."""
    calls = ",".join(KNOWN + UNKNOWN)
    delay = ["-e", "inject=fsync:delay_enter=60000:when=3+5"] if slow_fsyncs else []
    return ["strace", "-f", "-y", "-xx", "-s", "1000000000", "-o", str(output), "-e", f"trace={calls}", *delay]


def run(output, argv, **options):
    subprocess.run([*command(output), *map(str, argv)], check=True, **options)
    return calls_of(output)


@dataclasses.dataclass
class Call:
    began: int
    ended: int
    name: str
    args: list
    result: int

    def text(self, i):
        return unescape(self.args[i])


def unescape(argument):
    """The bytes of a string argument."""
    found = re.search(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?', argument)
    if found is None or found.group(2):
        raise ValueError(f"no whole string: {argument[:80]}")
    return bytes.fromhex(found.group(1).replace("\\x", ""))


def descriptor(argument):
    """(number, path) of "3</some/path>"; AT_FDCWD likewise."""
    number, _, path = argument.partition("<")
    path = bytes.fromhex(path.partition(">")[0].replace("\\x", "")).decode(errors="replace")
    return (-100 if number == "AT_FDCWD" else int(number)), path


def split_arguments(text):
    result, depth, start = [], 0, 0
    for i, c in enumerate(text):
        if c in "[{":
            depth += 1
        elif c in "]}":
            depth -= 1
        elif c == "," and depth == 0:
            result.append(text[start:i].strip())
            start = i + 1
    return [*result, text[start:].strip()]


LINE = re.compile(r"^(\d+) +(.*)$")
BEGIN = re.compile(r"^(\w+)\((.*?)(?: <unfinished \.\.\.>)$")
RESUME = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
WHOLE = re.compile(r"^(\w+)\((.*)\) += (-?\d+|\?|0x[0-9a-f]+)")


def calls_of(path):
    """All calls, in the order of their ends. A call that never ended (the program was killed) is left out."""
    unfinished, result = {}, []
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        pid, rest = LINE.match(line).groups()
        began = number
        if (match := BEGIN.match(rest)) is not None:
            unfinished[pid] = (number, f"{match.group(1)}({match.group(2)}")
            continue
        if (match := RESUME.match(rest)) is not None:
            began, head = unfinished.pop(pid)
            rest = head + match.group(2)
        if (match := WHOLE.match(rest)) is None:
            if not re.match(r"^(\+\+\+|---|\w+\(.*= \?|<\.\.\.)", rest):
                raise ValueError(f"line {number} of {path}: {line[:200]}")
            continue
        name, args, value = match.groups()
        if value != "?":
            result.append(Call(began, number, name, split_arguments(args), int(value, 0)))
    return result


@dataclasses.dataclass
class Answer:
    """A 201, or the 202 of a delete, that was on its way to the client."""

    head: bytes


class Player:
    """Plays a recording. `play` yields (time, Answer or None) after whatever matters: then self.disk is what a crash
    would meet."""

    def __init__(self, root, calls):
        self.root = str(root)
        self.calls = calls
        self.disk = Disk()
        self.files = {}  # descriptor → [inode, offset, appends]
        self.played = set()

    def play(self):
        # The answer counts from the beginning of its call: the client may have it before the call ends.
        moments = [(c.began, 0, c) for c in self.calls if self._answer(c) is not None]
        # A descriptor is free from the beginning of its close: another thread may get it before the close ends.
        moments += [(c.began if c.name == "close" else c.ended, 1, c) for c in self.calls]
        for time, kind, call in sorted(moments, key=lambda m: m[:2]):
            if kind == 0:
                yield time, self._answer(call)
            elif call.result >= 0 and id(call) not in self.played and self._play(call):
                yield time, None

    # --- which calls matter ---

    @staticmethod
    def _bytes(call):
        """What a writing call wrote."""
        if call.name in ("writev", "pwritev", "sendmsg"):
            parts = re.findall(r'iov_base="((?:\\x[0-9a-f]{2})*)"', call.args[1])
            data = b"".join(bytes.fromhex(p.replace("\\x", "")) for p in parts)
        else:
            data = call.text(1)
        return data[: call.result]

    def _answer(self, call):
        if call.name not in ("write", "writev", "sendto", "sendmsg") or call.result <= 0:
            return None
        head = self._bytes(call).partition(b"\r\n\r\n")[0]
        return Answer(head) if ANSWER.match(head) and not PROGRESS.search(head) else None

    def _path(self, call, at, name):
        """A path below the root, or None if it lies elsewhere."""
        path = call.text(name).decode()
        if not path.startswith("/"):
            base = descriptor(call.args[at])[1] if at is not None else "/nowhere"
            path = f"{base}/{path}"
        path = posixpath.normpath(path)
        if path != self.root and not path.startswith(self.root + "/"):
            return None
        return path[len(self.root) + 1 :]

    def _open_file(self, call):
        return self.files.get(descriptor(call.args[0])[0])

    # --- playing ---

    def _play(self, call):
        """True if it changed the directory."""
        play = getattr(self, f"_play_{call.name}", None)
        if play is None:
            return self._refuse(call)
        return bool(play(call))

    def _refuse(self, call):
        """A call that the model does not know must not touch our files."""
        if call.name in ("sync", "syncfs", "io_uring_setup"):
            raise NotImplementedError(f"the model does not know {call.name}")
        if call.name == "lseek" and call.args[1:] == ["0", "SEEK_CUR"]:
            return False
        if call.name == "mmap" and not ("MAP_SHARED" in call.args[3] and "PROT_WRITE" in call.args[2]):
            return False
        for argument in call.args:
            number, _, path = argument.partition("<")
            if number.isdigit() and path and isinstance(self.files.get(int(number), [None])[0], File):
                if call.name == "sendfile" and argument == call.args[1]:
                    continue  # read from, not written to
                raise NotImplementedError(f"the model does not know {call.name} of a file: {call.args}")
        return False

    def _retrying(self, path, action):
        """Runs the action. Where the path shows that a call of another thread has done its work though it has not
        ended in the recording, that one is played first."""
        try:
            return action()
        except Unresolved:
            for other in self.calls:
                if other.result >= 0 and id(other) not in self.played and self._makes(other, path):
                    self.played.add(id(other))
                    self._play(other)
                    return self._retrying(path, action)
            raise

    def _makes(self, call, path):
        target = {"mkdir": (None, 0), "mkdirat": (0, 1), "rename": (None, 1), "renameat": (2, 3), "renameat2": (2, 3),
                  "link": (None, 1), "linkat": (2, 3)}.get(call.name)
        made = self._path(call, *target) if target else None
        return made is not None and not self.disk.exists(made) and (path == made or path.startswith(made + "/"))

    def _play_openat(self, call, at=0, name=1, flags=2):
        path = self._path(call, at, name)
        self.files.pop(call.result, None)
        if path is None:
            return False
        options = call.args[flags]
        if "SYNC" in options:
            raise NotImplementedError(f"the model does not know {options}")
        created = False
        if "O_CREAT" in options and not self.disk.exists(path):
            self._retrying(path, lambda: self.disk.create(call.ended, path))
            created = True
        inode = self._retrying(path, lambda: self.disk.find(path))
        self.files[call.result] = [inode, 0, "O_APPEND" in options]
        if "O_TRUNC" in options and isinstance(inode, File) and inode.size:
            self.disk.truncate(call.ended, inode, 0)
            created = True
        return created

    def _play_open(self, call):
        return self._play_openat(call, None, 0, 1)

    def _play_close(self, call):
        self.files.pop(descriptor(call.args[0])[0], None)

    def _play_write(self, call, offset=None):
        opened = self._open_file(call)
        if opened is None or call.result == 0:
            return False
        inode, position, appends = opened
        where = inode.size if appends else position if offset is None else offset
        self.disk.write(call.ended, inode, where, self._bytes(call))
        if offset is None:
            opened[1] = where + call.result
        return True

    def _play_writev(self, call):
        return self._play_write(call)

    def _play_pwrite64(self, call):
        return self._play_write(call, int(call.args[3]))

    def _play_pwritev(self, call):
        return self._play_write(call, int(call.args[3]))

    def _play_sendto(self, call):
        assert self._open_file(call) is None

    def _play_sendmsg(self, call):
        assert self._open_file(call) is None

    def _play_ftruncate(self, call):
        opened = self._open_file(call)
        if opened is not None:
            self.disk.truncate(call.ended, opened[0], int(call.args[1]))
        return opened is not None

    def _play_fsync(self, call):
        opened = self._open_file(call)
        if opened is not None:
            self.disk.fsync(opened[0], call.began)
        return opened is not None

    def _play_fdatasync(self, call):
        return self._play_fsync(call)

    def _play_sync_file_range(self, call):
        """Starts writing, promises nothing."""

    def _two_paths(self, call, action, source, target):
        paths = [self._path(call, *source), self._path(call, *target)]
        if paths == [None, None]:
            return False
        if None in paths:
            raise NotImplementedError(f"{call.name} into or out of the directory: {call.args}")
        self._retrying(paths[0], lambda: self.disk.find(paths[0]))
        self._retrying(paths[1], lambda: self.disk.find(paths[1].rpartition("/")[0]))
        action(call.ended, *paths)
        return True

    def _play_renameat(self, call):
        return self._two_paths(call, self.disk.rename, (0, 1), (2, 3))

    def _play_renameat2(self, call):
        if len(call.args) > 4 and call.args[4] not in ("0", "RENAME_NOREPLACE"):
            raise NotImplementedError(f"the model does not know {call.args[4]}")
        return self._play_renameat(call)

    def _play_rename(self, call):
        return self._two_paths(call, self.disk.rename, (None, 0), (None, 1))

    def _play_linkat(self, call):
        return self._two_paths(call, self.disk.link, (0, 1), (2, 3))

    def _play_link(self, call):
        return self._two_paths(call, self.disk.link, (None, 0), (None, 1))

    def _one_path(self, call, action, at, name):
        path = self._path(call, at, name)
        if not path:  # elsewhere, or the root itself
            return False
        self._retrying(path, lambda: action(call.ended, path))
        return True

    def _play_mkdirat(self, call):
        return self._one_path(call, self.disk.mkdir, 0, 1)

    def _play_mkdir(self, call):
        return self._one_path(call, self.disk.mkdir, None, 0)

    def _play_unlinkat(self, call):
        return self._one_path(call, self.disk.unlink, 0, 1)

    def _play_unlink(self, call):
        return self._one_path(call, self.disk.unlink, None, 0)

    def _play_rmdir(self, call):
        return self._one_path(call, self.disk.unlink, None, 0)


def without(calls, call):
    """The recording of a program that had forgotten this one call."""
    return [c for c in calls if c is not call]
