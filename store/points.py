"""SCADA points: who they are, what they reported, and what is known of each now."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from grid.point_table import KnownPoint, PointRows, PointTable, Reports
from grid.points import Point, PointKind, point_rank
from store.blocks import to_datetime
from store.connection import ArrayLoader, Connection
from store.outbox import add_change, begin_change
from store.pgbinary import EPOCH_US, HEADER, TRAILER, ArrayColumn
from store.sql import load_queries
from store.views import NOW

_SQL = load_queries("points")
_HEAD = struct.Struct(">hiiiqiqiqihiqiiii")
_FIELDS = 12
_LAST = np.dtype(
    [
        ("fields", ">i2"),
        *(
            part
            for name, kind in (
                ("point_id", ">i4"),
                ("observed_at", ">i8"),
                ("received_at", ">i8"),
                ("sequence", ">i8"),
                ("value", ">f8"),
                ("rank", ">i2"),
                ("quality", ">i2"),
            )
            for part in ((f"{name}_length", ">i4"), (name, kind))
        ),
    ]
)


class UnknownReferenceError(ValueError):
    """Points name units or meters that the model doesn't have, or would move; `problems` lists them."""

    def __init__(self, problems: list[str]) -> None:
        shown = "; ".join(problems[:20])
        super().__init__(shown if len(problems) <= 20 else f"{shown} (and {len(problems) - 20} more)")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class LastValue:
    """What is known of a point now; None throughout where nothing was ever reported."""

    unit: str
    point: str
    kind: str
    unit_of_measure: str
    value: float | None
    quality: int | None
    observed_at: datetime | None
    received_at: datetime | None
    age_s: float | None
    cycle_s: int
    meter: str | None
    switch: str | None


@dataclass(frozen=True, slots=True)
class Around:
    """What is stored around a unit's minute.

    Attributes
    ----------
    newest_us
        The latest instant that any point of the unit was seen at.
    prior_us
        Beginning of the minute of the report before; None when there is none in a day, or it lies in the same minute.
    interval_s
        Length of interval of the unit's blocks about then; None when it has none.
    """

    newest_us: int
    prior_us: int | None
    interval_s: int | None


def load_points(connection: Connection, points: Sequence[Point]) -> list[str]:
    """Make the store know `points` as they are, in one transaction; returns codes of the units where any changed.

    Points that it knows and that aren't named stay.

    Raises
    ------
    UnknownReferenceError
        Nothing is written then.
    """
    columns = {
        "code": [p.code for p in points],
        "unit": [p.unit for p in points],
        "kind": [p.kind.value for p in points],
        "unit_of_measure": [p.unit_of_measure for p in points],
        "dead_band": [float(p.dead_band) for p in points],
        "cycle_s": [p.cycle_s for p in points],
        "sign": [p.sign for p in points],
        "meter": [p.meter for p in points],
        "switch": [p.switch for p in points],
    }
    with connection.transaction():
        instant = begin_change(connection)
        problems = [f"no {row[0]}" for row in connection.execute(_SQL["unknown"], columns)]
        problems += [f"point {row[0]} belongs to another unit" for row in connection.execute(_SQL["moved"], columns)]
        if problems:
            raise UnknownReferenceError(problems)
        units = sorted({row[0] for row in connection.execute(_SQL["load"], columns)})
        for unit in units:
            add_change(connection, "unit", unit, "unit.points", {"unit": unit, "units": [unit]}, instant)
    return units


def load_table(connection: Connection) -> PointTable:
    """All points that are known."""
    known = []
    for row in connection.execute(_SQL["table"]):
        point_id, code, unit_id, unit, gateway, kind, measure, dead_band, cycle_s, sign, meter, switch = row
        point = Point(code, unit, PointKind(kind), measure, dead_band, cycle_s, sign, meter, switch)
        known.append(KnownPoint(point_id, unit_id, gateway, point))
    return PointTable(known)


def list_points(connection: Connection, unit: str | None = None, limit: int = 100_000) -> list[LastValue]:
    """Last values by unit and point; of one unit where its code is given."""
    return [LastValue(*row) for row in connection.execute(_SQL["list"], {"unit": unit, "limit": limit})]


def write_reports(connection: Connection, rows: PointRows, last: Reports, table: PointTable) -> None:
    """Add rows to the history and move last values on, inside the caller's transaction; a repeat changes nothing."""
    if not len(rows):
        return
    with connection.cursor() as cursor:
        cursor.execute(_SQL["stage"])
        with cursor.copy(_SQL["copy"]) as copy:
            copy.write(_encode(rows))
        cursor.execute(_SQL["write"])
        cursor.execute(_SQL["stage_last"])
        with cursor.copy(_SQL["copy_last"]) as copy:
            copy.write(_encode_last(last, table))
        cursor.execute(_SQL["write_last"])


def read_last(connection: Connection, point_id: list[int]) -> dict[int, tuple[int, float, int]]:
    """Instant in microseconds, value and rank of the last value of each point that has one."""
    rows = connection.execute(_SQL["last"], {"point_id": point_id}) if point_id else ()
    return {row[0]: (row[1], row[2], row[3]) for row in rows}


