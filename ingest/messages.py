"""The messages that gateways send, as types; their JSON Schema is published from here."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import msgspec

from grid.block import INTERVALS_S
from grid.model import MAX_MEMBERS

#: Wide enough for any energy, narrow enough that every JSON reader keeps it exactly.
Energy = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class BlockMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Readings of one transformer area or feeder at one interval, column by column."""

    sequence: Annotated[
        int, msgspec.Meta(ge=0, lt=2**62, description="The gateway's number of the message, rising by one")
    ]
    observed_at: Annotated[
        datetime, msgspec.Meta(tz=True, description="End of the interval, aligned to its length in UTC")
    ]
    interval_s: Annotated[int, msgspec.Meta(description=f"Length of the interval in seconds: one of {INTERVALS_S}")]
    meter: Annotated[
        list[Code],
        msgspec.Meta(min_length=1, max_length=MAX_MEMBERS, description="Asset numbers; the other columns follow them"),
    ]
    import_wh: Annotated[
        list[Energy | None],
        msgspec.Meta(description="Energy taken in the interval at the meter, before the multiplier; null = not read"),
    ]
    export_wh: Annotated[
        list[Energy | None] | None, msgspec.Meta(description="Energy given back; a column left out is 0 throughout")
    ] = None
    voltage_v: Annotated[
        list[float | None] | None, msgspec.Meta(description="Mean voltage at the meter; null = not read")
    ] = None


def block_schema() -> dict[str, Any]:
    """JSON Schema of the payload of topic ``meterline/v1/{gateway}/block/{unit}``."""
    schema = msgspec.json.schema(BlockMessage)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_files() -> dict[str, str]:
    """Published schema files by name."""
    return {"block.schema.json": json.dumps(block_schema(), indent=2) + "\n"}
