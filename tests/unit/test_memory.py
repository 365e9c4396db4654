"""Freed arrays are used again in a process that asked for it."""

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, threading
import numpy as np
from meterline.memory import keep_freed_memory

if sys.argv[1] == "keep" and not keep_freed_memory():
    sys.exit(77)

def batch():
    arrays = [np.ones(400_000) for _ in range(50)]

def work():
    batch()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        batch()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def printed(program: str, *arguments: str) -> list[int]:
    """Numbers that a program prints, in a process of its own."""
    # Huge pages would hide the faults of arrays that are mapped anew.
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"NUMPY_MADVISE_HUGEPAGE": "0", "PYTHONPATH": ":".join(sys.path)},
    )
    if done.returncode == 77:
        pytest.skip("this libc has no mallopt that takes it")
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


def faults(mode: str) -> int:
    (number,) = printed(PROGRAM, mode)
    return number


def test_arrays_that_a_thread_frees_cost_no_faults_again() -> None:
    pages = 5 * 50 * 8 * 400_000 // 4_096
    assert faults("keep") < pages / 20
    assert faults("as it is") > pages / 2


GIVES_BACK = """
import sys, time
import numpy as np
import psutil
from meterline.memory import give_back, keep_freed_memory

if not keep_freed_memory():
    sys.exit(77)
process = psutil.Process()
before = process.memory_info().rss
arrays = [np.ones(100_000) for _ in range(150)]
pinned = arrays[-1]
del arrays
kept = process.memory_info().rss - before
give_back(0.2)
deadline = time.monotonic() + 20
while process.memory_info().rss - before > kept / 4 and time.monotonic() < deadline:
    time.sleep(0.1)
assert pinned.all()
print(kept, process.memory_info().rss - before)
"""


def test_what_is_kept_for_the_next_batch_is_handed_back_after_a_while() -> None:
    kept, left = printed(GIVES_BACK)
    assert kept > 80_000_000
    assert left < kept / 4
