"""What the comparison of records with voltages, energies and losses reads and keeps, inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np

from grid.quality import MISSING_WH, Quality
from grid.usage import AreaQuantities
from store.connection import Connection
from store.sql import load_queries
from store.usage_findings import HeldFinding

_SQL = load_queries("usage_association")
_MISSING = np.iinfo(np.int16).min
_PART = timedelta(days=7)
#: An energy with any of these isn't what the meter counted.
_NOT_READ = int(Quality.MISSING | Quality.ESTIMATED | Quality.SUSPECT | Quality.SUBSTITUTED)


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


def read_quantities(
    connection: Connection, unit_id: int, size: int, begin: datetime, end: datetime, interval_s: int
) -> AreaQuantities:
    """What an area's meters show in intervals that end in (begin, end], for a roster of `size` positions."""
    parts = []
    # A week at a time: rows as the server sends them take several times as much as what is kept of them.
    while begin < end:
        until = min(begin + _PART, end)
        arguments = {"unit_id": unit_id, "begin": begin, "end": until, "interval_s": interval_s}
        with connection.cursor(binary=True) as cursor:
            parts.append(quantities_of_rows(cursor.execute(_SQL["quantities"], arguments).fetchall(), size))
        begin = until
    return AreaQuantities(
        np.concatenate([one.ends_us for one in parts]),
        np.concatenate([one.voltage_dv for one in parts], axis=1),
        np.concatenate([one.current_ca for one in parts], axis=1),
        np.concatenate([one.power_factor_permille for one in parts]),
        np.concatenate([one.energy_wh for one in parts]),
    )


def quantities_of_rows(rows: Sequence[tuple[Any, ...]], size: int) -> AreaQuantities:
    """Rows of the query as arrays; what is estimated, substituted or doubted isn't what a meter counted."""
    small = np.full((7, len(rows), size), _MISSING, np.int16)
    energy_wh = np.full((len(rows), size), MISSING_WH, np.int64)
    for n, row in enumerate(rows):
        for channel, values in enumerate(row[1:8]):
            if values is not None:
                small[channel, n, : len(values)] = values[:size]
        taken, given = row[8][:size], row[9][:size]
        flags = np.ones(len(taken), np.uint8)
        told = np.frombuffer(row[10], np.uint8)[: len(taken)]
        flags[: len(told)] = told
        read = (taken != MISSING_WH) & (flags & _NOT_READ == 0)
        returned = np.where(given != MISSING_WH, given, 0)
        energy_wh[n, : len(taken)] = np.where(read, taken - returned, MISSING_WH)
    ends_us = np.array([row[0] for row in rows], np.int64)
    return AreaQuantities(ends_us, small[:3], small[3:6], small[6], energy_wh)


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
