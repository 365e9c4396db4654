"""`/api/v1/conflicts`, `/drift`, `/rates` and `/indicators`: where systems contradict each other, and which copies
disagree.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import BaseModel, BeforeValidator

from alerts.routing import Role
from console.api.desk import (
    After,
    Desk,
    Limit,
    Number,
    Word,
    asker,
    forbid,
    next_of,
)
from console.api.problems import ProblemError, ProblemRoute, responses
from console.api.tokens import Principal, Right
from store.sync_conflicts import list_conflicts, read_conflict, read_rate_totals, read_rates
from store.sync_indicators import read_indicators
from store.sync_targets import count_drift, drift_minutes, list_drift
from sync.periods import Period, ended_periods

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
KindName = Literal["missing", "orphan", "duplicate", "field_differs", "relation_differs", "outdated", "impossible"]
Department = Literal["marketing", "operation", "metering", "dispatch"]
#: For which department a token with a role speaks.
DEPARTMENTS: Final[dict[str, Department]] = {
    Role.MARKETING: "marketing",
    Role.METERING: "metering",
    Role.CONTROL_ROOM: "dispatch",
    Right.OPERATION: "operation",
}


def _written_out(value: object) -> object:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise ValueError("a date such as 2026-06-01")
    return value


#: A number of seconds isn't taken for a date.
Day = Annotated[date, BeforeValidator(_written_out)]


class Page(BaseModel):
    """Rows, the newest first, and where the next page begins."""

    items: list[dict[str, Any]]
    next: int | None


class Drift(BaseModel):
    """Targets, minutes of disagreement over the days asked for, and what disagrees now."""

    targets: list[dict[str, Any]]
    minutes: list[dict[str, Any]]
    drifted: list[dict[str, Any]]


class Rates(BaseModel):
    """Share of right relations station-line-transformer-customer: of all, and of the worst units."""

    all: list[dict[str, Any]]
    units: list[dict[str, Any]]


class Indicators(BaseModel):
    """Of each period: consistency, conflicts, time to resolve, drift and completeness."""

    items: list[dict[str, Any]]


def sync_router(desk: Desk, zone: ZoneInfo) -> APIRouter:
    """Routes of conflicts, drift, rates and indicators; `zone` is the utility's."""
    router = APIRouter(prefix="/api/v1", tags=["sync"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/conflicts", responses=responses())
    def conflicts(
        kind: KindName | None = None,
        system: Word | None = None,
        department: Word | None = None,
        code: Word | None = None,
        state: Literal["open", "all"] = "open",
        after: After = 0,
        limit: Limit = 50,
        asking: Principal = who,
    ) -> Page:
        """Conflicts, the newest first; of state `all` those that are gone as well."""
        knows_records(asking)
        with desk.connection() as connection:
            rows = list_conflicts(connection, kind, system, department, code, state == "all", limit, after)
        return Page(items=rows, next=next_of(rows, limit, lambda row: row["conflict_id"]))

    @router.get("/conflicts/{conflict_id}", responses=responses(404))
    def conflict(conflict_id: Number, asking: Principal = who) -> dict[str, Any]:
        """A conflict with what each system says of the thing."""
        knows_records(asking)
        with desk.connection() as connection:
            found = read_conflict(connection, conflict_id)
        if found is None:
            raise ProblemError(404, f"no conflict {conflict_id}")
        return found

    @router.get("/drift", responses=responses())
    def drift(
        target: Word | None = None,
        days: Annotated[int, Query(ge=1, le=366)] = 7,
        limit: Limit = 50,
        asking: Principal = who,
    ) -> Drift:
        """Which targets disagree with the grid model, about what, and since when."""
        knows_records(asking)
        now = desk.now()
        with desk.connection() as connection:
            targets = [row for row in count_drift(connection) if target in (None, row["target"])]
            minutes = drift_minutes(connection, now - timedelta(days=days), now)
            drifted = list_drift(connection, target, limit)
        kept = [dict(row) for row in minutes if target in (None, row["target"])]
        return Drift(targets=targets, minutes=kept, drifted=drifted)

    @router.get("/rates", responses=responses())
    def rates(unit: Word | None = None, day: Day | None = None, limit: Limit = 50, asking: Principal = who) -> Rates:
        """Consistency rates as of the last match up to a day; the worst units first."""
        knows_records(asking)
        until = desk.now().date() if day is None else day
        with desk.connection() as connection:
            return Rates(all=read_rate_totals(connection, until), units=read_rates(connection, until, unit, limit))

    @router.get("/indicators", responses=responses())
    def indicators(
        period: Period = "day", count: Annotated[int, Query(ge=1, le=31)] = 1, asking: Principal = who
    ) -> Indicators:
        """Indicators of the last days, weeks or months that have ended, the newest first."""
        knows_records(asking)
        with desk.connection() as connection:
            found = [
                read_indicators(connection, since, at, zone.key).as_json()
                for since, at in ended_periods(desk.now(), period, count, zone)
            ]
        return Indicators(items=found)

    return router


def knows_records(asking: Principal) -> None:
    """Records of meters and accounts are for the departments that keep them."""
    if not asking.is_admin and not any(role in DEPARTMENTS for role in asking.roles):
        raise forbid("conflicts and proposals are for marketing, metering, operation and the control room")
