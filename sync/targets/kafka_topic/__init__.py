"""A compacted Kafka topic: each entity's document as a CloudEvent 1.0 in structured form, keyed by the entity."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from kafka import TopicPartition
from kafka.errors import KafkaError

from grid.document import Document, Key
from store.deliveries import Attempt, Outcome
from sync.targets.contract import Parcel, TargetError, digest_of

SOURCE = "/meterline/sync"
_WITHIN_S = 10.0
_POLL_MS = 200
_HEADERS = [("content-type", b"application/cloudevents+json; charset=UTF-8")]


class Producer(Protocol):
    """A Kafka producer with ``acks='all'``, as `kafka.KafkaProducer`."""

    def send(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        headers: list[tuple[str, bytes]] | None = None,
    ) -> Any:
        """Hand over one record."""

    def flush(self, timeout: float | None = None) -> object:
        """Send what was handed over."""


class KafkaTopic:
    """A `Carrier`.

    It keeps the digest of each entity's last record as it was read from the topic, 16 bytes each: a topic can only be
    read from an offset on.

    Parameters
    ----------
    make_producer, make_consumer
        Called when they are first needed, and after an error; the consumer belongs to no group.
    """

    def __init__(self, topic: str, make_producer: Callable[[], Producer], make_consumer: Callable[[], Any]) -> None:
        self._topic = topic
        self._make_producer = make_producer
        self._make_consumer = make_consumer
        self._producer: Producer | None = None
        self._consumer: Any = None
        self._seen: dict[Key, bytes] = {}

    def send(self, parcels: Sequence[Parcel]) -> list[Attempt]:
        """Records of a parcel are acknowledged, or it has failed; a consumer tells a repeat by the event's id."""
        try:
            if self._producer is None:
                self._producer = self._make_producer()
            producer = self._producer
            sent = [[producer.send(*record) for record in self._records(parcel)] for parcel in parcels]
            producer.flush(timeout=_WITHIN_S)
        except KafkaError as error:
            self._producer = None
            return [Attempt(Outcome.FAILED, f"Kafka: {type(error).__name__}: {error}")] * len(parcels)
        return [_acknowledged(futures) for futures in sent]

    def _records(self, parcel: Parcel) -> Iterable[tuple[str, bytes | None, bytes, list[tuple[str, bytes]]]]:
        for document in parcel.documents:
            event = {
                "specversion": "1.0",
                "id": f"{parcel.delivery_id}/{_text(document.key)}",
                "source": SOURCE,
                "type": f"meterline.{parcel.notice['type']}",
                "subject": _text(document.key),
                "time": parcel.notice["timestamp"],
                "datacontenttype": "application/json",
                "data": {"kind": document.key.kind, "code": document.key.code, "body": dict(document.body)},
            }
            yield self._topic, msgspec.json.encode(event), _text(document.key).encode(), _HEADERS
        for key in parcel.removed:
            yield self._topic, None, _text(key).encode(), []

    def expected(self, document: Document) -> bytes | None:
        """The whole document."""
        return digest_of(document.body)

    def read(self, keys: Sequence[Key]) -> Mapping[Key, bytes]:
        """As the topic's last records are."""
        self._catch_up()
        return {key: self._seen[key] for key in keys if key in self._seen}

    def keys(self) -> Iterable[Key]:
        """All that has a last record."""
        self._catch_up()
        return sorted(self._seen)

    def _catch_up(self) -> None:
        try:
            if self._consumer is None:
                self._seen = {}
                self._consumer = self._make_consumer()
                parts = self._consumer.partitions_for_topic(self._topic) or ()
                assigned = [TopicPartition(self._topic, part) for part in sorted(parts)]
                self._consumer.assign(assigned)
                if assigned:
                    self._consumer.seek_to_beginning(*assigned)
            complete = self._read_to_end()
        except KafkaError as error:
            self._give_up()
            raise TargetError(f"Kafka: {type(error).__name__}: {error}") from None
        if not complete:
            self._give_up()
            raise TargetError(f"Kafka: topic {self._topic} isn't there, or can't be read to its end")

    def _read_to_end(self) -> bool:
        assigned = list(self._consumer.assignment())
        ends = self._consumer.end_offsets(assigned)
        deadline = time.monotonic() + _WITHIN_S
        while any(self._consumer.position(part) < ends[part] for part in assigned):
            found = self._consumer.poll(timeout_ms=_POLL_MS)
            for records in found.values():
                for record in records:
                    self._note(record.key, record.value)
            if found:
                deadline = time.monotonic() + _WITHIN_S
            elif time.monotonic() > deadline:
                return False
        return bool(assigned)

    def _note(self, raw_key: bytes | None, value: bytes | None) -> None:
        kind, _, code = (raw_key or b"").decode("utf-8", "replace").partition(":")
        key = Key(kind, code)
        if value is None:
            self._seen.pop(key, None)
            return
        try:
            body = json.loads(value)["data"]["body"]
        except (ValueError, KeyError, TypeError):
            body = {"unreadable": True}
        self._seen[key] = digest_of(body)

    def _give_up(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
        self._consumer = None


def _text(key: Key) -> str:
    return f"{key.kind}:{key.code}"


def _acknowledged(futures: Sequence[Any]) -> Attempt:
    try:
        for future in futures:
            future.get(timeout=_WITHIN_S)
    except KafkaError as error:
        return Attempt(Outcome.FAILED, f"Kafka: {type(error).__name__}: {error}")
    return Attempt(Outcome.DELIVERED)
