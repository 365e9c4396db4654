"""Local days and months of assessment units: the values that sums over intervals are made of and come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from grid.loss_class import LossClass, LossReason
from grid.model import UnitKind
from grid.thresholds import Bounds


class PeriodKind(StrEnum):
    """What a loss rate is assessed over."""

    DAY = "day"
    MONTH = "month"


def first_day(kind: PeriodKind, day: date) -> date:
    """First day of the period that a local day lies in."""
    return day if kind is PeriodKind.DAY else day.replace(day=1)


def day_after(kind: PeriodKind, first: date) -> date:
    """First day of the next period.

    Raises
    ------
    OverflowError
        When there is no such day.
    """
    if kind is PeriodKind.DAY:
        return first + timedelta(days=1)
    return (first + timedelta(days=31)).replace(day=1)


def midnight_us(day: date, zone: tzinfo) -> int:
    """When a local day begins, microseconds since 1970 UTC.

    Where midnight comes twice the first counts; where clocks leave it out, the instant at which they do.
    """
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class PeriodKeys:
    """Periods of units, k of them, all of one kind.

    Attributes
    ----------
    unit_id
        int32 of shape (k,).
    unit_kind, medium_voltage_v
        Of each unit; the voltage of its substation, None where none is known.
    first
        First local day of each.
    begin_us, end_us
        int64 of shape (k,), microseconds since 1970 UTC.
    """

    kind: PeriodKind
    unit_id: NDArray[np.int32]
    unit_kind: Sequence[UnitKind]
    medium_voltage_v: Sequence[int | None]
    first: Sequence[date]
    begin_us: NDArray[np.int64]
    end_us: NDArray[np.int64]

    def __post_init__(self) -> None:
        sizes = {len(getattr(self, field.name)) for field in fields(self)[1:]}
        if len(sizes) != 1 or np.any(self.begin_us >= self.end_us):
            raise ValueError("periods of different number, or one that ends before it begins")

    def __len__(self) -> int:
        return len(self.unit_id)


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Published versions of what periods are summed from: intervals of days, days of months.

    Arrays of shape (m,), sorted by (period, end, length, revision).

    Attributes
    ----------
    period
        int64: which of the periods it is of.
    begin_us, end_us
        int64: of the piece; intervals end in the period that they are of.
    whole
        bool: a piece that stands for the whole period where the others don't cover it.
    final
        bool: the version is final or restated.
    published_us
        int64: `UNPUBLISHED_US` of one that only the newest sums may show.
    covered_s
        int64: computable part of it; where 0, nothing of it is summed.
    intervals
        int64: number of computable intervals in it.
    from_us, to_us
        int64: begin of the first and end of the last of these.
    inflow_wh, outflow_wh, loss_wh, members_loss_wh, uncontracted_wh, generation_wh, estimated_wh
        int64: of `loss.balance`.
    technical_wh, averaging_wh, technical_sigma_wh
        float64: the same; NaN = not known.
    sigma_wh, systematic_sigma_wh, ends_sigma_wh
        float64: standard deviation of `loss_wh`, and its parts.
    export_sigma_wh
        float64: part of `systematic_sigma_wh` from what was exported.
    opening_sigma_wh, closing_sigma_wh
        float64: parts of `ends_sigma_wh` that a piece before, and one after, gives back.
    judged_s, judged_inflow_wh, judged_loss_wh, judged_random_sigma_wh
        int64, and float64: what of it was measured well enough for a class, see `judged_of`.
    reasons
        int64: bits of `LossReason`.
    """

    period: NDArray[np.int64]
    begin_us: NDArray[np.int64]
    end_us: NDArray[np.int64]
    whole: NDArray[np.bool_]
    final: NDArray[np.bool_]
    published_us: NDArray[np.int64]
    covered_s: NDArray[np.int64]
    intervals: NDArray[np.int64]
    from_us: NDArray[np.int64]
    to_us: NDArray[np.int64]
    inflow_wh: NDArray[np.int64]
    outflow_wh: NDArray[np.int64]
    loss_wh: NDArray[np.int64]
    members_loss_wh: NDArray[np.int64]
    uncontracted_wh: NDArray[np.int64]
    generation_wh: NDArray[np.int64]
    estimated_wh: NDArray[np.int64]
    technical_wh: NDArray[np.float64]
    averaging_wh: NDArray[np.float64]
    technical_sigma_wh: NDArray[np.float64]
    sigma_wh: NDArray[np.float64]
    systematic_sigma_wh: NDArray[np.float64]
    ends_sigma_wh: NDArray[np.float64]
    export_sigma_wh: NDArray[np.float64]
    opening_sigma_wh: NDArray[np.float64]
    closing_sigma_wh: NDArray[np.float64]
    judged_s: NDArray[np.int64]
    judged_inflow_wh: NDArray[np.int64]
    judged_loss_wh: NDArray[np.int64]
    judged_random_sigma_wh: NDArray[np.float64]
    reasons: NDArray[np.int64]

    def __post_init__(self) -> None:
        sizes = {getattr(self, name).shape for name in PIECE_COLUMNS}
        if sizes != {(len(self),)}:
            raise ValueError(f"columns of different shapes: {sizes}")

    def __len__(self) -> int:
        return len(self.period)

    @classmethod
    def none(cls) -> Self:
        """No piece."""
        return cls(**{name: np.empty(0, dtype) for name, dtype in PIECE_COLUMNS.items()})


