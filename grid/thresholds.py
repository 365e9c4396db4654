"""Between which loss rates a unit counts as normal, by kind and size, as it was valid at each time (考核指标)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from grid.model import UnitKind
from grid.roster import BEGINNING_US


@dataclass(frozen=True, slots=True)
class Threshold:
    """Limits of one kind of unit from an instant on, until another takes its place.

    Attributes
    ----------
    unit_kind
        The kind that it is for.
    valid_from_us
        From when on, microseconds since 1970.
    low_rate, high_rate
        A loss rate below the first is negative, above the second high, once its whole band is.
    min_inflow_wh_per_h
        Mean inflow below which no rate is told.
    """

    unit_kind: UnitKind
    low_rate: float
    high_rate: float
    min_inflow_wh_per_h: float = 0.0
    valid_from_us: int = BEGINNING_US

    def __post_init__(self) -> None:
        if not -1.0 <= self.low_rate < self.high_rate <= 1.0:
            raise ValueError(f"expected -1 <= low_rate {self.low_rate} < high_rate {self.high_rate} <= 1")
        if not self.min_inflow_wh_per_h >= 0:
            raise ValueError(f"a minimum inflow of {self.min_inflow_wh_per_h} Wh in an hour")


#: Common in practice; utilities differ, so these give way to what the database holds. See docs/explanation/loss.md.
DEFAULTS: tuple[Threshold, ...] = (
    Threshold(UnitKind.AREA, 0.0, 0.10, 100.0),
    Threshold(UnitKind.DEDICATED, 0.0, 0.10, 100.0),
    Threshold(UnitKind.FEEDER, 0.0, 0.10, 1_000.0),
    Threshold(UnitKind.REGION, 0.0, 0.10, 10_000.0),
    Threshold(UnitKind.VOLTAGE_LEVEL, 0.0, 0.10, 10_000.0),
    Threshold(UnitKind.ELEMENT, 0.0, 0.05, 1_000.0),
)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """All thresholds; of a kind the latest that was valid by then stands."""

    of_kind: tuple[Threshold, ...] = DEFAULTS
    _by_kind: dict[UnitKind, tuple[list[int], list[Threshold]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_kind: dict[UnitKind, tuple[list[int], list[Threshold]]] = {}
        for threshold in _in_order((*DEFAULTS, *self.of_kind)):
            starts, held = by_kind.setdefault(threshold.unit_kind, ([], []))
            if starts and starts[-1] == threshold.valid_from_us:
                held[-1] = threshold
            else:
                starts.append(threshold.valid_from_us)
                held.append(threshold)
        object.__setattr__(self, "_by_kind", by_kind)

    def at(self, unit_kind: UnitKind, at_us: int) -> Threshold:
        """What holds for a kind of unit at an instant."""
        starts, held = self._by_kind[unit_kind]
        return held[bisect_right(starts, at_us) - 1]


def _in_order(thresholds: Iterable[Threshold]) -> list[Threshold]:
    return sorted(thresholds, key=lambda threshold: threshold.valid_from_us)
