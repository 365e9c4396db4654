"""Abnormal usage in the store: the days of areas as arrays, states, conclusions of days, and the daily job's progress.

All functions work inside the caller's transaction.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np

from grid.quality import MISSING_WH
from grid.usage import AreaIntervals, DayConclusion, FoldedDay, MeterAccount
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("usage")


@dataclass(frozen=True, slots=True)
class Area:
    """An area with how far it was folded; `through` is None before its first day."""

    unit_id: int
    unit: str
    first_day: date
    through: date | None


def begin_round(connection: Connection) -> datetime | None:
    """Take the job's lock for the transaction; up to when changes were looked at, None while another has it."""
    row = connection.execute(_SQL["lock"]).fetchone()
    return None if row is None else row[0]


def advance(connection: Connection, until: datetime) -> None:
    """Put down that changes were looked at up to an instant."""
    connection.execute(_SQL["advance"], {"until": until})


def changed_days(connection: Connection, through: datetime, until: datetime, zone: str) -> list[tuple[int, date]]:
    """Unit and local day of areas whose intervals were written in (through, until]."""
    return connection.execute(_SQL["changed"], {"through": through, "until": until, "zone": zone}).fetchall()


def read_areas(connection: Connection, unit_ids: Sequence[int]) -> dict[int, tuple[date, date | None]]:
    """First and last folded day of the areas that are known, by unit."""
    rows = connection.execute(_SQL["areas"], {"unit_ids": list(unit_ids)})
    return {unit_id: (first, through) for unit_id, first, through in rows}


def add_area(connection: Connection, unit_id: int, first_day: date) -> None:
    """Begin to fold an area with a day, or with an earlier one than it was: then all of it is to be folded again."""
    connection.execute(_SQL["add_area"], {"unit_id": unit_id, "first_day": first_day})


def due_areas(connection: Connection, day: date, limit: int, unit: str | None = None) -> list[Area]:
    """Areas that weren't folded through a day, those the farthest behind first."""
    rows = connection.execute(_SQL["due"], {"day": day, "limit": limit, "unit": unit})
    return [Area(*row) for row in rows]


def lock_area(connection: Connection, unit_id: int) -> Area:
    """An area that is known as it is now, for this transaction alone."""
    row = connection.execute(_SQL["lock_area"], {"unit_id": unit_id}).fetchone()
    assert row is not None  # noqa: S101  # areas are never removed
    return Area(*row)


def set_through(connection: Connection, unit_id: int, day: date | None) -> None:
    """Put down the last day that was folded."""
    connection.execute(_SQL["set_through"], {"unit_id": unit_id, "day": day})


def read_intervals(connection: Connection, unit_id: int, size: int, begin: datetime, end: datetime) -> AreaIntervals:
    """Intervals of an area that end in (begin, end], for a roster of `size` positions."""
    arguments = {"unit_id": unit_id, "begin": begin, "end": end}
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_SQL["days"], arguments).fetchall()
    energy = np.full((2, len(rows), size), MISSING_WH, np.int64)
    quality = np.ones((len(rows), size), np.uint8)
    for n, row in enumerate(rows):
        for k in (0, 1):
            values = row[2 + k][:size]
            energy[k, n, : len(values)] = values
        flags = np.frombuffer(row[4], np.uint8)[:size]
        quality[n, : len(flags)] = flags
    figures = np.array([[np.nan if x is None else x for x in row[6:]] for row in rows], np.float64).reshape(-1, 5).T
    inflow_wh, loss_wh, technical_wh, sigma_wh, systematic_sigma_wh = figures
    return AreaIntervals(
        ends_us=np.array([row[0] for row in rows], np.int64),
        interval_s=np.array([row[1] for row in rows], np.int64),
        import_wh=energy[0],
        export_wh=energy[1],
        quality=quality,
        computable=np.array([row[5] for row in rows], np.bool_),
        inflow_wh=inflow_wh,
        loss_wh=loss_wh,
        technical_wh=technical_wh,
        sigma_wh=sigma_wh,
        systematic_sigma_wh=systematic_sigma_wh,
    )


def read_accounts(connection: Connection, unit_id: int, at: datetime, since: datetime) -> list[MeterAccount]:
    """Accounts of an area's customers at an instant, with what has changed since another."""
    rows = connection.execute(_SQL["accounts"], {"unit_id": unit_id, "at": at, "since": since})
    return [MeterAccount(*row) for row in rows]


def read_state(connection: Connection, unit_id: int, before: date) -> tuple[date, int, bytes] | None:
    """The newest state before a day: its day, the model's version, its bytes."""
    return connection.execute(_SQL["state_before"], {"unit_id": unit_id, "day": before}).fetchone()


def write_state(connection: Connection, unit_id: int, day: date, version: int, state: bytes, oldest: date) -> None:
    """Keep the state after a day, and of the older ones the last of each month since `oldest`."""
    connection.execute(_SQL["write_state"], {"unit_id": unit_id, "day": day, "version": version, "state": state})
    for name in ("thin_states", "thin_days", "thin_conclusions"):
        connection.execute(_SQL[name], {"unit_id": unit_id, "newest": day, "oldest": oldest})


def forget_from(connection: Connection, unit_id: int, day: date) -> None:
    """Remove what was said of a day and those after it."""
    for name in ("forget_states", "forget_days", "forget_conclusions"):
        connection.execute(_SQL[name], {"unit_id": unit_id, "day": day})


def read_days(connection: Connection, unit_id: int, first: date, last: date) -> list[FoldedDay]:
    """Folded days of an area, in order."""
    rows = connection.execute(_SQL["area_days"], {"unit_id": unit_id, "first": first, "last": last})
    return [FoldedDay(*row) for row in rows]


def write_day(connection: Connection, unit_id: int, row: FoldedDay) -> None:
    """Keep what a folded day came to."""
    names = FoldedDay.__slots__
    connection.execute(_SQL["write_day"], {"unit_id": unit_id, **{name: getattr(row, name) for name in names}})


def write_conclusions(connection: Connection, unit_id: int, day: date, rows: Sequence[DayConclusion]) -> None:
    """Keep what was concluded on a day."""
    if not rows:
        return
    plain = [
        {
            "meter": row.meter,
            "kind": row.kind,
            "confidence": round(row.confidence, 4),
            "begin_day": row.begin_day.isoformat(),
            "expected_wh": row.expected_wh,
            "tariff_class": row.tariff_class,
            "reasons": list(row.reasons),
            "evidence": dict(row.evidence),
        }
        for row in rows
    ]
    text = json.dumps(plain, allow_nan=False)
    connection.execute(_SQL["write_conclusions"], {"unit_id": unit_id, "day": day, "conclusions": text})


def read_conclusions(connection: Connection, unit_id: int, first: date, last: date) -> list[DayConclusion]:
    """Conclusions of an area, by meter and day."""
    rows = connection.execute(_SQL["conclusions"], {"unit_id": unit_id, "first": first, "last": last})
    return [DayConclusion(*row) for row in rows]


def read_area_of(connection: Connection, meter: str) -> tuple[Area, int] | None:
    """The area on which a customer's meter hangs or hung last, with its position; None where it was never looked at."""
    row = connection.execute(_SQL["area_of_meter"], {"meter": meter}).fetchone()
    return None if row is None else (Area(*row[:4]), int(row[4]))


def count_behind(connection: Connection, day: date) -> tuple[int, date | None]:
    """How many areas weren't folded through a day, and the day through which all were."""
    row = connection.execute(_SQL["behind"], {"day": day}).fetchone()
    assert row is not None  # noqa: S101  # an aggregate
    return int(row[0]), row[1]
