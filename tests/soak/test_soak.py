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
from tests.soak.slope import Growth, growth

#: Of our programs, by their names in the supervisor.
OURS = ("bridge", "readings", "worker-0", "worker-1", "alerts", "sync", "usage", "console")
#: A small disk takes root's rights to mount.
PLAYED = {name: fault for name, fault in FAULTS.items() if name != "disk-full" or is_root()}
#: After its start a program fills its caches and compiles.
WARM_S = 120.0
#: What a program may grow by from when it is warm to its end, whatever the time: less than any leak would come to.
GROWTH_MAX = 24_000_000
#: In less than this a growth can be shown, but not excluded: what the rounds do to memory hides it.
SURE_MIN = 45.0


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
    # When each fault that ends none of our programs was played once.
    seen, all_seen_s = set[str](), None
    steady = {name for name, fault in PLAYED.items() if not fault.ends_ours}
    with Memory(stack.spec, OURS, every_s=2.0) as memory:
        coming: list[str] = []
        for number in range(1_000_000):
            passed_s = time.monotonic() - began
            if passed_s > minutes * 60:
                break
            names = [n for n, fault in PLAYED.items() if passed_s < minutes * 20 or not fault.ends_ours]
            # In any order, but none again before each other was played.
            coming = [n for n in coming if n in names] or chance.sample(names, len(names))
            name, turn = coming.pop(), chance.randrange(1_000_000)
            print(f"{passed_s / 60:5.1f} min  ", end="", flush=True)  # noqa: T201
            print(play(stack, name, turn, tmp_path / str(number)))  # noqa: T201
            seen.add(name)
            if all_seen_s is None and seen >= steady:
                all_seen_s = time.monotonic()
    grown = {}
    for name, samples in memory.series.items():
        life = last_life(samples, all_seen_s)
        grown[name] = growth([s.at_s for s in life], [s.resident for s in life])
        print(told(name, samples, life, grown[name]))  # noqa: T201
    assert set(grown) == set(OURS)
    leaking = {name: by for name, by in grown.items() if by.least > 0 and by.by > GROWTH_MAX}
    assert leaking == {}
    unsure = {name: by for name, by in grown.items() if by.most > GROWTH_MAX}
    if minutes < SURE_MIN:
        print(f"{minutes:g} minutes are too short to exclude a growth of {', '.join(unsure) or 'none'}")  # noqa: T201
    else:
        assert unsure == {}, "these grow by less than can be told from noise in this time"


def last_life(samples: list[Sample], all_seen_s: float | None = None) -> list[Sample]:
    """Of the process that ran in the end, from when it was warm.

    That is when it has been through each fault once, since what a program holds is set by the greatest thing that has
    happened to it; of a life that ends soon after that its second half.
    """
    life = [s for s in samples if s.pid == samples[-1].pid]
    first_s, last_s = life[0].at_s, life[-1].at_s
    warm_s = min(max(first_s + WARM_S, all_seen_s or last_s), (first_s + last_s) / 2)
    return [s for s in life if s.at_s >= warm_s]


def told(name: str, samples: list[Sample], life: list[Sample], grown: Growth) -> str:
    """A program's series in a line: twelve values over its time, and what it has grown by."""
    values = [samples[n * (len(samples) - 1) // 11].resident for n in range(12)]
    series = " ".join(f"{value / 1e6:4.0f}" for value in values)
    minutes = (life[-1].at_s - life[0].at_s) / 60
    return (
        f"{name:9} {series} MB, in {len({s.pid for s in samples})} lives; by its slope over the last {minutes:.0f} min"
        f" {grown.by / 1e6:+.1f} MB ({grown.least / 1e6:+.1f} to {grown.most / 1e6:+.1f})"
    )
