"""Alerts, their history, and the sums that loss alerts rest on. All functions work inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from grid.unit_loss import UnitLoss
from store.connection import Connection
from store.sql import load_queries, rows_of

_SQL = load_queries("alerts")


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert. `figures` are those of its finding when it was last looked at."""

    alert_id: int
    fingerprint: str
    kind: str
    severity: str
    state: str
    unit_id: int
    unit: str
    unit_kind: str
    unit_name: str
    meter: str | None
    role: str
    group_key: str
    assignee: str | None
    opened_at: datetime
    updated_at: datetime
    resolved_at: datetime | None
    closed_at: datetime | None
    suppressed_until: datetime | None
    outcome: str | None
    tier: int
    version: int
    expected_at: datetime | None
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewAlert:
    """An alert that is to be opened."""

    fingerprint: str
    kind: str
    severity: str
    unit_id: int
    opened_at: datetime
    figures: dict[str, Any]
    meter: str | None = None
    role: str = "control_room"
    group_key: str = ""
    escalate_at: datetime | None = None
    meters: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A step of an alert's life, as it is written."""

    state: str
    action: str
    actor: str
    reason: str
    at: datetime
    assignee: str | None = None
    """None: as it was."""
    suppressed_until: datetime | None = None
    outcome: str | None = None
    """None: as it was."""
    tier: int | None = None
    escalate_at: datetime | None = None
    expected_at: datetime | None = None
    """None: as it was."""
    event: str | None = None
    """What targets are to be told."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A step that was taken; `from_state` is None where the alert began."""

    at: datetime
    actor: str
    action: str
    from_state: str | None
    to_state: str
    reason: str


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts to list; None asks for all."""

    states: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    severity: str | None = None
    unit: str | None = None
    meter: str | None = None
    role: str | None = None
    assignee: str | None = None
    group: str | None = None
    opened_from: datetime | None = None
    opened_to: datetime | None = None
    closed_from: datetime | None = None
    closed_to: datetime | None = None


def lock_evaluation(connection: Connection) -> bool:
    """Become the one evaluator until the transaction ends; False when another one is at work."""
    row = connection.execute(_SQL["lock"]).fetchone()
    return row is not None and bool(row[0])


def read_recorded(connection: Connection, since: datetime) -> list[tuple[int, datetime, float]]:
    """Units of which results were recorded since then: (unit, when, largest share lost or gained in an interval)."""
    return connection.execute(_SQL["recorded"], {"since": since}).fetchall()


def units_after(connection: Connection, unit_id: int, limit: int) -> list[int]:
    """The next units by id."""
    return [row[0] for row in connection.execute(_SQL["units_after"], {"unit_id": unit_id, "limit": limit})]


def read_window(
    connection: Connection,
    start: datetime,
    stop: datetime,
    min_coverage: float,
    unit_ids: Sequence[int] | None = None,
) -> list[UnitLoss]:
    """Sums over the intervals that end in (start, stop]; units without one are left out.

    Parameters
    ----------
    unit_ids
        Only these units; None: all.
    """
    if unit_ids is not None and not unit_ids:
        return []
    arguments = {
        "start": start, "stop": stop, "min_coverage": min_coverage,
        "unit_ids": None if unit_ids is None else list(unit_ids),
    }  # fmt: skip
    # Planned for what is asked: for all units, or for a few through the index.
    return [UnitLoss(*row) for row in connection.execute(_SQL["window"], arguments, prepare=False)]


def open_alerts(connection: Connection, alerts: Sequence[NewAlert], reason: str) -> dict[str, int]:
    """Open alerts and begin their history; their ids by fingerprint. A condition that has a live one gets none."""
    rows = [{field.name: getattr(alert, field.name) for field in fields(NewAlert)} for alert in alerts]
    return {row[0]: int(row[1]) for row in connection.execute(_SQL["add"], {"rows": rows_of(rows), "reason": reason})}


def update_figures(connection: Connection, updates: Sequence[tuple[int, str, datetime, dict[str, Any]]]) -> None:
    """Note the newest (alert, severity, time, figures) of alerts."""
    names = ("alert_id", "severity", "at", "figures")
    rows = [dict(zip(names, update, strict=True)) for update in updates]
    connection.execute(_SQL["update"], {"rows": rows_of(rows)})


def note_told(connection: Connection, told: Sequence[tuple[int, str, int | None]]) -> None:
    """Note what targets are told of alerts: (alert, severity, meters in it)."""
    rows = [dict(zip(("alert_id", "severity", "meters"), each, strict=True)) for each in told]
    connection.execute(_SQL["told"], {"rows": rows_of(rows)})


def resolve_alerts(
    connection: Connection, resolved: Sequence[tuple[int, dict[str, Any]]], at: datetime, reason: str
) -> dict[int, str]:
    """Note that the conditions of live alerts have passed, and by which figures; the states in which they were."""
    rows = [{"alert_id": alert_id, "figures": figures} for alert_id, figures in resolved]
    arguments = {"rows": rows_of(rows), "at": at, "reason": reason}
    return {int(row[0]): str(row[1]) for row in connection.execute(_SQL["resolve"], arguments)}


def read_alerts(connection: Connection, alert_ids: Sequence[int], *, lock: bool = False) -> dict[int, AlertRow]:
    """Alerts by id; those that aren't there are left out."""
    arguments = {"alert_ids": list(alert_ids)}
    if lock:
        connection.execute(_SQL["lock_alerts"], arguments)
    return {row[0]: AlertRow(*row) for row in connection.execute(_SQL["read"], arguments)}


