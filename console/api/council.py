"""`/api/v1/rollout`: matters, conferences, decisions and what they led to."""

from __future__ import annotations

from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from pydantic import BaseModel, Field

from console.api.desk import After, Desk, Instant, Limit, LongProse, Number, Prose, Whole, Word, asker, next_of
from console.api.problems import ProblemRoute, responses
from console.api.rollout_scope import (
    ALL_SEEING,
    DECIDING,
    GROUPS,
    Day,
    Rows,
    bounded,
    day_of,
    need,
    opened,
    scope,
)
from console.api.tokens import Principal
from store.rollout import read_rows
from sync.rollout.council import decide, follow_up, hold_conference, raise_matter, read_chain


class NewMatter(BaseModel):
    """What a department raises."""

    unit: Word
    department: Word
    title: Word
    body: Prose
    cross_department: bool


class NewDecision(BaseModel):
    """What the leading group decides."""

    decision: Prose
    owner: Word
    due_on: Day
    conference_id: Annotated[int, Field(ge=1, le=2**53), Whole] | None = None
    matter_id: Annotated[int, Field(ge=1, le=2**53), Whole] | None = None


class NewConference(BaseModel):
    """A conference that was held."""

    title: Word
    held_at: Instant
    attendants: Annotated[list[Word], Field(min_length=1, max_length=500)]
    minutes: LongProse


class FollowUp(BaseModel):
    """How a decision is carried out; `done` ends it."""

    note: Prose
    done: bool = False


def council_router(desk: Desk, zone: ZoneInfo) -> APIRouter:
    """Routes of matters, conferences and decisions."""
    router = APIRouter(prefix="/api/v1/rollout", tags=["roll-out"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/matters", responses=responses())
    def matters(unit: Word | None = None, after: After = 0, limit: Limit = 50, asking: Principal = who) -> Rows:
        """Matters with what was decided about them, the newest first."""
        with opened(desk) as connection:
            seen = scope(connection, asking, unit, desk.now())
            found = read_rows(
                connection, "council", "matters",
                at=desk.now(), matter_id=None, cross_department=None, open=False, unit=seen, after=after, limit=limit,
            )  # fmt: skip
        return Rows(items=found, next=next_of(found, limit, lambda row: int(row["matter_id"])))

    @router.post("/matters", status_code=201, responses=responses(404, 409))
    def new_matter(said: NewMatter, asking: Principal = who) -> dict[str, int]:
        """Raise a matter: a unit for itself."""
        with opened(desk) as connection:
            scope(connection, asking, said.unit, desk.now())
            number = raise_matter(
                connection, said.unit, said.department, said.title, said.body, asking.name, desk.now(),
                cross_department=said.cross_department,
            )  # fmt: skip
        return {"matter_id": number}

    @router.post("/decisions", status_code=201, responses=responses(404, 409))
    def new_decision(said: NewDecision, asking: Principal = who) -> dict[str, int]:
        """Record a decision: for the leading group."""
        need(asking, DECIDING)
        due_on = day_of(said.due_on)
        with opened(desk) as connection:
            number = decide(
                connection, said.decision, said.owner, due_on, asking.name, desk.now(),
                conference_id=said.conference_id, matter_id=said.matter_id,
            )  # fmt: skip
        return {"decision_id": number}

    @router.get("/decisions", responses=responses())
    def decisions(unit: Word | None = None, after: After = 0, limit: Limit = 50, asking: Principal = who) -> Rows:
        """Decisions with their last follow-up, the newest first; a unit sees those on its matters."""
        with opened(desk) as connection:
            seen = scope(connection, asking, unit, desk.now())
            found = read_rows(
                connection, "council", "decisions",
                at=desk.now(), zone=zone.key, decision_id=None, open=False, unit=seen, after=after, limit=limit,
            )  # fmt: skip
        return Rows(items=found, next=next_of(found, limit, lambda row: int(row["decision_id"])))

    @router.post("/decisions/{decision_id}/follow-ups", status_code=201, responses=responses(404, 409))
    def carried_out(decision_id: Number, said: FollowUp, asking: Principal = who) -> dict[str, Any]:
        """Note how a decision is carried out: for the groups."""
        need(asking, GROUPS)
        with opened(desk) as connection:
            follow_up(connection, decision_id, said.note, asking.name, desk.now(), done=said.done)
        return {"decision_id": decision_id, "done": said.done}

    @router.get("/decisions/{decision_id}/chain", responses=responses(404))
    def chain(decision_id: Number, asking: Principal = who) -> list[dict[str, Any]]:
        """What a decision came from and led to, each step with who and when: for the groups and the support team."""
        need(asking, ALL_SEEING)
        with opened(desk) as connection:
            return read_chain(connection, decision_id, desk.now())

    @router.get("/conferences", responses=responses())
    def conferences(after: After = 0, limit: Limit = 50, asking: Principal = who) -> Rows:
        """Conferences with their decisions, the newest first: for the groups and the support team."""
        need(asking, ALL_SEEING)
        with opened(desk) as connection:
            found = read_rows(connection, "council", "conferences", at=desk.now(), after=after, limit=limit)
        return Rows(items=found, next=next_of(found, limit, lambda row: int(row["conference_id"])))

    @router.post("/conferences", status_code=201, responses=responses(404, 409))
    def new_conference(said: NewConference, asking: Principal = who) -> dict[str, int]:
        """Record a conference that was held: for the groups."""
        need(asking, GROUPS)
        with opened(desk) as connection:
            number = hold_conference(
                connection, said.title, bounded(said.held_at), said.attendants, said.minutes, asking.name, desk.now()
            )
        return {"conference_id": number}

    return router
