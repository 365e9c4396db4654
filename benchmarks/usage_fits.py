"""Other ways to share an area's loss out among its meters, beside the one that is used: where does one of them win?

The same days of an area, and the same regressors of each meter (its use, its deficit while it stands still), are fitted
by least squares with a coefficient a meter and quarter of the day, and by least absolute values, as by least squares.
Four weeks, 38 homes of which three steal, precision at 3; homes and seeds are those that the reported figures of
``benchmarks.usage`` don't use. Needs the extra ``benchmark`` (SciPy comes with scikit-learn).

``python -m benchmarks.usage_fits --data FILE.npz --json``
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmarks.report import Result, main, result
from benchmarks.usage_households import SLOTS, Households, read_households
from benchmarks.usage_localisation import days_of_area, stretches
from kernels.correlation import SUMS_HALF_DAYS, LossCorrelation, LossDay, blame, fold_loss_day, regressors_of

Floats = NDArray[np.float64]
#: What a fit says of one regressor each: coefficients and the weights of the intervals that it ended with.
Fit = Callable[[Floats, Floats, Floats], tuple[Floats, Floats]]

SEEDS = tuple(range(1, 41))
_THIEVES, _BLOCKS, _RIDGE, _ALIKE = 3, 4, 2e-4, 4.0
_ROUNDS, _LEAST = 12, 0.05


def least_squares(regressors: Floats, loss_wh: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Coefficients that are not negative, with the ridge that `kernels.correlation` has too; the constant has none."""
    root = np.sqrt(weight)
    weighted = regressors * root[:, None]
    of_meters = weighted[:, :-1]
    ridge = np.sqrt(_RIDGE * float((of_meters**2).sum()) / of_meters.shape[1]) * np.eye(weighted.shape[1])[:-1]
    both = np.concatenate([weighted, ridge])
    return nnls(both, np.append(loss_wh * root, np.zeros(len(ridge))), maxiter=20_000)[0], weight


def least_absolute(regressors: Floats, loss_wh: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """The same of absolute values, by least squares whose weights fall with what was left."""
    now = weight
    found = least_squares(regressors, loss_wh, weight)[0]
    for _ in range(_ROUNDS):
        left = np.abs(loss_wh - regressors @ found)
        middle = float(np.median(left)) + 1e-9
        now = weight * middle / np.maximum(left, _LEAST * middle)
        found = least_squares(regressors, loss_wh, now)[0]
    return found, now


def scores(regressors: Floats, loss_wh: Floats, weight: Floats, fit: Fit) -> Floats:
    """By how much the sum would grow without each regressor, as `kernels.correlation.blame` has it."""
    found, weight = fit(regressors, loss_wh, weight)
    matrix = (regressors * weight[:, None]).T @ regressors
    matrix += np.eye(len(matrix)) * _RIDGE * np.trace(matrix) / len(matrix)
    used = np.flatnonzero(found > 0.0)
    grown = np.zeros(len(found))
    grown[used] = found[used] ** 2 / np.diag(np.linalg.inv(matrix[np.ix_(used, used)]))
    left = loss_wh - regressors @ found
    return np.asarray(grown / float(weight @ left**2 / weight.sum()) / _ALIKE)


def in_blocks(uses: Floats) -> Floats:
    """A regressor a meter and quarter of the day; `uses` of whole days, (intervals, meters)."""
    block = np.arange(len(uses)) % SLOTS * _BLOCKS // SLOTS
    return np.concatenate([uses * (block == b)[:, None] for b in range(_BLOCKS)], axis=1)


def first_of(days: Sequence[LossDay]) -> dict[str, set[int]]:
    """Who comes first by each way."""
    state = LossCorrelation(SLOTS).init(len(days[0].energy_wh))
    parts = []
    for day in days:
        if day.alarmed:
            parts.append((day.day, *regressors_of(state, day)))
        state = fold_loss_day(state, day)
    said = blame(state)
    meters = len(said.score)
    both = np.concatenate([regressors for _, regressors, _ in parts], axis=1).T
    loss_wh = np.concatenate([loss for _, _, loss in parts])
    age = np.concatenate([np.full(len(loss), days[-1].day - day) for day, _, loss in parts])
    weight = 0.5 ** (age / SUMS_HALF_DAYS)
    everybody = np.ones((len(both), 1))
    plain, blocks = np.hstack([both, everybody]), np.hstack([in_blocks(both[:, :meters]), both[:, meters:], everybody])
    ways = {
        "least squares": scores(plain, loss_wh, weight, least_squares),
        "least absolute values": scores(plain, loss_wh, weight, least_absolute),
        "a coefficient a quarter of the day": scores(blocks, loss_wh, weight, least_squares),
    }
    # What a meter that newly stands still is looked at first for is no matter of the fit.
    more = said.rank - said.score
    found = {name: values[:-1].reshape(-1, meters).sum(axis=0) + more for name, values in ways.items()}
    found["as it is used"] = said.rank
    return {name: set(np.argsort(-rank)[:_THIEVES].tolist()) for name, rank in found.items()}


def measure(data: Households, seeds: Sequence[int] = SEEDS) -> list[Result]:
    """Precision at 3 of each way, by kind of theft."""
    places = stretches(data, range(0, len(data.energy_wh), 2))
    results = []
    for kind in ("scaling", "bypass", "night-zero"):
        right: dict[str, int] = {}
        for seed in seeds:
            days, thieves = days_of_area(data, places, kind, seed, innocents=False)
            for name, first in first_of(days).items():
                right[name] = right.get(name, 0) + len(thieves & first)
        results += [result(f"{kind}, {name}", n / _THIEVES / len(seeds), "") for name, n in sorted(right.items())]
    return results


def _of_file(path: Path) -> list[Result]:
    return measure(read_households(path))


if __name__ == "__main__":
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--data", type=Path, metavar="FILE.npz", required=True)
    known, sys.argv[1:] = own.parse_known_args()
    if not known.data.is_file():
        own.error(f"{known.data} isn't there; see the description of benchmarks.usage for what it must hold")
    main(partial(_of_file, known.data), f"{__doc__}\n--data FILE.npz: real households.")
