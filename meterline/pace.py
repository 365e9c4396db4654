"""How fast those go on who look at what is stored, and may do so later."""

from __future__ import annotations

import os
import threading

#: While the machine has more to do than it has cores, they take one part in this of the time.
_SPARE = 10


def is_busy() -> bool:
    """Whether more ran, or waited for a core, in the last minute than there are cores."""
    return os.getloadavg()[0] > (os.cpu_count() or 1)


def rest(worked_s: float, stop: threading.Event) -> None:
    """After work that leaves more to do at once: on a busy machine wait, since readings and their results come first."""
    if is_busy():
        stop.wait((_SPARE - 1) * worked_s)
