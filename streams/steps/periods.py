"""Sums of days and months, with what of them was published when.

A period's figures at an instant are sums over what had been published of its intervals by then. Its revisions follow
from the intervals', from the limits and from the thresholds, and from nothing else: neither the order in which rows
were written nor when anybody looked makes a difference.

A period is first published when its intervals are final and cover it, or at the provisional limit after its end; then
each change of a figure is a revision. It is final once its intervals are final and cover it, or at the final limit, and
each later change restates it. Months are sums of days by the same rules.

The error of a sum: what intervals share, as the class of a meter, adds up linearly, of imports and of exports apart:
they have gains and times of day of their own. What is random adds up as variances. What one interval takes the next
gives back, as the step of a register, remains at the two ends of each unbroken run.

A class rests on the intervals that were measured well enough for one (`grid.period.judged_of`).
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.limits import Limits
from grid.loss_class import LossReason
from grid.period import (
    COUNTS,
    ENERGIES,
    JUDGED,
    SIGMAS,
    TECHNICAL,
    UNPUBLISHED_US,
    PeriodKeys,
    PeriodRows,
    Pieces,
    judge,
)
from grid.rows import NEVER_US, Status
from grid.thresholds import Bounds, Thresholds

_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class PeriodRules:
    """What periods are judged by.

    Attributes
    ----------
    limits
        How long a period stays open after its end, as an interval does.
    thresholds
        Limits of the loss rate.
    min_share
        Part of a period that must be covered for its loss to be computable, in (0, 1].
    """

    limits: Limits
    thresholds: Thresholds
    min_share: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.min_share <= 1:
            raise ValueError(f"a share of {self.min_share} of a period")


@dataclass(frozen=True, slots=True)
class _Dates:
    """When a period's revisions are due: first one, final one, and its final limit."""

    first_us: int
    final_us: int
    due_us: int


def fold_periods(keys: PeriodKeys, pieces: Pieces, rules: PeriodRules, until_us: int) -> PeriodRows:
    """All revisions of some periods; of one that isn't published yet its figures so far, as revision 0.

    Parameters
    ----------
    pieces
        All published versions of the periods' pieces.
    until_us
        Limits up to this instant have passed.
    """
    limits = [rules.limits.of(kind) for kind in keys.unit_kind]
    bounds = np.searchsorted(pieces.period, np.arange(len(keys) + 1))
    first_version, new_figures = _changes(pieces)
    of_period: list[int] = []
    at: list[int] = []
    dates: list[_Dates] = []
    chosen: list[NDArray[np.intp]] = []
    used: list[NDArray[np.intp]] = []
    for p in range(len(keys)):
        span = slice(int(bounds[p]), int(bounds[p + 1]))
        end_us = int(keys.end_us[p])
        expected_s = (end_us - int(keys.begin_us[p])) // _SECOND_US
        complete_us = max(end_us, _complete_us(pieces, span, first_version, expected_s))
        early_us, late_us = (end_us + s * _SECOND_US for s in (limits[p].provisional_s, limits[p].final_s))
        when = _when(complete_us, early_us, late_us, until_us)
        moments = [UNPUBLISHED_US]
        if when.first_us != UNPUBLISHED_US:
            changes = pieces.published_us[span][new_figures[span]]
            more = {*changes.tolist(), *_judged_us(rules, keys, p), when.final_us}
            moments = [when.first_us, *sorted(t for t in more if when.first_us < t < UNPUBLISHED_US)]
        for moment in moments:
            versions = _versions_at(pieces, span, first_version, moment)
            of_period.append(p)
            at.append(moment)
            dates.append(when)
            summed = _summed(pieces, versions, expected_s)
            # What isn't computable says why; what stands for the whole speaks only where it does.
            parts = versions[~pieces.whole[versions]]
            chosen.append(np.concatenate((parts, summed[pieces.whole[summed]])))
            used.append(summed)
    figures = _figures(pieces, chosen, used)
    _classify(figures, keys, rules, of_period, at)
    return _revisions(figures, np.array(of_period, np.int64), np.array(at, np.int64), dates)


