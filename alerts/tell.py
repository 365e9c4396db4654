"""Owes targets what became of alerts: one notice a group of alerts, target and interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, cast
from urllib.parse import quote

from alerts.messages import MAX_ENDS, MAX_EVENTS, AlertNotice, AlertWebhook, compose
from alerts.routing import Routing, Subject
from grid.finding import Severity
from store.alerts import AlertRow
from store.connection import Connection
from store.deliveries import Owing, owe_notices

EventType = Literal[
    "alert.opened", "alert.updated", "alert.escalated", "alert.resolved", "alert.closed", "alert.reopened"
]


@dataclass(frozen=True, slots=True)
class Event:
    """What became of an alert; told to one role where one is named, else by the routes."""

    type: EventType
    alert: AlertRow
    role: str | None = None
    lists_only: bool = False
    """Whether only targets that keep a list of what holds are told."""


def group_of(kind: str, feeder: str) -> str:
    """Alerts of one cause on one feeder share their notices."""
    return f"{kind}:{feeder}"


def subject_of(alert: AlertRow) -> Subject:
    """What routes look at."""
    feeder = alert.group_key.partition(":")[2]
    return Subject(alert.kind, Severity(alert.severity), alert.unit, feeder or alert.unit)


def owe_events(connection: Connection, routing: Routing, events: Sequence[Event], now: datetime) -> int:
    """Owe every target its notices of some events, inside the caller's transaction; returns how many notices."""
    grouped: dict[tuple[str, str], list[tuple[datetime, Event]]] = defaultdict(list)
    every_end = {channel.target for channel in routing.channels if channel.every_end}
    # Many alerts of a storm are alike.
    told_before: dict[tuple[Subject, str | None], dict[str, datetime]] = {}
    for event in events:
        key = (subject_of(event.alert), event.role)
        if key not in told_before:
            told_before[key] = routing.tell(key[0], now) if key[1] is None else routing.tell_role(key[1], now)
        for target, due_at in told_before[key].items():
            if target in every_end or not event.lists_only:
                grouped[target, event.alert.group_key].append((due_at, event))
    owing = [
        Owing(
            target=target,
            group_key=group_key,
            alert_id=owed[0][1].alert.alert_id,
            events=len(owed),
            due_at=min(due for due, _ in owed),
            room=MAX_ENDS if target in every_end else MAX_EVENTS,
            compose=partial(
                _composed,
                group=group_key,
                events=[event for _, event in owed],
                routing=routing,
                now=now,
                every_end=target in every_end,
            ),
        )
        for (target, group_key), owed in sorted(grouped.items(), key=lambda item: item[0])
    ]
    if owing:
        owe_notices(connection, owing, routing.interval_s)
    return len(owing)


def _composed(
    before: dict[str, Any] | None,
    *,
    group: str,
    events: Sequence[Event],
    routing: Routing,
    now: datetime,
    every_end: bool,
) -> dict[str, Any]:
    # More than that are never told one by one.
    notices = [_notice(event, routing, now) for event in (events if every_end else events[:MAX_EVENTS])]
    link = None if routing.link is None else f"{routing.link.rstrip('/')}/alerts?group={quote(group)}"
    more = len(events) - len(notices)
    return cast("dict[str, Any]", compose(before, group, notices, link, more, every_end=every_end))


def _notice(event: Event, routing: Routing, now: datetime) -> AlertWebhook:
    alert = event.alert
    return AlertWebhook(
        type=event.type,
        timestamp=now,
        data=AlertNotice(
            alert_id=alert.alert_id,
            code=alert.fingerprint,
            kind=alert.kind,
            severity=cast("Literal['info', 'warning', 'critical']", alert.severity),
            state=alert.state,
            role=alert.role,
            unit=alert.unit,
            unit_kind=alert.unit_kind,
            unit_name=alert.unit_name,
            opened_at=alert.opened_at,
            figures=alert.figures,
            meter=alert.meter,
            expected_at=alert.expected_at,
            link=None if routing.link is None else f"{routing.link.rstrip('/')}/alerts/{alert.alert_id}",
        ),
    )
