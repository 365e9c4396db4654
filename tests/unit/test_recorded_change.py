"""Recorded changes of a unit's members, told from its memberships."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from grid.membership import MemberPeriod
from grid.model import Role
from grid.recorded_change import ChangeKind, ClassChange, Replacement, recorded_changes, sign

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
NOON = BEGIN + timedelta(days=5)
END = BEGIN + timedelta(days=14)


def member(
    name: str | int,
    begin: datetime | None = None,
    end: datetime | None = None,
    role: Role = Role.CUSTOMER,
    multiplier: int = 1,
) -> MemberPeriod:
    meter, child = (name, None) if isinstance(name, str) else (None, name)
    return MemberPeriod(1, "A1", 0, role, multiplier, begin, end, meter, child)


def changes(
    *periods: MemberPeriod, placed: tuple[Replacement, ...] = (), classes: tuple[ClassChange, ...] = ()
) -> list[tuple[ChangeKind, str, tuple[str, str]]]:
    found = recorded_changes(periods, {7: "A7"}, placed, classes, BEGIN, END)
    assert all(c.at == NOON for c in found)
    return [(c.kind, c.member, c.values) for c in found]


def test_members_come_and_go() -> None:
    assert changes(member("m1", None, NOON), member(7, NOON, role=Role.UNIT), member("m2")) == [
        (ChangeKind.CAME, "A7", ("", "")),
        (ChangeKind.WENT, "m1", ("", "")),
    ]


def test_what_lies_outside_is_no_change() -> None:
    assert changes(member("m1", BEGIN, END), member("m2", END), member("m3", None, BEGIN)) == []


def test_a_membership_that_goes_on_is_no_change() -> None:
    assert changes(member("m1", None, NOON), member("m1", NOON)) == []


def test_another_multiplier() -> None:
    assert changes(member("m1", None, NOON, multiplier=60), member("m1", NOON, multiplier=120)) == [
        (ChangeKind.MULTIPLIER, "m1", ("× 60", "× 120"))
    ]


def test_another_role() -> None:
    assert changes(member("m1", None, NOON), member("m1", NOON, role=Role.GATEWAY)) == [
        (ChangeKind.ROLE, "m1", ("2", "1"))
    ]


def test_a_meter_that_took_the_place_of_another() -> None:
    old, new = member("m1", None, NOON), member("m2", NOON)
    assert changes(old, new, placed=(Replacement("m1", "m2", NOON),)) == [
        (ChangeKind.METER, "m1", ("m1 × 1", "m2 × 1"))
    ]
    assert [kind for kind, _, _ in changes(old, new)] == [ChangeKind.WENT, ChangeKind.CAME]


def test_a_single_gateway_meter_follows_another() -> None:
    old, new = member("g1", None, NOON, Role.GATEWAY, 60), member("g2", NOON, None, Role.GATEWAY, 80)
    customers = member("m1", None, NOON), member("m2", NOON)
    assert changes(old, *customers, new) == [
        (ChangeKind.METER, "g1", ("g1 × 60", "g2 × 80")),
        (ChangeKind.WENT, "m1", ("", "")),
        (ChangeKind.CAME, "m2", ("", "")),
    ]


def test_another_class_of_a_meter_that_stays() -> None:
    of = (ClassChange("m1", NOON, 2.0, 0.5), ClassChange("elsewhere", NOON, 2.0, 0.5))
    assert changes(member("m1"), classes=of) == [(ChangeKind.CLASS, "m1", ("2 %", "0.5 %"))]


@pytest.mark.parametrize(
    ("role", "expected"),
    [(Role.GATEWAY, 1), (Role.CUSTOMER, -1), (Role.UNIT, -1), (Role.GATEWAY | Role.CUSTOMER, 0)],
)
def test_sense_in_which_a_member_enters_the_loss(role: Role, expected: int) -> None:
    assert sign(role) == expected
