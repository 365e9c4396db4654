"""Loads a plan, reviews its milestones, and lets those judge themselves that can."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from store.connection import Connection
from store.rollout import INDICATORS, Row, UnknownCodeError, add_row, read_figure, read_rows
from sync.rollout.criteria import Criterion, by_day, parse_criterion
from sync.rollout.errors import NotFoundError, RolloutError
from sync.rollout.plan import Milestone, Package, Plan

#: Who has reviewed a milestone that judged itself.
ITSELF = "meterline"
RESULTS = ("passed", "conditions", "failed")
RESOURCES = ("funds", "people", "material")


@dataclass(frozen=True, slots=True)
class Loaded:
    """What loading a plan came to: packages and milestones that are new or other than before, or are dropped."""

    changed: int
    dropped: int


def load_plan(connection: Connection, plan: Plan, by: str, at: datetime) -> Loaded:
    """Make the plan of a programme what a file says; the same again changes nothing.

    Raises
    ------
    RolloutError
        When it names an organisation that isn't there; nothing is written.
    """
    changed = dropped = 0
    with connection.transaction():
        read_rows(connection, "plan", "lock", programme=plan.programme)
        # Milestones first: those of a package that is dropped stand no more once it is.
        wanted: tuple[tuple[str, Iterable[Package | Milestone]], ...] = (
            ("milestone", plan.milestones),
            ("package", plan.packages),
        )
        for kind, items in wanted:
            standing = {
                row["code"]: row
                for row in read_rows(connection, "plan", f"standing_{kind}s", at=at, programme=plan.programme)
            }
            # Compared as values of Python: days as days.
            rows = {item.code: msgspec.to_builtins(item, builtin_types=(date,)) for item in items}
            changes = [(row, False) for code, row in rows.items() if standing.get(code) != row]
            changes += [(row, True) for code, row in standing.items() if code not in rows]
            for row, is_dropped in changes:
                added = {**row, "programme": plan.programme, "dropped": is_dropped, "at": at, "actor": by}
                try:
                    add_row(connection, "plan", f"add_{kind}", **added)
                except UnknownCodeError as error:
                    raise RolloutError(f"{kind} {row['code']}: no such organisation: {error}") from None
                dropped += is_dropped
                changed += not is_dropped
    return Loaded(changed, dropped)


def find_milestone(connection: Connection, programme: str, code: str, at: datetime, zone: ZoneInfo) -> Row:
    """A milestone as it stands.

    Raises
    ------
    NotFoundError
        When the plan has none of this code.
    """
    found = list_milestones(connection, at, zone, programme=programme, code=code)
    if not found:
        raise NotFoundError(f"programme {programme} has no milestone {code}")
    return found[0]


def list_milestones(
    connection: Connection,
    at: datetime,
    zone: ZoneInfo,
    programme: str | None = None,
    code: str | None = None,
    package: str | None = None,
    unit: str | None = None,
    skip: int = 0,
    limit: int = 20_000,
) -> list[Row]:
    """Milestones as they stood at an instant, by the day on which they are due."""
    return read_rows(
        connection, "plan", "milestones",
        at=at, zone=zone.key, programme=programme, code=code, package=package, unit=unit, skip=skip, limit=limit,
    )  # fmt: skip


def review(
    connection: Connection,
    programme: str,
    code: str,
    result: str,
    evidence: str,
    by: str,
    at: datetime,
    zone: ZoneInfo,
    conditions: str | None = None,
) -> Row:
    """Record what a review of a milestone came to, with what its measures came to then.

    Raises
    ------
    RolloutError
        When there is no such milestone, or the review doesn't say what it must.
    """
    if result not in RESULTS:
        raise RolloutError(f"a review is one of {', '.join(RESULTS)}: {result}")
    if (conditions is not None) != (result == "conditions"):
        raise RolloutError("conditions belong to a review that passes with conditions, and to no other")
    if not evidence.strip() or by == ITSELF:
        raise RolloutError("a review says on what evidence, and by whom")
    with connection.transaction():
        milestone = find_milestone(connection, programme, code, at, zone)
        figures = measure(connection, milestone, at, zone)
        _add_review(connection, milestone, result, evidence, conditions, figures, by, at)
    return find_milestone(connection, programme, code, at, zone)


def judge(
    connection: Connection, at: datetime, zone: ZoneInfo, programme: str | None = None, code: str | None = None
) -> list[Row]:
    """Let milestones judge themselves; returns what their measures came to, and the result where one was recorded.

    A milestone all of whose criteria are measures passes when all of them are met, and fails once its day is over
    without. Where people have criteria of their own, or have reviewed it already, only the figures are told.
    """
    judged: list[Row] = []
    with connection.transaction():
        # Two services that judge at once record it once.
        read_rows(connection, "plan", "lock_judging")
        for milestone in list_milestones(connection, at, zone, programme, code):
            if not milestone["measures"] or milestone["passed_at"] is not None:
                continue
            figures = measure(connection, milestone, at, zone)
            met = all(figure["met"] for figure in figures.values())
            result = "passed" if met else "failed" if milestone["is_slipped"] else None
            own = not milestone["accept"] and milestone["reviewed_by"] in {None, ITSELF}
            if not own or result == milestone["result"]:
                result = None
            if result is not None:
                _add_review(connection, milestone, result, "by its measures", None, figures, ITSELF, at)
            name = {key: milestone[key] for key in ("programme", "code", "unit", "due_on")}
            judged.append({**name, "figures": figures, "met": met, "recorded": result})
    return judged


def measure(connection: Connection, milestone: Row, at: datetime, zone: ZoneInfo) -> dict[str, Any]:
    """What the measures of a milestone come to for its unit, as known at an instant: the newest day first.

    `day` is the one that the newest rests on, where the indicator is one of days.
    """
    figures: dict[str, Any] = {}
    for text in milestone["measures"]:
        criterion = parse_criterion(text, INDICATORS)
        found = [
            read_figure(connection, criterion.indicator, milestone["unit"], instant, zone.key)
            for instant in _instants(at, zone, criterion)
        ]
        values = by_day([(figure.value, figure.day) for figure in found])
        last = found[0].day
        figures[text] = {
            "values": values, "met": criterion.is_met(values), "at": at.isoformat(),
            "day": None if last is None else last.isoformat(),
        }  # fmt: skip
    return figures


def _instants(at: datetime, zone: ZoneInfo, criterion: Criterion) -> list[datetime]:
    """The instants at which a criterion is asked for: now and at the same local time of the days before."""
    local = at.astimezone(zone)
    return [local - timedelta(days=number) for number in range(criterion.days)]


def add_resource(
    connection: Connection,
    programme: str,
    package: str,
    resource: str,
    phase: str,
    amount: float,
    note: str,
    by: str,
    at: datetime,
    zone: ZoneInfo,
) -> None:
    """Record that a package was granted, or has used, so much more of a resource.

    A package that depends on others begins once they are done: before, nothing of it is used. What was used is
    corrected at any time.

    Raises
    ------
    RolloutError
        When there is no such package, resource or phase, or it is blocked.
    """
    if resource not in RESOURCES or phase not in {"granted", "used"}:
        raise RolloutError(f"{', '.join(RESOURCES)} are granted or used")
    if not abs(amount) <= 1e15:
        raise RolloutError(f"no such amount: {amount}")
    known = {row["code"] for row in read_rows(connection, "plan", "standing_packages", at=at, programme=programme)}
    if package not in known:
        raise NotFoundError(f"programme {programme} has no package {package}")
    if phase == "used" and amount > 0:
        asked = {"programme": programme, "package": package, "at": at, "zone": zone.key}
        blocked_by = [row["code"] for row in read_rows(connection, "plan", "blocked_by", **asked)]
        if blocked_by:
            raise RolloutError(f"package {package} begins once these are done: {', '.join(blocked_by)}")
    values = {"programme": programme, "package": package, "resource": resource, "phase": phase, "amount": amount}
    add_row(connection, "plan", "add_resource", **values, note=note, at=at, actor=by)


def _add_review(
    connection: Connection,
    milestone: Row,
    result: str,
    evidence: str,
    conditions: str | None,
    figures: dict[str, Any],
    by: str,
    at: datetime,
) -> None:
    add_row(
        connection, "plan", "add_review",
        programme=milestone["programme"], milestone=milestone["code"], result=result, evidence=evidence,
        conditions=conditions, figures=figures, at=at, actor=by,
    )  # fmt: skip
