"""The message of device events that a gateway sends, as a type; its JSON Schema is published from here."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import msgspec

from grid.device_events import MAX_EVENTS, DeviceEventKind

#: No control character, and nothing that MQTT means something by: other codes name no meter.
MeterCode = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[^\u0000-\u001f/+#]+$")]


class EventsMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Events of meters of one unit, column by column; meters and instants may be any, in any order."""

    sequence: Annotated[
        int, msgspec.Meta(ge=0, lt=2**62, description="The gateway's number of the message, rising by one")
    ]
    meter: Annotated[
        list[MeterCode],
        msgspec.Meta(min_length=1, max_length=MAX_EVENTS, description="Asset numbers; the other columns follow them"),
    ]
    kind: Annotated[list[DeviceEventKind], msgspec.Meta(description="What happened, for each meter")]
    observed_at: Annotated[
        list[Annotated[datetime, msgspec.Meta(tz=True)]],
        msgspec.Meta(description="When it happened, for each meter"),
    ]


def events_schema() -> dict[str, Any]:
    """JSON Schema of the payload of topic ``meterline/v1/{gateway}/event/{unit}``."""
    schema = msgspec.json.schema(EventsMessage)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_files() -> dict[str, str]:
    """Published schema files by name."""
    return {"event.schema.json": json.dumps(events_schema(), indent=2) + "\n"}
