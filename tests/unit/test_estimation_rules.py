"""Each validation rule: a case that it hits, one that it just misses, and one that it leaves alone."""

from collections.abc import Callable

import numpy as np
import pytest

from kernels.member import MISSING_WH
from kernels.validation import (
    CLOCK,
    FLAT_RUN,
    MULTIPLIER,
    ROLLOVER,
    SPIKE,
    SUM_DIFFERS,
    ZERO_RUN,
    ClockError,
    Multiplier,
    Rollover,
    Run,
    Spike,
    SumCheck,
)

_ = int(MISSING_WH)


def row(*values: int) -> np.ndarray:
    return np.array([values], np.int64)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1_100, 1_200, 1_300, 3_301), [0, 0, 0, 0]),  # three times the third highest is 3,600
        ((1_100, 1_200, 1_300, 3_601), [0, 0, 0, SPIKE]),
        ((1_100, 1_200, 1_300, 3_600), [0, 0, 0, 0]),
        ((10, 10, 10, 1_000), [0, 0, 0, 0]),
        ((10, 10, 10, 1_001), [0, 0, 0, SPIKE]),
        ((_, _, 10, 5_000), [0, 0, 0, 0]),
        ((_, 10, 10, 5_000), [0, 0, 0, SPIKE]),
    ],
)
def test_spike(values: tuple[int, ...], expected: list[int]) -> None:
    assert Spike().flags(row(*values))[0].tolist() == expected


def test_a_spike_needs_others_to_stand_out_from() -> None:
    assert Spike().flags(row(1, 9_000))[0].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((0, 0, 0, 5), [ZERO_RUN] * 3 + [0]),
        ((0, 0, 5, 0), [0] * 4),
        ((0, 0, _, 0), [0] * 4),
        ((7, 7, 7, 7), [FLAT_RUN] * 4),
        ((7, 7, 7, 8), [0] * 4),
        ((_, _, _, _), [0] * 4),
    ],
)
def test_runs(values: tuple[int, ...], expected: list[int]) -> None:
    assert Run(zeros=3, flat=4).flags(row(*values))[0].tolist() == expected


@pytest.mark.parametrize(
    ("energies", "registers", "expected"),
    [
        ((10, 20, 30), (100, _, _, 160), [0, 0, 0]),
        ((10, 20, 30), (100, _, _, 162), [0, 0, 0]),
        ((10, 20, 30), (100, _, _, 163), [SUM_DIFFERS] * 3),
        ((10, 20, 30), (100, _, 133, 163), [SUM_DIFFERS] * 2 + [0]),
        ((10, _, 30), (100, _, _, 163), [0, 0, 0]),
        ((10, _, 30), (100, _, _, 137), [SUM_DIFFERS] * 3),
        ((10, _, 30), (100, _, _, 138), [0, 0, 0]),
        ((10, 20, 30), (_, 100, _, 150), [0, 0, 0]),
        ((10, 20, 30), (999, _, _, 60), [0, 0, 0]),
    ],
)
def test_sum(energies: tuple[int, ...], registers: tuple[int, ...], expected: list[int]) -> None:
    assert SumCheck(tolerance_wh=2).flags(row(*energies), row(*registers))[0].tolist() == expected


def test_sum_by_rate() -> None:
    rule = SumCheck(tolerance_wh=0, tolerance_rate=0.01)
    assert rule.flags(row(101), row(0, 100))[0].tolist() == [0]
    assert rule.flags(row(102), row(0, 100))[0].tolist() == [SUM_DIFFERS]


@pytest.mark.parametrize(
    ("registers", "expected"),
    [
        ((990, 995, 5, 20), [0, 0, ROLLOVER, 0]),
        ((990, _, 40), [0, 0, ROLLOVER]),  # by just 50
        ((990, _, 41), [0, 0, 0]),
        ((500, 499), [0, 0]),
    ],
)
def test_rollover(registers: tuple[int, ...], expected: list[int]) -> None:
    assert Rollover(modulus_wh=1_000, most_wh=50).flags(row(*registers))[0].tolist() == expected


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ((1_000, 1_100, 10_400, 10_600), [0, 0, MULTIPLIER, MULTIPLIER]),
        ((10_400, 10_600, 1_000, 1_100), [0, 0, MULTIPLIER, MULTIPLIER]),
        ((1_000, 1_100, 12_000, 12_150), [0, 0, MULTIPLIER, MULTIPLIER]),  # mean 12,075 = 11.5 × 1,050
        ((1_000, 1_100, 12_000, 12_160), [0, 0, 0, 0]),
        ((_, 1_100, 10_400, 10_600), [0, 0, 0, 0]),
        ((1_000, 20_000, 105_000, 105_000), [0, 0, MULTIPLIER, MULTIPLIER]),
        ((1_000, 20_000, 19_999, 190_001), [0, 0, 0, 0]),  # the days overlap
        ((990, 1_000, 10_000, 10_000), [0, 0, 0, 0]),  # too little to judge
    ],
)
def test_multiplier(days: tuple[int, ...], expected: list[int]) -> None:
    assert Multiplier(factors=(10.0,), days=2).flags(row(*days))[0].tolist() == expected


def test_clock() -> None:
    offsets = np.array([[120.0, 120.5, -121.0, np.nan]])
    assert ClockError().flags(offsets)[0].tolist() == [0, CLOCK, CLOCK, 0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Spike(ratio=1.0),
        lambda: Spike(rank=1),
        lambda: Run(zeros=1),
        lambda: Run(flat=1),
        lambda: SumCheck(tolerance_wh=-1),
        lambda: SumCheck(tolerance_rate=float("nan")),
        lambda: Rollover(modulus_wh=5, most_wh=5),
        lambda: Multiplier(factors=()),
        lambda: Multiplier(factors=(1.0,)),
        lambda: Multiplier(days=1),
        lambda: ClockError(limit_s=0.0),
    ],
)
def test_a_rule_refuses_parameters_that_make_no_sense(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must|run|<"):
        make()


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="meters, intervals"):
        Spike().flags(np.zeros(3, np.int64))
    with pytest.raises(ValueError, match=r"wants \(1, 4\)"):
        SumCheck().flags(row(1, 2, 3), row(1, 2, 3))
