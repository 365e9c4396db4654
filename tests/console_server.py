"""A console served in a thread of the test."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator

from fastapi import APIRouter

from console.app import AppOptions, create_app
from console.live import Hub
from console.server import ConsoleServer
from tests.waiting import PATIENCE_S, until


@contextlib.contextmanager
def serving(hub: Hub, routers: Iterable[APIRouter] = ()) -> Iterator[str]:
    """Serve the boards of `hub` on a free port of this machine; yields its address."""
    server = ConsoleServer(create_app(hub, AppOptions("Asia/Shanghai"), routers), hub)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    until(lambda: server.started, "the console is served")
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
