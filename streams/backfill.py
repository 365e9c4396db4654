"""The backfill's lane: settles what came late beside live data, in the time that live data leave.

It has a consumer and a group of its own. Under one Faust consumer a backlog would fill the buffer that all topics
share, and live records would wait behind it; here what isn't taken yet stays in Kafka.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from grid.topics import TELEMETRY_BACKFILL
from streams.counters import Counters, Vitals
from streams.join import Record

log = structlog.get_logger("streams.backfill")

#: Heartbeats to the group in the time after which a silent member is taken for dead.
HEARTBEATS = 10
_POLL_MS = 500
#: Pause before live agents are looked at again.
_YIELD_S = 0.1
#: A live batch that takes longer, or whose records waited longer, means that live data are behind.
_BEHIND_S = 2.0
#: What live agents did longer ago tells nothing of now.
_RECENT_S = 3.0
_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """How the lane joins its group and how much it takes.

    Attributes
    ----------
    bootstrap, group, instance
        As of `streams.app.WorkerSettings`; the lane's group has a name of its own.
    batch
        Most records in one transaction: live batches wait for the processor no longer than for this.
    share
        Part of the time that it may work while live data flow, above 0 to 1: after a batch it rests accordingly.
    """

    bootstrap: str
    group: str
    instance: str
    batch: int = 500
    share: float = 0.5
    session_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if self.batch < 1 or not 0 < self.share <= 1:
            raise ValueError(f"batch must be positive and share above 0 to 1: {self}")

    def rest_s(self, busy_s: float) -> float:
        """How long to rest after `busy_s` of work."""
        return busy_s * (1 / self.share - 1)


def is_behind(areas: Counters, others: Sequence[Counters], now_s: float) -> bool:
    """Whether live data wait: the lane gives way then.

    `now_s` is of the monotonic clock. Of the others, units of units and SCADA, only the batch in hand tells: what the
    units are told of old intervals was received long ago.
    """
    if areas.last_delay_s > _BEHIND_S and now_s - areas.last_commit_s < _RECENT_S:
        return True
    return any(c.busy_since is not None and now_s - c.busy_since > _BEHIND_S for c in (areas, *others))


async def follow_backfill(
    settings: LaneSettings, vitals: Vitals, settle: Callable[[Sequence[Record]], Awaitable[None]]
) -> None:
    """Take old records, settle them, and acknowledge them, without end.

    `settle` returns when the effects are durable. What isn't acknowledged after a crash or a change of the group is
    taken again, and the repeat changes nothing.
    """
    consumer = AIOKafkaConsumer(
        TELEMETRY_BACKFILL,
        bootstrap_servers=settings.bootstrap,
        group_id=f"{settings.group}-backfill",
        group_instance_id=f"{settings.group}-backfill-{settings.instance}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=int(settings.session_timeout_s * 1e3),
        heartbeat_interval_ms=int(settings.session_timeout_s * 1e3 / HEARTBEATS),
        # However long live data have the precedence, who gives way is alive; its heartbeat says so.
        max_poll_interval_ms=_DAY_MS,
        max_partition_fetch_bytes=1 << 20,
    )
    await consumer.start()
    reached: dict[TopicPartition, int] = {}
    try:
        while True:
            if is_behind(vitals.areas, (vitals.greater, vitals.scada), time.monotonic()):
                await asyncio.sleep(_YIELD_S)
            else:
                await _one_batch(consumer, settings, vitals, settle, reached)
    finally:
        await consumer.stop()


async def _one_batch(
    consumer: AIOKafkaConsumer,
    settings: LaneSettings,
    vitals: Vitals,
    settle: Callable[[Sequence[Record]], Awaitable[None]],
    reached: dict[TopicPartition, int],
) -> None:
    """Take what is there; `reached` is the offset behind what was taken of each partition so far."""
    taken = await consumer.getmany(timeout_ms=_POLL_MS, max_records=settings.batch)
    if not taken:
        return
    for partition, messages in taken.items():
        await _notice_dropped(consumer, vitals, partition, messages[0].offset, reached.get(partition))
        reached[partition] = messages[-1].offset + 1
    started = vitals.backfill.busy_since = time.monotonic()
    await settle([Record(m.topic, m.value or b"") for messages in taken.values() for m in messages])
    vitals.backfill.busy_since = None
    vitals.backfill.flushed(sum(map(len, taken.values())), time.monotonic() - started)
    try:
        await consumer.commit({partition: messages[-1].offset + 1 for partition, messages in taken.items()})
    except (CommitFailedError, IllegalStateError) as error:
        # The group has changed meanwhile: who has the partition now takes these again.
        log.info("the backfill's partitions have moved", error=str(error))
    for partition in consumer.assignment():
        end = consumer.highwater(partition)
        if end is not None and partition in taken:
            vitals.backfill_lag[partition.topic, partition.partition] = end - taken[partition][-1].offset - 1
    ended = time.monotonic()
    # Alone, it takes all the time there is: a first load of history, or a night of catching up.
    if ended - vitals.areas.last_commit_s < _RECENT_S:
        await asyncio.sleep(settings.rest_s(ended - started))


async def _notice_dropped(
    consumer: AIOKafkaConsumer, vitals: Vitals, partition: TopicPartition, first: int, reached: int | None
) -> None:
    """Count what Kafka has removed since the last record that the group took, where `first` lies behind `reached`."""
    if reached is not None and first <= reached:
        return
    try:
        # Others may have taken them while the partition was theirs.
        committed = await consumer.committed(partition)
        beginning = (await consumer.beginning_offsets([partition]))[partition]
    except (TimeoutError, KafkaError, IllegalStateError) as error:
        log.warning("what Kafka has removed can't be told", error=repr(error))
        return
    known = [offset for offset in (reached, committed) if offset is not None]
    gone = beginning - max(known) if known else 0
    if gone > 0:
        vitals.dropped[partition.topic, partition.partition] += gone
        log.error("Kafka has removed records unread", topic=partition.topic, n=partition.partition, records=gone)
