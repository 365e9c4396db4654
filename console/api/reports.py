"""`/api/v1/rollout`: reports, and each of their figures again."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter

from console.api.desk import Desk, Instant, Word, asker
from console.api.problems import ProblemError, ProblemRoute, responses
from console.api.rollout_scope import (
    GROUPS,
    Name,
    bounded,
    need,
    opened,
    scope,
)
from console.api.tokens import Principal
from store.rollout import INDICATORS, Figure, read_figure
from sync.rollout.report import Level, make_report, need_organisation
from sync.rollout.timetable import Span


def reports_router(desk: Desk, zone: ZoneInfo) -> APIRouter:
    """Routes of reports."""
    router = APIRouter(prefix="/api/v1/rollout", tags=["roll-out"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/figures/{name}", responses=responses(404))
    def figure(
        name: Name,
        unit: Word | None = None,
        since: Instant | None = None,
        at: Instant | None = None,
        asking: Principal = who,
    ) -> Figure:
        """An indicator as it was known at an instant: a figure of a report, computed again."""
        if name not in INDICATORS:
            raise ProblemError(404, f"no indicator is named so; there are: {', '.join(INDICATORS)}")
        instant = bounded(at or desk.now())
        begin = bounded(since) if since is not None else instant - timedelta(days=1)
        with opened(desk) as connection:
            seen = scope(connection, asking, unit, desk.now())
            need_organisation(connection, seen)
            return read_figure(connection, name, seen, instant, zone.key, begin)

    @router.get("/reports/{span}", responses=responses(404))
    def report(
        span: Span,
        level: Level = Level.UNIT,
        unit: Word | None = None,
        at: Instant | None = None,
        asking: Principal = who,
    ) -> dict[str, Any]:
        """A report as of an instant, its figures and lists: of a unit for itself, of a group for the groups."""
        instant = bounded(at or desk.now())
        with opened(desk) as connection:
            if level is Level.UNIT:
                unit = scope(connection, asking, unit, desk.now())
            else:
                need(asking, GROUPS)
            return asdict(make_report(connection, span, level, instant, zone, unit))

    return router
