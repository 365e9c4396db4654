"""Thefts of the twin at one false finding in 1,000 meter-months: own use, account and the area's loss together.

A city of 24 areas over 13 weeks with its usual events. Meters are judged at the ends of the ninth and the thirteenth
week. A theft counts from two weeks of it within the month on. A false finding is a meter of a month in which nothing
that is to be found concerns it. The loss of an area is known with a gateway's error (0.3 % and 0.5 % at random) and a
technical loss that is a tenth wrong. Accounts know of absences and seasonal homes, but for 20 %, and 5 % of the others
are said to be away.

Meters are ranked by the likelihood ratio of the area's loss (`kernels.undercount`), to which a fall of their own is
added. Beside it stand the ranking that was used before, and own use alone. A bypass of the twin draws the same power
all the time beside a meter that goes on as ever: no figure of energy tells whose it is, so what is found of the other
thefts is given too. So is what is found where only areas are asked whose loss is abnormal, as `meterline usage run`
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.loss_city import BEGIN
from benchmarks.report import Result, main, result, with_interval
from benchmarks.usage_households import FLAG_MISSING, FLAG_WRONG
from grid.model import Role
from kernels.correlation import LossCorrelation, LossDay, blame, fold_loss_day
from kernels.undercount import AreaWindow, undercount
from kernels.usage import UsageDay, UsageModel, fold_day, usage_scores
from meterline.city import make_city
from streams.steps.usage_decide import UsageLimits, theft_log_ratio
from twin.city import City
from twin.events import FRAUD, EventKind

SEEDS = (20_361, 20_362)
_AREAS, _DAYS, _SLOTS, _MINUTES, _MONTH = 24, 91, 96, 15.0, 28
_ENDS = (62, 90)
#: The unexplained share of three days' supply from which on an area's loss is abnormal.
_ABNORMAL = 0.015
_ALARMS = 0.001
#: Meters that count less on a usual day can steal nothing that a gateway would show.
_MATERIAL_WH = 1_000.0
_LIMITS = UsageLimits()
#: Days that `undercount` looks at, twice those that it judges.
_WINDOW = 2 * _MONTH


@dataclass(frozen=True, slots=True, eq=False)
class Months:
    """Meter-months; arrays of shape (months,). `theft` is the kind's name, '' = none; `other` = another finding.

    `usual_wh` is what the meter counts on a usual day; `score` joins all, `before` as it was done before; `asked`: the
    area's loss is abnormal; `meter` is one of all cities.
    """

    score: NDArray[np.float64]
    before: NDArray[np.float64]
    own: NDArray[np.float64]
    theft: NDArray[np.str_]
    other: NDArray[np.bool_]
    usual_wh: NDArray[np.float64]
    asked: NDArray[np.bool_]
    meter: NDArray[np.str_]


def play(seed: int) -> Months:
    """Let a city pass and judge its meters twice."""
    random = np.random.default_rng(seed)
    city = make_city("demonstration", areas=_AREAS, begin=BEGIN, days=_DAYS, seed=seed, events="default")
    city = City(replace(city.plan, per_interval=1))
    energy, gateway, technical, missing = [], [], [], []
    for stretch in city.stretches(city.plan.begin_s, _DAYS * _SLOTS):
        wh = stretch.steps.by_interval(stretch.metered_w * stretch.steps.hours[:, None])
        energy.append(np.rint(wh).astype(np.int32))
        gateway.append(stretch.truth.import_wh - stretch.truth.export_wh)
        technical.append(stretch.truth.technical_wh)
        missing.append(stretch.truth.unmetered_wh)
    use = np.concatenate(energy)
    supply, losses, hidden = np.concatenate(gateway), np.concatenate(technical), np.concatenate(missing)
    columns: list[list[NDArray[np.generic]]] = [[] for _ in fields(Months)]
    meters = city.recorded.meters
    for unit in city.units:
        if unit.code not in city.truth_units[:_AREAS]:
            continue
        customers = [i for i in range(unit.first, unit.last) if meters[i].role & Role.CUSTOMER]
        at = [i for i in customers if not (use[:, i] < 0).any()]
        gives = [i for i in customers if (use[:, i] < 0).any()]
        n = city.truth_units.index(unit.code)
        error = (1 + random.normal(0, 0.003)) * (1 + random.normal(0, 0.005, len(use))) - 1
        loss = hidden[:, n] + supply[:, n] * error + losses[:, n] * random.normal(0, 0.1)
        codes = [meters[i].code for i in at]
        flows = Flows(loss.reshape(_DAYS, -1), supply[:, n].reshape(_DAYS, -1), losses[:, n].reshape(_DAYS, -1))
        for column, values in zip(columns, _area(city, codes, use[:, [*at, *gives]], flows, random), strict=True):
            column.append(values)
    return Months(*(np.concatenate(column) for column in columns))


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """Of an area in Wh, shape (days, slots): loss that isn't technical, supply, technical loss."""

    loss: NDArray[np.float64]
    supply: NDArray[np.float64]
    technical: NDArray[np.float64]


