"""What people keep beside alerts: maintenance windows, holidays, work orders. Inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.types.json import Jsonb

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("alert_desk")


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A window in which nothing new opens below a unit."""

    maintenance_id: int
    unit: str
    kinds: list[str] | None
    begins_at: datetime
    ends_at: datetime
    reason: str
    created_by: str


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """What a crew is sent out for, and what it found."""

    work_order_id: int
    alert_id: int
    alert_code: str
    role: str
    unit: str
    meter: str | None
    state: str
    assignee: str
    created_at: datetime
    created_by: str
    deadline: datetime
    expected_wh: int | None
    evidence: dict[str, Any]
    result: str | None
    found_wh: int | None
    note: str | None
    done_at: datetime | None
    done_by: str | None
    version: int


@dataclass(frozen=True, slots=True)
class NewOrder:
    """A work order that is to be issued."""

    alert_id: int
    assignee: str
    created_at: datetime
    created_by: str
    deadline: datetime
    expected_wh: int | None
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OverdueOrder:
    """A work order that is out although its deadline has passed; `kind` is that of its alert."""

    work_order_id: int
    alert_id: int
    kind: str
    unit: str
    meter: str | None
    deadline: datetime
    expected_wh: int | None


def add_maintenance(
    connection: Connection,
    unit: str,
    begins_at: datetime,
    ends_at: datetime,
    reason: str,
    created_by: str,
    kinds: Sequence[str] | None = None,
) -> int | None:
    """Plan a window; returns its number, None where the unit isn't known."""
    arguments = {
        "unit": unit,
        "begins_at": begins_at,
        "ends_at": ends_at,
        "reason": reason,
        "created_by": created_by,
        "kinds": None if kinds is None else list(kinds),
    }
    row = connection.execute(_SQL["add_maintenance"], arguments).fetchone()
    return None if row is None else int(row[0])


def end_maintenance(connection: Connection, maintenance_id: int, at: datetime) -> bool:
    """End a window early; one that hasn't begun never was. False where there is none that lasts."""
    ended = connection.execute(_SQL["end_maintenance"], {"maintenance_id": maintenance_id, "at": at}).rowcount
    gone = connection.execute(_SQL["cancel_maintenance"], {"maintenance_id": maintenance_id, "at": at}).rowcount
    return ended + gone > 0


def list_maintenance(connection: Connection, since: datetime) -> list[Maintenance]:
    """Windows that end after an instant, the first to begin first."""
    return [Maintenance(*row) for row in connection.execute(_SQL["list_maintenance"], {"since": since})]


def read_holidays(connection: Connection) -> dict[date, bool]:
    """Days on which the week's pattern doesn't hold, and whether they are working days."""
    return dict(connection.execute(_SQL["holidays"]).fetchall())


def list_holidays(connection: Connection) -> list[tuple[date, bool, str]]:
    """The same with their names, in order."""
    return [(row[0], row[1], row[2]) for row in connection.execute(_SQL["list_holidays"])]


def set_holiday(connection: Connection, day: date, working: bool, name: str) -> None:
    """Say that a day is, or isn't, a working day."""
    connection.execute(_SQL["set_holiday"], {"day": day, "working": working, "name": name})


def unset_holiday(connection: Connection, day: date) -> bool:
    """Let the week's pattern hold again; False where it did."""
    return connection.execute(_SQL["unset_holiday"], {"day": day}).rowcount > 0


def add_order(connection: Connection, order: NewOrder) -> int:
    """Issue a work order; returns its number.

    Raises
    ------
    psycopg.errors.UniqueViolation
        When one is out for the alert.
    """
    arguments = {
        "alert_id": order.alert_id,
        "assignee": order.assignee,
        "created_at": order.created_at,
        "created_by": order.created_by,
        "deadline": order.deadline,
        "expected_wh": order.expected_wh,
        "evidence": Jsonb(order.evidence),
    }
    row = connection.execute(_SQL["add_order"], arguments).fetchone()
    assert row is not None  # noqa: S101  # insert … returning
    return int(row[0])


def read_order(connection: Connection, work_order_id: int, *, lock: bool = False) -> WorkOrder | None:
    """A work order; None where there is none."""
    arguments = {"work_order_id": work_order_id}
    if lock:
        connection.execute(_SQL["lock_order"], arguments)
    row = connection.execute(_SQL["read_order"], arguments).fetchone()
    return None if row is None else WorkOrder(*row)


def list_orders(
    connection: Connection,
    state: str | None,
    assignee: str | None,
    alert_id: int | None,
    roles: Sequence[str] | None,
    after: int,
    limit: int,
    overdue_at: datetime | None = None,
) -> list[WorkOrder]:
    """Work orders by number, falling; those below `after`, 0 for the newest; where an instant is given, those overdue
    then.
    """
    arguments = {
        "state": state,
        "assignee": assignee,
        "alert_id": alert_id,
        "roles": None if roles is None else list(roles),
        "after": after,
        "limit": limit,
        "overdue_at": overdue_at,
    }
    return [WorkOrder(*row) for row in connection.execute(_SQL["list_orders"], arguments)]


def read_overdue(connection: Connection, now: datetime) -> list[OverdueOrder]:
    """Orders that are overdue, and of which no finding says so yet; a thousand at most."""
    return [OverdueOrder(*row) for row in connection.execute(_SQL["overdue"], {"now": now})]


def read_ended_overdue(connection: Connection, kind: str) -> list[tuple[str, str, datetime, dict[str, Any]]]:
    """Findings of a kind whose order isn't out any more: fingerprint, unit, begin, figures; a thousand at most."""
    return [(r[0], r[1], r[2], r[3]) for r in connection.execute(_SQL["ended_overdue"], {"kind": kind})]


def end_order(
    connection: Connection,
    work_order_id: int,
    state: str,
    at: datetime,
    by: str,
    result: str | None,
    found_wh: int | None,
    note: str | None,
) -> None:
    """Note what came of a work order."""
    arguments = {
        "work_order_id": work_order_id,
        "state": state,
        "at": at,
        "by": by,
        "result": result,
        "found_wh": found_wh,
        "note": note,
    }
    connection.execute(_SQL["end_order"], arguments)


def read_surroundings(connection: Connection, unit_id: int, now: datetime) -> dict[str, Any]:
    """Where a unit is, for whoever goes there: what is above it, who answers for it, how many meters it has."""
    row = connection.execute(_SQL["surroundings"], {"unit_id": unit_id, "now": now}).fetchone()
    found: dict[str, Any] = {} if row is None else row[0]
    return found
