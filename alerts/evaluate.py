"""One evaluation: findings from sums of losses and from late work orders, and a look at what is due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from alerts.look import BATCH, AlertEvent, look
from alerts.overdue import find_overdue
from alerts.routing import Routing
from alerts.rules import AlertPolicy, Kind, find_losses
from alerts.sense import SenseRules
from alerts.units_due import UnitsDue
from grid.thresholds import DEFAULTS, Threshold
from store.alerts import lock_evaluation, read_window
from store.connection import Connection
from store.findings import add_findings, read_holding
from store.thresholds import load_thresholds


class AnothersTurnError(RuntimeError):
    """Another evaluator is at work; nothing was done."""


def evaluate(
    connection: Connection,
    policy: AlertPolicy,
    routing: Routing,
    now: datetime,
    *,
    rules: SenseRules | None = None,
    defaults: Sequence[Threshold] = DEFAULTS,
    due: UnitsDue | None = None,
    limit: int = BATCH,
) -> list[AlertEvent]:
    """Find losses in the window that ends at `now`, and late work orders; open, update and resolve alerts by findings.

    One transaction. The same again changes nothing.

    Parameters
    ----------
    routing
        Who is told.
    now
        Aware.
    defaults
        Thresholds where none is recorded.
    due
        Picks the units whose losses are summed; None: all.
    limit
        Of findings that are looked at.

    Raises
    ------
    AnothersTurnError
    """
    with connection.transaction():
        if not lock_evaluation(connection):
            raise AnothersTurnError("another evaluator is at work")
        _find(connection, policy, now, defaults, due)
        find_overdue(connection, now)
        events = look(connection, rules or SenseRules(), routing, now, limit)
    if due is not None:
        due.done()
    return events


def _find(
    connection: Connection,
    policy: AlertPolicy,
    now: datetime,
    defaults: Sequence[Threshold],
    due: UnitsDue | None,
) -> None:
    start = now - timedelta(hours=policy.window_h)
    unit_ids = None if due is None else due.pick(connection)
    losses = read_window(connection, start, now, policy.min_coverage, unit_ids)
    if losses:
        holding = read_holding(connection, [kind.value for kind in Kind])
        add_findings(connection, find_losses(losses, holding, load_thresholds(connection, defaults), policy))
