"""A webhook receiver that checks signatures with the reference library."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

SECRET = b"a secret that both sides know"
#: Answers that don't come in time: of what was taken all the same, and of what wasn't.
TAKEN_IN_SILENCE, SILENCE = 299, 599


class Receiver:
    """Counts what it was sent; `answer(n)` gives the status for the n-th request of one id, from 1.

    `at_s` are the monotonic times of `bodies`.
    """

    def __init__(self, answer: Callable[[int], int]) -> None:
        self.answer = answer
        self.seen: Counter[str] = Counter()
        self.accepted: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.at_s: list[float] = []
        self.taken: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        self.forged = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.redirect_to = "http://127.0.0.1:9/"
        self.silent_s = 1.0
        self._lock = threading.Lock()
        self.url = ""

    def take(self, headers: dict[str, str], data: bytes) -> int:
        """Status for one request."""
        with self._lock:
            try:
                Webhook(SECRET).verify(data, headers)
            except WebhookVerificationError:
                self.forged += 1
                return 401
            message_id = headers["webhook-id"]
            self.seen[message_id] += 1
            status = self.answer(self.seen[message_id])
            if status < 300:
                self.accepted[message_id] += 1
                body = json.loads(data)
                self.at_s.append(time.monotonic())
                self.bodies.append(body)
                self.taken[message_id].append(body)
            return status


@contextmanager
def receive(answer: Callable[[int], int] = lambda _: 204, certificate: Path | None = None) -> Iterator[Receiver]:
    """A receiver on 127.0.0.1, for as long as the block runs."""
    receiver = Receiver(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            data = self.rfile.read(length)
            if len(data) < length:  # the sender gave up in the middle
                self.close_connection = True
                return
            status = receiver.take({k.lower(): v for k, v in self.headers.items()}, data)
            if status in (TAKEN_IN_SILENCE, SILENCE):
                time.sleep(receiver.silent_s)
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            if 300 <= status < 400:
                self.send_header("location", receiver.redirect_to)
            if status != 204:
                self.send_header("content-length", str(len(receiver.body)))
            self.end_headers()
            if status != 204:
                self.wfile.write(receiver.body)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        # Its own default of 5 drops what connects together, which then tries again a second later.
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A sender that hangs up is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    receiver.url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{server.server_address[1]}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
