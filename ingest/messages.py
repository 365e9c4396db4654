"""The messages that gateways send, as types; their JSON Schema is published from here."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

import msgspec

from grid.block import DAYS_S, INTERVALS_S
from grid.model import MAX_MEMBERS
from grid.quality import MAX_SEQUENCE

#: Wide enough for any energy, narrow enough that every JSON reader keeps it exactly.
Energy = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]

SequenceNumber = Annotated[
    int, msgspec.Meta(ge=0, lt=MAX_SEQUENCE, description="The gateway's number of the message, rising by one")
]
ObservedAt = Annotated[datetime, msgspec.Meta(tz=True, description="End of the interval, aligned to its length in UTC")]
IntervalS = Annotated[
    int,
    msgspec.Meta(
        description=f"Length of the interval in seconds: one of {INTERVALS_S}; or a local day, one of {DAYS_S}"
    ),
]
Meters = Annotated[
    list[Code],
    msgspec.Meta(min_length=1, max_length=MAX_MEMBERS, description="Asset numbers; the other columns follow them"),
]
Energies = Annotated[list[Energy | None] | None, msgspec.Meta(description="Wh at the meter; null = not read")]
Voltages = Annotated[list[float | None] | None, msgspec.Meta(description="Mean voltage in volts; null = not read")]
Currents = Annotated[list[float | None] | None, msgspec.Meta(description="Mean current in amperes; null = not read")]


class BlockMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Readings of one transformer area or feeder at one interval, column by column. Each column may be left out.

    Energies and registers are those at the meter, before the multiplier. A single-phase meter has its voltage and its
    current in the columns of phase a.
    """

    sequence: SequenceNumber
    observed_at: ObservedAt
    interval_s: IntervalS
    meter: Meters
    import_wh: Annotated[Energies, msgspec.Meta(description="Energy taken in the interval; null = not read")] = None
    export_wh: Annotated[
        Energies, msgspec.Meta(description="Energy given back; where it isn't read it counts as 0")
    ] = None
    register_import_wh: Annotated[
        Energies, msgspec.Meta(description="Cumulative register of energy taken, at the end of the interval")
    ] = None
    register_export_wh: Annotated[
        Energies, msgspec.Meta(description="Cumulative register of energy given back, at the end of the interval")
    ] = None
    voltage_a_v: Voltages = None
    voltage_b_v: Voltages = None
    voltage_c_v: Voltages = None
    current_a_a: Currents = None
    current_b_a: Currents = None
    current_c_a: Currents = None
    power_factor: Annotated[list[float | None] | None, msgspec.Meta(description="-1 to 1; null = not read")] = None


def block_schema() -> dict[str, Any]:
    """JSON Schema of the payload of topic ``meterline/v1/{gateway}/block/{unit}``."""
    schema = msgspec.json.schema(BlockMessage)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_files() -> dict[str, str]:
    """Published schema files by name."""
    return {"block.schema.json": json.dumps(block_schema(), indent=2) + "\n"}
