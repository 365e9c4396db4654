"""`/api/v1/rollout`: milestones, their reviews, and how they judge themselves."""

from __future__ import annotations

from typing import Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from pydantic import BaseModel

from console.api.desk import Desk, Limit, Prose, Word, asker, forbid
from console.api.problems import ProblemRoute, responses
from console.api.rollout_scope import (
    GROUPS,
    Name,
    Rows,
    Skip,
    need,
    opened,
    scope,
    visible,
)
from console.api.tokens import Principal
from store.rollout import read_rows
from sync.rollout.planning import find_milestone, judge, list_milestones, review


class NewReview(BaseModel):
    """What a review of a milestone came to."""

    result: Literal["passed", "conditions", "failed"]
    evidence: Prose
    conditions: Prose | None = None


class NewJudgement(BaseModel):
    """Which milestones are to judge themselves; null: all that can."""

    programme: Word | None = None
    milestone: Word | None = None


def milestones_router(desk: Desk, zone: ZoneInfo) -> APIRouter:
    """Routes of milestones."""
    router = APIRouter(prefix="/api/v1/rollout", tags=["roll-out"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/milestones", responses=responses())
    def milestones(
        programme: Word | None = None,
        unit: Word | None = None,
        skip: Skip = 0,
        limit: Limit = 50,
        asking: Principal = who,
    ) -> Rows:
        """Milestones as they stand, by the day on which they are due."""
        with opened(desk) as connection:
            seen = scope(connection, asking, unit, desk.now())
            found = list_milestones(connection, desk.now(), zone, programme, unit=seen, skip=skip, limit=limit)
        return Rows(items=found, next=skip + limit if len(found) == limit else None)

    @router.get("/programmes/{programme}/milestones/{code}/reviews", responses=responses(404))
    def list_reviews(programme: Name, code: Name, asking: Principal = who) -> list[dict[str, Any]]:
        """All reviews of a milestone, with what its measures came to; the oldest first."""
        with opened(desk) as connection:
            mine = visible(connection, asking, desk.now())
            found = find_milestone(connection, programme, code, desk.now(), zone)
            if mine is not None and not {found["unit"], found["department"]} & mine:
                raise forbid(f"{asking.unit} sees itself and what is below it")
            return read_rows(connection, "plan", "reviews", programme=programme, milestone=code, at=desk.now())

    @router.post("/judgements", responses=responses())
    def judgements(said: NewJudgement, asking: Principal = who) -> list[dict[str, Any]]:
        """Let milestones judge themselves now, which they do hourly: for the groups."""
        need(asking, GROUPS)
        with opened(desk) as connection:
            return judge(connection, desk.now(), zone, said.programme, said.milestone)

    @router.post("/programmes/{programme}/milestones/{code}/reviews", status_code=201, responses=responses(404, 409))
    def reviews(programme: Name, code: Name, said: NewReview, asking: Principal = who) -> dict[str, Any]:
        """Record the review of a milestone: for the groups."""
        need(asking, GROUPS)
        with opened(desk) as connection:
            return review(
                connection, programme, code, said.result, said.evidence, asking.name, desk.now(), zone, said.conditions
            )

    return router
