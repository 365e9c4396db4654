"""Who is a member of a unit, at which position, at which time; as dense arrays for the kernels."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.area_network import NetworkPeriod
from grid.model import MeteredSide, Role, UnitKind

#: Ends of an open period, microseconds since 1970.
BEGINNING_US = np.iinfo(np.int64).min
END_US = np.iinfo(np.int64).max

#: Bit of a role in a roster, beside those of `Role`: a customer without an active account.
UNCONTRACTED = 8
#: Bit of a voltage level's member that is within another member: what it takes has come into the level already.
INNER = 16

#: Units above the lines, which may have no meters of their own.
UNMETERED_KINDS = frozenset({UnitKind.REGION, UnitKind.VOLTAGE_LEVEL, UnitKind.ELEMENT})

_MAX_ROSTERS = 8
_PHASE_BITS = {"A": 1, "B": 2, "C": 4}


@dataclass(frozen=True, slots=True)
class Membership:
    """One member of a unit over one valid period [from, to)."""

    position: int
    meter: str | None
    child_id: int | None
    role: int
    multiplier: int
    accuracy_class: float
    """Of the meter and its transformers together; of a child unit, its gateway's."""
    valid_from_us: int
    valid_to_us: int
    start_import_wh: int | None = None
    """Register at the meter when the period began, before the multiplier (起码); None = not known."""
    start_export_wh: int | None = None
    end_import_wh: int | None = None
    """Register when the period ended (止码)."""
    end_export_wh: int | None = None
    register_modulus_wh: int | None = None
    """What the register counts up to before it begins at 0 again; None = not known."""
    phases: str | None = None
    """Of `grid.model.PHASES`; None = not known."""
    inner: bool = False
    """Of a voltage level's member: it is within another one."""


@dataclass(frozen=True, slots=True)
class Parentage:
    """A greater unit of which this one is a member over [from, to)."""

    parent_id: int
    parent: str
    valid_from_us: int
    valid_to_us: int
    kind: UnitKind = UnitKind.FEEDER


@dataclass(frozen=True, slots=True)
class Plate:
    """A unit's transformer and where it is metered, over [from, to)."""

    metered_side: MeteredSide
    rating_va: float
    no_load_loss_w: float
    load_loss_w: float
    """At rated current. All three are 0 where they aren't known."""
    valid_from_us: int = BEGINNING_US
    valid_to_us: int = END_US


@dataclass(frozen=True, slots=True)
class Lapse:
    """A period [from, to) in which a customer's meter had no active account."""

    position: int
    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Part:
    """A stay of a member that begins or ends in an interval, or together with it; offsets from its beginning.

    Attributes
    ----------
    first, last
        The memberships with which the stay begins and ends: one, unless attributes changed meanwhile.
    begins, ends
        Whether the stay begins, and ends, within the interval's bounds.
    """

    first: Membership
    last: Membership
    from_us: int
    to_us: int
    begins: bool
    ends: bool

    @property
    def position(self) -> int:
        """Position of the member."""
        return self.last.position

    @property
    def is_read(self) -> bool:
        """Whether somebody read the meter when the stay began or ended."""
        first, last = self.first, self.last
        begun = self.begins and (first.start_import_wh is not None or first.start_export_wh is not None)
        return begun or (self.ends and (last.end_import_wh is not None or last.end_export_wh is not None))


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Roster:
    """Members of one unit over one interval; arrays of shape (size,), role 0 where a position isn't a member then.

    Attributes
    ----------
    position_of_meter
        A meter that has several positions in the interval, since its multiplier changed, is named with the last.
    others
        Further positions of such a meter, by the last.
    phases
        uint8: bits 1, 2, 4 for the phases A, B, C that a member is connected to; 0 where not known.
    modulus_wh
        int64: what a member's register counts up to; 0 where not known.
    parts
        Stays that begin or end in the interval or together with it, in the order of time.
    lapses
        Customers without an active account for a part of the interval, with offsets from its beginning; those that had
        none in all of it have the bit `UNCONTRACTED` in their role.
    """

    role: NDArray[np.uint8]
    multiplier: NDArray[np.int64]
    accuracy_class: NDArray[np.float64]
    modulus_wh: NDArray[np.int64]
    phases: NDArray[np.uint8]
    position_of_meter: dict[str, int]
    position_of_child: dict[int, int]
    others: dict[int, tuple[int, ...]] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    lapses: tuple[Lapse, ...] = ()

    has_ties: bool = False
    """Whether a member stands between this unit and a neighbour."""

    def __len__(self) -> int:
        return len(self.role)


