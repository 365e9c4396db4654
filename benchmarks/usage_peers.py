"""The usage model beside river's HalfSpaceTrees and scikit-learn's IsolationForest, on the same windows.

Each peer gets days as 24 hourly means, as a share of the home's usual mean (of the 28 days before), and its score of a
window is the mean over its days. IsolationForest learns from 28 days before each window of all homes; HalfSpaceTrees
learns each home's 28 days one by one. The forest gets a second go on the twelve changes that the model looks at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river.anomaly import HalfSpaceTrees
from sklearn.ensemble import IsolationForest

from benchmarks.report import Result, result
from benchmarks.usage_detection import Cases, summary
from benchmarks.usage_households import FALLS, MINUTES, WINDOW, Households, usual_wh
from kernels.live_rules import ACTIVE, THREE_PHASE, LiveBatch, LiveRules
from kernels.member import MISSING_WH
from kernels.usage import UsageDay, UsageModel, fold_day, usage_scores

#: A home's hour as a share of its usual mean is cut here, so that it lies in 0…1 for the half-space trees.
_CUT = 8.0
_HOURS = 24


def compare(data: Households, cases: Cases, speed: float) -> list[Result]:
    """AUC of each range and meter-days a second, ours beside theirs."""
    ours = summary(cases.score, cases, cases.used)
    results = []
    for name, peer in (
        ("IsolationForest on days", _forest_on_days),
        ("IsolationForest on the twelve changes", _forest_on_changes),
        ("HalfSpaceTrees on days", _half_space),
    ):
        score, rate = peer(data, cases)
        theirs = summary(score, cases, cases.used)
        for (low, high), (area, _), (their_area, _) in zip(FALLS, ours, theirs, strict=True):
            results.append(result(f"fall of {low:.0%} to {high:.0%}: AUC", area, "", None, name, their_area))
        results.append(result("daily model, one core", speed, "meter-days/s", None, name, rate))
    return results


def _vectors(energy_wh: NDArray[np.int64], usual: float) -> NDArray[np.float64]:
    """Days (days, slots) as shares of the usual hour, missing as usual, cut and between 0 and 1."""
    known = np.where(energy_wh == MISSING_WH, usual / energy_wh.shape[1], energy_wh)
    hours = known.reshape(len(known), _HOURS, -1).sum(axis=2) / max(usual / _HOURS, 1.0)
    return np.asarray(np.minimum(hours, _CUT) / _CUT)


def _history(data: Households, household: int, start: int) -> NDArray[np.float64]:
    days = np.flatnonzero(data.whole[household, :start])[-WINDOW:]
    return _vectors(data.energy_wh[household, days], usual_wh(data, household, start))


def _own(data: Households, cases: Cases, n: int) -> NDArray[np.float64]:
    return _vectors(cases.days[n], usual_wh(data, int(cases.household[n]), int(cases.start[n])))


def _timed(work: Callable[[], NDArray[np.float64]], meter_days: int) -> tuple[NDArray[np.float64], float]:
    begun = time.process_time()
    score = work()
    return score, meter_days / (time.process_time() - begun)


def _forest_on_days(data: Households, cases: Cases) -> tuple[NDArray[np.float64], float]:
    pairs = sorted(set(zip(cases.household.tolist(), cases.start.tolist(), strict=True)))
    forest = IsolationForest(random_state=1, n_jobs=1).fit(np.concatenate([_history(data, h, s) for h, s in pairs]))
    days = np.concatenate([_own(data, cases, n) for n in range(len(cases.fall))])

    def work() -> NDArray[np.float64]:
        return np.asarray(-forest.score_samples(days).reshape(-1, WINDOW).mean(axis=1))

    return _timed(work, len(days))


def _forest_on_changes(data: Households, cases: Cases) -> tuple[NDArray[np.float64], float]:  # noqa: ARG001
    # Trained on other homes' honest windows, those at the file's other positions being unseen here, by halves.
    known = np.where(np.isfinite(cases.changes), cases.changes, 0.0)
    score = np.empty(len(known))
    begun = time.process_time()
    homes = np.unique(cases.household)
    for half in (homes[::2], homes[1::2]):
        its = np.isin(cases.household, half)
        forest = IsolationForest(random_state=1, n_jobs=1).fit(known[~its & (cases.fall == 0)])
        score[its] = -forest.score_samples(known[its])
    return score, len(known) * WINDOW / (time.process_time() - begun)


def _half_space(data: Households, cases: Cases) -> tuple[NDArray[np.float64], float]:
    names = [str(k) for k in range(_HOURS)]
    learnt: dict[tuple[int, int], Any] = {}

    def work() -> NDArray[np.float64]:
        score = np.empty(len(cases.fall))
        for n, key in enumerate(zip(cases.household.tolist(), cases.start.tolist(), strict=True)):
            if key not in learnt:
                # Its window of references must be full before it says anything.
                trees: Any = HalfSpaceTrees(n_trees=10, height=6, window_size=14, seed=1)
                for day in _history(data, *key):
                    trees.learn_one(dict(zip(names, day.tolist(), strict=True)))
                learnt[key] = trees
            rows = (dict(zip(names, day.tolist(), strict=True)) for day in _own(data, cases, n))
            score[n] = np.mean([learnt[key].score_one(row) for row in rows])
        return score

    return _timed(work, len(cases.fall) * WINDOW)


def daily_model_speed() -> float:
    """Meter-days a second, 400 meters of 96 slots, folded and scored, in processor time of one core."""
    random = np.random.default_rng(1)
    days = [random.gamma(1.5, 80.0, (400, 96)).astype(np.int64) for _ in range(28)]
    state, ordinal, rates = UsageModel().init(400), 0, []
    for _ in range(8):
        begun = time.process_time()
        for day in days:
            state = fold_day(state, UsageDay(ordinal, day, MINUTES / 2, ordinal % 7 >= 5))
            usage_scores(state)
            ordinal += 1
        rates.append(len(days) * 400 / (time.process_time() - begun))
    return float(np.median(rates[2:]))


def live_rules_speed() -> float:
    """Readings (energy, three voltages and currents) a second that the live rules judge; processor time of one core."""
    random, meters = np.random.default_rng(1), 200_000
    imported = random.integers(0, 500, meters)
    imported[random.random(meters) < 0.02] = MISSING_WH
    account = np.where(random.random(meters) < 0.3, ACTIVE | THREE_PHASE, ACTIVE).astype(np.uint8)
    account[random.random(meters) < 0.005] = 0
    voltage = random.integers(2200, 2400, (meters, 3)).astype(np.int16)
    current = random.integers(0, 3000, (meters, 3)).astype(np.int16)
    batch = LiveBatch(imported, np.zeros(meters, np.int64), voltage, current, np.full(meters, 2000), account)
    rules = LiveRules()
    state, rates = rules.init(meters), []
    for _ in range(12):
        begun = time.process_time()
        for _ in range(5):
            state, _said = rules.update(state, batch)
        rates.append(5 * meters / (time.process_time() - begun))
    return float(np.median(rates[2:]))
