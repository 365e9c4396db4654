"""Settling assessment units, pure: contributions and stored rows in, new rows, balances and messages upwards out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.model import MAX_UNIT_ENERGY_WH
from grid.quality import MISSING_DV, MISSING_WH, Quality, quality_rank
from grid.roster import UnitView
from grid.rows import BalanceRows, BlockRows, Status, StoredBlock
from grid.unit_energy import UnitEnergies
from kernels.energy_balance import Balance, line_loss
from kernels.merge import CHANGED, UNCHANGED, merge_readings
from streams.steps.contribution import Contribution

_RANK = quality_rank(np.arange(256, dtype=np.uint8))

#: (unit id, end of the interval in microseconds): what a row is keyed by.
Key = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """What a batch comes to.

    Attributes
    ----------
    rows, balances
        Only what differs from the stored rows, in key order.
    energies
        For each parent, of every unit of the batch that has a row, changed or not: a repeat tells again.
    passed_over
        Indexes of contributions that are of another length of interval than their row.
    """

    rows: BlockRows
    balances: BalanceRows
    energies: list[UnitEnergies]
    passed_over: list[int]


def keys_of(contributions: Sequence[Contribution]) -> list[Key]:
    """Keys that the contributions touch, in the order in which rows are written."""
    return sorted({(c.view.unit_id, c.observed_at_us) for c in contributions if c.view.size})


def settle(keys: Sequence[Key], contributions: Sequence[Contribution], stored: Mapping[int, StoredBlock]) -> Settled:
    """Merge contributions with the stored rows, balance, and say what is to be written and told upwards.

    Parameters
    ----------
    keys
        `keys_of(contributions)`.
    contributions
        Any order, repeats allowed.
    stored
        Stored rows by index into `keys`.

    Notes
    -----
    A row is of one length of interval. Where messages of different lengths end at the same instant, the shortest that
    has a reading stands, whichever came first: an hourly summary doesn't hide the last quarter-hour.
    """
    index = {key: r for r, key in enumerate(keys)}
    views: list[UnitView | None] = [None] * len(keys)
    by_row: list[list[int]] = [[] for _ in keys]
    for number, contribution in enumerate(contributions):
        if contribution.view.size:
            r = index[(contribution.view.unit_id, contribution.observed_at_us)]
            views[r] = contribution.view
            by_row[r].append(number)
    known = [view for view in views if view is not None]
    rows = _empty_rows(keys, known, stored)
    changed = np.zeros(len(keys), np.bool_)
    refigured = np.zeros(len(keys), np.bool_)
    passed_over = []
    for r, of_row in enumerate(by_row):
        interval_s = _interval([contributions[number] for number in of_row], stored.get(r))
        if r in stored:
            if stored[r].interval_s == interval_s:
                _place(rows, r, stored[r])
            else:
                changed[r] = refigured[r] = True
                rows.received_at_us[r] = 0
        rows.interval_s[r] = interval_s
        members = rows.members(r)
        for number in of_row:
            c = contributions[number]
            if c.interval_s != interval_s:
                passed_over.append(number)
                continue
            source = (c.sequence, c.import_wh, c.export_wh, c.loss_wh, c.voltage_dv, c.quality)
            outcome = merge_readings(members, c.positions, source, _RANK)
            # Who sent only missing readings is known to be there: a row says so.
            if outcome != UNCHANGED or (not rows.version[r] and np.any(c.positions >= 0)):
                changed[r] = True
                refigured[r] |= outcome == CHANGED
                rows.received_at_us[r] = max(rows.received_at_us[r], c.received_at_us)
    balance = _balance(rows, known)
    results = _results(rows, balance, changed, refigured)
    energies = _upwards(rows, known, balance, results, changed)
    keep = np.flatnonzero(changed)
    if len(keep) == len(keys):
        return Settled(rows, results, energies, passed_over)
    return Settled(_take_rows(rows, keep), _take_balances(results, keep), energies, passed_over)


def _interval(of_row: list[Contribution], stored: StoredBlock | None) -> int:
    """Length of interval that a row is of: the shortest that has a reading."""
    lengths = {c.interval_s for c in of_row} | (set() if stored is None else {stored.interval_s})
    if len(lengths) == 1:
        return lengths.pop()
    found = [
        (bool(np.any((c.positions >= 0) & (c.import_wh != MISSING_WH))), bool(np.any(c.positions >= 0)), -c.interval_s)
        for c in of_row
    ]
    if stored is not None:
        found.append((bool(np.any(stored.import_wh != MISSING_WH)), True, -stored.interval_s))
    return -max(found)[2]


def _empty_rows(keys: Sequence[Key], views: list[UnitView], stored: Mapping[int, StoredBlock]) -> BlockRows:
    # A stored row is never longer than the roster: positions are append-only. A view that was loaded before the
    # roster grew must not cut it.
    sizes = [max(view.size, len(stored[r].quality) if r in stored else 0) for r, view in enumerate(views)]
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    total = int(starts[-1])
    found = [stored.get(r) for r in range(len(keys))]
    return BlockRows(
        unit_id=np.array([key[0] for key in keys], np.int32),
        interval_s=np.array([0 if s is None else s.interval_s for s in found], np.int32),
        version=np.array([0 if s is None else s.version for s in found], np.int32),
        observed_at_us=np.array([key[1] for key in keys], np.int64),
        received_at_us=np.array([0 if s is None else s.received_at_us for s in found], np.int64),
        prior_status=np.array([-1 if s is None else s.status for s in found], np.int8),
        starts=starts,
        sequence=np.full(total, -1, np.int64),
        import_wh=np.full(total, MISSING_WH, np.int64),
        export_wh=np.full(total, MISSING_WH, np.int64),
        loss_wh=np.full(total, MISSING_WH, np.int64),
        voltage_dv=np.full(total, MISSING_DV, np.int16),
        quality=np.full(total, Quality.MISSING, np.uint8),
    )


def _place(rows: BlockRows, r: int, stored: StoredBlock) -> None:
    sequence, import_wh, export_wh, loss_wh, voltage_dv, quality = rows.members(r)
    n = len(stored.quality)
    sequence[:n] = stored.sequence
    import_wh[:n] = stored.import_wh
    export_wh[:n] = stored.export_wh
    if stored.loss_wh is not None:
        loss_wh[:n] = stored.loss_wh
    if stored.voltage_dv is not None:
        voltage_dv[:n] = stored.voltage_dv
    quality[:n] = stored.quality


def _balance(rows: BlockRows, views: list[UnitView]) -> Balance:
    total = int(rows.starts[-1])
    role = np.zeros(total, np.uint8)
    multiplier = np.ones(total, np.int64)
    accuracy_class = np.zeros(total, np.float64)
    for r, view in enumerate(views):
        roster = view.roster(int(rows.observed_at_us[r]))
        part = slice(int(rows.starts[r]), int(rows.starts[r]) + len(roster))
        role[part] = roster.role
        multiplier[part] = roster.multiplier
        accuracy_class[part] = roster.accuracy_class
    return line_loss(rows.starts, rows.import_wh, rows.export_wh, rows.loss_wh, multiplier, role, accuracy_class)


def _results(
    rows: BlockRows, balance: Balance, changed: NDArray[np.bool_], refigured: NDArray[np.bool_]
) -> BalanceRows:
    complete = balance.coverage == 1.0
    published = rows.prior_status >= Status.FINAL
    status = np.where(complete, np.int8(Status.FINAL), np.int8(Status.PROVISIONAL))
    # A final figure that is only confirmed stays what it is.
    status = np.where(published, np.where(refigured, np.int8(Status.RESTATED), rows.prior_status), status)
    return BalanceRows(
        inflow_wh=balance.inflow_wh,
        outflow_wh=balance.outflow_wh,
        loss_wh=balance.loss_wh,
        members_loss_wh=balance.members_loss_wh,
        sigma_wh=balance.sigma_wh,
        coverage=np.nan_to_num(balance.coverage),
        status=np.where(changed, status, np.maximum(rows.prior_status, 0)).astype(np.int8),
        # Until missing members are estimated, loss is only stated where every member is there.
        computable=complete & balance.gateways_complete,
    )


def _upwards(
    rows: BlockRows, views: list[UnitView], balance: Balance, results: BalanceRows, changed: NDArray[np.bool_]
) -> list[UnitEnergies]:
    by_parent: dict[str, list[int]] = {}
    for r, view in enumerate(views):
        if not changed[r] and not rows.version[r]:
            continue  # none of its readings was a member's: there is no row
        for parent in view.parents_at(int(rows.observed_at_us[r])):
            by_parent.setdefault(parent.parent, []).append(r)
    loss_below = balance.loss_wh + balance.members_loss_wh
    known = balance.gateways_complete & _is_sound(balance.taken_wh) & _is_sound(balance.returned_wh)
    loss_below = np.where(results.computable & known & _is_sound(loss_below), loss_below, MISSING_WH)
    taken = np.where(known, balance.taken_wh, MISSING_WH)
    returned = np.where(known, balance.returned_wh, MISSING_WH)
    revision = rows.version.astype(np.int64) + changed
    messages = []
    for code, indexes in by_parent.items():
        at = np.array(indexes)
        messages.append(
            UnitEnergies(
                parent=code,
                child_id=rows.unit_id[at],
                observed_at_us=rows.observed_at_us[at],
                interval_s=rows.interval_s[at],
                received_at_us=rows.received_at_us[at],
                revision=revision[at],
                taken_wh=taken[at],
                returned_wh=returned[at],
                loss_wh=loss_below[at],
                quality=np.where(known[at], np.uint8(0), np.uint8(Quality.MISSING)),
            )
        )
    return messages


def _is_sound(energy_wh: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray((energy_wh <= MAX_UNIT_ENERGY_WH) & (energy_wh >= -MAX_UNIT_ENERGY_WH))


def _take_rows(rows: BlockRows, keep: NDArray[np.intp]) -> BlockRows:
    sizes = np.diff(rows.starts)[keep]
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    members = np.repeat(rows.starts[keep] - starts[:-1], sizes) + np.arange(starts[-1])
    return BlockRows(
        unit_id=rows.unit_id[keep],
        interval_s=rows.interval_s[keep],
        version=rows.version[keep],
        observed_at_us=rows.observed_at_us[keep],
        received_at_us=rows.received_at_us[keep],
        prior_status=rows.prior_status[keep],
        starts=starts,
        sequence=rows.sequence[members],
        import_wh=rows.import_wh[members],
        export_wh=rows.export_wh[members],
        loss_wh=rows.loss_wh[members],
        voltage_dv=rows.voltage_dv[members],
        quality=rows.quality[members],
    )


def _take_balances(balances: BalanceRows, keep: NDArray[np.intp]) -> BalanceRows:
    return BalanceRows(**{name: getattr(balances, name)[keep] for name in BalanceRows.__dataclass_fields__})
