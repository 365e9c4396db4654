"""Power as a stand-in for a missing gateway register: which intervals are due, and what they come to; pure.

An interval of a meter is due when it has closed, that is when its unit has reported anything observed at its end or
later, and whenever a report of its own points comes after that. It is computed anew from all that is stored, so the
order of arrival plays no part in the figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.block import Block
from grid.channels import EXPORT, IMPORT, SIGMA
from grid.model import MAX_ENERGY_WH
from grid.point_table import PointTable, Reports, StandInGroup
from grid.points import MINUTE_US, point_rank
from grid.quality import Quality
from kernels.integration import integrate_power


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """One interval of one group: [end − length, end)."""

    group: int
    end_us: int
    interval_s: int

    @property
    def begin_us(self) -> int:
        """Where the interval begins."""
        return self.end_us - self.interval_s * 1_000_000


@dataclass(frozen=True, slots=True)
class Touched:
    """A unit's minute that a batch has touched, and what is stored around it (`store.points.Around`)."""

    unit_id: int
    minute_us: int
    newest_us: int
    prior_us: int | None
    interval_s: int


@dataclass(frozen=True, slots=True)
class StandIn:
    """A group's energy over one wholly covered interval.

    Attributes
    ----------
    import_wh, export_wh
        Primary energy, before rounding: into the unit and out of it.
    sigma_wh
        Standard deviation of import − export from the dead bands, primary.
    substituted
        A value that was substituted by hand has entered.
    reports
        How many different reports it rests on: it grows with every report that is added, whatever the order.
    received_at_us
        When the last of them came.
    """

    window: Window
    group: StandInGroup
    import_wh: float
    export_wh: float
    sigma_wh: float
    substituted: bool
    reports: int
    received_at_us: int


def hold_of(group: StandInGroup, table: PointTable) -> int:
    """Longest time that a value of the group is held, microseconds."""
    return int(table.hold_us[list(group.members)].max())


def due_windows(touched: Sequence[Touched], reports: Reports, table: PointTable) -> list[Window]:
    """Intervals that a batch closes, or that closed before and get another report by it.

    Parameters
    ----------
    touched
        Of the batch's minutes those that may close or reopen an interval.
    reports
        The batch.
    """
    around = {(t.unit_id, t.minute_us): t for t in touched}
    windows: set[Window] = set()
    for t in touched:
        if t.prior_us is None:
            continue
        length_us = t.interval_s * 1_000_000
        first = t.prior_us // length_us * length_us + length_us
        for number in table.groups_of_unit.get(t.unit_id, ()):
            # Further on nothing is held any more.
            last = min(t.minute_us, t.prior_us + MINUTE_US + hold_of(table.groups[number], table))
            windows |= {Window(number, end, t.interval_s) for end in range(first, last + 1, length_us)}
    powers = reports.take(np.flatnonzero(table.group[reports.position] >= 0))
    minutes = powers.observed_at_us // MINUTE_US * MINUTE_US
    # A minute holds many reports: the earliest and the latest of each point and minute reach as far as all of them.
    keys = np.stack((powers.position, minutes))
    for position, minute_us in np.unique(keys, axis=1).T.tolist():
        found = around.get((int(table.unit_id[position]), minute_us))
        if found is None:
            continue
        length_us = found.interval_s * 1_000_000
        first = minute_us // length_us * length_us + length_us
        last = min(found.newest_us, minute_us + MINUTE_US + int(table.hold_us[position]) + length_us)
        number = int(table.group[position])
        windows |= {Window(number, end, found.interval_s) for end in range(first, last + 1, length_us)}
    return sorted(windows)


