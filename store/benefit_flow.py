"""Steps of cases as the system has kept them, without names."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("benefit_flow")
#: Rows fetched at a time.
_PAGE = 10_000


def read_steps(
    connection: Connection, process: str, since: datetime, at: datetime, limit: int, *, older: bool = False
) -> Iterator[tuple[Any, ...]]:
    """Steps of the cases that began in [since, at], those of a case one after the other, as known at `at`.

    Parameters
    ----------
    process
        ``alert``, ``conflict``, ``delivery`` or ``ticket``.
    limit
        Of cases: the newest.
    older
        Those instead that began before `since` and may not be over: the oldest.

    Yields
    ------
    tuple
        The fields of `benefit.flow_events.Event`, in their order.
    """
    arguments = {"since": since, "at": at, "limit": limit, "older": older}
    with connection.transaction(), connection.cursor(name=f"flow_{process}") as cursor:
        cursor.itersize = _PAGE
        yield from cursor.execute(_SQL[process], arguments)
