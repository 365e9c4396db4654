"""Whether the stated effect of a repair is right: thefts of the twin that end, and repairs of nothing.

Truth is made by `benchmarks.benefit_truth`, which knows nothing of `benefit`. Reported are seeds that were never looked
at while the method was made; those that it was chosen by stand under `--developing`. `covered`: the 95 % interval
contains what the repair truly brought over the days after. `false`: a placebo repair is said to have had an effect.
Beside it stands how far the simple comparison of before and after is off.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from benchmarks.benefit_truth import Scene, Scenes
from benchmarks.report import Result, main, result, with_interval
from benefit.comparison import choose_controls, compare
from benefit.effect import Effect
from benefit.matching import MatchRules

DEVELOPING = tuple(range(1_000, 1_025))
REPORTED = tuple(range(8_000, 8_010))
AREAS, CASES = 100, 20
#: When an effect is looked for first.
EARLY_DAYS = 14


@dataclass(frozen=True, slots=True)
class Case:
    """A repair and what was said of it; `true_wh` is 0 of a placebo."""

    effect: Effect
    true_wh: float
    placebo: bool

    @property
    def covered(self) -> bool:
        """Whether the interval contains the truth."""
        return self.effect.low_wh <= self.true_wh <= self.effect.high_wh


def cases_of(scene: Scene, rules: MatchRules) -> list[Case]:
    """Each repair and placebo of a scene; no treated area is a control."""
    others = np.setdiff1d(np.arange(scene.loss_wh.shape[1]), scene.treated)
    found = []
    truths = np.concatenate([scene.recovered_wh, np.zeros(len(scene.placebo))])
    for number, (area, true_wh) in enumerate(
        zip(np.concatenate([scene.treated, scene.placebo]).tolist(), truths.tolist(), strict=True)
    ):
        pool = others[others != area]
        own = scene.loss_wh[:, area], scene.inflow_wh[:, area]
        theirs = scene.loss_wh[:, pool], scene.inflow_wh[:, pool]
        chosen = choose_controls(*own, *theirs, scene.before, scene.after, rules)
        effect = compare(*own, theirs[0][:, chosen], theirs[1][:, chosen], scene.before, scene.after, int(area))
        found.append(Case(effect, true_wh, number >= len(scene.treated)))
    return found


def measure(seeds: Sequence[int]) -> list[Result]:
    """Shares and errors over the cities of some seeds."""
    maker, rules = Scenes(AREAS), MatchRules()
    cases, early = [], []
    for seed in seeds:
        scene = maker.make(seed, CASES)
        cases += cases_of(scene, rules)
        early += cases_of(scene.early(EARLY_DAYS), rules)
        sys.stderr.write(f"seed {seed}: {len(cases)} cases\n")
    return judge(cases) + judge(early, f"after {EARLY_DAYS} days: ")


def judge(cases: Sequence[Case], prefix: str = "") -> list[Result]:
    """Shares and errors over many cases.

    What is credited is only what is shown: its sum over what all repairs truly brought says how much of it the ledger
    claims, or that it claims too much.
    """
    repairs, placebos = [c for c in cases if not c.placebo], [c for c in cases if c.placebo]

    def share(text: str, of: Sequence[Case], values: Sequence[bool], target: float | None = None) -> Result:
        name, less = prefix + text, text.startswith("false")
        found = result(name, float(np.mean(values)), "", target, less_is_better=less)
        return with_interval(found, len(of))

    def error(text: str, of: Sequence[Case]) -> Result:
        name = prefix + text
        own = float(np.median([abs(c.effect.recovered_wh - c.true_wh) for c in of]))
        simple = float(np.median([abs(c.effect.before_after_wh - c.true_wh) for c in of]))
        return result(name, own, "Wh", None, "before and after", simple, less_is_better=True)

    covered = [c.covered for c in repairs]
    return [
        share("true recovered energy inside the 95 % interval (at most 0.98 too)", repairs, covered, 0.90),
        share("effect shown of thefts that ended", repairs, [c.effect.shown for c in repairs]),
        share("false: effect shown of placebo repairs", placebos, [c.effect.shown for c in placebos], 0.05),
        share("placebo repairs: zero inside the interval", placebos, [c.covered for c in placebos]),
        error("median error, thefts that ended", repairs),
        error("median error, placebo repairs", placebos),
        result(
            f"{prefix}credited sum / true sum",
            sum(c.effect.recovered_wh for c in cases if c.effect.shown) / sum(c.true_wh for c in repairs),
            "",
        ),
        result(
            f"{prefix}median half width",
            float(np.median([c.effect.high_wh - c.effect.low_wh for c in repairs])) / 2,
            "Wh",
        ),
        result(f"{prefix}median true recovered energy", float(np.median([c.true_wh for c in repairs])), "Wh"),
    ]


if __name__ == "__main__":
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--developing", action="store_true", help="the seeds that the method was chosen by")
    known, rest = own.parse_known_args()
    sys.argv[1:] = rest
    main(partial(measure, DEVELOPING if known.developing else REPORTED), f"{__doc__}\n--developing: those seeds.")
