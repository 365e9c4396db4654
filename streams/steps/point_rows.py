"""Messages of points as rows of the history, as last values and as changes of switches; pure, over arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.point_table import PointRows, PointTable, Reports
from grid.points import GOOD, MINUTE_US, PointBatch, point_rank


@dataclass(frozen=True, slots=True, eq=False)
class Arranged:
    """What a batch of messages comes to.

    Attributes
    ----------
    rows
        Each key once.
    reports
        Of known points, in the order in which they came.
    last
        The one report of each point that stands as its last value.
    unknown
        Point codes that aren't known in the message's unit, by the message's index.
    """

    rows: PointRows
    reports: Reports
    last: Reports
    unknown: dict[int, tuple[str, ...]]


def arrange(batches: Sequence[PointBatch], table: PointTable) -> Arranged:
    """Rows, last values and what is unknown of a batch of messages; any order, repeats allowed."""
    sizes = [len(b) for b in batches]
    message = np.repeat(np.arange(len(batches)), sizes)
    units = np.array([table.units.get(b.unit, -1) for b in batches], np.int32)
    codes = pa.concat_arrays([b.codes for b in batches]) if batches else pa.array([], pa.string())
    position = table.find(codes, units[message])
    missing = np.flatnonzero(position < 0)
    unknown: dict[int, dict[str, None]] = {}
    for i in missing.tolist():
        unknown.setdefault(int(message[i]), {})[codes[i].as_py()] = None
    keep = position >= 0
    message = message[keep]
    reports = Reports(
        position=position[keep],
        observed_at_us=_joined([b.observed_at_us for b in batches], np.int64)[keep],
        value=_joined([b.value for b in batches], np.float64)[keep],
        quality=_joined([b.quality for b in batches], np.uint8)[keep],
        sequence=np.array([b.sequence for b in batches], np.int64)[message],
        received_at_us=np.array([b.received_at_us for b in batches], np.int64)[message],
    )
    return Arranged(
        rows=_rows(batches, units, message, reports, table),
        reports=reports,
        last=last_values(reports),
        unknown={number: tuple(of) for number, of in unknown.items()},
    )


def last_values(reports: Reports) -> Reports:
    """Of each point the one report that stands, by point: the latest; of one instant the better quality, then value.

    What comes after makes the order total: quality flags, sequence, and the earlier receipt.
    """
    order = np.lexsort(
        (
            -reports.received_at_us,
            reports.sequence,
            reports.quality,
            reports.value,
            point_rank(reports.quality),
            reports.observed_at_us,
            reports.position,
        )
    )
    position = reports.position[order]
    final = np.append(position[1:] != position[:-1], True) if len(position) else np.zeros(0, np.bool_)
    return reports.take(order[final])


@dataclass(frozen=True, slots=True)
class SwitchChange:
    """A switch that was seen in another position than before, or earlier than what was seen last."""

    position: int
    closed: bool
    observed_at_us: int
    late: bool
    """Observed before what was stored of it: a later position may stand already."""


def switch_changes(
    reports: Reports, table: PointTable, stored: Mapping[int, tuple[int, float, int]]
) -> list[SwitchChange]:
    """Changes of switches by instant; a position that isn't good, or neither open nor closed, says nothing.

    Parameters
    ----------
    stored
        By point id: instant, value and rank of the last value from before the batch.
    """
    of_switch = table.is_switch[reports.position] & (point_rank(reports.quality) == GOOD)
    seen = reports.take(np.flatnonzero(of_switch & ((reports.value == 0) | (reports.value == 1))))
    order = np.lexsort((seen.value, seen.observed_at_us, seen.position))
    seen = seen.take(order)
    first = np.append(True, seen.position[1:] != seen.position[:-1])[: len(seen)]
    same = np.append(False, seen.value[1:] == seen.value[:-1])[: len(seen)] & ~first
    last = {position: stored.get(int(table.point_id[position])) for position in np.unique(seen.position).tolist()}
    changes = []
    for i in np.flatnonzero(~same).tolist():
        position, at_us = int(seen.position[i]), int(seen.observed_at_us[i])
        closed = bool(seen.value[i] == 1)
        before = last[position]
        late = before is not None and at_us < before[0]
        if first[i] and not late and before is not None and before[2] == GOOD and before[1] == seen.value[i]:
            continue
        changes.append(SwitchChange(position, closed, at_us, late))
    return sorted(changes, key=lambda c: (c.observed_at_us, c.position))


def _joined(
    arrays: list[NDArray[np.int64]] | list[NDArray[np.float64]] | list[NDArray[np.uint8]], kind: type
) -> NDArray:  # type: ignore[type-arg]  # of `kind`
    return np.concatenate(arrays) if arrays else np.empty(0, kind)


def _rows(
    batches: Sequence[PointBatch],
    units: NDArray[np.int32],
    message: NDArray[np.int64],
    reports: Reports,
    table: PointTable,
) -> PointRows:
    minute_us = reports.observed_at_us // MINUTE_US * MINUTE_US
    offset_us = (reports.observed_at_us - minute_us).astype(np.int32)
    is_power = table.is_power[reports.position]
    point_id = table.point_id[reports.position]
    order = np.lexsort((reports.quality, reports.value, point_id, offset_us, ~is_power, minute_us, message))
    message, minute_us, offset_us, is_power = message[order], minute_us[order], offset_us[order], is_power[order]
    edge = (message[1:] != message[:-1]) | (minute_us[1:] != minute_us[:-1])
    begins = np.flatnonzero(np.append(True, edge)) if len(message) else np.zeros(0, np.int64)
    starts = np.append(begins, len(message)).astype(np.int64)
    of = message[begins]
    rows = PointRows(
        unit_id=units[of],
        minute_us=minute_us[begins],
        digest=np.array([b.digest for b in batches], np.int64)[of],
        sequence=np.array([b.sequence for b in batches], np.int64)[of],
        cause=np.array([int(b.cause) for b in batches], np.int16)[of],
        received_at_us=np.array([b.received_at_us for b in batches], np.int64)[of],
        first_us=_reduced(np.minimum, offset_us, begins),
        power_count=_reduced(np.add, is_power.astype(np.int32), begins),
        starts=starts,
        point_id=point_id[order],
        offset_us=offset_us,
        value=reports.value[order],
        quality=reports.quality[order],
    )
    return _each_key_once(rows)


def _reduced(by: np.ufunc, values: NDArray[np.int32], begins: NDArray[np.intp]) -> NDArray[np.int32]:
    return by.reduceat(values, begins).astype(np.int32) if len(begins) else np.zeros(0, np.int32)


def _each_key_once(rows: PointRows) -> PointRows:
    """Of rows with one key the one with most points, then the one that was received first: as the store does it."""
    sizes = np.diff(rows.starts)
    order = np.lexsort((rows.received_at_us, -sizes, rows.digest, rows.minute_us, rows.unit_id))
    unit, minute, digest = rows.unit_id[order], rows.minute_us[order], rows.digest[order]
    repeat = (unit[1:] == unit[:-1]) & (minute[1:] == minute[:-1]) & (digest[1:] == digest[:-1])
    if not repeat.any():
        return rows
    keep = order[np.append(True, ~repeat)]
    starts = np.append(0, np.cumsum(sizes[keep])).astype(np.int64)
    members = np.repeat(rows.starts[keep] - starts[:-1], sizes[keep]) + np.arange(starts[-1])
    return PointRows(
        unit_id=rows.unit_id[keep],
        minute_us=rows.minute_us[keep],
        digest=rows.digest[keep],
        sequence=rows.sequence[keep],
        cause=rows.cause[keep],
        received_at_us=rows.received_at_us[keep],
        first_us=rows.first_us[keep],
        power_count=rows.power_count[keep],
        starts=starts,
        point_id=rows.point_id[members],
        offset_us=rows.offset_us[members],
        value=rows.value[members],
        quality=rows.quality[members],
    )
