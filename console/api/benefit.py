"""`/api/v1/rollout/benefit`: what it brought. A unit sees itself and what is below it, the groups see all."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from pydantic import BaseModel

from benefit.parameters import Parameters
from benefit.report import NoModelError, explain, programme, social, summary, with_error
from benefit.update import NotApprovedError, load_approved
from console.api.desk import Desk, Instant, Limit, Number, Word, asker
from console.api.problems import ProblemError, ProblemRoute, responses
from console.api.rollout_scope import ALL_SEEING, Rows, bounded, need, opened, scope
from console.api.tokens import Principal
from store.benefit import list_entries
from store.connection import Connection

Source = Literal["work_order", "proposal", "conflict", "outage"]
Item = Literal["recovered", "loss_avoided", "visits", "outage"]
_AFTER = r"^(work_order|proposal|conflict|outage)/[0-9]{1,15}/(recovered|loss_avoided|visits|outage)$"


class EntryPage(BaseModel):
    """Entries, and where the next page begins."""

    items: list[dict[str, Any]]
    next: str | None


def benefit_router(desk: Desk, zone: ZoneInfo) -> APIRouter:
    """Routes of the ledger of benefits; all of them read. `zone` is the utility's: whose years are told."""
    router = APIRouter(prefix="/api/v1/rollout/benefit", tags=["benefit"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("", responses=responses(409))
    def sums(
        organisation: Word | None = None,
        unit: Word | None = None,
        since: Instant | None = None,
        until: Instant | None = None,
        asking: Principal = who,
    ) -> dict[str, Any]:
        """Sums by organisation, item and basis, and money by department."""
        first, last = _span(since, until)
        with opened(desk) as connection:
            seen = scope(connection, asking, organisation, desk.now())
            return summary(connection, _parameters(connection), organisation=seen, unit=unit, since=first, until=last)

    @router.get("/entries", responses=responses())
    def entries(
        organisation: Word | None = None,
        unit: Word | None = None,
        since: Instant | None = None,
        until: Instant | None = None,
        after: Annotated[str | None, Query(pattern=_AFTER, description="`next` of the page before")] = None,
        limit: Limit = 50,
        asking: Principal = who,
    ) -> EntryPage:
        """Entries as they stand, by source, number and item."""
        first, last = _span(since, until)
        place = None
        if after is not None:
            source, number, item = after.split("/")
            place = (source, int(number), item)
        with opened(desk) as connection:
            seen = scope(connection, asking, organisation, desk.now())
            rows = [with_error(row) for row in list_entries(connection, seen, unit, first, last, place, limit)]
        whole = len(rows) == limit
        marks = "/".join(str(rows[-1][name]) for name in ("source", "source_id", "item")) if whole else None
        return EntryPage(items=rows, next=marks)

    @router.get("/entries/{source}/{source_id}", responses=responses(404))
    def evidence(source: Source, source_id: Number, item: Item | None = None, asking: Principal = who) -> Rows:
        """Every version of a source's entries with what it rests on, computed again. For the groups."""
        need(asking, ALL_SEEING)
        with opened(desk) as connection:
            rows = explain(connection, source, source_id, item)
        if not rows:
            raise ProblemError(404, f"nothing is entered of {source} {source_id}")
        return Rows(items=rows, next=None)

    @router.get("/model", responses=responses(409))
    def model(asking: Principal = who) -> dict[str, Any]:
        """Net present value, payback and sensitivity of the programme. For the groups."""
        need(asking, ALL_SEEING)
        with opened(desk) as connection:
            try:
                found = programme(connection, _parameters(connection), zone)
            except NoModelError as error:
                raise ProblemError(409, str(error)) from None
        # A rate is a text where money is whole cents: no binary fraction stands for it.
        bars = [{k: str(v) if isinstance(v, Decimal) else v for k, v in bar.items()} for bar in found["tornado"]]
        return {**found, "tornado": bars}

    @router.get("/social", responses=responses(409))
    def indicators(since: Instant, until: Instant, organisation: Word | None = None, asking: Principal = who) -> Rows:
        """Reliability, wrong bills, complaints and emissions of a span; each measured or an estimate."""
        first, last = bounded(since), bounded(until)
        if not first < last:
            raise ProblemError(422, "until is later than since")
        with opened(desk) as connection:
            seen = scope(connection, asking, organisation, desk.now())
            return Rows(items=social(connection, _parameters(connection), first, last, seen), next=None)

    return router


def _span(since: datetime | None, until: datetime | None) -> tuple[datetime | None, datetime | None]:
    first, last = None if since is None else bounded(since), None if until is None else bounded(until)
    if first is not None and last is not None and first >= last:
        raise ProblemError(422, "until is later than since")
    return first, last


def _parameters(connection: Connection) -> Parameters:
    try:
        return load_approved(connection)[1]
    except NotApprovedError as error:
        raise ProblemError(409, str(error)) from None
