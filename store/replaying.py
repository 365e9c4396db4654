"""What a replay asks of a database: who is above whom, which limits pass, and the blocks of a span of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from grid.rows import StoredBlock
from store.blocks import read_blocks, to_datetime
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("replaying")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """All units, code by id, and (child, parent) of every pair that was ever believed."""

    units: dict[int, str]
    edges: list[tuple[int, int]]


def read_hierarchy(connection: Connection) -> Hierarchy:
    """Which units there are and which are members of which."""
    units: dict[int, str] = dict(connection.execute(_SQL["units"]).fetchall())
    return Hierarchy(units, connection.execute(_SQL["edges"]).fetchall())


class StoredDues:
    """Which limits pass, as the store has them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def between(self, unit_ids: Sequence[int], from_us: int, until_us: int, limit: int) -> list[tuple[str, int, int]]:
        """Unit, end in microseconds and length of intervals whose limit passes in [from, until), oldest first."""
        arguments = {"unit_ids": list(unit_ids), "from": to_datetime(from_us), "until": to_datetime(until_us)}
        return self._connection.execute(_SQL["due"], {**arguments, "limit": limit}).fetchall()

    def horizon(self, from_us: int, until_us: int, n: int) -> int | None:
        """When the limit after the first `n` of those in [from, until) passes; None when there are fewer."""
        arguments = {"from": to_datetime(from_us), "until": to_datetime(until_us), "n": n}
        row = self._connection.execute(_SQL["horizon"], arguments).fetchone()
        return None if row is None else int(row[0])


@dataclass(frozen=True, slots=True)
class SpanRow:
    """A stored row with what is needed to say it again.

    `meters` names the meter of each position; a position of a smaller unit has none.
    """

    unit: str
    observed_at_us: int
    interval_s: int
    block: StoredBlock
    meters: dict[int, str]


def read_span(
    connection: Connection, from_: datetime, to: datetime, units: Sequence[str] | None, page: int = 200
) -> Iterator[SpanRow]:
    """Stored rows of intervals that lie within [from, to], by time; of all units where `units` is None.

    Where a unit's registers are read, the interval that ends with `from` comes too: its registers open the first.
    """
    after: tuple[datetime, int, int] = (datetime(1970, 1, 1, tzinfo=UTC), 0, 0)
    meters: dict[int, dict[int, str]] = {}
    while True:
        arguments = {
            "from": from_,
            "to": to,
            "units": None if units is None else list(units),
            "after": after[0],
            "after_unit": after[1],
            "after_s": after[2],
            "limit": page,
        }
        found = connection.execute(_SQL["span"], arguments).fetchall()
        if not found:
            return
        unknown = sorted({row[0] for row in found} - meters.keys())
        if unknown:
            meters |= _meters(connection, unknown)
        keys = [(unit_id, observed_at_us, interval_s) for unit_id, _, _, observed_at_us, interval_s in found]
        blocks = read_blocks(connection, keys)
        for key, (unit_id, unit, _, observed_at_us, interval_s) in zip(keys, found, strict=True):
            if key in blocks:
                yield SpanRow(unit, observed_at_us, interval_s, blocks[key], meters[unit_id])
        after = (found[-1][2], found[-1][0], found[-1][4])


def _meters(connection: Connection, unit_ids: Sequence[int]) -> dict[int, dict[int, str]]:
    found: dict[int, dict[int, str]] = defaultdict(dict)
    for unit_id, position, meter in connection.execute(_SQL["meters"], {"unit_ids": list(unit_ids)}):
        found[unit_id][position] = meter
    return {unit_id: found[unit_id] for unit_id in unit_ids}


def identity(connection: Connection) -> tuple[object, ...]:
    """Which database a connection is to: two that agree are to the same."""
    row = connection.execute(_SQL["identity"]).fetchone()
    return () if row is None else tuple(row)
