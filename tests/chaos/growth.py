"""How much memory the programs take while something goes on."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, Self

import psutil

from deploy.stack import StackSpec, pid_of

#: Of any program in a fault: more than the bridge may hold and its producer's buffer.
GROWTH_MAX = 200_000_000
#: While it is fed what can't be taken.
POISON_GROWTH_MAX = 100_000_000
WATCHED = ("bridge", "readings", "worker-0", "worker-1")


class Sample(NamedTuple):
    """Resident bytes of a process at a time of the monotonic clock."""

    at_s: float
    pid: int
    resident: int


class Memory:
    """Samples the resident memory of programs by their names in the supervisor."""

    def __init__(self, spec: StackSpec, names: Iterable[str] = WATCHED, every_s: float = 0.25) -> None:
        self._spec = spec
        self._names = tuple(names)
        self._every_s = every_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.series: dict[str, list[Sample]] = defaultdict(list)
        self._clean: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def clean_until_now(self) -> None:
        """What the programs have taken so far is what they take when nothing goes wrong."""
        self._clean = self._most()

    def growth(self) -> dict[str, int]:
        """Bytes by program, from what it takes when nothing goes wrong, or else the first sample, to the greatest."""
        first = {name: samples[0].resident for name, samples in list(self.series.items())} | self._clean
        return {name: most - first[name] for name, most in self._most().items()}

    def _most(self) -> dict[str, int]:
        return {name: max(sample.resident for sample in samples) for name, samples in list(self.series.items())}

    def _watch(self) -> None:
        while not self._stop.wait(self._every_s):
            self._sample()

    def _sample(self) -> None:
        for name in self._names:
            with contextlib.suppress(psutil.NoSuchProcess):
                if (pid := pid_of(self._spec, name)) is not None:
                    sample = Sample(time.monotonic(), pid, psutil.Process(pid).memory_info().rss)
                    self.series[name].append(sample)
