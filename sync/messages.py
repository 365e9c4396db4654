"""Messages of sync: changes that are asked for, and changes that are told."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from grid.model import MAX_MULTIPLIER, AccountStatus, MeteredSide, Owner
from grid.network import SwitchKind, SwitchPosition

#: Without control characters: NUL can't be stored, the others can't be seen.
_PRINTED = r"^[^\x00-\x1f\x7f]*$"
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=_PRINTED)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=_PRINTED)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Multiplier = Annotated[int, msgspec.Meta(ge=1, le=MAX_MULTIPLIER)]
AccuracyClass = Annotated[float, msgspec.Meta(gt=0, le=10)]
RegisterWh = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
Volts = Annotated[int, msgspec.Meta(ge=100, le=2_000_000)]
Rating = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
Watts = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
NotNegative = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
ModulusWh = Annotated[int, msgspec.Meta(ge=1, lt=2**62)]


class _Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """What every change has."""


class Registers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a meter's registers show at an instant: at the meter, before the multiplier, in Wh; null = not read."""

    import_wh: RegisterWh | None = None
    export_wh: RegisterWh | None = None


class MeterMultiplier(_Change, frozen=True, tag="meter_multiplier"):
    """A meter's CT × PT ratio (综合倍率) from an instant on, until the next change that is already known."""

    meter: Code
    multiplier: Multiplier
    valid_from: Instant
    registers: Registers | None = None
    """At the change."""


class MeterReplace(_Change, frozen=True, tag="meter_replace"):
    """Another meter in the place of one (换表): at its usage point, and in every unit where it is a member."""

    meter: Code
    new_meter: Code
    """One that isn't known yet, or stands nowhere at that time."""
    valid_from: Instant
    removed: Registers | None = None
    """Of the old meter, when it is taken off (止码)."""
    installed: Registers | None = None
    """Of the new meter, when it is put on (起码)."""
    multiplier: Multiplier | None = None
    """Left out, it stays."""
    accuracy_class: AccuracyClass | None = None
    """Of the new meter; left out, it is as known, or else the old meter's."""
    register_modulus_wh: ModulusWh | None = None
    ct_class: AccuracyClass | None = None
    """Of its current transformers; left out, they stay, as do the voltage transformers."""
    pt_class: AccuracyClass | None = None


class MeterMove(_Change, frozen=True, tag="meter_move"):
    """A meter to another unit, from an instant that may lie far back: it was in the wrong one on record, or moved."""

    meter: Code
    unit: Code
    valid_from: Instant
    leaving: Code | None = None
    """The unit that it leaves, where it is a member of several."""
    registers: Registers | None = None
    """At the move."""


class MeterClass(_Change, frozen=True, tag="meter_class"):
    """What is known of a meter itself: accuracy classes, percent, and what its register counts to."""

    meter: Code
    accuracy_class: AccuracyClass
    valid_from: Instant
    register_modulus_wh: ModulusWh | None = None
    """Left out, it stays."""
    ct_class: AccuracyClass | None = None
    """Of its current transformers, after IEC 61869; left out, it stays."""
    pt_class: AccuracyClass | None = None
    """Of its voltage transformers; left out, it stays."""


class AccountStatusChange(_Change, frozen=True, tag="account_status"):
    """The state of a marketing account."""

    account: Code
    status: AccountStatus
    valid_from: Instant | None = None
    """Left out: from now on."""


class AccountContract(_Change, frozen=True, tag="account_contract"):
    """Tariff class and contract capacity of an account; what is left out stays."""

    account: Code
    tariff_class: Text | None = None
    contract_w: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None
    valid_from: Instant | None = None
    """Left out: from now on."""


class UnitName(_Change, frozen=True, tag="unit_name"):
    """The name of an assessment unit."""

    unit: Code
    name: Text
    valid_from: Instant | None = None
    """Left out: from now on."""


class UnitMetering(_Change, frozen=True, tag="unit_metering"):
    """The side of its transformer at which an area or a dedicated customer is metered (计量方式)."""

    unit: Code
    metered_side: MeteredSide
    valid_from: Instant


class UnitParentChange(_Change, frozen=True, tag="unit_parent"):
    """The feeder, region, voltage level or element of which a unit is part, in place of that of the same kind."""

    unit: Code
    parent: Code | None
    """null: of none; then `parent_kind` says of which kind."""
    valid_from: Instant
    parent_kind: Literal["feeder", "region", "voltage_level", "element"] | None = None


class ResponsibilityChange(_Change, frozen=True, tag="responsibility"):
    """Who answers for a unit; neither organisation nor person: nobody."""

    unit: Code
    duty: Literal["operation", "marketing", "metering"]
    organisation: Code | None = None
    person: Code | None = None
    valid_from: Instant | None = None
    """Left out: from now on."""


class SwitchPositionChange(_Change, frozen=True, tag="switch_position"):
    """A report of a switch's position: it holds from its instant until the next of which there is a report."""

    switch: Code
    position: SwitchPosition
    valid_from: Instant


class SubstationNew(_Change, frozen=True, tag="substation_new"):
    """A new substation."""

    substation: Code
    name: Text
    high_voltage_v: Volts
    medium_voltage_v: Volts
    valid_from: Instant | None = None
    """Of a substation no times are kept; it is taken as it is."""


class UnitNew(_Change, frozen=True, tag="unit_new"):
    """A new line, transformer area or dedicated customer, with where it belongs and is connected."""

    unit: Code
    unit_kind: Literal["area", "dedicated", "feeder"]
    name: Text
    gateway: Code
    """Account that may send for it."""
    valid_from: Instant
    substation: Code | None = None
    """Of a feeder; it must be there."""
    parent: Code | None = None
    """The feeder, or another greater unit, of which it is part."""
    rating_va: Rating = 0
    no_load_loss_w: Watts = 0.0
    load_loss_w: Watts = 0.0
    longitude_deg: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None
    latitude_deg: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    owner: Owner | None = None
    metered_side: MeteredSide | None = None
    node: Code | None = None
    """Of the network: where it hangs, or where a feeder begins."""
    breaker: Code | None = None
    """Of a feeder."""


