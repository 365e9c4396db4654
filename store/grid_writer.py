"""Writes the grid model: the bulk load and single changes, bitemporally, each with its outbox rows.

All functions work inside the caller's transaction, which begins with `store.outbox.begin_change`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg

from grid.membership import MemberPeriod
from grid.model import MAX_MEMBERS, GridModel, Role, UnitKind
from store.connection import Connection
from store.network import find_switched, load_network
from store.outbox import begin_change
from store.parents import RosterFullError, write_parents
from store.sql import load_queries

_SQL = load_queries("grid_writer")

#: From when on a model holds that doesn't say so: before any reading.
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load has changed.

    Attributes
    ----------
    substations, units, accounts, meters
        Rows that are new or have changed.
    members_closed, members_written
        Beliefs about membership that were given up, and that were recorded.
    units_announced
        Units of which an outbox row tells.
    connections
        Nodes, segments, switches and connections of the network that are new, have changed or are gone.
    """

    substations: int
    units: int
    accounts: int
    meters: int
    members_closed: int
    members_written: int
    units_announced: int
    connections: int = 0

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        written = (self.members_closed, self.members_written, self.connections)
        return any((self.substations, self.units, self.accounts, self.meters, *written))


def load_model(connection: Connection, model: GridModel, valid_from: datetime = BEGINNING) -> LoadReport:
    """Make the store say what `model` says of the time from `valid_from` on; the same again changes nothing.

    Members of the model's units that it doesn't name are taken to have left at `valid_from`, and so are its meters
    and areas from units where they were before. Units, meters and accounts that it doesn't name are left alone.
    What was believed before stays readable in recorded time. Areas that are switched to another feeder than the model
    says stay there: it describes the normal state.

    Parameters
    ----------
    connection
        Not in a transaction; the load is one.
    valid_from
        Aware.

    Raises
    ------
    RosterFullError
        When a unit would get more than `MAX_MEMBERS` positions; nothing is written.
    """
    if valid_from.tzinfo is None:
        raise ValueError(f"valid_from must say its time zone: {valid_from}")
    # Bound by the client: several statements go in one, and some are not queries.
    with connection.transaction(), psycopg.ClientCursor(connection) as cursor:
        instant = begin_change(connection)
        arguments: dict[str, object] = {
            "valid_from": valid_from,
            "valid_from_text": to_text(valid_from),
            "instant": instant,
        }

        def run(name: str) -> int:
            cursor.execute(_SQL[name], arguments)
            return max(cursor.rowcount, 0)

        def count(name: str) -> int:
            cursor.execute(_SQL[name], arguments)
            row = cursor.fetchone()
            return 0 if row is None else int(row[0])

        run("stage")
        for table, rows in _staged(model):
            _copy(cursor, table, rows)
        run("analyze")
        substations = run("substations")
        units = run("units")
        accounts = count("accounts")
        meters = count("meters")
        connections = 0 if model.network is None else load_network(cursor, model.network, arguments)
        parents, switched = find_switched(connection, model, valid_from)
        arguments["switched"] = list(switched)
        run("switched")
        run("wanted")
        cursor.execute(_SQL["longest_roster"])
        longest = cursor.fetchone()
        if longest is not None and longest[1] > MAX_MEMBERS:
            raise RosterFullError(f"unit {longest[0]} would have {longest[1]} positions, of at most {MAX_MEMBERS}")
        run("believed")
        run("differing")
        closed = run("close")
        written = run("keep_before") + run("write")
        run("changed_members")
        moved = write_parents(connection, parents, switched, instant)
        arguments["moved"] = list(moved.units)
        run("changed_parents")
        announced = run("announce")
    closed, written = closed + moved.closed, written + moved.written
    return LoadReport(substations, units, accounts, meters, closed, written, announced, connections)


_COPY: dict[str, LiteralString] = {
    "substation": "copy pg_temp.stage_substation from stdin",
    "unit": "copy pg_temp.stage_unit from stdin",
    "account": "copy pg_temp.stage_account from stdin",
    "meter": "copy pg_temp.stage_meter from stdin",
    "member": "copy pg_temp.stage_member from stdin",
}


