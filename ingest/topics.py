"""Kafka topics that ingest feeds, and the records that a decoded message becomes there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from grid.block import encode_block
from grid.errors import Rejection
from grid.model import UnitKind
from grid.points import encode_points
from ingest.decode import Decoded
from ingest.decode_points import DecodedPoints

TELEMETRY_AREA = "telemetry.area"
TELEMETRY_SCADA = "telemetry.scada"
TELEMETRY_REJECTED = "telemetry.rejected"


def topic_of(kind: UnitKind) -> str:
    """Topic of a unit's blocks; what stands at a feeder's head comes with SCADA."""
    return TELEMETRY_SCADA if kind is UnitKind.FEEDER else TELEMETRY_AREA


@dataclass(frozen=True, slots=True)
class KafkaRecord:
    """A record to be sent; `headers` as kafka-python takes them."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]] = field(default_factory=list)


def records_of(decoded: Decoded) -> list[KafkaRecord]:
    """What a decoded message is on Kafka: its block, and each rejection with the original bytes as its value."""
    records = _rejected(decoded.rejections)
    if decoded.block is not None and decoded.kind is not None:
        records.insert(0, KafkaRecord(topic_of(decoded.kind), decoded.block.unit.encode(), encode_block(decoded.block)))
    return records


def records_of_points(decoded: DecodedPoints) -> list[KafkaRecord]:
    """The same for a message of points: they travel beside the blocks of a feeder's head, by the key of their unit."""
    records = _rejected(decoded.rejections)
    if decoded.batch is not None:
        records.insert(0, KafkaRecord(TELEMETRY_SCADA, decoded.batch.unit.encode(), encode_points(decoded.batch)))
    return records


def _rejected(rejections: Sequence[Rejection]) -> list[KafkaRecord]:
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
