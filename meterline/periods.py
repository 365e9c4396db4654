"""Keeps days and months up to date, by the configuration's rules."""

from __future__ import annotations

import threading
import time
from datetime import datetime

import structlog

from meterline.config import Settings
from meterline.day_changes import MOST, explain_days
from meterline.pace import rest
from store.connection import Connection
from store.thresholds import load_thresholds
from streams.periods import Refreshed, refresh_periods
from streams.steps.periods import PeriodRules

log = structlog.get_logger("meterline.periods")

#: Keeping up takes at most one part in this of one core's time, however many the units.
_SPARE = 10


def refresh(connection: Connection, settings: Settings) -> Refreshed | None:
    """Take up what has changed since the last time; None while another process does."""
    settling = settings.settling
    return refresh_periods(
        connection,
        PeriodRules(
            settling.limits(), load_thresholds(connection, settings.thresholds.defaults()), settling.period_share
        ),
        settling.zone(),
        kept_days=settings.retention.balances_d,
    )


def refresh_all(connection: Connection, settings: Settings) -> None:
    """Take up all there is; returns at once while another process does."""
    while (done := refresh(connection, settings)) is not None and done.more:
        pass


def keep_up(connection: Connection, settings: Settings, stop: threading.Event) -> bool:
    """One round of a service: sums, then what changed in them; returns whether there is more to do at once."""
    started = time.monotonic()
    done = refresh(connection, settings)
    if done is None:
        return False
    if done.rows:
        figures = {"intervals": done.intervals, "days": done.days, "months": done.months, "rows": done.rows}
        log.info("summed up", **figures, seconds=round(time.monotonic() - started, 2))
    if done.more:
        rest(time.monotonic() - started, stop)
        return True
    zone = settings.settling.zone()
    explained = explain_days(connection, zone, datetime.now(zone).date())
    stop.wait(_SPARE * (time.monotonic() - started) - settings.settling.period_every_s)
    return explained == MOST
