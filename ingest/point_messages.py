"""The message of SCADA points that an RTU sends, as a type; its JSON Schema is published from here."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from grid.points import MAX_POINTS
from ingest.messages import Code

Cause = Literal["cyclic", "spontaneous", "interrogation"]


class PointsMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Points of one unit, column by column; the instants and the points may be any, in any order."""

    sequence: Annotated[
        int, msgspec.Meta(ge=0, lt=2**62, description="The gateway's number of the message, rising by one")
    ]
    point: Annotated[
        list[Code],
        msgspec.Meta(min_length=1, max_length=MAX_POINTS, description="Point codes; the other columns follow them"),
    ]
    observed_at: Annotated[
        list[Annotated[datetime, msgspec.Meta(tz=True)]],
        msgspec.Meta(description="When the device saw the value, for each point"),
    ]
    value: Annotated[
        list[float | None],
        msgspec.Meta(
            description="In the point's unit of measure; a switch is 1 closed, 0 open, else in between; null = no value"
        ),
    ]
    quality: Annotated[
        list[Annotated[int, msgspec.Meta(ge=0, le=255)]] | None,
        msgspec.Meta(
            description="Quality descriptor of IEC 60870-5-101 and -104 for each point: 1 overflow, 16 blocked, "
            "32 substituted, 64 not topical, 128 invalid; 0 = good. A column left out is good throughout"
        ),
    ] = None
    cause: Annotated[Cause, msgspec.Meta(description="Why the message was sent")] = "spontaneous"


def points_schema() -> dict[str, Any]:
    """JSON Schema of the payload of topic ``meterline/v1/{gateway}/points/{unit}``."""
    schema = msgspec.json.schema(PointsMessage)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_files() -> dict[str, str]:
    """Published schema files by name."""
    return {"points.schema.json": json.dumps(points_schema(), indent=2) + "\n"}
