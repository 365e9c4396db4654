"""`/api/v1/rollout/flow`: how the work flows, and where it is held up. For the groups; no names of people are in it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from benefit.flow import read_flow
from benefit.flow_process import PROCESSES
from benefit.flow_report import plain
from console.api.desk import Desk, Instant, asker
from console.api.problems import ProblemError, ProblemRoute, responses
from console.api.rollout_scope import ALL_SEEING, bounded, need, opened
from console.api.tokens import Principal

ProcessName = Literal["conflict", "delivery", "alert", "ticket"]
_SPAN = timedelta(days=90)


class Flows(BaseModel):
    """The flow of each process that was asked for; null where a time can't be told."""

    since: datetime
    at: datetime
    processes: list[dict[str, Any]]


def flow_router(desk: Desk, deliveries_kept: timedelta) -> APIRouter:
    """Routes of the flow of the work; all of them read.

    Parameters
    ----------
    deliveries_kept
        How long deliveries stay before retention removes them.
    """
    router = APIRouter(prefix="/api/v1/rollout/flow", tags=["flow"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("", responses=responses())
    def flow(
        process: Annotated[list[ProcessName] | None, Query(max_length=4, description="Default: all")] = None,
        since: Instant | None = None,
        at: Instant | None = None,
        limit: Annotated[int, Query(ge=1, le=20_000, description="Cases of each process: the newest")] = 20_000,
        asking: Principal = who,
    ) -> Flows:
        """Times by step and department, rework, deviations, bottlenecks and what to do, of cases begun in a time."""
        need(asking, ALL_SEEING)
        now = desk.now()
        until = now if at is None else bounded(at)
        begin = until - _SPAN if since is None else bounded(since)
        if until > now:
            raise ProblemError(422, "at lies ahead")
        if begin >= until:
            raise ProblemError(422, "since is earlier than at")
        names = list(dict.fromkeys(process or PROCESSES))
        with opened(desk) as connection:
            found = read_flow(connection, begin, until, names, limit=limit, deliveries_since=now - deliveries_kept)
        return Flows(since=begin, at=until, processes=[plain(asdict(each)) for each in found])

    return router