def list_alerts(connection: Connection, wanted: AlertFilter, after: int, limit: int) -> list[AlertRow]:
    """Alerts by id, falling; those below `after`, 0 for the newest."""
    arguments = {
        field.name: list(value) if isinstance(value := getattr(wanted, field.name), tuple) else value
        for field in fields(AlertFilter)
    }
    return [AlertRow(*row) for row in connection.execute(_SQL["list"], {**arguments, "after": after, "limit": limit})]


def change_alert(connection: Connection, alert_id: int, change: Change) -> None:
    """Write a step of an alert's life, and its history.

    Raises
    ------
    psycopg.errors.UniqueViolation
        When it would be live beside another alert of its condition.
    """
    arguments = {field.name: getattr(change, field.name) for field in fields(Change)}
    connection.execute(_SQL["change"], {**arguments, "alert_id": alert_id})


def read_history(connection: Connection, alert_id: int) -> list[Transition]:
    """Every step of an alert, in order."""
    return [Transition(*row) for row in connection.execute(_SQL["history"], {"alert_id": alert_id})]


def due_escalations(connection: Connection, now: datetime, limit: int) -> dict[int, datetime]:
    """Untouched alerts whose time has come, and when that was; their rows are locked."""
    return dict(connection.execute(_SQL["due_escalations"], {"now": now, "limit": limit}).fetchall())


def set_escalations(connection: Connection, times: Mapping[int, datetime]) -> None:
    """Note when open alerts are escalated, if nobody takes them."""
    rows = [{"alert_id": alert_id, "escalate_at": at} for alert_id, at in times.items()]
    connection.execute(_SQL["escalate_at"], {"rows": rows_of(rows)})


def ended_suppressions(connection: Connection, now: datetime, limit: int) -> list[int]:
    """Alerts whose suppression is over; their rows are locked."""
    return [int(row[0]) for row in connection.execute(_SQL["ended_suppressions"], {"now": now, "limit": limit})]


def take_events(connection: Connection, limit: int) -> list[tuple[int, str]]:
    """What targets are still to be told of what people did: (alert, event); it is taken to be told."""
    return [(int(row[0]), str(row[1])) for row in connection.execute(_SQL["take_events"], {"limit": limit})]
