"""Thresholds of loss rates as they were recorded: only added to, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from grid.model import UnitKind
from grid.thresholds import Threshold, Thresholds
from store.blocks import to_datetime
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("thresholds")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A threshold with who put it down, and why."""

    threshold_id: int
    threshold: Threshold
    recorded_by: str
    reason: str


def read_thresholds(connection: Connection) -> list[Recorded]:
    """All that were ever recorded, in that order."""
    return [
        Recorded(number, Threshold(UnitKind(kind), low, high, inflow, valid_us, voltage, recorded_us), who, why)
        for number, kind, low, high, inflow, valid_us, voltage, recorded_us, who, why in connection.execute(
            _SQL["load"]
        )
    ]


def newest_threshold(connection: Connection) -> int:
    """Number of the threshold that was recorded last; 0 when there is none."""
    row = connection.execute(_SQL["newest"]).fetchone()
    return 0 if row is None else int(row[0])


def load_thresholds(connection: Connection, defaults: Sequence[Threshold] = ()) -> Thresholds:
    """What holds for which kind of unit from when on; `defaults` where nothing is recorded."""
    return Thresholds((*defaults, *(recorded.threshold for recorded in read_thresholds(connection))))


def add_threshold(connection: Connection, threshold: Threshold, recorded_by: str, reason: str) -> int:
    """Record a threshold, and let periods that begin when it is valid be judged again; returns its number.

    Parameters
    ----------
    threshold
        Its `recorded_us` is not used: the database has its own clock.

    Raises
    ------
    ValueError
        When nobody recorded it, or without a reason.
    """
    if not recorded_by.strip() or not reason.strip():
        raise ValueError("a threshold needs who recorded it, and why")
    valid_from = to_datetime(threshold.valid_from_us)
    with connection.transaction():
        row = connection.execute(
            _SQL["add"],
            {
                "unit_kind": threshold.unit_kind.value,
                "medium_voltage_v": threshold.medium_voltage_v,
                "low_rate": threshold.low_rate,
                "high_rate": threshold.high_rate,
                "min_inflow_wh_per_h": threshold.min_inflow_wh_per_h,
                "valid_from": valid_from,
                "recorded_by": recorded_by,
                "reason": reason,
            },
        ).fetchone()
        again = {"unit_kind": threshold.unit_kind.value, "valid_from": valid_from}
        connection.execute(_SQL["judge_again"], again)
    assert row is not None  # noqa: S101  # an insert returns its row
    return int(row[0])


def valid_from(threshold: Threshold) -> datetime | None:
    """When it begins to hold; None of a default, which always has."""
    try:
        return to_datetime(threshold.valid_from_us)
    except OverflowError:
        return None
