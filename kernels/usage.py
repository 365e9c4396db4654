"""Daily model of a meter's own use: has it fallen or risen, for how long, and is it the kind of change that a fault or
a fraud makes?

A current transformer that is bridged, or a wrong ratio, scales *everything*: what runs at night, the mean, the peaks.
A holiday, a season or a new appliance changes some of these and leaves others. So four figures of each day (mean,
floor, crest, peak) are compared in three ways (with the long run, with the highest seen, and week against week), and
what counts is how well the twelve changes agree on one factor. Each change has heavy tails of its own (Cauchy), so that
three quarters that agree weigh more than one that doesn't. Described in docs/explanation/usage.md.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from kernels.usage_fold import FIGURES, KEPT, NO_FIGURE, NO_PROFILE, OFFSET_W, PARTS, PROFILE_TO_LOG, fold_meters
from kernels.usage_score import agreement, changes, levels

Floats = NDArray[np.float64]

VERSION = 1
#: Spread of the twelve changes between two periods in which nothing happened: long run, highest, week by week.
#: Chosen on every second household of the Smart Grid Smart City file; see benchmarks/usage.py.
SPREADS = np.array([0.14, 0.16, 0.13, 0.14, 0.18, 0.26, 0.14, 0.12, 0.12, 0.14, 0.12, 0.12])
#: Factors that are tried: what is left of the use after a fall, by as much more after a rise.
SHARES = np.linspace(0.15, 0.9, 12)
_SHIFTS = -np.log1p(-SHARES)
#: How much of the change of the area's middle meter is taken as season and weather in each of its meters.
_COMMON = 0.5
#: Fewer meters have no middle.
_LEAST_METERS = 8


@dataclass(frozen=True, slots=True, eq=False)
class UsageState:
    """What is remembered of the meters of an area: 254 bytes each.

    Attributes
    ----------
    through
        int64 of shape (1,): the last day that was folded, as an ordinal; −1 = none.
    ring
        uint8 (meters, KEPT, FIGURES): figures of the last days, at day modulo KEPT; 255 = none.
    base, weight
        float32 (meters, FIGURES) and (meters,): weighted mean of the logarithm over days older than RECENT, and the
        weight that it rests on, 0…1.
    highest
        float32 (meters, FIGURES): logarithm of the highest among these days, sinking slowly.
    profile
        uint16 (meters, 2, PARTS): mean power by kind of day and part of day, coded; 0 = none.
    cusum
        float32 (meters, 2): how far the days fell short of and went beyond the profile, in standard deviations.
    spread
        float32 (meters,): standard deviation of a day's logarithm about the profile.
    runs
        uint16 (meters, 3): readings in a row, to the end of the last day, that were zero, equal, negative.
    night
        float32 (meters, 2): share of a day's use from midnight to six, over a week and in the long run; NaN = none.
    last_wh
        int32 (meters,): the last reading, for a run that goes on; the least number = none.
    """

    through: NDArray[np.int64]
    ring: NDArray[np.uint8]
    base: NDArray[np.float32]
    weight: NDArray[np.float32]
    highest: NDArray[np.float32]
    profile: NDArray[np.uint16]
    cusum: NDArray[np.float32]
    spread: NDArray[np.float32]
    runs: NDArray[np.uint16]
    night: NDArray[np.float32]
    last_wh: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class UsageDay:
    """A local day of an area.

    Attributes
    ----------
    day
        Ordinal; days come in rising order, and what lies between counts as missing.
    energy_wh
        int64 (meters, slots), at least 24 slots: what each meter counted, times its multiplier, less what it gave back;
        `MISSING_WH` = no reading. A day of 23 or 25 hours has fewer or more slots.
    minutes
        Length of a slot.
    weekend
        The day is of the second kind: a weekend or a holiday.
    """

    day: int
    energy_wh: NDArray[np.int64]
    minutes: float
    weekend: bool

    def __post_init__(self) -> None:
        if self.energy_wh.ndim != 2 or self.energy_wh.shape[1] < 24:
            raise ValueError(f"energy_wh has shape {self.energy_wh.shape}, wants (meters, at least 24 slots)")
        if not self.minutes > 0.0 or self.day < 0:
            raise ValueError("minutes must be above 0, day not negative")


@dataclass(frozen=True, slots=True, eq=False)
class UsageScores:
    """What the model says after a day; arrays of shape (meters,).

    Attributes
    ----------
    fall, rise
        Logarithm of how much better the changes of the last 28 days are explained by one factor on everything than by
        chance: a fall to a part, a rise by one over such a part. NaN: less than four weeks of history before these.
    share
        By which share everything fell, if it fell; and `growth` by which it grew if it rose.
    usual_w, recent_w
        Mean power in the long run (geometric mean over days) and over the recent days.
    since_days
        Days for which it has been so, by the mean of each day.
    cusum_low, cusum_high
        Standard deviations by which the days together fell short of, went beyond, what is usual.
    zero_run, flat_run, negative_run
        Readings in a row, to the end of the day, that were zero, equal (zeros included), negative.
    night_change
        Logarithm of the share of use from midnight to six in the last week, against the long run; NaN = not known.
    """

    fall: Floats
    rise: Floats
    share: Floats
    growth: Floats
    usual_w: Floats
    recent_w: Floats
    since_days: NDArray[np.int64]
    cusum_low: Floats
    cusum_high: Floats
    zero_run: NDArray[np.int64]
    flat_run: NDArray[np.int64]
    negative_run: NDArray[np.int64]
    night_change: Floats


class UsageModel:
    """The detector, as `kernels.detector.Detector` has it: one state an area, one update a day."""

    def init(self, meters: int) -> UsageState:
        """State of meters of which nothing was seen."""
        return UsageState(
            through=np.full(1, -1),
            ring=np.full((meters, KEPT, FIGURES), NO_FIGURE, np.uint8),
            base=np.zeros((meters, FIGURES), np.float32),
            weight=np.zeros(meters, np.float32),
            highest=np.zeros((meters, FIGURES), np.float32),
            profile=np.full((meters, 2, PARTS), NO_PROFILE, np.uint16),
            cusum=np.zeros((meters, 2), np.float32),
            spread=np.full(meters, 0.5, np.float32),
            runs=np.zeros((meters, 3), np.uint16),
            night=np.full((meters, 2), np.nan, np.float32),
            last_wh=np.full(meters, np.iinfo(np.int32).min, np.int32),
        )

    def update(self, state: UsageState, batch: UsageDay) -> tuple[UsageState, UsageScores]:
        """Fold a day and say what follows.

        Raises
        ------
        ValueError
            When the day isn't after the last one, or has another number of meters.
        """
        state = fold_day(state, batch)
        return state, usage_scores(state)


def fold_day(state: UsageState, batch: UsageDay) -> UsageState:
    """Fold a day; see `UsageModel.update`."""
    through = int(state.through[0])
    if batch.day <= through:
        raise ValueError(f"day {batch.day} comes after day {through}")
    if len(batch.energy_wh) != len(state.ring):
        raise ValueError(f"{len(batch.energy_wh)} meters, the state has {len(state.ring)}")
    new = UsageState(**{f.name: getattr(state, f.name).copy() for f in fields(state)})
    new.through[0] = batch.day
    fold_meters(  # type: ignore[call-arg]  # mypy counts what is unpacked as none
        *(getattr(new, f.name) for f in fields(new) if f.name != "through"),
        np.ascontiguousarray(batch.energy_wh, np.int64),
        batch.day,
        through if through >= 0 else batch.day - 1,
        60.0 / batch.minutes,
        int(batch.weekend),
    )
    return new


def grow(state: UsageState, meters: int) -> UsageState:
    """The state with room for meters that were added to the area; those that were there keep their places."""
    more = meters - len(state.ring)
    if more < 0:
        raise ValueError(f"{meters} meters, the state has {len(state.ring)} already")
    blank = UsageModel().init(more)
    names = (f.name for f in fields(state) if f.name != "through")
    return UsageState(state.through, **{n: np.concatenate([getattr(state, n), getattr(blank, n)]) for n in names})


def usage_scores(state: UsageState, common: float | None = None) -> UsageScores:
    """What a state says of its meters.

    Parameters
    ----------
    common
        By how much use fell (natural logarithm of the factor, positive = fell) for a reason that all meters share. By
        default the middle of the state's meters, from 8 meters on.
    """
    found = usage_changes(state)
    if common is None:
        known = found[np.isfinite(found[:, 0]), 0]
        common = float(np.median(known)) if len(known) >= _LEAST_METERS else 0.0
    fall, share = agreement(found - _COMMON * common, _SHIFTS, SPREADS)
    rise, growth = agreement(_COMMON * common - found, _SHIFTS, SPREADS)
    usual, recent, since = levels(state.ring, state.base, state.weight, int(state.through[0]))
    runs = state.runs.astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        night = np.log(state.night[:, 0] + 0.01) - np.log(state.night[:, 1] + 0.01)
    return UsageScores(
        fall=fall,
        rise=rise,
        share=-np.expm1(-share),
        growth=np.expm1(growth),
        usual_w=usual,
        recent_w=recent,
        since_days=since,
        cusum_low=state.cusum[:, 0].astype(np.float64),
        cusum_high=state.cusum[:, 1].astype(np.float64),
        zero_run=runs[:, 0],
        flat_run=runs[:, 1],
        negative_run=runs[:, 2],
        night_change=night.astype(np.float64),
    )


def usage_changes(state: UsageState) -> Floats:
    """The twelve changes, (meters, 12), in natural logarithms, positive = fell; NaN = not known.

    Four against the long run, four of the highest against the highest before, four of the first recent week against
    the week before it; each of mean, floor, crest, peak.
    """
    return np.asarray(changes(state.ring, state.base, state.weight, state.highest, int(state.through[0])))


def expected_w(state: UsageState, *, weekend: bool) -> Floats:
    """The profile of a kind of day in W, (meters, PARTS); NaN = not known."""
    code = state.profile[:, int(weekend)].astype(np.float64)
    return np.where(code == NO_PROFILE, np.nan, OFFSET_W * (np.exp(code * PROFILE_TO_LOG) - 1.0))
