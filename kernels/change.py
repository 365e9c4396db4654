"""Why the loss of a unit changed between two periods, as a sum of parts that adds up to the watt-hour.

Intervals of the two periods are compared in pairs that have the same place in their period. What has no counterpart is
length or data quality. What the pairs differ by is technical loss, as stored, and the rest, in which steps are looked
for that recorded changes of members and meters, or estimates, would make if they were wrong. Whatever nothing accounts
for is unexplained. The definitions stand in docs/explanation/change.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from kernels.paired_steps import Candidate, Outcome, fit_slope, fit_steps

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Cause(StrEnum):
    """The parts of a change."""

    LENGTH = "length"  # one period has intervals that the calendar of the other lacks
    DATA_QUALITY = "data_quality"
    TOPOLOGY = "topology"
    METER = "meter"
    GENERATION = "generation"
    TECHNICAL = "technical"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True, eq=False)
class PeriodLoss:
    """Intervals of one unit over one period, all of one length, computable or not; arrays of shape (n,).

    Attributes
    ----------
    slot
        int64, each once: place of the interval in its period. Equal slots of two periods are compared.
    begin_us, end_us
        int64, microseconds since 1970.
    computable
        bool; the figures of others are not looked at.
    loss_wh
        int64.
    doubtful_wh
        int64, not negative: energy of members that was estimated or substituted.
    generation_wh, through_wh
        int64: fed in by members; what the unit took through its gateways less what it gave back.
    technical_wh, technical_sigma_wh
        float64: technical loss, part of `loss_wh`, and its standard deviation; NaN = not known.
    sigma_wh, systematic_sigma_wh
        float64: standard deviation of `loss_wh`, and the part of it that intervals share.
    """

    slot: Integers
    begin_us: Integers
    end_us: Integers
    computable: NDArray[np.bool_]
    loss_wh: Integers
    doubtful_wh: Integers
    generation_wh: Integers
    through_wh: Integers
    technical_wh: Floats
    technical_sigma_wh: Floats
    sigma_wh: Floats
    systematic_sigma_wh: Floats

    def __post_init__(self) -> None:
        for field in fields(self):
            shape = getattr(self, field.name).shape
            if shape != self.slot.shape or len(shape) != 1:
                raise ValueError(f"{field.name} has shape {shape}, slot {self.slot.shape}")
        if len(np.unique(self.slot)) != len(self.slot):
            raise ValueError("a slot stands twice in a period")
        if np.any(self.end_us <= self.begin_us):
            raise ValueError("an interval ends before it begins")

    def __len__(self) -> int:
        return len(self.slot)


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """Changes of members, or of their meters, that were recorded for one instant.

    Attributes
    ----------
    cause
        `Cause.TOPOLOGY` or `Cause.METER`.
    at_us
        The instant; for changes between the periods any that lies between them.
    step_wh
        float64 arrays, one for each period, of shape (n,): by how much the loss of an interval after the instant is
        wrong if nothing has changed in truth. NaN = not known.
    late_wh
        The same of an interval before the instant, if everything had changed before it already.
    loss_wh
        int64 arrays, one for each period: loss inside the members concerned, as far as it counts in the unit's. None =
        no such loss counts.
    two_sided
        The record doesn't say in which sense an error would go, as when one meter takes the place of another.
    """

    cause: Cause
    at_us: int
    step_wh: tuple[Floats, Floats]
    late_wh: tuple[Floats, Floats]
    loss_wh: tuple[Integers, Integers] | None = None
    two_sided: bool = False

    def __post_init__(self) -> None:
        if self.cause not in (Cause.TOPOLOGY, Cause.METER):
            raise ValueError(f"a step is of topology or of a meter, not of {self.cause}")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a change.

    Attributes
    ----------
    wh
        Watt-hours by which the later loss is greater for this cause.
    sigma_wh
        Standard deviation; NaN where none can be told.
    notes
        What could not be separated, and why; see docs/explanation/change.md.
    """

    wh: int
    sigma_wh: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a loss.

    Attributes
    ----------
    before_wh, after_wh
        Loss over the computable intervals of each period.
    parts
        All causes; their `wh` add up to `change_wh`.
    sigma_wh
        Standard deviation of `change_wh`.
    pairs
        Pairs of intervals that were compared.
    gaps_wh, estimates_wh
        What of data quality is due to intervals that are computable in one period only, and what to estimates.
    steps
        What became of each step, in the order given.
    moved_wh
        For each step: what its members took with them or brought, part of topology.
    late_since_us
        For each step that was recorded late: the beginning of the first interval that was wrong.
    """

    before_wh: int
    after_wh: int
    parts: dict[Cause, Part]
    sigma_wh: float
    pairs: int
    gaps_wh: int
    estimates_wh: int
    steps: tuple[Outcome, ...]
    moved_wh: tuple[int, ...]
    late_since_us: tuple[int | None, ...]

    @property
    def change_wh(self) -> int:
        """By how much the loss grew."""
        return self.after_wh - self.before_wh


def explain_change(before: PeriodLoss, after: PeriodLoss, steps: Sequence[Step] = ()) -> Change:
    """Split the change of a unit's loss between two periods into parts.

    Parameters
    ----------
    before, after
        The periods; which of them is earlier doesn't matter. Exchanged, they give the parts with the other sign.
    steps
        Recorded changes within and between the periods.

    Returns
    -------
    Change

    Raises
    ------
    ValueError
        When a period has no computable interval, or the shapes of a step are not those of the periods.

    Notes
    -----
    The quadratic split of technical loss between load and generation is that of Bennet (1920), the mean over both
    orders, which for two factors is also Shapley's.
    """
    for period in (before, after):
        if not period.computable.any():
            raise ValueError("a period has no computable interval")
    for step in steps:
        for arrays in (step.step_wh, step.late_wh, step.loss_wh or step.step_wh):
            if (len(arrays[0]), len(arrays[1])) != (len(before), len(after)):
                raise ValueError("a step's arrays are not as long as the periods")
    length_wh, gaps_wh, alone = _unpaired(before, after)
    pairs = _Pairs(before, after)
    moved = [pairs.moved_wh(step) for step in steps]
    moved_wh = tuple(int(of_step.sum()) for of_step in moved)
    rest_wh = np.asarray(pairs.loss_wh - pairs.technical_wh - sum(moved), np.float64)
    candidates = [pairs.candidate(step) for step in steps]
    doubtful = pairs.of("doubtful_wh").astype(np.float64)
    outcomes = fit_steps(rest_wh, [*candidates, Candidate(doubtful, None, -1.0)])
    estimates = outcomes.pop()
    generation = _generation(pairs)
    technical_wh = round(math.fsum(pairs.technical_wh))
    changed = bool(steps)

    parts = {
        Cause.LENGTH: Part(length_wh, _sigma(before, after, alone[0], changed)),
        Cause.DATA_QUALITY: Part(
            gaps_wh + estimates.wh,
            math.hypot(_sigma(before, after, alone[1], changed), estimates.sigma_wh),
            _notes((estimates,)),
        ),
    }
    for cause in (Cause.TOPOLOGY, Cause.METER):
        of_cause = [(o, taken) for o, s, taken in zip(outcomes, steps, moved_wh, strict=True) if s.cause is cause]
        parts[cause] = Part(
            sum(o.wh + taken for o, taken in of_cause),
            math.hypot(*(o.sigma_wh for o, _ in of_cause)),
            _notes(o for o, _ in of_cause),
        )
    parts[Cause.GENERATION] = generation
    parts[Cause.TECHNICAL] = Part(
        technical_wh - generation.wh,
        math.hypot(pairs.technical_sigma_wh(changed), generation.sigma_wh),
        pairs.technical_notes(),
    )
    change_wh = int(after.loss_wh[after.computable].sum()) - int(before.loss_wh[before.computable].sum())
    of_pairs = math.hypot(_sigma(before, after, pairs.rows, changed), pairs.technical_sigma_wh(changed))
    parts[Cause.UNEXPLAINED] = Part(
        change_wh - sum(part.wh for part in parts.values()),
        math.hypot(of_pairs, estimates.sigma_wh, *(o.sigma_wh for o in outcomes)),
        () if len(pairs) else ("no_pairs",),
    )
    return Change(
        before_wh=int(before.loss_wh[before.computable].sum()),
        after_wh=int(after.loss_wh[after.computable].sum()),
        parts=parts,
        sigma_wh=_sigma(before, after, (before.computable, after.computable), changed),
        pairs=len(pairs),
        gaps_wh=gaps_wh,
        estimates_wh=estimates.wh,
        steps=tuple(outcomes),
        moved_wh=moved_wh,
        late_since_us=tuple(pairs.begin_us(s, o.first) for s, o in zip(steps, outcomes, strict=True)),
    )


#: Rows of the earlier and of the later period, as masks or positions.
_Rows = tuple[NDArray[np.bool_] | NDArray[np.intp], NDArray[np.bool_] | NDArray[np.intp]]


def _unpaired(before: PeriodLoss, after: PeriodLoss) -> tuple[int, int, tuple[_Rows, _Rows]]:
    """What the computable intervals without counterpart come to, by why they have none, and which they are."""
    totals = [0, 0]
    rows: list[list[NDArray[np.bool_]]] = [[], []]
    for period, other, sign in ((before, after, -1), (after, before, 1)):
        longer = period.computable & ~np.isin(period.slot, other.slot)
        alone = period.computable & ~longer & ~np.isin(period.slot, other.slot[other.computable])
        for n, mask in enumerate((longer, alone)):
            totals[n] += sign * int(period.loss_wh[mask].sum())
            rows[n].append(mask)
    return totals[0], totals[1], ((rows[0][0], rows[0][1]), (rows[1][0], rows[1][1]))


class _Pairs:
    """Intervals that are computable in both periods, in the order of their slots; differences are later − earlier."""

    def __init__(self, before: PeriodLoss, after: PeriodLoss) -> None:
        self._periods = (before, after)
        there = [np.flatnonzero(p.computable) for p in self._periods]
        _, a, b = np.intersect1d(before.slot[there[0]], after.slot[there[1]], assume_unique=True, return_indices=True)
        self.rows = (there[0][a], there[1][b])
        self.loss_wh = self.of("loss_wh")
        technical_wh = self.of("technical_wh")
        self.known = np.isfinite(technical_wh)
        self.technical_wh = np.where(self.known, technical_wh, 0.0)

    def __len__(self) -> int:
        return len(self.rows[0])

    def both(self, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A figure of each period, pair by pair."""
        return (
            getattr(self._periods[0], name)[self.rows[0]].astype(np.float64),
            getattr(self._periods[1], name)[self.rows[1]].astype(np.float64),
        )

    def of(self, name: str) -> NDArray[np.int64] | NDArray[np.float64]:
        """Difference of a figure."""
        first, second = (getattr(p, name)[rows] for p, rows in zip(self._periods, self.rows, strict=True))
        return np.asarray(second - first)

    def technical_sigma_wh(self, changed: bool) -> float:
        """Of the change of technical loss: what is wrong with a network's data is the same in both periods."""
        sums = [math.fsum(values[self.known]) for values in self.both("technical_sigma_wh")]
        return math.hypot(*sums) if changed else abs(sums[1] - sums[0])

    def technical_notes(self) -> tuple[str, ...]:
        if self.known.all():
            return ()
        return ("partly_known",) if self.known.any() else ("not_known",)

    def _after(self, step: Step) -> tuple[Floats, Floats]:
        """Where the intervals lie: 0 before the step, 1 after it, 0.5 across it."""
        places = []
        for period, rows in zip(self._periods, self.rows, strict=True):
            begun, ended = period.begin_us[rows] >= step.at_us, period.end_us[rows] > step.at_us
            places.append((begun.astype(np.float64) + ended) / 2)
        return places[0], places[1]

    def begin_us(self, step: Step, pair: int | None) -> int | None:
        """Beginning of a pair's interval in the period in which a step lies."""
        if pair is None:
            return None
        begins = [p.begin_us[rows] for p, rows in zip(self._periods, self.rows, strict=True)]
        within = max((b for b in begins if b.min() < step.at_us), key=lambda b: int(b.min()))
        return int(within[pair])

    def moved_wh(self, step: Step) -> Integers:
        """Loss that members took with them, where a pair has them on one side only."""
        if step.loss_wh is None:
            return np.zeros(len(self), np.int64)
        places = self._after(step)
        moved = step.loss_wh[1][self.rows[1]] - step.loss_wh[0][self.rows[0]]
        return np.where(places[0] != places[1], moved, 0)

    def candidate(self, step: Step) -> Candidate:
        """What the step would make of the pairs."""
        places = self._after(step)
        across = (places[0] == 0.5) | (places[1] == 0.5)
        ends, late_ends = [], []
        for n, (period, rows) in enumerate(zip(self._periods, self.rows, strict=True)):
            within = bool(period.begin_us.min() < step.at_us < period.end_us.max())
            ends.append(np.where(places[n] == 1.0, step.step_wh[n][rows], 0.0))
            late_ends.append(np.where((places[n] == 0.0) & within, step.late_wh[n][rows], 0.0))
        step_wh = ends[1] - ends[0]
        if step.two_sided:
            both = step.step_wh[0][self.rows[0]] + step.step_wh[1][self.rows[1]]
            step_wh = np.where(places[0] == places[1], 0.0, np.sign(places[1] - places[0]) * both)
        late_wh = late_ends[1] - late_ends[0]
        step_wh[across] = late_wh[across] = np.nan
        # A meter that took the place of another did so when it was seen to.
        return Candidate(step_wh, None if step.two_sided else late_wh, -1.0 if step.two_sided else 0.0)


