"""What kind of message a topic carries, and the records that it becomes: one way for the bridge and the replay."""

from __future__ import annotations

from dataclasses import dataclass

from grid.errors import Rejection
from grid.ports import Directory
from ingest.decode import decode_message
from ingest.decode_points import decode_points_message
from ingest.topics import KafkaRecord, records_of, records_of_points

#: Topics that gateways publish to, for a subscription.
SUBSCRIPTIONS = ("meterline/v1/+/block/+", "meterline/v1/+/points/+")

_POINTS = "points"


@dataclass(frozen=True, slots=True)
class Taken:
    """Records that a message becomes, what was refused of it, and whether anything of it was taken."""

    records: list[KafkaRecord]
    rejections: tuple[Rejection, ...]
    forwarded: bool


def take_message(topic: str, payload: bytes, received_at_us: int, directory: Directory) -> Taken:
    """Decode one MQTT message by the kind that its topic names; what names none is refused as a block."""
    parts = topic.split("/")
    if len(parts) > 3 and parts[3] == _POINTS:
        points = decode_points_message(topic, payload, received_at_us, directory)
        return Taken(records_of_points(points), points.rejections, points.batch is not None)
    decoded = decode_message(topic, payload, received_at_us, directory)
    return Taken(records_of(decoded), decoded.rejections, decoded.block is not None)
