"""A system that keeps a copy of the grid model: it is told by webhooks, and says what it holds when it is asked."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from tests.webhook_receiver import SECRET


class CopyReceiver:
    """Takes each delivery once by its id; `answer()` gives the status of the next request."""

    def __init__(self, answer: Callable[[], int]) -> None:
        self.answer = answer
        self.effects: Counter[str] = Counter()
        self.held: dict[tuple[str, str], dict[str, Any]] = {}
        self.numbers: dict[tuple[str, str], int] = {}
        self.types: list[str] = []
        self.url = ""
        self.lose_answers = 0
        self._lock = threading.Lock()

    def take(self, headers: dict[str, str], data: bytes) -> tuple[int, bytes]:
        """Status and body for one request."""
        told = Webhook(SECRET).verify(data, headers)
        with self._lock:
            if told["type"] == "entities.read":
                keys = [(e["kind"], e["code"]) for e in told["entities"]]
                found = [{"kind": k, "code": c, "body": self.held[k, c]} for k, c in keys if (k, c) in self.held]
                return 200, json.dumps({"entities": found}).encode()
            status = self.answer()
            if status >= 300:
                return status, b""
            if not self.effects[headers["webhook-id"]]:
                self.effects[headers["webhook-id"]] += 1
                self.types.append(told["type"])
                for entity in told["entities"]:
                    self._put((entity["kind"], entity["code"]), entity["body"], told["number"])
            if self.lose_answers:
                self.lose_answers -= 1
                return 504, b""
            return 204, b""

    def _put(self, key: tuple[str, str], body: dict[str, Any] | None, number: int) -> None:
        if self.numbers.get(key, 0) <= number:
            self.numbers[key] = number
            self.held.pop(key, None)
            if body is not None:
                self.held[key] = body


@contextmanager
def keep_copy(answer: Callable[[], int] = lambda: 204) -> Iterator[CopyReceiver]:
    """A receiver on 127.0.0.1, for as long as the block runs."""
    receiver = CopyReceiver(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            status, body = receiver.take({k.lower(): v for k, v in self.headers.items()}, data)
            self.send_response(status)
            if status != 204:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            if status != 204:
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        # Its own default of 5 drops what connects together, which then tries again a second later.
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A sender that hangs up is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/copy"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
