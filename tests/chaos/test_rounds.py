"""Rounds of faults under load: `./test chaos --fault NAME --rounds N`. Each prints its seed, which plays it again.

Nothing is missing, nothing doubled, every aggregate is what plain Python makes of the ledger's readings; all areas are
settled again in time.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.notices import NOTICES
from tests.chaos.playing import play
from tests.waiting import Promise


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The short faults, those that are asked for, or all; each as often as is asked for."""
    asked = metafunc.config.getoption("--fault")
    known = [*NOTICES, *FAULTS]  # those first that need no workers, before these are up
    if unknown := set(asked) - {*known, "all"}:
        raise pytest.UsageError(f"no such fault: {', '.join(sorted(unknown))} (there are all, {', '.join(known)})")
    names = [name for name in known if name in asked or "all" in asked]
    names = names if asked else [name for name, fault in FAULTS.items() if fault.short]
    first = metafunc.config.getoption("--chaos-seed")
    seeds = range(first, first + metafunc.config.getoption("--rounds"))
    metafunc.parametrize(("name", "seed"), [(name, seed) for name in names for seed in seeds])


@pytest.mark.timeout(900)
def test_a_round(request: pytest.FixtureRequest, tmp_path: Path, name: str, seed: int, promise: Promise) -> None:
    if name in NOTICES:
        print(f"{name}, seed {seed}: {NOTICES[name](request.getfixturevalue('make_database'), seed)}")  # noqa: T201
        return
    played = play(request.getfixturevalue("stack"), name, seed, tmp_path)
    print(played)  # noqa: T201
    fault = FAULTS[name]
    assert max(played.growth.values()) < fault.growth_max, played
    if fault.recovery_s is not None:
        promise(f"after {name}, seed {seed}, each area is settled again", played.recovered_s, fault.recovery_s)
