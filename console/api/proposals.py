"""`/api/v1/proposals`: what is proposed about conflicts, and who approves it.

Who approves is who the token says, and for which department is what its roles allow: four eyes can't be one pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from console.api.desk import (
    After,
    Desk,
    IfMatch,
    IfNoneMatch,
    Instant,
    Limit,
    Number,
    Prose,
    Whole,
    Word,
    asker,
    etag_of,
    forbid,
    next_of,
    version_of,
    with_etag,
)
from console.api.problems import ProblemError, ProblemRoute, responses
from console.api.sync import DEPARTMENTS, Department, Page, knows_records
from console.api.tokens import Principal
from store.sync_proposals import list_proposals, read_proposal
from sync.change import ChangeError
from sync.proposals.lifecycle import Action, RefusedActionError, ReviewRules
from sync.proposals.review import ChangedMeanwhileError, Correction, UnknownProposalError, propose, review

StateName = Literal["open", "approved", "applied", "refused", "withdrawn", "undone"]
ConflictNumber = Annotated[int, Field(ge=1, le=2**53), Whole]


class NewProposals(BaseModel):
    """Conflicts about which something is to be proposed, by the rules of authority."""

    conflict_ids: list[ConflictNumber] = Field(min_length=1, max_length=100)
    reason: Prose
    valid_from: Instant | None = None
    """From when on a change of the grid model is to hold; left out: from now on."""


class Proposed(BaseModel):
    """What came of a conflict: the proposal's number, or why there is none."""

    conflict_id: int
    proposal_id: int | None
    target: str | None
    reason: str | None


class _ByDepartment(BaseModel):
    department: Department | None = None
    """Needed where the token speaks for several."""


class Approve(_ByDepartment):
    """Approve; the last approval that is needed applies it."""

    action: Literal["approve"]
    reason: Prose | None = None


class Withdraw(_ByDepartment):
    """Withdraw a proposal of one's own."""

    action: Literal["withdraw"]
    reason: Prose | None = None


class Refuse(_ByDepartment):
    """Refuse it, or take an applied change back."""

    action: Literal["reject", "undo"]
    reason: Prose


class Correct(_ByDepartment):
    """Put another value or instant into a proposed change of the grid model; its approvals begin anew."""

    action: Literal["correct"]
    reason: Prose
    value: Word | None = None
    valid_from: Instant | None = None


ReviewStep = Annotated[Approve | Withdraw | Refuse | Correct, Field(discriminator="action")]


class ReviewDone(BaseModel):
    """Where a proposal stands; `outbox_id` is the change of the grid model that was made."""

    proposal_id: int
    state: StateName
    approvals: int
    approvals_needed: int
    outbox_id: int | None
    units: list[str]


def proposals_router(desk: Desk, rules: ReviewRules) -> APIRouter:
    """Routes of proposals."""
    router = APIRouter(prefix="/api/v1", tags=["proposals"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/proposals", responses=responses())
    def proposals(
        state: StateName | None = None,
        target: Word | None = None,
        after: After = 0,
        limit: Limit = 50,
        asking: Principal = who,
    ) -> Page:
        """Proposals, the newest first."""
        knows_records(asking)
        with desk.connection() as connection:
            rows = list_proposals(connection, state, target, limit, after)
        return Page(items=rows, next=next_of(rows, limit, lambda row: row["proposal_id"]))

    @router.post("/proposals", status_code=201, responses=responses())
    def make(wanted: NewProposals, asking: Principal = who) -> list[Proposed]:
        """Propose what the rules of authority lead to; of each conflict what came of it."""
        _department(asking, None, needed=False)
        ids = list(dict.fromkeys(wanted.conflict_ids))
        with desk.connection() as connection:
            done = propose(connection, ids, asking.name, wanted.reason, rules, desk.now(), wanted.valid_from)
        return [Proposed(**asdict(each)) for each in done]

    @router.get("/proposals/{proposal_id}", responses=responses(404) | {304: {"description": "Not changed"}})
    def proposal(
        proposal_id: Number, response: Response, if_none_match: IfNoneMatch = None, asking: Principal = who
    ) -> dict[str, Any]:
        """A proposal and who did what with it; its ETag is needed to act on it."""
        knows_records(asking)
        with desk.connection() as connection:
            found = read_proposal(connection, proposal_id)
        if found is None:
            raise ProblemError(404, f"no proposal {proposal_id}")
        if with_etag(response, found["version"], if_none_match):
            return Response(status_code=304, headers={"ETag": etag_of(found["version"])})  # type: ignore[return-value]
        return found

    @router.post("/proposals/{proposal_id}/steps", responses=responses(404, 409, 412, 428))
    def act(
        proposal_id: Number, step: ReviewStep, response: Response, if_match: IfMatch, asking: Principal = who
    ) -> ReviewDone:
        """Do something with a proposal, in the name and for a department of the token."""
        department = _department(asking, step.department)
        correction = Correction(step.value, step.valid_from) if isinstance(step, Correct) else None
        with desk.connection() as connection, _refusals():
            done = review(
                connection, proposal_id, Action(step.action), asking.name, department, step.reason, desk.now(),
                version_of(if_match), correction,
            )  # fmt: skip
            found = read_proposal(connection, proposal_id)
        if found is not None:
            with_etag(response, found["version"], None)
        return ReviewDone(**asdict(done))

    return router


def _department(asking: Principal, said: Department | None, needed: bool = True) -> str:
    """The department in whose name a token acts."""
    mine = sorted({DEPARTMENTS[role] for role in asking.roles if role in DEPARTMENTS})
    if not mine:
        # An administrator keeps the machinery; what a department decides is not for him.
        raise forbid("the token speaks for no department")
    if said is not None and said not in mine:
        raise forbid(f"the token doesn't speak for {said}")
    if said is None and len(mine) > 1 and needed:
        raise forbid(f"say for which department: {', '.join(mine)}")
    return said or mine[0]


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except UnknownProposalError as error:
        raise ProblemError(404, str(error)) from None
    except ChangedMeanwhileError as error:
        raise ProblemError(412, str(error)) from None
    except (RefusedActionError, ChangeError) as error:
        raise ProblemError(409, str(error)) from None
