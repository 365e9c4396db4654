"""What the comparison of records with voltages and losses reads and keeps; inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import numpy as np

from grid.usage import AreaVoltages
from store.connection import Connection
from store.sql import load_queries
from store.usage_findings import HeldFinding

_SQL = load_queries("usage_association")
_MISSING = np.iinfo(np.int16).min


def begin_association(connection: Connection) -> None:
    """Take the lock of what is written of comparisons, for the transaction."""
    connection.execute(_SQL["lock"])


def due_areas(
    connection: Connection, day: date, first_day: date, since: date, limit: int, unit: str | None = None
) -> list[tuple[int, str]]:
    """Areas known since `first_day` that weren't compared after `since`; a named one, if it wasn't after `day`."""
    arguments = {"day": day, "first_day": first_day, "since": since, "limit": limit, "unit": unit}
    return connection.execute(_SQL["due"], arguments).fetchall()


def read_neighbours(connection: Connection, unit_id: int, at: datetime, limit: int) -> list[str]:
    """Codes of the areas behind the same feeder, the nearest first."""
    rows = connection.execute(_SQL["neighbours"], {"unit_id": unit_id, "at": at, "limit": limit})
    return [code for (code,) in rows]


def read_interval_s(connection: Connection, unit_id: int, begin: datetime, end: datetime) -> int | None:
    """Length of most intervals that have voltages; None where none has."""
    row = connection.execute(_SQL["interval"], {"unit_id": unit_id, "begin": begin, "end": end}).fetchone()
    return None if row is None else int(row[0])


def read_voltages(
    connection: Connection, unit_id: int, size: int, begin: datetime, end: datetime, interval_s: int
) -> AreaVoltages:
    """Voltages of an area in intervals that end in (begin, end], for a roster of `size` positions."""
    arguments = {"unit_id": unit_id, "begin": begin, "end": end, "interval_s": interval_s}
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_SQL["voltages"], arguments).fetchall()
    voltage_dv = np.full((3, len(rows), size), _MISSING, np.int16)
    for n, row in enumerate(rows):
        for phase, values in enumerate(row[1:]):
            if values is not None:
                voltage_dv[phase, n, : len(values)] = values[:size]
    return AreaVoltages(np.array([row[0] for row in rows], np.int64), voltage_dv)


def advance_association(connection: Connection, unit_id: int, through: date, meters: int, doubted: int) -> bool:
    """Put down that an area was compared through a day; False where it was through a later one already."""
    arguments = {"unit_id": unit_id, "through": through, "meters": meters, "doubted": doubted}
    return connection.execute(_SQL["advance"], arguments).rowcount > 0


def read_held_records(connection: Connection, unit_id: int) -> list[HeldFinding]:
    """Findings of an area's records that hold."""
    return [HeldFinding(*row) for row in connection.execute(_SQL["held"], {"unit_id": unit_id})]


def write_measured(
    connection: Connection, meters: Sequence[str], measured: Sequence[tuple[str, str, float]], at: datetime
) -> None:
    """Keep meter, area and confidence where another area than the recorded one was measured; forget it of the others.

    Parameters
    ----------
    meters
        All that were compared.
    """
    connection.execute(_SQL["forget_measured"], {"meters": list(meters)})
    if measured:
        names, areas, confidences = (list(column) for column in zip(*measured, strict=True))
        arguments = {"meters": names, "areas": areas, "confidences": confidences, "ats": [at] * len(names)}
        connection.execute(_SQL["add_measured"], arguments)
