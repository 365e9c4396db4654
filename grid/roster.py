"""Who is a member of a unit, at which position, at which time; as dense arrays for the kernels."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from grid.area_network import NetworkPeriod
from grid.arrow import own_strings
from grid.memberships import NONE, Lapse, Lapses, Membership, Memberships
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
#: Rosters of which the meters' positions are held by name, for the rare steps that ask for them one by one.
_NAMED = 64


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
    meters, place
        Codes of the members that are meters, each once, shape (n,); and the position of each, int32 of shape (n + 1,)
        with −1 as the last. A meter that has several positions in the interval, since its multiplier changed, is named
        with the last.
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
    meters: pa.StringArray
    place: NDArray[np.int32]
    position_of_child: dict[int, int]
    others: dict[int, tuple[int, ...]] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()
    lapses: tuple[Lapse, ...] = ()

    has_ties: bool = False
    """Whether a member stands between this unit and a neighbour."""

    def __len__(self) -> int:
        return len(self.role)

    @property
    def position_of_meter(self) -> dict[str, int]:
        """Position by code of a meter, for a look at a few; made when it is asked for, and not to be changed."""
        return _named(self)

    def find(self, meters: pa.StringArray) -> NDArray[np.int32]:
        """Position of each meter; −1 for one that isn't a member."""
        number = pc.index_in(meters, value_set=self.meters)
        if number.null_count:
            number = number.fill_null(-1)
        return np.asarray(self.place[number.to_numpy()], np.int32)


@lru_cache(maxsize=_NAMED)
def _named(roster: Roster) -> dict[str, int]:
    return dict(zip(roster.meters.to_pylist(), roster.place[:-1].tolist(), strict=True))


@dataclass(slots=True, eq=False)
class UnitView:
    """What a worker holds of one unit: its members and parents over time.

    An interval is (beginning, end]; a change at 12:00:00 takes effect with the interval that begins then. Several
    threads may ask one view.
    """

    unit_id: int
    unit: str
    kind: UnitKind
    members: Sequence[Membership]
    """Held as `Memberships`."""
    parents: tuple[Parentage, ...]
    lapses: Sequence[Lapse] = ()
    """Held as `Lapses`."""
    networks: tuple[NetworkPeriod, ...] = ()
    plates: tuple[Plate, ...] = ()
    """Of the transformer, over time; a unit that has none has no plates."""
    medium_voltage_v: int | None = None
    """Of its substation; None where none is known."""
    size: int = field(init=False)
    _members: Memberships = field(init=False)
    _lapses: Lapses = field(init=False)
    _edges: Sequence[int] = field(init=False)
    _rosters: dict[tuple[int, int], Roster] = field(init=False, default_factory=dict)
    _last: tuple[Roster, pa.StringArray, NDArray[np.int32]] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.members = self._members = Memberships.of(self.members)
        self.lapses = self._lapses = Lapses.of(self.lapses)
        members, lapses = self._members.columns, self._lapses.columns
        self.size = 1 + int(members["position"].max(initial=-1))
        edges = (members["valid_from_us"], members["valid_to_us"], lapses["from_us"], lapses["to_us"])
        self._edges = array("q", np.unique(np.concatenate(edges)).tobytes())

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
            roster = _dense(self.size, self._members, self._lapses, begin_us, observed_at_us)
            if self.kind in UNMETERED_KINDS and not np.any(roster.role & Role.GATEWAY):
                # Nothing is metered at its boundary: it is the sum of its parts.
                roster.role[(roster.role & Role.UNIT != 0) & (roster.role & INNER == 0)] |= int(Role.GATEWAY)
            self._rosters[key] = roster
        return roster

    @property
    def rosters(self) -> int:
        """How many rosters are held."""
        return len(self._rosters)

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
        positions = roster.find(meters)
        kept = roster.meters if roster.meters.equals(meters) else own_strings(meters)
        self._last = (roster, kept, positions)
        return positions


