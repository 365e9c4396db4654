"""Which transformer and which phase a meter hangs on, by its voltage, and by its energy where that is known; and the
fewest moves that mend two areas.

What is switched in an area moves the voltage of its phase behind its transformer, for all who hang there, more the
longer the cable that they share. The voltages of a neighbourhood are reduced to a few factors, in which noise of single
readings hardly counts, and a meter belongs to the group among whose members it lies most likely
(`kernels.voltage_factors`). What energies say (`kernels.association_energy`) is evidence by itself; it also tells most
groups' members, to whom a meter that counts nothing can be compared. Described in docs/explanation/association.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from kernels.voltage_factors import Factors, group_fit, voltage_factors

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Of the method; another one may say another thing of the same voltages.
VERSION = 3
#: Rounds in which groups are made anew of the meters that belong to them, and the log-likelihood that moves a meter.
_ROUNDS, _MOVED = 6, 1.0
#: Standard deviations from which on a record is doubted.
SURE = 3.6
#: From this logarithm of a likelihood ratio on energies alone tell where a column is; and the most that voltages weigh.
_DECIDED, _MOST_BY_VOLTAGE = 20.0, 12.0
#: What energies say counts in full so far, as noise of that size is known; part of what is beyond that counts: there it
#: rests on the model, and times that follow each other aren't independent.
_IN_FULL, _OF_ENERGY = 5.0, 0.1
#: Where voltages say by so much that the record is right, energies alone don't make it doubted of one who goes in step
#: with another: they may stand for each other.
_AGAINST = 3.0
#: Fewer readings say nothing.
LEAST_SAMPLES = 96
#: Most meters that are moved at once, and most candidates of which sets are tried.
_MOST_MOVES, _MOST_CANDIDATES = 4, 24


@dataclass(frozen=True, slots=True, eq=False)
class Association:
    """What voltages say of meters; arrays of shape (meters,).

    Attributes
    ----------
    group
        int64: group that each goes with most; the recorded one where nothing can be told.
    own, best
        Correlation with the mean of the recorded group, without the meter itself, and with that of `group`, what all
        groups share taken away; NaN = can't be told.
    samples
        int64: readings that these rest on.
    sure
        Standard deviations by which `group` is surer than the recorded one: the root of twice the logarithm of the
        likelihood ratio.
    doubted
        `group` isn't the recorded one, and that is sure.
    """

    group: Integers
    own: Floats
    best: Floats
    samples: Integers
    sure: Floats
    doubted: NDArray[np.bool_]


def voltage_association(
    voltage_v: Floats,
    group: Integers,
    candidate: NDArray[np.bool_],
    slots: int,
    certain: NDArray[np.bool_] | None = None,
    limit: float = SURE,
    area: Integers | None = None,
    by_energy: Floats | None = None,
    in_step: NDArray[np.bool_] | None = None,
) -> Association:
    """Find each meter's group.

    Parameters
    ----------
    voltage_v
        float64 (times, meters), at equal distances; NaN = missing. Single-phase meters; a three-phase meter is three
        columns.
    group
        int64 (meters,): the recorded group, an area's phase, 0 … groups − 1.
    candidate
        bool (groups, groups): which groups a meter recorded in one may belong to; its own always.
    slots
        Readings in a day; a meter with fewer in all says nothing.
    certain
        bool (meters,): columns that stay where they are recorded, such as those of a master meter.
    limit
        Standard deviations from which on a record is doubted.
    area
        int64 (groups,): what each group is a phase of; phases of an area share what is known of how their meters
        scatter. By default each group is by itself.
    by_energy
        float64 (meters, groups): log-likelihood by what was counted, 0 where it is greatest; −inf = not asked. By
        default nothing is known of it.
    in_step
        bool (meters,): what is counted goes up and down with what another one counts. By default that may be so of any.

    Raises
    ------
    ValueError
        When shapes differ or a group doesn't exist.
    """
    meters = voltage_v.shape[1]
    groups = len(candidate)
    if group.shape != (meters,) or candidate.shape != (groups, groups):
        raise ValueError(f"group has shape {group.shape}, candidate {candidate.shape}, voltage_v {voltage_v.shape}")
    if meters and not 0 <= group.min() <= group.max() < groups:
        raise ValueError("a meter's group doesn't exist")
    certain = np.zeros(meters, np.bool_) if certain is None else certain
    deviation, known = _without_mean(voltage_v)
    samples = known.sum(axis=0).astype(np.int64)
    seen = ~certain & (samples >= max(LEAST_SAMPLES, slots))
    allowed = candidate | np.eye(groups, dtype=np.bool_)
    group = group.astype(np.int64)
    area = np.arange(groups) if area is None else area
    each = np.arange(meters)
    start, decided = group, np.zeros(meters, np.bool_)
    if by_energy is not None:
        if by_energy.shape != (meters, groups):
            raise ValueError(f"by_energy has shape {by_energy.shape}, not {(meters, groups)}")
        decided = ~certain & ((by_energy > -_DECIDED).sum(axis=1) == 1)
        start = np.where(decided, by_energy.argmax(axis=1), group)
    fit, correlation = _fit(deviation, known, group, start, allowed, seen, ~decided, area)
    judged = seen
    against = np.zeros(meters, np.bool_)
    if by_energy is not None:
        by_voltage = fit
        fit = _together(fit, by_energy, allowed[group])
        found = np.where(np.isfinite(fit).any(axis=1), fit.argmax(axis=1), group)
        with np.errstate(invalid="ignore"):
            against = by_voltage[each, group] - by_voltage[each, found] > _AGAINST
        against &= True if in_step is None else in_step
        judged = seen | (~certain & ((by_energy < 0.0) & np.isfinite(by_energy)).any(axis=1))
    best = np.where(np.isfinite(fit).any(axis=1), fit.argmax(axis=1), group)
    told = judged & np.isfinite(fit[each, best])
    own = fit[each, group]
    # A recorded group of which there is nobody else can't be compared: that is no evidence against the record.
    with np.errstate(invalid="ignore"):
        apart = np.where(told & np.isfinite(own), fit[each, best] - own, 0.0)
    sure = np.sqrt(2.0 * np.maximum(apart, 0.0))
    return Association(
        best,
        np.where(told, correlation[each, group], np.nan),
        np.where(told, correlation[each, best], np.nan),
        samples,
        sure,
        (best != group) & (sure >= limit) & ~against,
    )


def _without_mean(voltage_v: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Deviations from each column's mean, 0 where missing; what is there."""
    known = np.isfinite(voltage_v)
    values = np.where(known, voltage_v, 0.0)
    mean = values.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, values - mean, 0.0), known


