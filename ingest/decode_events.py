"""From an MQTT message of device events to a batch of them, pure: the only place where they are checked.

What cannot be decoded is refused whole; an event at an impossible time is refused alone and the others are kept.
Whether a meter is known is a question to the master data, asked where events are stored. Nothing here raises for what
a peer sent.
"""

from __future__ import annotations

import msgspec
import pyarrow as pa

from grid.device_events import EventBatch
from grid.errors import Rejection
from grid.ports import Directory
from ingest.checks import (
    DecodedBatch,
    RefusedError,
    check_lengths,
    check_sender,
    check_size,
    impossible_times,
    instants_us,
    parse,
    parse_topic,
    sift,
)
from ingest.event_messages import EventsMessage

_decoder = msgspec.json.Decoder(EventsMessage)


def decode_events_message(
    topic: str, payload: bytes, received_at_us: int, directory: Directory
) -> DecodedBatch[EventBatch]:
    """Decode and check one MQTT message of device events.

    Parameters
    ----------
    topic
        ``meterline/v1/{gateway}/event/{unit}``; the broker has made sure that {gateway} is the sender.
    payload
        Columnar JSON, see `ingest.event_messages.EventsMessage`.
    received_at_us
        When it came, microseconds since 1970 UTC.
    directory
        What is known of units and gateways.
    """
    try:
        check_size(payload)
        gateway, unit = parse_topic(topic, "event")
        check_sender(gateway, unit, directory)
        message = parse(_decoder, payload)
        check_lengths(len(message.meter), "meters", kind=message.kind, observed_at=message.observed_at)
        observed_at_us = instants_us(message.observed_at)
    except RefusedError as refused:
        return DecodedBatch(None, (Rejection(refused.reason, refused.detail, topic, payload),))
    keep, rejections = sift(impossible_times(observed_at_us, received_at_us), message.meter, "events", topic, payload)
    if not keep.any():
        return DecodedBatch(None, rejections)
    kept = pa.array(keep)
    batch = EventBatch(
        unit=unit,
        gateway=gateway,
        received_at_us=received_at_us,
        sequence=message.sequence,
        meters=pa.array(message.meter, pa.string()).filter(kept),
        kinds=pa.array([kind.value for kind in message.kind], pa.string()).filter(kept),
        observed_at_us=observed_at_us[keep],
    )
    return DecodedBatch(batch, rejections)
