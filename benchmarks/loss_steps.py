"""By how much power differs at the ends of an interval on the twin; a utility measures it on minute values."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import numpy as np

from grid.model import Role
from meterline.city import ZONE
from twin.city import City


def power_steps(city: City, days: int) -> tuple[float, float]:
    """Of customers and of areas, over their mean power (root mean square): `grid.loss_rules.LossRules` has both.

    The twin's power is constant between the ends of its steps, so it is that of the intervals before and after an
    instant, which a clock that is off takes the one for the other.
    """
    begin = datetime.fromtimestamp(city.plan.begin_s, ZONE)
    until_s = int((begin + timedelta(days=days)).timestamp())
    meters = city.recorded.meters
    customers = np.flatnonzero([m.role == Role.CUSTOMER for m in meters])
    areas = {a.code for a in city.recorded.areas}
    masters = np.flatnonzero([m.role == Role.GATEWAY and m.unit in areas for m in meters])
    moved, through = np.zeros(2), np.zeros(2)
    before = None
    for stretch in city.stretches(city.plan.begin_s, (until_s - city.plan.begin_s) // city.plan.interval_s):
        steps = stretch.steps
        is_last = steps.begin_s + steps.length_s == steps.end_s
        for ends, power_w in zip(is_last.tolist(), stretch.metered_w, strict=True):
            if before is not None:
                for k, which in enumerate((customers, masters)):
                    moved[k] += np.sum((power_w[which] - before[which]) ** 2)
                    through[k] += np.sum(power_w[which] ** 2)
            before = power_w if ends else None
    return math.sqrt(moved[0] / through[0]), math.sqrt(moved[1] / through[1])
