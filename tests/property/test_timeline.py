"""Statements about periods against a line of days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.membership import StatePeriod
from grid.timeline import begins, change_values, ends, set_values

DAYS = 30
START = datetime(2026, 1, 1, tzinfo=UTC)


def instant(day: int) -> datetime:
    return START + timedelta(days=day)


def on_days(periods: list[StatePeriod], name: str) -> list[object]:
    found = [[p.values[name] for p in periods if p.contains(instant(day))] for day in range(DAYS)]
    assert all(len(values) <= 1 for values in found), "beliefs overlap"
    return [values[0] if values else None for values in found]


statements = st.lists(
    st.tuples(st.integers(0, DAYS - 1), st.one_of(st.none(), st.integers(1, DAYS)), st.integers(1, 4)), max_size=15
)


@given(statements)
def test_what_is_stated_holds_and_the_rest_stays(stated: list[tuple[int, int | None, int]]) -> None:
    periods: list[StatePeriod] = []
    days: list[object] = [None] * DAYS
    for first, length, value in stated:
        end = None if length is None else instant(first + length)
        old, new = set_values(periods, StatePeriod(None, {"a": value}, instant(first), end))
        periods = [*(p for p in periods if p not in old), *new]
        last = DAYS if length is None else min(first + length, DAYS)
        if days[first:last] == [value] * (last - first) and length is not None and first + length <= DAYS:
            assert (old, new) == ([], [])
        days[first:last] = [value] * (last - first)
        assert on_days(periods, "a") == days
        assert all(begins(p) < ends(p) for p in periods)


@given(st.lists(st.tuples(st.integers(0, DAYS - 1), st.sampled_from(["a", "b"]), st.integers(1, 3)), max_size=15))
def test_a_change_leaves_other_values_and_later_changes(changes: list[tuple[int, str, int]]) -> None:
    periods = [StatePeriod(None, {"a": 0, "b": 0}, START, None)]
    days: dict[str, list[object]] = {"a": [0] * DAYS, "b": [0] * DAYS}
    for day, name, value in changes:
        old, new = change_values(periods, {name: value}, instant(day))
        periods = [*(p for p in periods if p not in old), *new]
        line, before = days[name], days[name][day]
        for d in range(day, DAYS):
            if line[d] != before:
                break
            line[d] = value
        assert {n: on_days(periods, n) for n in days} == days


def test_what_is_not_known_cannot_change() -> None:
    with pytest.raises(LookupError):
        change_values([StatePeriod(None, {"a": 1}, instant(5), None)], {"a": 2}, START)
