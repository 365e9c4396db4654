"""Whether the stated error of a loss is right: months of the twin, settled by the stream's own steps.

For each seed a city's month passes before several draws of all its meters (`--parks`), since one draw has too few
meters to tell 95 % from 97 %. Truth is what flowed. A class is false where a day is called high or negative and its
true rate isn't beyond that limit; an event is a day whose true loss lies beyond a limit by more than 3 stated σ. Beside
it, the naive band: classes uniform within their limits and all errors independent, also from one interval to the next.

By how much power differs at the ends of an interval is as by default, from real profiles; `--measured-steps` measures
it on another of the twin's cities (`loss_steps`), as a utility would on its own minute values.

How far it is goes to stderr. With `--keep FOLDER` each draw is a file there once it is settled: a run that was
interrupted goes on behind the last of them. Take another folder when the code has changed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.loss_city import Month, Park, make_month, plan_city
from benchmarks.loss_found import Found, keep, kept
from benchmarks.loss_meters import class_errors, naive_sigma, systematic_by_meters
from benchmarks.loss_score import classes_of, intervals_of, local_days, periods_of, shares_within
from benchmarks.loss_settle import settle_month
from benchmarks.loss_steps import power_steps
from benchmarks.report import Result, main, result, with_interval
from grid.loss_class import LossClass, reason_names
from grid.loss_rules import LossRules
from grid.model import UnitKind
from grid.thresholds import Thresholds
from meterline.city import ZONE
from twin.metering import MeterErrors

_SPANS = ("interval", "day", "month")
_KINDS = (UnitKind.AREA, UnitKind.FEEDER)
_PARK_SEEDS = 1_000
#: Draws of classes alone.
_DRAWS = 200
#: Of the city on which power's steps are measured: seed, areas and days.
_STEPS_SEED, _STEPS_AREAS, _STEPS_DAYS = 11, 20, 3
#: Share of truths within ± 2 σ that is asked for.
_LEAST, _MOST = 0.93, 0.97


def measure(
    areas: int,
    days: int,
    seeds: Sequence[int],
    parks: int,
    missing: float,
    low_rate: float | None = None,
    folder: Path | None = None,
    *,
    measured_steps: bool = False,
) -> list[Result]:
    """Months of all seeds, each with so many draws of all meters; draws that `folder` keeps aren't made again."""
    rules = LossRules(zone=ZONE)
    results: list[Result] = []
    if measured_steps:
        of_customer, of_unit = power_steps(plan_city(_STEPS_AREAS, _STEPS_DAYS, _STEPS_SEED), _STEPS_DAYS)
        rules = replace(rules, customer_power_step=of_customer, unit_power_step=of_unit)
        results.append(result("a customer's power step, measured on another city", of_customer, ""))
        results.append(result("a unit's power step, measured on another city", of_unit, ""))
    if low_rate is not None:
        limits = rules.thresholds.at(UnitKind.AREA, 0)
        rules = replace(rules, thresholds=Thresholds((replace(limits, low_rate=low_rate),)))
    found: list[Found] = []
    case = f"areas{areas}-days{days}-missing{missing}-low{low_rate}{'-measured' if measured_steps else ''}"
    for seed in seeds:
        paths = [folder and folder / f"{case}-seed{seed}-draw{i}.npz" for i in range(parks)]
        of_seed = _draws_of(areas, days, seed, missing, rules, paths)
        of_each = [_within_2(of_seed, kind, span, f"seed {seed}, {kind}, {span}") for kind in _KINDS for span in _SPANS]
        for r in of_each:
            _say(f"{r.name}: {r.value:.1%} of {r.count}")
        results += of_each
        found += of_seed
    return results + [r for kind in _KINDS for span in _SPANS for r in summary(found, kind, span)]


