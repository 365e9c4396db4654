"""How a process that computes in large arrays, in several threads, keeps its memory and shares its interpreter."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Iterator

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
#: The most that glibc takes.
_MMAP_BYTES = 32 * 1024 * 1024
_TRIM_BYTES = 256 * 1024 * 1024
_SWITCH_S = 0.000_2
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
