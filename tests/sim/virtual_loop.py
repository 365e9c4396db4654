"""An event loop with a clock of its own, and threads of which only one ever runs: a run depends on its seed alone."""

from __future__ import annotations

import asyncio
import concurrent.futures
import selectors
import threading
from collections.abc import Callable
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its clock stands while anybody has something to do, and jumps to what is next when nobody has."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.threads = 0
        super().__init__(_Jumps(self))
        self.set_default_executor(_Threads(self))

    def time(self) -> float:
        return self.now_s

    def give_way(self, for_s: float) -> None:
        """Of a thread of this loop: let others run for a time of the loop's clock."""
        thread = threading.current_thread()
        assert isinstance(thread, _Thread)
        self.call_later(for_s, thread.go_on)
        thread.give_back()


class _Jumps(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing is left that could happen")
        self._loop.now_s += max(timeout, 0.0)
        return super().select(0)


class _Thread(threading.Thread):
    """Runs while the loop waits for it, and waits while the loop runs."""

    def __init__(self, loop: VirtualLoop, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._loop = loop
        self._work = work
        self._mine = threading.Semaphore(0)
        self._loops = threading.Semaphore(0)

    def run(self) -> None:
        self._mine.acquire()
        self._work()
        self._loop.threads -= 1
        self._loops.release()

    def go_on(self) -> None:
        self._mine.release()
        self._loops.acquire()

    def give_back(self) -> None:
        self._loops.release()
        self._mine.acquire()


class _Threads(concurrent.futures.ThreadPoolExecutor):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(1)
        self._loop = loop

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        future.set_running_or_notify_cancel()

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  # a worker's end as well
                future.set_exception(error)

        self._loop.threads += 1
        thread = _Thread(self._loop, work)
        thread.start()
        self._loop.call_soon(thread.go_on)
        return future
