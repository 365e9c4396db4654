"""What losses are judged by: thresholds, and what is taken of clocks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, tzinfo

from grid.thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class LossRules:
    """How the error of a loss is made and its class told.

    Attributes
    ----------
    thresholds
        Between which rates a unit is normal.
    clock_sigma_s
        Standard deviation of what meters' clocks are off, those few that are far off among them.
    estimate
        Whether readings that are missing when a limit passes are estimated.
    zone
        The utility's time zone, by which days look alike.
    """

    thresholds: Thresholds = field(default_factory=Thresholds)
    clock_sigma_s: float = 10.0
    estimate: bool = True
    zone: tzinfo = UTC

    def __post_init__(self) -> None:
        if not 0 <= self.clock_sigma_s <= 3_600:
            raise ValueError(f"clocks that are off by {self.clock_sigma_s} s")
