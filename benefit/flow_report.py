"""The flow of the work as one value: times, waiting, rework, deviations, bottlenecks, and what to do; pure."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from benefit.flow_bottlenecks import Bottleneck, FlowRules, find_bottlenecks
from benefit.flow_cases import Deviation, Loop, Stay, Traced
from benefit.flow_process import Process
from benefit.flow_times import quantile

#: Deviations that a report names; it counts them all.
_NAMED = 50
#: Of all cases of a kind, when rework is worth a recommendation.
_OFTEN = 0.2


@dataclass(frozen=True, slots=True)
class StepTimes:
    """Stays in a stage with a department, of one kind of case or, where `kind` is None, of all.

    Attributes
    ----------
    lasting
        How many are there still.
    p50_s, p90_s
        Estimated with what still lasts; NaN where too few have ended.
    spent_s
        In all; of it `again_s` since a case had come back.
    working
        Whether somebody is at work on it; else it waits.
    """

    stage: str
    department: str
    kind: str | None
    stays: int
    lasting: int
    p50_s: float
    p90_s: float
    spent_s: float
    again_s: float
    working: bool


@dataclass(frozen=True, slots=True)
class Rework:
    """Steps back to a stage where cases had been: how often, in how many cases, and the time until they were as far."""

    kind: str
    stage: str
    action: str
    times: int
    cases: int
    spent_s: float


@dataclass(frozen=True, slots=True)
class Older:
    """Cases that began before the time that is looked at and are owed something still: where they are, since when."""

    stage: str
    department: str
    cases: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to do, the step it concerns, what it rests on, and what it would save."""

    about: str
    step: str
    department: str | None
    cases: int
    evidence: str
    gain_s: float
    how: str


@dataclass(frozen=True, slots=True)
class ProcessFlow:
    """The flow of one kind of case."""

    process: str
    cases: int
    over: int
    lead_p50_s: float
    lead_p90_s: float
    waiting_s: float
    working_s: float
    conforming: int
    steps: tuple[StepTimes, ...]
    rework: tuple[Rework, ...]
    deviations: tuple[Deviation, ...]
    deviating_steps: int
    bottlenecks: tuple[Bottleneck, ...]
    recommendations: tuple[Recommendation, ...]
    older: tuple[Older, ...] = ()


def flow_of(
    process: Process, traced: Traced, rules: FlowRules, allowed_s: Mapping[str, float], older: Sequence[Stay] = ()
) -> ProcessFlow:
    """Put together what the cases of a process came to.

    Parameters
    ----------
    allowed_s
        As of `find_bottlenecks`.
    older
        Stays of cases that began before: they are told, and compared with nothing, since what went fast isn't among
        them.
    """
    bottlenecks = find_bottlenecks(process.name, traced.stays, rules, allowed_s)
    rework = _rework(traced.loops)
    lead_s, over = np.array(traced.lead_s), np.array(traced.over, np.bool_)
    working_s = sum(stay.seconds for stay in traced.stays if stay.stage in process.working)
    return ProcessFlow(
        process=process.name,
        cases=len(lead_s),
        over=int(over.sum()),
        lead_p50_s=quantile(lead_s, over, 0.5),
        lead_p90_s=quantile(lead_s, over, 0.9),
        waiting_s=sum(stay.seconds for stay in traced.stays) - working_s,
        working_s=working_s,
        conforming=len(lead_s) - len({d.case for d in traced.deviations}),
        steps=_steps(process, traced.stays),
        rework=rework,
        deviations=tuple(traced.deviations[:_NAMED]),
        deviating_steps=len(traced.deviations),
        bottlenecks=tuple(bottlenecks),
        recommendations=(
            *(_relieve(b) for b in bottlenecks),
            *_spare(process.name, rework, traced.stays, rules.fewest),
        ),
        older=_older(older),
    )