def _copy(cursor: psycopg.ClientCursor[Any], table: str, rows: Iterable[tuple[object, ...]]) -> None:
    with cursor.copy(_COPY[table]) as copy:
        for row in rows:
            copy.write_row(row)


def _staged(model: GridModel) -> Iterator[tuple[str, Iterable[tuple[object, ...]]]]:
    yield (
        "substation",
        ((s.code, s.name, s.high_voltage_v, s.medium_voltage_v) for s in model.substations),
    )
    yield "unit", ((ordinal, *unit) for ordinal, unit in enumerate(_units(model)))
    yield "account", ((a.code, a.tariff_class, a.contract_w, a.status.value) for a in model.accounts)
    yield "meter", ((m.code, m.accuracy_class, m.account) for m in model.meters)
    yield "member", _members(model)


def _units(model: GridModel) -> Iterator[tuple[object, ...]]:
    substation_of = {f.code: f.substation for f in model.feeders}
    for f in model.feeders:
        gateway = model.feeder_gateways.get(f.code)
        yield f.code, UnitKind.FEEDER.value, f.name, f.substation, gateway, None, None, None, None, None
    for a in model.areas:
        yield (
            a.code,
            a.kind.value,
            a.name,
            None if a.feeder is None else substation_of[a.feeder],
            a.gateway,
            a.rating_va,
            a.no_load_loss_w,
            a.load_loss_w,
            a.longitude_deg,
            a.latitude_deg,
        )


def _members(model: GridModel) -> Iterator[tuple[object, ...]]:
    ordinal = 0
    for m in model.meters:
        yield m.unit, ordinal, m.code, None, int(m.role), m.multiplier
        ordinal += 1
    # After all meters: a feeder's head gateways come before its areas.
    for a in model.areas:
        if a.feeder is not None:
            yield a.feeder, ordinal, None, a.code, int(Role.UNIT), 1
            ordinal += 1


def read_memberships(connection: Connection, meter: str) -> list[MemberPeriod] | None:
    """Periods in which the meter is a member of a unit, in order of time; None when there is no such meter."""
    if connection.execute(_SQL["meter_exists"], {"meter": meter}).fetchone() is None:
        return None
    return [MemberPeriod(*row) for row in connection.execute(_SQL["memberships"], {"meter": meter})]


def replace_membership(
    connection: Connection, meter: str, old: MemberPeriod, new: Sequence[MemberPeriod], instant: datetime
) -> None:
    """Give up one belief about a meter's membership and record others in its place, as of `instant`."""
    closed = connection.execute(_SQL["close_one"], _bound(meter, old, instant)).rowcount
    if closed != 1:
        raise RuntimeError(f"{closed} rows, and not one, say that {meter} is at position {old.position} of {old.unit}")
    for period in new:
        connection.execute(_SQL["add_one"], _bound(meter, period, instant))


def _bound(meter: str, period: MemberPeriod, instant: datetime) -> dict[str, object]:
    return {
        "unit_id": period.unit_id,
        "position": period.position,
        "meter": meter,
        "role": period.role,
        "multiplier": period.multiplier,
        "valid_from": period.valid_from,
        "valid_to": period.valid_to,
        "instant": instant,
    }


def read_account_status(connection: Connection, account: str) -> str | None:
    """Status of an account, whose row is locked; None when there is no such account."""
    row = connection.execute(_SQL["account"], {"account": account}).fetchone()
    return None if row is None else str(row[0])


def write_account_status(connection: Connection, account: str, status: str) -> list[str]:
    """Set the status of an account; returns the codes of the units where it has meters."""
    connection.execute(_SQL["set_account_status"], {"account": account, "status": status})
    return [row[0] for row in connection.execute(_SQL["account_units"], {"account": account})]


def read_unit_name(connection: Connection, unit: str) -> str | None:
    """Name of a unit, whose row is locked; None when there is no such unit."""
    row = connection.execute(_SQL["unit"], {"unit": unit}).fetchone()
    return None if row is None else str(row[0])


def write_unit_name(connection: Connection, unit: str, name: str) -> None:
    """Set the name of a unit."""
    connection.execute(_SQL["set_unit_name"], {"unit": unit, "name": name})


def to_text(at: datetime) -> str:
    """An instant as RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