def _area(
    city: City, codes: Sequence[str], use: NDArray[np.int32], flows: Flows, random: np.random.Generator
) -> tuple[NDArray[np.generic], ...]:
    """Columns of `Months` of an area; the first meters of `use` are those of `codes`, the others give energy back."""
    count = len(codes)
    usage, correlation = UsageModel().init(count), LossCorrelation(_SLOTS).init(count)
    months, named = [], np.array([f"{city.plan.seed}/{code}" for code in codes])
    days = use.T.astype(np.int64).reshape(-1, _DAYS, _SLOTS)
    own_days = days[:count]
    for day in range(_DAYS):
        weekend = (BEGIN.weekday() + day) % 7 >= 5
        usage = fold_day(usage, UsageDay(day, own_days[:, day], _MINUTES, weekend))
        last = slice(max(day - 2, 0), day + 1)
        lost_wh, taken_wh = flows.loss[last].sum(), flows.supply[last].sum()
        abnormal = bool(lost_wh > _ABNORMAL * max(taken_wh, 1.0)) and day >= _MONTH
        correlation = fold_loss_day(
            correlation, LossDay(day, own_days[:, day], flows.loss[day], _MINUTES, weekend, abnormal)
        )
        if day not in _ENDS:
            continue
        found, said = usage_scores(usage), blame(correlation)
        fall = np.nan_to_num(found.fall, nan=-20.0)
        theft, other, away = _truth(city, codes, day)
        flagged = np.where(away, random.random(count) >= FLAG_MISSING, random.random(count) < FLAG_WRONG)
        month, window = slice(day - _MONTH + 1, day + 1), slice(day - _WINDOW + 1, day + 1)
        asked = max(float(flows.loss[month].sum()), 1.0) > _ABNORMAL * flows.supply[month].sum()
        own = fall - _LIMITS.flag * flagged
        area = AreaWindow(days[:, window], flows.loss[window], flows.supply[window], flows.technical[window], _MINUTES)
        less = undercount(area).score[:count]
        score = np.array([theft_log_ratio(*pair) for pair in zip(less.tolist(), own.tolist(), strict=True)])
        # As it was: both add up, and a fall in an area whose loss is usual is worth little.
        before = np.minimum(said.score, 300.0) + np.maximum(own, 0.0) * (1.0 if asked else 0.1)
        usual = np.nan_to_num(found.usual_w) * 24.0
        months.append((score, before, own, theft, other, usual, np.full(count, abnormal), named))
    return tuple(np.concatenate(column) for column in zip(*months, strict=True))


def _truth(city: City, codes: Sequence[str], day: int) -> tuple[NDArray[np.str_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Kind of theft, whether something else is to be found, and whether someone is away, in the month to a day."""
    end_s = city.plan.begin_s + (day + 1) * 86_400
    begin_s = end_s - _MONTH * 86_400
    theft = np.zeros(len(codes), "U16")
    other, away = np.zeros(len(codes), np.bool_), np.zeros(len(codes), np.bool_)
    place = {code: n for n, code in enumerate(codes)}
    for event in city.events:
        n = place.get(event.entity)
        together_s = min(event.end_s or end_s, end_s) - max(event.begin_s, begin_s)
        if n is None or together_s <= 0:
            continue
        if event.kind in FRAUD and together_s >= 14 * 86_400:
            theft[n] = event.kind.value
        elif event.is_to_be_found:
            other[n] = True
        elif event.kind in {EventKind.VACANCY, EventKind.SEASONAL}:
            away[n] = True
    return theft, other, away


def on_twin(seeds: Sequence[int] = SEEDS) -> list[Result]:
    """Recall by kind."""
    return recall([play(seed) for seed in seeds])


def recall(months: Sequence[Months]) -> list[Result]:
    """Recall by kind of cities that were played."""
    score, before, own, usual_wh = (
        np.concatenate([getattr(m, name) for m in months]) for name in ("score", "before", "own", "usual_wh")
    )
    theft, other = np.concatenate([m.theft for m in months]), np.concatenate([m.other for m in months])
    asked, meter = np.concatenate([m.asked for m in months]), np.concatenate([m.meter for m in months])
    honest = (theft == "") & ~other
    is_theft = theft != ""
    results = [result("twin: honest meter-months", float(honest.sum()), "")]
    rankings = (
        ("everything joined", score, 0.4),
        ("everything joined, only areas whose loss is abnormal", np.where(asked, score, -np.inf), None),
        ("as it was joined before", before, None),
        ("own use and account alone", own, None),
    )
    for what, values, target in rankings:
        found = values > np.sort(values[honest])[-1 - int(_ALARMS * honest.sum())]
        kinds = {
            "thefts found at 1 false in 1,000": is_theft,
            "thefts that leave a trace in the meter": is_theft & (theft != EventKind.THEFT_BYPASS.value),
            "thefts of meters of 1 kWh a day and more": is_theft & (usual_wh >= _MATERIAL_WH),
            **{kind: theft == kind for kind in sorted(set(theft[is_theft].tolist()))},
        }
        for n, (name, of) in enumerate(kinds.items()):
            label = f"twin, {what}: {name} ({of.sum()} meter-months)"
            share = result(label, float(found[of].mean()) if of.any() else float("nan"), "", None if n else target)
            # The two months of one thief aren't two draws.
            results.append(with_interval(share, int(of.sum()), len(set(meter[of].tolist()))))
    return results


if __name__ == "__main__":
    main(on_twin, __doc__ or "")
