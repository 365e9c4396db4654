"""Proposes, approves, applies and takes back: each in one transaction with what it does to the grid model."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from store.connection import Connection
from store.sync_conflicts import read_authority
from store.sync_proposals import (
    LockedProposal,
    correct_proposal,
    lock_proposal,
    read_about,
    read_to_propose,
    settle_proposal,
    write_event,
    write_proposal,
)
from sync.authority import Authority, AuthorityRow
from sync.change import InvalidChangeError, apply_change, read_change
from sync.proposals.lifecycle import Action, ProposalState, RefusedActionError, ReviewRules, Standing, next_state
from sync.proposals.plan import Conflict, NothingToProposeError, make_change, plan_proposal


@dataclass(frozen=True, slots=True)
class Proposed:
    """What came of a conflict: the proposal's number, or why there is none."""

    conflict_id: int
    proposal_id: int | None
    target: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Reviewed:
    """Where a proposal stands after an action.

    Attributes
    ----------
    outbox_id
        The change of the grid model that was told; None where none was made.
    units
        Codes of the units concerned.
    """

    proposal_id: int
    state: str
    approvals: int
    approvals_needed: int
    outbox_id: int | None
    units: tuple[str, ...]


def propose(
    connection: Connection,
    conflict_ids: list[int],
    by: str,
    reason: str,
    rules: ReviewRules,
    at: datetime,
    valid_from: datetime | None = None,
) -> list[Proposed]:
    """Propose what the rules of authority lead to.

    Parameters
    ----------
    valid_from
        From when on a change of the grid model is to hold; None = from now on.
    """
    found: list[Proposed] = []
    with connection.transaction():
        authority = Authority((AuthorityRow(*row) for row in read_authority(connection)), at)
        for row in read_to_propose(connection, conflict_ids):
            conflict_id = row.pop("conflict_id")
            try:
                plan = plan_proposal(Conflict(**row), authority, valid_from or at)
            except NothingToProposeError as error:
                found.append(Proposed(conflict_id, None, None, str(error)))
                continue
            needed = rules.approvals_model if plan.target == "model" else rules.approvals_correction
            number = write_proposal(
                connection, conflict_id, plan.target, plan.before, plan.after, plan.change, plan.inverse, needed, by,
                reason, at, at + rules.due,
            )  # fmt: skip
            why = "one stands already" if number is None else None
            found.append(Proposed(conflict_id, number, plan.target, why))
    return found


class UnknownProposalError(RefusedActionError):
    """There is no such proposal."""


class ChangedMeanwhileError(RefusedActionError):
    """Somebody else has done something with it since it was read."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What a change of the grid model should be instead; None: as it was."""

    value: str | None = None
    valid_from: datetime | None = None


def review(
    connection: Connection,
    proposal_id: int,
    action: Action,
    by: str,
    department: str,
    reason: str | None,
    at: datetime,
    version: int | None = None,
    correction: Correction | None = None,
) -> Reviewed:
    """Do something with a proposal; the last approval applies it.

    Parameters
    ----------
    version
        Of the proposal as it was read; None: whatever it is now.
    correction
        For `Action.CORRECT`: what takes the place of the proposed change. Who corrects it is an author as well.

    Raises
    ------
    RefusedActionError
        It isn't possible, or not any more; nothing was written.
    sync.change.ChangeError
        The grid model doesn't take the change; nothing was written.
    """
    with connection.transaction():
        locked = lock_proposal(connection, proposal_id)
        if locked is None:
            raise UnknownProposalError(f"no proposal {proposal_id}")
        if version is not None and version != locked.version:
            raise ChangedMeanwhileError(f"it has version {locked.version} now, and not {version}")
        if action in {Action.REJECT, Action.UNDO, Action.CORRECT} and not reason:
            raise RefusedActionError(f"to {action} it needs a reason")
        standing = Standing(
            ProposalState(locked.state), locked.proposed_by, tuple(locked.approved_by), locked.approvals_needed,
            locked.target == "model", locked.corrected_by,
        )  # fmt: skip
        state = next_state(standing, action, by)
        if action is Action.CORRECT:
            _correct(connection, proposal_id, locked, correction or Correction(), by)
        write_event(connection, proposal_id, action.value, by, department, reason, at)
        outbox_id, units = _apply(connection, locked, state)
        if state is not standing.state or action is Action.APPROVE:
            settle_proposal(connection, proposal_id, state.value, outbox_id)
    approvals = 0 if action is Action.CORRECT else len(locked.approved_by) + (action is Action.APPROVE)
    return Reviewed(proposal_id, state.value, approvals, locked.approvals_needed, outbox_id, units)


def _correct(connection: Connection, proposal_id: int, locked: LockedProposal, correction: Correction, by: str) -> None:
    about = read_about(connection, proposal_id)
    if about is None or locked.change is None:
        raise RefusedActionError("it changes nothing of the grid model that a conflict is about")
    (before,) = locked.before.values()
    value = correction.value or str(locked.after[about[2]])
    since = locked.change["valid_from"] if correction.valid_from is None else correction.valid_from.isoformat()
    try:
        change, inverse = make_change(about, value, str(before), since)
        read_change(msgspec.json.encode(change))
    except (NothingToProposeError, InvalidChangeError) as error:
        raise RefusedActionError(str(error)) from None
    if change == locked.change:
        raise RefusedActionError("that is what it says already")
    correct_proposal(connection, proposal_id, {about[2]: value}, change, inverse, by)


def _apply(connection: Connection, locked: LockedProposal, state: ProposalState) -> tuple[int | None, tuple[str, ...]]:
    """Change the grid model where the new state says so: through the same path as any other change."""
    wanted: dict[str, Any] | None = None
    if state is ProposalState.APPLIED:
        wanted = locked.change
    elif state is ProposalState.UNDONE:
        wanted = locked.inverse
    if wanted is None:
        return None, ()
    applied = apply_change(connection, read_change(msgspec.json.encode(wanted)))
    return applied.outbox_id, applied.units
