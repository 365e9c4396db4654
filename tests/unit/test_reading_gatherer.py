"""What the gatherer of single readings commits, and when, with Kafka's clients made by hand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from itertools import pairwise
from typing import Any

import cramjam
import numpy as np
import pyarrow as pa
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from kafka import TopicPartition
from kafka.errors import CommitFailedError, FencedInstanceIdError
from kafka.record.memory_records import MemoryRecords
from prometheus_client import CollectorRegistry

from grid.block import decode_block
from grid.errors import Reason
from grid.model import UnitKind
from grid.places import UnitPlaces
from grid.topics import TELEMETRY_AREA, TELEMETRY_BACKFILL, TELEMETRY_READING, TELEMETRY_REJECTED
from ingest.sources.kafka import ReadingGatherer, ReadingSettings
from ingest.sources.kafka.batches import Batch, _Batches
from ingest.sources.kafka.gatherer import GathererError
from meterline.metrics_readings import ReadingMetrics

NOW_S = 1_795_262_401.0  # a second after 2026-11-21T12:00:00Z
PARTITION = TopicPartition(TELEMETRY_READING, 3)
EVER_US = 2**60


class Grid:
    """Area A1 with m1 and m2, until somebody moves them."""

    zone = UTC

    def __init__(self) -> None:
        self.changed = False
        self._unit = "A1"

    @property
    def units(self) -> Mapping[str, UnitPlaces]:
        always = np.full(2, -EVER_US), np.full(2, EVER_US)
        return {self._unit: UnitPlaces(self._unit, UnitKind.AREA, pa.array(["m1", "m2"]), *always)}

    def move(self, unit: str) -> None:
        self._unit, self.changed = unit, True

    def refresh(self) -> bool:
        changed, self.changed = self.changed, False
        return changed


@dataclass
class Sent:
    record: tuple[str, bytes, bytes]
    taken: bool = False
    exception: str = "Kafka is away"

    def succeeded(self) -> bool:
        return self.taken


@dataclass
class Kafka:
    """Both clients, and what they were asked in order."""

    polls: list[dict[TopicPartition, list[Batch]]]
    takes: bool = True
    refuses: list[Exception] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    offsets: dict[TopicPartition, Any] = field(default_factory=dict)
    commits: list[int] = field(default_factory=list)
    sought: dict[TopicPartition, int] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    listener: Any = None
    telling: bool = False
    end: int = 100
    beginning: int = 0
    before_stop: Callable[[], None] = lambda: None
    _fetcher: Any = field(default_factory=type("Fetcher", (), {}))

    def subscribe(self, topics: list[str], listener: Any) -> None:
        assert topics == [TELEMETRY_READING]
        self.listener = listener
        listener.on_partitions_assigned([PARTITION])

    def poll(self, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Batch]]:
        if not self.polls:
            self.before_stop()
            self.stop.set()
            return {}
        return self.polls.pop(0)

    def highwater(self, partition: TopicPartition) -> int:
        return self.end

    def commit(self, offsets: dict[TopicPartition, Any], timeout_ms: int) -> None:
        self.asked.append("commit")
        self.may_wait()
        if self.refuses:
            raise self.refuses.pop(0)
        self.offsets |= offsets
        self.commits += [offset.offset for offset in offsets.values()]

    def committed(self, partition: TopicPartition, timeout_ms: int) -> int | None:
        return self.offsets[partition].offset if partition in self.offsets else None

    def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.beginning)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.sought[partition] = offset

    def revoke(self) -> None:
        """As kafka-python does: on the thread that talks to Kafka."""
        self.telling = True
        self.listener.on_partitions_revoked([PARTITION])
        self.telling = False

    def may_wait(self) -> None:
        if self.telling:
            raise RuntimeError("Cannot block on net.run() from the IO thread itself.")

    def close(self) -> None:
        self.revoke()
        self.asked.append("close")

    def send(self, topic: str, key: bytes, value: bytes, headers: Any) -> Sent:
        self.sent.append(Sent((topic, key, value)))
        self.asked.append(topic)
        return self.sent[-1]

    def flush(self, timeout: float) -> None:
        self.asked.append("flush")
        self.may_wait()
        for sent in self.sent:
            sent.taken = self.takes


def batch(*records: bytes, first: int = 0) -> Batch:
    builder = DefaultRecordBatchBuilder(
        2, 0, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1 << 20
    )
    for n, record in enumerate(records):
        builder.append(n, timestamp=0, key=None, value=record, headers=[])
    data = bytearray(builder.build())
    data[:8] = first.to_bytes(8, "big")
    (made,) = _Batches(0, PARTITION, MemoryRecords(bytes(data))).take()
    assert isinstance(made, Batch)
    return made


def reading(meter: str, at: str = "2026-11-21T12:00:00Z") -> bytes:
    return json.dumps({"meter": meter, "observed_at": at, "interval_s": 900, "import_wh": 7}).encode()


def gatherer(kafka: Kafka, grid: Grid | None = None, **settings: int) -> ReadingGatherer:
    limits = {"linger_us": 3_600_000_000} | settings
    return ReadingGatherer(ReadingSettings(**limits), kafka, kafka, grid or Grid(), lambda: NOW_S)


def test_offsets_are_committed_after_kafka_has_the_blocks() -> None:
    kafka = Kafka([{PARTITION: [batch(reading("m1"), reading("m2"), reading("m3"), first=10)]}])
    made = gatherer(kafka)
    assert made.idle_reason() is not None
    registry = CollectorRegistry()
    registry.register(ReadingMetrics(made))

    def look() -> None:
        assert made.idle_reason() is None
        lag = {"topic": TELEMETRY_READING, "partition": "3"}
        assert registry.get_sample_value("meterline_readings_lag_records", lag) == 90

    kafka.before_stop = look
    made.run(kafka.stop)
    assert kafka.asked == [TELEMETRY_REJECTED, TELEMETRY_AREA, "flush", "commit", "close"]
    assert {partition: offset.offset for partition, offset in kafka.offsets.items()} == {PARTITION: 13}
    (_, _, refused), (_, unit, value) = (sent.record for sent in kafka.sent)
    block = decode_block(value)
    assert (refused, unit, block.meters.to_pylist()) == (reading("m3"), b"A1", ["m1", "m2"])
    assert block.received_at_us == int(NOW_S * 1e6)
    assert (made.taken, made.forwarded, dict(made.reasons)) == (3, 1, {Reason.UNKNOWN_METER: 1})
    assert (made.held, made.lag) == (0, {})
    assert made.idle_reason() is not None
    assert registry.get_sample_value("meterline_readings_taken_total") == 3
    assert registry.get_sample_value("meterline_readings_rejected_total", {"reason": "unknown_meter"}) == 1


def test_the_lag_is_what_is_not_committed_as_long_as_polls_tell() -> None:
    now_s = 0.0
    kafka = Kafka([{PARTITION: [batch(reading("m1"), first=10)]}, {}, {}, {}])
    made = ReadingGatherer(ReadingSettings(linger_us=10**12), kafka, kafka, Grid(), lambda: NOW_S, lambda: now_s)
    poll, found = kafka.poll, []

    def look_then_poll(timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Batch]]:
        nonlocal now_s
        found.append(made.lag)
        if len(found) == 3:
            made.settle()
        elif len(found) == 4:
            kafka.end = 500
        elif len(found) == 5:
            now_s = 31.0
            found.append(made.lag)
        return poll(timeout_ms, max_records)

    kafka.poll = look_then_poll  # type: ignore[method-assign]
    made.run(kafka.stop)
    # Nothing taken; taken; held; committed; more has come; and nothing was polled for long.
    assert found == [{}, {3: 90}, {3: 90}, {3: 89}, {3: 489}, {}]


def test_nothing_is_committed_when_kafka_does_not_take_a_block() -> None:
    kafka = Kafka([{PARTITION: [batch(reading("m1"))]}], takes=False)
    with pytest.raises(GathererError, match="Kafka is away"):
        gatherer(kafka).run(kafka.stop)
    assert kafka.offsets == {}
    assert kafka.asked == [TELEMETRY_AREA, "flush", "close"]


def test_what_is_held_goes_on_when_it_is_enough_and_when_it_has_waited() -> None:
    polls = [{PARTITION: [batch(reading("m1"), first=n)]} for n in range(3)]
    kafka = Kafka(list(polls))
    gatherer(kafka, hold=2).run(kafka.stop)
    assert kafka.asked.count(TELEMETRY_AREA) == 2
    kafka = Kafka(list(polls))
    gatherer(kafka, linger_us=0).run(kafka.stop)
    assert kafka.asked.count(TELEMETRY_AREA) == 3
    assert kafka.offsets[PARTITION].offset == 3


def test_one_poll_is_taken_in_parts_that_are_held() -> None:
    hundred = [reading("m1")] * 100
    kafka = Kafka([{PARTITION: [batch(*hundred, first=100 * n) for n in range(10)]}])
    made = gatherer(kafka, hold=200)
    made.run(kafka.stop)
    assert kafka.commits == [200, 400, 600, 800, 1_000]
    assert made.taken == 1_000
    # A batch larger than that goes on in parts too, and is committed as a whole.
    kafka = Kafka([{PARTITION: [batch(*hundred)]}])
    gatherer(kafka, hold=30).run(kafka.stop)
    assert (kafka.asked.count(TELEMETRY_AREA), kafka.commits) == (4, [100])


def test_a_batch_that_cannot_be_unpacked_is_refused_and_the_next_is_taken() -> None:
    bomb = Batch(0, 9, 10, bytes(cramjam.zstd.compress(bytes(65 << 20))), 4)
    kafka = Kafka([{PARTITION: [bomb, batch(reading("m1"), first=10)]}])
    made = gatherer(kafka)
    made.run(kafka.stop)
    assert [sent.record[:2] for sent in kafka.sent] == [(TELEMETRY_REJECTED, b"too_large"), (TELEMETRY_AREA, b"A1")]
    assert kafka.sent[0].record[2] == bomb.data
    assert (kafka.commits, made.taken, made.reasons) == ([11], 1, {Reason.TOO_LARGE: 1})


def test_what_is_held_when_partitions_move_comes_again_from_what_is_committed() -> None:
    polls = [{PARTITION: [batch(reading("m1"), first=first)]} for first in (5, 6)]
    kafka = Kafka(list(polls))
    made = gatherer(kafka)
    poll = kafka.poll

    def poll_then_move(timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Batch]]:
        if not kafka.polls and not kafka.sought:
            assert made.held == 2
            kafka.revoke()
            assert (made.held, made.lag, kafka.asked) == (0, {}, [])
            assert made.idle_reason() is not None
            # Given back at once, kafka-python reads on where it was, not from what is committed.
            assert kafka.sought == {PARTITION: 5}
            kafka.listener.on_partitions_assigned([PARTITION])
            kafka.polls = list(polls)
        return poll(timeout_ms, max_records)

    kafka.poll = poll_then_move  # type: ignore[method-assign]
    made.run(kafka.stop)
    assert kafka.asked == [TELEMETRY_AREA, "flush", "commit", "close"]
    assert kafka.offsets[PARTITION].offset == 7


def test_a_commit_that_fails_is_made_again_with_the_next() -> None:
    kafka = Kafka([{PARTITION: [batch(reading("m1"))]}, {}], refuses=[CommitFailedError()])
    gatherer(kafka, linger_us=0).run(kafka.stop)
    assert kafka.asked.count("commit") == 2
    assert kafka.offsets[PARTITION].offset == 1
    kafka = Kafka([{PARTITION: [batch(reading("m1"))]}], refuses=[FencedInstanceIdError()])
    with pytest.raises(GathererError, match="another gatherer"):
        gatherer(kafka).run(kafka.stop)


@pytest.mark.parametrize(("rebuild_s", "pause_s"), [(0.0, 0.0), (0.5, 5.0), (60.0, 10.0)])
def test_finding_places_takes_a_share_of_the_time_and_is_never_put_off_for_long(
    rebuild_s: float, pause_s: float
) -> None:
    now_s = 0.0

    class Slow(Grid):
        @property
        def units(self) -> Mapping[str, UnitPlaces]:
            nonlocal now_s
            now_s += rebuild_s
            return super().units

        def refresh(self) -> bool:
            asked_s.append(now_s)
            return True

    def poll(timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Batch]]:
        nonlocal now_s
        now_s += 0.25
        if len(asked_s) == 4:
            kafka.stop.set()
        return {}

    asked_s: list[float] = []
    kafka = Kafka([])
    kafka.poll = poll  # type: ignore[method-assign]
    ReadingGatherer(ReadingSettings(), kafka, kafka, Slow(), lambda: NOW_S, lambda: now_s).run(kafka.stop)
    between_s = [later - before - rebuild_s for before, later in pairwise(asked_s)]
    assert between_s == [max(0.25, pause_s)] * 3


def test_a_meter_that_moves_is_placed_anew_and_what_is_old_goes_apart() -> None:
    grid = Grid()
    kafka = Kafka([{PARTITION: [batch(reading("m1"))]}, {PARTITION: [batch(reading("m1", "2026-11-20T12:00:00Z"))]}])
    poll = kafka.poll

    def poll_then_change(timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Batch]]:
        grid.move("B1")
        return poll(timeout_ms, max_records)

    kafka.poll = poll_then_change  # type: ignore[method-assign]
    made = gatherer(kafka, grid)
    made.run(kafka.stop)
    assert [sent.record[:2] for sent in kafka.sent] == [(TELEMETRY_AREA, b"A1"), (TELEMETRY_BACKFILL, b"B1")]
    assert made.backfilled == 1
