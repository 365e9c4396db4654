"""One look: findings that are due become alerts or end them, and what is owed for it is written in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from alerts.lifecycle import Action, State, next_state
from alerts.routing import Routing, Subject, Tier
from alerts.sense import Circumstances, Decision, Do, SenseRules, decide
from alerts.tell import Event, EventType, group_of, owe_events, subject_of
from grid.finding import Severity
from store.alerts import (
    AlertRow,
    Change,
    NewAlert,
    change_alert,
    due_escalations,
    ended_suppressions,
    note_told,
    open_alerts,
    read_alerts,
    resolve_alerts,
    set_escalations,
    take_events,
    update_figures,
)
from store.connection import Connection
from store.findings import DueFinding, note_looked_at, read_due, read_without_data

#: Who does what nobody did.
SYSTEM = "meterline"
#: A step of people's that only targets with a list of their own are told of.
_SUPPRESSED = State.SUPPRESSED.value
#: After these targets know how it stands.
_TOLD_AGAIN = frozenset({"alert.updated", "alert.escalated", "alert.reopened"})
#: Findings looked at in one transaction.
BATCH = 5_000
_PEOPLE_BATCH = 500
#: Data of a unit are missing when less than this share of its members was measured, in the mean of a day.
_MIN_COVERAGE = 0.9
_DATA_WINDOW = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class AlertEvent:
    """What became of an alert."""

    alert_id: int
    event: str
    """``opened``, ``updated``, ``resolved``, ``escalated``, ``reopened`` or ``closed``."""
    fingerprint: str


@dataclass(slots=True)
class _Steps:
    """What a look comes to."""

    opening: dict[str, NewAlert] = field(default_factory=dict)
    updating: dict[int, DueFinding] = field(default_factory=dict)
    resolving: dict[int, DueFinding] = field(default_factory=dict)
    looked_at: list[tuple[DueFinding, Decision]] = field(default_factory=list)


def look(
    connection: Connection, rules: SenseRules, routing: Routing, now: datetime, limit: int = BATCH
) -> list[AlertEvent]:
    """Look at what is due, inside the caller's transaction and its turn to evaluate."""
    due = read_due(connection, now, limit)
    happened = _take(connection, _decide_all(connection, due, rules, routing, now), now)
    happened += _by_the_clock(connection, routing, now)
    alerts = read_alerts(connection, [each.alert_id for each in happened])
    told = [
        Event(each.type, alerts[each.alert_id], each.role, lists_only=each.name == _SUPPRESSED)
        for each in happened
        if each.type is not None
    ]
    owe_events(connection, routing, told, now)
    again = [event.alert for event in told if event.type in _TOLD_AGAIN]
    if again:
        note_told(connection, [(alert.alert_id, alert.severity, _meters(alert.figures)) for alert in again])
    return [
        AlertEvent(each.alert_id, each.name, alerts[each.alert_id].fingerprint)
        for each in happened
        if each.name != _SUPPRESSED
    ]


@dataclass(frozen=True, slots=True)
class _Happened:
    alert_id: int
    name: str
    type: EventType | None
    """None: nobody is told."""
    role: str | None = None


def _decide_all(
    connection: Connection, due: Sequence[DueFinding], rules: SenseRules, routing: Routing, now: datetime
) -> _Steps:
    asking = {f.unit_id for f in due if f.ended_at is None and f.alert_id is None and rules.of(f.kind).needs_data}
    without_data = (
        read_without_data(connection, sorted(asking), now - _DATA_WINDOW, now, _MIN_COVERAGE) if asking else set()
    )
    steps, owners = _Steps(), dict[Subject, tuple[str, tuple[Tier, ...]]]()
    for finding in due:
        decision = decide(_circumstances(finding, without_data), rules.of(finding.kind), now)
        steps.looked_at.append((finding, decision))
        if decision.do is Do.OPEN:
            subject = Subject(finding.kind, Severity(finding.severity), finding.unit, finding.feeder)
            if subject not in owners:
                owners[subject] = routing.owner(subject)
            steps.opening[finding.fingerprint] = _new_alert(finding, *owners[subject], now)
        elif decision.do is Do.UPDATE and finding.alert_id is not None:
            steps.updating[finding.alert_id] = finding
        elif decision.do is Do.RESOLVE and finding.alert_id is not None:
            steps.resolving[finding.alert_id] = finding
    return steps


def _circumstances(finding: DueFinding, without_data: set[int]) -> Circumstances:
    return Circumstances(
        begin_at=finding.begin_at,
        ended_at=finding.ended_at,
        alert_state=None if finding.alert_state is None else State(finding.alert_state),
        own_alert=finding.own_alert,
        holds_again=finding.holds_again,
        in_maintenance=finding.in_maintenance,
        out_of_supply=finding.out_of_supply,
        without_data=finding.unit_id in without_data,
    )


