"""`meterline rollout plan`: work packages, milestones, their reviews, resources. Further parts join here."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from meterline.cli_alert import ByOption
from meterline.cli_common import (
    ConfigOption,
    JsonOption,
    fail,
    print_json,
    printable,
    read_instant,
    read_settings,
)

if TYPE_CHECKING:
    from meterline.config import Settings
    from store.connection import Connection
    from store.rollout import Row

rollout_app = typer.Typer(no_args_is_help=True, help="The roll-out. Example: meterline rollout plan list")
plan_app = typer.Typer(no_args_is_help=True, help="Plan and milestones. Example: meterline rollout plan show PILOT M1")
rollout_app.add_typer(plan_app, name="plan")

UnitOption = Annotated[str | None, typer.Option("--unit", help="Only this organisation and those below it")]
AtOption = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="As it was known at this instant, ISO 8601; default now")
]
ProgrammeOption = Annotated[str | None, typer.Option("--programme", help="Only this programme")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000)]


@dataclass(frozen=True, slots=True)
class Room:
    """What commands of the roll-out work with."""

    connection: Connection
    settings: Settings
    zone: ZoneInfo
    now: datetime
    by: str


@contextmanager
def room(config: Path | None, by: str | None = None) -> Iterator[Room]:
    """A connection whose transaction ends with the command."""
    from meterline.bootstrap import opener

    settings = read_settings(config, quiet=True)
    with opener(settings, "meterline-rollout")() as connection:
        yield Room(connection, settings, settings.settling.zone(), datetime.now(UTC), by or getpass.getuser())


def as_of(text: str | None) -> datetime:
    """The instant of ``--at``."""
    return read_instant(text, "--at") or datetime.now(UTC)


def print_table(rows: list[Row], as_json: bool, columns: tuple[str, ...], nothing: str) -> None:
    """Rows as a table of some columns, or whole as JSON."""
    from meterline.cli_sync import print_rows

    print_rows(rows, as_json, columns, nothing)


def print_fields(row: dict[str, Any], as_json: bool) -> None:
    """One row, a field a line."""
    if as_json:
        print_json(row)
        return
    for name, value in row.items():
        if value is not None and not isinstance(value, list):
            print(f"{name}: {printable(str(value), 1_000)}")


@plan_app.command("load")
def load(
    file: Annotated[Path, typer.Argument(help="The plan, TOML")],
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the plan of a programme what a file says; what was planned before can still be read.

    Example: meterline rollout plan load pilot.toml
    """
    from store.rollout import INDICATORS
    from sync.rollout.plan import parse_plan
    from sync.rollout.planning import load_plan

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file}: {getattr(error, 'strerror', None) or error}")
    plan = parse_plan(text, INDICATORS)
    with room(config, by) as desk:
        loaded = load_plan(desk.connection, plan, desk.by, desk.now)
    if as_json:
        print_json({"programme": plan.programme, **asdict(loaded)})
    else:
        print(f"{plan.programme}: {loaded.changed} new or changed, {loaded.dropped} dropped")


@plan_app.command("list")
def list_packages(
    programme: ProgrammeOption = None,
    unit: UnitOption = None,
    at: AtOption = None,
    limit: LimitOption = 1_000,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Work packages with their milestones and resources. Example: meterline rollout plan list --unit county-3"""
    from store.rollout import read_rows

    instant = as_of(at)
    with room(config) as desk:
        rows = read_rows(
            desk.connection, "plan", "packages",
            at=instant, zone=desk.zone.key, programme=programme, unit=unit, skip=0, limit=limit,
        )  # fmt: skip
    columns = ("programme", "code", "unit", "owner", "due_on", "milestones", "passed", "is_late", "blocked_by")
    print_table(rows, as_json, columns, "no such package")


@plan_app.command("show")
def show(
    programme: Annotated[str, typer.Argument()],
    code: Annotated[str | None, typer.Argument(metavar="[MILESTONE]")] = None,
    at: AtOption = None,
    limit: LimitOption = 1_000,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Milestones of a programme, or one of them with its reviews. Example: meterline rollout plan show PILOT M1"""
    from store.rollout import read_rows
    from sync.rollout.planning import find_milestone, list_milestones, measure

    instant = as_of(at)
    with room(config) as desk:
        if code is None:
            rows = list_milestones(desk.connection, instant, desk.zone, programme, limit=limit)
            columns = ("code", "package", "unit", "due_on", "result", "is_slipped", "name")
            print_table(rows, as_json, columns, "no such milestone")
            return
        found = find_milestone(desk.connection, programme, code, instant, desk.zone)
        reviews = read_rows(desk.connection, "plan", "reviews", programme=programme, milestone=code, at=instant)
        figures = measure(desk.connection, found, instant, desk.zone)
    if as_json:
        print_json({**found, "figures": figures, "reviews": reviews})
        return
    print_fields(found, as_json=False)
    print_figures(figures)
    for row in reviews:
        said = f"{row['result']} by {printable(row['actor'])}: {printable(row['evidence'])}"
        print(f"{row['at']:%Y-%m-%d %H:%M} UTC  {said}")


@plan_app.command("review")
def review_milestone(
    programme: Annotated[str, typer.Argument()],
    code: Annotated[str, typer.Argument(metavar="MILESTONE")],
    result: Annotated[str, typer.Argument(metavar="RESULT", help="passed, conditions or failed")],
    evidence: Annotated[str, typer.Option("--evidence", help="On what evidence")],
    conditions: Annotated[str | None, typer.Option("--conditions", help="What is still to be done")] = None,
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record what the review of a milestone came to.

    Example: meterline rollout plan review PILOT M1 passed --evidence "minutes of 3 June"
    """
    from sync.rollout.planning import review

    with room(config, by) as desk:
        row = review(
            desk.connection, programme, code, result, evidence, desk.by, desk.now, desk.zone, conditions=conditions
        )
    print_fields(row, as_json)


@plan_app.command("judge")
def judge_milestones(
    programme: ProgrammeOption = None,
    code: Annotated[str | None, typer.Option("--milestone", help="Only this one")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let milestones judge themselves by their measures. Example: meterline rollout plan judge --programme PILOT"""
    from sync.rollout.planning import judge

    with room(config) as desk:
        rows = judge(desk.connection, desk.now, desk.zone, programme, code)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['programme']} {row['code']}: {row['recorded'] or ('met' if row['met'] else 'not met')}")
        print_figures(row["figures"])
    if not rows:
        print("nothing to judge")


@plan_app.command("resource")
def resource(
    programme: Annotated[str, typer.Argument()],
    package: Annotated[str, typer.Argument()],
    kind: Annotated[str, typer.Argument(metavar="KIND", help="funds, people or material")],
    phase: Annotated[str, typer.Argument(metavar="PHASE", help="granted or used")],
    amount: Annotated[float, typer.Argument(help="What is added; negative corrects")],
    note: Annotated[str, typer.Option("--note", help="On what ground")],
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Record that a package was granted, or has used, so much. Example: meterline rollout plan resource PILOT W1 people used 2 --note June"""  # noqa: E501
    from sync.rollout.planning import add_resource

    with room(config, by) as desk:
        add_resource(desk.connection, programme, package, kind, phase, amount, note, desk.by, desk.now, desk.zone)
    print(f"{package}: {amount:g} of {kind} {phase}")


def print_figures(figures: dict[str, Any]) -> None:
    """What measures came to."""
    for text, figure in figures.items():
        shown = ", ".join("unknown" if value is None else f"{value:.4f}" for value in figure["values"])
        print(f"    {text}: {'met' if figure['met'] else 'not met'} ({shown})")
