"""Follows a topic of Debezium's envelopes: batches of messages become records, in the order of each partition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from store.connection import Connection
from store.sync_records import Origin, TakeCounts
from sync.sources.contract import RawRecord, Refusal
from sync.sources.debezium.envelope import decode_envelope
from sync.take import TakeRules, take_records

#: Messages of a transaction.
BATCH = 5_000


class Consumer(Protocol):
    """What is used of a Kafka consumer; offsets are committed by hand."""

    def poll(self, timeout_ms: int = ..., max_records: int | None = ...) -> dict[Any, list[Any]]:
        """Messages by partition."""
        ...

    def commit(self) -> None:
        """Note how far the group has come."""
        ...


@dataclass(frozen=True, slots=True)
class TopicSource:
    """A topic to follow: of which system, which columns hold the key, and which dataset each table is."""

    system: str
    topic: str
    keys: tuple[str, ...]
    datasets: dict[str, str]


def follow(
    open_connection: Callable[[], Connection],
    consumer: Consumer,
    source: TopicSource,
    rules: TakeRules,
    now: Callable[[], datetime],
    stopped: Callable[[], bool],
    wait_ms: int = 1_000,
) -> Iterator[TakeCounts]:
    """Take what comes, a batch a transaction, until `stopped`; offsets are committed after the database.

    A batch that was taken but not committed to Kafka comes again and changes nothing: of each key its last word holds.

    Raises
    ------
    sync.take.RefusedError
        A message can't be read and `rules` don't take in part: nothing of its batch was taken, and it comes again.
    """
    with open_connection() as connection:
        while not stopped():
            polled = consumer.poll(timeout_ms=wait_ms, max_records=BATCH)
            messages = [message for of_partition in polled.values() for message in of_partition]
            if not messages:
                yield TakeCounts(None, 0, 0, 0, 0, 0)
                continue
            origin = Origin(source.system, source.topic, None, whole=False)
            with connection.transaction():
                counts = take_records(connection, _decoded(messages, source), origin, rules, now())
            connection.commit()
            consumer.commit()
            yield counts


def _decoded(messages: Sequence[Any], source: TopicSource) -> Iterator[RawRecord | Refusal]:
    """Records numbered in the order of arrival, so that the last of a key is told from those before it."""
    for number, message in enumerate(messages, start=1):
        found = decode_envelope(message.value, source.keys, number, source.datasets)
        if found is not None:
            yield found
