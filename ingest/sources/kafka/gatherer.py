"""The lane for devices that publish one reading at a time: from one Kafka topic into blocks on others.

Offsets are committed only after Kafka has the blocks. What was taken and not committed comes again after a crash or a
change of the group; the merge by position makes the repeat harmless. kafka-python tells a change of the group on the
thread that also sends heartbeats and mustn't wait: nothing is sent or committed then, what is held is dropped.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import FencedInstanceIdError, KafkaError

from grid.errors import Reason, Rejection
from grid.ports import Places
from grid.topics import TELEMETRY_BACKFILL, TELEMETRY_READING
from ingest.checks import MAX_PAYLOAD
from ingest.collect import Collector, warm_collector
from ingest.sources.kafka.batches import Batch, BatchError, Unpacker, hand_out_batches, warm_batches
from ingest.topics import BACKFILL_AFTER_US, KafkaRecord, record_of, refusals_of

log = structlog.get_logger("ingest.readings")

GROUP = "meterline-readings"

_POLL_MS = 200
#: Batches in a poll: producers fill them with some kilobytes to some hundreds.
_BATCHES = 64
_KAFKA_TIMEOUT_S = 60
_COMMIT_MS = 10_000
#: Records that are looked at together, and blocks and refusals that wait for Kafka.
_RECORDS, _SENT = 100_000, 10_000
#: What a poll told of the lag is told for so long.
_LAG_S = 30.0
#: Newer places may take this part of the time; they are never put off for longer than so.
_PLACING_SHARE = 0.1
_PLACING_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class ReadingSettings:
    """What the gatherer waits for.

    Attributes
    ----------
    linger_us
        How long a reading may wait for others of its unit and interval.
    hold
        How many may wait: reached, all of them go on.
    backfill_after_us
        From which age on a block travels apart from live data.
    """

    linger_us: int = 1_000_000
    hold: int = 400_000
    backfill_after_us: int = BACKFILL_AFTER_US

    def __post_init__(self) -> None:
        if self.linger_us < 0 or self.hold < 1:
            raise ValueError(f"no settings: {self}")


class GathererError(RuntimeError):
    """The gatherer can't go on; the supervisor restarts it, and what wasn't committed comes again."""


class ReadingGatherer:
    """Moves single readings into blocks until told to stop.

    Parameters
    ----------
    settings
        See `ReadingSettings`.
    consumer
        Without automatic commits, not subscribed yet; the gatherer closes it.
    producer
        A producer with ``acks="all"``; the gatherer doesn't close it.
    places
        Where meters are read.
    clock
        Seconds since 1970, for the time of receipt.
    ticks
        Seconds, monotonic.
    """

    def __init__(
        self,
        settings: ReadingSettings,
        consumer: KafkaConsumer,
        producer: KafkaProducer,
        places: Places,
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._consumer = consumer
        self._producer = producer
        self._places = places
        self._clock = clock
        self._ticks = ticks
        self._place_at_s = float("-inf")
        self._collector = Collector(places.units.values(), places.zone)
        self._unpacker = Unpacker()
        # From which offset on nothing is committed, and up to which readings were taken; of partitions that gave any.
        self._offsets: dict[TopicPartition, tuple[int, int]] = {}
        self._sent: list[Any] = []
        self._since_us: int | None = None
        self._assigned = False
        self.taken = 0
        self.forwarded = 0
        self.backfilled = 0
        #: Records of each partition that Kafka removed for their age before they were taken.
        self.dropped: Counter[int] = Counter()
        self._lag: dict[int, int] = {}
        self._polled_at_s = float("-inf")

    @property
    def held(self) -> int:
        """Readings that wait for others of their unit and interval."""
        return self._collector.held

    @property
    def uncommon(self) -> int:
        """Readings that had another form than the common one."""
        return self._collector.uncommon

    @property
    def reasons(self) -> Counter[str]:
        """Readings refused, by reason; of those that are refused together each counts."""
        return self._collector.refused

    @property
    def lag(self) -> dict[int, int]:
        """Records of each partition that aren't committed, as of the last poll; of none where that was long ago."""
        return self._lag if self._ticks() - self._polled_at_s <= _LAG_S else {}

    def idle_reason(self) -> str | None:
        """Why nothing can be taken now; None when partitions are assigned."""
        return None if self._assigned else f"no partition of {TELEMETRY_READING} is assigned"

    def run(self, stop: threading.Event) -> None:
        """Gather until `stop` is set; what is held then goes on first.

        Raises
        ------
        GathererError
            When Kafka doesn't take a block, or another gatherer has this one's name.
        """
        warm_collector()
        warm_batches()
        hand_out_batches(self._consumer)
        self._consumer.subscribe([TELEMETRY_READING], listener=_Listener(self))
        try:
            while not stop.is_set():
                self._place()
                self._take(self._consumer.poll(timeout_ms=self._wait_ms(), max_records=_BATCHES))
                self._look()
                if self._since_us is not None and not self._wait_ms():
                    self.settle()
            self.settle()
        finally:
            self._consumer.close()

    def settle(self) -> None:
        """Give what is held to Kafka, wait for Kafka, and commit the offsets of all that was taken."""
        for block, kind in self._collector.blocks():
            self._produce(record_of(block, kind, self._settings.backfill_after_us))
            self.forwarded += 1
        sent, self._sent = self._sent, []
        self._since_us = None
        if sent:
            self._producer.flush(timeout=_KAFKA_TIMEOUT_S)
            for future in sent:
                if not future.succeeded():
                    raise GathererError(f"Kafka didn't take a block: {future.exception}")
        self._commit()

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        """These are the group's wish for this gatherer from now on."""
        self._assigned = bool(partitions)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        """All partitions are taken away: who has them next goes on from what is committed, this gatherer too."""
        for partition in partitions:
            if partition in self._offsets:
                # One that comes back at once is otherwise read on behind what is dropped here.
                self._consumer.seek(partition, self._offsets[partition][0])
        self._collector.drop()
        self._sent.clear()
        self._since_us = None
        self._offsets.clear()
        self._lag = {}
        self._assigned = False

    def _wait_ms(self) -> int:
        if self._since_us is None:
            return _POLL_MS
        if self._is_full():
            return 0
        left_us = self._since_us + self._settings.linger_us - time.monotonic_ns() // 1_000
        return max(0, min(_POLL_MS, -(-left_us // 1_000)))

    def _place(self) -> None:
        """Take newer places; what is held has its own by the older ones."""
        began_s = self._ticks()
        if began_s < self._place_at_s:
            return
        if self._places.refresh():
            self.settle()
            self._collector.place(self._places.units.values())
        ended_s = self._ticks()
        self._place_at_s = ended_s + min((ended_s - began_s) / _PLACING_SHARE, _PLACING_PAUSE_S)

    def _is_full(self) -> bool:
        return self._collector.held >= self._settings.hold or len(self._sent) >= _SENT

    def _take(self, polled: dict[TopicPartition, list[Batch]]) -> None:
        """Take batches, as many together as memory is meant for: what kilobytes expand to is the sender's choice."""
        limit = min(self._settings.hold, _RECORDS)
        reached: dict[TopicPartition, tuple[int, int]] = {}
        for partition, of_partition in polled.items():
            self._notice_dropped(partition, of_partition[0].first)
            for batch in of_partition:
                try:
                    self._unpacker.add(batch)
                except BatchError as error:
                    original = batch.data[:MAX_PAYLOAD]
                    self.reasons[Reason.TOO_LARGE.value] += 1
                    self._refuse([Rejection(Reason.TOO_LARGE, str(error), TELEMETRY_READING, original)])
                begin, _ = reached.get(partition) or self._offsets.get(partition) or (batch.first, 0)
                reached[partition] = begin, batch.offset + 1
                if self._unpacker.is_full or self._unpacker.records >= limit:
                    self._take_unpacked(limit, reached)
        if reached:
            self._take_unpacked(limit, reached)

    def _notice_dropped(self, partition: TopicPartition, first: int) -> None:
        """Count what Kafka has removed since the last record that the group took, where `first` lies behind that."""
        taken = self._offsets[partition][1] if partition in self._offsets else None
        if taken is not None and first <= taken:
            return
        try:
            # Others may have taken them while the partition was theirs.
            committed = self._consumer.committed(partition, timeout_ms=_COMMIT_MS)
            beginning = self._consumer.beginning_offsets([partition])[partition]
        except KafkaError as error:
            log.warning("what Kafka has removed can't be told", error=repr(error))
            return
        known = [offset for offset in (taken, committed) if offset is not None and offset >= 0]
        gone = beginning - max(known) if known else 0
        if gone > 0:
            self.dropped[partition.partition] += gone
            log.error("Kafka has removed records unread", n=partition.partition, records=gone)

    def _look(self) -> None:
        ends = {partition: self._consumer.highwater(partition) for partition in self._offsets}
        self._lag = {
            partition.partition: end - self._offsets[partition][0] for partition, end in ends.items() if end is not None
        }
        self._polled_at_s = self._ticks()

    def _take_unpacked(self, limit: int, reached: dict[TopicPartition, tuple[int, int]]) -> None:
        """Take the records that are unpacked, at most `limit` together; with the last of them all is taken so far."""
        data, begins, ends = self._unpacker.values()
        for at in range(0, len(begins), limit):
            part = slice(at, at + limit)
            rejections = self._collector.take(data, begins[part], ends[part], int(self._clock() * 1e6))
            self.taken += len(begins[part])
            self._refuse(rejections)
            if at + limit < len(begins) and self._is_full():
                self.settle()
        self._offsets |= reached
        reached.clear()
        if self._since_us is None:
            self._since_us = time.monotonic_ns() // 1_000
        if self._is_full():
            self.settle()

    def _refuse(self, rejections: Sequence[Rejection]) -> None:
        for rejection in rejections:
            log.warning("rejected", reason=rejection.reason.value, detail=rejection.detail[:200])
        for record in refusals_of(rejections):
            self._produce(record)

    def _produce(self, record: KafkaRecord) -> None:
        self.backfilled += record.topic == TELEMETRY_BACKFILL
        self._sent.append(self._producer.send(record.topic, key=record.key, value=record.value, headers=record.headers))

    def _commit(self) -> None:
        offsets = {
            partition: OffsetAndMetadata(end, "", -1)
            for partition, (begin, end) in self._offsets.items()
            if begin < end
        }
        if not offsets:
            return
        try:
            self._consumer.commit(offsets, timeout_ms=_COMMIT_MS)
        except FencedInstanceIdError as error:
            raise GathererError(f"another gatherer has this one's name: {error}") from error
        except KafkaError as error:
            # The group has changed meanwhile, or Kafka is away: who has the partitions then takes these again.
            log.info("offsets can't be committed", error=repr(error))
            return
        self._offsets = {partition: (end, end) for partition, (_, end) in self._offsets.items()}


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    def __init__(self, gatherer: ReadingGatherer) -> None:
        self._gatherer = gatherer

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        """Called within `poll` and `close`, before others have them."""
        if revoked:
            self._gatherer.revoked(revoked)

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        """Called within `poll`."""
        self._gatherer.assigned(assigned)