def _together(by_voltage: Floats, by_energy: Floats, allowed: NDArray[np.bool_]) -> Floats:
    """Log-likelihood by both: voltages, which a cable shares, say so much at most; energies in full only so far."""
    known = np.isfinite(by_voltage)
    highest = np.where(known, by_voltage, -np.inf).max(axis=1, keepdims=True)
    seen = known.any(axis=1, keepdims=True)
    voltage = np.where(seen, np.maximum(by_voltage - np.where(seen, highest, 0.0), -_MOST_BY_VOLTAGE), 0.0)
    energy = np.maximum(by_energy, -_IN_FULL) + _OF_ENERGY * np.minimum(by_energy + _IN_FULL, 0.0)
    return np.where(allowed & np.isfinite(by_energy), voltage + energy, -np.inf)


def _fit(
    deviation: Floats,
    known: NDArray[np.bool_],
    recorded: Integers,
    start: Integers,
    allowed: NDArray[np.bool_],
    judged: NDArray[np.bool_],
    movable: NDArray[np.bool_],
    area: Integers,
) -> tuple[Floats, Floats]:
    """Log-likelihood and correlation of every column with every group, (columns, groups); −inf, NaN = not asked.

    `start` is where columns stand at first; what isn't movable stays there.
    """
    shape = (len(recorded), len(allowed))
    fit, correlation = np.full(shape, -np.inf), np.full(shape, np.nan)
    for near in np.unique(allowed[recorded[judged]], axis=0):
        groups = np.flatnonzero(near)
        columns = np.flatnonzero(near[start])
        asked = np.flatnonzero(judged[columns] & (allowed[recorded[columns]] == near).all(axis=1))
        some = voltage_factors(deviation[:, columns], known[:, columns])
        at = _settled(some, start[columns], np.flatnonzero((judged & movable)[columns]), area, groups)
        now, along = group_fit(some, at, area, groups, asked)
        fit[np.ix_(columns[asked], groups)], correlation[np.ix_(columns[asked], groups)] = now, along
    return fit, correlation


def _settled(some: Factors, recorded: Integers, judged: Integers, area: Integers, groups: Integers) -> Integers:
    """Group of each column when those that clearly go with another have been moved, some rounds long."""
    at = recorded
    each = np.arange(len(judged))
    for _ in range(_ROUNDS):
        fit, _ = group_fit(some, at, area, groups, judged)
        here = np.searchsorted(groups, at[judged])
        best = fit.argmax(axis=1)
        # Nobody moves away from a group in which nobody else is, as there is nothing to compare with.
        stays = ~np.isfinite(fit[each, here]) | (fit[each, best] <= fit[each, here] + _MOVED)
        moved = at.copy()
        moved[judged] = np.where(stays, at[judged], groups[best])
        if np.array_equal(moved, at):
            break
        at = moved
    return at


