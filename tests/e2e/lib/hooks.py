# SPDX-License-Identifier: Apache-2.0
"""A receiver of notifications: an HTTP server that keeps the envelopes and answers as it is told."""

import dataclasses
import http.server
import json
import ssl
import threading
import time

from lib import proc


@dataclasses.dataclass
class Envelope:
    """One request that was answered with success."""

    path: str
    headers: dict
    events: list


class Receiver:
    def __init__(self, port=0):
        self.port = port
        self.status = 200  # of every answer
        self.delay = 0  # seconds before it
        self.location = None  # of an answer that redirects
        self.certificate = None  # (file, key file): it speaks TLS
        self.envelopes, self.refused = [], 0
        self.lock = threading.Lock()
        self.server = None

    def start(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                receiver.take(self)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*self.certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def stop(self):
        """Nothing listens at its port any more; start() goes on there."""
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"

    def take(self, handler):
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        time.sleep(self.delay)
        with self.lock:
            status = self.status
            good = 200 <= status < 400
            if good:
                self.envelopes.append(Envelope(handler.path, handler.headers, json.loads(body)["events"]))
            else:
                self.refused += 1
        handler.send_response(status)
        if self.location:
            handler.send_header("Location", self.location)
        if not good:
            handler.send_header("Connection", "close")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    @property
    def events(self):
        with self.lock:
            return [event for envelope in self.envelopes for event in envelope.events]

    def wait(self, count, seconds=60):
        """At least so many events."""
        proc.wait_until(f"{count} events have come", lambda: len(self.events) >= count, seconds=seconds)
        return self.events

    def clear(self):
        with self.lock:
            self.envelopes.clear()
