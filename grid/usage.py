"""Records of abnormal usage, as the store keeps them and the usage steps take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class AreaIntervals:
    """Intervals of an area, by their ends; n intervals, m positions of the roster.

    Attributes
    ----------
    ends_us, interval_s
        int64 (n,).
    import_wh, export_wh
        int64 (n, m), before the multiplier; `MISSING_WH` = missing.
    quality
        uint8 (n, m), flags of `grid.quality.Quality`.
    computable
        bool (n,): the area's loss is known.
    inflow_wh, loss_wh, technical_wh, sigma_wh, systematic_sigma_wh
        float64 (n,); NaN: technical loss isn't known.
    """

    ends_us: NDArray[np.int64]
    interval_s: NDArray[np.int64]
    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]
    quality: NDArray[np.uint8]
    computable: NDArray[np.bool_]
    inflow_wh: NDArray[np.float64]
    loss_wh: NDArray[np.float64]
    technical_wh: NDArray[np.float64]
    sigma_wh: NDArray[np.float64]
    systematic_sigma_wh: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class AreaQuantities:
    """What an area's meters show in intervals of one length, n of them; m positions of the roster.

    Of int16 the type's minimum = missing. What a single-phase meter shows is in the first channel.

    Attributes
    ----------
    ends_us
        int64 (n,), rising.
    voltage_dv, current_ca
        int16 (3, n, m) in 0.1 V and 0.01 A, by channel.
    power_factor_permille
        int16 (n, m).
    energy_wh
        int64 (n, m): import less export, before the multiplier; `MISSING_WH` = not read, or doubted.
    """

    ends_us: NDArray[np.int64]
    voltage_dv: NDArray[np.int16]
    current_ca: NDArray[np.int16]
    power_factor_permille: NDArray[np.int16]
    energy_wh: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MeterAccount:
    """What marketing knew of the account at a meter's place."""

    position: int
    meter: str
    tariff_class: str | None
    contract_w: int
    active: bool
    moved: bool
    tariff_changed: bool
    meter_changed: bool


@dataclass(frozen=True, slots=True)
class FoldedDay:
    """A day of an area as it was folded; see the table `usage.area_day`."""

    day: date
    digest: bytes
    chain: bytes
    readings: int
    supply_wh: int
    loss_wh: int
    unexplained_wh: float | None
    sigma_wh: float
    abnormal: bool


@dataclass(frozen=True, slots=True)
class DayConclusion:
    """What was concluded of a meter on a day."""

    day: date
    meter: str
    kind: str
    confidence: float
    begin_day: date
    expected_wh: int
    tariff_class: str | None
    reasons: Sequence[str]
    evidence: Mapping[str, Any] = field(default_factory=dict)