def _changes(pieces: Pieces) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which versions are the first of their piece, and which have other figures than the one before."""
    first = np.ones(len(pieces), np.bool_)
    new = first.copy()
    first[1:] = _differ((pieces.period, pieces.begin_us, pieces.end_us))
    columns = (*ENERGIES, *COUNTS, *JUDGED, *TECHNICAL, *SIGMAS, "reasons", "from_us", "to_us")
    new[1:] = first[1:] | _differ(tuple(getattr(pieces, name) for name in columns))
    return first, new


def _differ(columns: tuple[NDArray[np.generic], ...]) -> NDArray[np.bool_]:
    """Which rows but the first differ from the one before; NaN is as good as NaN."""
    differ = np.zeros(max(0, len(columns[0]) - 1), np.bool_)
    for column in columns:
        here, before = column[1:], column[:-1]
        differ |= (here != before) & ~((here != here) & (before != before))  # noqa: PLR0124  # NaN alone
    return differ


def _when(complete_us: int, early_us: int, late_us: int, until_us: int) -> _Dates:
    if complete_us != UNPUBLISHED_US:
        until_us = max(until_us, complete_us)  # what made it complete has happened: limits before that have passed
    final_us = min(complete_us, late_us)
    if final_us > until_us:
        final_us = UNPUBLISHED_US
    first_us = min(early_us, final_us)
    if first_us > until_us:
        first_us = UNPUBLISHED_US
    due_us = early_us if first_us == UNPUBLISHED_US else late_us if final_us == UNPUBLISHED_US else NEVER_US
    return _Dates(first_us, final_us, due_us)


def _complete_us(pieces: Pieces, span: slice, first_version: NDArray[np.bool_], expected_s: int) -> int:
    """When those of its pieces that were final by then covered a period for the first time."""
    starts = np.flatnonzero(first_version[span] & ~pieces.whole[span])
    if not len(starts):
        return UNPUBLISHED_US
    there = ~pieces.whole[span]
    final_us = np.where(pieces.final[span] & there, pieces.published_us[span], UNPUBLISHED_US)
    # A piece that stands for the whole follows the others of its end, and may share their segment: it is never final.
    of_piece = np.minimum.reduceat(final_us, starts)
    begin_us, end_us = pieces.begin_us[span][starts], pieces.end_us[span][starts]
    done = np.sort(of_piece)
    union_us = _union_us(begin_us, end_us)
    if union_us < expected_s * _SECOND_US:
        return UNPUBLISHED_US
    if union_us == int(np.sum(end_us - begin_us)) == expected_s * _SECOND_US:
        return int(done[-1])  # each is needed
    low, high = 0, len(done) - 1
    while low < high:
        middle = (low + high) // 2
        known = of_piece <= done[middle]
        if _union_us(begin_us[known], end_us[known]) >= expected_s * _SECOND_US:
            high = middle
        else:
            low = middle + 1
    return int(done[low])


def _union_us(begin_us: NDArray[np.int64], end_us: NDArray[np.int64]) -> int:
    """Time that is covered by pieces at least once."""
    order = np.argsort(begin_us, kind="stable")
    begin_us, end_us = begin_us[order], np.maximum.accumulate(end_us[order])
    before_us = np.concatenate((begin_us[:1], end_us[:-1]))
    return int(np.sum(np.maximum(0, end_us - np.maximum(begin_us, before_us))))


def _judged_us(rules: PeriodRules, keys: PeriodKeys, p: int) -> list[int]:
    return rules.thresholds.recorded_us(keys.unit_kind[p], int(keys.begin_us[p]), keys.medium_voltage_v[p])


def _versions_at(pieces: Pieces, span: slice, first_version: NDArray[np.bool_], at_us: int) -> NDArray[np.intp]:
    """The last version of each piece that was published by then."""
    if span.start == span.stop:
        return np.empty(0, np.intp)
    numbers = np.where(pieces.published_us[span] <= at_us, np.arange(span.start, span.stop), -1)
    last = np.maximum.reduceat(numbers, np.flatnonzero(first_version[span]))
    return last[last >= 0]


def _summed(pieces: Pieces, versions: NDArray[np.intp], expected_s: int) -> NDArray[np.intp]:
    """Those that are summed: none twice, and the one that stands for the whole where the others don't cover it."""
    there = versions[pieces.covered_s[versions] > 0]
    whole = pieces.whole[there]
    parts = there[~whole]
    begin_us, end_us = pieces.begin_us[parts], pieces.end_us[parts]
    if np.any(begin_us[1:] < end_us[:-1]):
        parts = parts[_without_overlap(begin_us.tolist(), end_us.tolist())]
    if np.any(whole) and int(pieces.covered_s[parts].sum()) < expected_s:
        return there[whole][-1:]
    return parts


