"""Periods of local days and the places of their intervals."""

from __future__ import annotations

from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from meterline.why import Calendar, Span, WhyError, choose_length
from store.change import ResultArrays

BERLIN = ZoneInfo("Europe/Berlin")
KATHMANDU = ZoneInfo("Asia/Kathmandu")
HOUR, DAY = (3_600, 3_600), (82_800, 90_000)


def calendar(first: date, days: int, lengths_s: tuple[int, int] = HOUR, zone: ZoneInfo = BERLIN) -> Calendar:
    return Calendar(Span.of_days(first, days, zone), lengths_s, zone)


def test_days_of_a_change_of_the_clock_have_23_and_25_hours() -> None:
    plain = calendar(date(2026, 6, 1), 1)
    spring, autumn = calendar(date(2026, 3, 29), 1), calendar(date(2026, 10, 25), 1)
    assert [len(c.slot) for c in (plain, spring, autumn)] == [24, 23, 25]
    assert set(spring.slot) < set(plain.slot) < set(autumn.slot)
    # Noon is beside noon, and the second of two hours is beside none.
    assert spring.slot[-12] == plain.slot[-12] == autumn.slot[-12] == 2 * 12 * 3_600
    (extra,) = set(autumn.slot) - set(plain.slot)
    assert extra == 2 * 2 * 3_600 + 1


def test_local_days_are_intervals_too() -> None:
    week = calendar(date(2026, 10, 20), 7, DAY)
    assert ((week.end_us - week.begin_us) // 3_600_000_000).tolist() == [24, 24, 24, 24, 24, 25, 24]
    assert np.array_equal(week.slot, calendar(date(2026, 6, 1), 7, DAY).slot)


def test_hours_of_utc_belong_to_the_day_in_which_they_end() -> None:
    days = [calendar(date(2026, 6, n), 1, HOUR, KATHMANDU) for n in (1, 2)]
    assert [len(day.slot) for day in days] == [24, 24]
    first, second = days
    midnight_us = int(Span.of_days(date(2026, 6, 1), 1, KATHMANDU).instants[0].timestamp()) * 1_000_000
    assert first.begin_us[0] % 3_600_000_000 == 0
    assert first.begin_us[0] < midnight_us < first.end_us[0]
    assert first.end_us[-1] == second.begin_us[0]
    assert np.array_equal(first.slot, second.slot)


@pytest.mark.parametrize("days", [1, 28, 31])
def test_places_stand_once(days: int) -> None:
    slots = calendar(date(2026, 10, 1), days, (900, 900)).slot
    assert len(set(slots.tolist())) == len(slots)


def results(*rows: tuple[int, int, int]) -> ResultArrays:
    """Results of (end, length, computable)."""
    columns = dict(zip(("observed_us", "interval_s", "computable"), zip(*rows, strict=True), strict=True))
    zeros = (0,) * len(rows)
    arrays: dict[str, Any] = {n: np.array(columns.get(n, zeros)) for n in ResultArrays.__dataclass_fields__}
    return ResultArrays(**arrays)


class TestLength:
    span = Span.of_days(date(2026, 6, 1), 1, BERLIN)

    def choose(self, before: ResultArrays, after: ResultArrays) -> tuple[int, int]:
        return choose_length((before, after), (self.span, self.span), "A1")

    def test_the_shortest_of_those_that_cover_as_much(self) -> None:
        day = [(96, 86_400, 1), *((n, 900, 1) for n in range(96))]
        assert self.choose(results(*day), results(*day)) == (900, 900)

    def test_days_where_quarters_are_missing(self) -> None:
        day = [(96, 86_400, 1), *((n, 900, 1) for n in range(96))]
        poor = [(96, 90_000, 1), *((n, 900, int(n > 40)) for n in range(96))]
        assert self.choose(results(*day), results(*poor)) == DAY

    def test_nothing_to_compare(self) -> None:
        with pytest.raises(WhyError, match="no computable interval from 2026-06-01 to 2026-06-02"):
            self.choose(results((1, 900, 1)), results((1, 900, 0)))
        with pytest.raises(WhyError, match="no computable intervals of one length"):
            self.choose(results((1, 900, 1)), results((1, 3_600, 1)))
