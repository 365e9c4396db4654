"""Finds work orders whose deadline has passed, so that somebody learns of it."""

from __future__ import annotations

from datetime import datetime

from grid.finding import Finding, Severity
from store.alert_desk import OverdueOrder, read_ended_overdue, read_overdue
from store.connection import Connection
from store.findings import Written, add_findings

KIND = "order_overdue"


def find_overdue(connection: Connection, now: datetime) -> Written:
    """Write what is overdue and what is so no more, inside the caller's transaction."""
    found = [_finding(order, now) for order in read_overdue(connection, now)]
    ended = [
        Finding(KIND, Severity.WARNING, unit, fingerprint, min(begin, now), now, holds=False, figures=figures)
        for fingerprint, unit, begin, figures in read_ended_overdue(connection, KIND)
    ]
    return add_findings(connection, [*found, *ended]) if found or ended else Written()


def _finding(order: OverdueOrder, now: datetime) -> Finding:
    return Finding(
        kind=KIND,
        severity=Severity.WARNING,
        unit=order.unit,
        fingerprint=f"{KIND}:{order.work_order_id}",
        begin=order.deadline,
        seen_at=now,
        meter=order.meter,
        figures={
            "work_order": order.work_order_id,
            "alert": order.alert_id,
            "about": order.kind,
            "deadline": order.deadline.isoformat(),
            "expected_wh": order.expected_wh,
        },
    )
