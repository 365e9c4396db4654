"""`/api/v1/rollout`: the plan and its resources."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter
from pydantic import BaseModel, Field

from console.api.desk import Desk, Limit, Prose, Word, asker, forbid
from console.api.problems import ProblemRoute, responses
from console.api.rollout_scope import DECIDING, GROUPS, Document, Name, Rows, Skip, need, opened, scope, visible
from console.api.tokens import Principal, Right
from store.connection import Connection
from store.rollout import INDICATORS, read_rows
from sync.rollout.plan import parse_plan
from sync.rollout.planning import add_resource, load_plan


class NewPlan(BaseModel):
    """A plan as its file says it, TOML."""

    text: Document


class NewResource(BaseModel):
    """What a package was granted or has used; negative corrects."""

    resource: Literal["funds", "people", "material"]
    phase: Literal["granted", "used"]
    amount: Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
    note: Prose


def plan_router(desk: Desk, zone: ZoneInfo) -> APIRouter:
    """Routes of the plan."""
    router = APIRouter(prefix="/api/v1/rollout", tags=["roll-out"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/packages", responses=responses())
    def packages(
        programme: Word | None = None,
        unit: Word | None = None,
        skip: Skip = 0,
        limit: Limit = 50,
        asking: Principal = who,
    ) -> Rows:
        """Work packages with what they were granted and have used, and what they wait for."""
        with opened(desk) as connection:
            seen = scope(connection, asking, unit, desk.now())
            found = read_rows(
                connection, "plan", "packages",
                at=desk.now(), zone=zone.key, programme=programme, unit=seen, skip=skip, limit=limit,
            )  # fmt: skip
        return Rows(items=found, next=skip + limit if len(found) == limit else None)

    @router.post("/plans", responses=responses(404, 409))
    def plans(said: NewPlan, asking: Principal = who) -> dict[str, Any]:
        """Make the plan of a programme what a file says: for the groups."""
        need(asking, GROUPS)
        with opened(desk) as connection:
            plan = parse_plan(said.text, INDICATORS)
            loaded = load_plan(connection, plan, asking.name, desk.now())
        return {"programme": plan.programme, **asdict(loaded)}

    @router.post("/programmes/{programme}/packages/{package}/resources", status_code=201, responses=responses(404, 409))
    def resources(programme: Name, package: Name, said: NewResource, asking: Principal = who) -> dict[str, Any]:
        """Grant resources, for the leading group; or note what was used, for the groups and the package's own unit."""
        need(asking, DECIDING if said.phase == "granted" else GROUPS | {Right.UNIT})
        with opened(desk) as connection:
            add_resource(
                connection, programme, _theirs(connection, programme, package, asking), said.resource, said.phase,
                said.amount, said.note, asking.name, desk.now(), zone,
            )  # fmt: skip
        return {"package": package, **said.model_dump()}

    def _theirs(connection: Connection, programme: str, package: str, asking: Principal) -> str:
        mine = visible(connection, asking, desk.now())
        standing = read_rows(connection, "plan", "standing_packages", at=desk.now(), programme=programme)
        unit = next((row["unit"] for row in standing if row["code"] == package), None)
        if unit is not None and mine is not None and unit not in mine:
            raise forbid(f"{asking.unit} sees itself and what is below it")
        return package

    return router
