"""What people do to alerts, each step with who, when and why."""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg

from alerts.lifecycle import LIVE, OUTCOMES, Action, State, next_state
from store.alerts import AlertRow, Change, change_alert, read_alerts
from store.connection import Connection
from store.findings import set_result

#: What people may do; the rest happens by itself.
BY_PEOPLE = frozenset(Action) - {Action.ESCALATE, Action.RESOLVE, Action.START}
_MAX_SUPPRESSION = timedelta(days=90)
_MAX_TEXT = 1_000


class OperationError(ValueError):
    """What was asked for can't be done; nothing was written."""


class UnknownAlertError(OperationError):
    """No such alert."""


class VersionConflictError(OperationError):
    """Somebody else has changed it since it was read."""


class LiveAlertError(OperationError):
    """Another alert of the same condition is live."""


def operate(
    connection: Connection,
    alert_id: int,
    action: Action,
    actor: str,
    reason: str,
    now: datetime,
    *,
    version: int | None = None,
    assignee: str | None = None,
    until: datetime | None = None,
    expected_at: datetime | None = None,
) -> AlertRow:
    """Do something to an alert, in a transaction of its own or the caller's; returns the alert as it is then.

    Parameters
    ----------
    version
        Of the alert as it was read; None takes it as it is.
    assignee
        Whom to assign it to; needed for that action, and possible with an acknowledgement.
    until
        When a suppression is over, at most 90 days ahead; needed for that action.
    expected_at
        Until when the condition is expected to last, as customers are told; needed for that action, and possible with
        an acknowledgement. Targets are told.

    Raises
    ------
    OperationError, alerts.lifecycle.IllegalTransitionError
        Nothing was written.
    """
    _check(action, actor, reason, now, assignee, until)
    _check_expected(action, now, expected_at)
    with connection.transaction():
        # Findings before alerts, as a look does: two that wait for each other would not end.
        if action in OUTCOMES or action is Action.REOPEN:
            set_result(connection, alert_id, OUTCOMES.get(action))
        alert = read_alerts(connection, [alert_id], lock=True).get(alert_id)
        if alert is None:
            raise UnknownAlertError(f"no alert {alert_id}")
        if version is not None and alert.version != version:
            raise VersionConflictError(f"alert {alert_id} is at version {alert.version}, not {version}")
        before = State(alert.state)
        state = next_state(before, action)
        change = Change(
            state=state.value,
            action=action.value,
            actor=actor,
            reason=reason,
            at=now,
            assignee=assignee,
            suppressed_until=until,
            outcome=OUTCOMES.get(action),
            expected_at=expected_at,
            event=_event(before, state) or (None if expected_at is None else "updated"),
        )
        try:
            # A step that fails is undone alone.
            with connection.transaction():
                change_alert(connection, alert_id, change)
        except psycopg.errors.UniqueViolation:
            raise LiveAlertError(f"another alert of {alert.fingerprint} is live: look at that one") from None
        return read_alerts(connection, [alert_id])[alert_id]


def _check(
    action: Action, actor: str, reason: str, now: datetime, assignee: str | None, until: datetime | None
) -> None:
    if not actor.strip() or not reason.strip() or len(reason) > _MAX_TEXT or len(actor) > _MAX_TEXT:
        raise OperationError("who does it and why must be said, in at most 1000 characters")
    if (action is Action.ASSIGN) and not (assignee and assignee.strip()):
        raise OperationError("whom to assign it to must be said")
    if assignee is not None and action not in (Action.ASSIGN, Action.ACKNOWLEDGE, Action.START):
        raise OperationError(f"{action} assigns nobody")
    if (action is Action.SUPPRESS) != (until is not None):
        raise OperationError("a suppression says until when, and nothing else does")
    if until is not None and not now < until <= now + _MAX_SUPPRESSION:
        raise OperationError("a suppression ends in the future, within 90 days")


def _check_expected(action: Action, now: datetime, expected_at: datetime | None) -> None:
    if (action is Action.EXPECT) and expected_at is None:
        raise OperationError("until when it is expected to last must be said")
    if expected_at is None:
        return
    if action not in (Action.EXPECT, Action.ACKNOWLEDGE):
        raise OperationError(f"{action} doesn't say until when it is expected to last")
    if expected_at <= now:
        raise OperationError("until when it is expected to last is in the future")


def _event(before: State, after: State) -> str | None:
    """What targets are told of a step; of what is suppressed only those that keep a list, that it is off it."""
    if after is State.SUPPRESSED:
        return after.value
    if before is State.SUPPRESSED or (before in LIVE) == (after in LIVE):
        return "reopened" if before is State.SUPPRESSED and after is State.OPEN else None
    return "reopened" if after in LIVE else after.value