def _new_alert(finding: DueFinding, role: str, tiers: tuple[Tier, ...], now: datetime) -> NewAlert:
    return NewAlert(
        fingerprint=finding.fingerprint,
        kind=finding.kind,
        severity=finding.severity,
        unit_id=finding.unit_id,
        opened_at=now,
        figures=finding.figures,
        meter=finding.meter,
        role=role,
        group_key=group_of(finding.kind, finding.feeder),
        escalate_at=now + timedelta(seconds=tiers[0].after_s) if tiers else None,
        meters=_meters(finding.figures),
    )


def _meters(figures: Mapping[str, object]) -> int | None:
    found = figures.get("meters")
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _is_worse(finding: DueFinding) -> bool:
    """Whether targets are to learn how it stands: it is more severe than they were told, or has twice the meters."""
    if finding.alert_state == State.SUPPRESSED or finding.told_severity is None:
        return False
    meters = _meters(finding.figures)
    grown = meters is not None and finding.told_meters is not None and meters >= 2 * max(1, finding.told_meters)
    return grown or Severity(finding.severity).rank > Severity(finding.told_severity).rank


def _take(connection: Connection, steps: _Steps, now: datetime) -> list[_Happened]:
    if not steps.looked_at:
        return []
    opened = open_alerts(connection, list(steps.opening.values()), "the condition holds") if steps.opening else {}
    if steps.updating:
        updates = [(number, finding.severity, now, finding.figures) for number, finding in steps.updating.items()]
        update_figures(connection, updates)
    worse = {number for number, finding in steps.updating.items() if _is_worse(finding)}
    ended = [(number, finding.figures) for number, finding in steps.resolving.items()]
    resolved = resolve_alerts(connection, ended, now, "the condition has passed") if ended else {}
    note_looked_at(
        connection,
        [
            (f.finding_id, d.due_at, d.held_by, opened.get(f.fingerprint, f.alert_id))
            for f, d in steps.looked_at
            # An alert of it was reopened meanwhile: it stays due, and is looked at with that one.
            if d.do is not Do.OPEN or f.fingerprint in opened
        ],
    )
    happened = [_Happened(number, "opened", "alert.opened") for number in opened.values()]
    happened += [_Happened(n, "updated", "alert.updated" if n in worse else None) for n in steps.updating]
    happened += [
        _Happened(number, "resolved", None if before == State.SUPPRESSED else "alert.resolved")
        for number, before in resolved.items()
    ]
    return happened


def _by_the_clock(connection: Connection, routing: Routing, now: datetime) -> list[_Happened]:
    """Suppressions that are over, alerts that nobody took in time, and what people did."""
    happened = []
    for alert in read_alerts(connection, ended_suppressions(connection, now, _PEOPLE_BATCH)).values():
        change_alert(connection, alert.alert_id, _change(alert, Action.REOPEN, now, "its suppression is over"))
        happened.append(_Happened(alert.alert_id, "reopened", "alert.reopened"))
    due = due_escalations(connection, now, _PEOPLE_BATCH)
    for alert in read_alerts(connection, list(due)).values():
        happened += _escalate(connection, alert, routing, due[alert.alert_id], now)
    happened += [_Happened(n, event, _EVENTS[event]) for n, event in take_events(connection, _PEOPLE_BATCH)]
    _begin_escalations(connection, [each.alert_id for each in happened if each.name == "reopened"], routing, now)
    return happened


def _begin_escalations(connection: Connection, alert_ids: Sequence[int], routing: Routing, now: datetime) -> None:
    """What was reopened escalates like what was opened."""
    times = {}
    for alert in read_alerts(connection, alert_ids).values() if alert_ids else ():
        _, tiers = routing.owner(subject_of(alert))
        if tiers:
            times[alert.alert_id] = now + timedelta(seconds=tiers[0].after_s)
    if times:
        set_escalations(connection, times)


_EVENTS: dict[str, EventType] = {
    "resolved": "alert.resolved",
    "closed": "alert.closed",
    "reopened": "alert.reopened",
    "updated": "alert.updated",
    _SUPPRESSED: "alert.resolved",
}


def _escalate(
    connection: Connection, alert: AlertRow, routing: Routing, due_at: datetime, now: datetime
) -> list[_Happened]:
    _, tiers = routing.owner(subject_of(alert))
    if alert.tier >= len(tiers):  # the routes have changed since it was opened
        change_alert(connection, alert.alert_id, _change(alert, Action.ESCALATE, now, "no further tier"))
        return []
    role, following = str(tiers[alert.tier].role), None
    if alert.tier + 1 < len(tiers):
        following = max(now, due_at + timedelta(seconds=tiers[alert.tier + 1].after_s - tiers[alert.tier].after_s))
    step = _change(alert, Action.ESCALATE, now, f"nobody took it: {role} is told")
    change_alert(connection, alert.alert_id, replace(step, tier=alert.tier + 1, escalate_at=following))
    return [_Happened(alert.alert_id, "escalated", "alert.escalated", role)]


def _change(alert: AlertRow, action: Action, now: datetime, reason: str) -> Change:
    state = next_state(State(alert.state), action)
    return Change(state=state.value, action=action.value, actor=SYSTEM, reason=reason, at=now)
