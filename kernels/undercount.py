"""Which meters count too little, by four weeks of their area's loss: the logarithm of a likelihood ratio for each.

A meter that counts the part 1 − s of everything leaves s / (1 − s) of what it counts in the loss; one that counts
nothing at times leaves what it usually takes beside those times. Both go up and down with the meter itself, quarter
hour by quarter hour, so that even a hundredth of an area's supply can be ascribed, if all else that goes up and down is
named too: the gateway's error with the supply, the error of the technical loss with that loss, a reversed meter with
what it gives, a stopped meter with what it used before. What stays the same within a day, a hook or a lamp without a
meter, says nothing of anybody and is left out. An empty home leaves no loss. Described in docs/explanation/usage.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.coordinate_descent import bounded
from kernels.member import MISSING_WH

Floats = NDArray[np.float64]

VERSION = 1
#: Days that are judged; what a stopped meter used is taken from those before, too.
JUDGED_DAYS = 28
#: Shares that a thief takes of everything, as what is lost for what is counted; and of the deficit of one at times.
_TAKEN = np.linspace(0.25, 0.93, 16)
_BY_USE, _AT_TIMES = _TAKEN / (1.0 - _TAKEN), np.linspace(0.2, 2.0, 12)
#: Standard deviation of an honest meter's coefficient: what the model doesn't know of leaves so much on anybody.
_HONEST = 0.05
#: Most that coefficients can be: of uses, deficits, the gateway's error, the technical loss's. A meter that gives
#: energy back loses twice of it if it is reversed.
_MOST_USE, _MOST_DEFICIT, _MOST_GATEWAY, _MOST_TECHNICAL, _REVERSED, _MOST_GIVING = 20.0, 2.0, 0.01, 0.3, -2.3, 9.0
#: Random error of a gateway as a share of its reading; variance of the meters' whole watt-hours, and of all else.
_RANDOM, _ROUNDED_WH2, _ELSE_WH2 = 0.005, 0.1, 10.0
#: Degrees of freedom of the residuals (Student's t), rounds in which their weights are found, sweeps of each.
_FREEDOM, _ROUNDS, _SWEEPS, _LEAST_MOVE = 4.0, 5, 300, 1e-6
#: A meter stands still below this part of the lowest twentieth of its readings, for an hour and so many slots at least;
#: it is compared with three hours on both sides. What it lacks is asked for where it is so much of its use by that.
_STILL, _LEAST_STILL_H, _LEAST_STILL_SLOTS, _BESIDE_H, _LEAST_LACK = 0.5, 1.0, 4, 3.0, 0.05
#: A meter has stopped when it counted nothing on so many days, and something on so many of those seen.
_STOPPED_DAYS, _LIVE_DAYS = 2, 5
#: One that stood for so many days to the last, and whose earlier use is this part of the loss or more, lost at least
#: this part of it, though a neighbour's use may go more like the loss. From this coefficient on a meter that gives
#: energy back is reversed.
_FOR_GOOD_DAYS, _SURELY_STOPPED, _SURELY_REVERSED = 7, 0.8, -1.0
_LEAST_DEVIATION, _MEDIAN_OF_SQUARE = 1e-3, 0.455


@dataclass(frozen=True, slots=True, eq=False)
class AreaWindow:
    """Days of an area, d of them with s slots, of which the last `JUDGED_DAYS` are judged; m meters.

    Attributes
    ----------
    energy_wh
        int64 (m, d, s): counted, less what was given back; `MISSING_WH` = no reading.
    loss_wh
        float64 (d, s): loss that isn't technical; NaN = not known.
    supply_wh, technical_wh
        float64 (d, s): what the gateway counted, and the technical loss; read where the loss is known.
    minutes
        Length of a slot.
    """

    energy_wh: NDArray[np.int64]
    loss_wh: Floats
    supply_wh: Floats
    technical_wh: Floats
    minutes: float

    def __post_init__(self) -> None:
        of_area = (self.loss_wh.shape, self.supply_wh.shape, self.technical_wh.shape)
        if self.energy_wh.ndim != 3 or set(of_area) != {self.energy_wh.shape[1:]}:
            raise ValueError(f"energy_wh has shape {self.energy_wh.shape}, of the area {of_area}")
        if not self.minutes > 0.0:
            raise ValueError("minutes must be above 0")


@dataclass(frozen=True, slots=True, eq=False)
class Undercount:
    """What an area's loss says of its meters; arrays of shape (m,).

    Attributes
    ----------
    score
        Logarithm of how much likelier the loss is if the meter counts too little than if it is honest. 0 = nothing is
        said: it gave energy back, counted nothing, or explains none of the loss.
    share
        What is lost through it for each Wh that it counted (or, `at_times`, of what it should have counted).
    at_times
        bool: it stands still at times, rather than count a part of everything.
    energy_wh
        Lost through it over the days that are judged.
    """

    score: Floats
    share: Floats
    at_times: NDArray[np.bool_]
    energy_wh: Floats


def undercount(window: AreaWindow) -> Undercount:
    """Ascribe an area's loss to its meters.

    Notes
    -----
    Weighted least squares within days (every day has a constant of its own) with bounded coefficients, by coordinate
    descent; weights make residuals Student's t, so that an outage of an hour says little. A coefficient's variance is
    the larger of the usual one and that between days (a sandwich; Liang and Zeger 1986). No meter may explain more
    energy than is lost, less what stopped and reversed meters lose.
    """
    counted = _filled(window.energy_wh)
    meters, days, slots = counted.shape
    judged = slice(max(days - JUDGED_DAYS, 0), days)
    known = np.isfinite(window.loss_wh[judged]).ravel()
    nothing = Undercount(np.zeros(meters), np.zeros(meters), np.zeros(meters, np.bool_), np.zeros(meters))
    if meters == 0 or known.sum() < 2 * slots:
        return nothing
    use = counted[:, judged].reshape(meters, -1)
    gives = np.asarray((use < 0.0).any(axis=1))
    deficits, stopped = _deficits(counted, use, judged, gives, window.minutes)
    lacks = np.flatnonzero(deficits.any(axis=1))
    supply, technical, loss = (
        np.where(known, values[judged].ravel(), 0.0)
        for values in (window.supply_wh, window.technical_wh, window.loss_wh)
    )
    regressors = np.concatenate([use, deficits[lacks], supply[None], technical[None]])
    weight = known / ((_RANDOM * supply) ** 2 + _ROUNDED_WH2 * meters + _ELSE_WH2)
    low = np.concatenate([np.where(gives, _REVERSED, 0.0), np.zeros(len(lacks)), [-_MOST_GATEWAY, -_MOST_TECHNICAL]])
    high = np.concatenate(
        [
            np.where(gives, _MOST_GIVING, _MOST_USE),
            np.full(len(lacks), _MOST_DEFICIT),
            [_MOST_GATEWAY, _MOST_TECHNICAL],
        ]
    )
    sure = np.append(gives, stopped[lacks])
    for_good = stopped & (counted[:, -_FOR_GOOD_DAYS:].sum(axis=(1, 2)) == 0.0)
    for_good &= deficits.sum(axis=1) >= _SURELY_STOPPED * loss.sum()
    least = np.append(np.zeros(meters), np.where(for_good[lacks], _SURELY_STOPPED, 0.0))
    errors_wh = _MOST_GATEWAY * np.abs(supply).sum() + _MOST_TECHNICAL * technical.sum()
    fitted, deviation = _fit(
        regressors, loss, weight, slots, low, high, sure, least, max(loss.sum(), 0.0) + errors_wh, errors_wh
    )
    by_use = _log_ratio(fitted[:meters], deviation[:meters], _BY_USE)
    lacking = slice(meters, meters + len(lacks))
    at_times = np.full(meters, -np.inf)
    at_times[lacks] = _log_ratio(fitted[lacking], deviation[lacking], _AT_TIMES)
    # That one has stopped is seen without the loss.
    at_times[stopped] = -np.inf
    score, share, energy = by_use, fitted[:meters].copy(), fitted[:meters] * (use * known).sum(axis=1)
    better = np.flatnonzero(at_times[lacks] > by_use[lacks])
    score[lacks[better]] = at_times[lacks[better]]
    share[lacks[better]] = fitted[lacking][better]
    energy[lacks[better]] = (fitted[lacking] * (deficits[lacks] * known).sum(axis=1))[better]
    asked = np.isfinite(score) & ~gives
    is_at_times = np.zeros(meters, np.bool_)
    is_at_times[lacks[better]] = True
    return Undercount(
        np.where(asked, score, 0.0), np.where(asked, share, 0.0), is_at_times & asked, np.where(asked, energy, 0.0)
    )


def _filled(energy_wh: NDArray[np.int64]) -> Floats:
    """Energies, where a reading is missing the meter's mean of that slot; 0 where there is none."""
    there = energy_wh != MISSING_WH
    energy = np.where(there, energy_wh, 0).astype(np.float64)
    mean = energy.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return np.asarray(np.where(there, energy, mean[:, None]))


