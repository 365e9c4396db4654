"""Between which loss rates a unit counts as normal, by kind and size, as it was valid at each time (考核指标)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from grid.loss_class import LossClass, LossReason
from grid.model import UnitKind
from grid.roster import BEGINNING_US

#: Half the width of the band that must lie outside a limit, in standard deviations.
BAND = 2.0


@dataclass(frozen=True, slots=True)
class Threshold:
    """Limits of one kind of unit, or of those at one voltage, from an instant on, until another takes its place.

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
    medium_voltage_v
        Voltage of the units' substation that it is for; None: all that have none of their own.
    recorded_us
        When it was put down, microseconds since 1970: before that nothing was judged by it.
    """

    unit_kind: UnitKind
    low_rate: float
    high_rate: float
    min_inflow_wh_per_h: float = 0.0
    valid_from_us: int = BEGINNING_US
    medium_voltage_v: int | None = None
    recorded_us: int = BEGINNING_US

    def __post_init__(self) -> None:
        if not -1.0 <= self.low_rate < self.high_rate <= 1.0:
            raise ValueError(f"expected -1 <= low_rate {self.low_rate} < high_rate {self.high_rate} <= 1")
        if not self.min_inflow_wh_per_h >= 0:
            raise ValueError(f"a minimum inflow of {self.min_inflow_wh_per_h} Wh in an hour")
        if self.medium_voltage_v is not None and self.medium_voltage_v <= 0:
            raise ValueError(f"a voltage of {self.medium_voltage_v} V")


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """Limits of several losses, one each; arrays of shape (n,). See `Threshold`."""

    low_rate: NDArray[np.float64]
    high_rate: NDArray[np.float64]
    min_inflow_wh_per_h: NDArray[np.float64]

    @classmethod
    def of(cls, thresholds: Sequence[Threshold]) -> Bounds:
        """Of one threshold for each loss."""
        rows = [(t.low_rate, t.high_rate, t.min_inflow_wh_per_h) for t in thresholds]
        return cls(*np.array(rows, np.float64).reshape(-1, 3).T)

    def judge(
        self,
        inflow_wh: NDArray[np.float64],
        loss_wh: NDArray[np.float64],
        sigma_wh: NDArray[np.float64],
        hours: NDArray[np.float64],
    ) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
        """Classes of losses over some hours, and what keeps one from being told; of intervals and periods alike.

        A loss is high or negative only where its whole band lies beyond the limit, and normal only where the band is
        not wider than the limits lie apart: else no class is told.

        Parameters
        ----------
        inflow_wh, loss_wh, sigma_wh, hours
            Of shape (n,). A σ of NaN is wider than any limits.

        Returns
        -------
        tuple
            `LossClass` and `LossReason`, each of shape (n,).
        """
        band_wh = BAND * sigma_wh
        is_low = (inflow_wh <= 0) | (inflow_wh < self.min_inflow_wh_per_h * hours)
        is_high = loss_wh - band_wh > self.high_rate * inflow_wh
        is_negative = loss_wh + band_wh < self.low_rate * inflow_wh
        is_narrow = 2 * band_wh <= (self.high_rate - self.low_rate) * inflow_wh
        classes = np.select(
            [is_low, is_high, is_negative, is_narrow],
            [int(c) for c in (LossClass.NOT_COMPUTABLE, LossClass.HIGH, LossClass.NEGATIVE, LossClass.NORMAL)],
            int(LossClass.NOT_COMPUTABLE),
        )
        is_wide = ~is_low & (classes == LossClass.NOT_COMPUTABLE)
        reasons = np.where(is_low, int(LossReason.LOW_INFLOW), np.where(is_wide, int(LossReason.WIDE_BAND), 0))
        return classes.astype(np.int8), reasons.astype(np.int32)


#: Common in practice; utilities differ, so these give way to what the database holds. See docs/explanation/loss.md.
DEFAULTS: tuple[Threshold, ...] = (
    # Many short areas lose a thousandth: a lower limit of 0 would stand where half of the errors fall below it.
    Threshold(UnitKind.AREA, -0.005, 0.10, 100.0),
    Threshold(UnitKind.DEDICATED, 0.0, 0.10, 100.0),
    Threshold(UnitKind.FEEDER, 0.0, 0.10, 1_000.0),
    Threshold(UnitKind.REGION, 0.0, 0.10, 10_000.0),
    Threshold(UnitKind.VOLTAGE_LEVEL, 0.0, 0.10, 10_000.0),
    Threshold(UnitKind.ELEMENT, 0.0, 0.05, 1_000.0),
)


_Place = tuple[UnitKind, int | None]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """All thresholds; of a kind the latest that was valid by then stands, one of the voltage before one of all.

    Of two that are valid from the same instant, the one that was recorded later stands.
    """

    of_kind: tuple[Threshold, ...] = DEFAULTS
    _by_place: dict[_Place, tuple[list[int], list[Threshold]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_place: dict[_Place, tuple[list[int], list[Threshold]]] = {}
        for threshold in _in_order((*DEFAULTS, *self.of_kind)):
            starts, held = by_place.setdefault((threshold.unit_kind, threshold.medium_voltage_v), ([], []))
            if starts and starts[-1] == threshold.valid_from_us:
                held[-1] = threshold
            else:
                starts.append(threshold.valid_from_us)
                held.append(threshold)
        object.__setattr__(self, "_by_place", by_place)

    def at(self, unit_kind: UnitKind, at_us: int, medium_voltage_v: int | None = None) -> Threshold:
        """What holds for a kind of unit at an instant."""
        if medium_voltage_v is not None and (own := self._by_place.get((unit_kind, medium_voltage_v))) is not None:
            number = bisect_right(own[0], at_us)
            if number:
                return own[1][number - 1]
        starts, held = self._by_place[unit_kind, None]
        return held[bisect_right(starts, at_us) - 1]

    def known_at(self, at_us: int) -> Thresholds:
        """Those that had been recorded by an instant."""
        return Thresholds(tuple(t for t in self.of_kind if t.recorded_us <= at_us))

    def recorded_us(self, unit_kind: UnitKind, valid_us: int, medium_voltage_v: int | None = None) -> list[int]:
        """When those were recorded that have had a say in what holds for a kind of unit at an instant; rising."""
        return sorted(
            {
                t.recorded_us
                for t in self.of_kind
                if t.unit_kind is unit_kind
                and t.valid_from_us <= valid_us
                and t.medium_voltage_v in (None, medium_voltage_v)
                and t.recorded_us > BEGINNING_US
            }
        )


def _in_order(thresholds: Iterable[Threshold]) -> list[Threshold]:
    return sorted(thresholds, key=lambda threshold: (threshold.valid_from_us, threshold.recorded_us))
