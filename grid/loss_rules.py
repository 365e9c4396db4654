"""What losses are judged by: thresholds, and what is taken of clocks and of loads inside an interval."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field
from datetime import UTC, tzinfo

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
    variation
        Of the loads of areas; None: not known, and technical loss is that of the mean powers.
    estimate
        Whether readings that are missing when a limit passes are estimated.
    zone
        The utility's time zone, by which days look alike.
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    clock_sigma_s: float = 5.0
    variation: LoadVariation | None = None
    estimate: bool = True
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        if not 0 <= self.clock_sigma_s <= 3_600:
            raise ValueError(f"clocks that are off by {self.clock_sigma_s} s")
