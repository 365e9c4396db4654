"""What the stream's own steps make of a month's readings, with no store: what comes has come by then.

What is missing is estimated as settling does it, at the final limit of each interval, from the rows before and after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.loss_city import Month, Park, replacements, views_of
from grid.channels import EXPORT, IMPORT
from grid.history import Past
from grid.limits import Limits
from grid.loss_rules import LossRules
from grid.model import UnitKind
from grid.period import ENERGIES, TECHNICAL
from grid.quality import MISSING_WH, Quality, precedence
from grid.roster import UnitView
from grid.rows import BalanceRows, BlockRows
from streams.estimating import estimates, rows_of_batch
from streams.steps.contribution import Cause, Contribution, Key, from_energies, look_again
from streams.steps.settle import settle
from twin.scenario import Unit

_SECOND_US = 1_000_000
#: Intervals that are settled together.
_BATCH = 96


@dataclass(frozen=True, slots=True, eq=False)
class Stated:
    """What the system says of each of `City.truth_units`; arrays of shape (intervals, units).

    For the figures see `grid.rows.BalanceRows`; NaN where there is none.
    """

    inflow_wh: NDArray[np.float64]
    outflow_wh: NDArray[np.float64]
    loss_wh: NDArray[np.float64]
    members_loss_wh: NDArray[np.float64]
    uncontracted_wh: NDArray[np.float64]
    generation_wh: NDArray[np.float64]
    estimated_wh: NDArray[np.float64]
    technical_wh: NDArray[np.float64]
    averaging_wh: NDArray[np.float64]
    technical_sigma_wh: NDArray[np.float64]
    sigma_wh: NDArray[np.float64]
    systematic_sigma_wh: NDArray[np.float64]
    ends_sigma_wh: NDArray[np.float64]
    export_sigma_wh: NDArray[np.float64]
    gap_sigma_wh: NDArray[np.float64]
    computable: NDArray[np.bool_]
    loss_class: NDArray[np.int8]
    reasons: NDArray[np.int32]


#: Energies and errors of `Stated`.
FIGURES = (
    *(*ENERGIES, *TECHNICAL),
    *("sigma_wh", "systematic_sigma_wh", "ends_sigma_wh", "export_sigma_wh", "gap_sigma_wh"),
)


def settle_month(month: Month, park: Park, rules: LossRules) -> Stated:
    """Settle all units of one draw of the meters, areas before feeders."""
    city = month.city
    views = views_of(city)
    shape = month.true_wh.shape
    stated = Stated(
        **{name: np.full(shape, np.nan) for name in FIGURES},
        computable=np.zeros(shape, np.bool_),
        loss_class=np.zeros(shape, np.int8),
        reasons=np.zeros(shape, np.int32),
    )
    column = {views[code].unit_id: i for i, code in enumerate(city.truth_units)}
    sends = _Sends(month, park, views)
    feeders = {f.code for f in city.network.feeders}
    below = [u for u in city.units if u.code not in feeders]
    above = [u for u in city.units if u.code in feeders]
    days = [range(d, min(d + _BATCH, len(month.ends_s))) for d in range(0, len(month.ends_s), _BATCH)]
    past: dict[Key, Past] = {}
    if np.any(park.import_wh == MISSING_WH):
        for rows in days:
            past |= rows_of_batch(settle(_said(sends, below, rows), {}, Limits(), rules).rows)
    for rows in days:
        said = _said(sends, below, rows)
        if past:
            final_us = (Limits().of(UnitKind.AREA).final_s + 1) * _SECOND_US
            said += [look_again(c.view, *c.key[1:], c.observed_at_us + final_us, Cause.TICK) for c in said]
        done = settle(said, {}, Limits(), rules)
        if done.gaps:
            made = estimates(done.gaps, lambda keys: {k: past[k] for k in keys if k in past}, rules.zone)
            done = settle([*said, *made.contributions], {}, Limits(), rules)
        _put(stated, done.balances, done.rows, column, month)
        told = [c for energies in done.energies for c in from_energies(energies, views[energies.parent])]
        done = settle([*_said(sends, above, rows), *told], {}, Limits(), rules)
        _put(stated, done.balances, done.rows, column, month)
    return stated


def _said(sends: _Sends, units: Sequence[Unit], rows: range) -> list[Contribution]:
    return [sends.of(u.code, u.first, u.last, i) for u in units for i in rows]


class _Sends:
    """What units say of their meters at an interval."""

    def __init__(self, month: Month, park: Park, views: dict[str, UnitView]) -> None:
        self._month, self._park, self._views = month, park, views
        self._codes = np.array([m.code for m in month.city.recorded.meters], object)
        self._place = {code: i for i, code in enumerate(self._codes.tolist())}
        self._replaced = replacements(month.city)
        self._named: dict[tuple[int, int], pa.StringArray] = {}

    def of(self, unit: str, first: int, last: int, i: int) -> Contribution:
        view = self._views[unit]
        at_us, interval_s = int(self._month.ends_s[i]) * _SECOND_US, self._month.city.plan.interval_s
        roster = view.roster(at_us, interval_s)
        received_us = at_us + 30 * _SECOND_US
        import_wh = self._park.import_wh[i, first:last]
        quality = np.where(import_wh == MISSING_WH, int(Quality.MISSING), 0).astype(np.uint8)
        return Contribution(
            view=view,
            roster=roster,
            observed_at_us=at_us,
            interval_s=interval_s,
            received_at_us=received_us,
            positions=view.positions(roster, self._names(first, last, at_us // _SECOND_US)),
            precedence=precedence(quality, 1),
            received_us=np.full(last - first, received_us, np.int64),
            channels={IMPORT: import_wh, EXPORT: self._park.export_wh[i, first:last]},
            quality=quality,
        )

    def _names(self, first: int, last: int, end_s: int) -> pa.StringArray:
        """Codes of a unit's meters as they are called at the interval's end."""
        now = {
            self._place[old]: new
            for old, changes in self._replaced.items()
            if first <= self._place[old] < last
            for at_s, new in changes
            if at_s < end_s
        }
        key = (first, len(now))
        if key not in self._named:
            codes = self._codes[first:last].copy()
            for place, code in now.items():
                codes[place - first] = code
            self._named[key] = pa.array(codes.tolist(), pa.string())
        return self._named[key]


def _put(stated: Stated, figures: BalanceRows, rows: BlockRows, column: dict[int, int], month: Month) -> None:
    """Lay settled rows where they belong; dedicated customers, whose loss is 0, have no column."""
    of_unit = np.array([column.get(unit, -1) for unit in rows.unit_id.tolist()], np.int64)
    keep = np.flatnonzero(of_unit >= 0)
    at = np.searchsorted(month.ends_s, rows.observed_at_us[keep] // _SECOND_US), of_unit[keep]
    for name in FIGURES:
        getattr(stated, name)[at] = getattr(figures, name)[keep]
    for name in ("computable", "loss_class", "reasons"):
        getattr(stated, name)[at] = getattr(figures, name)[keep]
