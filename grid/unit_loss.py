"""Loss of a unit over a window of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class UnitLoss:
    """A unit's own loss over a window: sums over the intervals that could be computed.

    Attributes
    ----------
    since, until
        Beginning of the first and end of the last of them.
    medium_voltage_v
        Of the unit's substation; None where it has none.
    """

    unit_id: int
    unit: str
    unit_kind: str
    unit_name: str
    supply_wh: int
    loss_wh: int
    sigma_wh: float
    hours: float
    intervals: int
    since: datetime
    until: datetime
    medium_voltage_v: int | None = None