def stand_ins(windows: Sequence[Window], reports: Mapping[int, Reports], table: PointTable) -> list[StandIn]:
    """What the windows come to; one that isn't wholly covered is left out.

    Parameters
    ----------
    reports
        By unit id: at least the unit's reports of power within each window and for the hold before it.
    """
    if not windows:
        return []
    by_unit = {unit_id: _in_order(of) for unit_id, of in reports.items()}
    parts = [_of_window(window, by_unit, table) for window in windows]
    members = [table.groups[window.group].members for window in windows]
    points = np.array([position for of in members for position in of], np.int64)
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("position", "observed_at_us", "value", "quality")
    }
    index = np.concatenate(
        [np.searchsorted(np.array(of), part.position) for of, part in zip(members, parts, strict=True)]
    )
    integral = integrate_power(
        np.array([w.begin_us for w in windows], np.int64),
        np.array([w.end_us for w in windows], np.int64),
        np.append(0, np.cumsum([len(of) for of in members])).astype(np.int64),
        table.dead_band_w[points],
        table.hold_us[points],
        np.append(0, np.cumsum([len(part) for part in parts])).astype(np.int64),
        index.astype(np.int64),
        joined["observed_at_us"],
        np.nan_to_num(joined["value"] * table.factor_w[joined["position"]]),
        point_rank(joined["quality"]).astype(np.int64),
    )
    return [
        StandIn(
            window=window,
            group=table.groups[window.group],
            import_wh=float(integral.import_wh[i]),
            export_wh=float(integral.export_wh[i]),
            sigma_wh=float(integral.sigma_wh[i]),
            substituted=bool(integral.substituted[i]),
            reports=len(parts[i]),
            received_at_us=int(parts[i].received_at_us.max()),
        )
        for i, window in enumerate(windows)
        if integral.coverage[i] == 1.0
    ]


def to_block(stand_in: StandIn, multiplier: int) -> Block | None:
    """The stand-in as a block of its unit with the one meter; None when no meter could count that much.

    The number of reports is its sequence: of two stand-ins the one that rests on more wins. A valid register wins over
    both by its quality, whichever came first.
    """
    import_wh = round(stand_in.import_wh / multiplier)
    export_wh = round(stand_in.export_wh / multiplier)
    if max(import_wh, export_wh) > MAX_ENERGY_WH:
        return None
    quality = Quality.SUBSTITUTED | (Quality.SUSPECT if stand_in.substituted else Quality.VALID)
    return Block(
        unit=stand_in.group.unit,
        gateway=stand_in.group.gateway,
        observed_at_us=stand_in.window.end_us,
        interval_s=stand_in.window.interval_s,
        received_at_us=stand_in.received_at_us,
        meters=pa.array([stand_in.group.meter], pa.string()),
        sequence=np.array([stand_in.reports], np.int64),
        channels={
            IMPORT: np.array([import_wh], np.int64),
            EXPORT: np.array([export_wh], np.int64),
            # As a register would show it; rounded up, so that a small one isn't none.
            SIGMA: np.array([math.ceil(stand_in.sigma_wh / multiplier)], np.int64),
        },
        quality=np.array([quality], np.uint8),
    )


def _in_order(reports: Reports) -> Reports:
    """Different reports by instant, the one that stands last where a point has several of one instant."""
    rank = point_rank(reports.quality)
    order = np.lexsort(
        (reports.sequence, reports.quality, reports.value, rank, reports.position, reports.observed_at_us)
    )
    inorder = reports.take(order)
    same = np.ones(max(len(inorder) - 1, 0), np.bool_)
    columns: tuple[NDArray[np.int64] | NDArray[np.uint8], ...] = (
        inorder.position,
        inorder.observed_at_us,
        inorder.value.view(np.int64),  # bit by bit, so that no value equals itself
        inorder.quality,
        inorder.sequence,
    )
    for column in columns:
        same &= column[1:] == column[:-1]
    return inorder.take(np.flatnonzero(np.append(True, ~same)[: len(inorder)]))


def _of_window(window: Window, by_unit: Mapping[int, Reports], table: PointTable) -> Reports:
    """Reports of the window's group within it and for the hold before it, in order of time."""
    group = table.groups[window.group]
    of_unit = by_unit.get(group.unit_id)
    if of_unit is None:
        empty = np.empty(0, np.int64)
        return Reports(empty, empty, np.empty(0), np.empty(0, np.uint8), empty, empty)
    first, last = np.searchsorted(
        of_unit.observed_at_us, [window.begin_us - hold_of(group, table), window.end_us], side="left"
    )
    part = of_unit.take(np.arange(first, last))
    return part.take(np.isin(part.position, group.members))
