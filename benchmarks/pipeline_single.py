"""Single readings that wait on Kafka, a JSON event each, gathered into blocks and drained into rows."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

import numpy as np
from aiokafka import AIOKafkaProducer

from benchmarks.pipeline_drain import Drain, check, load, processor_times
from benchmarks.report import Result, result
from benchmarks.scene import make_model, meters_of, taken_wh, whole_intervals_us
from benchmarks.stack import benchmark_stack, gatherer_sum, measured, start_others, worker_sums
from deploy.stack import StackSpec, start_programs
from grid.model import GridModel
from grid.topics import TELEMETRY_READING
from meterline.bootstrap import opener
from meterline.config import Settings
from meterline.ready import wait_for_workers
from store.blocks import to_datetime

_WORKERS = 2
_FEEDERS = 20
_INTERVAL_S = 60
_ASKED_S = 0.5
_READY_S = 120.0
#: Feeders are told of the last intervals some seconds after the areas' rows.
_TOLD_S = 60.0
_BATCH_BYTES = 256 * 1024
#: A minute of them at the rate to reach.
_DRAIN = Drain(size=400, areas=500, intervals=105, target=350_000)


def single_readings(drain: Drain = _DRAIN) -> list[Result]:
    """Fill the topic of single readings, then start their gatherer beside workers that run already.

    The clock runs from the first rows until the last reading is one; the readings of an interval lie in any order.
    """
    model = make_model(drain.areas, _FEEDERS, drain.size)
    with benchmark_stack(_WORKERS) as (spec, settings):
        load(settings, model)
        bytes_each = asyncio.run(_fill(settings, model, drain))
        start_others(spec, "readings")
        wait_for_workers(settings, _WORKERS, _READY_S)
        start_programs(spec, ["readings"])
        drained = measured(spec, lambda: _stored(spec), drain.blocks * drain.size, lambda: _stored(spec) > 0, _ASKED_S)
        blocks = gatherer_sum(spec, "meterline_readings_forwarded_total")
        uncommon = gatherer_sum(spec, "meterline_readings_uncommon_total")
        check(settings, drain)
        _wait_until_told(settings)
    assert uncommon == 0, f"{uncommon} events had another form than the common one"
    in_blocks = replace(drained, rows=drained.rows // drain.size)
    name = f"single readings, a JSON event each, to queryable rows, 3 channels, workers: {_WORKERS}"
    return [
        result(name, drained.rate, "events/s", drain.target),
        result("bytes of an event", bytes_each, "bytes"),
        result("readings in a block", drain.blocks * drain.size / blocks, "readings"),
        *processor_times(in_blocks, drain),
    ]


def _stored(spec: StackSpec) -> int:
    """Readings of areas, as the workers count them: each event is in one block."""
    return int(sum(worker_sums(spec, "meterline_worker_readings_total", units="areas")))


def _wait_until_told(settings: Settings) -> None:
    """Wait until each feeder has its areas' losses in all intervals: of a part of an area's readings there is none."""
    deadline = time.monotonic() + _TOLD_S
    with opener(settings, "benchmark")() as connection:
        connection.autocommit = True
        while (
            row := connection.execute(
                "select count(*) from telemetry.block join grid.unit using (unit_id)"
                " where kind = 'feeder' and loss_wh is null"
            ).fetchone()
        ) != (0,):
            assert time.monotonic() < deadline, f"feeders' intervals without any area's loss: {row}"
            time.sleep(_ASKED_S)


async def _fill(settings: Settings, model: GridModel, drain: Drain) -> float:
    """Send all events, an interval after another, each in an order of its own; returns bytes of an event."""
    chance = random.Random(17)  # noqa: S311  # which reading comes when
    values = np.random.default_rng(17)
    heads = [
        (
            f'{{"meter": "{meter}", "interval_s": {_INTERVAL_S}, "import_wh": {wh}, "export_wh": 0,'
            f' "voltage_a_v": {chance.randrange(2_200, 2_400) / 10}, "observed_at": "'
        ).encode()
        for meters in meters_of(model).values()
        for meter, wh in zip(meters.to_pylist(), taken_wh(values, len(meters)).tolist(), strict=True)
    ]
    first_us = whole_intervals_us(_INTERVAL_S) - (drain.intervals + 5) * _INTERVAL_S * 1_000_000
    # kafka-python's producer would take minutes: this one fills a batch without Python's objects for each record.
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap, acks="all", compression_type="lz4", max_batch_size=_BATCH_BYTES
    )
    await producer.start()
    sent, batches = 0, 0
    batch = producer.create_batch()

    async def send() -> None:
        nonlocal batch, batches
        await producer.send_batch(batch, TELEMETRY_READING, partition=batches % settings.kafka.partitions)
        batch, batches = producer.create_batch(), batches + 1

    for i in range(drain.intervals):
        end = f'{to_datetime(first_us + i * _INTERVAL_S * 1_000_000).isoformat()}"}}'.encode()
        chance.shuffle(heads)
        for head in heads:
            while batch.append(key=None, value=head + end, timestamp=None) is None:
                await send()
        sent += sum(map(len, heads)) + len(heads) * len(end)
    await send()
    await producer.stop()
    return sent / (len(heads) * drain.intervals)