class UnitEnd(_Change, frozen=True, tag="unit_end"):
    """A line, area or dedicated customer is removed."""

    unit: Code
    valid_from: Instant
    with_members: bool = False
    """Whether its meters are taken out with it; otherwise it must have none any more."""


class UnitRating(_Change, frozen=True, tag="unit_rating"):
    """Another transformer, or other values of it; what is left out stays."""

    unit: Code
    valid_from: Instant
    rating_va: Rating | None = None
    no_load_loss_w: Watts | None = None
    load_loss_w: Watts | None = None


class UnitConnection(_Change, frozen=True, tag="unit_connection"):
    """The node of the network where a unit hangs, or where a feeder begins, from an instant on."""

    unit: Code
    node: Code | None
    """null: nowhere."""
    valid_from: Instant
    breaker: Code | None = None
    """Of a feeder."""
    substation: Code | None = None
    """Of a node that isn't known yet."""


class AccountNew(_Change, frozen=True, tag="account_new"):
    """A new marketing account."""

    account: Code
    tariff_class: Text
    contract_w: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
    valid_from: Instant


class MeterInstall(_Change, frozen=True, tag="meter_install"):
    """A meter where none was: a service is opened, or a gateway is metered."""

    meter: Code
    """One that isn't known yet, or stands nowhere from then on."""
    unit: Code
    role: Literal["gateway", "customer", "gateway_customer"]
    valid_from: Instant
    multiplier: Multiplier = 1
    accuracy_class: AccuracyClass = 1.0
    register_modulus_wh: ModulusWh | None = None
    ct_class: AccuracyClass | None = None
    pt_class: AccuracyClass | None = None
    account: Code | None = None
    """The account that is served."""
    usage_point: Code | None = None
    """Left out, of the meter's own code."""
    phases: Literal["A", "B", "C", "AB", "BC", "CA", "ABC"] | None = None
    registers: Registers | None = None


class MeterRemove(_Change, frozen=True, tag="meter_remove"):
    """A meter is taken off and none put in its place: the service ends where it stood."""

    meter: Code
    valid_from: Instant
    registers: Registers | None = None


class SegmentNew(_Change, frozen=True, tag="segment_new"):
    """A new line segment between two nodes."""

    segment: Code
    from_node: Code
    to_node: Code
    valid_from: Instant
    length_m: NotNegative = 0.0
    resistance_ohm: NotNegative = 0.0
    reactance_ohm: NotNegative = 0.0
    substation: Code | None = None
    """Of nodes that aren't known yet."""


class SwitchNew(_Change, frozen=True, tag="switch_new"):
    """A new switch between two nodes."""

    switch: Code
    switch_kind: SwitchKind
    from_node: Code
    to_node: Code
    valid_from: Instant
    normal: SwitchPosition = SwitchPosition.CLOSED
    substation: Code | None = None
    """Of nodes that aren't known yet."""


class SwitchNormal(_Change, frozen=True, tag="switch_normal"):
    """The position of a switch while nothing is reported; of it no times are kept."""

    switch: Code
    normal: SwitchPosition
    valid_from: Instant | None = None
    """From when on what its lines have lost is computed again; left out: from now on."""


class EquipmentEnd(_Change, frozen=True, tag="equipment_end"):
    """A segment or a switch is removed."""

    equipment: Literal["segment", "switch"]
    code: Code
    valid_from: Instant


Change = (
    MeterMultiplier
    | MeterReplace
    | MeterMove
    | MeterClass
    | AccountStatusChange
    | AccountContract
    | UnitName
    | UnitMetering
    | UnitParentChange
    | ResponsibilityChange
    | SwitchPositionChange
    | SubstationNew
    | UnitNew
    | UnitEnd
    | UnitRating
    | UnitConnection
    | AccountNew
    | MeterInstall
    | MeterRemove
    | SegmentNew
    | SwitchNew
    | SwitchNormal
    | EquipmentEnd
)


class GridChange(msgspec.Struct, frozen=True):
    """A committed change of the grid model, as on topic `grid.change`.

    The key is ``aggregatetype:aggregateid``. A change is told at least once; `id` is the same each time.
    """

    id: int
    aggregatetype: Literal["unit", "meter", "account", "switch", "segment", "substation"]
    aggregateid: str
    type: str
    """Such as ``meter.multiplier``, ``account.status``, ``unit.name``, ``unit.loaded``, ``switch.position``."""
    payload: dict[str, Any]
    """`units` lists the units concerned; `unit` is there when it is one."""
    recorded_at: datetime


class ResettlePayload(msgspec.Struct, frozen=True, rename={"since": "from", "until": "to"}):
    """Which results of a unit are to be settled again: those of intervals that reach into [from, to)."""

    unit: str
    since: datetime
    until: datetime | None
    model_version: int
    """The model with which to settle, or a newer one."""


class ResettleOrder(msgspec.Struct, frozen=True):
    """An order to settle a unit again, as on topic `grid.resettle`; the key is the unit's code."""

    id: int
    aggregatetype: Literal["resettle"]
    aggregateid: str
    type: Literal["unit.resettle"]
    payload: ResettlePayload
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
        "grid-resettle.schema.json": _schema(ResettleOrder),
    }


def _schema(message: Any) -> str:
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(message)}
    return json.dumps(schema, indent=2) + "\n"
