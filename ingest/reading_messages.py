"""The message of a device that publishes one reading at a time, as a type; its JSON Schema is published from here."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import msgspec

from grid.block import DAYS_S, INTERVALS_S
from grid.quality import MAX_SEQUENCE
from ingest.messages import Code, Energy


class ReadingMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one meter says of one interval; at least one value. What else it says of it may come in other messages.

    Energies and registers are those at the meter, before the multiplier. A single-phase meter has its voltage and its
    current in the columns of phase a.
    """

    meter: Annotated[Code, msgspec.Meta(description="Asset number")]
    observed_at: Annotated[
        datetime, msgspec.Meta(tz=True, description="End of the interval, aligned to its length in UTC")
    ]
    interval_s: Annotated[
        int,
        msgspec.Meta(
            description=f"Length of the interval in seconds: one of {INTERVALS_S}; or a local day, one of {DAYS_S}"
        ),
    ]
    sequence: Annotated[
        int,
        msgspec.Meta(
            ge=0,
            lt=MAX_SEQUENCE,
            description="Of two readings of a meter and interval the greater stands; of two with the same, the greater "
            "value",
        ),
    ] = 0
    import_wh: Annotated[Energy | None, msgspec.Meta(description="Energy taken in the interval; null = not read")] = (
        None
    )
    export_wh: Annotated[
        Energy | None, msgspec.Meta(description="Energy given back; where it isn't read it counts as 0")
    ] = None
    register_import_wh: Annotated[
        Energy | None, msgspec.Meta(description="Cumulative register of energy taken, at the end of the interval")
    ] = None
    register_export_wh: Annotated[
        Energy | None, msgspec.Meta(description="Cumulative register of energy given back, at the end of the interval")
    ] = None
    voltage_a_v: Annotated[float | None, msgspec.Meta(description="Mean voltage in volts; null = not read")] = None
    voltage_b_v: float | None = None
    voltage_c_v: float | None = None
    current_a_a: Annotated[float | None, msgspec.Meta(description="Mean current in amperes; null = not read")] = None
    current_b_a: float | None = None
    current_c_a: float | None = None
    power_factor: Annotated[float | None, msgspec.Meta(description="-1 to 1; null = not read")] = None


def reading_schema() -> dict[str, Any]:
    """JSON Schema of a record's value on topic ``telemetry.reading``."""
    schema = msgspec.json.schema(ReadingMessage)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_files() -> dict[str, str]:
    """Published schema files by name."""
    return {"reading.schema.json": json.dumps(reading_schema(), indent=2) + "\n"}