@dataclass(slots=True, eq=False)
class UnitView:
    """What a worker holds of one unit: its members and parents over time.

    An interval is (beginning, end]; a change at 12:00:00 takes effect with the interval that begins then. Several
    threads may ask one view.
    """

    unit_id: int
    unit: str
    kind: UnitKind
    members: tuple[Membership, ...]
    parents: tuple[Parentage, ...]
    lapses: tuple[Lapse, ...] = ()
    networks: tuple[NetworkPeriod, ...] = ()
    plates: tuple[Plate, ...] = ()
    """Of the transformer, over time; a unit that has none has no plates."""
    medium_voltage_v: int | None = None
    """Of its substation; None where none is known."""
    size: int = field(init=False)
    _edges: list[int] = field(init=False)
    _rosters: dict[tuple[int, int], Roster] = field(init=False, default_factory=dict)
    _last: tuple[Roster, pa.StringArray, NDArray[np.int32]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.size = 1 + max((m.position for m in self.members), default=-1)
        edges = {m.valid_from_us for m in self.members} | {m.valid_to_us for m in self.members}
        edges |= {lapse.from_us for lapse in self.lapses} | {lapse.to_us for lapse in self.lapses}
        self._edges = sorted(edges)

    def roster(self, observed_at_us: int, interval_s: int) -> Roster:
        """Members over the interval that ends at `observed_at_us`."""
        begin_us = observed_at_us - interval_s * 1_000_000
        segment = bisect_left(self._edges, begin_us)
        # Where nothing begins or ends, the same roster serves all intervals between two edges.
        is_between = segment == bisect_right(self._edges, observed_at_us)
        key = (segment, -1) if is_between else (begin_us, observed_at_us)
        roster = self._rosters.get(key)
        if roster is None:
            # Late data may ask for any time: a unit that changed often doesn't keep an array for each.
            if len(self._rosters) >= _MAX_ROSTERS:
                self._rosters.clear()
            roster = _dense(self.size, self.members, self.lapses, begin_us, observed_at_us)
            if self.kind in UNMETERED_KINDS and not np.any(roster.role & Role.GATEWAY):
                # Nothing is metered at its boundary: it is the sum of its parts.
                roster.role[(roster.role & Role.UNIT != 0) & (roster.role & INNER == 0)] |= int(Role.GATEWAY)
            self._rosters[key] = roster
        return roster

    @property
    def places(self) -> int:
        """Positions of all rosters that are held."""
        return len(self._rosters) * self.size

    def network_at(self, observed_at_us: int, interval_s: int) -> NetworkPeriod | None:
        """Low-voltage network when an interval begins; None when it isn't known."""
        begin_us = observed_at_us - interval_s * 1_000_000
        return next((n for n in self.networks if n.valid_from_us <= begin_us < n.valid_to_us), None)

    def plate(self, observed_at_us: int, interval_s: int) -> Plate | None:
        """The transformer as it was when the interval that ends at `observed_at_us` began; None = not known."""
        begin_us = observed_at_us - interval_s * 1_000_000
        return next((p for p in self.plates if p.valid_from_us <= begin_us < p.valid_to_us), None)

    def parents_over(self, observed_at_us: int, interval_s: int) -> list[Parentage]:
        """Units of which this one is a member in any part of the interval that ends at `observed_at_us`."""
        begin_us = observed_at_us - interval_s * 1_000_000
        return [p for p in self.parents if p.valid_from_us < observed_at_us and p.valid_to_us > begin_us]

    def positions(self, roster: Roster, meters: pa.StringArray) -> NDArray[np.int32]:
        """Position of each meter in `roster`, one of this view's; −1 for one that isn't a member.

        A concentrator sends the same meters in the same order, so the last answer is kept.
        """
        last = self._last
        if last is not None and last[0] is roster and last[1].equals(meters):
            return last[2]
        known = roster.position_of_meter
        positions = np.array([known.get(code, -1) for code in meters.to_pylist()], dtype=np.int32)
        self._last = (roster, meters, positions)
        return positions


def _dense(size: int, members: Iterable[Membership], lapses: Iterable[Lapse], begin_us: int, end_us: int) -> Roster:
    roster = Roster(
        role=np.zeros(size, np.uint8),
        multiplier=np.ones(size, np.int64),
        accuracy_class=np.zeros(size, np.float64),
        modulus_wh=np.zeros(size, np.int64),
        phases=np.zeros(size, np.uint8),
        position_of_meter={},
        position_of_child={},
    )
    stays: dict[int, list[Part]] = {}
    overlapping = [m for m in members if m.valid_from_us < end_us and m.valid_to_us > begin_us]
    for member in sorted(overlapping, key=lambda m: m.valid_from_us):
        position = member.position
        roster.role[position] = member.role | (INNER if member.inner else 0)
        roster.multiplier[position] = member.multiplier
        roster.accuracy_class[position] = member.accuracy_class
        roster.modulus_wh[position] = member.register_modulus_wh or 0
        roster.phases[position] = sum(_PHASE_BITS[phase] for phase in member.phases or "")
        if member.meter is not None:
            before = roster.position_of_meter.get(member.meter)
            if before is not None and before != position:
                known = (*roster.others.pop(before, ()), before)
                roster.others[position] = tuple(p for p in dict.fromkeys(known) if p != position)
            roster.position_of_meter[member.meter] = position
        if member.child_id is not None:
            roster.position_of_child[member.child_id] = position
        _stay(stays.setdefault(position, []), member, begin_us, end_us)
    edged = [stay for of_position in stays.values() for stay in of_position if stay.begins or stay.ends]
    return replace(
        roster,
        parts=tuple(sorted(edged, key=lambda stay: stay.from_us)),
        lapses=tuple(_lapsed(roster.role, lapses, begin_us, end_us)),
        has_ties=bool(np.any(roster.role & (Role.TIE_IN | Role.TIE_OUT))),
    )


def _stay(stays: list[Part], member: Membership, begin_us: int, end_us: int) -> None:
    from_us = max(member.valid_from_us, begin_us) - begin_us
    to_us = min(member.valid_to_us, end_us) - begin_us
    ends = member.valid_to_us <= end_us
    if stays and stays[-1].to_us == from_us:
        stays[-1] = replace(stays[-1], last=member, to_us=to_us, ends=ends)
    else:
        stays.append(Part(member, member, from_us, to_us, member.valid_from_us >= begin_us, ends))


def _lapsed(role: NDArray[np.uint8], lapses: Iterable[Lapse], begin_us: int, end_us: int) -> Iterator[Lapse]:
    """Lapses for a part of the interval; one for all of it is marked in `role`."""
    for lapse in lapses:
        if role[lapse.position] & Role.CUSTOMER == 0 or lapse.from_us >= end_us or lapse.to_us <= begin_us:
            continue
        if lapse.from_us <= begin_us and lapse.to_us >= end_us:
            role[lapse.position] |= UNCONTRACTED
        else:
            yield Lapse(lapse.position, max(lapse.from_us, begin_us) - begin_us, min(lapse.to_us, end_us) - begin_us)
