"""Writes single changes of the grid model, bitemporally.

All functions work inside the caller's transaction, which begins with `store.outbox.begin_change`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from grid.membership import MemberPeriod
from grid.model import MAX_MEMBERS, UnitKind
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("grid_change")


class RosterFullError(ValueError):
    """A unit would have more positions than a roster may: those of members that have left count too."""


@dataclass(frozen=True, slots=True)
class UnitRow:
    """A unit as it is named now."""

    unit_id: int
    code: str
    kind: UnitKind
    name: str


@dataclass(frozen=True, slots=True)
class RegisterValues:
    """What a meter's registers showed, at the meter, before the multiplier; None = not known."""

    import_wh: int | None = None
    export_wh: int | None = None

    @property
    def known(self) -> bool:
        """Whether they say anything."""
        return self.import_wh is not None or self.export_wh is not None


def find_unit(connection: Connection, code: str) -> UnitRow | None:
    """The unit with this code; None when there is none."""
    row = connection.execute(_SQL["unit"], {"code": code}).fetchone()
    return None if row is None else UnitRow(row[0], row[1], UnitKind(row[2]), row[3])


def find_meter(connection: Connection, code: str) -> int | None:
    """Number of the meter with this code; None when there is none."""
    row = connection.execute(_SQL["meter_id"], {"code": code}).fetchone()
    return None if row is None else int(row[0])


def find_account(connection: Connection, code: str) -> int | None:
    """Number of the account with this code; None when there is none."""
    row = connection.execute(_SQL["account_id"], {"code": code}).fetchone()
    return None if row is None else int(row[0])


def account_code(connection: Connection, account_id: int) -> str:
    """Code of an account by its number."""
    row = connection.execute(_SQL["account_code"], {"account_id": account_id}).fetchone()
    assert row is not None  # noqa: S101  # a foreign key names it
    return str(row[0])


def add_meter(connection: Connection, code: str, accuracy_class: float, register_modulus_wh: int | None) -> int:
    """Make a meter known; returns its number."""
    values = {"code": code, "accuracy_class": accuracy_class, "register_modulus_wh": register_modulus_wh}
    row = connection.execute(_SQL["add_meter"], values).fetchone()
    assert row is not None  # noqa: S101  # insert … returning
    return int(row[0])


def read_memberships(connection: Connection, meter: str) -> list[MemberPeriod]:
    """Periods in which the meter is a member of a unit, as now believed, in order of time."""
    return [MemberPeriod(*row) for row in connection.execute(_SQL["memberships"], {"meter": meter})]


def read_parents(connection: Connection, child_id: int, kind: UnitKind) -> list[MemberPeriod]:
    """Periods in which a unit is part of a unit of this kind, as now believed, in order of time."""
    arguments = {"child_id": child_id, "kind": kind.value}
    return [MemberPeriod(*row) for row in connection.execute(_SQL["parents"], arguments)]


def units_above(
    connection: Connection, units: Sequence[str], valid_from: datetime, valid_to: datetime | None
) -> list[str]:
    """Codes of the units of which these are part at some time of [from, to)."""
    arguments = {"units": list(units), "valid_from": valid_from, "valid_to": valid_to}
    return [row[0] for row in connection.execute(_SQL["units_above"], arguments)]


def levels_above(connection: Connection, unit: str, valid_from: datetime, valid_to: datetime | None) -> list[str]:
    """Codes of the voltage levels of which a unit is a member at some time of [from, to)."""
    arguments = {"unit": unit, "valid_from": valid_from, "valid_to": valid_to}
    return [row[0] for row in connection.execute(_SQL["levels_above"], arguments)]


def is_part_of(connection: Connection, unit: str, whole: str) -> bool:
    """Whether a unit is, at any time, part of another or the same."""
    row = connection.execute(_SQL["is_part_of"], {"unit": unit, "whole": whole}).fetchone()
    return row is not None and bool(row[0])


def was_replaced(connection: Connection, meter: str, new_meter: str, at: datetime) -> bool:
    """Whether one change has put `new_meter` where `meter` was believed to be at an instant."""
    row = connection.execute(_SQL["was_replaced"], {"meter": meter, "new_meter": new_meter, "at": at}).fetchone()
    return row is not None and bool(row[0])


def account_units(connection: Connection, account_id: int) -> list[str]:
    """Codes of the units where the account is served."""
    return [row[0] for row in connection.execute(_SQL["account_units"], {"account_id": account_id})]


def replace_members(
    connection: Connection, old: Sequence[MemberPeriod], new: Sequence[MemberPeriod], instant: datetime
) -> None:
    """Give up beliefs about memberships and record others in their place, as of `instant`.

    Raises
    ------
    RosterFullError
        When a unit has no position left.
    """
    for period in old:
        closed = connection.execute(_SQL["close_member"], _bound(period, instant)).rowcount
        if closed != 1:
            raise RuntimeError(f"{closed} rows, and not one, are member {period.position} of {period.unit}")
    for period in new:
        bound = _bound(period, instant)
        if period.position is None:
            row = connection.execute(_SQL["place"], bound).fetchone()
            assert row is not None  # noqa: S101  # a select without from
            bound["position"] = row[0]
            if row[0] >= MAX_MEMBERS:
                raise RosterFullError(f"unit {period.unit} has {row[0]} positions, and no more")
        connection.execute(_SQL["add_member"], bound)


def write_registers(
    connection: Connection, meter_id: int, read_at: datetime, values: RegisterValues, instant: datetime
) -> bool:
    """Record what a meter's registers showed; returns whether that is news. What isn't known takes nothing back."""
    if not values.known:
        return False
    arguments = {"meter_id": meter_id, "read_at": read_at, "instant": instant}
    row = connection.execute(_SQL["register"], arguments).fetchone()
    if row is not None:
        values = RegisterValues(
            row[1] if values.import_wh is None else values.import_wh,
            row[2] if values.export_wh is None else values.export_wh,
        )
        if row[1:] == (values.import_wh, values.export_wh):
            return False
        connection.execute(_SQL["close_register"], {"belief_id": row[0], "instant": instant})
    connection.execute(
        _SQL["add_register"], {**arguments, "import_wh": values.import_wh, "export_wh": values.export_wh}
    )
    return True


def refresh_present(
    connection: Connection,
    instant: datetime,
    *,
    unit_id: int | None = None,
    account_id: int | None = None,
    meter_ids: Sequence[int] = (),
    since: datetime | None = None,
) -> int:
    """Bring the present columns of grid.unit, account and meter up to `instant`; returns how many rows changed.

    Of the named entities and, where `since` is given, of all with a belief that has come into force since then.
    """
    arguments = {
        "instant": instant,
        "since": since or instant,
        "unit_id": unit_id,
        "account_id": account_id,
        "meter_ids": list(meter_ids),
    }
    names = ("present_unit", "present_account", "present_meter")
    return sum(connection.execute(_SQL[name], arguments).rowcount for name in names)


def _bound(period: MemberPeriod, instant: datetime) -> dict[str, object]:
    return {
        "unit_id": period.unit_id,
        "position": period.position,
        "meter": period.meter,
        "child_id": period.child_id,
        "role": period.role,
        "multiplier": period.multiplier,
        "phases": period.phases,
        "valid_from": period.valid_from,
        "valid_to": period.valid_to,
        "instant": instant,
    }
