"""Estimates of missing energies against the blend of a straight line and the four-week same-slot mean.

Gaps of 1, 8, 48 and 336 half-hours at random places where the truth is known, one at a time, with the meter's other
gaps left as they are. The peer is the mean of two: the straight line between the values beside the gap, and the mean of
the same slot on the 28 days before, as far as they are known. Error is the sum of absolute errors over the sum of
truths, bias the sum of estimates over the sum of truths less one, both over all gaps of a length together; each
seed's are shown too. Chance of the draw is the bias's standard deviation were other gaps of the same households drawn.
With a register both readings of what is asked for are shown: the error over the blend's, and the normalised mean
absolute error itself.

The parameters of `kernels.estimation_model.Model` were chosen on the file's households at even positions. Reported are
those at odd positions, with seeds that weren't used before. Without --data the households are those of the project's
own stochastic model, on which nothing was fitted.

--data takes an .npz file with X: kWh a half-hour of shape (half-hours, households), NaN where missing, from the
midnight that begins the day of ordinal t0 on, by a clock that is 17 hours ahead of the households' own (as in the Smart
Grid Smart City file).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Result, main, processor_seconds, result
from kernels.estimation import estimate_missing
from kernels.estimation_errors import sum_variance
from kernels.member import MISSING_WH
from twin.households import FILE_LEAD_S, Households
from twin.steps import make_steps

_DAY, _MINUTES, _WEEKS = 48, 30.0, 4
#: Days of history that an estimate is given on either side.
_AROUND = 29 * _DAY
#: Gap length, gaps a household and seed, and the register's target.
_GAPS = ((1, 1_000, None), (8, 200, 0.62), (48, 60, 0.77), (336, 20, 0.81))
_SEEDS = (20_271, 20_272, 20_273)


@dataclass(frozen=True, slots=True)
class Data:
    """Energies in Wh of shape (households, half-hours), and each half-hour's slot and kind of day."""

    energy_wh: NDArray[np.int64]
    slot: NDArray[np.int64]
    day_type: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of many gaps of a length; arrays of shape (gaps, length), and (gaps,) for the variance of sums."""

    truth: NDArray[np.float64]
    line: NDArray[np.float64]
    mean: NDArray[np.float64]
    free: NDArray[np.float64]
    variance: NDArray[np.float64]
    of_sum: NDArray[np.float64]
    online: NDArray[np.float64]
    register: NDArray[np.float64]
    register_variance: NDArray[np.float64]

    @property
    def blend(self) -> NDArray[np.float64]:
        """The peer."""
        return (self.line + self.mean) / 2

    def error(self, estimate: NDArray[np.float64]) -> float:
        """Normalised mean absolute error."""
        return float(np.abs(estimate - self.truth).sum() / self.truth.sum())

    def bias(self, estimate: NDArray[np.float64]) -> float:
        """Energy too much, as a share."""
        return float(estimate.sum() / self.truth.sum() - 1)

    def chance(self, estimate: NDArray[np.float64]) -> float:
        """Standard deviation of the bias from which gaps were drawn."""
        ratio = 1 + self.bias(estimate)
        apart = estimate.sum(axis=1) - ratio * self.truth.sum(axis=1)
        return float(np.sqrt((apart**2).sum()) / self.truth.sum())


def _of_file(path: Path) -> Data:
    with np.load(path, allow_pickle=False) as file:
        kwh = file["X"].astype(np.float64)[:, 1::2].T
        weekday = (int(file["t0"]) + 6) % 7  # ordinal 1 was a Monday
    own = np.arange(kwh.shape[1]) - FILE_LEAD_S // 1800
    known = ~np.isnan(kwh)
    energy_wh = np.where(known, np.rint(np.where(known, kwh, 0.0) * 1000).astype(np.int64), MISSING_WH)
    return Data(energy_wh, own % _DAY, ((weekday + own // _DAY) % 7 >= 5).astype(np.int64))


def _of_model() -> Data:
    begin_s, days = 1_704_067_200, 400  # a Monday
    steps = make_steps(begin_s, days * _DAY, 1800, 1)
    power_w = Households.stochastic(7, vacant=0).power_w(steps, np.arange(12))
    t = np.arange(days * _DAY)
    return Data(np.rint(power_w.T / 2).astype(np.int64), t % _DAY, (t // _DAY % 7 >= 5).astype(np.int64))


def _places(data: Data, length: int, count: int, seed: int) -> Iterator[tuple[int, int]]:
    """Household and first half-hour of gaps whose values and neighbours are known, after four weeks mostly known."""
    random = np.random.default_rng(seed)
    before = _WEEKS * 7 * _DAY
    for h, wh in enumerate(data.energy_wh):
        known = np.concatenate([[0], np.cumsum(wh != MISSING_WH)])
        first = np.arange(before, len(wh) - length)
        whole = known[first + length + 1] - known[first - 1] == length + 2
        first = first[whole & (known[first] - known[first - before] >= 0.9 * before)]
        for t in random.choice(first, min(count, len(first)), replace=False):
            yield h, int(t)


def _outcome(data: Data, length: int, count: int, seed: int) -> Outcome:
    rows = [_one(data, h, t, length) for h, t in _places(data, length, count, seed)]
    return Outcome(*(np.array(column) for column in zip(*rows, strict=True)))


def _one(data: Data, household: int, first: int, length: int) -> tuple[NDArray[np.float64] | float, ...]:
    begin = max(first - _AROUND, 0)
    end = min(first + length + _AROUND, data.energy_wh.shape[1])
    at = slice(first - begin, first - begin + length)
    energy = data.energy_wh[household : household + 1, begin:end].copy()
    truth = energy[0, at].astype(np.float64)
    beside = energy[0, at.start - 1], energy[0, at.stop]
    energy[0, at] = MISSING_WH
    calendar = data.slot[begin:end], data.day_type[begin:end]
    register = np.full((1, energy.shape[1] + 1), MISSING_WH)
    register[0, [at.start, at.stop]] = 0, int(truth.sum())
    free = estimate_missing(energy, *calendar, _MINUTES)
    past = calendar[0][: at.stop], calendar[1][: at.stop]
    online = estimate_missing(energy[:, : at.stop], *past, _MINUTES, online=True)
    told = estimate_missing(energy, *calendar, _MINUTES, register_wh=register)
    back = np.arange(at.start, at.stop) - _DAY * np.arange(1, 7 * _WEEKS + 1)[:, None]
    history = energy[0, back]
    known = history != MISSING_WH
    line = np.interp(np.arange(1, length + 1), [0, length + 1], beside)
    return (
        truth,
        line,
        np.where(known.any(axis=0), np.where(known, history, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), line),
        free.energy_wh[0, at].astype(np.float64),
        free.variance_wh2[0, at],
        float(sum_variance(free, np.array([at.start, at.stop]), _MINUTES)[0, 0]),
        online.energy_wh[0, at].astype(np.float64),
        told.energy_wh[0, at].astype(np.float64),
        told.variance_wh2[0, at],
    )


def _against_blend(outcome: Outcome, name: str, target: float | None) -> list[Result]:
    blend = outcome.error(outcome.blend)

    def ratio(what: str, estimate: NDArray[np.float64], limit: float | None = None) -> Result:
        value = outcome.error(estimate) / blend
        return result(f"{name}: error {what} / the blend's", value, "", limit, less_is_better=True)

    # The weight of the straight line that would have been best for these very gaps.
    weights = np.linspace(0, 1, 21)
    best = min(outcome.error(w * outcome.line + (1 - w) * outcome.mean) for w in weights)
    results = [
        result(f"{name}: error of the blend", blend, ""),
        ratio("of the estimate", outcome.free, 0.95),
        result(f"{name}: energy too much or little", abs(outcome.bias(outcome.free)), "", 0.02, less_is_better=True),
        result(f"{name}: chance of the draw in it, 1 σ", outcome.chance(outcome.free), ""),
        result(f"{name}: error of the estimate / the best fixed weight's", outcome.error(outcome.free) / best, ""),
        ratio("of the online estimate", outcome.online),
        result(f"{name}: energy too much, online", outcome.bias(outcome.online), ""),
    ]
    if target is not None:
        apart = np.abs(outcome.register.sum(axis=1) - outcome.truth.sum(axis=1)).max()
        results += [
            ratio("with a register", outcome.register, target),
            result(
                f"{name}: normalised mean absolute error with a register",
                outcome.error(outcome.register),
                "",
                target,
                less_is_better=True,
            ),
            result(f"{name}: largest energy apart from the register", float(apart), "Wh", 0.0, less_is_better=True),
        ]
    return results


def _inside(truth: NDArray[np.float64], estimate: NDArray[np.float64], variance: NDArray[np.float64]) -> list[float]:
    """Shares of truths within one and two standard deviations, and the mean squared error over the mean variance."""
    apart, sigma = np.abs(truth - estimate), np.sqrt(variance)
    # Estimates are whole watt-hours.
    return [*(float((apart <= k * sigma + 0.5).mean()) for k in (1, 2)), float((apart**2).sum() / variance.sum())]


def _together(outcomes: list[Outcome]) -> Outcome:
    return Outcome(*(np.concatenate([getattr(o, f.name) for o in outcomes]) for f in fields(Outcome)))


def _calibration(o: Outcome, length: int) -> list[Result]:
    kinds = {
        "interval": _inside(o.truth, o.free, o.variance),
        "gap's sum": _inside(o.truth.sum(axis=1), o.free.sum(axis=1), o.of_sum),
    }
    if length > 1:
        kinds["interval with a register"] = _inside(o.truth, o.register, o.register_variance)
    names = ("truths inside 1 σ", "truths inside 2 σ", "mean squared error / mean variance")
    return [
        result(f"{length} half-hours, {kind}: {name}", value, "")
        for kind, values in kinds.items()
        for name, value in zip(names, values, strict=True)
    ]


def _speed() -> list[Result]:
    """Processor time of a month of 400 meters of 96 slots, 5 % missing in runs of 8."""
    random = np.random.default_rng(1)
    meters, days = 400, 30
    t = np.arange(days * 96)
    energy = random.gamma(1.5, 80.0, (meters, len(t))).astype(np.int64)
    for m, first in zip(*np.nonzero(random.random((meters, len(t) - 8)) < 0.05 / 8), strict=True):
        energy[m, first : first + 8] = MISSING_WH
    work = partial(estimate_missing, energy, t % 96, (t // 96 % 7 >= 5).astype(np.int64), 15.0)
    name = "a month of 400 meters × 96 slots, 5 % missing"
    return [result(name, processor_seconds(work), "s", 1.0, less_is_better=True)]


def measure(path: Path | None) -> list[Result]:
    """Each seed against the blend, all together, how far the standard deviations hold, and the speed."""
    data = _of_model() if path is None else _of_file(path)
    results: list[Result] = []
    for length, count, target in _GAPS:
        outcomes = [_outcome(data, length, count, seed) for seed in _SEEDS]
        for seed, o in zip(_SEEDS, outcomes, strict=True):
            name, blend = f"{length} half-hours, seed {seed}", o.error(o.blend)
            results += [
                result(f"{name}: error of the estimate / the blend's", o.error(o.free) / blend, ""),
                result(f"{name}: energy too much", o.bias(o.free), ""),
                result(f"{name}: error with a register / the blend's", o.error(o.register) / blend, ""),
            ]
        together = _together(outcomes)
        results += [*_against_blend(together, f"{length} half-hours", target), *_calibration(together, length)]
    return [*results, *_speed()]


if __name__ == "__main__":
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--data", type=Path, metavar="FILE.npz")
    known, others = own.parse_known_args()
    if known.data is not None and not known.data.is_file():
        own.error(f"{known.data} isn't there; see the module's description for what it must hold")
    if known.data is None:
        sys.stderr.write("No --data FILE.npz of real households: the stochastic model's are used.\n")
    sys.argv[1:] = others
    main(partial(measure, known.data), f"{__doc__}\n--data FILE.npz: real households.")