def _draws_of(
    areas: int, days: int, seed: int, missing: float, rules: LossRules, paths: Sequence[Path | None]
) -> list[Found]:
    """What the draws of a seed come to: those that are kept, and the others from one month of the city."""
    draws = [None if path is None else kept(path) for path in paths]
    open_ = [i for i, draw in enumerate(draws) if draw is None]
    if open_:
        started = time.monotonic()
        month = make_month(
            plan_city(areas, days, seed), [(MeterErrors(), seed + _PARK_SEEDS * i) for i in open_], missing
        )
        _say(f"seed {seed}: the month passed in {time.monotonic() - started:.0f} s")
        for i, park in zip(open_, month.parks, strict=True):
            started = time.monotonic()
            draws[i] = done = find(month, park, rules)
            if path := paths[i]:
                keep(path, done)
            _say(f"seed {seed}, draw {i + 1} of {len(paths)}: settled in {time.monotonic() - started:.0f} s")
    return [f for draw in draws for f in draw or ()]


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def find(month: Month, park: Park, rules: LossRules) -> list[Found]:
    """Settle one draw of the meters and hold it against the truth."""
    stated = settle_month(month, park, rules)
    there = stated.computable
    length_s = month.city.plan.interval_s
    naive = naive_sigma(month, park, there)
    areas = len(month.city.network.areas)
    days = local_days(month.ends_s, length_s, ZONE)
    kinds = [UnitKind.AREA] * areas + [UnitKind.FEEDER] * (there.shape[1] - areas)
    found = []
    for span, period in zip(_SPANS, (np.arange(len(days)), days, np.zeros_like(days)), strict=True):
        of_truth = stated, month.true_wh, month.supply_wh
        if span == "interval":
            periods = intervals_of(*of_truth)
        else:
            periods = periods_of(*of_truth, period, length_s, kinds, rules.thresholds)
        firsts = np.flatnonzero(np.append(True, period[1:] != period[:-1]))
        hours = np.add.reduceat(there * (length_s / 3600), firsts, axis=0)
        their = np.sqrt(np.add.reduceat(naive**2, firsts, axis=0))
        meters = periods.sigma_wh
        drawn = np.zeros((0, *meters.shape))
        if span != "interval":
            systematic = systematic_by_meters(month, park, there, firsts)
            meters = np.sqrt(np.maximum(meters**2 - periods.systematic_sigma_wh**2, 0.0) + systematic**2)
            drawn = class_errors(month, park, there, firsts, _DRAWS, month.city.plan.seed)
        for kind, units in zip(_KINDS, (slice(0, areas), slice(areas, None)), strict=True):
            limits = rules.thresholds.at(kind, int(month.ends_s[0]) * 1_000_000)
            own = periods.part(units)
            classed = classes_of(own, limits, limits.min_inflow_wh_per_h * hours[:, units])
            found.append(Found(kind, span, own, classed, their[:, units], meters[:, units], drawn[:, :, units]))
    return found


def _of(found: Sequence[Found], kind: UnitKind, span: str) -> list[Found]:
    return [f for f in found if f.kind is kind and f.span == span]


def _joined_z(found: Sequence[Found], kind: UnitKind, span: str) -> NDArray[np.float64]:
    return np.concatenate([f.periods.z for f in _of(found, kind, span)])


def _within_2(found: Sequence[Found], kind: UnitKind, span: str, name: str) -> Result:
    z = _joined_z(found, kind, span)
    return with_interval(result(f"{name}: truth within ±2 σ", shares_within(z)[1], ""), len(z))


