"""What validation rules say of a day, and what estimates make of it."""

from __future__ import annotations

from datetime import UTC, date

import numpy as np
import pytest

from grid.doubt import COUNTS_AFTER_S, Doubt, DoubtRule
from grid.history import Past
from grid.quality import MISSING_WH
from store.validation import Span
from streams.steps.validate import Day, DayRules, doubts_of, jumps
from streams.validation import newest_day, with_doubts

HOUR_US = 3_600_000_000
QUARTER_US = HOUR_US // 4


def quarter_hours(**changed: int) -> Day:
    """Two days of one meter that takes 100 to 195 Wh, with some of the second day's intervals changed."""
    energy = np.tile(100 + np.arange(96), 2)[None, :].astype(np.int64)
    for name, value in changed.items():
        energy[0, 96 + int(name[1:])] = value
    return Day(energy, 0, 900, 96)


def test_an_ordinary_day_raises_no_doubt() -> None:
    assert doubts_of(quarter_hours(), DayRules()) == []


def test_a_spike_is_told_with_what_it_is_above() -> None:
    (doubt,) = doubts_of(quarter_hours(t10=5_000), DayRules())
    begin_us = (96 + 10) * QUARTER_US
    assert doubt == Doubt(0, DoubtRule.SPIKE, begin_us, begin_us + QUARTER_US, 5_000, 1_000)


def test_a_spike_of_the_day_before_is_not_told_again() -> None:
    day = quarter_hours()
    day.energy_wh[0, 10] = 5_000
    assert doubts_of(day, DayRules()) == []


@pytest.mark.parametrize(("first", "told"), [(96, True), (50, True), (1, True), (0, False)])
def test_zeros_are_told_once_when_they_have_lasted_a_day(first: int, *, told: bool) -> None:
    day = quarter_hours()
    day.energy_wh[0, first:] = 0
    found = doubts_of(day, DayRules())
    assert [d.rule for d in found] == [DoubtRule.ZERO_RUN] * told
    assert [d.begin_us for d in found] == [first * QUARTER_US] * told


def test_of_a_flat_run_each_days_part_is_told() -> None:
    day = quarter_hours()
    day.energy_wh[0, 90:104] = 40
    (doubt,) = doubts_of(day, DayRules())
    assert (doubt.rule, doubt.begin_us, doubt.end_us) == (DoubtRule.FLAT_RUN, 96 * QUARTER_US, 104 * QUARTER_US)
    assert (doubt.value_wh, doubt.limit_wh) == (40, 0)


def test_a_day_has_a_sum_only_where_it_is_whole() -> None:
    day = quarter_hours()
    assert day.sums_wh().tolist() == [sum(range(100, 196))]
    day.energy_wh[0, 191] = MISSING_WH
    assert day.sums_wh().tolist() == [MISSING_WH]


def test_a_lasting_jump_by_a_ratio_is_told_and_a_change_of_use_is_not() -> None:
    days = [9_000, 11_000, 10_000, 9_500, 10_500]
    sums = np.array([[*days, *(40 * d for d in days)], [*days, *(round(2.2 * d) for d in days)]], np.int64)
    (doubt,) = jumps(sums, 5, 10, DayRules())
    assert doubt == Doubt(0, DoubtRule.MULTIPLIER, 5, 10, 400_000, 10_000)
    with pytest.raises(ValueError, match="wants"):
        jumps(sums[:, 1:], 5, 10, DayRules())


def past(known_us: int) -> Past:
    size = 2
    return Past(
        np.array([10, 900]),
        np.zeros(size, np.int64),
        np.zeros(size, np.uint8),
        np.zeros(size, np.int64),
        np.full(size, known_us),
    )


def test_a_doubt_counts_from_an_hour_after_its_limit_for_what_was_known_then() -> None:
    span = Span(position=1, begin_us=0, end_us=2 * HOUR_US, as_of_us=30 * HOUR_US)
    rows = {(7, HOUR_US, 3_600): past(2 * HOUR_US), (7, 3 * HOUR_US, 3_600): past(4 * HOUR_US)}
    marked = with_doubts(rows, {7: [span], 8: [span]})
    doubted = marked[(7, HOUR_US, 3_600)]
    counts_us = 30 * HOUR_US + COUNTS_AFTER_S * 1_000_000
    assert doubted.doubted(counts_us - 1).tolist() == [False, False]  # type: ignore[union-attr]
    assert doubted.doubted(counts_us).tolist() == [False, True]  # type: ignore[union-attr]
    assert doubted.measured(counts_us).all()
    assert marked[(7, 3 * HOUR_US, 3_600)].doubted(counts_us) is None
    # What was corrected after the rules had looked isn't meant.
    corrected = with_doubts({(7, HOUR_US, 3_600): past(31 * HOUR_US)}, {7: [span]})
    assert corrected[(7, HOUR_US, 3_600)].doubted(counts_us) is None


def test_a_day_is_looked_at_when_its_last_final_limit_and_what_is_on_its_way_have_passed() -> None:
    limit_us = 3 * 24 * HOUR_US  # of 2 January 1970, 24 h after its end
    assert newest_day(limit_us + 119_000_000, 86_400, UTC) == date(1970, 1, 1)
    assert newest_day(limit_us + 120_000_000, 86_400, UTC) == date(1970, 1, 2)


@pytest.mark.parametrize(("position", "end_us"), [(-1, 1), (0, 0)])
def test_a_doubt_has_a_position_and_a_time(position: int, end_us: int) -> None:
    with pytest.raises(ValueError, match="position and a time"):
        Doubt(position, DoubtRule.SPIKE, 0, end_us, 1, 1)
