"""What a loss is called, and why it is as it is; pure.

A class is told only where the whole band of ± 2 σ lies outside the limits, so that an error of measurement alone makes
no finding in 19 of 20 cases.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grid.block import DAYS_S
from grid.loss_class import LossClass, LossReason
from grid.model import Role
from grid.quality import MISSING_WH, Quality
from grid.roster import Roster, UnitView
from grid.rows import BalanceRows, BlockRows
from grid.thresholds import Thresholds
from streams.steps.balance import Standing

#: Half of a band in standard deviations.
BAND = 2.0
#: What was sold over what went in where a gateway's transformer or wiring is wrong: one phase of three missing or
#: reversed, a ratio twice or half of what is recorded. Loss and error of measurement blur it by some percent.
_CT_RATIOS = (1.5, 3.0, 2.0, 0.5, 1.0 / 3.0)
_CT_BLUR = 0.05

_OF_QUALITY = (
    (Quality.ESTIMATED, LossReason.ESTIMATED),
    (Quality.SUBSTITUTED, LossReason.SUBSTITUTED),
    (Quality.SUSPECT, LossReason.SUSPECT),
)


def classify(
    figures: BalanceRows,
    standing: Standing,
    rows: BlockRows,
    numbers: NDArray[np.intp],
    views: Sequence[UnitView],
    rosters: Sequence[Roster],
    thresholds: Thresholds,
) -> None:
    """Fill in class and reasons of some rows' figures.

    Parameters
    ----------
    figures, standing
        Of these rows; `loss_class` and `reasons` of `figures` are set in place.
    views, rosters
        Of these rows.
    """
    observed, length = rows.observed_at_us[numbers], rows.interval_s[numbers]
    limits = [thresholds.at(v.kind, at) for v, at in zip(views, observed.tolist(), strict=True)]
    low = np.array([limit.low_rate for limit in limits])
    high = np.array([limit.high_rate for limit in limits])
    least = np.array([limit.min_inflow_wh_per_h for limit in limits]) * length / 3_600
    inflow, band = figures.inflow_wh.astype(np.float64), BAND * figures.sigma_wh
    is_low = inflow < np.maximum(least, 1.0)
    reasons = _of_members(rows, numbers, rosters)
    # What was sold less a guess of what went in is no finding.
    told = figures.computable & ~is_low & (reasons & int(LossReason.MISSING_GATEWAY) == 0)
    is_high = told & (figures.loss_wh - band > high * inflow)
    is_negative = told & (figures.loss_wh + band < low * inflow)
    figures.loss_class[:] = np.select(
        [~told, is_high, is_negative],
        [int(LossClass.NOT_COMPUTABLE), int(LossClass.HIGH), int(LossClass.NEGATIVE)],
        int(LossClass.NORMAL),
    )
    sold = figures.outflow_wh / np.maximum(inflow, 1.0)
    as_of_ct = np.zeros(len(numbers), np.bool_)
    for ratio in _CT_RATIOS:
        as_of_ct |= np.abs(sold / ratio - 1.0) < _CT_BLUR
    for reason, holds in (
        (LossReason.SWITCHED, np.array([bool(roster.parts) for roster in rosters])),
        (LossReason.BACK_FEED, standing.returned_wh > standing.taken_wh),
        (LossReason.LOW_INFLOW, figures.computable & is_low),
        (LossReason.GENERATION, figures.generation_wh > 0),
        (LossReason.UNCONTRACTED, figures.uncontracted_wh > 0),
        (LossReason.WIDE_BAND, told & (2 * band > (high - low) * inflow)),
        (LossReason.SUSPECTED_CT, (is_high | is_negative) & as_of_ct),
        (LossReason.SUSPECTED_RELATION, is_negative & ~as_of_ct),
        (LossReason.NO_TECHNICAL, np.isnan(figures.technical_wh)),
        (LossReason.REGISTERS, np.isin(length, DAYS_S)),
        (LossReason.PART_UNKNOWN, ~standing.parts_known),
    ):
        reasons[holds] |= int(reason)
    figures.reasons[:] = reasons


def _of_members(rows: BlockRows, numbers: NDArray[np.intp], rosters: Sequence[Roster]) -> NDArray[np.int32]:
    """Reasons that follow from single members' readings."""
    reasons = np.zeros(len(numbers), np.int32)
    energy = rows.channels["import_wh"]
    for i, (r, roster) in enumerate(zip(numbers.tolist(), rosters, strict=True)):
        begin = int(rows.starts[r])
        part = slice(begin, begin + len(roster))
        is_member = roster.role != 0
        is_gateway = roster.role & int(Role.GATEWAY) != 0
        there = energy[part] != MISSING_WH
        measured = rows.quality[part] & np.uint8(Quality.ESTIMATED) == 0
        found = 0
        if not is_gateway.any():
            found |= LossReason.NO_GATEWAY
        elif not (there & measured)[is_gateway].all():
            found |= LossReason.MISSING_GATEWAY
        if not there[is_member].all():
            found |= LossReason.MISSING_MEMBERS
        flags = int(np.bitwise_or.reduce(rows.quality[part][is_member & there], initial=0))
        for flag, reason in _OF_QUALITY:
            if flags & flag:
                found |= reason
        reasons[i] = int(found)
    return reasons
