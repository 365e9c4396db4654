"""`/api/v1/rollout/tickets`: the service desk."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from console.api.desk import (
    After,
    Desk,
    IfMatch,
    Limit,
    LongProse,
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
from console.api.rollout_scope import WORKING, Rows, need, opened, scope
from console.api.tokens import Principal
from store.connection import Connection
from store.rollout import Row, read_rows
from sync.rollout.desk import add_knowledge, list_tickets, open_ticket, read_ticket, take_step
from sync.rollout.tickets import Action, DeskRules, Kind, Priority

#: What who asked may do with a ticket of theirs; the rest is the support team's.
ASKERS_ACTIONS = frozenset({Action.NOTE, Action.CLOSE, Action.REOPEN})


class NewTicket(BaseModel):
    """What is asked of the service desk."""

    kind: Kind
    unit: Word
    title: Word
    body: Prose
    priority: Priority = Priority.NORMAL
    norm: Word | None = None


class TicketStep(BaseModel):
    """What is to be done to a ticket. `take` names an assignee, or means oneself; `link` names a release."""

    action: Action
    reason: Prose
    assignee: Word | None = None
    release: Word | None = None


class NewKnowledge(BaseModel):
    """What was learnt, from a ticket or by itself."""

    title: Word
    body: LongProse
    ticket_id: Annotated[int, Field(ge=1, le=2**53), Whole] | None = None


def tickets_router(desk: Desk, rules: Callable[[Connection], DeskRules]) -> APIRouter:
    """Routes of tickets."""
    router = APIRouter(prefix="/api/v1/rollout", tags=["service desk"], route_class=ProblemRoute)
    who: Any = asker(desk)

    @router.get("/tickets", responses=responses())
    def tickets(
        unit: Word | None = None,
        state: Annotated[list[Literal["open", "in_progress", "waiting", "resolved", "closed"]] | None, Query()] = None,
        broken: bool = False,
        after: After = 0,
        limit: Limit = 50,
        asking: Principal = who,
    ) -> Rows:
        """Tickets, the newest first; `broken`: only those with a broken promise."""
        with opened(desk) as connection:
            seen = scope(connection, asking, unit, desk.now())
            states = None if state is None else [str(each) for each in state]
            found = list_tickets(
                connection, desk.now(), unit=seen, states=states, broken=broken, after=after, limit=limit
            )
        return Rows(items=found, next=next_of(found, limit, lambda row: int(row["ticket_id"])))

    @router.post("/tickets", status_code=201, responses=responses(404, 409))
    def new_ticket(wanted: NewTicket, response: Response, asking: Principal = who) -> dict[str, Any]:
        """Open a ticket: a unit for itself."""
        with opened(desk) as connection:
            scope(connection, asking, wanted.unit, desk.now())
            number = open_ticket(
                connection, rules(connection), wanted.kind, wanted.unit, wanted.priority, wanted.title, wanted.body,
                asking.name, desk.now(), wanted.norm,
            )  # fmt: skip
            made = read_ticket(connection, number, desk.now())
        response.headers["Location"] = f"/api/v1/rollout/tickets/{number}"
        with_etag(response, made["number"], None)
        return made

    @router.get("/tickets/{ticket_id}", responses=responses(404))
    def ticket(ticket_id: Number, response: Response, asking: Principal = who) -> dict[str, Any]:
        """One ticket with what is asked and its history; its ETag is needed to act on it."""
        with opened(desk) as connection:
            found = _visible(connection, ticket_id, asking, desk.now())
            history = read_rows(connection, "desk", "history", ticket_id=ticket_id, at=desk.now())
            (text,) = read_rows(connection, "desk", "body", ticket_id=ticket_id)
        with_etag(response, found["number"], None)
        return {**found, **text, "history": history}

    @router.post("/tickets/{ticket_id}/steps", responses=responses(404, 409, 412, 428))
    def act(
        ticket_id: Number, wanted: TicketStep, response: Response, if_match: IfMatch, asking: Principal = who
    ) -> dict[str, Any]:
        """Take a step of a ticket. If-Match is the ticket's ETag."""
        if not asking.roles & WORKING and wanted.action not in ASKERS_ACTIONS:
            raise forbid(f"{wanted.action} is for the support team and the working group")
        with opened(desk) as connection:
            _visible(connection, ticket_id, asking, desk.now())
            assignee = wanted.assignee or (asking.name if wanted.action is Action.TAKE else None)
            done = take_step(
                connection, rules(connection), ticket_id, wanted.action, asking.name, wanted.reason, desk.now(),
                assignee=assignee, release=wanted.release, number=version_of(if_match),
            )  # fmt: skip
        with_etag(response, done["number"], None)
        return done

    @router.get("/knowledge", responses=responses())
    def knowledge(
        text: Annotated[Word | None, Query(description="Only entries that have this in their title or text")] = None,
        after: After = 0,
        limit: Limit = 50,
        asking: Principal = who,
    ) -> Rows:
        """What was learnt, the newest first: for all who have a part in the roll-out."""
        with opened(desk) as connection:
            scope(connection, asking, None, desk.now())
            found = read_rows(connection, "desk", "knowledge", text=text, after=after, limit=limit)
        return Rows(items=found, next=next_of(found, limit, lambda row: int(row["knowledge_id"])))

    @router.post("/knowledge", status_code=201, responses=responses(404, 409))
    def new_knowledge(said: NewKnowledge, asking: Principal = who) -> dict[str, int]:
        """Keep what was learnt: for the support team and the working group."""
        need(asking, WORKING)
        with opened(desk) as connection:
            number = add_knowledge(connection, said.title, said.body, asking.name, desk.now(), said.ticket_id)
        return {"knowledge_id": number}

    return router


def _visible(connection: Connection, ticket_id: int, asking: Principal, now: datetime) -> Row:
    found = read_ticket(connection, ticket_id, now)
    scope(connection, asking, found["unit"], now)
    return found
