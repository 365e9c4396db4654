"""What rows come to: balance, its error, and what is below; pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from grid.area_network import NetworkPeriod
from grid.channels import (
    CHANNELS,
    EXPORT,
    FINAL,
    GAP_SIGMA,
    IMPORT,
    LOSS,
    SIGMA,
    SIGMA_SYSTEMATIC,
    SOLD_SIGMA,
    SOLD_SYSTEMATIC,
    TECHNICAL,
)
from grid.line_network import LineNetwork
from grid.loss_rules import LossRules
from grid.model import MeteredSide, Role, UnitKind
from grid.quality import MISSING_WH
from grid.roster import Roster, UnitView
from grid.rows import BalanceRows, BlockRows, any_by_row, empty_balances
from kernels.energy_balance import line_loss
from kernels.unit_members import total_of_members
from streams.steps.shares import energies_of_unit, lapsed_wh
from streams.steps.side import transformers_of, with_transformers
from streams.steps.technical import TechnicalLoss, area_losses, line_losses

_T = TypeVar("_T", bound=np.generic)

#: Of each row what its unit consists of; None where it isn't known.
Networks = Sequence[LineNetwork | NetworkPeriod | None]


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """What rows come to, of shape (k,); for the figures see `kernels.energy_balance.Balance` and `BalanceRows`.

    Attributes
    ----------
    computable
        Whether a loss is told.
    is_sum
        Whether the unit is nothing but the sum of its parts.
    parts_known
        Whether the loss inside every smaller unit is known.
    """

    inflow_wh: NDArray[np.int64]
    outflow_wh: NDArray[np.int64]
    loss_wh: NDArray[np.int64]
    members_loss_wh: NDArray[np.int64]
    uncontracted_wh: NDArray[np.int64]
    generation_wh: NDArray[np.int64]
    estimated_wh: NDArray[np.int64]
    taken_wh: NDArray[np.int64]
    returned_wh: NDArray[np.int64]
    sigma_wh: NDArray[np.float64]
    systematic_sigma_wh: NDArray[np.float64]
    export_sigma_wh: NDArray[np.float64]
    ends_sigma_wh: NDArray[np.float64]
    total_sigma_wh: NDArray[np.float64]
    total_systematic_sigma_wh: NDArray[np.float64]
    gap_sigma_wh: NDArray[np.float64]
    gateway_extra_sigma_wh: NDArray[np.float64]
    gateway_systematic_sigma_wh: NDArray[np.float64]
    sold_sigma_wh: NDArray[np.float64]
    sold_systematic_sigma_wh: NDArray[np.float64]
    technical_wh: NDArray[np.float64]
    averaging_wh: NDArray[np.float64]
    technical_sigma_wh: NDArray[np.float64]
    members_technical_wh: NDArray[np.float64]
    coverage: NDArray[np.float32]
    computable: NDArray[np.bool_]
    complete: NDArray[np.bool_]
    has_gateway: NDArray[np.bool_]
    gateways_complete: NDArray[np.bool_]
    gateways_measured: NDArray[np.bool_]
    quality: NDArray[np.uint8]
    is_sum: NDArray[np.bool_]
    parts_known: NDArray[np.bool_]

    def room(self, size: int) -> Standing:
        """Room for many rows of which nothing is known yet."""
        blank: dict[str, Any] = {f.name: np.zeros(size, getattr(self, f.name).dtype) for f in fields(self)}
        return Standing(**blank)

    def put(self, rows: NDArray[np.intp], of_rows: Standing) -> None:
        """Take over what some rows come to."""
        for field in fields(self):
            getattr(self, field.name)[rows] = getattr(of_rows, field.name)

    def figures(self) -> BalanceRows:
        """As results, without class and publication."""
        figures = empty_balances(len(self.coverage))
        for field in fields(self):
            if hasattr(figures, field.name):
                getattr(figures, field.name)[:] = getattr(self, field.name)
        return figures


class Members:
    """Attributes of all members of a batch's rows, as flat arrays."""

    def __init__(self, rows: BlockRows, rosters: Sequence[Roster]) -> None:
        # Positions that a row has beyond its roster aren't members.
        rest = (np.diff(rows.starts) - [len(roster) for roster in rosters]).tolist()
        self.role = _joined([roster.role for roster in rosters], rest, np.uint8(0))
        self.multiplier = _joined([roster.multiplier for roster in rosters], rest, np.int64(1))
        self.accuracy_class = _joined([roster.accuracy_class for roster in rosters], rest, np.float64(0))

    def any_open(self, rows: BlockRows, numbers: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether a member that is a unit isn't final yet, for some rows."""
        if FINAL not in rows.channels:
            return np.zeros(len(numbers), np.bool_)
        is_open = (self.role & int(Role.UNIT) != 0) & (rows.channels[FINAL] == MISSING_WH)
        return any_by_row(is_open, rows.starts)[numbers]


def _joined(parts: Sequence[NDArray[_T]], rest: Sequence[int], blank: _T) -> NDArray[_T]:
    """Parts one after another, each with so many times `blank` behind it."""
    if any(rest):
        parts = [each for part, more in zip(parts, rest, strict=True) for each in (part, np.full(more, blank))]
    return np.concatenate(parts) if parts else np.full(0, blank)


def gather(starts: NDArray[np.int64], numbers: NDArray[np.intp]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Starts of some rows laid one after another, and where their members lie now."""
    sizes = np.diff(starts)[numbers]
    packed = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    return packed, np.repeat(starts[numbers] - packed[:-1], sizes) + np.arange(packed[-1])


def balance_rows(
    rows: BlockRows,
    numbers: NDArray[np.intp],
    views: Sequence[UnitView],
    rosters: Sequence[Roster],
    members: Members,
    rules: LossRules,
    networks: Networks,
) -> Standing:
    """What some rows come to.

    Parameters
    ----------
    numbers
        The rows, of shape (k,).
    views, rosters, networks
        Of these rows: their units, members, and the lines that they consist of.
    members
        Of all rows.
    """
    own = energies_of_unit(rows, numbers, rosters)
    starts, at = gather(rows.starts, numbers) if len(numbers) < len(rows) else (rows.starts, slice(None))
    role, multiplier, accuracy = members.role[at], members.multiplier[at], members.accuracy_class[at]
    energies = (own[IMPORT][at], own[EXPORT][at], own[LOSS][at])
    extra, shared = own[SIGMA][at], own[SIGMA_SYSTEMATIC][at]
    length_s = rows.interval_s[numbers].astype(np.float64)
    clock_share, start_wh = rules.clock_sigma_s / length_s, rules.starting_power_w / 3_600 * length_s
    quality = rows.quality[at]
    steps = rules.customer_power_step, rules.unit_power_step
    balance = line_loss(
        *(starts, *energies, multiplier, role, accuracy, extra, quality, clock_share, shared, start_wh),
        power_steps=steps,
        gap_sigma_wh=own[GAP_SIGMA][at],
    )
    of_rows = (rows, numbers, views, rosters, balance)
    transformers = transformers_of(UnitKind.DEDICATED, MeteredSide.LOW, *of_rows)
    inside = transformers_of(UnitKind.AREA, MeteredSide.HIGH, *of_rows)
    balance = with_transformers(balance, transformers)
    for i, r in enumerate(numbers.tolist()):
        balance.uncontracted_wh[i] += lapsed_wh(rows, r, rosters[i], own)
    size = len(numbers)
    total, total_systematic = balance.sigma_wh, balance.systematic_sigma_wh
    sold, sold_systematic = balance.sold_sigma_wh, balance.sold_systematic_sigma_wh
    parts_known, members_technical, is_sum = np.ones(size, np.bool_), np.zeros(size), np.zeros(size, np.bool_)
    computable = balance.complete & balance.gateways_complete
    technical = _technical(rows, numbers, rosters, own, computable, networks, rules)
    technical.none(computable & _measured_at_its_side(rows, numbers, views))
    technical.add(inside.at, inside.loss_wh, inside.sigma_wh)
    technical.put(transformers.at, TechnicalLoss.of_transformers(transformers.loss_wh, transformers.sigma_wh))
    is_unit = role & int(Role.UNIT) != 0
    if is_unit.any():
        said = {n: rows.channels[n][at] if n in rows.channels else CHANNELS[n].blank(len(role)) for n in _SAID}
        of_own = np.array([view.kind is UnitKind.VOLTAGE_LEVEL for view in views], np.bool_)
        below = total_of_members(
            starts, *energies, multiplier, role, accuracy, extra, **said, extra_systematic_wh=shared, of_own=of_own
        )
        parts_known, members_technical = below.loss_known, below.technical_wh
        # Of rows without units the balance says the same but for the last digit: what a row comes to must not depend on
        # which others are in its batch.
        has_units = any_by_row(is_unit, starts)
        total = np.where(has_units, below.total_sigma_wh, total)
        total_systematic = np.where(has_units, below.total_systematic_sigma_wh, total_systematic)
        sold = np.where(has_units, below.sold_sigma_wh, sold)
        sold_systematic = np.where(has_units, below.sold_systematic_sigma_wh, sold_systematic)
        # What is the sum of its parts loses nothing itself, and is known only where all parts are.
        is_sum = any_by_row(is_unit & (role & int(Role.GATEWAY) != 0), starts)
        technical.none(is_sum)
        computable &= parts_known | ~is_sum
    return Standing(
        inflow_wh=balance.inflow_wh,
        outflow_wh=balance.outflow_wh,
        loss_wh=balance.loss_wh,
        members_loss_wh=balance.members_loss_wh,
        uncontracted_wh=balance.uncontracted_wh,
        generation_wh=balance.generation_wh,
        estimated_wh=balance.estimated_wh,
        taken_wh=balance.taken_wh,
        returned_wh=balance.returned_wh,
        sigma_wh=balance.sigma_wh,
        systematic_sigma_wh=balance.systematic_sigma_wh,
        export_sigma_wh=balance.export_sigma_wh,
        ends_sigma_wh=balance.ends_sigma_wh,
        total_sigma_wh=total,
        total_systematic_sigma_wh=total_systematic,
        gap_sigma_wh=balance.gap_sigma_wh,
        gateway_extra_sigma_wh=balance.gateway_extra_sigma_wh,
        gateway_systematic_sigma_wh=balance.gateway_systematic_sigma_wh,
        sold_sigma_wh=sold,
        sold_systematic_sigma_wh=sold_systematic,
        technical_wh=technical.wh,
        averaging_wh=technical.averaging_wh,
        technical_sigma_wh=technical.sigma_wh,
        members_technical_wh=members_technical,
        coverage=np.nan_to_num(balance.coverage).astype(np.float32),
        computable=computable,
        complete=balance.complete,
        has_gateway=balance.has_gateway,
        gateways_complete=balance.gateways_complete,
        gateways_measured=balance.gateways_measured,
        quality=balance.quality,
        is_sum=is_sum,
        parts_known=parts_known,
    )


def _measured_at_its_side(rows: BlockRows, numbers: NDArray[np.intp], views: Sequence[UnitView]) -> NDArray[np.bool_]:
    """Whether a dedicated customer is metered where it is supplied: then nothing is lost in between."""
    high = np.zeros(len(numbers), np.bool_)
    for i, (r, view) in enumerate(zip(numbers.tolist(), views, strict=True)):
        if view.kind is UnitKind.DEDICATED:
            plate = view.plate(int(rows.observed_at_us[r]), int(rows.interval_s[r]))
            high[i] = plate is None or plate.metered_side is MeteredSide.HIGH
    return high


def _technical(
    rows: BlockRows,
    numbers: NDArray[np.intp],
    rosters: Sequence[Roster],
    own: Mapping[str, NDArray[np.int64]],
    computable: NDArray[np.bool_],
    networks: Networks,
    rules: LossRules,
) -> TechnicalLoss:
    """Technical losses of rows whose members are all there."""
    lost = TechnicalLoss.unknown(len(numbers))
    some = np.flatnonzero(computable & np.array([n is not None for n in networks], np.bool_))
    lines = [(i, n) for i in some.tolist() if isinstance(n := networks[i], LineNetwork)]
    areas = [(i, n) for i in some.tolist() if isinstance(n := networks[i], NetworkPeriod)]
    if lines:
        at = np.array([i for i, _ in lines])
        lost.put(at, line_losses(rows, numbers[at], [rosters[i] for i in at], own, [n for _, n in lines]))
    if areas:
        at = np.array([i for i, _ in areas])
        of_areas = [rosters[i] for i in at], own, [n for _, n in areas]
        lost.put(at, area_losses(rows, numbers[at], *of_areas, rules.variation))
    return lost


_SAID = (TECHNICAL, SOLD_SIGMA, SOLD_SYSTEMATIC)
