"""How far a worker is behind in its partitions, asked of Kafka: who has stopped fetching doesn't learn the end.

Nor does anyone learn of what Kafka has removed because it grew too old before it was taken: the group goes on behind
it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.counters import Vitals

log = structlog.get_logger("streams.lag")

_EVERY_S = 5.0
#: How often it is looked whether the worker has other partitions: a group that goes on behind what was removed has soon
#: acknowledged something, and then nothing tells any more.
_PARTITIONS_S = 0.2


async def watch_lag(
    bootstrap: str, group: str, assigned: Callable[[], Iterable[tuple[str, int]]], vitals: Vitals
) -> None:
    """Keep `vitals.lag` and `vitals.dropped` up to date until cancelled.

    Parameters
    ----------
    assigned
        Topic and number of this worker's partitions at the moment.
    """
    counted: dict[TopicPartition, int] = {}
    while True:
        # Outside the group: it only asks.
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        try:
            await consumer.start()
            await admin.start()
            while True:
                partitions = {TopicPartition(*each) for each in assigned()}
                vitals.lag = await _look(consumer, admin, group, partitions, counted, vitals.dropped)
                for _ in range(round(_EVERY_S / _PARTITIONS_S)):
                    await asyncio.sleep(_PARTITIONS_S)
                    if set(assigned()) != partitions:
                        break
        except (TimeoutError, KafkaError, OSError) as error:
            log.warning("the lag can't be told", error=str(error))
        finally:
            vitals.lag = {}
            await admin.close()
            await consumer.stop()
        await asyncio.sleep(_EVERY_S)


async def _look(
    consumer: AIOKafkaConsumer,
    admin: AIOKafkaAdminClient,
    group: str,
    partitions: Collection[TopicPartition],
    counted: dict[TopicPartition, int],
    dropped: Counter[tuple[str, int]],
) -> dict[tuple[str, int], int]:
    """Lag by partition; adds to `dropped` what Kafka has removed unread since offset `counted`, which it moves on."""
    if not partitions:
        return {}
    ends = await consumer.end_offsets(partitions)
    beginnings = await consumer.beginning_offsets(partitions)
    committed = await admin.list_consumer_group_offsets(group, partitions=list(partitions))
    lag = {}
    for partition in partitions:
        # Nothing committed yet is -1: the group begins at the beginning.
        offset = committed[partition].offset if partition in committed else -1
        beginning = beginnings[partition]
        lag[partition.topic, partition.partition] = max(0, ends[partition] - max(offset, beginning))
        gone = beginning - max(offset, counted.get(partition, 0))
        if offset >= 0 and gone > 0:
            dropped[partition.topic, partition.partition] += gone
            counted[partition] = beginning
            log.error("Kafka has removed records unread", topic=partition.topic, n=partition.partition, records=gone)
    return lag
