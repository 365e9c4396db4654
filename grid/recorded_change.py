"""What was recorded to have changed at a unit: its members, their meters, multipliers and classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from grid.membership import MemberPeriod
from grid.model import Role


class ChangeKind(StrEnum):
    """Kinds of recorded changes."""

    CAME = "came"
    WENT = "went"
    ROLE = "role"
    MULTIPLIER = "multiplier"
    METER = "meter"  # another meter took its place
    CLASS = "class"


@dataclass(frozen=True, slots=True)
class RecordedChange:
    """One recorded change of a unit's members, as it is now believed.

    Attributes
    ----------
    member
        Code of the meter or smaller unit; of the one that went, where another took its place.
    at
        From when on it holds.
    old, new
        Members before and after; None where there was none.
    values
        What changed, before and after, in words: multipliers, meters, classes; empty where it is the member itself.
    """

    kind: ChangeKind
    member: str
    at: datetime
    old: MemberPeriod | None
    new: MemberPeriod | None
    values: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Replacement:
    """A meter that stands since `at` where another stood until then."""

    old: str
    new: str
    at: datetime


@dataclass(frozen=True, slots=True)
class ClassChange:
    """A meter's accuracy class, percent, before and since an instant."""

    meter: str
    at: datetime
    old: float
    new: float


def sign(role: int) -> int:
    """Sense in which a member's net import enters its unit's loss: 1 for a gateway, −1 for what is sold, 0 for both."""
    return int(role & Role.GATEWAY != 0) - int(role & (Role.CUSTOMER | Role.UNIT) != 0)


def recorded_changes(
    periods: Sequence[MemberPeriod],
    codes: Mapping[int, str],
    replacements: Iterable[Replacement],
    classes: Iterable[ClassChange],
    begin: datetime,
    end: datetime,
) -> list[RecordedChange]:
    """Changes of a unit's members strictly between two instants, in the order of time.

    Parameters
    ----------
    periods
        Memberships of the unit, as now believed.
    codes
        Codes of smaller units by id.
    replacements
        From what is known of where meters stand. A single gateway meter that goes when another comes is replaced too.
    classes
        Of the unit's meters.
    """
    known = {(r.old, r.new, r.at) for r in replacements}
    found: list[RecordedChange] = []
    edges = {edge for p in periods for edge in (p.valid_from, p.valid_to) if edge is not None and begin < edge < end}
    for at in sorted(edges):
        old = [p for p in periods if p.valid_to == at]
        new = [p for p in periods if p.valid_from == at]
        found += _at(at, old, new, codes, known)
    for change in classes:
        if begin < change.at < end:
            stay = next((p for p in periods if p.meter == change.meter and p.contains(change.at)), None)
            if stay is not None and stay.valid_from != change.at:
                values = (f"{change.old:g} %", f"{change.new:g} %")
                found.append(RecordedChange(ChangeKind.CLASS, change.meter, change.at, stay, stay, values))
    return sorted(found, key=lambda change: (change.at, change.member))


def _at(
    at: datetime,
    old: list[MemberPeriod],
    new: list[MemberPeriod],
    codes: Mapping[int, str],
    known: set[tuple[str, str, datetime]],
) -> Iterable[RecordedChange]:
    gateways = [[p for p in side if p.meter and sign(p.role) == 1] for side in (old, new)]
    one_gateway = len(gateways[0]) == len(gateways[1]) == 1
    gone, came = list(old), list(new)
    for before in old:
        for after in list(came):
            same = (before.meter, before.child_id) == (after.meter, after.child_id)
            placed = (before.meter, after.meter, at) in known or (
                one_gateway and before in gateways[0] and after in gateways[1]
            )
            if not (same or placed):
                continue
            gone.remove(before)
            came.remove(after)
            change = _successor(at, before, after, codes, same)
            if change is not None:
                yield change
            break
    for side, kind in ((gone, ChangeKind.WENT), (came, ChangeKind.CAME)):
        for p in side:
            is_old = kind is ChangeKind.WENT
            yield RecordedChange(kind, _code(p, codes), at, p if is_old else None, None if is_old else p)


def _successor(
    at: datetime, before: MemberPeriod, after: MemberPeriod, codes: Mapping[int, str], same: bool
) -> RecordedChange | None:
    """What is new where one membership follows another; None where nothing that loss depends on."""
    member = _code(before, codes)
    if not same:
        old, new = (f"{_code(p, codes)} × {p.multiplier}" for p in (before, after))
        return RecordedChange(ChangeKind.METER, member, at, before, after, (old, new))
    if sign(before.role) != sign(after.role):
        return RecordedChange(ChangeKind.ROLE, member, at, before, after, (str(before.role), str(after.role)))
    if before.multiplier != after.multiplier:
        values = (f"× {before.multiplier}", f"× {after.multiplier}")
        return RecordedChange(ChangeKind.MULTIPLIER, member, at, before, after, values)
    return None


def _code(period: MemberPeriod, codes: Mapping[int, str]) -> str:
    return period.meter if period.meter is not None else codes.get(period.child_id or 0, str(period.child_id))
