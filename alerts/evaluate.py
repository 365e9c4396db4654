"""One evaluation: sums from the store, steps from the rules, alerts and what is owed to targets in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import msgspec

from alerts.messages import AlertNotice, AlertWebhook, Figures
from alerts.rules import AlertPolicy, Event, Kind, Severity, Step, decide
from grid.unit_loss import UnitLoss
from store.alerts import (
    OpenAlert,
    add_alert,
    lock_evaluation,
    read_open,
    read_window,
    resolve_alert,
    update_alert,
)
from store.connection import Connection
from store.deliveries import owe_alert


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """What became of an alert in an evaluation."""

    alert_id: int
    event: Event
    fingerprint: str


def evaluate(connection: Connection, policy: AlertPolicy, targets: Sequence[str], now: datetime) -> list[AlertEvent]:
    """Open, update and resolve alerts by the loss of the window that ends at `now`.

    Targets are told when an alert opens and when it is resolved; in between its figures are kept up to date. The
    same again changes nothing. While another evaluator is at work nothing is done.

    Parameters
    ----------
    targets
        Names of the receivers.
    now
        Aware.
    """
    with connection.transaction():
        if not lock_evaluation(connection):
            return []
        start = now - timedelta(hours=policy.window_h)
        losses = read_window(connection, start, now, policy.min_coverage)
        held = read_open(connection)
        known = {
            fingerprint: (Kind(alert.kind), Severity(alert.severity))
            for fingerprint, alert in held.items()
            if alert.kind in set(Kind)
        }
        events = []
        for step in decide(losses, known, policy):
            alert_id = _take(connection, step, held.get(step.fingerprint), policy, targets, now)
            if alert_id is not None:
                events.append(AlertEvent(alert_id, step.event, step.fingerprint))
        return events


def _take(
    connection: Connection,
    step: Step,
    held: OpenAlert | None,
    policy: AlertPolicy,
    targets: Sequence[str],
    now: datetime,
) -> int | None:
    figures = _figures(step.loss, policy)
    evidence = cast("dict[str, Any]", msgspec.to_builtins(figures))
    if held is None:
        arguments = (step.fingerprint, step.kind.value, step.severity.value, step.loss.unit_id, now, evidence)
        alert_id, opened_at = add_alert(connection, *arguments), now
    elif step.event is Event.RESOLVED:
        alert_id, opened_at = held.alert_id, held.opened_at
        resolve_alert(connection, alert_id, now, evidence)
    elif held.evidence == evidence and held.severity == step.severity.value:
        return None
    else:
        update_alert(connection, held.alert_id, step.severity.value, now, evidence)
        return held.alert_id
    if held is None or held.state != "suppressed":
        _tell(connection, step, alert_id, opened_at, figures, targets, now)
    return alert_id


def _tell(
    connection: Connection,
    step: Step,
    alert_id: int,
    opened_at: datetime,
    figures: Figures,
    targets: Sequence[str],
    now: datetime,
) -> None:
    notice = AlertWebhook(
        type="alert.opened" if step.event is Event.OPENED else "alert.resolved",
        timestamp=now,
        data=AlertNotice(
            alert_id=alert_id,
            code=step.fingerprint,
            kind=step.kind.value,
            severity=step.severity.value,
            unit=step.loss.unit,
            unit_kind=step.loss.unit_kind,
            unit_name=step.loss.unit_name,
            opened_at=opened_at,
            figures=figures,
        ),
    )
    payload = cast("dict[str, Any]", msgspec.to_builtins(notice))
    for target in targets:
        owe_alert(connection, alert_id, step.event.value, target, payload)


def _figures(loss: UnitLoss, policy: AlertPolicy) -> Figures:
    band_wh = policy.z * loss.sigma_wh
    return Figures(
        supply_wh=loss.supply_wh,
        loss_wh=loss.loss_wh,
        sigma_wh=round(loss.sigma_wh, 1),
        z=policy.z,
        loss_rate=_rate(loss.loss_wh, loss.supply_wh),
        low_rate=_rate(loss.loss_wh - band_wh, loss.supply_wh),
        high_rate=_rate(loss.loss_wh + band_wh, loss.supply_wh),
        threshold_rate=policy.threshold_rate,
        window_from=loss.since,
        window_to=loss.until,
        settled_h=round(loss.hours, 2),
        intervals=loss.intervals,
    )


def _rate(energy_wh: float, supply_wh: int) -> float:
    # An alert is held while its unit has no supply; no rate can be told then.
    return round(energy_wh / supply_wh, 6) if supply_wh > 0 else 0.0
