"""How a process that computes in large arrays keeps its memory."""

from __future__ import annotations

import ctypes

# Parameters of glibc's mallopt(3).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
#: The most that glibc takes.
_MMAP_BYTES = 32 * 1024 * 1024
_TRIM_BYTES = 256 * 1024 * 1024


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