_WHOLE_NUMBERS = (
    *("period", "begin_us", "end_us", "published_us", "covered_s", "intervals", "from_us", "to_us", "reasons"),
    *("inflow_wh", "outflow_wh", "loss_wh", "members_loss_wh", "uncontracted_wh", "generation_wh", "estimated_wh"),
    *("judged_s", "judged_inflow_wh", "judged_loss_wh"),
)
#: Type of each column.
PIECE_COLUMNS: dict[str, type] = {
    field.name: np.int64
    if field.name in _WHOLE_NUMBERS
    else np.bool_
    if field.name in {"whole", "final"}
    else np.float64
    for field in fields(Pieces)
}
#: Published by nobody yet: later than all.
UNPUBLISHED_US = np.iinfo(np.int64).max
#: Columns that are summed up.
ENERGIES = ("inflow_wh", "outflow_wh", "loss_wh", "members_loss_wh", "uncontracted_wh", "generation_wh", "estimated_wh")
COUNTS = ("covered_s", "intervals")
JUDGED = ("judged_s", "judged_inflow_wh", "judged_loss_wh")
TECHNICAL = ("technical_wh", "averaging_wh", "technical_sigma_wh")
SIGMAS = (
    *("sigma_wh", "systematic_sigma_wh", "export_sigma_wh", "ends_sigma_wh", "opening_sigma_wh", "closing_sigma_wh"),
    "judged_random_sigma_wh",
)


@dataclass(frozen=True, slots=True, eq=False)
class PeriodRows:
    """Revisions of periods, sorted by period and revision; arrays of shape (r,).

    Attributes
    ----------
    period
        int64: which of the keys.
    revision, status
        int64: as of an interval; `grid.rows.Status`.
    published_us, until_us, due_us
        int64: when it was published, when the next took its place, when the next is due; `grid.rows.NEVER_US`.
    figures
        Columns of `ENERGIES`, `COUNTS`, `JUDGED`, `TECHNICAL`, `SIGMAS`, and from_us, to_us (`NEVER_US`: nothing is
        summed), reasons, computable (bool), loss_class (int64, `LossClass`).
    """

    period: NDArray[np.int64]
    revision: NDArray[np.int64]
    status: NDArray[np.int64]
    published_us: NDArray[np.int64]
    until_us: NDArray[np.int64]
    due_us: NDArray[np.int64]
    figures: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.period)


#: Of the inflow: an interval whose error from estimates, substitutes and splits is greater plays no part in a class.
JUDGED_ERROR = 0.05
#: Part of a period that must be judged for a class.
JUDGED_SHARE = 0.4


#: What `judged_of` is told by.
JUDGED_OF = ("covered_s", "inflow_wh", "loss_wh", "sigma_wh", "systematic_sigma_wh", "ends_sigma_wh", "reasons")


