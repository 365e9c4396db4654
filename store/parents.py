"""Moves areas between feeders in the model: which feeder an area is a member of, over time, bitemporally."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from grid.membership import MemberPeriod
from grid.model import Role
from grid.switching import Move, ParentPeriod, move_memberships
from grid.topology import Indices, Wiring
from store.connection import Connection
from store.grid_change import replace_members
from store.sql import load_queries
from store.wiring import to_instant, to_span

_SQL = load_queries("topology")


@dataclass(frozen=True, slots=True)
class Parents:
    """Feeders of which areas are believed to be members, by area, in order of time."""

    members: Mapping[str, Sequence[MemberPeriod]] = field(default_factory=dict)

    def periods(self, area: str) -> list[ParentPeriod]:
        """Of one area, in order of time."""
        return [_parent_period(member) for member in self.members.get(area, ())]

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
    members: dict[str, list[MemberPeriod]] = defaultdict(list)
    for area, *row in connection.execute(_SQL["parents"], {"areas": list(areas)}):
        members[area].append(MemberPeriod(*row))
    return Parents(members)


def move_areas(connection: Connection, parents: Parents, moves: Iterable[Move], instant: datetime) -> Written:
    """Record memberships after `moves`, as of `instant`.

    Inside the caller's transaction. An area that comes back to a feeder gets the position that it had there.

    Raises
    ------
    store.grid_change.RosterFullError
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
    closing: list[MemberPeriod] = []
    adding: list[tuple[str, ParentPeriod]] = []
    changed: set[str] = set()
    for area, periods in wanted.items():
        members = {_parent_period(member): member for member in parents.members.get(area, ())}
        if members.keys() == set(periods):
            continue
        changed.add(area)
        closing += [member for period, member in members.items() if period not in periods]
        adding += [(area, period) for period in periods if period not in members]
    changed |= {member.unit for member in closing} | {period.feeder for _, period in adding}
    ids: dict[str, int] = dict(connection.execute(_SQL["unit_ids"], {"units": sorted(changed)}).fetchall())
    new = [_member_period(ids, area, period) for area, period in sorted(adding)]
    replace_members(connection, closing, new, instant)
    return Written(len(closing), len(new), frozenset(changed))


def _parent_period(member: MemberPeriod) -> ParentPeriod:
    return ParentPeriod(member.unit, *to_span(member.valid_from, member.valid_to))


def _member_period(ids: Mapping[str, int], area: str, period: ParentPeriod) -> MemberPeriod:
    return MemberPeriod(
        ids[period.feeder],
        period.feeder,
        None,
        int(Role.UNIT),
        1,
        to_instant(period.from_us),
        to_instant(period.to_us),
        child_id=ids[area],
    )
