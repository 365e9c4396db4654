"""Matters, conferences, decisions with their follow-up, business norms, trainings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from store.connection import Connection
from store.rollout import Row, TakenNumberError, UnknownCodeError, add_row, read_rows
from sync.rollout.errors import NotFoundError, RolloutError
from sync.rollout.releases import read_units


def raise_matter(
    connection: Connection,
    unit: str,
    department: str,
    title: str,
    body: str,
    by: str,
    at: datetime,
    *,
    cross_department: bool,
) -> int:
    """A department raises a matter; one that crosses departments is for a conference. Returns its number."""
    _say(title, body, department)
    try:
        return add_row(
            connection, "council", "add_matter",
            unit=unit, department=department, cross_department=cross_department, title=title, body=body, at=at,
            actor=by,
        )  # fmt: skip
    except UnknownCodeError:
        raise NotFoundError(f"no organisation {unit}") from None


def hold_conference(
    connection: Connection,
    title: str,
    held_at: datetime,
    attendants: Sequence[str],
    minutes: str,
    by: str,
    at: datetime,
) -> int:
    """Record a conference that was held, with who was there and its minutes. Returns its number."""
    _say(title, minutes, *attendants)
    if not attendants:
        raise RolloutError("somebody attended a conference")
    if held_at > at:
        raise RolloutError("a conference is recorded once it was held")
    return add_row(
        connection, "council", "add_conference",
        title=title, held_at=held_at, attendants=list(attendants), minutes=minutes, at=at, actor=by,
    )  # fmt: skip


def decide(
    connection: Connection,
    decision: str,
    owner: str,
    due_on: date,
    by: str,
    at: datetime,
    *,
    conference_id: int | None = None,
    matter_id: int | None = None,
) -> int:
    """Record a decision with its owner and deadline. Returns its number.

    Raises
    ------
    RolloutError
        A matter that crosses departments is decided by a conference; of others the leading group may decide by itself.
    """
    _say(decision, owner)
    if matter_id is not None:
        matter = _one(connection, "matters", f"no matter {matter_id}", at, matter_id=matter_id, cross_department=None)
        if matter["cross_department"] and conference_id is None:
            raise RolloutError(f"matter {matter_id} crosses departments: a conference decides it")
    try:
        return add_row(
            connection, "council", "add_decision",
            conference_id=conference_id, matter_id=matter_id, decision=decision, owner=owner, due_on=due_on, at=at,
            actor=by,
        )  # fmt: skip
    except UnknownCodeError:
        raise NotFoundError(f"no conference {conference_id}") from None


def follow_up(connection: Connection, decision_id: int, note: str, by: str, at: datetime, *, done: bool) -> None:
    """Note how a decision is carried out; `done` ends it."""
    _say(note)
    try:
        add_row(connection, "council", "add_follow_up", decision_id=decision_id, done=done, note=note, at=at, actor=by)
    except UnknownCodeError:
        raise NotFoundError(f"no decision {decision_id}") from None


def revise_norm(
    connection: Connection, code: str, title: str, body: str, by: str, at: datetime, decision_id: int | None = None
) -> int:
    """Give a business norm its next version, by a decision or without. Returns the version."""
    _say(code, title, body)
    if "/" in code:
        raise RolloutError("a norm's code has no /: it stands before the version")
    with connection.transaction():
        read_rows(connection, "council", "lock_norm", code=code)
        try:
            return add_row(
                connection, "council", "add_norm",
                code=code, title=title, body=body, decision_id=decision_id, at=at, actor=by,
            )  # fmt: skip
        except UnknownCodeError:
            raise NotFoundError(f"no decision {decision_id}") from None


def confirm_norm(connection: Connection, code: str, version: int, unit: str, by: str, at: datetime) -> None:
    """A unit confirms that it works by a version of a norm; once."""
    try:
        add_row(connection, "council", "add_confirmation", code=code, version=version, unit=unit, at=at, actor=by)
    except UnknownCodeError:
        raise NotFoundError(f"no norm {code}/{version}, or no organisation {unit}") from None
    except TakenNumberError:
        raise RolloutError(f"{unit} has confirmed {code}/{version} already") from None


def read_norm(connection: Connection, code: str, version: int, at: datetime) -> Row:
    """A version of a norm; `unconfirmed` names the units of the roll-out that have not confirmed it."""
    norm = _one(connection, "norms", f"no norm {code}/{version}", at, code=None, name=f"{code}/{version}")
    return {**norm, "unconfirmed": [unit for unit in read_units(connection, at) if unit not in norm["confirmed"]]}


def hold_training(
    connection: Connection, unit: str, topic: str, held_on: date, people: int, by: str, at: datetime, norm: str | None
) -> int:
    """Record a training at a unit, by how many people and of which version of a norm. Returns its number."""
    _say(topic)
    if not 0 <= people <= 100_000:
        raise RolloutError(f"{people} people can't be trained")
    if norm is not None:
        _one(connection, "norms", f"no norm {norm}", at, code=None, name=norm)
    values = {"unit": unit, "topic": topic, "held_on": held_on, "people": people, "norm": norm}
    try:
        return add_row(connection, "council", "add_training", **values, at=at, actor=by)
    except UnknownCodeError:
        raise NotFoundError(f"no organisation {unit}") from None


def read_chain(connection: Connection, decision_id: int, at: datetime) -> list[Row]:
    """What a decision came from and led to, from its conference to its follow-up: each step with who and when."""
    chain = read_rows(connection, "council", "chain", decision_id=decision_id, at=at)
    if not chain:
        raise NotFoundError(f"no decision {decision_id}")
    return chain


def _one(connection: Connection, query: str, missing: str, at: datetime, **wanted: object) -> Row:
    paging = {} if query == "norms" else {"unit": None, "open": False, "after": 0, "limit": 1}
    found = read_rows(connection, "council", query, **{**paging, **wanted}, at=at)
    if not found:
        raise NotFoundError(missing)
    return found[0]


def _say(*texts: str) -> None:
    if not all(text.strip() for text in texts):
        raise RolloutError("it doesn't say what it must: a text is empty")
