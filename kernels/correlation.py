"""Who explains an area's loss: its unexplained loss against what each meter counted, and what it failed to.

Two things betray a meter that counts too little. If it counts a part of everything, the loss goes as what it still
counts. If it counts nothing at times (a bypass, zeros at night), the loss is there while it stands still, as high as
its use usually is at that hour, more so when the home was busy just before and after. So each meter has two regressors:
its use, and its deficit, which is the usual use while it stands still, less what standing still usually comes to. A fit
with coefficients that can't be negative shares the loss out; a meter's score says how much worse the fit would be
without it. What nobody's regressors explain, such as a hook before the meters, stays with nobody. Described in
docs/explanation/usage.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.coordinate_descent import bounded
from kernels.member import MISSING_WH

Floats = NDArray[np.float64]

VERSION = 1
#: Usual use forgets half in so many days, the sums of the fit in so many.
_USUAL_HALF_DAYS, SUMS_HALF_DAYS = 28.0, 28.0
#: A meter stands still below this part of the lowest twentieth of its readings.
_STILL = 0.5
#: Hours on either side by which standing still is judged, and how far they count.
_SIDE_HOURS, _SIDE_WEIGHT = 3.0, 0.9
#: Ridge, as a share of the mean diagonal.
_RIDGE = 2e-4
#: Weights of the slots about one when usual use is smoothed.
_SMOOTH = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9.0
_MOST_SWEEPS, _LEAST_MOVE = 300, 1e-7
#: A meter stands still more than it used to when it lacks this share of its use by that; what that adds to its rank,
#: and what more when at least so much of it is found in the loss. Chosen as those of benchmarks/usage.py.
_STANDS_SHARE, _STANDS, _STANDS_WITH_LOSS, _STANDS_COEFFICIENT = 0.05, 8.0, 12.0, 0.1
#: Readings an hour apart resemble each other: so many count as one.
_ALIKE = 4.0


@dataclass(frozen=True, slots=True, eq=False)
class CorrelationState:
    """What is remembered of an area with m meters and s slots a day.

    Attributes
    ----------
    through
        int64 (1,): last day folded; −1 = none.
    usual_wh, still
        float64 (m, 2, s): mean use while not standing still, and share of standing still, by kind of day.
    seen
        float64 (2,): weight of the days that these rest on.
    floor_wh
        float64 (m,): lowest twentieth of the readings that aren't zero; NaN = none.
    products, moments
        float64 (2m, 2m) and (2m,): forgotten sums of products of regressors, and with the loss; uses, then deficits.
    sums_wh
        float64 (2m,): forgotten sums of the regressors.
    loss
        float64 (3,): forgotten sums of the loss, its square, and the number of intervals.
    """

    through: NDArray[np.int64]
    usual_wh: Floats
    still: Floats
    seen: Floats
    floor_wh: Floats
    products: Floats
    moments: Floats
    sums_wh: Floats
    loss: Floats


@dataclass(frozen=True, slots=True, eq=False)
class LossDay:
    """A day of an area.

    Attributes
    ----------
    energy_wh
        int64 (m, s): use by meter; `MISSING_WH` = no reading.
    loss_wh
        float64 (s,): loss that isn't technical; NaN = not known.
    alarmed
        The area's loss is abnormal: the fit learns. Otherwise usual use does.
    """

    day: int
    energy_wh: NDArray[np.int64]
    loss_wh: Floats
    minutes: float
    weekend: bool
    alarmed: bool

    def __post_init__(self) -> None:
        if self.energy_wh.ndim != 2 or self.loss_wh.shape != self.energy_wh.shape[1:]:
            raise ValueError(f"energy_wh has shape {self.energy_wh.shape}, loss_wh {self.loss_wh.shape}")


@dataclass(frozen=True, slots=True, eq=False)
class Blame:
    """Who explains the loss; arrays of shape (m,).

    Attributes
    ----------
    score
        By how much the sum of squares would grow without the meter, in variances of what nothing explains, intervals
        that resemble their neighbours counted once. 0 = the meter explains nothing.
    rank
        What to look at first: the score, and something more for a meter that stands still more than it used to, most of
        all while there is loss. Says nothing by itself of how sure it is.
    use_wh, deficit_wh
        Loss that goes as the meter's use, and while it stands still.
    """

    score: Floats
    rank: Floats
    use_wh: Floats
    deficit_wh: Floats

    @property
    def energy_wh(self) -> Floats:
        """Loss that the meter explains."""
        return self.use_wh + self.deficit_wh


class LossCorrelation:
    """The detector, as `kernels.detector.Detector` has it, of areas with `slots` slots a day."""

    def __init__(self, slots: int) -> None:
        if slots < 24:
            raise ValueError("a day has at least 24 slots")
        self._slots = slots

    def init(self, meters: int) -> CorrelationState:
        """State of an area of which nothing was seen."""
        return CorrelationState(
            through=np.full(1, -1),
            usual_wh=np.zeros((meters, 2, self._slots)),
            still=np.zeros((meters, 2, self._slots)),
            seen=np.zeros(2),
            floor_wh=np.full(meters, np.nan),
            products=np.zeros((2 * meters, 2 * meters)),
            moments=np.zeros(2 * meters),
            sums_wh=np.zeros(2 * meters),
            loss=np.zeros(3),
        )

    def update(self, state: CorrelationState, batch: LossDay) -> tuple[CorrelationState, Blame]:
        """Fold a day and say who explains the loss.

        Raises
        ------
        ValueError
            When the day isn't after the last one, or its shape is another.
        """
        state = fold_loss_day(state, batch)
        return state, blame(state)


def fold_loss_day(state: CorrelationState, batch: LossDay) -> CorrelationState:
    """Fold a day; see `LossCorrelation.update`."""
    if batch.day <= int(state.through[0]):
        raise ValueError(f"day {batch.day} comes after day {int(state.through[0])}")
    if (len(batch.energy_wh), batch.energy_wh.shape[1]) != (len(state.usual_wh), state.usual_wh.shape[2]):
        raise ValueError(f"energy_wh has shape {batch.energy_wh.shape}, the state is of another")
    new = CorrelationState(**{f.name: getattr(state, f.name).copy() for f in fields(state)})
    new.through[0] = batch.day
    if batch.alarmed:
        _add(new, batch)
        return new
    return _learn(new, batch)


def _learn(state: CorrelationState, batch: LossDay) -> CorrelationState:
    """Move usual use towards a day."""
    there = batch.energy_wh != MISSING_WH
    energy = np.where(there, batch.energy_wh, 0).astype(np.float64)
    positive = np.where(there & (batch.energy_wh > 0), energy, np.nan)
    some = np.isfinite(positive).any(axis=1)
    low = np.full(len(energy), np.nan)
    low[some] = np.nanquantile(positive[some], 0.05, axis=1)
    floor = np.where(np.isnan(state.floor_wh), low, state.floor_wh + (low - state.floor_wh) / 14.0)
    floor = np.where(np.isnan(floor), state.floor_wh, floor)
    kind = int(batch.weekend)
    keep = 0.5 ** (1.0 / _USUAL_HALF_DAYS * (3.5 if batch.weekend else 1.4))
    state.seen[kind] = state.seen[kind] * keep + 1.0 - keep
    gain = (1.0 - keep) / state.seen[kind]
    still = there & (energy < _STILL * np.where(np.isnan(floor), 0.0, floor)[:, None])
    moving = there & ~still
    usual, share = state.usual_wh[:, kind], state.still[:, kind]
    usual[moving] += gain * (energy[moving] - usual[moving])
    share[there] += gain * (still[there] - share[there])
    return replace(state, floor_wh=floor)


def regressors_of(state: CorrelationState, batch: LossDay) -> tuple[Floats, Floats]:
    """Uses, then deficits, of a day's intervals whose loss is known, (2m, k), and the losses, (k,); both in Wh."""
    there = batch.energy_wh != MISSING_WH
    usual_wh, share = _usual(state, weekend=batch.weekend)
    energy = np.where(there, batch.energy_wh, usual_wh)
    still = there & (energy < _STILL * np.where(np.isnan(state.floor_wh), 0.0, state.floor_wh)[:, None])
    expected = np.empty_like(energy)
    _beside(energy, still, usual_wh, max(round(_SIDE_HOURS * 60.0 / batch.minutes), 1), _SIDE_WEIGHT, expected)
    deficit = np.where(still, np.maximum(expected - energy, 0.0), 0.0) - usual_wh * share
    known = np.isfinite(batch.loss_wh)
    return np.concatenate([energy, deficit])[:, known], batch.loss_wh[known]


