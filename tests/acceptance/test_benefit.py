"""Thefts of the twin that end, and repairs of nothing: a shortened `benchmarks.benefit`, with seeds of its own."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.benefit import EARLY_DAYS, cases_of
from benchmarks.benefit_truth import Scenes
from benefit.matching import MatchRules


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_truth_of_thefts_that_ended_lies_inside_the_interval_and_placebos_show_nothing() -> None:
    maker = Scenes(60)
    scenes = [maker.make(seed, 12) for seed in (31, 32)]
    cases = [case for scene in scenes for case in cases_of(scene, MatchRules())]
    repairs, placebos = [c for c in cases if not c.placebo], [c for c in cases if c.placebo]
    # Of 24 at 95 %, 20 and more in 99 of 100 draws.
    assert sum(case.covered for case in repairs) >= 20
    assert sum(case.effect.shown for case in placebos) <= 1
    found = np.array([case.effect.recovered_wh for case in repairs])
    true = np.array([case.true_wh for case in repairs])
    large = true > np.median(true)
    assert np.median(np.abs(found - true)[large] / true[large]) < 0.2
    assert sum(case.effect.shown for case in repairs) >= 8
    # The same when half of the days after are over.
    early = [case for scene in scenes for case in cases_of(scene.early(EARLY_DAYS), MatchRules())]
    assert {case.effect.days_after for case in early} <= set(range(10, EARLY_DAYS + 1))
    assert sum(case.covered for case in early if not case.placebo) >= 20
    assert sum(case.effect.shown for case in early if case.placebo) <= 1
