"""What is to be settled again: where meters are or were believed to be, which intervals, and what is due."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from grid.model import UnitKind
from store.blocks import to_datetime
from store.connection import Connection
from store.sql import load_queries
from store.views import NOW

_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)
_SQL = load_queries("resettling")


def memberships_elsewhere(
    connection: Connection, meters: Sequence[str], known_at: datetime | None = None
) -> dict[str, list[str]]:
    """Codes of all units that are believed to have, or to have had, each meter; as was believed at `known_at`."""
    found: dict[str, list[str]] = defaultdict(list)
    arguments = {"meters": list(meters), "known_at": known_at or NOW}
    for meter, unit in connection.execute(_SQL["units_of_meters"], arguments):
        found[meter].append(unit)
    return found


def former_homes(connection: Connection, unit_id: int) -> dict[str, list[tuple[int, int, int]]]:
    """By meter that a unit is believed to have: where else it ever was, as (unit id, position, multiplier)."""
    found: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for meter, *home in connection.execute(_SQL["former_homes"], {"unit_id": unit_id}):
        found[meter].append((home[0], home[1], home[2]))
    return found


def intervals_of(
    connection: Connection, unit_ids: Sequence[int], from_us: int, to_us: int, limit: int
) -> Iterator[list[tuple[int, int]]]:
    """Pages of the intervals that units have rows of and that reach into [from, to): end in microseconds, length."""
    after, after_s = datetime(1970, 1, 1, tzinfo=UTC), 0
    bounds = {"from": _instant(from_us), "to": _instant(to_us), "limit": limit, "unit_ids": list(unit_ids)}
    while True:
        rows = connection.execute(_SQL["intervals"], {**bounds, "after": after, "after_s": after_s}).fetchall()
        if not rows:
            return
        yield [(us, interval_s) for _, us, interval_s in rows]
        after, _, after_s = rows[-1]


def _instant(microseconds: int) -> datetime:
    """An instant, the ends of time as the first and last that a datetime can say."""
    try:
        return to_datetime(microseconds)
    except OverflowError:
        return _FIRST if microseconds < 0 else _LAST


def become_sweeper(connection: Connection) -> bool:
    """Whether no other looks for what is due; holds for the transaction."""
    row = connection.execute(_SQL["become_sweeper"]).fetchone()
    return row is not None and bool(row[0])


def due_intervals(connection: Connection, until: datetime, limit: int) -> list[tuple[str, UnitKind, int, int]]:
    """Unit, its kind, end in microseconds and length of intervals whose limit passed before `until`, oldest first."""
    rows = connection.execute(_SQL["due"], {"until": until, "limit": limit})
    return [(unit, UnitKind(kind), observed_at_us, interval_s) for unit, kind, observed_at_us, interval_s in rows]
