"""How long days and months take to be brought up to date: 500 units, 31 days of quarter-hours.

python -m benchmarks.periods --json
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from benchmarks.report import Result, main, result
from benchmarks.stack import benchmark_stack
from grid.limits import Limits
from grid.thresholds import Thresholds
from meterline.bootstrap import opener
from store.connection import Connection
from streams.periods import refresh_periods
from streams.steps.periods import PeriodRules

_UNITS = 500
_DAYS = 31
_ZONE = ZoneInfo("Asia/Shanghai")
_RULES = PeriodRules(Limits(), Thresholds())
_AFTER = datetime(2026, 9, 1, tzinfo=UTC)

_FILL = """
insert into loss.balance (
  unit_id, observed_at, interval_s, inflow_wh, outflow_wh, loss_wh, members_loss_wh, sigma_wh, coverage, status,
  computable, revision, received_at, published_at, technical_wh, systematic_sigma_wh, ends_sigma_wh, recorded_at
)
select
  unit_id, at, 900, 10000, 9600, 400, 0, 60, 1, 'final', true, 1, at, at, 120, 50, 10, now() - interval '2 seconds'
from grid.unit, generate_series(
  timestamptz '2026-07-01 00:15+08', timestamptz '2026-07-01 00:00+08' + %(days)s * interval '1 day', '15 minutes'
) at
"""
_CHANGE = """
with late as (
  select unit_id, observed_at, interval_s
  from loss.balance
  where observed_at > %(first)s and observed_at <= %(last)s
), kept as (
  insert into loss.superseded (
    unit_id, observed_at, interval_s, revision, inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh,
    sigma_wh, coverage, computable, status, published_at
  )
  select
    unit_id, observed_at, interval_s, revision, inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh,
    sigma_wh, coverage, computable, status, published_at
  from loss.balance join late using (unit_id, observed_at, interval_s)
)
update loss.balance b
set revision = revision + 1, status = 'restated', loss_wh = loss_wh + 1, outflow_wh = outflow_wh - 1,
  published_at = %(at)s, recorded_at = now() - interval '2 seconds'
from late
where (b.unit_id, b.observed_at, b.interval_s) = (late.unit_id, late.observed_at, late.interval_s)
"""


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _refresh(connection: Connection) -> tuple[int, int]:
    days = months = 0
    while True:
        done = refresh_periods(connection, _RULES, _ZONE, until=_AFTER)
        assert done is not None
        days, months = days + done.days, months + done.months
        if not done.more:
            return days, months


def measure() -> list[Result]:
    """Fill, refresh, change, refresh again."""
    results = []
    with benchmark_stack() as (_, settings), opener(settings, "benchmark")() as connection:
        connection.autocommit = True
        connection.execute(
            "insert into grid.unit (code, kind, name) select 'A' || n, 'area', 'A' from generate_series(1, %s) n",
            [_UNITS],
        )
        rows = connection.execute(_FILL, {"days": _DAYS}).rowcount
        assert rows == _UNITS * _DAYS * 96
        seconds = _seconds(lambda: _refresh(connection))
        results.append(result("a month of days from nothing", rows / seconds, "intervals/s"))
        connection.execute("analyze loss.balance")
        connection.execute("analyze loss.period_revision")
        spans = {
            "one changed day": ("2026-07-09 00:00+08", "2026-07-10 00:00+08", 1.0),
            "one late quarter-hour": ("2026-07-16 12:00+08", "2026-07-16 12:15+08", 1.0),
            "a week": ("2026-07-19 00:00+08", "2026-07-26 00:00+08", None),
        }
        for hour, (name, (first, last, target)) in enumerate(spans.items()):
            at = datetime(2026, 8, 3, hour, tzinfo=UTC)
            changed = connection.execute(_CHANGE, {"first": first, "last": last, "at": at}).rowcount
            started = time.perf_counter()
            days, months = _refresh(connection)
            seconds = time.perf_counter() - started
            assert days == _UNITS * max(1, changed // (_UNITS * 96))
            assert months == _UNITS
            results.append(result(f"{name} of {_UNITS} units", seconds, "s", target, less_is_better=True))
        restated = connection.execute(
            "select count(*), sum(loss_wh) from loss.period where period = 'month' and status = 'restated'"
        ).fetchone()
        assert restated == (_UNITS, _UNITS * (_DAYS * 96 * 400 + 96 + 1 + 7 * 96))
        results.append(result("nothing changed", _seconds(lambda: _refresh(connection)), "s", less_is_better=True))
    return results


if __name__ == "__main__":
    main(measure, __doc__ or "")
