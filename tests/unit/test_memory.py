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


def faults(mode: str) -> int:
    # Huge pages would hide the faults of arrays that are mapped anew.
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, mode],
        capture_output=True,
        text=True,
        check=False,
        env={"NUMPY_MADVISE_HUGEPAGE": "0", "PYTHONPATH": ":".join(sys.path)},
    )
    if done.returncode == 77:
        pytest.skip("this libc has no mallopt that takes it")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_arrays_that_a_thread_frees_cost_no_faults_again() -> None:
    pages = 5 * 50 * 8 * 400_000 // 4_096
    assert faults("keep") < pages / 20
    assert faults("as it is") > pages / 2
