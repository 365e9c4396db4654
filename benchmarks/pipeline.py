"""Readings a second from Kafka, and from MQTT, to queryable rows through real workers; what they cost and hold.

Blocks go through join, merge, balance and rules into one transaction a batch. All programs of the stack run: bridge,
gatherer, workers, alerts, sync, usage, console. What waits on Kafka is there before the workers start; the clock runs
from the moment at which each has written rows, and ten intervals are through, until the last row is there. The peer is
Faust with one JSON event a reading and a row a reading, on the same servers in the same run.

--part NAME  one of these alone (kafka400 and kafka80 without it; all): kafka400, kafka80: blocks of so many meters;
             mqtt: from the broker; single: a JSON event a reading, gathered into blocks; round: 100 million meters
             within a minute; delay: from MQTT to queryable rows at 300,000 readings/s; cpu: workers' own processor time
             by their number; memory: a worker of a million meters; backfill: live delay beside a month of the past.
--profile    processor time of the worker and of the database by block, of the bridge by message, by function on
             standard error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from benchmarks.pipeline_delay import publish_to_queryable
from benchmarks.pipeline_drain import LARGE, SMALL, from_kafka, from_mqtt, whole_round
from benchmarks.pipeline_load import beside_backfill, memory, processor_time
from benchmarks.pipeline_profile import profile
from benchmarks.pipeline_single import single_readings
from benchmarks.report import Result, main

_PARTS: dict[str, Callable[[], list[Result]]] = {
    "kafka400": partial(from_kafka, LARGE),
    "kafka80": partial(from_kafka, SMALL),
    "mqtt": from_mqtt,
    "single": single_readings,
    "round": whole_round,
    "delay": publish_to_queryable,
    "cpu": processor_time,
    "memory": memory,
    "backfill": beside_backfill,
}
_USUAL = ("kafka400", "kafka80")
_SIZES = (400, 80)


def measure(parts: tuple[str, ...]) -> list[Result]:
    """Each part on servers of its own."""
    return [found for part in parts for found in _PARTS[part]()]


if __name__ == "__main__":
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--part", choices=[*_PARTS, "all"])
    own.add_argument("--profile", action="store_true")
    known, sys.argv[1:] = own.parse_known_args()
    chosen = tuple(_PARTS) if known.part == "all" else (known.part,) if known.part else _USUAL
    main(partial(profile, _SIZES) if known.profile else partial(measure, chosen), __doc__ or "")
