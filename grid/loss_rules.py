"""What losses are judged by: thresholds, and what is taken of clocks and of loads inside an interval."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field
from datetime import UTC, tzinfo

from grid.doubt import DoubtRule
from grid.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class LoadVariation:
    """How much loads vary inside an interval of one length: the fields of `kernels.averaging.Variation`.

    The expected variance of a load's power about its mean p is `constant_w2` + `linear_w` |p| + `square` p².

    Attributes
    ----------
    spread
        Standard deviation of one interval's variance, over its expectation.
    error
        Relative standard error of the sum over many, from the few loads it was learned from.
    """

    interval_s: int
    constant_w2: float = 0.0
    linear_w: float = 0.0
    square: float = 0.0
    spread: float = 0.0
    error: float = 0.0

    def __post_init__(self) -> None:
        if self.interval_s < 1 or any(not (math.isfinite(value) and value >= 0) for value in astuple(self)):
            raise ValueError(f"loads that vary by {self}")


@dataclass(frozen=True, slots=True)
class LossRules:
    """How the error of a loss is made and its class told.

    Attributes
    ----------
    thresholds
        Between which rates a unit is normal.
    clock_sigma_s
        Standard deviation of what meters' clocks are off, but for those few that are minutes off: these are faults.
        By default √(2.5² + 4.3²): set within 5 s, and in a month without another setting the 0.5 s a day that IEC
        62054-21 allows, both limits taken as two σ and the second as its root mean square over the month.
    customer_power_step, unit_power_step
        By how much a customer's power and a unit's differ at the ends of an interval, over their means (root mean
        square). By default those of the one-minute profiles of the IEEE European low-voltage test feeder over a
        quarter-hour.
    starting_power_w
        Below this, times its multiplier, a customer's meter counts nothing: 0.004 of a basic current of 5 A at 230 V
        (IEC 62053-21, class 1).
    variation
        Of the loads of areas; None: not known, and technical loss is that of the mean powers.
    estimate
        Whether readings that are missing when a limit passes are estimated.
    zone
        The utility's time zone, by which days look alike.
    kept_out
        Validation rules whose doubts keep a reading out of the history of estimates.
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    clock_sigma_s: float = 5.0
    starting_power_w: float = 4.6
    variation: LoadVariation | None = None
    estimate: bool = True
    zone: tzinfo = UTC
    kept_out: tuple[DoubtRule, ...] = ()
    customer_power_step: float = 1.0
    unit_power_step: float = 0.15

    def __post_init__(self) -> None:
        if not 0 <= self.clock_sigma_s <= 3_600:
            raise ValueError(f"clocks that are off by {self.clock_sigma_s} s")
        for step in (self.customer_power_step, self.unit_power_step):
            if not 0 <= step <= 10:
                raise ValueError(f"a power that differs by {step} of its mean")
        if not 0 <= self.starting_power_w <= 1_000:
            raise ValueError(f"meters that start at {self.starting_power_w} W")
