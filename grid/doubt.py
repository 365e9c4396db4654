"""Readings that a validation rule found doubtful: what it found, and of which day."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: Estimates count a doubt only so long after its day's last final limit: it makes no difference when in this time the
#: rules were run.
COUNTS_AFTER_S = 3_600


class DoubtRule(StrEnum):
    """Rules that look at a meter's local day; `kernels.validation` has them."""

    SPIKE = "spike"
    ZERO_RUN = "zero_run"
    FLAT_RUN = "flat_run"
    MULTIPLIER = "multiplier"


@dataclass(frozen=True, slots=True)
class Doubt:
    """What a rule found of one position of a unit.

    Attributes
    ----------
    begin_us, end_us
        Intervals that end after `begin_us` and not after `end_us` are doubted, in microseconds since 1970.
    value_wh, limit_wh
        Of a spike its energy, and what that is above; of a run the energy of each interval, and 0; of a multiplier the
        mean energies of the days after and before.
    """

    position: int
    rule: DoubtRule
    begin_us: int
    end_us: int
    value_wh: int
    limit_wh: int

    def __post_init__(self) -> None:
        if self.position < 0 or not self.begin_us < self.end_us:
            raise ValueError("a doubt has a position and a time")
