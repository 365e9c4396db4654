"""What a worker compiles, it compiles before it takes its share of the partitions."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
from importlib import import_module
from numba.core.dispatcher import Dispatcher
from streams.warm import warm_steps

warm_steps()
loops = {
    name: loop
    for module in ("store.pgcopy", "store.precedence", "kernels.balance_sums", "kernels.merge")
    for name, loop in vars(import_module(module)).items()
    if isinstance(loop, Dispatcher)
    and loop.targetoptions.get("inline") != "always"
    and loop.py_func.__module__ == module  # what only compiled code calls is part of that
}
print(len(loops), *sorted(name for name, loop in loops.items() if not loop.signatures))
"""


def test_nothing_that_settles_or_writes_a_batch_is_left_to_compile() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loops, *left = done.stdout.split()
    assert int(loops) >= 5
    assert left == []