def _add(state: CorrelationState, batch: LossDay) -> None:
    """Add a day to the sums."""
    regressors, loss = regressors_of(state, batch)
    keep = 0.5 ** (1.0 / SUMS_HALF_DAYS)
    for sums, more in (
        (state.products, regressors @ regressors.T),
        (state.moments, regressors @ loss),
        (state.sums_wh, regressors.sum(axis=1)),
        (state.loss, np.array([loss.sum(), loss @ loss, float(len(loss))])),
    ):
        sums[...] = sums * keep + more


def _usual(state: CorrelationState, *, weekend: bool) -> tuple[Floats, Floats]:
    """Usual use and share of standing still of a kind of day, smoothed over slots."""
    kind = int(weekend)
    if state.seen[kind] == 0.0:
        kind = 1 - kind
    usual, share = (
        sum(weight * np.roll(values[:, kind], n - 2, axis=1) for n, weight in enumerate(_SMOOTH))
        for values in (state.usual_wh, state.still)
    )
    return np.asarray(usual), np.asarray(0.7 * share + 0.3 * np.mean(share, axis=1, keepdims=True))


@njit(cache=True, nogil=True)
def _beside(energy, still, usual, side, weight, expected):  # type: ignore[no-untyped-def]  # numba infers
    """Usual use, where a meter stands still moved towards how busy the home was on both sides of that."""
    meters, slots = energy.shape
    for m in range(meters):
        level = 0.0
        for t in range(slots):
            level += usual[m, t]
        level *= 0.5 * side / slots
        begin = 0
        while begin < slots:
            if not still[m, begin]:
                expected[m, begin] = usual[m, begin]
                begin += 1
                continue
            end = begin
            while end < slots and still[m, end]:
                end += 1
            seen = level
            wanted = level
            for t in range(max(begin - side, 0), min(end + side, slots)):
                if not still[m, t]:
                    seen += energy[m, t]
                    wanted += usual[m, t]
            busy = min(max(seen / wanted, 0.3), 3.0) if wanted > 0.0 else 1.0
            for t in range(begin, end):
                expected[m, t] = usual[m, t] * (1.0 + weight * (busy - 1.0))
            begin = end


