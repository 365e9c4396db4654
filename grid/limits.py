"""How long a unit waits for its readings before its figures are published as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from grid.model import UnitKind


@dataclass(frozen=True, slots=True)
class Limit:
    """How long figures stay open.

    Attributes
    ----------
    provisional_s
        Seconds after an interval's end, or after its first message where that came later: what is there then is
        published as provisional, and each change of it is a revision.
    final_s
        Seconds after an interval's end: what is there then is final, complete or not.
    """

    provisional_s: int
    final_s: int

    def __post_init__(self) -> None:
        if not 0 < self.provisional_s < self.final_s:
            raise ValueError(f"expected 0 < provisional_s {self.provisional_s} < final_s {self.final_s}")


_DAY_S = 86_400
#: Units above wait longer than those below, so that these have had their say.
DEFAULTS: Mapping[UnitKind, Limit] = MappingProxyType(
    {
        UnitKind.AREA: Limit(300, _DAY_S),
        UnitKind.DEDICATED: Limit(300, _DAY_S),
        UnitKind.FEEDER: Limit(360, _DAY_S + 3_600),
        UnitKind.ELEMENT: Limit(390, _DAY_S + 5_400),
        UnitKind.REGION: Limit(420, _DAY_S + 7_200),
        UnitKind.VOLTAGE_LEVEL: Limit(420, _DAY_S + 7_200),
    }
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits by kind of unit; for a kind that is not named, the longest.

    Raises
    ------
    ValueError
        When a unit above waits less than one below it.
    """

    by_kind: Mapping[UnitKind, Limit] = field(default_factory=lambda: DEFAULTS)

    def __post_init__(self) -> None:
        below = [self.of(UnitKind.AREA), self.of(UnitKind.DEDICATED)]
        for kind in (UnitKind.FEEDER, UnitKind.ELEMENT, UnitKind.REGION):
            limit = self.of(kind)
            if any(limit.provisional_s < b.provisional_s or limit.final_s < b.final_s for b in below):
                raise ValueError(f"a {kind.value} must not wait less than the units below it: {limit}")
            below.append(limit)

    def of(self, kind: UnitKind) -> Limit:
        """Limit of a kind of unit."""
        found = self.by_kind.get(kind)
        if found is not None:
            return found
        return Limit(
            max(limit.provisional_s for limit in self.by_kind.values()),
            max(limit.final_s for limit in self.by_kind.values()),
        )

    def first_s(self) -> int:
        """The earliest limit of any kind: before it, nothing is published that isn't complete."""
        return min(limit.provisional_s for limit in self.by_kind.values())