def summary(found: Sequence[Found], kind: UnitKind, span: str) -> list[Result]:
    """Figures of one kind of unit and one span, over all seeds and draws."""
    its = _of(found, kind, span)
    name = f"{kind}, {span}"
    z = _joined_z(found, kind, span)
    there = np.concatenate([f.periods.there.ravel() for f in its])

    def joined(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        flat: NDArray[np.float64] = np.concatenate([v.ravel() for v in values])[there]
        return flat

    sigma = joined([f.periods.sigma_wh for f in its])
    naive = joined([f.naive_sigma_wh for f in its])
    error = joined([f.periods.loss_wh - f.periods.true_wh for f in its])
    supply = joined([f.periods.supply_wh for f in its])
    variance = np.sum(sigma**2)
    systematic = np.sum(joined([f.periods.systematic_sigma_wh for f in its]) ** 2) / variance
    ends = np.sum(joined([f.periods.ends_sigma_wh for f in its]) ** 2) / variance
    one, two, three = shares_within(z)
    within = with_interval(result(f"{name}: truth within ±2 σ", two, "", _LEAST), len(z))
    # A meter's error is the same all month, so the periods of a unit are no draws of their own.
    units = sum(int(f.periods.there.any(axis=0).sum()) for f in its)
    together = result(f"{name}: the same, as if a unit's periods stood or fell together", two, "")
    results = [
        result(f"{name}: periods", float(there.size), ""),
        result(f"{name}: computable", float(np.mean(np.concatenate([f.periods.computable.ravel() for f in its]))), ""),
        result(f"{name}: share that a class rests on", float(np.mean(joined([f.periods.judged for f in its]))), ""),
        with_interval(result(f"{name}: truth within ±1 σ", one, ""), len(z)),
        replace(within, ok=_LEAST <= two <= _MOST),
        with_interval(together, len(z), units),
        with_interval(result(f"{name}: truth within ±3 σ", three, ""), len(z)),
        result(f"{name}: root mean square of error / σ", float(np.sqrt(np.mean(z**2))), ""),
        result(f"{name}: variance from classes", float(systematic), ""),
        result(f"{name}: variance from clocks and steps", float(ends), ""),
        result(f"{name}: variance from estimates and splits", float(1 - systematic - ends), ""),
        result(f"{name}: mean width of ±2 σ over supply", float(4 * sigma.sum() / supply.sum()), "",
               None, "naive", float(4 * naive.sum() / supply.sum()), less_is_better=True),
        result(f"{name}: naive band, truth within ±2 σ", shares_within(error / naive)[1], ""),
    ]  # fmt: skip
    if span != "interval":
        meters = joined([f.by_meters_wh for f in its])
        drawn = np.concatenate([f.drawn_wh.reshape(_DRAWS, -1) for f in its], axis=1)[:, there]
        results += [
            result(f"{name}: σ over that of each meter added up first", float(sigma.sum() / meters.sum()), ""),
            result(f"{name}: with each meter added up first, truth within ±2 σ", shares_within(error / meters)[1], ""),
            result(f"{name}: {_DRAWS} draws of classes alone, within ±2 σ", _drawn_within(drawn, sigma), ""),
            result(f"{name}: these, with each meter added up first", _drawn_within(drawn, meters), ""),
        ]
    return [*results, *_of_classes(name, its)]


def _drawn_within(drawn: NDArray[np.float64], sigma: NDArray[np.float64]) -> float:
    return shares_within(drawn / sigma)[1]


def _of_classes(name: str, its: Sequence[Found]) -> list[Result]:
    """False classes and events, with the reasons that stood beside false ones."""
    told = sum(int((f.classed.called != LossClass.NOT_COMPUTABLE).sum()) for f in its)
    periods = sum(f.classed.called.size for f in its)
    false = [f.classed.is_false for f in its]
    wrong = sum(int(f.sum()) for f in false)
    events = sum(int(f.classed.is_event.sum()) for f in its)
    hit = sum(int((f.classed.is_event & (f.classed.called == f.classed.truly)).sum()) for f in its)
    results = [
        result(f"{name}: of all periods with a class", told / periods, ""),
        result(f"{name}: false classes", float(wrong), ""),
        result(f"{name}: false classes in 10,000", 1e4 * wrong / max(told, 1), "", 1.0, less_is_better=True),
        result(f"{name}: events larger than 3 σ", float(events), ""),
    ]
    if events:
        results.append(with_interval(result(f"{name}: of these classed", hit / events, "", 0.95), events))
    masks = np.concatenate([f.periods.reasons[w] for f, w in zip(its, false, strict=True)])
    for reason in sorted({r for mask in masks.tolist() for r in reason_names(mask)}):
        count = sum(reason in reason_names(mask) for mask in masks.tolist())
        results.append(result(f"{name}: false classes that say {reason}", float(count), ""))
    return results


if __name__ == "__main__":
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--areas", type=int, default=40)
    own.add_argument("--days", type=int, default=31)
    own.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    own.add_argument("--parks", type=int, default=3, help="draws of all meters for each seed")
    own.add_argument("--missing", type=float, default=0.0)
    own.add_argument("--keep", type=Path, metavar="FOLDER", help="keeps each draw there, and makes no draw again")
    own.add_argument("--low-rate", type=float, help="instead of the areas' limit below which a loss is negative")
    own.add_argument("--measured-steps", action="store_true", help="power's steps as measured on another city")
    known, others = own.parse_known_args()
    sys.argv[1:] = others
    arguments = known.areas, known.days, known.seeds, known.parks, known.missing, known.low_rate, known.keep
    options = (
        "--areas N --days D --seeds S ... --parks P --missing SHARE --low-rate RATE --keep FOLDER --measured-steps"
    )
    main(partial(measure, *arguments, measured_steps=known.measured_steps), f"{__doc__}\n{options}")
