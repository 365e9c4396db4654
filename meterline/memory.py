"""How a process that computes in large arrays, in several threads, keeps its memory and shares its interpreter."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
import threading
import time
from collections.abc import Iterator

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
#: The most that glibc takes.
_MMAP_BYTES = 32 * 1024 * 1024
_TRIM_BYTES = 256 * 1024 * 1024
_SWITCH_S = 0.000_2
#: How often unused memory is handed back.
GIVE_BACK_S = 60.0
#: New containers until the collector looks at the youngest of them; by default 700.
_YOUNG = 50_000


def keep_freed_memory() -> bool:
    """Have freed arrays used again instead of handing their pages back to the kernel; False where libc can't.

    By default glibc maps each array of more than 128 KiB anew, and every page of it costs a fault: a third of the
    processor time of settling a batch. What is kept is bounded by the largest batch, and by 256 MiB of it unused.
    To be called before any thread starts, since a thread has an arena of its own otherwise, which hands pages back.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    wanted = ((_M_ARENA_MAX, 1), (_M_MMAP_THRESHOLD, _MMAP_BYTES), (_M_TRIM_THRESHOLD, _TRIM_BYTES))
    taken = [mallopt(parameter, value) for parameter, value in wanted]
    return all(taken)


def give_back(every_s: float = GIVE_BACK_S) -> None:
    """Hand unused memory back to the kernel again and again, from a thread of its own; nothing where libc can't.

    What is kept for the next batch is as much as several parts of a process have ever had at the same instant, and that
    rises for hours as they meet. What a batch needs comes back with the next one, for some milliseconds a minute.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):
        return

    def again() -> None:
        while True:
            time.sleep(every_s)
            gc.collect()  # what failed refers to its own frames, and they to a batch's arrays
            trim(0)

    threading.Thread(target=again, name="memory", daemon=True).start()


@contextlib.contextmanager
def without_collecting() -> Iterator[None]:
    """Have no garbage looked for while a program loads what it uses, which stays.

    The collector goes through all that is there again and again as it grows: an eighth of a worker's start.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def share_interpreter() -> None:
    """Have threads hand over the interpreter soon, and garbage be looked for seldom.

    A thread that waits for the network gives up the interpreter at each turn, and by default waits 5 ms for its next
    one while another computes: the loop that takes messages from Kafka does so several times a message. A worker makes
    hardly any cycles, and what is there after its start stays.
    """
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
