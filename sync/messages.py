"""Messages of sync: changes that are asked for, and changes that are told."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from grid.model import MAX_MULTIPLIER, AccountStatus
from grid.network import SwitchPosition

#: Without control characters: NUL can't be stored, the others can't be seen.
_PRINTED = r"^[^\x00-\x1f\x7f]*$"
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=_PRINTED)]


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every change has."""


class MeterMultiplier(_Change, frozen=True, tag="meter_multiplier"):
    """A meter's CT × PT ratio (综合倍率) from an instant on, until the next change that is already known."""

    meter: Code
    multiplier: Annotated[int, msgspec.Meta(ge=1, le=MAX_MULTIPLIER)]
    valid_from: Annotated[datetime, msgspec.Meta(tz=True)]


class AccountStatusChange(_Change, frozen=True, tag="account_status"):
    """The state of a marketing account."""

    account: Code
    status: AccountStatus


class UnitName(_Change, frozen=True, tag="unit_name"):
    """The name of an assessment unit."""

    unit: Code
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_PRINTED)]


class SwitchPositionChange(_Change, frozen=True, tag="switch_position"):
    """The position of a switch from an instant on, until the next of which there is a report."""

    switch: Code
    position: SwitchPosition
    at: Annotated[datetime, msgspec.Meta(tz=True)]


Change = MeterMultiplier | AccountStatusChange | UnitName | SwitchPositionChange


class GridChange(msgspec.Struct, frozen=True):
    """A committed change of the grid model, as on topic `grid.change`.

    The key is ``aggregatetype:aggregateid``. A change is told at least once; `id` is the same each time.
    """

    id: int
    aggregatetype: Literal["unit", "meter", "account", "switch", "resettle"]
    aggregateid: str
    type: str
    """Such as ``meter.multiplier``, ``account.status``, ``unit.name``, ``unit.loaded``, ``switch.position``."""
    payload: dict[str, Any]
    """`units` lists the units concerned; `unit` is there when it is one."""
    recorded_at: datetime


class GridChangeWebhook(msgspec.Struct, frozen=True):
    """Body of a webhook that tells of a change; its id is in header ``webhook-id``."""

    type: Literal["grid.change"]
    timestamp: datetime
    data: GridChange


def schema_files() -> dict[str, str]:
    """Published schema files by name."""
    return {
        "grid-change-request.schema.json": _schema(Change),
        "grid-change.schema.json": _schema(GridChange),
        "grid-change-webhook.schema.json": _schema(GridChangeWebhook),
    }


def _schema(message: Any) -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(message)}
    return json.dumps(schema, indent=2) + "\n"
