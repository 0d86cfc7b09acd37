# SPDX-License-Identifier: Apache-2.0
"""Raw connections that begin something and go on only when told: slow readers, slow writers, silent ones."""

import socket

from .proc import HANG

READER_BUFFER = 16 * 1024  # small, so that the server cannot hand everything to the kernel at once


def connect(host, source=None, receive_buffer=None):
    address, port = host.rsplit(":", 1)
    connection = socket.socket()
    connection.settimeout(HANG)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if source:
        connection.bind((source, 0))
    connection.connect((address, int(port)))
    return connection


def send_head(connection, method, path, host, **headers):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    connection.sendall("\r\n".join(lines + ["", ""]).encode())


def read_reply(connection):
    """(status, body) of one reply that has a Content-Length or ends with the connection."""
    file = connection.makefile("rb")
    status = int(file.readline().split()[1])
    length = None
    while (line := file.readline().strip()):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return status, (file.read(length) if length is not None else file.read())


class SlowPull:
    """A GET that has been asked for and whose reply is not read yet."""

    def __init__(self, host, path, source=None):
        self.connection = connect(host, source, receive_buffer=READER_BUFFER)
        send_head(self.connection, "GET", path, host)

    def peek(self):
        """Waits for the first bytes: the request is being served."""
        return self.connection.recv(16, socket.MSG_PEEK)

    def finish(self):
        with self.connection:
            return read_reply(self.connection)


class SlowPush:
    """A PATCH or PUT whose body comes in parts."""

    def __init__(self, host, method, path, length, source=None):
        self.connection = connect(host, source)
        send_head(self.connection, method, path, host, Content_Length=length, Content_Type="application/octet-stream")

    def send(self, data):
        self.connection.sendall(data)

    def finish(self, data=b""):
        with self.connection:
            self.connection.sendall(data)
            return read_reply(self.connection)

    def break_off(self):
        self.connection.close()
