"""Delay from receipt to queryable row of 20,000 SCADA points a second beside 300,000 readings a second.

A generator keeps the pace for a minute and says what it really sent. Each feeder's RTU sends every second one message
by cycle and several by exception; blocks of 400 meters come evenly over the second. An area's intervals of a minute
follow each other every second here, so that 750 areas send what 45,000 would: their times lie in the past and the
delays are counted from the instants at which the messages were due to be sent.

Then the same kind of messages is drained as fast as it goes, and so is the peer's topic, by as many processes: a JSON
message with the same points, a row a point, by COPY and upsert.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import psycopg
from kafka.admin import KafkaAdminClient, NewTopic

from benchmarks.pace import TICKS, Message, Sender, Sent, Watch, followed, send_paced
from benchmarks.peers.point_rows import TABLE, TOPIC
from benchmarks.report import Result, main, result
from benchmarks.scene import (
    METERS,
    BlockTemplate,
    PointsTemplate,
    make_model,
    make_points,
    meters_of,
    unit_ids,
    whole_intervals_us,
)
from benchmarks.stack import benchmark_stack, measured, peers, processor_seconds, worker_memory_mib, worker_sums
from deploy.stack import StackSpec, start_programs, stop_programs
from deploy.stack.postgres import superuser_dsn
from grid.model import GridModel
from grid.points import MINUTE_US, PointCause
from meterline.bootstrap import make_producer, opener
from meterline.config import Settings
from store.connection import Connection
from store.points import load_points
from sync.load import load_grid

_WORKERS = 2
_AREAS = 750
_FEEDERS = 100
_POINTS_EACH = 250
_CYCLIC = 100
_SPONTANEOUS, _MESSAGES = 10, 10
_POINTS_A_SECOND = _FEEDERS * (_CYCLIC + _SPONTANEOUS * _MESSAGES)
_WARM_S = 120
_SECONDS = 60
_EVERY = 41
_DRAINED_S = 60
_PEER_S = 60
_INTERVAL_S = 60


def measure() -> list[Result]:
    """The paced minute, then drained points, ours and the peer's."""
    with benchmark_stack(_WORKERS) as (spec, settings):
        model = make_model(_AREAS, _FEEDERS)
        with opener(settings, "benchmark")() as connection:
            load_grid(connection, model)
            load_points(connection, make_points(_FEEDERS, _POINTS_EACH))
            connection.commit()
            connection.autocommit = True
            scene = _Scene(model, unit_ids(connection))
            start_programs(spec, ["worker"])
            watch, sent = _pace(settings, scene)
            busy = processor_seconds(spec)
            memory = worker_memory_mib(spec)
            stop_programs(spec, ["worker"])
            ours = _drain(spec, settings, scene, connection)
            stop_programs(spec, ["worker"])
        peer = _peer(spec, settings)
    readings = sent.messages["readings"] * METERS / sent.seconds
    points = sent.messages["points"] * _POINTS_A_SECOND / (_FEEDERS * (1 + _MESSAGES)) / sent.seconds
    return [
        result("SCADA points sent", points, "points/s", 0.99 * _POINTS_A_SECOND),
        result("readings sent beside them", readings, "readings/s", 0.99 * _AREAS * METERS),
        result("handed to Kafka after its instant, p99", sent.late_p99_s, "s"),
        *(
            result(f"{kind}: receipt to queryable row, p{p}", watch.percentile_s(kind, p), "s", t, less_is_better=True)
            for kind in ("points", "readings")
            for p, t in ((50, None), (99, 2.0))
        ),
        result("sent before, until the workers were warm", sent.warm_s, "s"),
        *(
            result(f"processor time since the start, {name}", busy[name] / (sent.warm_s + sent.seconds), "cores")
            for name in ("worker", "postgres", "kafka")
        ),
        result(f"resident memory of the largest of {_WORKERS} workers", memory, "MiB"),
        result(
            "SCADA points, Kafka to queryable rows",
            ours,
            "points/s",
            peer="JSON, a row a point, COPY and upsert",
            peer_value=peer,
        ),
    ]


