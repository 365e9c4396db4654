"""Blocks that wait on Kafka, or are published as MQTT, drained into rows as fast as it goes."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from benchmarks.mqtt_load import ACCOUNT, Intervals
from benchmarks.peers.faust_rows import TABLE, TOPIC
from benchmarks.report import Result, result
from benchmarks.scene import BlockTemplate, make_model, meters_of, whole_intervals_us
from benchmarks.stack import (
    Measured,
    benchmark_stack,
    bytes_on_disk,
    event_loop_seconds,
    measured,
    peers,
    start_others,
    worker_sums,
)
from deploy.stack import StackSpec, set_gateways, start_programs, stop_programs
from deploy.stack.postgres import superuser_dsn
from grid.model import GridModel
from grid.topics import TELEMETRY_AREA
from meterline.bootstrap import make_producer, opener
from meterline.config import Settings
from meterline.ready import wait_for_workers, wait_until_ready
from sync.load import load_grid

_WORKERS = 2
_FEEDERS = 20
_INTERVAL_S = 60
_MINUTE_US = _INTERVAL_S * 1_000_000
#: How often the workers are asked what they have written.
_ASKED_S = 0.5
_PEER_READINGS = 200_000
_READY_S = 120.0
_JUDGED_S = 300.0


@dataclass(frozen=True, slots=True)
class Drain:
    """So many areas of `size` meters and so many intervals of a minute, and the readings a second to reach."""

    size: int
    areas: int
    intervals: int
    target: float

    @property
    def blocks(self) -> int:
        """How many blocks that is."""
        return self.areas * self.intervals


#: Over a minute at the rate to reach, and within six hours, so that the rules that look at the last hours have all of
#: them to look at.
LARGE = Drain(size=400, areas=1_000, intervals=350, target=2_000_000)
SMALL = Drain(size=80, areas=1_700, intervals=350, target=700_000)
#: Young enough for the lane of live data, and over before the first would be too old for it.
BY_MQTT = Drain(size=400, areas=1_800, intervals=110, target=1_000_000)
#: Messages that are published at most before the rows of those before them are there.
_AHEAD = 8_000
#: So many intervals go through before the clock runs: the workers' first look at each area, and Kafka's compiler, take
#: some 8 s of processor time, as 5 million readings do.
_WARM_INTERVALS = 10
#: 100 million meters: these areas, each as often as there are intervals.
_ROUND = Drain(size=400, areas=1_000, intervals=250, target=0)
_ROUND_S = 60.0


def from_kafka(drain: Drain) -> list[Result]:
    """Fill the topic of live data, then start the workers; and so the peer's, on the same servers."""
    model = make_model(drain.areas, _FEEDERS, drain.size)
    with benchmark_stack(_WORKERS) as (spec, settings):
        load(settings, model)
        _fill(settings, model, drain)
        start_others(spec, "worker")
        start_programs(spec, ["worker"])
        drained, loop_s = _drained(spec, drain, lambda: _written(spec))
        judged_s = _wait_until_judged(settings) if drain is LARGE else None
        check(settings, drain)
        stop_programs(spec)
        size = bytes_on_disk(settings, "telemetry.block")
        peer = _peer(spec, settings)
    rate = drained.rate * drain.size
    what = f"blocks of {drain.size}, 3 channels, workers: {_WORKERS}"
    return [
        result(
            f"Kafka to queryable rows, {what}",
            rate,
            "readings/s",
            drain.target,
            "Faust, a JSON event and a row a reading",
            peer,
        ),
        result(f"over the peer, blocks of {drain.size}", rate / peer, "times", 150 if drain is LARGE else None),
        *processor_times(drained, drain),
        *([] if judged_s is None else [result("from the last row until live rules have looked at all", judged_s, "s")]),
        result(
            f"of the worker's, taking messages, blocks of {drain.size}",
            loop_s / (drained.rows * drain.size / 1e6),
            "s/million",
        ),
        result(
            f"block of {drain.size} on disk",
            size / (drain.blocks * drain.size),
            "bytes/reading",
            12 if drain is LARGE else None,
            less_is_better=True,
        ),
    ]


