"""What a worker's partitions lag, and what Kafka has removed from them before it was taken."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from meterline.metrics import WorkerMetrics
from streams.counters import Vitals
from streams.lag import _look

PLACE = TopicPartition("telemetry.area", 0)


@dataclass
class Kafka:
    """One partition, as a consumer and an administrator ask for it."""

    beginning: int = 0
    end: int = 0
    committed: int | None = None
    counted: dict[TopicPartition, int] = field(default_factory=dict)
    dropped: Counter[tuple[str, int]] = field(default_factory=Counter)

    async def beginning_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.beginning)

    async def end_offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.end)

    async def list_consumer_group_offsets(self, group: str, partitions: list[TopicPartition]) -> dict[Any, Any]:
        if self.committed is None:
            return {}
        return dict.fromkeys(partitions, SimpleNamespace(offset=self.committed))

    def look(self) -> tuple[int, int]:
        """Lag, and what was dropped until now."""
        looked = _look(self, self, "meterline", {PLACE}, self.counted, self.dropped)
        lag = asyncio.run(looked)
        return lag[PLACE], self.dropped[PLACE]


def test_what_kafka_removed_before_it_was_taken_is_counted_once() -> None:
    kafka = Kafka(beginning=0, end=1_000, committed=100)
    assert kafka.look() == (900, 0)
    kafka.beginning = 400
    with capture_logs() as logs:
        assert kafka.look() == (600, 300)
        assert kafka.look() == (600, 300)
    assert [(entry["log_level"], entry["records"]) for entry in logs] == [("error", 300)]
    kafka.beginning = 450
    assert kafka.look() == (550, 350)
    # The worker has gone on; what is removed behind it was taken.
    kafka.committed, kafka.beginning = 900, 700
    assert kafka.look() == (100, 350)
    kafka.beginning = kafka.end = 1_000
    assert kafka.look() == (0, 450)


@pytest.mark.parametrize("committed", [None, -1])
def test_of_a_group_that_has_acknowledged_nothing_nobody_knows_what_it_missed(committed: int | None) -> None:
    assert Kafka(beginning=400, end=1_000, committed=committed).look() == (600, 0)


def test_what_was_dropped_is_a_metric() -> None:
    vitals = Vitals()
    vitals.dropped["telemetry.area", 3] += 7
    registry = CollectorRegistry()
    registry.register(WorkerMetrics(vitals))
    labels = {"topic": "telemetry.area", "partition": "3"}
    assert registry.get_sample_value("meterline_worker_dropped_records_total", labels) == 7