def judged_of(
    covered_s: NDArray[np.int64],
    inflow_wh: NDArray[np.int64],
    loss_wh: NDArray[np.int64],
    sigma_wh: NDArray[np.float64],
    systematic_sigma_wh: NDArray[np.float64],
    ends_sigma_wh: NDArray[np.float64],
    reasons: NDArray[np.int64],
) -> dict[str, NDArray[Any]]:
    """What of some intervals was measured well enough for a class: columns of `Pieces`, 0 of all others.

    The sums of a period have everything; a class rests on those intervals whose gateways were measured and in which
    little was guessed. An hour of a gateway that is estimated is as uncertain as all customers of a day, and the errors
    of estimates have long tails.
    """
    shared_wh2 = systematic_sigma_wh**2
    guessed_wh2 = sigma_wh**2 - shared_wh2 - ends_sigma_wh**2
    is_judged = (covered_s > 0) & (reasons & int(LossReason.MISSING_GATEWAY) == 0)
    is_judged &= guessed_wh2 <= (JUDGED_ERROR * np.maximum(inflow_wh, 1)) ** 2
    return {
        "judged_s": np.where(is_judged, covered_s, 0),
        "judged_inflow_wh": np.where(is_judged, inflow_wh, 0),
        "judged_loss_wh": np.where(is_judged, loss_wh, 0),
        "judged_random_sigma_wh": np.sqrt(np.where(is_judged, np.maximum(0.0, sigma_wh**2 - shared_wh2), 0.0)),
    }


#: Reasons that are of the length they were judged over: a period has its own.
_JUDGED_HERE = LossReason.WIDE_BAND | LossReason.LOW_INFLOW | LossReason.FEW_MEASURED


#: Figures that a class rests on.
JUDGED_BY = (
    *("computable", "reasons", "covered_s", "inflow_wh", "sigma_wh", "systematic_sigma_wh"),
    *(*JUDGED, "judged_random_sigma_wh"),
)


def judge(
    bounds: Bounds, figures: Mapping[str, NDArray[Any]], expected_s: NDArray[np.int64]
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Classes of periods' losses, and their reasons with those of the judgement; of shape (n,).

    Parameters
    ----------
    bounds
        Limits of each.
    figures
        Columns of `PeriodRows.figures`; those of `JUDGED_BY` are read.

    Notes
    -----
    The class is that of the judged hours' loss. Their systematic error is the period's by their part of the energy. The
    others count as an error of the rate: hours of which nothing is known as large as their share of it, for they are as
    likely to have had no loss as twice of it; hours that were estimated the same, or what their estimates may be off
    where that is less.
    """
    covered_s, judged_s = figures["covered_s"], figures["judged_s"]
    inflow_wh, loss_wh = figures["judged_inflow_wh"].astype(np.float64), figures["judged_loss_wh"].astype(np.float64)
    systematic_wh, random_wh = figures["systematic_sigma_wh"], figures["judged_random_sigma_wh"]
    part = np.clip(inflow_wh / np.maximum(figures["inflow_wh"], 1), 0.0, 1.0)
    unknown = np.maximum(0.0, 1.0 - covered_s / expected_s)
    guessed = np.maximum(0, covered_s - judged_s) / expected_s
    guessed_wh = np.sqrt(np.maximum(0.0, figures["sigma_wh"] ** 2 - systematic_wh**2 - random_wh**2))
    others_wh = unknown * np.abs(loss_wh) + np.minimum(guessed * np.abs(loss_wh), guessed_wh)
    error_wh = np.sqrt((part * systematic_wh) ** 2 + random_wh**2 + others_wh**2)
    classes, judged = bounds.judge(inflow_wh, loss_wh, error_wh, judged_s / 3_600)
    computable = figures["computable"] & (covered_s > 0)
    is_few = computable & (judged_s < JUDGED_SHARE * expected_s)
    told = computable & ~is_few
    reasons = figures["reasons"] & ~int(_JUDGED_HERE)
    reasons |= np.where(told, judged, 0) | np.where(is_few, int(LossReason.FEW_MEASURED), 0)
    return np.where(told, classes, int(LossClass.NOT_COMPUTABLE)).astype(np.int8), reasons