def from_mqtt() -> list[Result]:
    """Publish as fast as it goes, with a few thousand messages ahead of the rows; all programs have worked before."""
    drain = BY_MQTT
    model = make_model(drain.areas, _FEEDERS, drain.size)
    with benchmark_stack(_WORKERS) as (spec, settings):
        load(settings, model)
        set_gateways(spec, [ACCOUNT])
        start_programs(spec)
        # Before the bridge has subscribed, the broker has nobody to keep a message for.
        wait_until_ready(settings, _WORKERS, _READY_S)
        messages = Intervals(meters_of(model), drain.intervals, _INTERVAL_S)
        messages.publish(settings, range(_WARM_INTERVALS))
        deadline = time.monotonic() + _READY_S
        while (written := _written(spec)) < _WARM_INTERVALS * drain.areas:
            assert time.monotonic() < deadline, "the first intervals are not stored"
            time.sleep(_ASKED_S)

        def count() -> int:
            nonlocal written
            written = _written(spec)
            return written

        def publish() -> float:
            messages.publish(settings, range(_WARM_INTERVALS, drain.intervals), lambda n: n < written + _AHEAD)
            return time.thread_time()

        with ThreadPoolExecutor(1) as sender:
            published = sender.submit(publish)
            drained, _ = _drained(spec, drain, count)
        check(settings, drain)
    name = f"MQTT to queryable rows, blocks of {drain.size}, 3 channels, workers: {_WORKERS}"
    million = (drain.intervals - _WARM_INTERVALS) * drain.areas * drain.size / 1e6
    return [
        result(name, drained.rate * drain.size, "readings/s", drain.target),
        result("measured for", drained.seconds, "s"),
        *processor_times(drained, drain),
        result("processor time of who publishes them", published.result() / million, "s/million"),
    ]


def whole_round() -> list[Result]:
    """A round of all meters arrives within a minute at workers that run already."""
    drain = _ROUND
    model = make_model(drain.areas, _FEEDERS, drain.size)
    with benchmark_stack(_WORKERS) as (spec, settings):
        load(settings, model)
        start_programs(spec)
        wait_for_workers(settings, _WORKERS, _READY_S)
        with ThreadPoolExecutor(1) as sender:
            arrived = sender.submit(_fill, settings, model, drain, _ROUND_S)
            drained = measured(spec, lambda: _written(spec), drain.blocks, lambda: True, _ASKED_S)
        check(settings, drain)
    return [
        result("meters in the round", drain.blocks * drain.size, "meters", 100_000_000),
        result("arrived within", arrived.result(), "s", 1.05 * _ROUND_S, less_is_better=True),
        result("from the first message to the last row", drained.seconds, "s", 120, less_is_better=True),
        *processor_times(drained, drain),
    ]


def load(settings: Settings, model: GridModel) -> None:
    """Load a grid into the database."""
    with opener(settings, "benchmark")() as connection:
        load_grid(connection, model)


def _drained(spec: StackSpec, drain: Drain, count: Callable[[], int]) -> tuple[Measured, float]:
    """The drain, and processor seconds of the workers' event loops in it."""
    loops_s = [0.0]
    before = _written_by(spec)

    def begun() -> bool:
        loops_s[0] = event_loop_seconds(spec)
        written = _written_by(spec)
        each = all(now > then for now, then in zip(written, before, strict=True))
        return each and sum(written) >= _WARM_INTERVALS * drain.areas

    drained = measured(spec, count, drain.blocks, begun, _ASKED_S)
    return drained, event_loop_seconds(spec) - loops_s[0]


def _wait_until_judged(settings: Settings) -> float:
    """Seconds until the live rules, which come after all else, have looked at each row."""
    started_s = time.monotonic()
    with opener(settings, "benchmark")() as connection:
        connection.autocommit = True
        while (
            connection.execute(
                "select from usage.progress p"
                " where exists (select from loss.balance b where b.recorded_at > p.live_through)"
            ).fetchone()
            is not None
        ):
            assert time.monotonic() < started_s + _JUDGED_S, "the live rules don't come to an end"
            time.sleep(_ASKED_S)
    return time.monotonic() - started_s


