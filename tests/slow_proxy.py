"""A TCP proxy that makes a channel worse: later, slower, or not at all."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Channel:
    """How bad it is, which may be changed while it runs.

    Attributes
    ----------
    delay_s
        Each way, of the data that is sent after it was read.
    jitter_s
        Given the number of the piece of data, what comes on top.
    bytes_per_s
        Each way; None: as fast as it goes.
    """

    port: int = 0
    delay_s: float = 0.0
    jitter_s: Callable[[int], float] = lambda _number: 0.0
    bytes_per_s: float | None = None
    connections: list[socket.socket] = field(default_factory=list)

    def break_all(self) -> None:
        """Break what is connected; a new connection may come."""
        for each in self.connections:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def slow_proxy(target: int) -> Iterator[Channel]:
    """A port of this machine that leads to another."""
    channel = Channel()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        channel.port = listener.getsockname()[1]
        threading.Thread(target=_accept, args=(listener, target, channel), daemon=True).start()
        yield channel
        listener.shutdown(socket.SHUT_RDWR)
        channel.break_all()


def _accept(listener: socket.socket, target: int, channel: Channel) -> None:
    with suppress(OSError):
        while True:
            near, _ = listener.accept()
            far = socket.create_connection(("127.0.0.1", target))
            for each in (near, far):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                channel.connections.append(each)
            _pump(near, far, channel)
            _pump(far, near, channel)


def _pump(source: socket.socket, sink: socket.socket, channel: Channel) -> None:
    # Little waits in it, so that a slow channel is felt by who sends.
    waiting: queue.Queue[tuple[float, bytes]] = queue.Queue(64)

    def read() -> None:
        with suppress(OSError):
            number = 0
            while data := source.recv(4_096):
                late = channel.delay_s + channel.jitter_s(number)
                waiting.put((time.monotonic() + late, data))
                number += 1
        waiting.put((0.0, b""))

    def write() -> None:
        with suppress(OSError):
            while True:
                due, data = waiting.get()
                if not data:
                    break
                time.sleep(max(0.0, due - time.monotonic()))
                if channel.bytes_per_s is not None:
                    time.sleep(len(data) / channel.bytes_per_s)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    for step in (read, write):
        threading.Thread(target=step, daemon=True).start()
