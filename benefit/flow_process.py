"""The intended course of each kind of case, taken from the tables by which the system itself goes; pure.

Nothing of `alerts.lifecycle`, `sync.proposals.lifecycle` and `sync.rollout.tickets` is written again here: what was
recorded is put to the same tables and functions. Beside them stand what surrounds a proposal (its conflict) and a
delivery, of which the system has no table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alerts import lifecycle as alert
from benefit.flow_events import Event
from sync.proposals import lifecycle as proposal
from sync.rollout import tickets as ticket

#: Where a case stands after a step, by where it stood, its steps before, and the step; raises `DeviationError`.
Follow = Callable[[str, Sequence[Event], Event], str]


class DeviationError(ValueError):
    """A step that the intended process doesn't have; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Process:
    """The intended course of a kind of case.

    Attributes
    ----------
    first
        Action and stage with which every case begins.
    follow
        Where a step leads.
    ended
        Stages in which nobody owes the case anything.
    done_by_system
        Stages that may end so as well when it wasn't a person who led there.
    working
        Stages in which somebody is at work on it; in all others it waits.
    progress
        Actions that end a stay though the stage remains.
    repeats
        Of those, the ones by which work is done again.
    holders
        Who has the case in some stages, whatever a step says; None: whoever acts next.
    by_system
        Stages that rightly end by themselves; elsewhere a case that goes by itself was not dealt with by anybody.
    """

    name: str
    first: tuple[str, str]
    follow: Follow
    ended: frozenset[str]
    done_by_system: frozenset[str] = frozenset()
    working: frozenset[str] = frozenset()
    progress: frozenset[str] = frozenset()
    repeats: frozenset[str] = frozenset()
    holders: Mapping[str, str | None] = field(default_factory=dict)
    by_system: frozenset[str] = frozenset()


def by_table(table: Mapping[Any, Mapping[Any, str]]) -> Follow:
    """Follow a transition table: stage → action → stage."""

    def follow(stage: str, _before: Sequence[Event], event: Event) -> str:
        possible = table.get(stage, {})
        if event.action not in possible:
            raise DeviationError(f"{event.action} isn't possible in {stage}")
        return possible[event.action]

    return follow


#: A conflict before, between and after proposals; whatever comes of a proposal, the conflict may be gone.
UNPROPOSED, CLOSED = "unproposed", "closed"
_PROPOSABLE = {UNPROPOSED, proposal.ProposalState.REFUSED, proposal.ProposalState.WITHDRAWN,
               proposal.ProposalState.UNDONE}  # fmt: skip
_AROUND: dict[str, dict[str, str]] = {
    stage: {"close": CLOSED, **({"propose": proposal.ProposalState.OPEN} if stage in _PROPOSABLE else {})}
    for stage in (UNPROPOSED, *proposal.ProposalState)
}
_AROUND[CLOSED] = {"reopen": UNPROPOSED}
#: What was applied can be undone after the conflict was seen to be gone, and the conflict comes again then.
_AROUND[proposal.ProposalState.UNDONE]["reopen"] = UNPROPOSED


def follow_conflict(stage: str, before: Sequence[Event], event: Event) -> str:
    """Follow a conflict, and its proposals by `sync.proposals.lifecycle.next_state`, four eyes (四眼原则) and all."""
    around = _AROUND.get(stage, {})
    if event.action in around:
        return around[event.action]
    try:
        action = proposal.Action(event.action)
        standing = _standing(stage, before, event)
        return proposal.next_state(standing, action, _name(event)).value
    except ValueError as error:
        raise DeviationError(f"{event.action} isn't possible in {stage}: {error}") from None


def _standing(stage: str, before: Sequence[Event], event: Event) -> proposal.Standing:
    undoing = stage == CLOSED and event.action == proposal.Action.UNDO
    state = proposal.ProposalState.APPLIED if undoing else proposal.ProposalState(stage)
    author, corrector, approved = "", None, list[str]()
    for step in before:
        if step.action == "propose":
            author, corrector, approved = _name(step), None, []
        elif step.action == proposal.Action.CORRECT:
            corrector, approved = _name(step), []
        elif step.action == proposal.Action.APPROVE:
            approved.append(_name(step))
    return proposal.Standing(state, author, tuple(approved), event.approvals_needed, event.changes_model, corrector)


def _name(event: Event) -> str:
    return f"person {event.person}"


ALERT = Process(
    name="alert",
    first=("open", alert.State.OPEN),
    follow=by_table(alert.TRANSITIONS),
    # Suppressed on purpose it waits for nobody; should it come back, it goes on from there.
    ended=frozenset({alert.State.CLOSED, alert.State.SUPPRESSED}),
    done_by_system=frozenset({alert.State.RESOLVED}),
    working=frozenset({alert.State.IN_PROGRESS}),
    # After a crew was called back another is sent.
    progress=frozenset({alert.Action.START}),
    repeats=frozenset({alert.Action.START}),
)
CONFLICT = Process(
    name="conflict",
    first=("open", UNPROPOSED),
    follow=follow_conflict,
    ended=frozenset({CLOSED}),
    progress=frozenset({proposal.Action.APPROVE, proposal.Action.CORRECT}),
    repeats=frozenset({proposal.Action.CORRECT}),
    holders={proposal.ProposalState.OPEN: None, proposal.ProposalState.APPLIED: "meterline"},
    by_system=frozenset({proposal.ProposalState.APPROVED, proposal.ProposalState.APPLIED}),
)
TICKET = Process(
    name="ticket",
    first=("open", ticket.State.OPEN),
    follow=by_table(ticket.TRANSITIONS),
    ended=frozenset({ticket.State.CLOSED}),
    working=frozenset({ticket.State.IN_PROGRESS}),
)
DELIVERY = Process(
    name="delivery",
    first=("owe", "owed"),
    # What holds no copy can't be read back.
    follow=by_table({"owed": {"deliver": "delivered", "tell": "told"}, "delivered": {"read_back": "read_back"}}),
    ended=frozenset({"read_back", "told"}),
    by_system=frozenset({"owed", "delivered"}),
)
PROCESSES = {process.name: process for process in (CONFLICT, DELIVERY, ALERT, TICKET)}
