"""What an update of the ledger of benefits costs: a year of work orders, all new, again, and a day later.

``python -m benchmarks.benefit_update --orders 5000 --areas 2000``, on servers of its own. Losses are random: what is
measured here is time and memory, and not whether effects are right (`benchmarks.benefit`). `again` is the same instant
a second time; `a day later` has one more day of all areas and the orders of that day: measured are the repairs of which
14 or 28 days are over now.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from datetime import UTC, date, datetime, timedelta
from functools import partial
from zoneinfo import ZoneInfo

import numpy as np

from benchmarks.report import Result, main, result
from benchmarks.stack import benchmark_stack
from benefit.parameters import hash_of, parse_parameters, to_body
from benefit.update import Updated, update_ledger
from meterline.bootstrap import opener
from store.benefit import add_parameters, approve_parameters
from store.connection import Connection

_FIRST, _YEAR, _AROUND = date(2025, 1, 1), 365, 29
_PARAMETERS = """
currency = "CNY"
prices = { default = 0.5 }
carbon = { g_per_kwh = 570, saved_share = 0.25 }
visits = { by_proposal = 1, by_conflict = 0.5, hours = 2, cost = 100 }
outages = { baseline_minutes = 90, value_per_customer_hour = 3 }
social = { bills_per_year = 12, complaints_per_wrong_bill = 0.1, complaints_per_customer_hour = 0.001 }
departments = { marketing = 1 }
"""
_DAYS = """
insert into loss.period_revision (
  unit_id, period, first_day, revision, begins_at, ends_at, expected_s, covered_s, intervals, inflow_wh, outflow_wh,
  loss_wh, members_loss_wh, uncontracted_wh, generation_wh, estimated_wh, sigma_wh, systematic_sigma_wh, ends_sigma_wh,
  opening_sigma_wh, closing_sigma_wh, computable, class, reasons, status, published_at
)
select
  u.unit_id, 'day', d.day, 1, d.day, d.day + 1, 86400, 86400, 96, n.inflow_wh, n.inflow_wh - n.loss_wh, n.loss_wh, 0, 0,
  0, 0, 100, 50, 10, 5, 5, true, 'normal', 0, 'final', d.day + 2
from unnest(%(days)s::date[]) d (day)
cross join grid.unit u
cross join lateral (
  select
    (500000 + 1000 * (u.unit_id %% 997) + 50000 * random())::bigint as inflow_wh,
    (20000 + 4000 * random())::bigint as loss_wh
) n
where u.kind = 'area'
"""


def measure(orders: int, areas: int) -> list[Result]:
    """Time, memory and what was done of three updates."""
    with benchmark_stack() as (_, settings), opener(settings, "benchmark")() as connection:
        connection.autocommit = True
        _begin(connection, areas)
        days = [_FIRST + timedelta(days=n) for n in range(_AROUND + _YEAR)]
        generator = np.random.default_rng(1)
        done = sorted(generator.integers(_AROUND, _AROUND + _YEAR, orders).tolist())
        _publish(connection, days)
        _confirm(connection, [days[n] for n in done], generator.integers(0, areas, orders).tolist())
        at = datetime(days[-1].year, days[-1].month, days[-1].day, 12, tzinfo=UTC)
        results = _timed("all new", connection, at)
        results += _timed("again", connection, at)
        _publish(connection, [days[-1] + timedelta(days=1)])
        a_day = max(1, round(orders / _YEAR))
        _confirm(connection, [days[-1]] * a_day, generator.integers(0, areas, a_day).tolist())
        results += _timed("a day later", connection, at + timedelta(days=1))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return [*results, result("largest resident memory", peak, "MiB", less_is_better=True)]


def _begin(connection: Connection, areas: int) -> None:
    connection.execute(
        "insert into grid.unit (code, kind, name) select 'A' || n, 'area', 'Area ' || n from generate_series(1, %s) n",
        [areas],
    )
    parameters = parse_parameters(_PARAMETERS)
    number, _ = add_parameters(connection, hash_of(parameters), to_body(parameters), "benchmark", "one")
    approve_parameters(connection, number, "another")


def _publish(connection: Connection, days: list[date]) -> None:
    for n in range(0, len(days), 20):
        connection.execute(_DAYS, {"days": days[n : n + 20]})
    connection.execute("analyze loss.period_revision")


def _confirm(connection: Connection, days: list[date], areas: list[int]) -> None:
    """Work orders that are done at noon of some days."""
    connection.execute(
        """
        with wanted as (
          select u.unit_id, n.day + time '12:00' as at, n.number
          from unnest(%(days)s::date[], %(codes)s::text[]) with ordinality n (day, code, number)
          join grid.unit u on u.code = n.code
        ), alert as (
          insert into alerts.alert (fingerprint, kind, severity, unit_id, state, evidence, opened_at)
          select 'theft:' || at || number, 'theft_bypass', 'warning', unit_id, 'closed', '{}', at from wanted
          returning alert_id, opened_at
        )
        insert into alerts.work_order (
          alert_id, state, assignee, created_at, created_by, deadline, evidence, result, found_wh, note, done_at,
          done_by
        )
        select
          alert_id, 'done', 'crew', opened_at, 'desk', opened_at, '{}', 'confirmed', 1000, 'seen', opened_at, 'crew'
        from alert
        """,
        {"days": days, "codes": [f"A{n + 1}" for n in areas]},
    )


def _timed(name: str, connection: Connection, at: datetime) -> list[Result]:
    begun, spent = time.monotonic(), time.process_time()
    done: Updated = update_ledger(connection, ZoneInfo("UTC"), at)
    seconds, processor_s = time.monotonic() - begun, time.process_time() - spent
    sys.stderr.write(f"{name}: {done.sources} sources, {done.measured} measured, {dict(done.written)}\n")
    return [
        result(f"{name}: time", seconds, "s", less_is_better=True),
        result(f"{name}: processor time, without the database's", processor_s, "s", less_is_better=True),
        result(f"{name}: repairs measured", done.measured, ""),
        result(f"{name}: entries written", done.written.total(), ""),
    ]


if __name__ == "__main__":
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--orders", type=int, default=5_000)
    own.add_argument("--areas", type=int, default=2_000)
    known, rest = own.parse_known_args()
    sys.argv[1:] = rest
    main(partial(measure, known.orders, known.areas), f"{__doc__}\n--orders N, --areas N")
