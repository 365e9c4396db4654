"""What losses are judged by: thresholds, and what is taken of clocks."""

from __future__ import annotations

from dataclasses import dataclass, field

from grid.thresholds import Thresholds


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
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    clock_sigma_s: float = 5.0

    def __post_init__(self) -> None:
        if not 0 <= self.clock_sigma_s <= 3_600:
            raise ValueError(f"clocks that are off by {self.clock_sigma_s} s")
