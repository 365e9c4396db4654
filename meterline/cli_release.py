"""`meterline rollout release`: what changed, where it is deployed, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meterline.cli_alert import ByOption
from meterline.cli_common import ConfigOption, JsonOption, print_json
from meterline.cli_rollout import AtOption, LimitOption, as_of, print_fields, print_table, room

release_app = typer.Typer(no_args_is_help=True, help="Releases. Example: meterline rollout release list")
Code = Annotated[str, typer.Argument(metavar="CODE")]
UnitsOption = Annotated[list[str], typer.Option("--unit", help="May be repeated")]
NoteOption = Annotated[str, typer.Option("--note", help="How it went, or why")]


@release_app.command("new")
def new(
    code: Code,
    name: Annotated[str, typer.Option("--name")],
    changes: Annotated[str, typer.Option("--changes", help="What changed")],
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a release known.

    Example: meterline rollout release new 2.4 --name June --changes 'Meter swaps in one step'
    """
    from sync.rollout.releases import make_release

    with room(config, by) as desk:
        row = make_release(desk.connection, code, name, changes, desk.by, desk.now)
    print_fields(row, as_json)


@release_app.command("deploy")
def deploy(
    code: Code,
    unit: UnitsOption,
    note: NoteOption = "deployed",
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Note where a release is deployed. Example: meterline rollout release deploy 2.4 --unit county-1"""
    _step(code, "deploy", unit, note, by, config, as_json)


@release_app.command("confirm")
def confirm(
    code: Code,
    unit: UnitsOption,
    note: NoteOption = "works",
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """A unit confirms that a release works. Example: meterline rollout release confirm 2.4 --unit county-1"""
    _step(code, "confirm", unit, note, by, config, as_json)


@release_app.command("roll-back")
def roll_back(
    code: Code,
    unit: UnitsOption,
    note: NoteOption,
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Note where a release was taken back, and why.

    Example: meterline rollout release roll-back 2.4 --unit county-1 --note "wrong totals"
    """
    _step(code, "roll_back", unit, note, by, config, as_json)


@release_app.command("list")
def list_(
    at: AtOption = None, limit: LimitOption = 50, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Releases, the newest first. Example: meterline rollout release list --json"""
    from store.rollout import read_rows

    with room(config) as desk:
        rows = read_rows(desk.connection, "desk", "releases", at=as_of(at), code=None, after=0, limit=limit)
    print_table(rows, as_json, ("code", "name", "deployed", "confirmed", "rolled_back", "tickets"), "no such release")


@release_app.command("show")
def show(code: Code, at: AtOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """One release: its steps and tickets, and who hasn't confirmed it. Example: meterline rollout release show 2.4"""
    from store.rollout import read_rows
    from sync.rollout.releases import read_release

    instant = as_of(at)
    with room(config) as desk:
        row = read_release(desk.connection, code, instant)
        steps = read_rows(desk.connection, "desk", "release_steps", code=code, at=instant)
    if as_json:
        print_json({**row, "steps": steps})
        return
    print_fields({name: ", ".join(map(str, v)) if isinstance(v, list) else v for name, v in row.items()}, as_json=False)
    for step in steps:
        print(f"{step['at']:%Y-%m-%d %H:%M} UTC  {step['action']} {step['unit']} by {step['actor']}: {step['note']}")


def _step(
    code: str, action: str, units: list[str], note: str, by: str | None, config: Path | None, as_json: bool
) -> None:
    from sync.rollout.releases import release_step

    with room(config, by) as desk:
        row = release_step(desk.connection, code, action, units, note, desk.by, desk.now)
    if as_json:
        print_json(row)
    else:
        print(f"release {code}: {len(row['deployed'])} deployed, {len(row['unconfirmed'])} units have not confirmed it")
