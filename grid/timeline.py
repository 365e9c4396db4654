"""What a statement about a period does to what is believed of it; pure.

A belief holds over [valid_from, valid_to); None = without beginning or end. Beliefs about one thing don't overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from grid.membership import MemberPeriod, StatePeriod

_FIRST = datetime.min.replace(tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)

P = TypeVar("P", MemberPeriod, StatePeriod)


def begins(period: MemberPeriod | StatePeriod) -> datetime:
    """Beginning of a period, as an instant that can be compared."""
    return _FIRST if period.valid_from is None else period.valid_from


def ends(period: MemberPeriod | StatePeriod) -> datetime:
    """End of a period, as an instant that can be compared."""
    return _LAST if period.valid_to is None else period.valid_to


def run_from(periods: Sequence[P], at: datetime, same: Callable[[P], bool]) -> list[P]:
    """The period that contains `at`, and those that follow one another without a gap while they are the `same`.

    Parameters
    ----------
    periods
        Of one thing: at most one contains any instant.
    same
        What a period must be to belong; the first is asked too.
    """
    run: list[P] = []
    reached: datetime | None = None
    for period in sorted(periods, key=begins):
        if ends(period) <= at:
            continue
        if (period.contains(at) if reached is None else begins(period) == reached) and same(period):
            run.append(period)
            reached = ends(period)
        elif reached is not None or begins(period) > at:
            break
        else:
            return []
    return run


def until_next(periods: Sequence[MemberPeriod | StatePeriod], at: datetime) -> datetime | None:
    """Beginning of the first period after `at`; None when there is none."""
    return min((p.valid_from for p in periods if p.valid_from is not None and p.valid_from > at), default=None)


def split_at(period: P, at: datetime) -> tuple[P | None, P]:
    """The parts of a period before and from an instant that it contains or that precedes it."""
    if begins(period) >= at:
        return None, period
    return replace(period, valid_to=at), replace(period, valid_from=at)


def set_values(periods: Sequence[StatePeriod], stated: StatePeriod) -> tuple[list[StatePeriod], list[StatePeriod]]:
    """Beliefs to give up and to record so that `stated` holds over its period, whatever was believed of it.

    Nothing is rewritten where all of the period says so already.
    """
    start, end = begins(stated), ends(stated)
    touched = [p for p in periods if begins(p) < end and start < ends(p)]
    covered = sorted((p for p in touched if dict(p.values) == dict(stated.values)), key=begins)
    if covered == sorted(touched, key=begins) and _reaches(covered, start, end):
        return [], []
    kept = [replace(p, belief_id=None, valid_to=stated.valid_from) for p in touched if begins(p) < start]
    kept += [replace(p, belief_id=None, valid_from=stated.valid_to) for p in touched if ends(p) > end]
    return touched, [*kept, stated]


def _reaches(periods: Sequence[StatePeriod], start: datetime, end: datetime) -> bool:
    for period in periods:
        if begins(period) > start:
            return False
        start = max(start, ends(period))
    return start >= end


def end_at(periods: Sequence[P], at: datetime) -> tuple[list[P], list[P]]:
    """Beliefs to give up, and those to record so that nothing holds from an instant on, whatever was believed."""
    old = [p for p in periods if ends(p) > at]
    return old, [replace(p, valid_to=at) for p in old if begins(p) < at]


def change_values(
    periods: Sequence[StatePeriod], changes: dict[str, object], valid_from: datetime
) -> tuple[list[StatePeriod], list[StatePeriod]]:
    """Beliefs to give up and to record so that some values change at an instant.

    The change holds until the next one of these values that is already known; other values stay as they are.

    Raises
    ------
    LookupError
        When nothing is believed of that instant.
    """
    first = next((p for p in periods if p.contains(valid_from)), None)
    if first is None:
        raise LookupError(f"nothing is known of {valid_from.isoformat()}")
    before = {name: first.values[name] for name in changes}
    if before == changes:
        return [], []
    run = run_from(periods, valid_from, lambda p: all(p.values[name] == value for name, value in before.items()))
    new: list[StatePeriod] = []
    for period in run:
        kept, inside = split_at(period, valid_from)
        if kept is not None:
            new.append(replace(kept, belief_id=None))
        new.append(replace(inside, belief_id=None, values={**period.values, **changes}))
    return run, new
