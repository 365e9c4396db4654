"""How fast those go on who look at what is stored, and may do so later."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path

_PRESSURE = Path("/proc/pressure/cpu")
_WAITED = re.compile(r"^some avg10=(\d+\.\d+)", re.MULTILINE)
_MOST_PERCENT = 50.0
#: While the machine has more to do than it has cores, they take one part in this of the time.
_SPARE = 40
#: How often who waits looks whether it still must.
_LOOK_S = 1.0


def is_busy(pressure: Path = _PRESSURE) -> bool:
    """Whether somebody waited for a core for most of the last ten seconds.

    Where the kernel doesn't tell (pressure stall information is switched off), whether more ran, or waited for a core,
    in the last minute than there are cores.
    """
    try:
        told = _WAITED.search(pressure.read_text())
    except OSError:
        told = None
    if told is None:
        return os.getloadavg()[0] > (os.cpu_count() or 1)
    return float(told[1]) > _MOST_PERCENT


def rest(worked_s: float, stop: threading.Event) -> None:
    """After work that leaves more to do: on a busy machine wait, since readings and their results come first."""
    until_s = time.monotonic() + (_SPARE - 1) * worked_s
    while is_busy() and (left_s := until_s - time.monotonic()) > 0 and not stop.is_set():
        stop.wait(min(left_s, _LOOK_S))