def _older(stays: Sequence[Stay]) -> tuple[Older, ...]:
    groups: dict[tuple[str, str], list[Stay]] = defaultdict(list)
    for stay in stays:
        if stay.action is None:
            groups[stay.stage, stay.department].append(stay)
    found = [Older(*place, len(some), min(stay.begin for stay in some)) for place, some in groups.items()]
    return tuple(sorted(found, key=lambda o: (o.oldest_at, o.stage, o.department)))


def _steps(process: Process, stays: Sequence[Stay]) -> tuple[StepTimes, ...]:
    groups: dict[tuple[str, str, str | None], list[Stay]] = defaultdict(list)
    for stay in stays:
        groups[stay.stage, stay.department, None].append(stay)
        groups[stay.stage, stay.department, stay.kind].append(stay)
    order = sorted(groups, key=lambda g: (g[0], g[1], g[2] or ""))
    return tuple(_times(process, key, groups[key]) for key in order)


def _times(process: Process, key: tuple[str, str, str | None], stays: Sequence[Stay]) -> StepTimes:
    seconds, ended = np.array([stay.seconds for stay in stays]), np.array([stay.ended for stay in stays])
    return StepTimes(
        *key,
        stays=len(stays),
        lasting=sum(stay.action is None for stay in stays),
        p50_s=quantile(seconds, ended, 0.5),
        p90_s=quantile(seconds, ended, 0.9),
        spent_s=float(seconds.sum()),
        again_s=sum(stay.seconds for stay in stays if stay.again),
        working=key[0] in process.working,
    )


def _rework(loops: Sequence[Loop]) -> tuple[Rework, ...]:
    groups: dict[tuple[str, str, str], list[Loop]] = defaultdict(list)
    for loop in loops:
        groups[loop.kind, loop.stage, loop.action].append(loop)
    found = [
        Rework(*key, len(some), len({loop.case for loop in some}), sum(loop.seconds for loop in some))
        for key, some in groups.items()
    ]
    return tuple(sorted(found, key=lambda r: (-r.spent_s, r.kind, r.stage, r.action)))


def _relieve(b: Bottleneck) -> Recommendation:
    until = f" until {b.until}" if b.until else ""
    others = ", ".join(b.reference)
    return Recommendation(
        about="bottleneck",
        step=f"{b.process}: {b.stage}",
        department=b.department,
        cases=b.stays,
        evidence=(
            f"{b.stays} stays of {_length(b.p50_s)} at the median{until} (90 %: {_length(b.p90_s)}), "
            f"{b.lasting} still last; {others}: {_length(b.reference_p50_s)} in {b.reference_stays} stays. "
            f"{b.times:.1f} times as long for each end, by chance with p = {b.chance:.1g}; "
            f"{b.lead_share:.0%} of the time of all steps"
        ),
        gain_s=b.gain_s,
        how=(
            f"the {_length(b.spent_s)} spent in the step, less what its {max(b.ended, 0.5):g} ends take at the pace of "
            f"the others ({_length(b.reference_pace_s)} each)"
        ),
    )


def _spare(process: str, rework: Sequence[Rework], stays: Sequence[Stay], fewest: int) -> list[Recommendation]:
    """Rework that comes often: what sends cases back is to be asked before they are sent on."""
    of_kind: dict[str, set[int | str]] = defaultdict(set)
    for stay in stays:
        of_kind[stay.kind].add(stay.case)
    found = []
    for r in rework:
        cases = len(of_kind[r.kind])
        if r.cases >= fewest and r.cases >= _OFTEN * cases:
            evidence = f"{r.times} times in {r.cases} of {cases} cases of {r.kind}: {r.action} back to {r.stage}"
            how = "the time from each step back until the case was as far as before"
            found.append(Recommendation("rework", f"{process}: {r.action}", None, r.cases, evidence, r.spent_s, how))
    return found


def plain(value: Any) -> Any:
    """For JSON, which has no NaN: what isn't known is null."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _length(seconds: float) -> str:
    """A length of time for people."""
    if seconds != seconds:  # noqa: PLR0124  # NaN: too few have ended
        return "more than has been seen"
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.0f} s"