@dataclass(frozen=True, slots=True)
class Repair:
    """Moves that mend two areas.

    Attributes
    ----------
    to_second, to_first
        Positions of the meters of the first area that belong to the second, and the other way round.
    before_wh, after_wh
        Sum of the loss beyond what is expected, of the first and the second area.
    left
        Share of the sum of squares that the moves leave.
    runner_up
        The same of the best other set of as many meters; 1 where there is none.
    """

    to_second: tuple[int, ...]
    to_first: tuple[int, ...]
    before_wh: tuple[float, float]
    after_wh: tuple[float, float]
    left: float
    runner_up: float


def paired_repair(
    first_loss_wh: Floats, second_loss_wh: Floats, first_wh: Floats, second_wh: Floats, gain: float = 0.02
) -> Repair:
    """The smallest set of moves between two areas that explains both losses.

    Parameters
    ----------
    first_loss_wh, second_loss_wh
        float64 (intervals,): loss beyond what is expected (technical loss and what is usual); NaN = not known.
    first_wh, second_wh
        float64 (meters, intervals): use of the meters recorded in each; NaN = missing, taken as the meter's mean.
    gain
        A larger set is taken when each meter more leaves less by this share of the sum of squares before any move.

    Notes
    -----
    A meter that is recorded in the first area and hangs on the second makes the loss of the first too low by what it
    counts and that of the second too high by as much, interval by interval. All sets of up to two meters are tried
    exactly on the sums of products; larger ones among the 24 meters that explain most alone or with one other.
    """
    known = np.isfinite(first_loss_wh) & np.isfinite(second_loss_wh)
    if not known.any():
        raise ValueError("no interval has both losses")
    loss = np.concatenate([first_loss_wh[known], second_loss_wh[known]])
    use = np.concatenate([_filled(first_wh[:, known]), -_filled(second_wh[:, known])])
    # Moving a meter adds its use to the loss of the area that it leaves and takes it from the other's.
    effect = np.concatenate([use, -use], axis=1)
    products, along = effect @ effect.T, effect @ loss
    start = float(loss @ loss)
    square = np.diag(products)
    alone = square + 2 * along
    count = len(effect)
    chosen: tuple[int, ...] = ()
    least, runner_up = 0.0, 0.0
    # A meter may be wrong alone and right together with the one that it was exchanged for.
    together = np.where(np.eye(count, dtype=np.bool_), alone, alone[:, None] + alone + 2 * products)
    for size in range(1, min(_MOST_MOVES, count) + 1):
        some = np.arange(count) if size <= 2 else np.sort(np.argsort(together.min(axis=1))[:_MOST_CANDIDATES])
        best, second, who = _best_set(products, along, some, size)
        if best < least - gain * start * (size - len(chosen)):
            chosen, least, runner_up = who, best, second
    mended = loss + effect[list(chosen)].sum(axis=0)
    half = len(loss) // 2
    size = len(first_wh)
    return Repair(
        tuple(m for m in chosen if m < size),
        tuple(m - size for m in chosen if m >= size),
        (float(loss[:half].sum()), float(loss[half:].sum())),
        (float(mended[:half].sum()), float(mended[half:].sum())),
        (start + least) / start if start > 0 else 1.0,
        (start + runner_up) / start if start > 0 and np.isfinite(runner_up) else 1.0,
    )


def _filled(use_wh: Floats) -> Floats:
    known = np.isfinite(use_wh)
    mean = np.where(known, use_wh, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.where(known, use_wh, mean[:, None])


def _best_set(products: Floats, along: Floats, some: Integers, size: int) -> tuple[float, float, tuple[int, ...]]:
    """Least change of the sum of squares by a set of `size` meters among `some`, the second least, and the set."""
    alone = np.diag(products) + 2 * along
    if size == 1:
        change = alone[some]
        order = np.argsort(change)
        second = float(change[order[1]]) if len(order) > 1 else np.inf
        return float(change[order[0]]), second, (int(some[order[0]]),)
    if size == 2:
        i, j = np.triu_indices(len(some), 1)
        change = alone[some[i]] + alone[some[j]] + 2 * products[some[i], some[j]]
        order = np.argsort(change)[:2]
        second = float(change[order[1]]) if len(order) > 1 else np.inf
        return float(change[order[0]]), second, (int(some[i[order[0]]]), int(some[j[order[0]]]))
    sets = np.array(list(combinations(range(len(some)), size)))
    change = alone[some[sets]].sum(axis=1)
    for a, b in combinations(range(size), 2):
        change += 2 * products[some[sets[:, a]], some[sets[:, b]]]
    order = np.argsort(change)[:2]
    second = float(change[order[1]]) if len(order) > 1 else np.inf
    return float(change[order[0]]), second, tuple(int(m) for m in some[sets[order[0]]])
