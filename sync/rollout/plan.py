"""The plan of a roll-out as a file says it: work packages and milestones that fit together; pure."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from graphlib import CycleError, TopologicalSorter
from typing import Annotated

import msgspec

from sync.rollout.criteria import parse_criterion
from sync.rollout.errors import RolloutError

Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=500, pattern=r"^[^\x00]+$")]
Amount = Annotated[float, msgspec.Meta(ge=0, le=1e15)]


class Resources(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a package is planned to take: money, people, material, in the units that the utility counts them in."""

    funds: Amount = 0.0
    people: Amount = 0.0
    material: Amount = 0.0


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A work package of one unit."""

    code: Code
    name: Text
    unit: Code
    owner: Code
    starts_on: date
    due_on: date
    department: Code | None = None
    depends_on: Annotated[list[Code], msgspec.Meta(max_length=100)] = []
    planned: Resources = Resources()


class Milestone(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must be reached by a day. `accept` is judged by people, `measures` judge themselves."""

    code: Code
    package: Code
    name: Text
    due_on: date
    accept: Annotated[list[Text], msgspec.Meta(max_length=50)] = []
    measures: Annotated[list[Text], msgspec.Meta(max_length=50)] = []


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A programme."""

    programme: Code
    packages: Annotated[list[Package], msgspec.Meta(min_length=1, max_length=5_000)]
    milestones: Annotated[list[Milestone], msgspec.Meta(max_length=20_000)] = []


def parse_plan(text: str, indicators: Sequence[str]) -> Plan:
    """Read a plan from TOML.

    Raises
    ------
    RolloutError
        With the place and what is wrong there.
    """
    try:
        plan = msgspec.convert(tomllib.loads(text), Plan)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise RolloutError(str(error)) from None
    packages = {package.code: package for package in plan.packages}
    _check_packages(plan, packages)
    for milestone in plan.milestones:
        if milestone.package not in packages:
            raise RolloutError(f"milestone {milestone.code}: no package {milestone.package}")
        if not milestone.accept and not milestone.measures:
            raise RolloutError(f"milestone {milestone.code} says by nothing when it is reached: accept, measures")
        for measure in milestone.measures:
            try:
                parse_criterion(measure, indicators)
            except ValueError as error:
                raise RolloutError(f"milestone {milestone.code}: {error}") from None
    if len({milestone.code for milestone in plan.milestones}) < len(plan.milestones):
        raise RolloutError("two milestones have one code")
    return plan


def _check_packages(plan: Plan, packages: Mapping[str, Package]) -> None:
    if len(packages) < len(plan.packages):
        raise RolloutError("two packages have one code")
    for package in plan.packages:
        if package.due_on < package.starts_on:
            raise RolloutError(f"package {package.code} is due before it starts")
        for other in package.depends_on:
            if other not in packages:
                raise RolloutError(f"package {package.code} depends on {other}, which isn't there")
    try:
        TopologicalSorter({package.code: package.depends_on for package in plan.packages}).prepare()
    except CycleError as error:
        raise RolloutError(f"packages depend on each other in a ring: {' → '.join(error.args[1])}") from None
