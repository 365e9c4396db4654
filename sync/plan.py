"""What a change does to what is believed; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from grid.membership import MemberPeriod


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One belief to give up, and those to record in its place."""

    old: MemberPeriod
    new: tuple[MemberPeriod, ...]


class NotInstalledError(ValueError):
    """The meter is a member of no unit at that time."""


def plan_multiplier(periods: Sequence[MemberPeriod], multiplier: int, valid_from: datetime) -> list[Rewrite]:
    """Beliefs to rewrite so that a meter has `multiplier` from `valid_from` on.

    The period that contains the instant is cut there; later periods stay as they are, since a change holds until the
    next one that is already known. Nothing is rewritten where the multiplier is that already.

    Parameters
    ----------
    periods
        All of one meter, as now believed.

    Raises
    ------
    NotInstalledError
        When no period contains `valid_from`.
    """
    concerned = [period for period in periods if period.contains(valid_from)]
    if not concerned:
        raise NotInstalledError(f"not a member of any unit at {valid_from.isoformat()}")
    rewrites = []
    for old in concerned:
        if old.multiplier == multiplier:
            continue
        before = () if old.valid_from == valid_from else (replace(old, valid_to=valid_from),)
        rewrites.append(Rewrite(old, (*before, replace(old, multiplier=multiplier, valid_from=valid_from))))
    return rewrites
