"""What kind of message a topic carries, and the records that it becomes: one way for the bridge and the replay."""

from __future__ import annotations

from dataclasses import dataclass

from grid.block import Block
from grid.errors import Rejection
from grid.model import UnitKind
from grid.ports import Directory
from ingest.decode import decode_message
from ingest.decode_events import decode_events_message
from ingest.decode_points import decode_points_message
from ingest.topics import KafkaRecord, record_of, records_of_events, records_of_points, refusals_of

#: Topics that gateways publish to, for a subscription.
SUBSCRIPTIONS = ("meterline/v1/+/block/+", "meterline/v1/+/points/+", "meterline/v1/+/event/+")

_POINTS, _EVENT = "points", "event"


@dataclass(frozen=True, slots=True)
class Taken:
    """What a message comes to.

    Attributes
    ----------
    records
        What goes to Kafka as it is: points, device events, and what was refused.
    rejections
        What was refused of it.
    forwarded
        Whether anything of it was taken.
    block
        A block of readings with its unit's kind, which may be gathered with others before it becomes a record.
    number
        The gateway's number of the message; None where it must be read from the payload.
    """

    records: list[KafkaRecord]
    rejections: tuple[Rejection, ...]
    forwarded: bool
    block: tuple[Block, UnitKind] | None = None
    number: int | None = None

    def all_records(self, backfill_after_us: int) -> list[KafkaRecord]:
        """Records with the block by itself."""
        own = [] if self.block is None else [record_of(*self.block, backfill_after_us)]
        return own + self.records


def kind_of(topic: str) -> str:
    """What kind of message a topic carries, by its name; empty where it names none."""
    parts = topic.split("/")
    return parts[3] if len(parts) > 3 else ""


def take_message(topic: str, payload: bytes, received_at_us: int, directory: Directory) -> Taken:
    """Decode one MQTT message by the kind that its topic names; what names none is refused as a block."""
    kind = kind_of(topic)
    if kind == _POINTS:
        points = decode_points_message(topic, payload, received_at_us, directory)
        return Taken(records_of_points(points), points.rejections, points.batch is not None)
    if kind == _EVENT:
        events = decode_events_message(topic, payload, received_at_us, directory)
        return Taken(records_of_events(events), events.rejections, events.batch is not None)
    decoded = decode_message(topic, payload, received_at_us, directory, directory.zone)
    refusals = refusals_of(decoded.rejections)
    if decoded.block is None or decoded.kind is None:
        return Taken(refusals, decoded.rejections, False)
    # All readings of one message have its number.
    return Taken(refusals, decoded.rejections, True, (decoded.block, decoded.kind), int(decoded.block.sequence[0]))
