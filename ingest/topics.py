"""Kafka topics that ingest feeds, and the records that a decoded message becomes there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from grid.block import Block, encode_block
from grid.device_events import EventBatch, encode_events
from grid.errors import Rejection
from grid.model import UnitKind
from grid.points import PointBatch, encode_points
from grid.topics import TELEMETRY_AREA, TELEMETRY_BACKFILL, TELEMETRY_EVENT, TELEMETRY_REJECTED, TELEMETRY_SCADA
from ingest.checks import DecodedBatch

#: Older than this at receipt, a block doesn't travel with live data.
BACKFILL_AFTER_US = 2 * 3_600 * 1_000_000


def topic_of(kind: UnitKind, age_us: int = 0, backfill_after_us: int = BACKFILL_AFTER_US) -> str:
    """Topic of a unit's blocks; what stands at a feeder's head comes with SCADA, and what is old in a lane of its own.

    Parameters
    ----------
    age_us
        From the end of the interval to the receipt.
    """
    if age_us > backfill_after_us:
        return TELEMETRY_BACKFILL
    return TELEMETRY_SCADA if kind is UnitKind.FEEDER else TELEMETRY_AREA


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """A record to be sent; `headers` as kafka-python takes them."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def record_of(block: Block, kind: UnitKind, backfill_after_us: int = BACKFILL_AFTER_US) -> KafkaRecord:
    """A block on Kafka."""
    topic = topic_of(kind, block.received_at_us - block.observed_at_us, backfill_after_us)
    return KafkaRecord(topic, block.unit.encode(), encode_block(block))


def records_of_points(decoded: DecodedBatch[PointBatch]) -> list[KafkaRecord]:
    """A message of points on Kafka: they travel beside the blocks of a feeder's head, by the key of their unit."""
    records = refusals_of(decoded.rejections)
    if decoded.batch is not None:
        records.insert(0, KafkaRecord(TELEMETRY_SCADA, decoded.batch.unit.encode(), encode_points(decoded.batch)))
    return records


def records_of_events(decoded: DecodedBatch[EventBatch]) -> list[KafkaRecord]:
    """A message of device events on Kafka, by the key of its unit."""
    records = refusals_of(decoded.rejections)
    if decoded.batch is not None:
        records.insert(0, KafkaRecord(TELEMETRY_EVENT, decoded.batch.unit.encode(), encode_events(decoded.batch)))
    return records


def refusals_of(rejections: Sequence[Rejection]) -> list[KafkaRecord]:
    """What was refused of a message, each with the original bytes as its value."""
    return [
        KafkaRecord(
            TELEMETRY_REJECTED, rejection.reason.value.encode(), rejection.original, _rejection_headers(rejection)
        )
        for rejection in rejections
    ]


def _rejection_headers(rejection: Rejection) -> list[tuple[str, bytes]]:
    """Kafka headers that carry everything of `rejection` but the original bytes, which are the value."""
    about = {
        "reason": rejection.reason.value,
        "detail": rejection.detail[:2_000],
        "topic": rejection.topic[:1_000],
        "meters": list(rejection.meters),
    }
    return [("rejection", json.dumps(about).encode())]
