"""Work orders (工单): an alert goes out to a crew with what is known, and what was found comes back."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import psycopg

from alerts.lifecycle import OUTCOMES, Action
from alerts.operate import OperationError, VersionConflictError, operate
from store.alert_desk import NewOrder, WorkOrder, add_order, end_order, read_order, read_surroundings
from store.alerts import AlertRow, read_history
from store.connection import Connection
from store.findings import FindingFilter, list_findings, read_evidence

#: How long a crew has, where nothing is said.
DEADLINE = timedelta(days=7)
_FINDINGS = 20
_RESULTS = {outcome: action for action, outcome in OUTCOMES.items()}
#: Figures from which the energy to be recovered is read, the first that is there.
_EXPECTED = ("expected_wh", "recoverable_wh", "unexplained_wh")


class UnknownOrderError(OperationError):
    """No such work order."""


def issue(
    connection: Connection,
    alert_id: int,
    assignee: str,
    actor: str,
    now: datetime,
    *,
    deadline: datetime | None = None,
    expected_wh: int | None = None,
    version: int | None = None,
) -> WorkOrder:
    """Send somebody out for an alert, with the evidence as it is now; the alert is in progress then.

    Parameters
    ----------
    deadline
        Seven days from now where it is left out.
    expected_wh
        Energy that is to be recovered; by default what the finding says of it.
    version
        Of the alert as it was read.

    Raises
    ------
    OperationError, alerts.lifecycle.IllegalTransitionError
        Nothing was written.
    """
    until = now + DEADLINE if deadline is None else deadline
    if until <= now:
        raise OperationError("the deadline has passed")
    if not assignee.strip():
        raise OperationError("whom to send must be said")
    with connection.transaction():
        reason = f"a work order for {assignee}"
        alert = operate(connection, alert_id, Action.START, actor, reason, now, version=version, assignee=assignee)
        order = NewOrder(
            alert_id=alert_id,
            assignee=assignee,
            created_at=now,
            created_by=actor,
            deadline=until,
            expected_wh=_expected_wh(alert) if expected_wh is None else expected_wh,
            evidence=_evidence(connection, alert, now),
        )
        try:
            number = add_order(connection, order)
        except psycopg.errors.UniqueViolation:
            raise OperationError(f"a work order is out for alert {alert_id}") from None
        return _read(connection, number)


def report(
    connection: Connection,
    work_order_id: int,
    result: str,
    actor: str,
    note: str,
    now: datetime,
    *,
    found_wh: int | None = None,
    version: int | None = None,
) -> WorkOrder:
    """Note what a crew found: ``confirmed``, ``refuted`` or ``not_found``; its alert and findings learn of it.

    Raises
    ------
    OperationError, alerts.lifecycle.IllegalTransitionError
        Nothing was written.
    """
    if result not in _RESULTS:
        raise OperationError(f"a result is one of {', '.join(_RESULTS)}")
    with connection.transaction():
        order = _issued(connection, work_order_id, version)
        end_order(connection, work_order_id, "done", now, actor, result, found_wh, note)
        reason = f"work order {work_order_id}: {note}"[:1_000]
        operate(connection, order.alert_id, _RESULTS[result], actor, reason, now)
        return _read(connection, work_order_id)


def cancel(
    connection: Connection, work_order_id: int, actor: str, note: str, now: datetime, *, version: int | None = None
) -> WorkOrder:
    """Call a crew back; its alert stays in progress, and another order can be issued for it.

    Raises
    ------
    OperationError
        Nothing was written.
    """
    with connection.transaction():
        _issued(connection, work_order_id, version)
        end_order(connection, work_order_id, "cancelled", now, actor, None, None, note)
        return _read(connection, work_order_id)


def _issued(connection: Connection, work_order_id: int, version: int | None) -> WorkOrder:
    order = read_order(connection, work_order_id, lock=True)
    if order is None:
        raise UnknownOrderError(f"no work order {work_order_id}")
    if version is not None and order.version != version:
        raise VersionConflictError(f"work order {work_order_id} is at version {order.version}, not {version}")
    if order.state != "issued":
        raise OperationError(f"work order {work_order_id} is {order.state}")
    return order


def _read(connection: Connection, work_order_id: int) -> WorkOrder:
    order = read_order(connection, work_order_id)
    assert order is not None  # noqa: S101  # it was written in this transaction
    return order


def _expected_wh(alert: AlertRow) -> int | None:
    for name in _EXPECTED:
        value = alert.figures.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
            return round(value)
    if alert.kind == "high_loss":
        # What is lost beyond the threshold, over the window.
        over = alert.figures["loss_wh"] - alert.figures["threshold_rate"] * alert.figures["supply_wh"]
        return max(0, int(over))
    return None


def _evidence(connection: Connection, alert: AlertRow, now: datetime) -> dict[str, Any]:
    """The pack: figures, what found them, where it is, and what was done so far; no series of readings."""
    findings = list_findings(connection, FindingFilter(alert_id=alert.alert_id), 0, _FINDINGS)
    return {
        "alert": {"code": alert.fingerprint, "kind": alert.kind, "severity": alert.severity, "figures": alert.figures},
        "opened_at": alert.opened_at.isoformat(),
        "findings": [
            {
                "finding_id": found.finding_id,
                "begin_at": found.begin_at.isoformat(),
                "figures": found.figures,
                "evidence": read_evidence(connection, found.finding_id) or {},
            }
            for found in findings
        ],
        "place": read_surroundings(connection, alert.unit_id, now),
        "history": [{**asdict(step), "at": step.at.isoformat()} for step in read_history(connection, alert.alert_id)],
    }
