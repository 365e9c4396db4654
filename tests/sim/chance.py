"""What is drawn in a run, and the schedule that comes of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Killed(BaseException):
    """The process is gone: nothing of it runs on, whatever it catches."""


class BrokerError(Exception):
    """The broker didn't acknowledge; whether it has the record isn't known."""


class Chance:
    """Draws from a seed, and writes down what came of it.

    How often anything goes wrong is drawn too: of some seeds nothing does, of others nearly everything.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.schedule: list[str] = []
        self.now_s: Callable[[], float] = float
        self._level: dict[str, float] = {}
        self.calm = False

    def happens(self, what: str) -> bool:
        """Whether something goes wrong here; never once it is calm."""
        if self.calm:
            return False
        if what not in self._level:
            self._level[what] = self.random.choice((0.0, 0.02, 0.1, 0.3))
        return self.random.random() < self._level[what]

    def pause_s(self, mean_s: float) -> float:
        return self.random.expovariate(1.0 / mean_s)

    def one_of(self, things: Sequence[T]) -> T:
        return self.random.choice(things)

    def note(self, what: str) -> None:
        self.schedule.append(f"{self.now_s():9.3f}  {what}")
