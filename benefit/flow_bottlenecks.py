"""Where the work is held up: the steps that take longer than they need to; pure.

A step with a department is compared with the same step at the other departments, of the same kinds of case where there
are enough. Only what no other department does slower or faster is compared with the other steps of its process, and
named when it takes most of the whole time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benefit.flow_cases import NOBODY, Stay
from benefit.flow_times import log_rank, quantile, seconds_per_end

Place = tuple[str, str]
"""Stage and department."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FlowRules:
    """When a step is named as a bottleneck.

    Attributes
    ----------
    fewest
        Stays that are needed on either side of a comparison.
    chance
        Probability that anything is named in a process in which every step takes the same time everywhere.
    times_peers
        How many times longer than at the other departments.
    times_steps, share
        The same of the other steps, and the least share of the whole time.
    shortest_s
        What takes less isn't named.
    """

    fewest: int = 8
    chance: float = 0.001
    times_peers: float = 2.0
    times_steps: float = 5.0
    share: float = 0.6
    shortest_s: float = 60.0

    def __post_init__(self) -> None:
        if not (self.fewest > 1 and 0 < self.chance < 1 and self.times_peers > 1 and self.times_steps > 1):
            raise ValueError(f"rules that would name anything: {self}")


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A step that takes longer than what it is compared with.

    Attributes
    ----------
    compared_with
        ``departments`` or ``steps``: what the reference is.
    reference
        Names of those departments or steps.
    stays, lasting
        How often cases came there, and how many are there still.
    kinds
        Of case, with how many stays.
    until
        What most often ended the stays; None: nothing did.
    p50_s, p90_s, reference_p50_s
        Estimated with what still lasts; NaN where too few have ended.
    times
        Time spent for each end, over that of the reference.
    chance
        Probability of such a difference by chance (log-rank test).
    spent_s
        Time spent in the step in all.
    gain_s
        Of that, what the same number of ends would not need at the reference's pace.
    lead_share
        Share of the time of all steps of the process.
    """

    process: str
    stage: str
    department: str
    compared_with: str
    reference: tuple[str, ...]
    stays: int
    ended: int
    lasting: int
    kinds: Mapping[str, int]
    until: str | None
    p50_s: float
    p90_s: float
    reference_stays: int
    reference_p50_s: float
    reference_pace_s: float
    times: float
    chance: float
    spent_s: float
    gain_s: float
    lead_share: float


def find_bottlenecks(
    process: str, stays: Sequence[Stay], rules: FlowRules, allowed_s: Mapping[str, float]
) -> list[Bottleneck]:
    """Bottlenecks of a process, the one with the greatest gain first.

    Parameters
    ----------
    allowed_s
        How long steps of work may take, by stage: against other steps such a one is named only when its median is more.
    """
    if not stays:
        return []
    search = _Search(process, stays, rules, allowed_s)
    return sorted(search.found(), key=lambda b: (-b.gain_s, b.stage, b.department))


class _Search:
    def __init__(self, process: str, stays: Sequence[Stay], rules: FlowRules, allowed_s: Mapping[str, float]) -> None:
        self._process = process
        self._stays = stays
        self._rules = rules
        self._allowed_s = allowed_s
        self._seconds = np.array([stay.seconds for stay in stays])
        self._ended = np.array([stay.ended for stay in stays])
        self._stage = np.array([stay.stage for stay in stays])
        self._department = np.array([stay.department for stay in stays])
        self._kind = np.array([stay.kind for stay in stays])
        self._left = np.ones(len(stays), np.bool_)
        counts = Counter((stay.stage, stay.department) for stay in stays if stay.department != NOBODY)
        self._places = sorted(place for place, count in counts.items() if count >= rules.fewest)

    def found(self) -> Iterator[Bottleneck]:
        for compare in (self._with_departments, self._with_steps):
            # The worst is taken out before the next is looked for: it must not hide what is nearly as bad.
            while candidates := [b for place in self._places if (b := compare(place)) is not None]:
                worst = max(candidates, key=lambda b: (b.gain_s, b.stage, b.department))
                yield worst
                self._left &= ~self._at((worst.stage, worst.department))
                self._places.remove((worst.stage, worst.department))

    def _at(self, place: Place) -> Mask:
        here: Mask = (self._stage == place[0]) & (self._department == place[1])
        return here

    def _with_departments(self, place: Place) -> Bottleneck | None:
        mine = self._at(place)
        others = self._left & (self._stage == place[0]) & ~mine & (self._department != NOBODY)
        alike = others & np.isin(self._kind, np.unique(self._kind[mine]))
        if int((alike & self._ended).sum()) >= self._rules.fewest:
            others = alike
        return self._compared("departments", place, mine, others, self._rules.times_peers)

    def _with_steps(self, place: Place) -> Bottleneck | None:
        here, others = self._left & (self._stage == place[0]), self._left & (self._stage != place[0])
        here_s = float(self._seconds[here].sum())
        if len(np.unique(self._stage[others])) < 2 or here_s < self._rules.share * float(self._seconds.sum()):
            return None
        if self._pace_s(here) < self._rules.times_steps * self._pace_s(others):
            return None  # one department alone is compared with the others
        found = self._compared("steps", place, self._at(place), others, self._rules.times_steps)
        if found is None or found.p50_s <= self._allowed_s.get(place[0], 0.0):
            return None
        return found

    def _pace_s(self, mask: Mask) -> float:
        return seconds_per_end(self._seconds[mask], self._ended[mask])

    def _compared(self, what: str, place: Place, mine: Mask, others: Mask, times: float) -> Bottleneck | None:
        seconds, ended = self._seconds[mine], self._ended[mine]
        other_s, other_ended = self._seconds[others], self._ended[others]
        if int(other_ended.sum()) < self._rules.fewest:
            return None
        pace_s, other_pace_s = seconds_per_end(seconds, ended), seconds_per_end(other_s, other_ended)
        if pace_s < max(times * other_pace_s, self._rules.shortest_s):
            return None
        chance = log_rank(seconds, ended, other_s, other_ended)
        if chance * self._tests > self._rules.chance:
            return None
        names = self._department if what == "departments" else self._stage
        stays = [stay for stay, here in zip(self._stays, mine.tolist(), strict=True) if here]
        until = Counter(stay.action for stay in stays if stay.ended and stay.action is not None)
        return Bottleneck(
            process=self._process, stage=place[0], department=place[1], compared_with=what,
            reference=tuple(np.unique(names[others]).tolist()), stays=len(stays), ended=int(ended.sum()),
            lasting=sum(stay.action is None for stay in stays),
            kinds=dict(sorted(Counter(stay.kind for stay in stays).items())),
            until=min(until, key=lambda action: (-until[action], action)) if until else None,
            p50_s=quantile(seconds, ended, 0.5), p90_s=quantile(seconds, ended, 0.9),
            reference_stays=len(other_s), reference_p50_s=quantile(other_s, other_ended, 0.5),
            reference_pace_s=other_pace_s, times=pace_s / other_pace_s if other_pace_s else float("inf"), chance=chance,
            spent_s=float(seconds.sum()), gain_s=float(seconds.sum()) * (1 - other_pace_s / pace_s),
            lead_share=float(seconds.sum() / self._seconds.sum()),
        )  # fmt: skip

    @property
    def _tests(self) -> int:
        """Comparisons that may be made: either of the two of each place."""
        return 2 * len({(stay.stage, stay.department) for stay in self._stays})
