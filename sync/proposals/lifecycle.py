"""States of a proposal and what may be done in each; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum


class ProposalState(StrEnum):
    """Where a proposal stands."""

    OPEN = "open"  # waits for approvals
    APPROVED = "approved"  # a system was asked to correct its record; done when the conflict closes
    APPLIED = "applied"  # the grid model was changed
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"  # by who proposed it, or since the conflict closed
    UNDONE = "undone"


class Action(StrEnum):
    """What somebody does with a proposal."""

    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    UNDO = "undo"
    CORRECT = "correct"  # another value or instant; approvals begin anew


@dataclass(frozen=True, slots=True)
class ReviewRules:
    """How many must approve, and by when."""

    approvals_model: int = 2
    approvals_correction: int = 1
    due: timedelta = timedelta(days=14)


class RefusedActionError(ValueError):
    """The action isn't possible, or not to this person; the message says why."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What matters for the next step.

    Attributes
    ----------
    approved_by
        Who has approved already.
    changes_model
        Whether its end is a change of the grid model.
    """

    state: ProposalState
    proposed_by: str
    approved_by: tuple[str, ...]
    approvals_needed: int
    changes_model: bool
    corrected_by: str | None = None


#: In which states an action is possible; what comes of it `next_state` says.
_POSSIBLE: dict[Action, frozenset[ProposalState]] = {
    Action.APPROVE: frozenset({ProposalState.OPEN}),
    Action.REJECT: frozenset({ProposalState.OPEN, ProposalState.APPROVED}),
    Action.WITHDRAW: frozenset({ProposalState.OPEN, ProposalState.APPROVED}),
    Action.UNDO: frozenset({ProposalState.APPLIED}),
    Action.CORRECT: frozenset({ProposalState.OPEN}),
}
_NEXT: dict[Action, ProposalState] = {
    Action.REJECT: ProposalState.REFUSED,
    Action.WITHDRAW: ProposalState.WITHDRAWN,
    Action.UNDO: ProposalState.UNDONE,
    Action.CORRECT: ProposalState.OPEN,
}


def next_state(standing: Standing, action: Action, by: str) -> ProposalState:
    """The state after an action.

    Raises
    ------
    RefusedActionError
        Where more than one must approve, nobody does so twice, nor who proposed it (four eyes, 四眼原则). Only who
        proposed it withdraws it.
    """
    if standing.state not in _POSSIBLE[action]:
        raise RefusedActionError(f"it is {standing.state}: {action} isn't possible")
    if action is Action.CORRECT and not standing.changes_model:
        raise RefusedActionError("another system is asked: what it should say can't be corrected here")
    if action is Action.WITHDRAW and by != standing.proposed_by:
        raise RefusedActionError(f"{standing.proposed_by} has proposed it, and alone can withdraw it; others reject it")
    if action is not Action.APPROVE:
        return _NEXT[action]
    if by in standing.approved_by:
        raise RefusedActionError(f"{by} has approved it already")
    if standing.approvals_needed > 1 and by in (standing.proposed_by, standing.corrected_by):
        did = "proposed" if by == standing.proposed_by else "corrected"
        raise RefusedActionError(f"{by} has {did} it: somebody else must approve")
    if len(standing.approved_by) + 1 < standing.approvals_needed:
        return ProposalState.OPEN
    return ProposalState.APPLIED if standing.changes_model else ProposalState.APPROVED


def still_needed(needed: int, approved_by: Sequence[str]) -> int:
    """How many more must approve."""
    return max(needed - len(approved_by), 0)
