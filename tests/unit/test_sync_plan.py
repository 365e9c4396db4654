from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.membership import MemberPeriod
from grid.model import Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind
from sync.change import InvalidChangeError, read_change
from sync.load import find_problems
from sync.messages import AccountStatusChange, MeterMultiplier, UnitName
from sync.plan import NotInstalledError, plan_multiplier
from tests.small_grid import small_model

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def period(multiplier: int, first: int | None, last: int | None) -> MemberPeriod:
    return MemberPeriod(
        1,
        "A1",
        0,
        2,
        multiplier,
        None if first is None else START + first * DAY,
        None if last is None else START + last * DAY,
    )


def apply(periods: list[MemberPeriod], multiplier: int, day: int) -> list[MemberPeriod]:
    result = list(periods)
    for rewrite in plan_multiplier(periods, multiplier, START + day * DAY):
        at = result.index(rewrite.old)
        result[at : at + 1] = rewrite.new
    return result


def at(periods: list[MemberPeriod], day: int) -> int | None:
    found = [p.multiplier for p in periods if p.contains(START + day * DAY)]
    assert len(found) <= 1
    return found[0] if found else None


def test_the_period_is_cut() -> None:
    assert apply([period(1, 0, None)], 40, 10) == [period(1, 0, 10), period(40, 10, None)]


def test_from_its_start_it_is_replaced() -> None:
    assert apply([period(1, 0, 20)], 40, 0) == [period(40, 0, 20)]
    assert apply([period(1, None, 20)], 40, 0) == [period(1, None, 0), period(40, 0, 20)]


def test_the_same_multiplier_rewrites_nothing() -> None:
    assert plan_multiplier([period(40, 0, None)], 40, START + 3 * DAY) == []


@pytest.mark.parametrize("day", [-1, 20, 25])
def test_outside_all_periods_it_is_refused(day: int) -> None:
    with pytest.raises(NotInstalledError):
        plan_multiplier([period(1, 0, 20), period(1, 30, None)], 40, START + day * DAY)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 5)), min_size=1, max_size=20))
def test_against_a_line_of_days(changes: list[tuple[int, int]]) -> None:
    """A naive model: one multiplier a day, each change painting until the next day on which one is known."""
    periods = [period(1, 0, None)]
    days = [1] * 61
    known = {0}
    for day, multiplier in changes:
        periods = apply(periods, multiplier, day)
        end = min((k for k in known if k > day), default=61)
        if days[day] != multiplier:
            days[day:end] = [multiplier] * (end - day)
            known.add(day)
        assert [at(periods, d) for d in range(61)] == days
        assert at(periods, -1) is None


class TestReadChange:
    def test_each_kind(self) -> None:
        changed = read_change(
            b'{"kind":"meter_multiplier","meter":"m","multiplier":2,"valid_from":"2026-06-01T02:00:00+02:00"}'
        )
        assert isinstance(changed, MeterMultiplier)
        assert changed.valid_from == datetime(2026, 6, 1, tzinfo=UTC)
        assert isinstance(
            read_change(b'{"kind":"account_status","account":"a","status":"closed"}'), AccountStatusChange
        )
        assert isinstance(read_change(b'{"kind":"unit_name","unit":"u","name":"n"}'), UnitName)

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            (b"", "truncated"),
            (b"[]", "object"),
            (b"{}", "kind"),
            (b'{"kind":"drop_table"}', "kind"),
            (b'{"kind":"unit_name","unit":"A1","name":""}', r"\$\.name"),
            (b'{"kind":"unit_name","unit":"A1","name":"x","more":1}', "more"),
            (b'{"kind":"unit_name","unit":"A1","name":"\\u0000"}', r"\$\.name"),
            (b'{"kind":"unit_name","unit":"A1","name":"\xff"}', "utf-8"),
            (b'{"kind":"account_status","account":"a","status":"asleep"}', r"\$\.status"),
            (b'{"kind":"meter_multiplier","meter":"m","multiplier":0,"valid_from":"2026-06-01T00:00:00Z"}', ">= 1"),
            (b'{"kind":"meter_multiplier","meter":"m","multiplier":2.5,"valid_from":"2026-06-01T00:00:00Z"}', "int"),
            (b'{"kind":"meter_multiplier","meter":"m","multiplier":2,"valid_from":"2026-06-01T00:00:00"}', "timezone"),
        ],
    )
    def test_what_is_wrong_is_said(self, body: bytes, said: str) -> None:
        with pytest.raises(InvalidChangeError, match=said):
            read_change(body)


class TestFindProblems:
    def test_a_good_model_has_none(self) -> None:
        assert find_problems(small_model()) == []

    def test_all_are_listed(self) -> None:
        model = GridModel(
            (Substation("S", "S", 110_000, 20_000),),
            (Feeder("F1", "F1", "S"),),
            (
                TransformerArea("A1", "A1", UnitKind.AREA, "g", "F1", rating_va=-1),
                TransformerArea("D1", "D1", UnitKind.DEDICATED, "g", "F1"),
            ),
            (
                *(Meter(f"m{i}", "A1", Role.CUSTOMER) for i in range(4_097)),
                Meter("unit", "A1", Role.UNIT),
            ),
        )
        problems = "\n".join(find_problems(model))
        for said in (
            "A1 has 4098 members",
            "F1 names no account",
            "D1 has no meter",
            "-1 VA",
            "meter unit has no usable",
        ):
            assert said in problems
