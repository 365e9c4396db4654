"""Looks at closed days by validation rules, as configured."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date

import structlog

from grid.model import UnitKind
from kernels.validation import Multiplier, Spike
from meterline.config import Settings
from meterline.settings.figures import ValidationSection
from store.connection import Connection
from streams.steps.validate import DayRules
from streams.validation import Validated, validate_due

log = structlog.get_logger("meterline.validation")

#: A day's limits pass once a day.
VALIDATE_EVERY_S = 300.0


def day_rules(options: ValidationSection) -> DayRules:
    """The rules with the limits that are configured."""
    return DayRules(
        Spike(options.spike_ratio, least_wh=options.spike_least_wh),
        options.zero_hours,
        options.flat_intervals,
        Multiplier(options.multiplier_factors, options.multiplier_tolerance, options.multiplier_days),
    )


def run(
    connection: Connection, settings: Settings, days: Sequence[date] | None = None, units: Sequence[str] | None = None
) -> Validated | None:
    """Look at days whose limits have passed; None while another process does."""
    return validate_due(
        connection,
        day_rules(settings.validation),
        settings.settling.limits().of(UnitKind.AREA).final_s,
        settings.settling.zone(),
        time.time_ns() // 1_000,
        days=days,
        units=units,
    )


def validate(connection: Connection, settings: Settings) -> bool:
    """One round of a service; False, since there is no more to do at once."""
    started = time.monotonic()
    done = run(connection, settings)
    if done is not None and done.units:
        log.info("validated", units=done.units, doubts=done.doubts, seconds=round(time.monotonic() - started, 2))
    return False
