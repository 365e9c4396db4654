"""The life of an alert (告警生命周期) as a transition table; pure.

An alert opens by itself and is resolved by itself when its condition has passed, or by the result of a field check. All
else is done by people. Whatever isn't in the table can't be done. Nothing is ever deleted: a closed alert can be
reopened, and every step is kept with who, when and why.
"""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where an alert stands."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    IN_PROGRESS = "in_progress"  # a work order is out
    SUPPRESSED = "suppressed"  # nobody is told until it is over
    RESOLVED = "resolved"
    CLOSED = "closed"


class Action(StrEnum):
    """What can be done to it."""

    ACKNOWLEDGE = "acknowledge"
    ASSIGN = "assign"
    EXPECT = "expect"  # say until when it is expected to last
    START = "start"
    SUPPRESS = "suppress"
    ESCALATE = "escalate"
    RESOLVE = "resolve"
    CONFIRM = "confirm"  # the field check found it
    REFUTE = "refute"  # the field check found it wrong
    NOT_FOUND = "not_found"  # the field check could tell neither
    CLOSE = "close"
    REOPEN = "reopen"


#: What a field check says, as it is stored.
OUTCOMES = {Action.CONFIRM: "confirmed", Action.REFUTE: "refuted", Action.NOT_FOUND: "not_found"}
#: States in which the condition still has an alert.
LIVE = frozenset({State.OPEN, State.ACKNOWLEDGED, State.IN_PROGRESS, State.SUPPRESSED})

_CHECKED = dict.fromkeys(OUTCOMES, State.RESOLVED)
TRANSITIONS: dict[State, dict[Action, State]] = {
    State.OPEN: {
        Action.ACKNOWLEDGE: State.ACKNOWLEDGED,
        Action.ASSIGN: State.OPEN,
        Action.EXPECT: State.OPEN,
        Action.START: State.IN_PROGRESS,
        Action.SUPPRESS: State.SUPPRESSED,
        Action.ESCALATE: State.OPEN,
        Action.RESOLVE: State.RESOLVED,
        Action.CLOSE: State.CLOSED,
        **_CHECKED,
    },
    State.ACKNOWLEDGED: {
        Action.ASSIGN: State.ACKNOWLEDGED,
        Action.EXPECT: State.ACKNOWLEDGED,
        Action.START: State.IN_PROGRESS,
        Action.SUPPRESS: State.SUPPRESSED,
        Action.RESOLVE: State.RESOLVED,
        Action.CLOSE: State.CLOSED,
        **_CHECKED,
    },
    State.IN_PROGRESS: {
        Action.ASSIGN: State.IN_PROGRESS,
        Action.EXPECT: State.IN_PROGRESS,
        # After an order was called back.
        Action.START: State.IN_PROGRESS,
        Action.RESOLVE: State.RESOLVED,
        Action.CLOSE: State.CLOSED,
        **_CHECKED,
    },
    State.SUPPRESSED: {
        Action.REOPEN: State.OPEN,
        Action.RESOLVE: State.RESOLVED,
        Action.CLOSE: State.CLOSED,
    },
    # A crew may come home after the condition has passed, and after somebody has closed it.
    State.RESOLVED: {Action.CLOSE: State.CLOSED, Action.REOPEN: State.OPEN, **_CHECKED},
    State.CLOSED: {Action.REOPEN: State.OPEN, **dict.fromkeys(OUTCOMES, State.CLOSED)},
}


class IllegalTransitionError(ValueError):
    """What can't be done to an alert in its state; says what can."""


def next_state(state: State, action: Action) -> State:
    """Where an action leads from a state.

    Raises
    ------
    IllegalTransitionError
        When the table has no such step.
    """
    possible = TRANSITIONS[state]
    if action not in possible:
        raise IllegalTransitionError(
            f"an alert that is {state} can't be given {action}; possible: {', '.join(possible)}"
        )
    return possible[action]
