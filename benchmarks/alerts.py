"""Alerts on real servers of their own: a storm of findings, and outages from the meter to the notice.

A storm is 100,000 findings of a minute on 100 feeders, taken as they come, on a virtual clock; the rate is that of the
work alone, and processor time is that of this process and of PostgreSQL. An outage is a feeder of 3,000 meters, timed
from its instant over MQTT, bridge, Kafka, worker and alert service to the webhook, with the processes as they run:
once by its breaker's position, once by last gasps alone. Latency is that of a city of 1,000 feeders and 5,000 areas
that settle together, from the commit of an interval to the webhook.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial

from benchmarks.alerts_latency import time_alerts
from benchmarks.alerts_outage import BREAKER, GASPS, time_outages
from benchmarks.alerts_storm import storm, storm_model
from benchmarks.report import Result, main, result
from benchmarks.stack import benchmark_stack, processor_seconds
from deploy.stack import StackSpec
from meterline.bootstrap import opener
from meterline.config import Settings
from sync.load import load_grid

PARTS = ("storm", "outage", "latency")
_FINDINGS, _FEEDERS, _AREAS = 100_000, 100, 20
_OUT_AREAS, _OUT_METERS = 20, 150
_CITY_FEEDERS, _CITY_AREAS, _ROUNDS = 1_000, 5, 10


def measure(parts: tuple[str, ...]) -> list[Result]:
    """The figures of some parts."""
    results: list[Result] = []
    by_part = {"outage": _outages, "storm": _storm, "latency": _latency}
    for part in parts:
        # The grids of two parts have feeders of the same names.
        with benchmark_stack() as (spec, settings):
            results += by_part[part](spec, settings)
    return results


def _latency(spec: StackSpec, settings: Settings) -> list[Result]:
    seen = time_alerts(spec, settings, _CITY_FEEDERS, _CITY_AREAS, _ROUNDS)
    units = _CITY_FEEDERS * (1 + _CITY_AREAS)
    return [
        result(f"latency: alerts timed, of {units:,} units that settle together", len(seen.seconds), "alerts"),
        result("latency: an interval of all units, committed in", seen.settling_s, "s"),
        result("latency: settled to delivered, median", seen.percentile(50), "s"),
        result("latency: settled to delivered, p99", seen.percentile(99), "s", 3.0, less_is_better=True),
        result("latency: settled to delivered, at most", seen.percentile(100), "s"),
    ]


def _storm(spec: StackSpec, settings: Settings) -> list[Result]:
    with opener(settings, "benchmark")() as connection:
        connection.autocommit = True
        load_grid(connection, storm_model(_FEEDERS, _AREAS))
        server, own = processor_seconds(spec)["postgres"], time.process_time()
        seen = storm(connection, _FINDINGS, _FEEDERS, _AREAS)
        server, own = processor_seconds(spec)["postgres"] - server, time.process_time() - own
    return [
        result("storm: findings taken and looked at", seen.rate, "findings/s", _FINDINGS / 60),
        result("storm: of that, writing findings", seen.adding_s, "s"),
        result("storm: of that, looking at them", seen.looking_s, "s"),
        result("storm: processor time of this process", own, "s"),
        result("storm: processor time of PostgreSQL", server, "s"),
        result("storm: alerts", seen.alerts, "alerts", _FINDINGS),
        result("storm: alerts told", seen.told, "alerts", _FINDINGS),
        result("storm: notices", seen.notices, "notices"),
        result("storm: notices of one group in a minute, at most", seen.most, "notices", 1, less_is_better=True),
    ]


def _outages(spec: StackSpec, settings: Settings) -> list[Result]:
    seen = time_outages(spec, settings, _OUT_AREAS, _OUT_METERS)
    results = []
    for name, feeder, limit_s in (("breaker", BREAKER, 10.0), ("last gasps", GASPS, 30.0)):
        outage = seen[feeder]
        results += [
            result(f"outage by {name}: to the alert", outage.alert_s, "s", limit_s, less_is_better=True),
            result(f"outage by {name}: to the notice", outage.notice_s, "s", limit_s, less_is_better=True),
            result(f"outage by {name}: alerts", outage.alerts, "alerts", 1, less_is_better=True),
            result(f"outage by {name}: meters in it", outage.meters, "meters", _OUT_AREAS * _OUT_METERS),
        ]
    return results


if __name__ == "__main__":
    own_options = argparse.ArgumentParser(add_help=False)
    own_options.add_argument("--part", choices=PARTS)
    known, sys.argv[1:] = own_options.parse_known_args()
    options = f"--part {{{','.join(PARTS)}}}: one of them."
    main(partial(measure, (known.part,) if known.part else PARTS), f"{__doc__}\n{options}")
