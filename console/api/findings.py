"""`/api/v1/findings`: what was found, and the one door to a meter's series."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

import psycopg
from fastapi import APIRouter, Query
from pydantic import BaseModel

from console.api.alerts import OUTAGE
from console.api.desk import After, Desk, Instant, Limit, Number, Word, asker, forbid, next_of
from console.api.problems import ProblemError, ProblemRoute, responses
from console.api.tokens import Principal, Right
from store.findings import FindingFilter, FindingRow, list_findings, read_evidence, read_finding, read_series

Days = Annotated[int, Query(ge=1, le=92)]


class FindingPage(BaseModel):
    """Findings, the newest first, and where the next page begins."""

    items: list[FindingRow]
    next: int | None


class FindingDetail(BaseModel):
    """A finding; what it rests on is for revenue protection alone."""

    finding: FindingRow
    evidence: dict[str, Any] | None


class Interval(BaseModel):
    """What a meter read over an interval; `observed_at` is its end, energies are multiplied."""

    observed_at: datetime
    interval_s: int
    import_wh: int | None
    export_wh: int | None
    voltage_a_v: float | None
    voltage_b_v: float | None
    voltage_c_v: float | None
    quality: int


def findings_router(desk: Desk) -> APIRouter:
    """Routes of findings."""
    router = APIRouter(prefix="/api/v1/findings", tags=["findings"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("", responses=responses())
    def findings(
        kind: Word | None = None,
        unit: Word | None = None,
        meter: Word | None = None,
        alert_id: Annotated[int | None, Query(ge=1, le=2**53)] = None,
        holds: bool | None = None,
        after: After = 0,
        limit: Limit = 50,
        asking: Principal = who,
    ) -> FindingPage:
        """Findings, the newest first, whether they alarmed or not."""
        only = (OUTAGE,) if asking.sees_only_outages else None
        wanted = FindingFilter(kind=kind, unit=unit, meter=meter, alert_id=alert_id, holds=holds, kinds=only)
        with desk.connection() as connection:
            rows = list_findings(connection, wanted, after, limit)
        return FindingPage(items=rows, next=next_of(rows, limit, lambda row: row.finding_id))

    @router.get("/{finding_id}", responses=responses(404))
    def finding(finding_id: Number, asking: Principal = who) -> FindingDetail:
        """One finding."""
        with desk.connection() as connection:
            found = read_finding(connection, finding_id)
            if found is None or (asking.sees_only_outages and found.kind != OUTAGE):
                raise ProblemError(404, f"no finding {finding_id}")
            told = read_evidence(connection, finding_id) if asking.sees_evidence else None
        return FindingDetail(finding=found, evidence=told)

    @router.get("/{finding_id}/series", responses=responses(404))
    def series(
        finding_id: Number, meter: Word, from_at: Instant, days: Days = 7, asking: Principal = who
    ) -> list[Interval]:
        """A meter's readings of some days from an instant on. Only for revenue protection, only while an open alert
        about it is assigned to who asks; each reading is written down.
        """
        if Right.REVENUE not in asking.roles:
            raise forbid("only revenue protection reads a meter's series")
        try:
            to_at = from_at + timedelta(days=days)
        except OverflowError:  # nothing is read in the year 9999
            return []
        with desk.connection() as connection:
            try:
                rows = read_series(connection, asking.name, finding_id, meter, from_at, to_at)
            except psycopg.errors.InsufficientPrivilege as error:
                raise forbid(error.diag.message_primary or "not allowed") from None
        names = Interval.model_fields
        return [Interval(**dict(zip(names, row, strict=True))) for row in rows]

    return router
