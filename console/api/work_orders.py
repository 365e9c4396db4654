"""`/api/v1/work-orders`: crews are sent out, and say what they found."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from alerts.routing import Role
from alerts.work_orders import UnknownOrderError, cancel, issue, report
from console.api.desk import (
    After,
    Desk,
    IfMatch,
    Instant,
    Limit,
    Number,
    Prose,
    Whole,
    Word,
    asker,
    forbid,
    next_of,
    version_of,
    with_etag,
)
from console.api.problems import ProblemRoute, responses
from console.api.tokens import Principal
from store.alert_desk import WorkOrder, list_orders, read_order
from store.alerts import read_alerts
from store.connection import Connection

Energy = Annotated[int, Field(ge=0, le=2**53), Whole]


class OrderPage(BaseModel):
    """Work orders, the newest first, and where the next page begins."""

    items: list[WorkOrder]
    next: int | None


class NewWorkOrder(BaseModel):
    """Whom to send for an alert."""

    assignee: Word
    deadline: Instant | None = None
    """Seven days from now where it is left out."""
    expected_wh: Energy | None = None
    """As the finding says where it is left out."""


class FieldResult(BaseModel):
    """What was found."""

    result: Literal["confirmed", "refuted", "not_found", "cancelled"]
    note: Prose
    found_wh: Energy | None = None


def work_orders_router(desk: Desk) -> APIRouter:
    """Routes of work orders."""
    router = APIRouter(prefix="/api/v1", tags=["work orders"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/work-orders", responses=responses())
    def orders(
        state: Literal["issued", "done", "cancelled"] | None = None,
        assignee: Word | None = None,
        overdue: bool = False,
        after: After = 0,
        limit: Limit = 50,
        asking: Principal = who,
    ) -> OrderPage:
        """Work orders of one's own roles, the newest first; a field crew sees all. `overdue`: only those that are out
        past their deadline.
        """
        roles = None if asking.is_admin or Role.FIELD_CREW in asking.roles else sorted(asking.roles)
        with desk.connection() as connection:
            late = desk.now() if overdue else None
            rows = list_orders(connection, state, assignee, None, roles, after, limit, late)
        told = [_told(row, asking) for row in rows]
        return OrderPage(items=told, next=next_of(rows, limit, lambda row: row.work_order_id))

    @router.post("/alerts/{alert_id}/work-order", status_code=201, responses=responses(404, 409, 412, 428))
    def create(
        alert_id: Number, order: NewWorkOrder, response: Response, if_match: IfMatch, asking: Principal = who
    ) -> WorkOrder:
        """Send somebody out, with the evidence as it is now. If-Match is the alert's ETag."""
        version = version_of(if_match)
        with desk.connection() as connection:
            alert = read_alerts(connection, [alert_id]).get(alert_id)
            if alert is not None and not asking.may_act_for(alert.role):
                raise forbid(f"alert {alert_id} is operated by {alert.role}")
            made = issue(
                connection,
                alert_id,
                order.assignee,
                asking.name,
                desk.now(),
                deadline=order.deadline,
                expected_wh=order.expected_wh,
                version=version,
            )
        with_etag(response, made.version)
        response.headers["Location"] = f"/api/v1/work-orders/{made.work_order_id}"
        return _told(made, asking)

    @router.get("/work-orders/{work_order_id}", responses=responses(404))
    def order(work_order_id: Number, response: Response, asking: Principal = who) -> WorkOrder:
        """One work order with its evidence."""
        with desk.connection() as connection:
            found = _visible(connection, work_order_id, asking)
        with_etag(response, found.version)
        return _told(found, asking)

    @router.post("/work-orders/{work_order_id}/result", responses=responses(404, 409, 412, 428))
    def result(
        work_order_id: Number, said: FieldResult, response: Response, if_match: IfMatch, asking: Principal = who
    ) -> WorkOrder:
        """Say what was found: the alert is resolved, and its findings learn of it. If-Match is the order's ETag."""
        version = version_of(if_match)
        with desk.connection() as connection:
            _visible(connection, work_order_id, asking)
            if said.result == "cancelled":
                done = cancel(connection, work_order_id, asking.name, said.note, desk.now(), version=version)
            else:
                done = report(
                    connection,
                    work_order_id,
                    said.result,
                    asking.name,
                    said.note,
                    desk.now(),
                    found_wh=said.found_wh,
                    version=version,
                )
        with_etag(response, done.version)
        return _told(done, asking)

    return router


def _told(order: WorkOrder, asking: Principal) -> WorkOrder:
    """An order as its asker may see it: what the findings rest on is for revenue protection and the crew that goes."""
    if asking.sees_evidence or Role.FIELD_CREW in asking.roles:
        return order
    findings = [{**found, "evidence": None} for found in order.evidence.get("findings", ())]
    return replace(order, evidence={**order.evidence, "findings": findings})


def _visible(connection: Connection, work_order_id: int, asking: Principal) -> WorkOrder:
    found = read_order(connection, work_order_id)
    if found is None:
        raise UnknownOrderError(f"no work order {work_order_id}")
    if not (asking.may_act_for(found.role) or Role.FIELD_CREW in asking.roles):
        raise forbid(f"the alert of work order {work_order_id} is operated by {found.role}")
    return found
