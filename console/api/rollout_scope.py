"""What routes of the roll-out share: who sees what, and what the rules refuse.

A unit sees itself and what is below it; the support team and the working group see all; the leading group sees all and
decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import Path, Query
from pydantic import BaseModel, Field

from alerts.routing import Role
from console.api.desk import Desk, forbid
from console.api.problems import ProblemError
from console.api.tokens import Principal, Right
from store.connection import Connection
from store.rollout import read_rows
from sync.rollout.errors import NotFoundError, RolloutError, TakenError

ALL_SEEING = frozenset({Right.ADMIN, Right.SUPPORT, Role.WORKING_GROUP, Role.LEADING_GROUP})
GROUPS = frozenset({Right.ADMIN, Role.WORKING_GROUP, Role.LEADING_GROUP})
DECIDING = frozenset({Right.ADMIN, Role.LEADING_GROUP})
WORKING = frozenset({Right.ADMIN, Right.SUPPORT, Role.WORKING_GROUP})
CONFIRMING = frozenset({Right.ADMIN, Right.UNIT})
Name = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f/]+$")]


Skip = Annotated[int, Query(ge=0, le=1_000_000, description="How many rows to leave out")]
#: A file as TOML.
Document = Annotated[str, Field(min_length=1, max_length=4_000_000)]
Day = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]


class Rows(BaseModel):
    """Rows, and where the next page begins: what to give as `after`, or as `skip`."""

    items: list[dict[str, Any]]
    next: int | None


@contextmanager
def opened(desk: Desk) -> Iterator[Connection]:
    """A connection for one request; what the rules of the roll-out refuse ends it with a problem."""
    with desk.connection() as connection:
        try:
            yield connection
        except NotFoundError as error:
            raise ProblemError(404, str(error)) from None
        except TakenError as error:
            raise ProblemError(412, str(error)) from None
        except RolloutError as error:
            raise ProblemError(409, str(error)) from None


def need(asking: Principal, roles: frozenset[str]) -> None:
    if not asking.roles & roles:
        raise forbid(f"this is for {', '.join(sorted(roles - {Right.ADMIN}))}")


def scope(connection: Connection, asking: Principal, unit: str | None, now: datetime) -> str | None:
    """The organisation to which an answer is bound; None: everything. Ends the request where it isn't theirs."""
    if asking.roles & ALL_SEEING:
        return unit
    if Right.UNIT not in asking.roles or asking.unit is None:
        raise forbid("the roll-out is for its units, its groups and the support team")
    if unit in {None, asking.unit}:
        return asking.unit
    below = read_rows(connection, "plan", "below", unit=asking.unit, at=now)
    if unit not in {row["code"] for row in below}:
        raise forbid(f"{asking.unit} sees itself and what is below it")
    return unit


def visible(connection: Connection, asking: Principal, now: datetime) -> frozenset[str] | None:
    """The organisations that who asks may see; None: all. Ends the request of who has no part in the roll-out."""
    unit = scope(connection, asking, None, now)
    if unit is None:
        return None
    return frozenset(row["code"] for row in read_rows(connection, "plan", "below", unit=unit, at=now))


def day_of(text: str) -> date:
    """A day that was said; ends the request where there is none such."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ProblemError(409, f"there is no day {text}") from None


def bounded(at: datetime) -> datetime:
    if not 1970 < at.year < 2200:
        raise ProblemError(422, "an instant from 1971 to 2199")
    return at
