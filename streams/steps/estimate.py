"""Estimates of readings that are missing when a limit passes, as contributions to their units' rows; pure.

At the provisional limit only what lies before an interval is known, at the final one both sides are. An estimate rests
on what was measured and known by the limit, and on no other estimate, so it is the same whenever it is made. It is a
contribution of the limit's own instant, of a rank below all that is measured: a reading that comes later takes its
place.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np
from numpy.typing import NDArray

from grid.history import Past
from grid.model import MAX_ENERGY_WH
from grid.quality import MISSING_WH
from kernels.estimation import estimate_missing
from kernels.estimation_lasting import Lasting, lasting
from kernels.estimation_model import Model
from streams.steps.contribution import Contribution, Key
from streams.steps.estimate_gateway import from_customers
from streams.steps.estimate_generation import from_others
from streams.steps.gap import Filled, Gap, contribution_of

#: Kinds of estimates, and values that nothing was known of.
KINDS = ("online", "offline", "unknown")

#: Days whose same slots are looked at, before the interval and, offline, after it.
_BEFORE, _AROUND = range(-14, 0), (*range(-10, 0), *range(1, 5))
#: Intervals before and after one that are looked at to see how long a gap is.
_REACH = (*range(1, 9), 12, 16, 24, 32, 48)
#: So many of them on either side are of one kind with it.
_NEAR = 4
#: Fewer values at the slot and beside it are no history.
_LEAST = 3
#: Intervals of nothing that keep what isn't adjacent in time apart.
_APART = 16
_MODEL = Model(days=14)
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Contributions that hold estimates, and how many values there were by kind: online, offline, unknown."""

    contributions: list[Contribution]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """Intervals that a value is estimated from, in order of time; ends of 0 keep days apart and hold nothing."""

    end_us: tuple[int, ...]
    slot: NDArray[np.int64]
    day_type: NDArray[np.int64]
    target: int
    other_days: NDArray[np.bool_]
    """Which columns are of other days."""
    days_us: tuple[tuple[int, ...], ...]
    """Ends of the intervals of other days, by day, and of those next to it on its own."""
    beside_us: tuple[tuple[int, ...], tuple[int, ...]]
    """Ends of the intervals of `_REACH` before and, offline, after it."""
    of_days: NDArray[np.int64]
    """Columns of other days, three a day; shape (days, 3)."""


def rows_for(gaps: Iterable[Gap], zone: tzinfo) -> list[Key]:
    """Keys of the rows that estimates for the gaps rest on, in order."""
    keys = set()
    for gap in gaps:
        columns = _columns(gap.observed_at_us, gap.interval_s, zone, gap.final)
        ends = {*columns.end_us, *columns.beside_us[0], *columns.beside_us[1]} - {0, gap.observed_at_us}
        keys |= {(gap.view.unit_id, end_us, gap.interval_s) for end_us in ends}
    return sorted(keys)


def estimate(gaps: Sequence[Gap], past: Mapping[Key, Past], zone: tzinfo) -> Made:
    """Estimates for the gaps, one contribution each; a member without history stays missing.

    Parameters
    ----------
    past
        Rows of `rows_for(gaps)`, as far as there are any.
    zone
        The utility's time zone: slots and kinds of days are local.

    Notes
    -----
    Errors inside a gap hang together (`kernels.estimation_errors`), and periods add up the variances of their
    intervals. So beside a value's own variance stands what is lacking to its covariance with the sum of its gap: over
    the gap both together add up to the sum's variance. An estimate of the provisional limit takes twice the share of
    what came before it instead, which adds up to the same as the gap grows. A gap isn't cut at midnight: what its parts
    share counts in both days, and once in their sum.
    """
    contributions = []
    counts = dict.fromkeys(KINDS, 0)
    for gap in gaps:
        if gap.is_off:
            size = len(gap.positions)
            counts["offline" if gap.final else "online"] += size
            none, step = np.zeros(size, np.int64), np.ones(size, np.int64)
            contributions.append(contribution_of(gap, Filled(none, none, step, none), np.ones(size, np.bool_)))
    for same in _together([gap for gap in gaps if not gap.is_off]):
        columns = _columns(same[0].observed_at_us, same[0].interval_s, zone, same[0].final)
        for gap, filled in zip(same, _fill(same, columns, past), strict=True):
            there = filled.import_wh != MISSING_WH
            counts["offline" if gap.final else "online"] += int(there.sum())
            counts["unknown"] += int((~there).sum())
            if there.any():
                contributions.append(contribution_of(gap, filled, there))
    return Made(contributions, counts)


