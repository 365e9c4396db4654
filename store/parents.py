"""Moves areas between feeders in the model: which feeder an area is a member of, over time, bitemporally."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import numpy as np

from grid.model import MAX_MEMBERS, Role
from grid.switching import Move, ParentPeriod, move_memberships
from grid.topology import Indices, Wiring
from store.connection import Connection
from store.sql import load_queries
from store.wiring import span, to_instant

_SQL = load_queries("topology")


class RosterFullError(ValueError):
    """A unit would have more positions than a roster may: those of members that have left count too."""


class _Row(NamedTuple):
    """What is believed of an area's membership in a feeder."""

    period: ParentPeriod
    unit_id: int
    child_id: int
    position: int


@dataclass(frozen=True, slots=True)
class Parents:
    """Feeders of which areas are believed to be members, by area."""

    rows: Mapping[str, Sequence[_Row]] = field(default_factory=dict)

    def periods(self, area: str) -> list[ParentPeriod]:
        """Of one area, in order of time."""
        return [row.period for row in self.rows.get(area, ())]

    def at(self, area: str, at_us: int) -> str | None:
        """Its feeder at an instant."""
        return next((p.feeder for p in self.periods(area) if p.from_us <= at_us < p.to_us), None)

    def before(self, wiring: Wiring, at_us: int) -> Indices:
        """Feeder of each area of a network just before an instant, −1 for none or one that isn't there."""
        known = {code: i for i, code in enumerate(wiring.feeders)}
        found = [self.at(area, at_us - 1) for area in wiring.areas]
        return np.array([-1 if feeder is None else known.get(feeder, -1) for feeder in found], np.int32)


@dataclass(frozen=True, slots=True)
class Written:
    """Memberships that were given up and recorded, and the codes of the units concerned."""

    closed: int = 0
    written: int = 0
    units: frozenset[str] = frozenset()


def read_parents(connection: Connection, areas: Sequence[str]) -> Parents:
    """As now believed."""
    rows: dict[str, list[_Row]] = defaultdict(list)
    for area, feeder, unit_id, child_id, position, start, end in connection.execute(
        _SQL["parents"], {"areas": list(areas)}
    ):
        rows[area].append(_Row(ParentPeriod(feeder, *span(start, end)), unit_id, child_id, position))
    return Parents(rows)


def move_areas(connection: Connection, parents: Parents, moves: Iterable[Move], instant: datetime) -> Written:
    """Record memberships after `moves`, as of `instant`.

    Inside the caller's transaction. An area that comes back to a feeder gets the position that it had there.

    Raises
    ------
    RosterFullError
        When a feeder would get more than `MAX_MEMBERS` positions.
    """
    by_area: dict[str, list[Move]] = defaultdict(list)
    for move in moves:
        by_area[move.area].append(move)
    wanted = {area: move_memberships(parents.periods(area), some) for area, some in by_area.items()}
    return write_parents(connection, parents, wanted, instant)


def write_parents(
    connection: Connection, parents: Parents, wanted: Mapping[str, Sequence[ParentPeriod]], instant: datetime
) -> Written:
    """Make the store say what `wanted` says of each area that it names; see `move_areas`."""
    closing: list[_Row] = []
    adding: list[tuple[str, ParentPeriod]] = []
    changed: set[str] = set()
    for area, periods in wanted.items():
        rows = parents.rows.get(area, ())
        believed = {row.period for row in rows}
        if believed == set(periods):
            continue
        changed.add(area)
        closing += [row for row in rows if row.period not in periods]
        adding += [(area, period) for period in periods if period not in believed]
    with connection.cursor() as cursor:
        cursor.executemany(
            _SQL["close_member"],
            [
                {"unit_id": row.unit_id, "position": row.position, "instant": instant, **_valid(row.period)}
                for row in closing
            ],
        )
        if cursor.rowcount not in (-1, len(closing)):
            raise RuntimeError(f"{cursor.rowcount} memberships were closed, and not {len(closing)}")
        cursor.executemany(_SQL["add_member"], _placed(connection, adding, instant))
    units = {row.period.feeder for row in closing} | {period.feeder for _, period in adding}
    return Written(len(closing), len(adding), frozenset(units | changed))


def _placed(
    connection: Connection, adding: Sequence[tuple[str, ParentPeriod]], instant: datetime
) -> list[dict[str, object]]:
    codes = {area for area, _ in adding} | {period.feeder for _, period in adding}
    ids: dict[str, int] = dict(connection.execute(_SQL["unit_ids"], {"units": list(codes)}).fetchall())
    feeders = sorted({ids[period.feeder] for _, period in adding})
    arguments = {"unit_ids": feeders, "child_ids": sorted({ids[area] for area, _ in adding})}
    held = {(row[0], row[1]): int(row[2]) for row in connection.execute(_SQL["held_positions"], arguments)}
    sizes: dict[int, int] = dict(connection.execute(_SQL["roster_sizes"], arguments).fetchall())
    rows: list[dict[str, object]] = []
    for area, period in sorted(adding):
        unit_id, child_id = ids[period.feeder], ids[area]
        if (unit_id, child_id) not in held:
            held[unit_id, child_id] = sizes.get(unit_id, 0)
            sizes[unit_id] = sizes.get(unit_id, 0) + 1
            if sizes[unit_id] > MAX_MEMBERS:
                raise RosterFullError(
                    f"unit {period.feeder} would have {sizes[unit_id]} positions, of at most {MAX_MEMBERS}"
                )
        rows.append(
            {
                "unit_id": unit_id,
                "position": held[unit_id, child_id],
                "child_id": child_id,
                "role": int(Role.UNIT),
                "instant": instant,
                **_valid(period),
            }
        )
    return rows


def _valid(period: ParentPeriod) -> dict[str, object]:
    return {"valid_from": to_instant(period.from_us), "valid_to": to_instant(period.to_us)}
