"""A meter's membership in a unit over a valid period, as its writer sees it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class MemberPeriod:
    """A meter in a unit over one valid period [from, to), as now believed; None = without end."""

    unit_id: int
    unit: str
    position: int
    role: int
    multiplier: int
    valid_from: datetime | None
    valid_to: datetime | None

    def contains(self, at: datetime) -> bool:
        """Whether the instant lies in the period."""
        begun = self.valid_from is None or self.valid_from <= at
        return begun and (self.valid_to is None or at < self.valid_to)
