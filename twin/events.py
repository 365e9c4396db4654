"""What happens in the city, with the truth kept: frauds, faults, wrong records, innocent changes, operations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EventKind(StrEnum):
    """What happens; entity and size by kind.

    The entity is a customer's point (its code is that of its meter, `-meter` added for dedicated customers), an area,
    a feeder or an account.
    """

    # Fraud: to be found.
    THEFT_SCALING = "theft_scaling"  # point; share of what flows that isn't metered
    THEFT_BYPASS = "theft_bypass"  # point; W drawn beside the meter all the time
    THEFT_NIGHT = "theft_night"  # point; nothing is metered from 22 to 6 o'clock; size 1
    THEFT_HOOK = "theft_hook"  # area; W drawn from its line before any meter
    # Faults of metering: to be found.
    CT_RATIO = "ct_ratio"  # point, area or feeder; what is metered is this factor of the truth
    CT_REVERSED = "ct_reversed"  # import is counted as export; size 1
    PHASE_LOST = "phase_lost"  # share that isn't metered: 1/3 of a three-phase meter
    METER_STOPPED = "meter_stopped"  # nothing is metered; size 1
    # Wrong records: to be found.
    RECORD_MULTIPLIER = "record_multiplier"  # the recorded multiplier is this factor of the true one
    RECORD_AREA = "record_area"  # `other` is the area that the meter is recorded in
    RECORD_PHASE = "record_phase"  # `other` is the recorded phase
    # Innocent: must not alarm.
    VACANCY = "vacancy"  # point; remaining share of consumption
    SEASONAL = "seasonal"  # point; share of consumption while away
    APPLIANCE = "appliance"  # point; W more, at times
    ELECTRIC_VEHICLE = "electric_vehicle"  # point; W while it charges, at night
    HOLIDAY = "holiday"  # everybody; the day runs as a Sunday
    # Operation.
    OUTAGE = "outage"  # point, area or feeder is without voltage; last gasp
    OVERLOAD = "overload"  # area; factor of its demand
    OVER_VOLTAGE = "over_voltage"  # area; per unit added at its transformer
    UNDER_VOLTAGE = "under_voltage"  # area; per unit taken away there
    CUT_OVER = "cut_over"  # feeder gives a part of its areas to feeder `other` by switches
    METER_REPLACED = "meter_replaced"  # point; `other` is the new meter's code
    ACCOUNT_OPENED = "account_opened"  # account; consumption begins
    ACCOUNT_CLOSED = "account_closed"  # account; consumption ends
    TARIFF_CHANGED = "tariff_changed"  # account; `other` is the new tariff class


FRAUD = frozenset({EventKind.THEFT_SCALING, EventKind.THEFT_BYPASS, EventKind.THEFT_NIGHT, EventKind.THEFT_HOOK})
FAULT = frozenset({EventKind.CT_RATIO, EventKind.CT_REVERSED, EventKind.PHASE_LOST, EventKind.METER_STOPPED})
RECORD = frozenset({EventKind.RECORD_MULTIPLIER, EventKind.RECORD_AREA, EventKind.RECORD_PHASE})
INNOCENT = frozenset(
    {EventKind.VACANCY, EventKind.SEASONAL, EventKind.APPLIANCE, EventKind.ELECTRIC_VEHICLE, EventKind.HOLIDAY}
)


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """Something that happens from `begin_s` until before `end_s`, seconds since 1970 UTC; `end_s` None = it stays."""

    begin_s: int
    number: int
    kind: EventKind
    entity: str
    end_s: int | None
    size: float
    other: str = ""

    def __post_init__(self) -> None:
        if self.end_s is not None and self.end_s <= self.begin_s:
            raise ValueError(f"{self.kind} of {self.entity} ends before it begins")

    @property
    def is_to_be_found(self) -> bool:
        """Whether a utility wants to be told."""
        return self.kind in FRAUD | FAULT | RECORD
