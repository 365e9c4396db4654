"""How far a worker is behind in its partitions, asked of Kafka: who has stopped fetching doesn't learn the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.counters import Vitals

log = structlog.get_logger("streams.lag")

_EVERY_S = 5.0


async def watch_lag(
    bootstrap: str, group: str, assigned: Callable[[], Iterable[tuple[str, int]]], vitals: Vitals
) -> None:
    """Keep `vitals.lag` up to date until cancelled.

    Parameters
    ----------
    assigned
        Topic and number of this worker's partitions at the moment.
    """
    while True:
        # Outside the group: it only asks.
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        try:
            await consumer.start()
            await admin.start()
            while True:
                vitals.lag = await _lag(consumer, admin, group, [TopicPartition(*each) for each in assigned()])
                await asyncio.sleep(_EVERY_S)
        except (TimeoutError, KafkaError, OSError) as error:
            log.warning("the lag can't be told", error=str(error))
        finally:
            vitals.lag = {}
            await admin.close()
            await consumer.stop()
        await asyncio.sleep(_EVERY_S)


async def _lag(
    consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient, group: str, partitions: list[TopicPartition]
) -> dict[tuple[str, int], int]:
    if not partitions:
        return {}
    ends = await consumer.end_offsets(partitions)
    beginnings = await consumer.beginning_offsets(partitions)
    committed = await admin.list_consumer_group_offsets(group, partitions=partitions)
    lag = {}
    for partition in partitions:
        # Nothing committed yet is -1: the group begins at the beginning.
        offset = committed[partition].offset if partition in committed else -1
        lag[partition.topic, partition.partition] = max(0, ends[partition] - max(offset, beginnings[partition]))
    return lag