def _without_overlap(begin_us: list[int], end_us: list[int]) -> list[int]:
    """Numbers of pieces, sorted by their ends, that cover the most time without overlap; of equals the shorter ones.

    Intervals of several lengths may stand side by side, as a meter's and a substitute's. Weighted interval scheduling:
    Kleinberg and Tardos, Algorithm Design, 6.1.
    """
    best = [0]
    take: list[int | None] = []
    for i, (begin, end) in enumerate(zip(begin_us, end_us, strict=True)):
        before = bisect_right(end_us, begin, 0, i)
        with_it = best[before] + end - begin
        take.append(before if with_it > best[-1] else None)
        best.append(max(best[-1], with_it))
    kept = []
    i = len(take)
    while i:
        before_it = take[i - 1]
        if before_it is None:
            i -= 1
        else:
            kept.append(i - 1)
            i = before_it
    return kept[::-1]


def _figures(pieces: Pieces, chosen: list[NDArray[np.intp]], used: list[NDArray[np.intp]]) -> dict[str, NDArray[Any]]:
    """Sums of each selection."""
    flat = np.concatenate(used) if used else np.empty(0, np.intp)
    starts = np.concatenate(([0], np.cumsum([len(u) for u in used], dtype=np.intp)))
    figures: dict[str, NDArray[Any]] = {
        name: _by_segment(np.add, getattr(pieces, name)[flat], starts)
        for name in (*ENERGIES, *COUNTS, *JUDGED, *TECHNICAL)
    }
    opening, closing, ends, sigma, shared, exported, judged = (getattr(pieces, name)[flat] ** 2 for name in _SQUARED)
    inner = ends - opening - closing
    inner[inner < 1e-9 * ends] = 0.0  # an interval has none but what rounding leaves
    is_first, is_last = np.zeros(len(flat), np.bool_), np.zeros(len(flat), np.bool_)
    some = starts[1:] > starts[:-1]
    for name in TECHNICAL:
        figures[name][~some] = np.nan
    is_first[starts[:-1][some]] = True
    is_last[starts[1:][some] - 1] = True
    follows = np.zeros(len(flat), np.bool_)
    follows[1:] = (pieces.from_us[flat][1:] == pieces.to_us[flat][:-1]) & ~is_first[1:]
    followed = np.concatenate((follows[1:], [False])) if len(flat) else follows
    ends_left = inner + np.where(follows, 0.0, opening) + np.where(followed, 0.0, closing)
    ends_wh2 = _by_segment(np.add, ends_left, starts)
    random_wh2 = _by_segment(np.add, np.maximum(0.0, sigma - shared - ends), starts)
    imported_wh = _by_segment(np.add, np.sqrt(np.maximum(0.0, shared - exported)), starts)
    figures["export_sigma_wh"] = _by_segment(np.add, np.sqrt(exported), starts)
    figures["systematic_sigma_wh"] = np.hypot(imported_wh, figures["export_sigma_wh"])
    figures["judged_random_sigma_wh"] = np.sqrt(_by_segment(np.add, judged, starts))
    figures["ends_sigma_wh"] = np.sqrt(ends_wh2)
    figures["sigma_wh"] = np.sqrt(figures["systematic_sigma_wh"] ** 2 + random_wh2 + ends_wh2)
    figures["opening_sigma_wh"] = np.sqrt(_by_segment(np.add, np.where(is_first, opening, 0.0), starts))
    figures["closing_sigma_wh"] = np.sqrt(_by_segment(np.add, np.where(is_last, closing, 0.0), starts))
    figures["from_us"] = np.where(some, _by_segment(np.minimum, pieces.from_us[flat], starts), NEVER_US)
    figures["to_us"] = np.where(some, _by_segment(np.maximum, pieces.to_us[flat], starts), NEVER_US)
    all_starts = np.concatenate(([0], np.cumsum([len(c) for c in chosen], dtype=np.intp)))
    reasons = pieces.reasons[np.concatenate(chosen)] if chosen else np.empty(0, np.int64)
    figures["reasons"] = _by_segment(np.bitwise_or, reasons, all_starts)
    return figures


