# SPDX-License-Identifier: Apache-2.0
"""A client that speaks raw HTTP, so that it can also speak it badly."""

import hashlib
import random
import socket
import struct


class Refused(Exception):
    """The connection ended before a byte of the reply: a full server may do that."""


class Broken(Exception):
    """What a server must not do: half a reply, a wrong one, or none in a long time."""


class Reply:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r}"


class Talk:
    def __init__(self, where, patience=40.0, receive_buffer=None):
        family = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
        self.s = socket.socket(family, socket.SOCK_STREAM)
        self.s.settimeout(patience)
        if receive_buffer:
            self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.have = b""
        try:
            self.s.connect(where)
        except OSError as error:
            self.s.close()
            raise Refused(f"connect: {error}") from error

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.s.close()

    def reset(self):
        """Ends the connection with a reset instead of a farewell."""
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.s.close()

    def send(self, data):
        """Sends what can be sent; whether the peer took it all, its reply tells."""
        try:
            self.s.sendall(data)
            return True
        except socket.timeout as error:
            raise Broken("the server took nothing for a long time") from error
        except OSError:
            return False

    def send_quietly(self, data):
        """For a thread of its own."""
        try:
            self.send(data)
        except Broken:
            pass

    def end(self):
        """Ends both directions, also for another thread that sends."""
        try:
            self.s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def more(self):
        """The next bytes, or none at the end."""
        try:
            return self.s.recv(65536)
        except socket.timeout as error:
            raise Broken("the server said nothing for a long time") from error
        except OSError:
            return b""

    def head(self):
        while b"\r\n\r\n" not in self.have:
            data = self.more()
            if not data:
                if self.have:
                    raise Broken(f"the reply's head ends early: {self.have[:200]!r}")
                raise Refused("no reply")
            self.have += data
        head, self.have = self.have.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        words = lines[0].split(" ", 2)
        if len(words) != 3 or words[0] != "HTTP/1.1" or not words[1].isdigit():
            raise Broken(f"not a status line: {lines[0]!r}")
        fields = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon or name.lower() in fields:
                raise Broken(f"a bad or doubled field in the reply: {line!r}")
            fields[name.lower()] = value.strip()
        return int(words[1]), fields

    def reply(self, method="GET", pace=None):
        """The next reply that is not interim. pace(n) is called after each piece of n bytes."""
        status, fields = self.head()
        while status == 100:
            status, fields = self.head()
        if method == "HEAD" or status in (204, 304):
            return Reply(status, fields, b"")
        if "content-length" not in fields:
            raise Broken(f"a reply {status} without Content-Length")
        left = int(fields["content-length"])
        pieces = []
        while left > 0:
            data = self.have[:left] or self.more()
            if not data:
                raise Broken(f"the body of a {status} ends {left} bytes early")
            self.have = self.have[len(data) :] if self.have else data[left:]
            data = data[:left]
            pieces.append(data)
            left -= len(data)
            if pace:
                pace(len(data))
        return Reply(status, fields, b"".join(pieces))

    def ask(self, method, target, body=None, fields=(), pace=None):
        lines = [f"{method} {target} HTTP/1.1", "Host: soak", *fields]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        return self.reply(method, pace)


def chunked(body, rng):
    """The body in the chunked coding, in pieces of any size."""
    out, at = [], 0
    while at < len(body):
        n = rng.choice((1, 7, 300, 5000, 70000))
        piece = body[at : at + n]
        extension = rng.choice((b"", b"", b";a=b", b";x"))
        out.append(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece))
        at += n
    out.append(b"0\r\n" + rng.choice((b"", b"Trailer: t\r\n")) + b"\r\n")
    return b"".join(out)


def make(seed, size):
    return random.Random(seed).randbytes(size)


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()
