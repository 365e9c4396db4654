"""Delay from MQTT to queryable rows at a steady 300,000 readings a second, through bridge, Kafka and workers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from benchmarks.mqtt_load import ACCOUNT, Messages, Publisher
from benchmarks.pace import Message, Sender, Watch, followed, send_paced
from benchmarks.pipeline_drain import load
from benchmarks.report import Result, result
from benchmarks.scene import make_model, meters_of, unit_ids, whole_intervals_us
from benchmarks.stack import benchmark_stack, processor_seconds
from deploy.stack import set_gateways, start_programs
from grid.model import GridModel
from meterline.bootstrap import opener
from meterline.ready import wait_until_ready
from store.blocks import to_datetime

_WORKERS = 2
_FEEDERS = 20
_SIZE = 400
_RATE = 300_000
#: Of two areas one sends in each second, so that two minutes of intervals are still young, and over, at the bridge.
_PAIRS = _RATE // _SIZE
_INTERVAL_S = 60
_FIRST_AGO_S = 105 * _INTERVAL_S
_WARM_S = 100
_SECONDS = 60
_EVERY = 41
_READY_S = 120.0


def publish_to_queryable() -> list[Result]:
    """Publish at the pace for a minute, once the workers are warm, and follow one message in so many to its row."""
    model = make_model(2 * _PAIRS, _FEEDERS, _SIZE)
    with benchmark_stack(_WORKERS) as (spec, settings):
        load(settings, model)
        with opener(settings, "benchmark")() as connection:
            ids = unit_ids(connection)
        set_gateways(spec, [ACCOUNT])
        start_programs(spec)
        # Before the bridge has subscribed, the broker has nobody to keep a message for.
        wait_until_ready(settings, _WORKERS, _READY_S)
        gateway, watch = Publisher(settings), Watch()
        before = processor_seconds(spec)
        try:
            with followed(watch, opener(settings, "benchmark-watch")):
                sent = send_paced(gateway, _senders(model, ids), _WARM_S, _SECONDS, watch, _EVERY)
        finally:
            gateway.close()
        after = processor_seconds(spec)
    delays_s = watch.delays_s["readings"]
    took_s = sent.warm_s + sent.seconds
    return [
        result("readings published", sent.messages["readings"] * _SIZE / sent.seconds, "readings/s", 0.99 * _RATE),
        result("published after its instant, p99", sent.late_p99_s, "s"),
        result("messages followed", len(delays_s), "messages"),
        result("publish to queryable row, p50", float(np.percentile(delays_s, 50)), "s"),
        result("publish to queryable row, p99", watch.percentile_s("readings", 99), "s", 2.0, less_is_better=True),
        result("published before, until the workers were warm", sent.warm_s, "s"),
        *(
            result(f"processor time since the start, {name}", (after[name] - before[name]) / took_s, "cores")
            for name in ("bridge", "mosquitto", "worker", "postgres", "kafka")
        ),
    ]


def _senders(model: GridModel, ids: Mapping[str, int]) -> list[Sender]:
    areas = [(Messages(code, meters.to_pylist(), _INTERVAL_S), ids[code]) for code, meters in meters_of(model).items()]
    first_us = whole_intervals_us(_INTERVAL_S) - _FIRST_AGO_S * 1_000_000

    def sender(place: int) -> Sender:
        pair = areas[2 * place : 2 * place + 2]

        def make(second: int, _due_us: int) -> Message:
            area, unit_id = pair[second % 2]
            at_us = first_us + second // 2 * _INTERVAL_S * 1_000_000
            number = second * _PAIRS + place + 1
            value = area.message(number, to_datetime(at_us).isoformat())
            return area.topic, b"", value, ("readings", unit_id, at_us, 0)

        return Sender(place / _PAIRS, make)

    return [sender(place) for place in range(_PAIRS)]