def _written(spec: StackSpec) -> int:
    """Rows of areas, as the workers count them: asking the database would cost it what it should write with."""
    return int(sum(_written_by(spec)))


def _written_by(spec: StackSpec) -> list[float]:
    return worker_sums(spec, "meterline_worker_rows_written_total", units="areas")


def check(settings: Settings, drain: Drain) -> None:
    """Every block with every reading is there, and every result."""
    with opener(settings, "benchmark")() as connection:
        row = connection.execute(
            "select count(*), sum(cardinality(b.import_wh)), count(l.computable or null)"
            " from telemetry.block b join loss.balance l using (unit_id, observed_at, interval_s)"
            " join grid.unit u using (unit_id) where u.kind = 'area'"
        ).fetchone()
    blocks = drain.blocks
    assert row == (blocks, blocks * drain.size, blocks), f"blocks, readings, computable results: {row}"


def processor_times(drained: Measured, drain: Drain) -> list[Result]:
    """Processor time of each program for a million readings; of the drain's rows each is a block."""
    million = drained.rows * drain.size / 1e6
    seconds = {name: s / million for name, s in sorted(drained.processor_s.items())}
    return [
        *(result(f"processor time, {name}, blocks of {drain.size}", s, "s/million") for name, s in seconds.items()),
        result(f"processor time, together, blocks of {drain.size}", sum(seconds.values()), "s/million"),
    ]


def _fill(settings: Settings, model: GridModel, drain: Drain, within_s: float = 0.0) -> float:
    """Send all blocks, an interval after another, evenly over `within_s` or as fast as it goes; returns the seconds."""
    templates = {code.encode(): BlockTemplate(code, meters, _INTERVAL_S) for code, meters in meters_of(model).items()}
    first_us = whole_intervals_us(_INTERVAL_S) - (drain.intervals + 5) * _MINUTE_US
    producer = make_producer(settings)
    begin_s = time.monotonic()
    for i in range(drain.intervals):
        time.sleep(max(0.0, begin_s + i / drain.intervals * within_s - time.monotonic()))
        at_us = first_us + i * _MINUTE_US
        for key, template in templates.items():
            producer.send(TELEMETRY_AREA, key=key, value=template.at(at_us, at_us + 5_000_000))
    producer.flush()
    seconds = time.monotonic() - begin_s
    producer.close()
    return seconds


def _peer(spec: StackSpec, settings: Settings) -> float:
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    admin.create_topics([NewTopic(TOPIC, settings.kafka.partitions, 1)])
    admin.close()
    conninfo = superuser_dsn(spec, settings.database.name)
    with psycopg.connect(conninfo, autocommit=True) as connection, tempfile.TemporaryDirectory() as folder:
        connection.execute(TABLE)
        producer = KafkaProducer(bootstrap_servers=settings.kafka.bootstrap, linger_ms=20, batch_size=256 * 1024)
        readings = spec.workers * _PEER_READINGS
        for event in _events(readings):
            producer.send(TOPIC, value=event)
        producer.flush()
        producer.close()

        def count() -> int:
            row = connection.execute("select count(*) from public.peer_reading").fetchone()
            return int(row[0]) if row else 0

        def begun() -> bool:
            row = connection.execute("select count(distinct writer) from public.peer_reading").fetchone()
            return row == (spec.workers,)

        arguments = [settings.kafka.bootstrap, folder]
        environment = {**os.environ, "PEER_CONNINFO": conninfo}
        with peers("benchmarks.peers.faust_rows", arguments, environment, spec.workers):
            return measured(spec, count, readings, begun, _ASKED_S).rate


def _events(readings: int) -> Iterator[bytes]:
    observed_at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0).isoformat()
    for n in range(readings):
        energies = {"import_wh": n % 500, "export_wh": 0, "voltage_v": 230.1}
        yield json.dumps({"meter": f"M{n}", "observed_at": observed_at, **energies}).encode()