def next_position(
    connection: Connection, unit_id: int, point_id: int, after_us: int, until_us: int
) -> tuple[int, float] | None:
    """Instant and value of the first good position of a switch after one instant, up to another; None without one."""
    arguments = {
        "unit_id": unit_id,
        "point_id": point_id,
        "after": to_datetime(after_us),
        "until": to_datetime(until_us),
    }
    row = connection.execute(_SQL["next_report"], arguments).fetchone()
    return None if row is None else (row[0], row[1])


def read_around(connection: Connection, unit_id: list[int], minute_us: list[int], first_us: list[int]) -> list[Around]:
    """What is stored around each (unit, minute), `first_us` being the least offset in it of what was written now."""
    minutes = [to_datetime(us) for us in minute_us]
    arguments = {
        "unit_id": unit_id,
        "minute": minutes,
        "first_us": first_us,
        "first": min(minutes),
        "last": max(minutes),
    }
    found = {row[0]: Around(row[1], row[2], row[3]) for row in connection.execute(_SQL["around"], arguments)}
    return [found[n] for n in range(1, len(unit_id) + 1)]


def read_power(
    connection: Connection, unit_id: list[int], begin_us: list[int], end_us: list[int], table: PointTable
) -> dict[int, Reports]:
    """Reports of active power of each span [begin, end) of a unit, whole minutes, by span; in no order.

    Spans without a report are left out.
    """
    arguments = {
        "unit_id": unit_id,
        "begin": [to_datetime(us) for us in begin_us],
        "end": [to_datetime(us) for us in end_us],
        "first": to_datetime(min(begin_us)),
        "last": to_datetime(max(end_us)),
    }
    order = np.argsort(table.point_id)
    ids = table.point_id[order]
    found = {}
    with connection.cursor(binary=True) as cursor:
        cursor.adapters.register_loader(cursor.adapters.types["float8"].array_oid, ArrayLoader)
        for n, point_id, observed_at_us, value, quality, sequence, received_at_us in cursor.execute(
            _SQL["power"], arguments
        ):
            at = np.minimum(np.searchsorted(ids, point_id), len(ids) - 1)
            known = ids[at] == point_id
            found[n - 1] = Reports(
                position=order[at].astype(np.int64),
                observed_at_us=observed_at_us,
                value=value,
                quality=quality.astype(np.uint8),
                sequence=sequence,
                received_at_us=received_at_us,
            ).take(known)
    return found


def read_multipliers(
    connection: Connection, keys: Sequence[tuple[int, str, int]], known_at: datetime | None = None
) -> dict[int, int]:
    """Multiplier of each (unit id, gateway meter, end of interval in microseconds), by index; others are left out.

    As was believed at `known_at`; None = as it is believed now.
    """
    arguments = {
        "unit_id": [key[0] for key in keys],
        "meter": [key[1] for key in keys],
        "at": [to_datetime(key[2]) for key in keys],
        "known_at": known_at or NOW,
    }
    return {row[0] - 1: row[1] for row in connection.execute(_SQL["multipliers"], arguments)}


def _encode(rows: PointRows) -> bytes:
    point_id = ArrayColumn(rows.point_id)
    offset_us = ArrayColumn(rows.offset_us)
    value = ArrayColumn(rows.value)
    quality = rows.quality.tobytes()
    starts = rows.starts.tolist()
    heads = zip(
        rows.unit_id.tolist(),
        (rows.minute_us - EPOCH_US).tolist(),
        rows.digest.tolist(),
        rows.sequence.tolist(),
        rows.cause.tolist(),
        (rows.received_at_us - EPOCH_US).tolist(),
        rows.first_us.tolist(),
        rows.power_count.tolist(),
        strict=True,
    )
    parts = [HEADER]
    for r, (unit_id, minute, digest, sequence, cause, received, first, power) in enumerate(heads):
        a, b = starts[r], starts[r + 1]
        parts += (
            _HEAD.pack(
                _FIELDS, 4, unit_id, 8, minute, 8, digest, 8, sequence, 2, cause, 8, received, 4, first, 4, power
            ),
            point_id.field(a, b),
            offset_us.field(a, b),
            value.field(a, b),
            struct.pack(">i", b - a),
            quality[a:b],
        )
    parts.append(TRAILER)
    return b"".join(parts)


def _encode_last(last: Reports, table: PointTable) -> bytes:
    columns: dict[str, NDArray[np.int64] | NDArray[np.int32] | NDArray[np.float64] | NDArray[np.int16]] = {
        "point_id": table.point_id[last.position],
        "observed_at": last.observed_at_us - EPOCH_US,
        "received_at": last.received_at_us - EPOCH_US,
        "sequence": last.sequence,
        "value": last.value,
        "rank": point_rank(last.quality),
        "quality": last.quality.astype(np.int16),
    }
    out = np.empty(len(last), _LAST)
    out["fields"] = len(columns)
    for name, column in columns.items():
        out[f"{name}_length"] = _LAST[name].itemsize
        out[name] = column
    return HEADER + out.tobytes() + TRAILER
