"""Work that runs ahead of who takes its results."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from threading import Event, Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """Runs an iterator in a thread, some items ahead of who takes them."""

    def __init__(self, source: Iterator[Item], ahead: int) -> None:
        self._items: queue.Queue[Item | Exception] = queue.Queue(ahead)
        self._closed = Event()
        self._thread = Thread(target=self._fill, args=(source,), name="twin-physics", daemon=True)
        self._thread.start()

    def _fill(self, source: Iterator[Item]) -> None:
        try:
            for item in source:
                if not self._put(item):
                    return
            self._put(StopIteration())
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that takes
            self._put(error)

    def _put(self, item: Item | Exception) -> bool:
        while not self._closed.is_set():
            try:
                self._items.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        item = self._items.get()
        if isinstance(item, Exception):
            raise item
        return item

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()
