"""The naive error bar: each class uniform within its limits, all meters and all intervals independent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.loss_city import Month, Park
from grid.model import Role
from grid.quality import MISSING_WH

_UNIFORM = 1.0 / (100.0 * 3**0.5)
_STEP_VARIANCE = 1.0 / 6.0


def naive_sigma(month: Month, park: Park) -> NDArray[np.float64]:
    """σ of each of `City.truth_units` at each interval, from the meters that were read; shape (intervals, units)."""
    city = month.city
    meters = city.recorded.meters
    variance = np.zeros((len(month.ends_s), len(meters)))
    for energy_wh in (park.import_wh, park.export_wh):
        variance += np.where(energy_wh == MISSING_WH, 0.0, energy_wh.astype(np.float64)) ** 2
    accuracy = np.array([m.accuracy_class for m in meters])
    variance *= (_UNIFORM * accuracy) ** 2
    variance += _STEP_VARIANCE
    variance *= np.array([m.multiplier for m in meters], np.float64) ** 2
    column = {code: i for i, code in enumerate(city.truth_units)}
    feeder = {area.code: area.feeder for area in city.recorded.areas}
    found = np.zeros((len(month.ends_s), len(column)))
    for i, meter in enumerate(meters):
        # A gateway meter is a member of its own unit and of the feeder; a dedicated customer's is the feeder's alone.
        above = feeder.get(meter.unit) if meter.role & Role.GATEWAY else None
        own = None if meter.role == Role.GATEWAY | Role.CUSTOMER else meter.unit
        for unit in (own, above):
            if unit is not None:
                found[:, column[unit]] += variance[:, i]
    return np.sqrt(found)
