"""Waiting for what happens elsewhere, and promises of time, on a machine that has other things to do too."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

#: How long what was begun may take. A wait that ends when it happens costs nothing by being allowed to last; it is
#: shorter than pytest's time limit, so that the test says what didn't happen.
PATIENCE_S = 120.0
#: Alone, a promise of time is held to the letter; beside another file of tests it must not be wildly off.
BESIDE_OTHERS = 10.0
_LOOK_EVERY_S = 0.1

Answer = TypeVar("Answer")
#: What took how many seconds of how many.
Promise = Callable[[str, float, float], None]


def until(condition: Callable[[], Answer], what: str = "it happens", patience_s: float = PATIENCE_S) -> Answer:
    """Ask until the answer is true; returns it."""
    deadline = time.monotonic() + patience_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not in {patience_s:g} s: {what}"
        time.sleep(_LOOK_EVERY_S)
    return answer


def allowed_s(promised_s: float) -> float:
    """How long what was promised may take here: other tests that share the cores are no fault of what is measured."""
    return promised_s * (BESIDE_OTHERS if "PYTEST_XDIST_WORKER" in os.environ else 1.0)
