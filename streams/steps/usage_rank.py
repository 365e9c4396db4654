"""What to visit first, learnt from what visits found: a rate of hits by kind and area, smoothed. Pure.

Without results the confidence of a finding stands for the chance that a visit finds something. Each result of its kind
moves that chance, and each of its kind in its area moves it further: like so many visits with the result expected until
then, `KIND_WEIGHT` and `AREA_WEIGHT`, before those that were made. It can be followed by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

KIND_WEIGHT, AREA_WEIGHT = 4.0, 4.0


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit that was made: what was said, where, and whether it was right.

    Attributes
    ----------
    month
        First day of the month of the result.
    expected_wh
        Energy times confidence, by which it had been ranked.
    """

    kind: str
    area: str
    confirmed: bool
    month: date
    expected_wh: float


class HitRates:
    """Chances that a visit finds what a finding says."""

    def __init__(self, visits: Iterable[Visit]) -> None:
        self._made: Counter[tuple[str, str | None]] = Counter()
        self._hits: Counter[tuple[str, str | None]] = Counter()
        for visit in visits:
            for key in ((visit.kind, None), (visit.kind, visit.area)):
                self._made[key] += 1
                self._hits[key] += visit.confirmed

    def chance(self, kind: str, area: str, confidence: float) -> float:
        """Chance for a finding of that confidence, 0…1."""
        of_kind = self._smooth((kind, None), confidence, KIND_WEIGHT)
        return self._smooth((kind, area), of_kind, AREA_WEIGHT)

    def _smooth(self, key: tuple[str, str | None], expected: float, weight: float) -> float:
        return (self._hits[key] + weight * expected) / (self._made[key] + weight)


@dataclass(frozen=True, slots=True)
class Precision:
    """How right a month's visits were: all of them, and the `k` that had been ranked highest."""

    month: date
    visits: int
    confirmed: int
    precision: float
    precision_at_k: float


def precision_by_month(visits: Sequence[Visit], k: int) -> list[Precision]:
    """Precision of each month with a visit, in order."""
    found = []
    for month in sorted({visit.month for visit in visits}):
        made = sorted((v for v in visits if v.month == month), key=lambda v: -v.expected_wh)
        hits = [v.confirmed for v in made]
        top = hits[:k]
        found.append(Precision(month, len(made), sum(hits), sum(hits) / len(hits), sum(top) / len(top)))
    return found
