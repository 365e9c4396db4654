"""How probable it is that two records are the same thing, after Fellegi and Sunter (1969); pure.

Each feature that two records agree or disagree in multiplies the odds by m/u: how often it does so among the same
things, over how often among others.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: From here on a match is taken as sure; below, a person looks at it.
SURE = 0.97
#: Below, it is no match.
POSSIBLE = 0.5


@dataclass(frozen=True, slots=True)
class Weight:
    """m and u of a feature: how often the same things agree in it, and how often others do."""

    same: float
    other: float

    def log_odds(self, agrees: bool) -> float:
        """By how much the logarithm of the odds rises."""
        if agrees:
            return math.log(self.same / self.other)
        return math.log((1 - self.same) / (1 - self.other))


#: Set by hand from how often these agree in made-up cities (seeds 1 and 2); docs/explanation/sync.md says how well the
#: probabilities hold on others.
WEIGHTS: Mapping[str, Weight] = {
    "name_near": Weight(0.50, 0.0005),
    "name_like": Weight(0.85, 0.03),
    "name_begins": Weight(0.40, 0.0005),
    "feeder": Weight(0.97, 0.03),
    "rating": Weight(0.97, 0.15),
    "impedance": Weight(0.98, 0.01),
    "losses": Weight(0.98, 0.15),
    "members": Weight(0.98, 0.0005),
    "ends": Weight(0.95, 0.02),
    "normal": Weight(0.99, 0.90),
    "form": Weight(0.98, 0.55),
}


def likelihood_ratio(features: Mapping[str, bool | None]) -> float:
    """How many times as often two records of one thing agree and disagree in this way as two others.

    Parameters
    ----------
    features
        Whether they agree, by name of the feature; None where one of them doesn't say.
    """
    return math.exp(sum(WEIGHTS[name].log_odds(agrees) for name, agrees in features.items() if agrees is not None))


def assign(scores: Iterable[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
    """One to one, the most probable first; the probability is shared among those that compete.

    Parameters
    ----------
    scores
        Probability, number of the record, number of the candidate.
    """
    listed = sorted((s for s in scores if s[0] >= POSSIBLE / 10), key=lambda s: (-s[0], s[1], s[2]))
    of_record: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
    of_candidate: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
    for each in listed:
        of_record[each[1]].append(each)
        of_candidate[each[2]].append(each)
    taken_record: set[int] = set()
    taken_candidate: set[int] = set()
    found = []
    for score, record, candidate in listed:
        if record in taken_record or candidate in taken_candidate:
            continue
        rivals = [other for other, _, c in of_record[record] if c != candidate and c not in taken_candidate]
        rivals += [other for other, r, _ in of_candidate[candidate] if r != record and r not in taken_record]
        odds = score / max(1 - score, 1e-12)
        against = 1 + sum(other / max(1 - other, 1e-12) for other in rivals)
        shared = odds / (odds + against)
        if shared >= POSSIBLE:
            found.append((shared, record, candidate))
            taken_record.add(record)
            taken_candidate.add(candidate)
    return found
