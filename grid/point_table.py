"""The points that are known, and what they reported, as flat arrays: what steps compute and the store writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from grid.points import CYCLES_HELD, WATTS, Point, PointKind


@dataclass(frozen=True, slots=True)
class KnownPoint:
    """A point as the store has it, with the numbers of itself and its unit."""

    point_id: int
    unit_id: int
    gateway: str
    """Account that sends for the unit."""
    point: Point


@dataclass(frozen=True, slots=True)
class StandInGroup:
    """The points whose summed power stands in for one gateway meter; `members` are positions in the table."""

    unit: str
    unit_id: int
    gateway: str
    meter: str
    members: tuple[int, ...]


@dataclass(slots=True, eq=False)
class PointTable:
    """All points, by position 0…n − 1; arrays of shape (n,).

    Attributes
    ----------
    point_id, unit_id
        int32.
    is_power, is_switch
        bool: active power; a switch that has a name.
    group
        int32, index into `groups`; −1 for a point that stands in for no meter.
    factor_w
        float64: watts that flow into the unit, a unit of measure; NaN where the point isn't active power.
    dead_band_w, hold_us
        float64 and int64: half the band without a report, and how long a value is known.
    """

    known: Sequence[KnownPoint]
    point_id: NDArray[np.int32] = field(init=False)
    unit_id: NDArray[np.int32] = field(init=False)
    is_power: NDArray[np.bool_] = field(init=False)
    is_switch: NDArray[np.bool_] = field(init=False)
    group: NDArray[np.int32] = field(init=False)
    factor_w: NDArray[np.float64] = field(init=False)
    dead_band_w: NDArray[np.float64] = field(init=False)
    hold_us: NDArray[np.int64] = field(init=False)
    groups: tuple[StandInGroup, ...] = field(init=False)
    groups_of_unit: dict[int, tuple[int, ...]] = field(init=False)
    units: dict[str, int] = field(init=False)
    _codes: pa.StringArray = field(init=False)

    def __post_init__(self) -> None:
        points = [k.point for k in self.known]
        self.point_id = np.array([k.point_id for k in self.known], np.int32)
        self.unit_id = np.array([k.unit_id for k in self.known], np.int32)
        self.is_power = np.array([p.kind is PointKind.ACTIVE_POWER for p in points], np.bool_)
        self.is_switch = np.array([p.switch is not None for p in points], np.bool_)
        self.factor_w = np.array(
            [p.sign * WATTS[p.unit_of_measure] if p.kind is PointKind.ACTIVE_POWER else np.nan for p in points],
            np.float64,
        )
        self.dead_band_w = np.abs(self.factor_w) * np.array([p.dead_band for p in points], np.float64)
        self.hold_us = np.array([CYCLES_HELD * p.cycle_s * 1_000_000 for p in points], np.int64)
        self.units = {k.point.unit: k.unit_id for k in self.known}
        self._codes = pa.array([p.code for p in points], pa.string())
        members: dict[tuple[int, str], list[int]] = {}
        for position, k in enumerate(self.known):
            if k.point.meter is not None:
                members.setdefault((k.unit_id, k.point.meter), []).append(position)
        self.group = np.full(len(points), -1, np.int32)
        self.groups = tuple(
            StandInGroup(points[of[0]].unit, unit_id, self.known[of[0]].gateway, meter, tuple(of))
            for (unit_id, meter), of in members.items()
        )
        by_unit: dict[int, list[int]] = {}
        for number, group in enumerate(self.groups):
            self.group[list(group.members)] = number
            by_unit.setdefault(group.unit_id, []).append(number)
        self.groups_of_unit = {unit_id: tuple(numbers) for unit_id, numbers in by_unit.items()}

    def __len__(self) -> int:
        return len(self.known)

    def find(self, codes: pa.StringArray, unit_id: NDArray[np.int32]) -> NDArray[np.int64]:
        """Position of each code in its unit; −1 for a code that isn't one of that unit's. Shapes (m,)."""
        found = pc.fill_null(pc.index_in(codes, value_set=self._codes), -1).to_numpy(zero_copy_only=False)
        positions = np.asarray(found, np.int64)
        if len(self):
            positions[self.unit_id[positions] != unit_id] = -1
        return positions


@dataclass(frozen=True, slots=True, eq=False)
class PointRows:
    """Rows of reports, keyed by (unit_id, minute_us, digest); the reports in flat arrays of length m.

    Attributes
    ----------
    unit_id
        int32 of shape (k,).
    minute_us, received_at_us
        int64 of shape (k,), microseconds since 1970 UTC; `minute_us` is the beginning of the minute.
    digest, sequence, cause
        Of the message: int64, int64, int16 of shape (k,).
    first_us, power_count
        int32 of shape (k,): the least offset, and how many reports of a row, from its first, are of active power.
    starts
        int64 of shape (k + 1,): reports of row r are at starts[r]:starts[r + 1].
    point_id, offset_us, value, quality
        int32, int32, float64, uint8 of shape (m,).
    """

    unit_id: NDArray[np.int32]
    minute_us: NDArray[np.int64]
    digest: NDArray[np.int64]
    sequence: NDArray[np.int64]
    cause: NDArray[np.int16]
    received_at_us: NDArray[np.int64]
    first_us: NDArray[np.int32]
    power_count: NDArray[np.int32]
    starts: NDArray[np.int64]
    point_id: NDArray[np.int32]
    offset_us: NDArray[np.int32]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.unit_id)


@dataclass(frozen=True, slots=True, eq=False)
class Reports:
    """Reports of known points, one a row; arrays of shape (m,). `position` is that of the point in its table."""

    position: NDArray[np.int64]
    observed_at_us: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint8]
    sequence: NDArray[np.int64]
    received_at_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.position)

    def take(self, which: NDArray[np.int64] | NDArray[np.intp] | NDArray[np.bool_]) -> Reports:
        """Some of them."""
        return Reports(
            self.position[which],
            self.observed_at_us[which],
            self.value[which],
            self.quality[which],
            self.sequence[which],
            self.received_at_us[which],
        )

    def join(self, others: Sequence[Reports]) -> Reports:
        """These and others."""
        parts = (self, *others)
        return Reports(*(np.concatenate([getattr(p, name) for p in parts]) for name in Reports.__dataclass_fields__))
