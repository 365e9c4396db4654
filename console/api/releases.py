"""`/api/v1/rollout/releases`: what changed, where it is deployed, which units have confirmed it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from console.api.desk import After, Desk, Limit, LongProse, Prose, Word, asker, next_of
from console.api.problems import ProblemRoute, responses
from console.api.rollout_scope import CONFIRMING, WORKING, Name, Rows, need, opened, scope, visible
from console.api.tokens import Principal
from store.connection import Connection
from store.rollout import Row, read_rows
from sync.rollout.desk import list_tickets
from sync.rollout.releases import make_release, read_release, release_step

_UNITS = ("deployed", "confirmed", "rolled_back", "unconfirmed")
_MAX_TICKETS = 10_000


class NewRelease(BaseModel):
    """A release and what it changes."""

    code: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f/]+$")]
    name: Word
    changes: LongProse


class ReleaseStep(BaseModel):
    """What was done with a release at units."""

    action: Literal["deploy", "confirm", "roll_back"]
    units: Annotated[list[Word], Field(min_length=1, max_length=500)]
    note: Prose


def releases_router(desk: Desk) -> APIRouter:
    """Routes of releases."""
    router = APIRouter(prefix="/api/v1/rollout", tags=["service desk"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/releases", responses=responses())
    def releases(after: After = 0, limit: Limit = 50, asking: Principal = who) -> Rows:
        """Releases, the newest first; a unit sees of them where they concern itself."""
        with opened(desk) as connection:
            found = read_rows(connection, "desk", "releases", code=None, at=desk.now(), after=after, limit=limit)
            items = seen_by(connection, desk, asking, found)
        return Rows(items=items, next=next_of(found, limit, lambda row: int(row["release_id"])))

    @router.post("/releases", status_code=201, responses=responses(404, 409))
    def new_release(said: NewRelease, asking: Principal = who) -> dict[str, Any]:
        """Make a release known: for the support team and the working group."""
        need(asking, WORKING)
        with opened(desk) as connection:
            return make_release(connection, said.code, said.name, said.changes, asking.name, desk.now())

    @router.get("/releases/{code}", responses=responses(404))
    def release(code: Name, asking: Principal = who) -> dict[str, Any]:
        """One release with its steps."""
        with opened(desk) as connection:
            found = read_release(connection, code, desk.now())
            steps = read_rows(connection, "desk", "release_steps", code=code, at=desk.now())
            mine = visible(connection, asking, desk.now())
            (seen,) = seen_by(connection, desk, asking, [found])
        return {**seen, "steps": [step for step in steps if mine is None or step["unit"] in mine]}

    @router.post("/releases/{code}/steps", responses=responses(404, 409))
    def step(code: Name, said: ReleaseStep, asking: Principal = who) -> dict[str, Any]:
        """Note a deployment or the way back, for the support team and the working group; a unit confirms for itself."""
        need(asking, CONFIRMING if said.action == "confirm" else WORKING)
        with opened(desk) as connection:
            for unit in said.units:
                scope(connection, asking, unit, desk.now())
            done = release_step(connection, code, said.action, said.units, said.note, asking.name, desk.now())
            (seen,) = seen_by(connection, desk, asking, [done])
        return seen

    return router


def seen_by(connection: Connection, desk: Desk, asking: Principal, rows: list[Row]) -> list[Row]:
    """Releases without what concerns other units."""
    mine = visible(connection, asking, desk.now())
    if mine is None:
        return rows
    own = list_tickets(connection, desk.now(), unit=asking.unit, limit=_MAX_TICKETS)
    tickets = {row["ticket_id"] for row in own}
    return [
        {
            **row,
            **{name: [unit for unit in row[name] if unit in mine] for name in _UNITS if name in row},
            "tickets": [number for number in row["tickets"] if number in tickets],
        }
        for row in rows
    ]
