"""A console served in a thread of the test."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterable, Iterator

from fastapi import APIRouter

from console.app import AppOptions, create_app
from console.live import Hub
from console.server import ConsoleServer


@contextlib.contextmanager
def serving(hub: Hub, routers: Iterable[APIRouter] = ()) -> Iterator[str]:
    """Serve the boards of `hub` on a free port of this machine; yields its address."""
    server = ConsoleServer(create_app(hub, AppOptions("Asia/Shanghai"), routers), hub)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    assert not thread.is_alive()
