"""From conclusions of days to findings: what is said on several days is one, until it isn't said for long. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from operator import attrgetter

from grid.usage import DayConclusion

#: Said on so many days before it is a finding; over when it wasn't said for so many.
LEAST_DAYS, QUIET_DAYS = 2, 7


@dataclass(frozen=True, slots=True)
class Run:
    """A conclusion of one kind about one meter that was said from `first` to `last`, and is over or not."""

    first: date
    last: date
    over: bool
    newest: DayConclusion


def make_runs(conclusions: Iterable[DayConclusion], through: date) -> list[Run]:
    """Runs that are findings, by meter and first day.

    Parameters
    ----------
    conclusions
        Of one area, of days up to `through`.
    """
    ordered = sorted(conclusions, key=attrgetter("meter", "kind", "day"))
    found: list[Run] = []
    for _, of_meter in groupby(ordered, key=attrgetter("meter", "kind")):
        run: list[DayConclusion] = []
        for each in of_meter:
            if run and (each.day - run[-1].day).days > QUIET_DAYS:
                found += _run(run, through)
                run = []
            run.append(each)
        found += _run(run, through)
    return sorted(found, key=lambda r: (r.newest.meter, r.first, r.newest.kind))


def _run(days: Sequence[DayConclusion], through: date) -> list[Run]:
    if len(days) < LEAST_DAYS:
        return []
    # It becomes a finding on the day that makes it enough of them.
    first, last = days[LEAST_DAYS - 1].day, days[-1].day
    return [Run(first, last, (through - last).days >= QUIET_DAYS, days[-1])]
