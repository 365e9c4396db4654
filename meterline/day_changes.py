"""Keeps told why each feeder's last days lost more or less than the day before, for the boards."""

from __future__ import annotations

import math
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from kernels.change import Cause
from meterline.why import Span, WhyError, explain
from store.connection import Connection
from store.day_changes import FeederDay, unexplained_days, write_day_change

#: Days that are looked at: a limit passes, and late data come, within these.
LOOKED_AT = timedelta(days=4)
#: Feeders' days that are explained in one go, some hundredths of a second each.
MOST = 20


def explain_days(connection: Connection, zone: ZoneInfo, today: date, most: int = MOST) -> int:
    """Explain what isn't explained yet as it is published now; returns how many were.

    Parameters
    ----------
    zone
        The utility's, by whose midnights days begin.
    today
        Local; days that began up to `LOOKED_AT` before it are looked at.

    Raises
    ------
    psycopg.Error
        When the store can't be used.
    """
    days = unexplained_days(connection, today - LOOKED_AT, most)
    for day in days:
        _explain(connection, day, zone)
    return len(days)


def _explain(connection: Connection, day: FeederDay, zone: ZoneInfo) -> None:
    spans = Span.of_days(day.first_day - timedelta(days=1), 1, zone), Span.of_days(day.first_day, 1, zone)
    try:
        change = explain(connection, day.code, spans, zone, with_members=False).change
    except WhyError:
        write_day_change(connection, day, None, {}, None)
        return
    sigma_wh = change.parts[Cause.UNEXPLAINED].sigma_wh
    write_day_change(
        connection,
        day,
        change.before_wh,
        {cause.value: part.wh for cause, part in change.parts.items()},
        sigma_wh if math.isfinite(sigma_wh) else None,
    )
