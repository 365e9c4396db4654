from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.membership import MemberPeriod
from grid.model import Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind
from grid.timeline import begins
from sync.change import InvalidChangeError, read_change
from sync.load import find_problems
from sync.messages import AccountStatusChange, MeterMultiplier, UnitName
from sync.plan import (
    AmbiguousError,
    NotInstalledError,
    OverlapError,
    Rewrite,
    plan_move,
    plan_multiplier,
    plan_parent,
    plan_replacement,
)
from tests.small_grid import small_model

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)


def period(multiplier: int, first: int | None, last: int | None) -> MemberPeriod:
    return MemberPeriod(
        1,
        "A1",
        0 if multiplier == 1 else None,
        2,
        multiplier,
        None if first is None else START + first * DAY,
        None if last is None else START + last * DAY,
    )


def apply(periods: list[MemberPeriod], multiplier: int, day: int) -> list[MemberPeriod]:
    rewrite = plan_multiplier(periods, multiplier, START + day * DAY)
    return sorted([*(p for p in periods if p not in rewrite.old), *rewrite.new], key=begins)


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
    assert plan_multiplier([period(40, 0, None)], 40, START + 3 * DAY) == Rewrite((), ())


@pytest.mark.parametrize("day", [-1, 20, 25])
def test_outside_all_periods_it_is_refused(day: int) -> None:
    with pytest.raises(NotInstalledError):
        plan_multiplier([period(1, 0, 20), period(1, 30, None)], 40, START + day * DAY)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(2, 5)), min_size=1, max_size=20))
def test_against_a_line_of_days(changes: list[tuple[int, int]]) -> None:
    """A naive model: one multiplier a day, each change painting for as long as the multiplier stays as it was."""
    periods = [period(1, 0, None)]
    days = [1] * 61
    for day, multiplier in changes:
        periods = apply(periods, multiplier, day)
        before = days[day]
        for d in range(day, 61):
            if days[d] != before:
                break
            days[d] = multiplier
        assert [at(periods, d) for d in range(61)] == days
        assert at(periods, -1) is None


class TestMoveAndReplace:
    def test_a_move_takes_all_that_follows_in_the_unit(self) -> None:
        periods = [period(1, 0, 10), period(40, 10, 20), replace(period(1, 20, None), unit_id=3, unit="A3")]
        rewrite = plan_move(periods, (2, "A2"), START + 5 * DAY)
        assert rewrite.old == tuple(periods[:2])
        assert [(p.unit, p.multiplier, p.valid_from, p.valid_to) for p in rewrite.new] == [
            ("A1", 1, START, START + 5 * DAY),
            ("A2", 1, START + 5 * DAY, START + 10 * DAY),
            ("A2", 40, START + 10 * DAY, START + 20 * DAY),
        ]
        assert [p.position for p in rewrite.new] == [0, None, None]
        assert rewrite.span("A1", START + 5 * DAY) == (START + 5 * DAY, START + 20 * DAY)

    def test_a_move_to_where_it_is_does_nothing(self) -> None:
        assert plan_move([period(1, 0, None)], (1, "A1"), START) == Rewrite((), ())

    def test_a_move_must_be_possible_and_clear(self) -> None:
        twice = [period(1, 0, None), replace(period(1, 0, None), unit_id=3, unit="A3")]
        with pytest.raises(AmbiguousError):
            plan_move(twice, (2, "A2"), START)
        assert [p.unit for p in plan_move(twice, (2, "A2"), START, leaving="A3").new] == ["A2"]
        with pytest.raises(OverlapError):
            plan_move(twice, (1, "A1"), START, leaving="A3")
        with pytest.raises(NotInstalledError):
            plan_move(twice, (2, "A2"), START, leaving="A9")

    def test_a_replacement_follows_the_old_meters_way(self) -> None:
        periods = [
            replace(period(1, 0, 10), meter="old"),
            replace(period(40, 10, 20), meter="old"),
            replace(period(1, 20, 30), unit_id=2, unit="A2", meter="old"),
            replace(period(1, 40, None), meter="old"),
        ]
        rewrite = plan_replacement(periods, "new", 7, START + 5 * DAY)
        assert rewrite.old == tuple(periods[:3])
        assert [(p.meter, p.unit, p.multiplier) for p in rewrite.new] == [
            ("old", "A1", 1),
            ("new", "A1", 7),
            ("new", "A1", 40),
            ("new", "A2", 1),
        ]

    def test_a_parent_holds_until_the_next_that_is_known(self) -> None:
        parent = MemberPeriod(1, "F1", 0, 4, 1, START, START + 10 * DAY, child_id=9)
        later = MemberPeriod(2, "F2", 0, 4, 1, START + 10 * DAY, None, child_id=9)
        moved = plan_parent([parent, later], 9, (3, "F3"), START + 5 * DAY)
        assert [(p.unit, p.valid_to) for p in moved.new] == [("F1", START + 5 * DAY), ("F3", START + 10 * DAY)]
        taken = plan_parent([parent, later], 9, None, START + 5 * DAY)
        assert [(p.unit, p.valid_to) for p in taken.new] == [("F1", START + 5 * DAY)]
        first = plan_parent([later], 9, (3, "F3"), START)
        assert [(p.unit, p.valid_from, p.valid_to) for p in first.new] == [("F3", START, START + 10 * DAY)]


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
            (
                b'{"kind":"meter_multiplier","meter":"m","multiplier":2,"valid_from":"0001-01-01T00:00:00+08:00"}',
                "0001",
            ),
            (
                b'{"kind":"meter_replace","meter":"m","new_meter":"n","valid_from":"2026-06-01T00:00:00Z","removed":{"import_wh":-1}}',
                "removed",
            ),
            (
                b'{"kind":"unit_parent","unit":"A1","parent":"F1","parent_kind":"area","valid_from":"2026-06-01T00:00:00Z"}',
                "parent_kind",
            ),
            (b'{"kind":"responsibility","unit":"A1","duty":"cooking"}', "duty"),
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
