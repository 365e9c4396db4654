"""Faults at random for an hour: nothing missing, nothing doubled, and no program's memory grows with time.

`./test soak --minutes 60`. In the first third any fault may come; in the rest those that end none of our programs, so
that each lives long enough for a slope to be told from the noise of its batches.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from deploy.stack.host import is_root
from tests.chaos.faults import FAULTS
from tests.chaos.growth import Memory, Sample
from tests.chaos.harness import Stack
from tests.chaos.playing import play
from tests.soak.slope import theil_sen

#: Of our programs, by their names in the supervisor.
OURS = ("bridge", "readings", "worker-0", "worker-1", "alerts", "sync", "usage", "console")
#: A small disk takes root's rights to mount.
PLAYED = {name: fault for name, fault in FAULTS.items() if name != "disk-full" or is_root()}
#: After its start a program fills its caches and compiles.
WARM_S = 120.0
#: What a program may grow by from its warm beginning to its end, by its slope: noise, whatever the time.
GROWTH_MAX = 24_000_000


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    minutes = metafunc.config.getoption("--minutes") or 60.0
    marks = pytest.mark.timeout(minutes * 60 + 900)
    metafunc.parametrize("minutes", [pytest.param(minutes, marks=marks)])


def test_nothing_is_lost_and_no_memory_grows(
    stack: Stack, tmp_path: Path, pytestconfig: pytest.Config, minutes: float
) -> None:
    seed: int = pytestconfig.getoption("--chaos-seed")
    chance = random.Random(seed)  # noqa: S311  # the same draw at each run
    began = time.monotonic()
    with Memory(stack.spec, OURS, every_s=2.0) as memory:
        for number in range(1_000_000):
            passed_s = time.monotonic() - began
            if passed_s > minutes * 60:
                break
            names = [n for n, fault in PLAYED.items() if passed_s < minutes * 20 or not fault.ends_ours]
            name, turn = chance.choice(names), chance.randrange(1_000_000)
            print(f"{passed_s / 60:5.1f} min  ", end="", flush=True)  # noqa: T201
            print(play(stack, name, turn, tmp_path / str(number)))  # noqa: T201
    grown = {}
    for name, samples in memory.series.items():
        life = last_life(samples)
        grown[name] = theil_sen([s.at_s for s in life], [s.resident for s in life]) * (life[-1].at_s - life[0].at_s)
        print(told(name, samples, grown[name]))  # noqa: T201
    assert set(grown) == set(OURS)
    assert max(grown.values()) < GROWTH_MAX, grown


def last_life(samples: list[Sample]) -> list[Sample]:
    """Of the process that ran in the end, from when it was warm; of a short life its second half."""
    life = [s for s in samples if s.pid == samples[-1].pid]
    warm_s = min(WARM_S, (life[-1].at_s - life[0].at_s) / 2)
    return [s for s in life if s.at_s >= life[0].at_s + warm_s]


def told(name: str, samples: list[Sample], grown: float) -> str:
    """A program's series in a line: twelve values over its time, and what it has grown by."""
    values = [samples[n * (len(samples) - 1) // 11].resident for n in range(12)]
    series = " ".join(f"{value / 1e6:4.0f}" for value in values)
    return f"{name:9} {series} MB, in {len({s.pid for s in samples})} lives; by its slope {grown / 1e6:+.1f} MB"
