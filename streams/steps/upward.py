"""What settled units tell the units above them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.model import MAX_UNIT_ENERGY_WH, UnitKind
from grid.quality import MISSING_WH, Quality
from grid.roster import UnitView
from grid.rows import BalanceRows, BlockRows, Status
from grid.unit_energy import UnitEnergies
from streams.steps.balance import Standing

#: States in one record: some 700 kB.
_MAX_STATES = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """States of some rows at some moment; arrays of shape (n,), columns as of `grid.unit_energy.UnitEnergies`.

    Attributes
    ----------
    own
        What voltage levels are told in place of some columns: of the unit without what is below it.
    """

    row: NDArray[np.intp]
    columns: dict[str, NDArray[np.int64]]
    own: dict[str, NDArray[np.int64]]


def tell(
    rows: BlockRows,
    balance: Standing,
    results: BalanceRows,
    numbers: NDArray[np.intp],
    at_us: NDArray[np.int64],
) -> Told:
    """The states of `numbers` as they are now.

    Parameters
    ----------
    balance, results
        Of all rows.
    at_us
        When the message came, or the limit passed, that brought each to this state.
    """
    taken, returned = balance.taken_wh[numbers], balance.returned_wh[numbers]
    known = balance.gateways_complete[numbers] & _is_sound(taken) & _is_sound(returned)
    below = balance.loss_wh[numbers] + balance.members_loss_wh[numbers]
    computable = results.computable[numbers] & known
    loss_known = computable & balance.parts_known[numbers] & _is_sound(below)
    own_known = computable & _is_sound(balance.loss_wh[numbers])
    own_technical = 1_000 * balance.technical_wh[numbers]
    technical = own_technical + 1_000 * balance.members_technical_wh[numbers]
    final = results.status[numbers] != Status.PROVISIONAL
    return Told(
        numbers,
        {
            "received_at_us": at_us,
            "version": rows.version[numbers],
            "taken_wh": np.where(known, taken, MISSING_WH),
            "returned_wh": np.where(known, returned, MISSING_WH),
            "loss_wh": np.where(loss_known, below, MISSING_WH),
            "sigma_wh": _up(balance.gateway_extra_sigma_wh[numbers]),
            "technical_milli_wh": _whole(technical, known),
            "sold_sigma_wh": _up(balance.sold_sigma_wh[numbers]),
            "sold_systematic_wh": _up(balance.sold_systematic_sigma_wh[numbers]),
            "sigma_systematic_wh": _up(balance.gateway_systematic_sigma_wh[numbers]),
            "final_us": np.where(final, results.published_us[numbers], MISSING_WH),
            "quality": np.where(known, int(Quality.VALID), int(Quality.MISSING)),
        },
        {
            "loss_wh": np.where(own_known, balance.loss_wh[numbers], MISSING_WH),
            "technical_milli_wh": _whole(own_technical, known),
            # As it counts in a sum over time: one figure for both, as of gateways.
            "sold_sigma_wh": _up(np.hypot(balance.sigma_wh[numbers], balance.gap_sigma_wh[numbers])),
            "sold_systematic_wh": _up(balance.systematic_sigma_wh[numbers]),
        },
    )


def messages(told: Sequence[Told], rows: BlockRows, views: Sequence[UnitView]) -> list[UnitEnergies]:
    """One record a parent, or several of bounded size; states of one row come in the order in which they were told."""
    by_parent: dict[tuple[str, bool], list[int]] = {}
    row = np.concatenate([t.row for t in told]) if told else np.empty(0, np.intp)
    for n, r in enumerate(row.tolist()):
        for parent in views[r].parents_over(int(rows.observed_at_us[r]), int(rows.interval_s[r])):
            # A level within a level is the sum of its parts, and loses nothing itself.
            is_own = parent.kind is UnitKind.VOLTAGE_LEVEL and views[r].kind is not UnitKind.VOLTAGE_LEVEL
            of_parent = by_parent.setdefault((parent.parent, is_own), [])
            if not of_parent or of_parent[-1] != n:  # it may have left and come back within the interval
                of_parent.append(n)
    if not by_parent:
        return []
    totals = {name: np.concatenate([t.columns[name] for t in told]) for name in told[0].columns}
    owns = totals | {name: np.concatenate([t.own[name] for t in told]) for name in told[0].own}
    records = []
    parts = ((p, n[i : i + _MAX_STATES]) for p, n in by_parent.items() for i in range(0, len(n), _MAX_STATES))
    for (parent, is_own), indexes in parts:
        at = np.array(indexes)
        states = {name: values[at] for name, values in (owns if is_own else totals).items()}
        records.append(
            UnitEnergies(
                parent=parent,
                child_id=rows.unit_id[row[at]],
                observed_at_us=rows.observed_at_us[row[at]],
                interval_s=rows.interval_s[row[at]],
                **{**states, "quality": states["quality"].astype(np.uint8)},
            )
        )
    return records


def _is_sound(energy_wh: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray((energy_wh <= MAX_UNIT_ENERGY_WH) & (energy_wh >= -MAX_UNIT_ENERGY_WH))


def _up(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.ceil(values).astype(np.int64)


def _whole(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    known = known & (np.abs(values) <= 1_000.0 * MAX_UNIT_ENERGY_WH)
    return np.where(known, np.rint(np.where(known, values, 0.0)).astype(np.int64), MISSING_WH)
