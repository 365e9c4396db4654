"""Opens tickets, takes their steps, and keeps what was learnt from them."""

from __future__ import annotations

from datetime import datetime

from store.connection import Connection
from store.rollout import Row, TakenNumberError, UnknownCodeError, add_row, read_rows
from sync.rollout.errors import NotFoundError, RolloutError, TakenError
from sync.rollout.tickets import Action, DeskRules, Kind, Priority, Promise, Standing, State, opened, step


def open_ticket(
    connection: Connection,
    rules: DeskRules,
    kind: Kind,
    unit: str,
    priority: Priority,
    title: str,
    body: str,
    by: str,
    at: datetime,
    norm: str | None = None,
) -> int:
    """Open a ticket at the first tier; returns its number.

    Parameters
    ----------
    norm
        Version of a business norm that asks for it, as ``CODE/VERSION``.

    Raises
    ------
    RolloutError
        When there is no such organisation or norm, or it says nothing.
    """
    if not title.strip() or not body.strip():
        raise RolloutError("a ticket says what is asked for")
    promise = rules.promises[priority]
    begun = opened(at, rules.tiers, promise, rules.hours)
    with connection.transaction():
        if norm is not None and not read_rows(connection, "council", "norms", code=None, at=at, name=norm):
            raise NotFoundError(f"no norm {norm}")
        try:
            ticket_id = add_row(
                connection, "desk", "add_ticket",
                kind=kind.value, unit=unit, priority=priority.value, title=title, body=body, tiers=rules.tiers,
                respond_s=promise.respond_s, resolve_s=promise.resolve_s, norm=norm, at=at, actor=by,
            )  # fmt: skip
        except UnknownCodeError:
            raise NotFoundError(f"no organisation {unit}") from None
        _add_step(connection, ticket_id, 1, "open", None, begun, by, title)
    return ticket_id


def take_step(
    connection: Connection,
    rules: DeskRules,
    ticket_id: int,
    action: Action,
    by: str,
    reason: str,
    at: datetime,
    *,
    assignee: str | None = None,
    release: str | None = None,
    number: int | None = None,
) -> Row:
    """Do something to a ticket; returns it as it is then.

    Parameters
    ----------
    release
        What carries the change: for `Action.LINK`, and only for it.
    number
        Of the last step that was read; None: whatever it is.

    Raises
    ------
    NotFoundError, TakenError, RolloutError
        Nothing was written.
    """
    if not reason.strip():
        raise RolloutError("every step has its reason")
    if (action is Action.LINK) != (release is not None):
        raise RolloutError("a release is named when a ticket is linked to it")
    with connection.transaction():
        found = read_rows(connection, "desk", "standing", ticket_id=ticket_id)
        if not found:
            raise NotFoundError(f"no ticket {ticket_id}")
        row = found[0]
        if number is not None and number != row["number"]:
            raise TakenError(f"ticket {ticket_id} is at step {row['number']}: read it again")
        before = Standing(
            State(row["to_state"]), row["tier"], row["tiers"], row["stepped_at"], row["worked_s"], row["responded_s"],
            row["respond_due_at"], row["resolve_due_at"], row["assignee"],
        )  # fmt: skip
        after = step(before, action, at, Promise(row["respond_s"], row["resolve_s"]), rules.hours, assignee)
        _add_step(
            connection, ticket_id, row["number"] + 1, action.value, before.state, after, by, reason,
            release or row["release"],
        )  # fmt: skip
    return read_ticket(connection, ticket_id, at)


def read_ticket(connection: Connection, ticket_id: int, at: datetime) -> Row:
    """A ticket as it was at an instant.

    Raises
    ------
    NotFoundError
        When there was none of this number.
    """
    found = list_tickets(connection, at, ticket_id=ticket_id)
    if not found:
        raise NotFoundError(f"no ticket {ticket_id}")
    return found[0]


def list_tickets(
    connection: Connection,
    at: datetime,
    *,
    ticket_id: int | None = None,
    unit: str | None = None,
    states: list[str] | None = None,
    resolved_since: datetime | None = None,
    kind: str | None = None,
    assignee: str | None = None,
    tier: int | None = None,
    broken: bool = False,
    after: int = 0,
    limit: int = 50,
) -> list[Row]:
    """Tickets as they were at an instant, the newest first.

    Parameters
    ----------
    states, resolved_since
        Only those in one of these states; and those that were resolved since, in whatever state.
    broken
        Only those with a broken promise.
    """
    return read_rows(
        connection, "desk", "tickets",
        at=at, ticket_id=ticket_id, unit=unit, states=states, resolved_since=resolved_since, kind=kind,
        assignee=assignee, tier=tier, broken=broken, after=after, limit=limit,
    )  # fmt: skip


def add_knowledge(
    connection: Connection, title: str, body: str, by: str, at: datetime, ticket_id: int | None = None
) -> int:
    """Keep what was learnt, from a ticket or by itself; returns its number."""
    if not title.strip() or not body.strip():
        raise RolloutError("an entry has a title and a text")
    try:
        return add_row(
            connection, "desk", "add_knowledge", ticket_id=ticket_id, title=title, body=body, at=at, actor=by
        )
    except UnknownCodeError:
        raise NotFoundError(f"no ticket {ticket_id}") from None


def _add_step(
    connection: Connection,
    ticket_id: int,
    number: int,
    action: str,
    from_state: State | None,
    standing: Standing,
    by: str,
    reason: str,
    release: str | None = None,
) -> None:
    try:
        add_row(
            connection, "desk", "add_step",
            ticket_id=ticket_id, number=number, action=action,
            from_state=None if from_state is None else from_state.value, to_state=standing.state.value,
            tier=standing.tier, assignee=standing.assignee, release=release, reason=reason, worked_s=standing.worked_s,
            responded_s=standing.responded_s, respond_due_at=standing.respond_due_at,
            resolve_due_at=standing.resolve_due_at, at=standing.at, actor=by,
        )  # fmt: skip
    except UnknownCodeError:
        raise NotFoundError(f"no release {release}") from None
    except TakenNumberError:
        raise TakenError(f"somebody else was faster with ticket {ticket_id}: read it again") from None