_SQUARED = (
    *("opening_sigma_wh", "closing_sigma_wh", "ends_sigma_wh", "sigma_wh", "systematic_sigma_wh", "export_sigma_wh"),
    "judged_random_sigma_wh",
)


def _by_segment(reduce: np.ufunc, values: NDArray[Any], starts: NDArray[np.intp]) -> NDArray[Any]:
    """Values of each segment taken together; 0 of an empty one."""
    result = np.zeros(len(starts) - 1, values.dtype)
    some = starts[1:] > starts[:-1]
    if np.any(some):
        result[some] = reduce.reduceat(values, starts[:-1][some])
    return result


def _classify(
    figures: dict[str, NDArray[Any]], keys: PeriodKeys, rules: PeriodRules, of_period: list[int], at: list[int]
) -> None:
    expected_s = (keys.end_us - keys.begin_us) // _SECOND_US
    computable = figures["covered_s"].astype(np.float64) >= rules.min_share * expected_s[of_period]
    computable &= figures["covered_s"] > 0
    # What was known when decides, and that changes rarely.
    recorded = sorted({t.recorded_us for t in rules.thresholds.of_kind})
    known = [Thresholds(), *(rules.thresholds.known_at(r) for r in recorded)]
    limits = [
        known[bisect_right(recorded, t)].at(keys.unit_kind[p], int(keys.begin_us[p]), keys.medium_voltage_v[p])
        for p, t in zip(of_period, at, strict=True)
    ]
    # An interval that isn't summed may have lacked its technical loss too.
    figures["reasons"] &= ~int(LossReason.NO_TECHNICAL)
    figures["computable"] = computable
    classes, reasons = judge(Bounds.of(limits), figures, expected_s[of_period])
    reasons |= np.where(np.isnan(figures["technical_wh"]), int(LossReason.NO_TECHNICAL), 0)
    figures |= {"loss_class": classes.astype(np.int64), "reasons": reasons}


def _revisions(
    figures: dict[str, NDArray[Any]], period: NDArray[np.int64], at_us: NDArray[np.int64], dates: list[_Dates]
) -> PeriodRows:
    """Those of the states that say something new, numbered."""
    final_us = np.array([when.final_us for when in dates], np.int64)
    kept = np.ones(len(period), np.bool_)
    kept[1:] = _differ((period, *figures.values())) | (at_us[1:] == final_us[1:])
    period, at_us, final_us = period[kept], at_us[kept], final_us[kept]
    due_us = np.array([when.due_us for when in dates], np.int64)[kept]
    size = len(period)
    is_first = np.ones(size, np.bool_)
    is_first[1:] = period[1:] != period[:-1]
    is_last = np.concatenate((is_first[1:], [True]))[:size]
    published = at_us != UNPUBLISHED_US
    since = np.maximum.accumulate(np.where(is_first, np.arange(size), 0))
    status = np.where(at_us < final_us, Status.PROVISIONAL, np.where(at_us == final_us, Status.FINAL, Status.RESTATED))
    until_us = np.full(size, NEVER_US, np.int64)
    until_us[:-1] = np.where(is_last[:-1], NEVER_US, at_us[1:])
    return PeriodRows(
        period=period,
        revision=np.where(published, np.arange(size) - since + 1, 0),
        status=np.where(published, status, Status.PROVISIONAL).astype(np.int64),
        published_us=np.where(published, at_us, NEVER_US),
        until_us=until_us,
        due_us=np.where(is_last, due_us, NEVER_US),
        figures={name: column[kept] for name, column in figures.items()},
    )
