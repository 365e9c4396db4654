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
from grid.model import UnitKind
from grid.quality import Quality
from grid.roster import Roster, UnitView
from grid.rows import BalanceRows, BlockRows
from grid.thresholds import Bounds, Thresholds
from streams.steps.balance import Standing

#: What was sold over what went in where a gateway's transformer or wiring is wrong: one phase of three missing or
#: reversed, a ratio twice or half of what is recorded. Loss and error of measurement blur it by some percent.
_CT_RATIOS = (1.5, 3.0, 2.0, 0.5, 1.0 / 3.0)
_CT_BLUR = 0.05


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
    # As of a period: what is valid when it begins, of the unit's voltage.
    begin_us = observed - length.astype(np.int64) * 1_000_000
    limits = [thresholds.at(v.kind, at, v.medium_voltage_v) for v, at in zip(views, begin_us.tolist(), strict=True)]
    # What is the sum of its parts has no loss of its own: it is judged by theirs.
    is_sum = standing.is_sum
    loss = np.where(is_sum, figures.loss_wh + figures.members_loss_wh, figures.loss_wh)
    sigma = np.where(is_sum, figures.total_sigma_wh, figures.sigma_wh)
    inflow = figures.inflow_wh.astype(np.float64)
    # What a dedicated customer loses itself is what its transformer is calculated to lose: that is no finding.
    dedicated = np.array([view.kind is UnitKind.DEDICATED for view in views], np.bool_)
    loss = loss - np.where(dedicated, np.nan_to_num(figures.technical_wh), 0.0)
    classes, judged = Bounds.of(limits).judge(inflow, loss, sigma, length / 3_600)
    # What was sold less a guess of what went in is no finding.
    told = figures.computable & (standing.gateways_measured | ~standing.gateways_complete)
    figures.loss_class[:] = np.where(told, classes, int(LossClass.NOT_COMPUTABLE))
    is_negative = figures.loss_class == LossClass.NEGATIVE
    is_abnormal = is_negative | (figures.loss_class == LossClass.HIGH)
    reasons = np.zeros(len(numbers), np.int32)
    flags = standing.quality
    sold = figures.outflow_wh / np.maximum(inflow, 1.0)
    as_of_ct = np.zeros(len(numbers), np.bool_)
    for ratio in _CT_RATIOS:
        as_of_ct |= np.abs(sold / ratio - 1.0) < _CT_BLUR
    for reason, holds in (
        (LossReason.NO_GATEWAY, ~standing.has_gateway),
        (LossReason.MISSING_GATEWAY, standing.has_gateway & ~standing.gateways_measured),
        (LossReason.MISSING_MEMBERS, ~standing.complete),
        (LossReason.ESTIMATED, flags & int(Quality.ESTIMATED) != 0),
        (LossReason.SUBSTITUTED, flags & int(Quality.SUBSTITUTED) != 0),
        (LossReason.SUSPECT, flags & int(Quality.SUSPECT) != 0),
        (LossReason.SWITCHED, np.array([bool(roster.parts) for roster in rosters])),
        (LossReason.BACK_FEED, standing.returned_wh > standing.taken_wh),
        (LossReason.LOW_INFLOW, figures.computable & (judged == LossReason.LOW_INFLOW)),
        (LossReason.GENERATION, figures.generation_wh > 0),
        (LossReason.UNCONTRACTED, figures.uncontracted_wh > 0),
        (LossReason.WIDE_BAND, told & (judged == LossReason.WIDE_BAND)),
        (LossReason.SUSPECTED_CT, is_abnormal & as_of_ct),
        (LossReason.SUSPECTED_RELATION, is_negative & ~as_of_ct),
        (LossReason.NO_TECHNICAL, np.isnan(figures.technical_wh)),
        (LossReason.REGISTERS, np.isin(length, DAYS_S)),
        (LossReason.PART_UNKNOWN, ~standing.parts_known),
    ):
        reasons[holds] |= int(reason)
    figures.reasons[:] = reasons
