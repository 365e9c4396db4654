"""`/api/v1/rollout`: business norms that units confirm, and trainings."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field

from console.api.desk import After, Desk, Limit, LongProse, Whole, Word, asker, next_of
from console.api.problems import ProblemRoute, responses
from console.api.rollout_scope import (
    CONFIRMING,
    GROUPS,
    WORKING,
    Day,
    Name,
    Rows,
    day_of,
    need,
    opened,
    scope,
    visible,
)
from console.api.tokens import Principal
from store.rollout import Row, read_rows
from sync.rollout.council import confirm_norm, hold_training, read_norm, revise_norm

Version = Annotated[int, Path(ge=1, le=1_000_000)]


class NewVersion(BaseModel):
    """The next version of a norm."""

    title: Word
    body: LongProse
    decision_id: Annotated[int, Field(ge=1, le=2**53), Whole] | None = None


class Confirmation(BaseModel):
    """Which unit confirms."""

    unit: Word


class NewTraining(BaseModel):
    """A training that was held, by the number of people."""

    unit: Word
    topic: Word
    held_on: Day
    people: Annotated[int, Field(ge=0, le=100_000), Whole]
    norm: Word | None = None


def norms_router(desk: Desk) -> APIRouter:
    """Routes of norms and trainings."""
    router = APIRouter(prefix="/api/v1/rollout", tags=["roll-out"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/norms", responses=responses())
    def norms(asking: Principal = who) -> list[dict[str, Any]]:
        """All versions of all norms; a unit sees of the confirmations its own."""
        with opened(desk) as connection:
            mine = visible(connection, asking, desk.now())
            found = read_rows(connection, "council", "norms", at=desk.now(), code=None, name=None)
        return [_seen(row, mine) for row in found]

    @router.post("/norms/{code}", status_code=201, responses=responses(404, 409))
    def revise(code: Name, said: NewVersion, asking: Principal = who) -> dict[str, Any]:
        """Give a norm its next version: for the groups."""
        need(asking, GROUPS)
        with opened(desk) as connection:
            version = revise_norm(
                connection, code, said.title, said.body, asking.name, desk.now(), decision_id=said.decision_id
            )
            return read_norm(connection, code, version, desk.now())

    @router.get("/norms/{code}/{version}", responses=responses(404))
    def norm(code: Name, version: Version, asking: Principal = who) -> dict[str, Any]:
        """A version of a norm, with who has confirmed it and who has not."""
        with opened(desk) as connection:
            mine = visible(connection, asking, desk.now())
            return _seen(read_norm(connection, code, version, desk.now()), mine)

    @router.post("/norms/{code}/{version}/confirmations", status_code=201, responses=responses(404, 409))
    def confirm(code: Name, version: Version, said: Confirmation, asking: Principal = who) -> dict[str, Any]:
        """Confirm that a unit works by a version of a norm: a unit for itself."""
        need(asking, CONFIRMING)
        with opened(desk) as connection:
            scope(connection, asking, said.unit, desk.now())
            confirm_norm(connection, code, version, said.unit, asking.name, desk.now())
            mine = visible(connection, asking, desk.now())
            return _seen(read_norm(connection, code, version, desk.now()), mine)

    @router.get("/trainings", responses=responses())
    def trainings(unit: Word | None = None, after: After = 0, limit: Limit = 50, asking: Principal = who) -> Rows:
        """Trainings, the newest first."""
        with opened(desk) as connection:
            seen = scope(connection, asking, unit, desk.now())
            found = read_rows(connection, "council", "trainings", at=desk.now(), unit=seen, after=after, limit=limit)
        return Rows(items=found, next=next_of(found, limit, lambda row: int(row["training_id"])))

    @router.post("/trainings", status_code=201, responses=responses(404, 409))
    def new_training(said: NewTraining, asking: Principal = who) -> dict[str, int]:
        """Record a training: a unit for itself, the support team and the working group for all."""
        need(asking, CONFIRMING | WORKING)
        with opened(desk) as connection:
            scope(connection, asking, said.unit, desk.now())
            number = hold_training(
                connection, said.unit, said.topic, day_of(said.held_on), said.people, asking.name, desk.now(), said.norm
            )
        return {"training_id": number}

    return router


def _seen(norm: Row, mine: frozenset[str] | None) -> Row:
    """A norm without what other units do."""
    names = ("confirmed", "unconfirmed")
    return {**norm, **{name: [u for u in norm[name] if mine is None or u in mine] for name in names if name in norm}}
