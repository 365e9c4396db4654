"""The twin's telemetry as devices publish it that send a reading at a time, and readings of meters that nobody has."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer

from grid.topics import TELEMETRY_READING
from meterline.bootstrap import make_producer
from meterline.config import Settings
from tests.chaos.publishing import DAY_S, Publish, Span
from tests.waiting import PATIENCE_S
from twin.ledger import LedgerWriter
from twin.scenario import Readings, Twin

_BATCH_BYTES = 256 * 1024


def singly(rate: float = 3.0) -> Publish:
    """Quarter-hours of the past five days, `rate` of them a second: each reading an event of its own, in any order.

    A unit's interval counts as one message of the ledger, acknowledged when Kafka has the last of its readings.
    """

    def publish(settings: Settings, twin: Twin, folder: Path, stop: threading.Event) -> None:
        chance = random.Random(1)  # noqa: S311  # which reading comes when
        intervals = Span(5 * int(DAY_S) // 900).intervals(time.time())
        with (
            LedgerWriter(folder, [unit.code for unit in twin.units]) as ledger,
            contextlib.closing(make_producer(settings)) as producer,
        ):
            due = time.monotonic()
            for readings in twin.readings(intervals):
                if stop.wait(max(0.0, due - time.monotonic())):
                    break
                _send(producer, twin, ledger, readings, chance)
                due = max(due + 1 / rate, time.monotonic() - 1.0)

    return publish


def _send(producer: KafkaProducer, twin: Twin, ledger: LedgerWriter, readings: Readings, chance: random.Random) -> None:
    """Send an interval's readings, and wait for Kafka."""
    numbers = []
    for number, unit in enumerate(twin.units):
        part = slice(unit.first, unit.last)
        sums = int(readings.import_wh[part].sum()), int(readings.export_wh[part].sum())
        at_us, length_s = readings.interval.end_s * 1_000_000, readings.interval.length_s
        size = unit.last - unit.first
        numbers.append(ledger.published(number, length_s, at_us, time.time_ns() // 1_000, size, *sums))
    events = list(_events(twin, readings))
    chance.shuffle(events)
    sent = [(number, producer.send(TELEMETRY_READING, value=event)) for number, event in events]
    producer.flush(PATIENCE_S)
    lost = Counter(number for number, future in sent if not future.succeeded())
    now_us = time.time_ns() // 1_000
    for number, message in enumerate(numbers):
        if not lost[number]:
            ledger.acked(message, now_us)
    ledger.flush()


def _events(twin: Twin, readings: Readings) -> Iterator[tuple[int, bytes]]:
    """Position of a unit among the twin's, and what one of its meters says."""
    imported, exported, voltages = (
        values.tolist() for values in (readings.import_wh, readings.export_wh, readings.voltage_v)
    )
    interval = readings.interval
    when = f'"observed_at": "{interval.observed_at:%Y-%m-%dT%H:%M:%SZ}", "interval_s": {interval.length_s}'
    for number, unit in enumerate(twin.units):
        for i in range(unit.first, unit.last):
            voltage = f', "voltage_a_v": {voltages[i]}' if unit.has_voltage else ""
            code = twin.model.meters[i].code
            values = f'"import_wh": {imported[i]}, "export_wh": {exported[i]}{voltage}'
            yield number, f'{{"meter": "{code}", {when}, {values}}}'.encode()


def send_invented(settings: Settings, count: int) -> None:
    """Publish `count` readings, each of another meter that nobody has."""
    asyncio.run(_send_invented(settings, count))


async def _send_invented(settings: Settings, count: int) -> None:
    when = f"{datetime.now(UTC):%Y-%m-%dT%H:00:00Z}"
    # A batch is filled without Python's objects for each record: kafka-python's producer would take minutes.
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka.bootstrap, acks="all", compression_type="lz4", max_batch_size=_BATCH_BYTES
    )
    await producer.start()
    try:
        batch, batches = producer.create_batch(), 0
        for number in range(count):
            event = f'{{"meter":"x{number}","observed_at":"{when}","interval_s":900,"import_wh":1}}'.encode()
            while batch.append(key=None, value=event, timestamp=None) is None:
                await producer.send_batch(batch, TELEMETRY_READING, partition=batches % settings.kafka.partitions)
                batch, batches = producer.create_batch(), batches + 1
        await producer.send_batch(batch, TELEMETRY_READING, partition=batches % settings.kafka.partitions)
        await producer.flush()
    finally:
        await producer.stop()
