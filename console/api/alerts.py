"""`/api/v1/alerts` and `/api/v1/outages`: alerts to look at and to act on."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from alerts.lifecycle import Action, IllegalTransitionError
from alerts.operate import OperationError, UnknownAlertError, operate
from console.api.desk import (
    After,
    Desk,
    IfMatch,
    IfNoneMatch,
    Instant,
    Kind,
    Limit,
    Number,
    Prose,
    Whole,
    Word,
    asker,
    etag_of,
    forbid,
    next_of,
    version_of,
    with_etag,
)
from console.api.problems import ProblemError, ProblemRoute, responses
from console.api.tokens import Principal
from store.alerts import AlertFilter, AlertRow, Transition, list_alerts, read_alerts, read_history
from store.connection import Connection
from store.outages import MeterOutage, find_meter_outage

OUTAGE = "outage"
StateName = Literal["open", "acknowledged", "in_progress", "suppressed", "resolved", "closed"]
SeverityName = Literal["info", "warning", "critical"]


class AlertPage(BaseModel):
    """Alerts, the newest first, and where the next page begins."""

    items: list[AlertRow]
    next: int | None


class AlertDetail(BaseModel):
    """An alert and every step of its life."""

    alert: AlertRow
    history: list[Transition]


class Acknowledge(BaseModel):
    """Take an alert, for oneself or somebody."""

    action: Literal["acknowledge"]
    reason: Prose
    assignee: Word | None = None
    expected_at: Instant | None = None
    """Until when the condition is expected to last, as customers are told."""


class Assign(BaseModel):
    """Assign it to somebody."""

    action: Literal["assign"]
    reason: Prose
    assignee: Word


class Expect(BaseModel):
    """Say until when it is expected to last, again when that changes."""

    action: Literal["expect"]
    reason: Prose
    expected_at: Instant


class Suppress(BaseModel):
    """Tell nobody of it for some time, within 90 days."""

    action: Literal["suppress"]
    reason: Prose
    until: Instant


class End(BaseModel):
    """End it, say what a field check came to, or open it again."""

    action: Literal["close", "reopen", "confirm", "refute", "not_found"]
    reason: Prose


Step = Annotated[Acknowledge | Assign | Expect | Suppress | End, Field(discriminator="action")]


class BulkItem(BaseModel):
    """An alert and the version of it that was read."""

    alert_id: Annotated[int, Field(ge=1, le=2**53), Whole]
    version: Annotated[int, Field(ge=1, le=2**31 - 1), Whole]


class BulkStep(BaseModel):
    """What is to be done to several alerts."""

    step: Step
    items: list[BulkItem] = Field(min_length=1, max_length=100)


class BulkResult(BaseModel):
    """What became of one of them: its state and version, or why nothing was done."""

    alert_id: int
    state: StateName | None = None
    version: int | None = None
    error: str | None = None


class OutageAnswer(BaseModel):
    """Whether a customer is out."""

    meter: str
    out: bool
    units: list[MeterOutage]


def alerts_router(desk: Desk) -> APIRouter:
    """Routes of alerts."""
    router = APIRouter(prefix="/api/v1", tags=["alerts"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/alerts", responses=responses())
    def alerts(
        state: Annotated[list[StateName] | None, Query(max_length=6)] = None,
        kind: Annotated[list[Kind] | None, Query(max_length=20)] = None,
        severity: SeverityName | None = None,
        unit: Word | None = None,
        meter: Word | None = None,
        role: Word | None = None,
        assignee: Word | None = None,
        group: Word | None = None,
        opened_from: Instant | None = None,
        opened_to: Instant | None = None,
        closed_from: Instant | None = None,
        closed_to: Instant | None = None,
        after: After = 0,
        limit: Limit = 50,
        asking: Principal = who,
    ) -> AlertPage:
        """Alerts, the newest first. Times are ISO 8601 with their zone; `…_to` is not included. A `group` is named by
        the notice that told of it.
        """
        kinds = tuple(kind) if kind else None
        if asking.sees_only_outages:
            kinds = (OUTAGE,) if kinds is None or OUTAGE in kinds else ("",)
        wanted = AlertFilter(
            states=tuple(state) if state else None,
            kinds=kinds,
            severity=severity,
            unit=unit,
            meter=meter,
            role=role,
            assignee=assignee,
            group=group,
            opened_from=opened_from,
            opened_to=opened_to,
            closed_from=closed_from,
            closed_to=closed_to,
        )
        with desk.connection() as connection:
            rows = list_alerts(connection, wanted, after, limit)
        return AlertPage(items=rows, next=next_of(rows, limit, lambda row: row.alert_id))

    @router.get("/alerts/{alert_id}", responses=responses(404) | {304: {"description": "Not changed"}})
    def alert(
        alert_id: Number, response: Response, if_none_match: IfNoneMatch = None, asking: Principal = who
    ) -> AlertDetail:
        """One alert with its history; its ETag is needed to act on it."""
        with desk.connection() as connection:
            found = _visible(connection, alert_id, asking)
            history = read_history(connection, alert_id)
        if with_etag(response, found.version, if_none_match, found.updated_at):
            tag = etag_of(found.version, found.updated_at)
            return Response(status_code=304, headers={"ETag": tag})  # type: ignore[return-value]
        return AlertDetail(alert=found, history=history)

    @router.post("/alerts/{alert_id}/steps", responses=responses(404, 409, 412, 428))
    def act(alert_id: Number, step: Step, response: Response, if_match: IfMatch, asking: Principal = who) -> AlertRow:
        """Do something to an alert. Answers with the alert as it is then, and its new ETag."""
        with desk.connection() as connection:
            _operable(connection, alert_id, asking)
            done = _operate(connection, alert_id, step, asking, desk, version_of(if_match))
        with_etag(response, done.version, updated_at=done.updated_at)
        return done

    @router.post("/bulk-steps", responses=responses())
    def bulk(wanted: BulkStep, asking: Principal = who) -> list[BulkResult]:
        """Do the same to several alerts, each by itself: what can't be done to one is told, and the others go on."""
        results = []
        with desk.connection() as connection:
            for item in wanted.items:
                try:
                    _operable(connection, item.alert_id, asking)
                    done = _operate(connection, item.alert_id, wanted.step, asking, desk, item.version)
                    result = BulkResult(alert_id=item.alert_id, state=done.state, version=done.version)
                except (OperationError, IllegalTransitionError, ProblemError) as error:
                    result = BulkResult(alert_id=item.alert_id, error=str(error))
                results.append(result)
        return results

    @router.get("/outages", responses=responses(404))
    def outages(meter: Word, asking: Principal = who) -> OutageAnswer:  # noqa: ARG001  # whoever is known may ask
        """Is this customer out, since when, and until when is it expected?"""
        with desk.connection() as connection:
            found = find_meter_outage(connection, meter, desk.now())
        if not found:
            raise ProblemError(404, "no unit has such a meter now")
        return OutageAnswer(meter=meter, out=any(each.since is not None for each in found), units=found)

    return router


def _visible(connection: Connection, alert_id: int, asking: Principal) -> AlertRow:
    found = read_alerts(connection, [alert_id]).get(alert_id)
    if found is None or (asking.sees_only_outages and found.kind != OUTAGE):
        raise UnknownAlertError(f"no alert {alert_id}")
    return found


def _operable(connection: Connection, alert_id: int, asking: Principal) -> None:
    found = _visible(connection, alert_id, asking)
    if not asking.may_act_for(found.role):
        raise forbid(f"alert {alert_id} is operated by {found.role}")


def _operate(
    connection: Connection, alert_id: int, step: Step, asking: Principal, desk: Desk, version: int
) -> AlertRow:
    return operate(
        connection,
        alert_id,
        Action(step.action),
        asking.name,
        step.reason,
        desk.now(),
        version=version,
        assignee=step.assignee if isinstance(step, Acknowledge | Assign) else None,
        until=step.until if isinstance(step, Suppress) else None,
        expected_at=step.expected_at if isinstance(step, Acknowledge | Expect) else None,
    )
