"""What a change of memberships does to what is believed; pure.

Everywhere a change holds from its instant until the next one of the same kind that is already known: a multiplier until
the next other multiplier, a unit until the meter moves on. See `grid.timeline`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from grid.membership import MemberPeriod
from grid.model import Role
from grid.timeline import begins, ends, run_from, split_at, until_next


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Beliefs to give up, and those to record in their place; a new one without a position is yet to be placed."""

    old: tuple[MemberPeriod, ...]
    new: tuple[MemberPeriod, ...]

    @property
    def units(self) -> list[str]:
        """Codes of the units concerned, in order."""
        return sorted({p.unit for p in (*self.old, *self.new)})

    def span(self, unit: str, valid_from: datetime) -> tuple[datetime, datetime | None]:
        """From when to when a unit's members are others than before; None = without end."""
        concerned = [p for p in (*self.old, *self.new) if p.unit == unit and ends(p) > valid_from]
        last = max(concerned, key=ends)
        return valid_from, last.valid_to


class PlanError(ValueError):
    """The change contradicts what is believed."""


class NotInstalledError(PlanError):
    """The meter is a member of no unit at that time."""


class AmbiguousError(PlanError):
    """The meter is a member of several units then, and the change doesn't say which is meant."""


class OverlapError(PlanError):
    """The meter is a member of that unit already, in a part of that time."""


NOTHING = Rewrite((), ())


def plan_multiplier(periods: Sequence[MemberPeriod], multiplier: int, valid_from: datetime) -> Rewrite:
    """Rewrite so that a meter has `multiplier` from `valid_from` on, in every unit of which it is a member then.

    Parameters
    ----------
    periods
        All of one meter, as now believed.

    Raises
    ------
    NotInstalledError
        When no period contains `valid_from`.
    """
    run: list[MemberPeriod] = []
    for start in _at(periods, valid_from):
        if start.multiplier != multiplier:
            run += [p for p in _same_multiplier(periods, start, valid_from) if p not in run]
    return _rewrite(run, valid_from, lambda p: replace(p, multiplier=multiplier, position=None))


def plan_move(
    periods: Sequence[MemberPeriod], to: tuple[int, str], valid_from: datetime, leaving: str | None = None
) -> Rewrite:
    """Rewrite so that a meter is in unit `to` (id, code) and not in the one where it was believed to be.

    Parameters
    ----------
    leaving
        Code of the unit that it leaves; needed when it is a member of several then.

    Raises
    ------
    NotInstalledError, AmbiguousError, OverlapError
    """
    here = _at(periods, valid_from)
    there = [p for p in here if p.unit == to[1]]
    if there and (leaving is None or all(p.unit != leaving for p in here)):
        return NOTHING
    here = [p for p in here if p.unit == leaving or leaving is None]
    if not here:
        raise NotInstalledError(f"not a member of {leaving} at {valid_from.isoformat()}")
    if len(here) > 1:
        raise AmbiguousError(f"a member of {', '.join(sorted(p.unit for p in here))}: say which it leaves")
    start = here[0]
    run = run_from([p for p in periods if p.unit == start.unit], valid_from, lambda _: True)
    rewrite = _rewrite(run, valid_from, lambda p: replace(p, unit_id=to[0], unit=to[1], position=None))
    moved = [p for p in rewrite.new if p.unit == to[1]]
    for other in periods:
        if other.unit == to[1] and any(begins(other) < ends(p) and begins(p) < ends(other) for p in moved):
            raise OverlapError(f"a member of {to[1]} already from {begins(other).isoformat()}")
    return rewrite


def plan_replacement(
    periods: Sequence[MemberPeriod], meter: str, multiplier: int | None, valid_from: datetime
) -> Rewrite:
    """Rewrite so that `meter` stands from `valid_from` on wherever the one of `periods` was believed to stand.

    Parameters
    ----------
    multiplier
        Of the new meter, for as long as the old one's was believed to stay as it was; None = as it was.

    Raises
    ------
    NotInstalledError
    """
    starts = _at(periods, valid_from)
    until = max(ends(_same_multiplier(periods, start, valid_from)[-1]) for start in starts)
    reached = max(map(ends, starts))
    run = list(starts)
    for period in sorted(periods, key=begins):
        if period not in run and valid_from < begins(period) <= reached:
            run.append(period)
            reached = max(reached, ends(period))

    def exchanged(p: MemberPeriod) -> MemberPeriod:
        ratio = p.multiplier if multiplier is None or begins(p) >= until else multiplier
        return replace(p, meter=meter, multiplier=ratio, position=None)

    return _rewrite(run, valid_from, exchanged)


def plan_parent(
    periods: Sequence[MemberPeriod], child_id: int, parent: tuple[int, str] | None, valid_from: datetime
) -> Rewrite:
    """Rewrite so that a unit is part of `parent` (id, code), or of none, from `valid_from` on.

    Parameters
    ----------
    periods
        Memberships of the unit in units of the parent's kind, of which it is part of one at a time.
    """
    here = [p for p in periods if p.contains(valid_from)]
    if not here:
        if parent is None:
            return NOTHING
        end = until_next(periods, valid_from)
        new = MemberPeriod(parent[0], parent[1], None, int(Role.UNIT), 1, valid_from, end, child_id=child_id)
        return Rewrite((), (new,))
    if parent is not None and here[0].unit == parent[1]:
        return NOTHING
    run = run_from(periods, valid_from, lambda p: p.unit == here[0].unit)
    if parent is None:
        return _rewrite(run, valid_from, lambda _: None)
    return _rewrite(run, valid_from, lambda p: replace(p, unit_id=parent[0], unit=parent[1], position=None))


def _at(periods: Iterable[MemberPeriod], at: datetime) -> list[MemberPeriod]:
    found = [p for p in periods if p.contains(at)]
    if not found:
        raise NotInstalledError(f"not a member of any unit at {at.isoformat()}")
    return found


def _same_multiplier(periods: Sequence[MemberPeriod], start: MemberPeriod, at: datetime) -> list[MemberPeriod]:
    """`start` and what follows it without a gap under the same multiplier: in its unit, or where the meter went on."""
    others = {p.unit for p in periods if p.contains(at) and p.unit != start.unit}
    mine = [p for p in periods if p.unit not in others]
    return run_from(mine, at, lambda p: p.multiplier == start.multiplier)


def _rewrite(
    run: Sequence[MemberPeriod], valid_from: datetime, change: Callable[[MemberPeriod], MemberPeriod | None]
) -> Rewrite:
    new: list[MemberPeriod] = []
    for period in run:
        kept, inside = split_at(period, valid_from)
        if kept is not None:
            new.append(kept)
        changed = change(inside)
        if changed is not None:
            new.append(changed)
    return Rewrite(tuple(run), tuple(new))