class _Scene:
    """What is sent each second."""

    def __init__(self, model: GridModel, ids: dict[str, int]) -> None:
        self._digest = 100_000_000_000_000_000
        # Old enough that the last of the measured time still lies in the past.
        first_us = whole_intervals_us(_INTERVAL_S) - (_WARM_S + _SECONDS + 60) * _INTERVAL_S * 1_000_000
        codes = meters_of(model)
        self.blocks = [
            Sender(n / len(codes), self._block(BlockTemplate(code, meters, _INTERVAL_S), code, ids[code], first_us))
            for n, (code, meters) in enumerate(codes.items())
        ]
        self.points: list[Sender] = []
        for f in range(_FEEDERS):
            code = f"F{f}"
            spans = [(range(_CYCLIC), PointCause.CYCLIC)]
            spans += [
                (range(first := _CYCLIC + m * _SPONTANEOUS, first + _SPONTANEOUS), PointCause.SPONTANEOUS)
                for m in range(_MESSAGES)
            ]
            for m, (numbers, cause) in enumerate(spans):
                offset_s = (f / _FEEDERS + m / len(spans)) % 1
                self.points.append(
                    Sender(offset_s, self._message(PointsTemplate(code, numbers, cause), code, ids[code]))
                )

    def _block(self, template: BlockTemplate, code: str, unit_id: int, first_us: int) -> Callable[[int, int], Message]:
        def make(second: int, _due_us: int) -> Message:
            at_us = first_us + second * _INTERVAL_S * 1_000_000
            value = template.at(at_us, at_us + 5_000_000)
            return "telemetry.area", code.encode(), value, ("readings", unit_id, at_us, 0)

        return make

    def _message(self, template: PointsTemplate, code: str, unit_id: int) -> Callable[[int, int], Message]:
        def make(_second: int, due_us: int) -> Message:
            self._digest += 1
            value = template.at(due_us, due_us, self._digest)
            row = ("points", unit_id, due_us // MINUTE_US * MINUTE_US, self._digest)
            return "telemetry.scada", code.encode(), value, row

        return make


def _pace(settings: Settings, scene: _Scene) -> tuple[Watch, Sent]:
    watch = Watch()
    producer = make_producer(settings, linger_ms=50)
    with followed(watch, opener(settings, "benchmark-watch")):
        sent = send_paced(producer, [*scene.blocks, *scene.points], _WARM_S, _SECONDS, watch, _EVERY)
    producer.close()
    return watch, sent


def _drain(spec: StackSpec, settings: Settings, scene: _Scene, connection: Connection) -> float:
    """Points a second by the workers, of points alone."""

    def count() -> int:
        row = connection.execute("select count(*) from telemetry.scada").fetchone()
        return int(row[0]) if row else 0

    before = count()
    producer = make_producer(settings)
    begin_us = time.time_ns() // 1_000 - 2 * _DRAINED_S * 1_000_000
    messages = 0
    for second in range(_DRAINED_S):
        for sender in scene.points:
            due_us = begin_us + second * 1_000_000 + int(sender.offset_s * TICKS) * 1_000_000 // TICKS
            topic, key, value, _ = sender.make(second, due_us)
            producer.send(topic, key=key, value=value)
            messages += 1
    producer.flush()
    producer.close()
    start_programs(spec, ["worker"])
    drained = measured(
        spec, lambda: count() - before, messages, lambda: all(worker_sums(spec, "meterline_points_rows_written_total"))
    )
    return drained.rate * _POINTS_A_SECOND / (_FEEDERS * (1 + _MESSAGES))


def _peer(spec: StackSpec, settings: Settings) -> float:
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka.bootstrap)
    admin.create_topics([NewTopic(TOPIC, settings.kafka.partitions, 1)])
    admin.close()
    conninfo = superuser_dsn(spec, settings.database.name)
    with psycopg.connect(conninfo, autocommit=True) as connection, tempfile.TemporaryDirectory() as folder:
        connection.execute(TABLE)
        producer = make_producer(settings)
        points = 0
        for unit, message, size in _peer_messages():
            producer.send(TOPIC, key=unit.encode(), value=message)
            points += size
        producer.flush()
        producer.close()

        def count() -> int:
            row = connection.execute("select count(*) from public.peer_point").fetchone()
            return int(row[0]) if row else 0

        arguments = [settings.kafka.bootstrap, folder]
        environment = {**os.environ, "PEER_CONNINFO": conninfo}

        def begun() -> bool:
            row = connection.execute("select count(distinct writer) from public.peer_point").fetchone()
            return row == (_WORKERS,)

        with peers("benchmarks.peers.point_rows", arguments, environment, _WORKERS):
            return measured(spec, count, points, begun).rate


def _peer_messages() -> Iterator[tuple[str, bytes, int]]:
    begin = datetime.now(UTC).timestamp() - 3_600
    for second in range(_PEER_S):
        for f in range(_FEEDERS):
            for m in range(1 + _MESSAGES):
                size = _CYCLIC if m == 0 else _SPONTANEOUS
                first = 0 if m == 0 else _CYCLIC + (m - 1) * _SPONTANEOUS
                at = datetime.fromtimestamp(begin + second + m / 20, UTC).isoformat()
                points = [f"F{f}-{n}" for n in range(first, first + size)]
                body = {"observed_at": at, "point": points, "value": [500.0 + n for n in range(size)]}
                yield f"F{f}", json.dumps(body | {"quality": [0] * size}).encode(), size


if __name__ == "__main__":
    main(measure, __doc__ or "")
