"""Who is a member of a unit, at which position, at which time; as dense arrays for the kernels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.model import UnitKind

#: Ends of an open period, microseconds since 1970.
BEGINNING_US = np.iinfo(np.int64).min
END_US = np.iinfo(np.int64).max

_MAX_ROSTERS = 8


@dataclass(frozen=True, slots=True)
class Membership:
    """One member of a unit over one valid period [from, to)."""

    position: int
    meter: str | None
    child_id: int | None
    role: int
    multiplier: int
    accuracy_class: float
    """Of the meter; of a child unit, its gateway's."""
    valid_from_us: int
    valid_to_us: int


@dataclass(frozen=True, slots=True)
class Parentage:
    """A greater unit of which this one is a member over [from, to)."""

    parent_id: int
    parent: str
    valid_from_us: int
    valid_to_us: int


@dataclass(frozen=True, slots=True, eq=False)
class Roster:
    """Members of one unit at one instant; arrays of shape (size,), role 0 where a position isn't a member then."""

    role: NDArray[np.uint8]
    multiplier: NDArray[np.int64]
    accuracy_class: NDArray[np.float64]
    position_of_meter: dict[str, int]
    position_of_child: dict[int, int]

    def __len__(self) -> int:
        return len(self.role)


@dataclass(slots=True, eq=False)
class UnitView:
    """What a worker holds of one unit: its members and parents over time.

    The instant of an interval is its last microsecond, so that a change at 12:00:00 takes effect with the interval
    that begins then.
    """

    unit_id: int
    unit: str
    kind: UnitKind
    members: tuple[Membership, ...]
    parents: tuple[Parentage, ...]
    size: int = field(init=False)
    _edges: NDArray[np.int64] = field(init=False)
    _rosters: dict[int, Roster] = field(init=False, default_factory=dict)
    _last: tuple[int, pa.StringArray, NDArray[np.int32]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.size = 1 + max((m.position for m in self.members), default=-1)
        edges = {m.valid_from_us for m in self.members} | {m.valid_to_us for m in self.members}
        self._edges = np.array(sorted(edges), dtype=np.int64)

    def roster(self, observed_at_us: int) -> Roster:
        """Members at the interval that ends at `observed_at_us`."""
        return self._roster(self._segment(observed_at_us))

    def parents_at(self, observed_at_us: int) -> list[Parentage]:
        """Units of which this one is a member at the interval that ends at `observed_at_us`."""
        instant = observed_at_us - 1
        return [p for p in self.parents if p.valid_from_us <= instant < p.valid_to_us]

    def positions(self, observed_at_us: int, meters: pa.StringArray) -> NDArray[np.int32]:
        """Position of each meter at the interval; −1 for one that isn't a member then.

        A concentrator sends the same meters in the same order, so the last answer is kept.
        """
        segment = self._segment(observed_at_us)
        if self._last is not None and self._last[0] == segment and self._last[1].equals(meters):
            return self._last[2]
        known = self._roster(segment).position_of_meter
        positions = np.array([known.get(code, -1) for code in meters.to_pylist()], dtype=np.int32)
        self._last = (segment, meters, positions)
        return positions

    def _segment(self, observed_at_us: int) -> int:
        return int(np.searchsorted(self._edges, observed_at_us - 1, side="right"))

    def _roster(self, segment: int) -> Roster:
        if segment not in self._rosters:
            # Late data may ask for any time: a unit that changed often doesn't keep an array for each.
            if len(self._rosters) >= _MAX_ROSTERS:
                self._rosters.clear()
            instant = int(self._edges[segment - 1]) if segment else BEGINNING_US
            self._rosters[segment] = _dense(
                self.size, (m for m in self.members if m.valid_from_us <= instant < m.valid_to_us)
            )
        return self._rosters[segment]


def _dense(size: int, members: Iterable[Membership]) -> Roster:
    roster = Roster(
        role=np.zeros(size, np.uint8),
        multiplier=np.ones(size, np.int64),
        accuracy_class=np.zeros(size, np.float64),
        position_of_meter={},
        position_of_child={},
    )
    for member in members:
        roster.role[member.position] = member.role
        roster.multiplier[member.position] = member.multiplier
        roster.accuracy_class[member.position] = member.accuracy_class
        if member.meter is not None:
            roster.position_of_meter[member.meter] = member.position
        if member.child_id is not None:
            roster.position_of_child[member.child_id] = member.position
    return roster