def _deficits(
    counted: Floats, use: Floats, judged: slice, gives: NDArray[np.bool_], minutes: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """What each meter seems to lack while it stands still, as `use`; and which have stopped."""
    floor = np.zeros(len(use))
    for m, row in enumerate(use):
        positive = row[row > 0.0]
        floor[m] = _STILL * np.quantile(positive, 0.05) if len(positive) else 0.0
    least, side = (round(hours * 60.0 / minutes) for hours in (_LEAST_STILL_H, _BESIDE_H))
    deficits = np.asarray(_beside(use, use < floor[:, None], max(least, _LEAST_STILL_SLOTS), max(side, 1)))
    lacking_wh = deficits.sum(axis=1)
    deficits[lacking_wh < _LEAST_LACK * (lacking_wh + use.sum(axis=1))] = 0.0
    dead = counted.sum(axis=2) == 0.0
    stopped = (dead[:, judged].sum(axis=1) >= _STOPPED_DAYS) & ((~dead).sum(axis=1) >= _LIVE_DAYS) & ~gives
    for m in np.flatnonzero(stopped).tolist():
        before = counted[m, ~dead[m]][-JUDGED_DAYS:].mean(axis=0)
        deficits[m] = (dead[m, judged, None] * before).ravel()
    deficits[gives] = 0.0
    return deficits, stopped


@njit(cache=True, nogil=True)
def _beside(use, still, least, side):  # type: ignore[no-untyped-def]  # numba infers
    """Where a meter stands still for some slots: its mean use on both sides."""
    meters, slots = use.shape
    out = np.zeros(use.shape)
    for m in range(meters):
        begin = 0
        while begin < slots:
            if not still[m, begin]:
                begin += 1
                continue
            end = begin
            while end < slots and still[m, end]:
                end += 1
            if end - begin >= least:
                seen = 0.0
                count = 0
                for t in range(max(begin - side, 0), begin):
                    seen += use[m, t]
                    count += not still[m, t]
                for t in range(end, min(end + side, slots)):
                    seen += use[m, t]
                    count += not still[m, t]
                if count > 0:
                    out[m, begin:end] = seen / count
            begin = end
    return out


def _fit(
    regressors: Floats,
    loss: Floats,
    known_weight: Floats,
    slots: int,
    low: Floats,
    high: Floats,
    sure: NDArray[np.bool_],
    least: Floats,
    room_wh: float,
    least_room_wh: float,
) -> tuple[Floats, Floats]:
    """Coefficients and their standard deviations; infinite at a bound.

    `sure` says which regressors, the last two left out, belong to a meter that gives back or has stopped: what these
    explain is taken from what others may, and no energy bounds them.
    """
    wh = regressors.sum(axis=1)
    suspects, gives = np.flatnonzero(~sure), np.flatnonzero(low[: len(sure)] < 0.0)
    stopped = np.setdiff1d(np.flatnonzero(sure), gives)
    top = high[suspects]

    def solved(weight: Floats, room: float) -> _Solved:
        bound = high.copy()
        bound[suspects] = np.minimum(top, room / np.maximum(wh[suspects], 1.0))
        return _solve(regressors, loss, weight, slots, low, bound)

    found = solved(known_weight, room_wh)
    for _ in range(_ROUNDS - 1):
        fitted = found.fitted
        turned = gives[fitted[gives] < _SURELY_REVERSED]
        stood = np.maximum(fitted[stopped], least[stopped])
        explained_wh = float(fitted[turned] @ wh[turned] + stood @ wh[stopped])
        squares = found.left**2 * known_weight
        scale = max(float(np.median(squares[known_weight > 0.0])) / _MEDIAN_OF_SQUARE, 1e-9)
        weight = known_weight * (_FREEDOM + 1.0) / (_FREEDOM + squares / scale)
        found = solved(weight, max(room_wh - max(explained_wh, 0.0), least_room_wh))
    return found.fitted, _deviation(found, known_weight, slots)


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """`weighted`: regressors within days times their weights; `free`: which coefficients are at no bound."""

    fitted: Floats
    left: Floats
    weight: Floats
    weighted: Floats
    matrix: Floats
    free: NDArray[np.intp]


def _solve(regressors: Floats, loss: Floats, weight: Floats, slots: int, low: Floats, high: Floats) -> _Solved:
    within, inside = _within_days(regressors, weight, slots), _within_days(loss[None], weight, slots)[0]
    weighted = within * weight
    matrix = weighted @ within.T
    size = np.sqrt(np.maximum(np.diag(matrix), 0.0))
    fitted = np.asarray(bounded(matrix, weighted @ inside, low, high, size, _SWEEPS, _LEAST_MOVE))
    free = np.flatnonzero((fitted > low + 1e-9) & (fitted < high - 1e-9) & (np.diag(matrix) > 0.0))
    return _Solved(fitted, inside - fitted @ within, weight, weighted, matrix, free)


def _deviation(found: _Solved, known_weight: Floats, slots: int) -> Floats:
    """Standard deviations of the coefficients."""
    free = found.free
    deviation = np.full(len(found.fitted), np.inf)
    if not len(free):
        return deviation
    size = np.sqrt(np.diag(found.matrix)[free])
    inverse = np.linalg.inv(found.matrix[np.ix_(free, free)] / np.outer(size, size) + 1e-8 * np.eye(len(free)))
    inverse /= np.outer(size, size)
    days = len(found.left) // slots
    count = max(int((known_weight > 0.0).sum()) - len(free) - days, 1)
    usual = float(found.weight @ found.left**2) / count * np.diag(inverse)
    by_day = (found.weighted[free] * found.left).reshape(len(free), days, slots).sum(axis=2)
    between = ((inverse @ by_day) ** 2).sum(axis=1) * days / max(days - 1, 1)
    deviation[free] = np.maximum(np.sqrt(np.maximum(usual, between)), _LEAST_DEVIATION)
    return deviation


def _within_days(values: Floats, weight: Floats, slots: int) -> Floats:
    """Less the weighted mean of each day."""
    by_day, weights = values.reshape(len(values), -1, slots), weight.reshape(-1, slots)
    mean = (by_day * weights).sum(axis=2) / np.maximum(weights.sum(axis=1), 1e-12)
    return np.asarray((by_day - mean[:, :, None]).reshape(values.shape))


def _log_ratio(fitted: Floats, deviation: Floats, taken: Floats) -> Floats:
    """Of a thief's coefficient, one of `taken`, against an honest one's, about 0; −∞ where nothing is known."""
    out = np.full(len(fitted), -np.inf)
    known = np.isfinite(deviation)
    at, own = fitted[known], deviation[known] ** 2
    logs = -((at[:, None] - taken) ** 2) / 2.0 / own[:, None] - 0.5 * np.log(own)[:, None]
    highest = logs.max(axis=1)
    thief = highest + np.log(np.exp(logs - highest[:, None]).mean(axis=1))
    honest = own + _HONEST**2
    out[known] = thief + at**2 / 2.0 / honest + 0.5 * np.log(honest)
    return out
