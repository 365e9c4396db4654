"""Rounds of faults under load: `./test chaos --fault NAME --rounds N`. Each prints its seed, which plays it again.

Nothing is missing, nothing doubled, every aggregate is what plain Python makes of the ledger's readings; all areas are
settled again in time.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.harness import GROWTH_MAX, Memory, Stack


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The short faults once, or one fault as often as is asked for."""
    asked = metafunc.config.getoption("--fault")
    unknown = set(asked) - FAULTS.keys()
    if unknown:
        raise pytest.UsageError(f"no such fault: {', '.join(sorted(unknown))} (there are {', '.join(FAULTS)})")
    names = asked or [name for name, fault in FAULTS.items() if fault.short]
    first = metafunc.config.getoption("--chaos-seed")
    seeds = range(first, first + metafunc.config.getoption("--rounds"))
    metafunc.parametrize(("name", "seed"), [(name, seed) for name in names for seed in seeds])


@pytest.mark.timeout(300)
def test_a_round(stack: Stack, tmp_path: Path, name: str, seed: int) -> None:
    fault = FAULTS[name]
    stack.until_ready()
    recovered_s, growth = play(stack, fault, seed, tmp_path)
    said = f"{name}, seed {seed}: settled again after {recovered_s:.1f} s of {fault.recovery_s:g} s"
    print(f"{said}, memory grew by {max(growth.values()) >> 20} MiB")  # noqa: T201
    assert max(growth.values()) < GROWTH_MAX, growth
    # Where the cores are shared with other tests, waiting for them isn't recovery.
    assert recovered_s <= fault.recovery_s * (4 if os.environ.get("PYTEST_XDIST_WORKER") else 1), said


def play(stack: Stack, fault: Fault, seed: int, folder: Path) -> tuple[float, dict[str, int]]:
    """One fault under load; how long until each area was settled again, and how the programs' memory grew."""
    chance = random.Random(seed)  # noqa: S311  # the same round at each run
    with stack.load(folder) as load, Memory(stack.spec) as memory:
        time.sleep(chance.uniform(0.0, 1.5))
        with contextlib.ExitStack() as over:
            since = fault.act(stack, chance, over)
            recovered_s = stack.until_settled(since, 90.0)
        stack.until_no_gap()
    stack.check(load, at_least=300)
    return recovered_s, memory.growth()