def _generation(pairs: _Pairs) -> Part:
    """What a change of fed-in energy makes of technical loss that goes with the square of the flow.

    What flows to the load is N = load − generation, what the unit took less its technical loss; and
    k (N₂² − N₁²) = k (N₁ + N₂) (Δ load − Δ generation), without remainder.
    """
    fed_wh = pairs.of("generation_wh").astype(np.float64)
    if not fed_wh.any():
        return Part(0)
    if not fed_wh[pairs.known].any():
        return Part(0, math.nan, ("not_known",))
    fed_wh = fed_wh[pairs.known]
    taken, technical = pairs.both("through_wh"), pairs.both("technical_wh")
    first, second = ((flow - lost)[pairs.known] for flow, lost in zip(taken, technical, strict=True))
    slope = fit_slope(second * second - first * first, pairs.technical_wh[pairs.known])
    if slope is None:
        return Part(0, math.nan, ("not_separable",))
    moved = math.fsum((first + second) * fed_wh)
    return Part(-round(slope[0] * moved), abs(slope[1] * moved))


def _sigma(before: PeriodLoss, after: PeriodLoss, rows: _Rows, changed: bool) -> float:
    """Standard deviation of the later sum less the earlier one.

    The shared part of the error of meters that stay is the same in both periods, so that its difference is left.
    """
    systematic, variance = [], 0.0
    for period, of_period in zip((before, after), rows, strict=True):
        shared = period.systematic_sigma_wh[of_period]
        systematic.append(math.fsum(shared))
        variance += math.fsum(np.maximum(period.sigma_wh[of_period] ** 2 - shared**2, 0.0))
    left = math.hypot(*systematic) if changed else systematic[1] - systematic[0]
    return math.hypot(left, math.sqrt(variance))


def _notes(outcomes: Iterable[Outcome]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(outcome.note for outcome in outcomes if outcome.note))
