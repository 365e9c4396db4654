"""Doubts about readings in the store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
from numpy.typing import NDArray

from grid.doubt import Doubt
from store.blocks import Key, bounded, to_datetime
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("validation")


@dataclass(frozen=True, slots=True)
class StoredDoubt:
    """A doubt as it is listed; `meter` is None where the position is no meter then."""

    unit: str
    meter: str | None
    position: int
    day: date
    rule: str
    begins_at: datetime
    ends_at: datetime
    value_wh: int
    limit_wh: int
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Span:
    """Positions of a unit that are doubted over a time, as they were known at `as_of_us`."""

    position: int
    begin_us: int
    end_us: int
    as_of_us: int


def lock(connection: Connection) -> bool:
    """Keep other processes from validating until the transaction ends; False where another does."""
    row = connection.execute(_SQL["lock"]).fetchone()
    return row is not None and bool(row[0])


def due_units(
    connection: Connection,
    day: date,
    bounds: tuple[datetime, datetime],
    after: int,
    limit: int,
    units: Sequence[str] | None = None,
    *,
    again: bool = False,
) -> list[int]:
    """Units with readings of a day that wasn't validated, or with `again` all; ids above `after`, rising."""
    arguments = {"day": day, "begin": bounds[0], "end": bounds[1], "after": after, "limit": limit, "again": again}
    rows = connection.execute(_SQL["due"], {**arguments, "units": None if units is None else list(units)})
    return [row[0] for row in rows]


def rows_between(connection: Connection, unit_ids: Sequence[int], begin: datetime, end: datetime) -> list[Key]:
    """Keys of the intervals of some units that end after `begin` and not after `end`, by unit, length and time."""
    rows = connection.execute(_SQL["keys"], {"unit_ids": list(unit_ids), "begin": begin, "end": end})
    return [(unit_id, round(at.timestamp() * 1e6), length) for unit_id, at, length in rows]


def read_sums(
    connection: Connection, unit_ids: Sequence[int], first: date, day: date
) -> dict[tuple[int, date], NDArray[np.int64]]:
    """Sums of days from `first` on and before `day`, by unit and day."""
    arguments = {"unit_ids": list(unit_ids), "first": first, "day": day}
    with connection.cursor(binary=True) as cursor:
        return {(row[0], row[1]): row[2] for row in cursor.execute(_SQL["sums"], arguments)}


def write_day(
    connection: Connection,
    day: date,
    as_of: datetime,
    found: Mapping[int, tuple[Sequence[Doubt], NDArray[np.int64]]],
) -> None:
    """Make these the doubts and sums of a day, by unit."""
    with connection.cursor() as cursor:
        cursor.execute(_SQL["forget"], {"unit_ids": list(found), "day": day})
        rows = [
            (unit_id, d.position, d.rule.value, *_bounds(d), d.value_wh, d.limit_wh)
            for unit_id, (doubts, _) in found.items()
            for d in doubts
        ]
        if rows:
            names = ("unit_ids", "positions", "rules", "begins_at", "ends_at", "values_wh", "limits_wh")
            columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
            cursor.execute(_SQL["doubts"], {"day": day, "as_of": as_of, **columns})
        cursor.executemany(
            _SQL["validated"], [(unit_id, day, as_of, sums.tolist()) for unit_id, (_, sums) in found.items()]
        )


def _bounds(doubt: Doubt) -> tuple[datetime, datetime]:
    return to_datetime(doubt.begin_us), to_datetime(doubt.end_us)


def doubts_between(connection: Connection, keys: Sequence[Key], rules: Iterable[str]) -> dict[int, list[Span]]:
    """Doubts of some rules that may concern rows, by unit."""
    wanted = list(rules)
    if not keys or not wanted:
        return {}
    arguments = {**bounded(keys), "unit_ids": sorted({key[0] for key in keys}), "rules": wanted}
    found: dict[int, list[Span]] = {}
    for unit_id, position, *instants in connection.execute(_SQL["between"], arguments):
        begin_us, end_us, as_of_us = (round(at.timestamp() * 1e6) for at in instants)
        found.setdefault(unit_id, []).append(Span(position, begin_us, end_us, as_of_us))
    return found


def list_doubts(
    connection: Connection, since: datetime, unit: str | None = None, rule: str | None = None, limit: int = 1_000
) -> list[StoredDoubt]:
    """Doubts about readings of `since` or later, the latest first; of one unit or rule where it is given."""
    arguments = {"since": since, "unit": unit, "rule": rule, "limit": limit}
    return [StoredDoubt(*row) for row in connection.execute(_SQL["list"], arguments)]