def _dense(size: int, members: Memberships, lapses: Lapses, begin_us: int, end_us: int) -> Roster:
    columns = members.columns
    overlapping = np.flatnonzero((columns["valid_from_us"] < end_us) & (columns["valid_to_us"] > begin_us))
    # A position that has several memberships in the interval is shown by its last.
    overlapping = overlapping[np.argsort(columns["valid_from_us"][overlapping], kind="stable")]
    there = columns[overlapping]
    position = there["position"]
    role, phases = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    multiplier, modulus_wh = np.ones(size, np.int64), np.zeros(size, np.int64)
    accuracy_class = np.zeros(size, np.float64)
    role[position] = there["role"] | np.where(there["inner"], np.uint8(INNER), np.uint8(0))
    phases[position] = there["phases"]
    multiplier[position] = there["multiplier"]
    modulus_wh[position] = np.maximum(there["register_modulus_wh"], 0)
    accuracy_class[position] = there["accuracy_class"]
    meters, place, others = _places(members, overlapping)
    is_unit = there["child_id"] != NONE
    return Roster(
        role=role,
        multiplier=multiplier,
        accuracy_class=accuracy_class,
        modulus_wh=modulus_wh,
        phases=phases,
        meters=meters,
        place=place,
        position_of_child=dict(zip(there["child_id"][is_unit].tolist(), position[is_unit].tolist(), strict=True)),
        others=others,
        parts=_parts(members, overlapping, begin_us, end_us),
        lapses=tuple(_lapsed(role, lapses, begin_us, end_us)),
        has_ties=bool(np.any(role & (Role.TIE_IN | Role.TIE_OUT))),
    )


def _places(
    members: Memberships, numbers: NDArray[np.intp]
) -> tuple[pa.StringArray, NDArray[np.int32], dict[int, tuple[int, ...]]]:
    """What a roster says of the meters among some members, in the order of time: `meters`, `place` and `others`."""
    position = members.columns["position"]
    codes = members.meters
    if len(numbers) != len(codes) or np.any(np.diff(numbers) != 1):
        codes = codes.take(pa.array(numbers))
    if codes.null_count:
        numbers = numbers[codes.is_valid().to_numpy(zero_copy_only=False)]
        codes = codes.drop_null()
    others: dict[int, tuple[int, ...]] = {}
    if len(codes) != pc.count_distinct(codes).as_py():
        place: dict[str, int] = {}
        for code, at in zip(codes.to_pylist(), position[numbers].tolist(), strict=True):
            before = place.get(code)
            if before is not None and before != at:
                known = (*others.pop(before, ()), before)
                others[at] = tuple(p for p in dict.fromkeys(known) if p != at)
            place[code] = at
        return pa.array(list(place), pa.string()), np.array([*place.values(), -1], np.int32), others
    return codes, np.append(position[numbers], np.int32(-1)), others


def _parts(members: Memberships, numbers: NDArray[np.intp], begin_us: int, end_us: int) -> tuple[Part, ...]:
    """Stays that begin or end, of some members in the order of time; most often there are none."""
    columns = members.columns[numbers]
    is_edged = (columns["valid_from_us"] >= begin_us) | (columns["valid_to_us"] <= end_us)
    if not is_edged.any():
        return ()
    of_position = np.isin(columns["position"], columns["position"][is_edged])
    stays: dict[int, list[Part]] = {}
    for member in members.some(numbers[of_position]):
        _stay(stays.setdefault(member.position, []), member, begin_us, end_us)
    edged = [stay for found in stays.values() for stay in found if stay.begins or stay.ends]
    return tuple(sorted(edged, key=lambda stay: stay.from_us))


def _stay(stays: list[Part], member: Membership, begin_us: int, end_us: int) -> None:
    from_us = max(member.valid_from_us, begin_us) - begin_us
    to_us = min(member.valid_to_us, end_us) - begin_us
    ends = member.valid_to_us <= end_us
    if stays and stays[-1].to_us == from_us:
        stays[-1] = replace(stays[-1], last=member, to_us=to_us, ends=ends)
    else:
        stays.append(Part(member, member, from_us, to_us, member.valid_from_us >= begin_us, ends))


def _lapsed(role: NDArray[np.uint8], lapses: Lapses, begin_us: int, end_us: int) -> Iterator[Lapse]:
    """Lapses for a part of the interval; one for all of it is marked in `role`."""
    columns = lapses.columns
    columns = columns[(columns["from_us"] < end_us) & (columns["to_us"] > begin_us)]
    columns = columns[role[columns["position"]] & int(Role.CUSTOMER) != 0]
    whole = (columns["from_us"] <= begin_us) & (columns["to_us"] >= end_us)
    role[columns["position"][whole]] |= UNCONTRACTED
    for from_us, to_us, position in columns[~whole].tolist():
        yield Lapse(position, max(from_us, begin_us) - begin_us, min(to_us, end_us) - begin_us)
