"""`/api/v1/rollout`: weights of indicators, assessments, appeals and their answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from pydantic import BaseModel, Field

from console.api.desk import Desk, Instant, Number, Prose, Whole, Word, asker
from console.api.problems import ProblemRoute, responses
from console.api.rollout_scope import (
    CONFIRMING,
    DECIDING,
    GROUPS,
    Document,
    bounded,
    need,
    opened,
    scope,
    visible,
)
from console.api.tokens import Principal
from store.connection import Connection
from store.rollout import INDICATORS, Row, read_rows
from sync.rollout.assess import answer_appeal, appeal, approve_weights, assess, propose_weights, read_assessment
from sync.rollout.assessment import parse_weights

Value = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]


class NewWeights(BaseModel):
    """Weights as their file says them, TOML."""

    text: Document
    reason: Prose


class NewAssessment(BaseModel):
    """Over what time, and by which version of the weights."""

    weights: Annotated[int, Field(ge=1, le=2**53), Whole]
    kind: Literal["unit", "department"] = "unit"
    since: Instant
    until: Instant


class NewAppeal(BaseModel):
    """What an organisation claims."""

    unit: Word
    indicator: Word
    claimed: Value
    reason: Prose


class Answer(BaseModel):
    """The value that counts from now on; null refuses."""

    granted: Value | None
    answer: Prose


def assessments_router(desk: Desk, zone: ZoneInfo) -> APIRouter:
    """Routes of the assessment."""
    router = APIRouter(prefix="/api/v1/rollout", tags=["assessment"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/weights", responses=responses())
    def weights(asking: Principal = who) -> list[dict[str, Any]]:
        """Versions of the weights, and who approved them."""
        with opened(desk) as connection:
            visible(connection, asking, desk.now())
            return read_rows(connection, "assessment", "weightings", weighting_id=None, at=desk.now())

    @router.post("/weights", status_code=201, responses=responses(404, 409))
    def new_weights(said: NewWeights, asking: Principal = who) -> dict[str, int]:
        """Propose weights: for the groups."""
        need(asking, GROUPS)
        with opened(desk) as connection:
            wanted = parse_weights(said.text, INDICATORS)
            return {"version": propose_weights(connection, wanted, said.reason, asking.name, desk.now())}

    @router.post("/weights/{version}/approval", status_code=201, responses=responses(404, 409))
    def approve(version: Number, asking: Principal = who) -> dict[str, int]:
        """Approve weights that somebody else proposed: for the leading group."""
        need(asking, DECIDING)
        with opened(desk) as connection:
            approve_weights(connection, version, asking.name, desk.now())
        return {"version": version}

    @router.get("/assessments", responses=responses())
    def assessments(asking: Principal = who) -> list[dict[str, Any]]:
        """Assessments, the newest first."""
        with opened(desk) as connection:
            visible(connection, asking, desk.now())
            return read_rows(connection, "assessment", "assessments", assessment_id=None, at=desk.now())

    @router.post("/assessments", status_code=201, responses=responses(404, 409))
    def new_assessment(said: NewAssessment, asking: Principal = who) -> dict[str, Any]:
        """Assess all over a time that is over: for the groups."""
        need(asking, GROUPS)
        since, until = bounded(said.since), bounded(said.until)
        with opened(desk) as connection:
            number = assess(connection, said.weights, said.kind, since, until, asking.name, desk.now(), zone)
            return _told(connection, desk, asking, number)

    @router.get("/assessments/{assessment_id}", responses=responses(404))
    def assessment(assessment_id: Number, asking: Principal = who) -> dict[str, Any]:
        """Scores and ranks, warning orders and appeals; a unit sees its own."""
        with opened(desk) as connection:
            return _told(connection, desk, asking, assessment_id)

    @router.post("/assessments/{assessment_id}/appeals", status_code=201, responses=responses(404, 409))
    def new_appeal(assessment_id: Number, said: NewAppeal, asking: Principal = who) -> dict[str, int]:
        """Appeal against a value: a unit for itself."""
        need(asking, CONFIRMING)
        with opened(desk) as connection:
            scope(connection, asking, said.unit, desk.now())
            number = appeal(
                connection, assessment_id, said.unit, said.indicator, said.claimed, said.reason, asking.name, desk.now()
            )
        return {"appeal_id": number}

    @router.post("/appeals/{appeal_id}/answer", status_code=201, responses=responses(404, 409))
    def answer(appeal_id: Number, said: Answer, asking: Principal = who) -> dict[str, Any]:
        """Answer an appeal of somebody else: for the leading group."""
        need(asking, DECIDING)
        with opened(desk) as connection:
            answer_appeal(connection, appeal_id, said.answer, asking.name, desk.now(), said.granted)
            found = read_rows(
                connection, "assessment", "appeals", appeal_id=appeal_id, assessment_id=None, at=desk.now()
            )
        return found[0]

    return router


def _told(connection: Connection, desk: Desk, asking: Principal, number: int) -> Row:
    mine = visible(connection, asking, desk.now())
    found = read_assessment(connection, number, desk.now())
    if mine is None:
        return {**found, "results": [asdict(result) for result in found["results"]]}
    return {
        **found,
        "results": [asdict(result) for result in found["results"] if result.unit in mine],
        **{name: [row for row in found[name] if row["unit"] in mine] for name in ("warnings", "appeals")},
    }