def blame(state: CorrelationState) -> Blame:
    """Share the loss out among the meters.

    Notes
    -----
    Least squares with a ridge and coefficients that are not negative, by coordinate descent on the sums. A constant is
    fitted beside the meters, and belongs to nobody. The score is
    that of leaving one of the regressors out that are not 0, others staying: c² / (A⁻¹)_jj.
    """
    count = len(state.moments)
    meters = count // 2
    if state.loss[2] == 0.0 or not state.products.any():
        return Blame(*np.zeros((4, meters)))
    # Last comes what is the same at all times: an error in the technical loss, a lamp that nobody meters.
    sums = np.append(state.sums_wh, state.loss[2])
    products = np.block([[state.products, state.sums_wh[:, None]], [sums]])
    moments = np.append(state.moments, state.loss[0])
    ridge = np.append(np.full(count, _RIDGE * np.trace(state.products) / count), 0.0)
    matrix = products + np.diag(ridge)
    zeros = np.zeros(count + 1)
    all_of_it = np.asarray(bounded(matrix, moments, zeros, zeros + np.inf, zeros + 1.0, _MOST_SWEEPS, _LEAST_MOVE))
    used = np.flatnonzero(all_of_it > 0.0)
    grown = np.zeros(count + 1)
    if len(used):
        inverse = np.linalg.inv(matrix[np.ix_(used, used)])
        # The last digits are solved for: sweeps come near them slowly where regressors are alike.
        solved = inverse @ moments[used]
        if solved.min() > 0.0:
            all_of_it[used] = solved
        grown[used] = all_of_it[used] ** 2 / np.diag(inverse)
    left = state.loss[1] - 2.0 * all_of_it @ moments + all_of_it @ products @ all_of_it
    variance = max(float(left / state.loss[2]), 1e-6)
    coefficient = all_of_it[:count]
    energy = coefficient * np.maximum(state.sums_wh, 0.0)
    score = (grown[:meters] + grown[meters:count]) / variance / _ALIKE
    missing_wh = np.maximum(state.sums_wh[meters:], 0.0)
    stands = missing_wh > _STANDS_SHARE * (state.sums_wh[:meters] + missing_wh)
    return Blame(
        score,
        score + _STANDS * stands + _STANDS_WITH_LOSS * (stands & (coefficient[meters:] > _STANDS_COEFFICIENT)),
        energy[:meters],
        energy[meters:],
    )
