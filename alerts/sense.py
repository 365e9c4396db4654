"""Sense before noise: when a finding becomes an alert, and when it ceases to be one; pure.

A condition must hold for a while before it alarms, and be gone for a while before it is over. While its unit is being
worked on, out of supply or without data, what depends on that waits, and is looked at again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from alerts.lifecycle import LIVE, State

#: How soon something that is kept back is looked at again.
LOOK_AGAIN = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class SenseRule:
    """How a kind of finding is taken.

    Attributes
    ----------
    hold_s
        It must hold this long before an alert opens.
    clear_s
        It must be gone this long before the alert is resolved.
    needs_supply, needs_data
        No alert opens while its unit or the feeder above is out, or while data of the unit are missing.
    """

    hold_s: float = 0.0
    clear_s: float = 0.0
    needs_supply: bool = True
    needs_data: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.hold_s <= 30 * 86_400 or not 0 <= self.clear_s <= 30 * 86_400:
            raise ValueError(f"from 0 s to 30 days: {self.hold_s}, {self.clear_s}")


_USAGE = SenseRule(needs_data=True)
#: A breaker that recloses by itself (重合闸) does so within seconds.
OUTAGE_RULE = SenseRule(hold_s=2.0, clear_s=5.0, needs_supply=False)
#: Loss has its own window, band and hysteresis, and leaves out what isn't covered: see `alerts.rules`.
LOSS_RULE = SenseRule()


@dataclass(frozen=True, slots=True)
class SenseRules:
    """Rules by kind; a kind without one is taken as a finding about usage: only where data are there."""

    of_kind: Mapping[str, SenseRule] = field(default_factory=dict)

    def of(self, kind: str) -> SenseRule:
        """The rule for a kind."""
        return self.of_kind.get(kind) or DEFAULTS.get(kind, _USAGE)


#: What people are late with has nothing to do with supply or data.
PEOPLE_RULE = SenseRule(needs_supply=False)
DEFAULTS: Mapping[str, SenseRule] = {
    "outage": OUTAGE_RULE,
    "high_loss": LOSS_RULE,
    "negative_loss": LOSS_RULE,
    "milestone_slipped": PEOPLE_RULE,
    "promise_broken": PEOPLE_RULE,
    "decision_overdue": PEOPLE_RULE,
    "channel_slow": PEOPLE_RULE,
    "channel_unknown": PEOPLE_RULE,
    "warning_order": PEOPLE_RULE,
    "order_overdue": PEOPLE_RULE,
}


class Do(StrEnum):
    """What becomes of a finding."""

    OPEN = "open"
    UPDATE = "update"
    RESOLVE = "resolve"
    WAIT = "wait"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, and when to look again; `held_by` says why no alert opens yet."""

    do: Do
    due_at: datetime | None = None
    held_by: str | None = None


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known around a finding when it is looked at.

    Attributes
    ----------
    begin_at, ended_at
        Of the finding; None while it holds.
    alert_state
        Of the alert that it has, or that is live for the same condition; None for none.
    own_alert
        Whether that alert was opened for, or has taken, this very finding.
    holds_again
        The same condition has come back as another finding, which holds or isn't over for long enough.
    in_maintenance, out_of_supply, without_data
        Of its unit, or what is above it.
    """

    begin_at: datetime
    ended_at: datetime | None = None
    alert_state: State | None = None
    own_alert: bool = False
    holds_again: bool = False
    in_maintenance: bool = False
    out_of_supply: bool = False
    without_data: bool = False


def decide(around: Circumstances, rule: SenseRule, now: datetime) -> Decision:
    """What becomes of a finding now."""
    live = around.alert_state in LIVE
    if around.ended_at is not None:
        if not live or around.holds_again:
            return Decision(Do.NOTHING)
        over_at = around.ended_at + timedelta(seconds=rule.clear_s)
        return Decision(Do.RESOLVE) if over_at <= now else Decision(Do.WAIT, over_at)
    if live:
        return Decision(Do.UPDATE)
    if around.own_alert:
        # A person or a field check has ended it: the same finding doesn't alarm again.
        return Decision(Do.NOTHING)
    ripe_at = around.begin_at + timedelta(seconds=rule.hold_s)
    if ripe_at > now:
        return Decision(Do.WAIT, ripe_at, "duration")
    held_by = _held_by(around, rule)
    return Decision(Do.OPEN) if held_by is None else Decision(Do.WAIT, now + LOOK_AGAIN, held_by)


def _held_by(around: Circumstances, rule: SenseRule) -> str | None:
    if around.in_maintenance:
        return "maintenance"
    if rule.needs_supply and around.out_of_supply:
        return "outage"
    if rule.needs_data and around.without_data:
        return "missing_data"
    return None
