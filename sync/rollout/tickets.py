"""The life of a ticket (工单) as a transition table, and its clocks in working time; pure.

A clock runs while the desk has the ticket and stands still while it waits for others. What is promised was said when
the ticket was opened: later settings don't change it. A ticket that is opened again goes on where its clock stood.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from grid.calendar import Calendar
from sync.rollout.errors import RolloutError


class Kind(StrEnum):
    """What is asked for."""

    CHANGE = "change"  # 需求变更
    DEMAND = "demand"  # 新增需求
    GUIDANCE = "guidance"  # 业务指导
    VERSION = "version"  # 版本管理


class Priority(StrEnum):
    """How soon."""

    URGENT = "urgent"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class State(StrEnum):
    """Where a ticket stands."""

    OPEN = "open"  # nobody of its tier has taken it
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"  # for who asked, or for a third
    RESOLVED = "resolved"
    CLOSED = "closed"


class Action(StrEnum):
    """What can be done to it."""

    TAKE = "take"
    UP = "up"  # to the next tier
    DOWN = "down"
    WAIT = "wait"
    RESUME = "resume"
    NOTE = "note"
    LINK = "link"  # to the release that carries it
    RESOLVE = "resolve"
    CLOSE = "close"
    REOPEN = "reopen"


#: The clock runs in these.
RUNNING = frozenset({State.OPEN, State.IN_PROGRESS})

TRANSITIONS: dict[State, dict[Action, State]] = {
    State.OPEN: {
        Action.TAKE: State.IN_PROGRESS,
        Action.UP: State.OPEN,
        Action.DOWN: State.OPEN,
        Action.NOTE: State.OPEN,
        Action.LINK: State.OPEN,
        Action.CLOSE: State.CLOSED,  # who asked doesn't need it any more
    },
    State.IN_PROGRESS: {
        Action.TAKE: State.IN_PROGRESS,  # by somebody else of the tier
        Action.UP: State.OPEN,
        Action.DOWN: State.OPEN,
        Action.WAIT: State.WAITING,
        Action.NOTE: State.IN_PROGRESS,
        Action.LINK: State.IN_PROGRESS,
        Action.RESOLVE: State.RESOLVED,
    },
    State.WAITING: {
        Action.RESUME: State.IN_PROGRESS,
        Action.NOTE: State.WAITING,
        Action.LINK: State.WAITING,
        Action.RESOLVE: State.RESOLVED,
        Action.CLOSE: State.CLOSED,
    },
    State.RESOLVED: {
        Action.CLOSE: State.CLOSED,
        Action.REOPEN: State.OPEN,
        Action.NOTE: State.RESOLVED,
        Action.LINK: State.RESOLVED,
    },
    State.CLOSED: {Action.REOPEN: State.OPEN},
}


@dataclass(frozen=True, slots=True)
class Promise:
    """Working time within which a ticket is to be taken, and to be resolved."""

    respond_s: int
    resolve_s: int

    def __post_init__(self) -> None:
        if not 0 < self.respond_s <= self.resolve_s:
            raise ValueError("a ticket is taken before it is resolved")


_H = 3_600
DEFAULT_PROMISES: Mapping[Priority, Promise] = {
    Priority.URGENT: Promise(_H // 2, 4 * _H),
    Priority.HIGH: Promise(2 * _H, 8 * _H),
    Priority.NORMAL: Promise(4 * _H, 24 * _H),
    Priority.LOW: Promise(8 * _H, 80 * _H),
}


@dataclass(frozen=True, slots=True)
class DeskRules:
    """How the desk works: its hours, two or three tiers, what it promises by priority."""

    hours: Calendar
    tiers: int = 2
    promises: Mapping[Priority, Promise] = field(default_factory=lambda: DEFAULT_PROMISES)

    def __post_init__(self) -> None:
        if self.tiers not in {2, 3}:
            raise ValueError(f"a desk has two or three tiers: {self.tiers}")


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a ticket stands after a step.

    Attributes
    ----------
    worked_s
        On its clock when the step was taken.
    responded_s
        The same when it was first taken; None before.
    respond_due_at, resolve_due_at
        When the promises are broken, or were; None where they can't be: kept, or the clock stands still.
    """

    state: State
    tier: int
    tiers: int
    at: datetime
    worked_s: float = 0.0
    responded_s: float | None = None
    respond_due_at: datetime | None = None
    resolve_due_at: datetime | None = None
    assignee: str | None = None


def opened(at: datetime, tiers: int, promise: Promise, hours: Calendar) -> Standing:
    """A ticket as it begins: at the first tier."""
    return _with_dues(Standing(State.OPEN, 1, tiers, at), promise, hours)


def step(
    standing: Standing, action: Action, at: datetime, promise: Promise, hours: Calendar, assignee: str | None = None
) -> Standing:
    """Where an action leads.

    Raises
    ------
    RolloutError
        When the table has no such step, no such tier is there, or the step would come before the last one.
    """
    possible = TRANSITIONS[standing.state]
    if action not in possible:
        raise RolloutError(
            f"a ticket that is {standing.state} can't be given {action}; possible: {', '.join(possible)}"
        )
    if at < standing.at:
        raise RolloutError(f"the ticket's last step was later, at {standing.at.isoformat()}")
    if (action is Action.TAKE) != (assignee is not None):
        raise RolloutError("whoever takes a ticket is named, and nobody else")
    tier = standing.tier + {Action.UP: 1, Action.DOWN: -1}.get(action, 0)
    if not 1 <= tier <= standing.tiers:
        raise RolloutError(f"there are {standing.tiers} tiers, and the ticket is at {standing.tier}")
    worked_s = standing.worked_s
    if standing.state in RUNNING:
        worked_s += hours.worked_s(standing.at, at)
    handed = action in {Action.UP, Action.DOWN, Action.REOPEN}
    changed = replace(
        standing,
        state=possible[action],
        tier=tier,
        at=at,
        worked_s=worked_s,
        responded_s=worked_s if action is Action.TAKE and standing.responded_s is None else standing.responded_s,
        assignee=None if handed else assignee or standing.assignee,
    )
    return _with_dues(changed, promise, hours)


def _with_dues(standing: Standing, promise: Promise, hours: Calendar) -> Standing:
    if standing.state not in RUNNING:
        # The clock stands still; what was broken before stays broken since then.
        return replace(
            standing,
            respond_due_at=None if standing.responded_s is not None else _past(standing.respond_due_at, standing.at),
            resolve_due_at=_past(standing.resolve_due_at, standing.at),
        )
    respond_due_at = None
    if standing.responded_s is None:
        respond_due_at = _due(standing, promise.respond_s, standing.respond_due_at, hours)
    resolve_due_at = _due(standing, promise.resolve_s, standing.resolve_due_at, hours)
    return replace(standing, respond_due_at=respond_due_at, resolve_due_at=resolve_due_at)


def _past(due_at: datetime | None, at: datetime) -> datetime | None:
    return due_at if due_at is not None and due_at < at else None


def _due(standing: Standing, promised_s: int, before: datetime | None, hours: Calendar) -> datetime | None:
    left_s = promised_s - standing.worked_s
    # What was broken stays broken since then.
    return hours.after(standing.at, left_s) if left_s >= 0 else before or standing.at
