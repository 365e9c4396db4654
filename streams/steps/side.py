"""Loss of transformers between where a customer is metered and where it is supplied; pure.

A dedicated customer metered at low voltage (高供低计) takes from its feeder what its meter shows and what its
transformer loses. Nobody measures that: it is calculated from the plate, and added.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grid.channels import CHANNELS
from grid.model import MeteredSide, Role, UnitKind
from grid.roster import Roster, UnitView
from grid.rows import BlockRows
from kernels.energy_balance import Balance
from kernels.transformer_loss import believed_power_factor, transformer_loss_wh

#: σ of a calculated loss as a share of it: half of the 10 % by which the losses of a transformer may exceed its plate
#: (IEC 60076-1, clause 10), and as much again where the power factor is a guess. All intervals share it.
PLATE_SHARE = 0.05
GUESS_SHARE = 0.1

_FACTOR = "power_factor_permille"


@dataclass(frozen=True, slots=True, eq=False)
class Transformers:
    """Calculated losses of some rows' transformers; arrays of shape (n,).

    Attributes
    ----------
    at
        Which of the rows have one.
    loss_wh
        int64.
    sigma_wh
        float64: standard deviation of `loss_wh`.
    """

    at: NDArray[np.intp]
    loss_wh: NDArray[np.int64]
    sigma_wh: NDArray[np.float64]


def transformers_of(
    kind: UnitKind,
    side: MeteredSide,
    rows: BlockRows,
    numbers: NDArray[np.intp],
    views: Sequence[UnitView],
    rosters: Sequence[Roster],
    balance: Balance,
) -> Transformers:
    """Losses of the transformers of units of a kind that are metered at a side of them.

    Parameters
    ----------
    views, rosters, balance
        Of the rows `numbers`.

    Notes
    -----
    Without a gateway's reading, or a plate, there is no loss.
    """
    found: list[tuple[int, float, float, float, float]] = []
    for i, (r, view, roster) in enumerate(zip(numbers.tolist(), views, rosters, strict=True)):
        if view.kind is not kind or not balance.gateways_complete[i]:
            continue
        plate = view.plate(int(rows.observed_at_us[r]), int(rows.interval_s[r]))
        if plate is not None and plate.metered_side is side and plate.rating_va > 0:
            factor = _power_factor(rows, r, roster)
            found.append((i, plate.rating_va, plate.no_load_loss_w, plate.load_loss_w, factor))
    at = np.array([row[0] for row in found], np.intp)
    rating_va, no_load_w, load_w, factor_of = (np.array([row[k] for row in found], np.float64) for k in range(1, 5))
    passed_wh = balance.taken_wh[at] + balance.returned_wh[at]
    length_s = rows.interval_s[numbers[at]].astype(np.int64)
    factor_of = believed_power_factor(passed_wh, length_s, rating_va, factor_of)
    loss_wh = transformer_loss_wh(passed_wh, length_s, rating_va, no_load_w, load_w, factor_of)
    shares = np.where(np.isnan(factor_of), GUESS_SHARE, PLATE_SHARE)
    return Transformers(at, loss_wh, shares * loss_wh.astype(np.float64))


def with_transformers(balance: Balance, transformers: Transformers) -> Balance:
    """The balance as of the other side of the transformers: what they lose was taken, came in and is lost."""
    if not len(transformers.at):
        return balance

    def plus(values: NDArray[np.int64]) -> NDArray[np.int64]:
        values = values.copy()
        values[transformers.at] += transformers.loss_wh
        return values

    def hypot(values: NDArray[np.float64]) -> NDArray[np.float64]:
        values = values.copy()
        values[transformers.at] = np.hypot(values[transformers.at], transformers.sigma_wh)
        return values

    return replace(
        balance,
        taken_wh=plus(balance.taken_wh),
        inflow_wh=plus(balance.inflow_wh),
        loss_wh=plus(balance.loss_wh),
        sigma_wh=hypot(balance.sigma_wh),
        systematic_sigma_wh=hypot(balance.systematic_sigma_wh),
        gateway_extra_sigma_wh=hypot(balance.gateway_extra_sigma_wh),
        gateway_systematic_sigma_wh=hypot(balance.gateway_systematic_sigma_wh),
    )


def _power_factor(rows: BlockRows, r: int, roster: Roster) -> float:
    """Of the gateway meter, where its message tells; else NaN."""
    if _FACTOR not in rows.channels:
        return float("nan")
    gateways = np.flatnonzero(roster.role & int(Role.GATEWAY) != 0)
    told = rows.channels[_FACTOR][int(rows.starts[r]) + gateways]
    told = told[told != CHANNELS[_FACTOR].missing]
    return abs(float(told[0])) / 1_000 if len(told) == 1 else float("nan")
