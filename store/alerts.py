"""Alerts and the sums they rest on. All functions work inside the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from grid.unit_loss import UnitLoss
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("alerts")


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that is neither resolved nor closed."""

    alert_id: int
    kind: str
    severity: str
    state: str
    opened_at: datetime
    evidence: dict[str, Any]


def lock_evaluation(connection: Connection) -> bool:
    """Become the one evaluator until the transaction ends; False when another one is at work."""
    row = connection.execute(_SQL["lock"]).fetchone()
    return row is not None and bool(row[0])


def read_window(connection: Connection, start: datetime, stop: datetime, min_coverage: float) -> list[UnitLoss]:
    """Sums over the intervals that end in (start, stop]; units without one are left out."""
    arguments = {"start": start, "stop": stop, "min_coverage": min_coverage}
    return [UnitLoss(*row) for row in connection.execute(_SQL["window"], arguments)]


def read_open(connection: Connection) -> dict[str, OpenAlert]:
    """Open alerts by fingerprint; their rows are locked."""
    return {row[0]: OpenAlert(*row[1:]) for row in connection.execute(_SQL["open"])}


def add_alert(
    connection: Connection,
    fingerprint: str,
    kind: str,
    severity: str,
    unit_id: int,
    at: datetime,
    evidence: dict[str, Any],
) -> int:
    """Open an alert; returns its id."""
    row = connection.execute(
        _SQL["add"],
        {
            "fingerprint": fingerprint,
            "kind": kind,
            "severity": severity,
            "unit_id": unit_id,
            "at": at,
            "evidence": Jsonb(evidence),
        },
    ).fetchone()
    assert row is not None  # noqa: S101  # insert … returning
    return int(row[0])


def update_alert(connection: Connection, alert_id: int, severity: str, at: datetime, evidence: dict[str, Any]) -> None:
    """Note the newest figures of an open alert."""
    arguments = {"alert_id": alert_id, "severity": severity, "at": at, "evidence": Jsonb(evidence)}
    connection.execute(_SQL["update"], arguments)


def resolve_alert(connection: Connection, alert_id: int, at: datetime, evidence: dict[str, Any]) -> None:
    """Note that the condition has passed, and by which figures."""
    connection.execute(_SQL["resolve"], {"alert_id": alert_id, "at": at, "evidence": Jsonb(evidence)})