def _together(gaps: Sequence[Gap]) -> Iterator[list[Gap]]:
    """Gaps of the same interval and kind of limit, which are estimated in one call."""
    groups: dict[tuple[int, int, bool], list[Gap]] = {}
    for gap in gaps:
        groups.setdefault((gap.observed_at_us, gap.interval_s, gap.final), []).append(gap)
    yield from groups.values()


@functools.lru_cache(maxsize=4_096)
def _columns(observed_at_us: int, interval_s: int, zone: tzinfo, final: bool) -> _Columns:  # a key
    step_us = interval_s * _SECOND_US
    begin = datetime.fromtimestamp((observed_at_us - step_us) // _SECOND_US, UTC).astimezone(zone)
    slot = (begin.hour * 3_600 + begin.minute * 60 + begin.second) // interval_s
    wall = begin.replace(tzinfo=None)
    rows: list[tuple[int, int, int, bool]] = []  # end, slot, kind of day, of another day
    days: list[tuple[int, ...]] = []
    number = 1_000_000  # slots of what holds nothing: no two are alike
    target = 0

    def apart(many: int) -> None:
        nonlocal number
        rows.extend((0, number + i, 0, False) for i in range(many))
        number += many

    for away in sorted({*(_AROUND if final else _BEFORE), 0}):
        day = wall + timedelta(days=away)
        end_us = round(day.replace(tzinfo=zone, fold=begin.fold).timestamp()) * _SECOND_US + step_us
        kind = int(day.weekday() >= 5)  # Saturday
        apart(_APART if away in (0, 1) else 1)
        sides = (-1, 0, 1) if final or away else (-1, 0)
        rows.extend((end_us + side * step_us, slot + 1 + side, kind, away != 0) for side in sides)
        if away:
            days.append(tuple(end_us + side * step_us for side in sides))
        else:
            target = len(rows) - len(sides) + 1
    if final:
        apart(1)
    before = tuple(observed_at_us - n * step_us for n in _REACH)
    after = tuple(observed_at_us + n * step_us for n in _REACH) if final else ()
    other_days = np.array([row[3] for row in rows], np.bool_)
    return _Columns(
        end_us=tuple(row[0] for row in rows),
        slot=np.array([row[1] for row in rows], np.int64),
        day_type=np.array([row[2] for row in rows], np.int64),
        target=target,
        other_days=other_days,
        days_us=(*days, (*before[:_NEAR], *after[:_NEAR])),
        beside_us=(before, after),
        of_days=np.flatnonzero(other_days).reshape(-1, 3),
    )


def _fill(gaps: Sequence[Gap], columns: _Columns, past: Mapping[Key, Past]) -> list[Filled]:
    """Estimates of gaps of one interval."""
    sizes = [len(gap.positions) for gap in gaps]
    imports, exports = (np.full((sum(sizes), len(columns.end_us)), MISSING_WH) for _ in range(2))
    doubted = np.zeros(imports.shape, np.bool_)
    runs = np.zeros((sum(sizes), 2), np.int64)
    bounds = np.concatenate(([0], np.cumsum(sizes)))
    for i, gap in enumerate(gaps):
        part = slice(int(bounds[i]), int(bounds[i + 1]))
        for column, end_us in enumerate(columns.end_us):
            if end_us and column != columns.target:
                held = past.get((gap.view.unit_id, end_us, gap.interval_s))
                if held is not None:
                    imports[part, column], exports[part, column] = _known(held, gap)
                    doubted[part, column] = _doubted(held, gap)
        runs[part] = _runs(gap, columns, past)
    _leave_out(doubted, imports, exports, columns)
    by_day = _by_day(imports, columns), _by_day(exports, columns)
    lasts = lasting(by_day[0] - np.nan_to_num(by_day[1]), _MODEL, gaps[0].interval_s / 60)
    factor = lasts.factor(runs, 1.0 if gaps[0].final else 2.0)
    import_wh, variance = _of_channel(imports, by_day[0], columns, gaps[0], lasts)
    export_wh, of_export = _of_channel(exports, by_day[1], columns, gaps[0], lasts)
    for gap, first in zip(gaps, bounds[:-1].tolist(), strict=True):
        part = slice(first, first + len(gap.positions))
        told = from_others(gap, columns.days_us, past)
        if told is not None:
            surer = told[1] < of_export[part]
            export_wh[part] = np.where(surer, np.rint(np.nan_to_num(told[0])).astype(np.int64), export_wh[part])
            of_export[part] = np.where(surer, told[1], of_export[part])
    of_export = np.where(export_wh == MISSING_WH, 0.0, of_export)  # who has never had a word of exports has none
    sigma = np.ceil(np.sqrt(variance + of_export))
    of_gap = np.ceil(np.sqrt((variance + of_export) * (factor - 1.0)))
    known = (import_wh <= MAX_ENERGY_WH) & (sigma <= MAX_ENERGY_WH) & (of_gap <= MAX_ENERGY_WH)  # False where σ is NaN
    import_wh = np.where(known, import_wh, MISSING_WH)
    export_wh = np.where(known, export_wh, MISSING_WH)
    sigma_wh, gap_sigma_wh = (
        np.where(known, np.nan_to_num(values), MISSING_WH).astype(np.int64) for values in (sigma, of_gap)
    )
    found = [
        Filled(import_wh[a:b], export_wh[a:b], sigma_wh[a:b], gap_sigma_wh[a:b])
        for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    ]
    for gap, filled, first in zip(gaps, found, bounds[:-1].tolist(), strict=True):
        from_customers(gap, filled, factor[first : first + len(gap.positions)], columns.days_us, past)
    return found


def _known(held: Past, gap: Gap) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Imports and exports of a gap's positions in another row, where they were measured and known by the limit."""
    there = gap.positions < len(held.import_wh)
    at = np.where(there, gap.positions, 0)
    there &= held.measured(gap.at_us)[at] if len(held.import_wh) else False
    exports = held.export_wh[at]
    return np.where(there, held.import_wh[at], MISSING_WH), np.where(there & (exports >= 0), exports, MISSING_WH)


def _doubted(held: Past, gap: Gap) -> NDArray[np.bool_]:
    """Which of a gap's positions a validation rule doubts in another row."""
    doubted = held.doubted(gap.at_us)
    if doubted is None:
        return np.zeros(len(gap.positions), np.bool_)
    there = gap.positions < len(doubted)
    return np.asarray(there & doubted[np.where(there, gap.positions, 0)])


def _leave_out(
    doubted: NDArray[np.bool_], imports: NDArray[np.int64], exports: NDArray[np.int64], columns: _Columns
) -> None:
    """Take doubtful values out of what members are estimated from, but for those of whom too few would be left."""
    left = ((imports != MISSING_WH) & ~doubted)[:, columns.other_days].sum(axis=1)
    out = doubted & (left >= _LEAST)[:, None]
    imports[out] = MISSING_WH
    exports[out] = MISSING_WH


def _of_channel(
    known_wh: NDArray[np.int64], by_day: NDArray[np.float64], columns: _Columns, gap: Gap, lasts: Lasting
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Energies that are estimated from history, and their variances, wider where they rest on few values."""
    count = (known_wh[:, columns.other_days] != MISSING_WH).sum(axis=1)
    energy = np.where(count < _LEAST, MISSING_WH, 0)
    variance = np.where(count < _LEAST, np.nan, 0.0)
    # Most members never export: what was 0 throughout needs no kernel.
    some = np.flatnonzero((count >= _LEAST) & (known_wh > 0).any(axis=1))
    if len(some):
        filled = estimate_missing(
            known_wh[some],
            columns.slot,
            columns.day_type,
            gap.interval_s / 60,
            online=not gap.final,
            model=_MODEL,
        )
        # Values beside each other say much the same: those of one day are worth little more than one.
        worth = lasts.independent(by_day)[some]
        few = np.where(worth > 1.0, (worth + 1.0) / np.maximum(worth - 1.0, 1e-9), np.nan)
        energy[some] = np.where(worth > 1.0, filled.energy_wh[:, columns.target], MISSING_WH)
        variance[some] = filled.variance_wh2[:, columns.target] * few
    return energy, variance


def _by_day(known_wh: NDArray[np.int64], columns: _Columns) -> NDArray[np.float64]:
    """Values of other days, three a day, NaN where not known."""
    values = known_wh[:, columns.of_days]
    return np.where(values == MISSING_WH, np.nan, values)


def _runs(gap: Gap, columns: _Columns, past: Mapping[Key, Past]) -> NDArray[np.int64]:
    """How many intervals are missing before and after one without a reading between; shape (positions, 2)."""
    runs = np.zeros((len(gap.positions), 2), np.int64)
    for side, ends_us in enumerate(columns.beside_us):
        goes_on = np.ones(len(gap.positions), np.bool_)
        for away, end_us in zip(_REACH, ends_us, strict=False):
            held = past.get((gap.view.unit_id, end_us, gap.interval_s))
            if held is not None:
                goes_on &= _known(held, gap)[0] == MISSING_WH
            runs[goes_on, side] = away
    return runs
