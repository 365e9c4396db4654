"""Beliefs about master data, each over one valid period, as their writer sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


def covers(valid_from: datetime | None, valid_to: datetime | None, at: datetime) -> bool:
    """Whether the instant lies in the period [from, to); None = without beginning or end."""
    return (valid_from is None or valid_from <= at) and (valid_to is None or at < valid_to)


@dataclass(frozen=True, slots=True)
class MemberPeriod:
    """A meter or a smaller unit in a unit over one valid period [from, to), as now believed; None = without end."""

    unit_id: int
    unit: str
    position: int | None
    """None while the writer hasn't placed it: one that was there before gets its place again."""
    role: int
    multiplier: int
    valid_from: datetime | None
    valid_to: datetime | None
    meter: str | None = None
    child_id: int | None = None
    phases: str | None = None

    def contains(self, at: datetime) -> bool:
        """Whether the instant lies in the period."""
        return covers(self.valid_from, self.valid_to, at)


@dataclass(frozen=True, slots=True)
class StatePeriod:
    """What is believed of one entity over one valid period [from, to): column → value."""

    belief_id: int | None
    """None for one that isn't stored yet."""
    values: Mapping[str, object]
    valid_from: datetime | None
    valid_to: datetime | None

    def contains(self, at: datetime) -> bool:
        """Whether the instant lies in the period."""
        return covers(self.valid_from, self.valid_to, at)
