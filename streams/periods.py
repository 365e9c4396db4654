"""Keeps the rows of days and months up to date with the intervals, the limits and the thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from grid.period import PeriodKind, first_day
from store.connection import Connection
from store.periods import (
    Place,
    begin_refresh,
    changed_days,
    due_periods,
    end_refresh,
    make_keys,
    next_batch,
    read_pieces,
    write_periods,
)
from streams.steps.periods import PeriodRules, fold_periods

#: Interval rows taken in one transaction, and periods due.
_ROWS = 50_000
_DUE = 5_000
#: Periods summed up together: a day has up to 1,440 intervals with some versions each.
_PAGE = 500
#: What was received before a limit may still be on its way through Kafka and the workers for this long. What comes
#: later still counts as of when it was received.
GRACE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh has done.

    Attributes
    ----------
    intervals
        Interval rows that had changed.
    days, months
        Periods that were summed up.
    rows
        Of these, revisions that were new or other than before.
    more
        Whether there is more to do.
    """

    intervals: int
    days: int
    months: int
    rows: int
    more: bool


def refresh_periods(
    connection: Connection,
    rules: PeriodRules,
    zone: ZoneInfo,
    *,
    until: datetime | None = None,
    kept_days: int | None = None,
    batch: int = _ROWS,
) -> Refreshed | None:
    """Take up what has changed since the last time, in one transaction; None while another does.

    Parameters
    ----------
    zone
        The utility's, by whose midnights days begin.
    until
        Limits up to this instant have passed; None: up to `GRACE` ago.
    kept_days
        Days for which intervals are kept: days before that are left as they are. None: all are there.
    batch
        Interval rows to take, about.

    Raises
    ------
    psycopg.Error
        When the store can't be used.
    """
    with connection.transaction():
        progress = begin_refresh(connection)
        if progress is None:
            return None
        until = progress.horizon - GRACE if until is None else until
        found = next_batch(connection, progress, batch)
        due = due_periods(connection, until, _DUE)
        days = {(unit_id, first) for unit_id, kind, first in due if kind is PeriodKind.DAY}
        if found is not None:
            days |= set(changed_days(connection, progress, found.until, str(zone)))
        if kept_days is not None:
            oldest = (progress.horizon - timedelta(days=kept_days)).astimezone(zone).date()
            days = {(unit_id, first) for unit_id, first in days if first > oldest}
        months = {(unit_id, first) for unit_id, kind, first in due if kind is PeriodKind.MONTH}
        months |= {(unit_id, first_day(PeriodKind.MONTH, first)) for unit_id, first in days}
        until_us = round(until.timestamp() * 1e6)
        rows = _sum_up(connection, PeriodKind.DAY, sorted(days), rules, zone, until_us)
        rows += _sum_up(connection, PeriodKind.MONTH, sorted(months), rules, zone, until_us)
        if found is not None:
            end_refresh(connection, found.until)
    taken = 0 if found is None else found.rows
    more = taken >= batch or (len(due) >= _DUE and rows > 0)
    return Refreshed(taken, len(days), len(months), rows, more)


def _sum_up(
    connection: Connection,
    kind: PeriodKind,
    places: Sequence[Place],
    rules: PeriodRules,
    zone: ZoneInfo,
    until_us: int,
) -> int:
    rows = 0
    for i in range(0, len(places), _PAGE):
        keys = make_keys(connection, kind, places[i : i + _PAGE], zone)
        rows += write_periods(connection, keys, fold_periods(keys, read_pieces(connection, keys), rules, until_us))
    return rows
