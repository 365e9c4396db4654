"""`meterline rollout assess`: weights, scores, warning orders, appeals."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from meterline.cli_alert import ByOption
from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_instant
from meterline.cli_rollout import AtOption, as_of, print_table, room

assess_app = typer.Typer(no_args_is_help=True, help="Assessment. Example: meterline rollout assess show 3")


@assess_app.command("weights")
def weights(
    file: Annotated[Path, typer.Argument(help="The weights, TOML")],
    reason: Annotated[str, typer.Option("--reason", help="Why")],
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Propose weights of indicators. Example: meterline rollout assess weights weights.toml --reason 'order 12'"""
    from store.rollout import INDICATORS
    from sync.rollout.assess import propose_weights
    from sync.rollout.assessment import parse_weights

    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file}: {getattr(error, 'strerror', None) or error}")
    wanted = parse_weights(text, INDICATORS)
    with room(config, by) as desk:
        version = propose_weights(desk.connection, wanted, reason, desk.by, desk.now)
    print(f"version {version}: to be approved by somebody else")


@assess_app.command("approve")
def approve(version: Annotated[int, typer.Argument(min=1)], by: ByOption = None, config: ConfigOption = None) -> None:
    """Approve weights that somebody else proposed. Example: meterline rollout assess approve 2"""
    from sync.rollout.assess import approve_weights

    with room(config, by) as desk:
        approve_weights(desk.connection, version, desk.by, desk.now)
    print(f"version {version}: approved")


@assess_app.command("versions")
def versions(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Versions of weights, and who approved them. Example: meterline rollout assess versions --json"""
    from store.rollout import read_rows

    with room(config) as desk:
        rows = read_rows(desk.connection, "assessment", "weightings", weighting_id=None, at=desk.now)
    print_table(rows, as_json, ("weighting_id", "reason", "actor", "at", "approved_by", "approved_at"), "no weights")


@assess_app.command("run")
def run(
    version: Annotated[int, typer.Argument(min=1, help="Of the weights")],
    since: Annotated[str, typer.Option("--since", metavar="TIME")],
    until: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Default now")] = None,
    kind: Annotated[Literal["unit", "department"], typer.Option("--kind")] = "unit",
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Assess all over a time that has ended. Example: meterline rollout assess run 2 --since 2026-11-01"""
    from sync.rollout.assess import assess, read_assessment

    begin, end = read_instant(since, "--since"), read_instant(until, "--until")
    assert begin is not None  # noqa: S101  # the option is required
    with room(config, by) as desk:
        number = assess(desk.connection, version, kind, begin, end or desk.now, desk.by, desk.now, desk.zone)
        found = read_assessment(desk.connection, number, desk.now)
    if as_json:
        print_json({**found, "results": [asdict(result) for result in found["results"]]})
    else:
        warned = len(found["warnings"])
        print(f"assessment {number}: {len(found['results'])} assessed, {warned} warning orders")


@assess_app.command("show")
def show(
    number: Annotated[int, typer.Argument(metavar="ASSESSMENT", min=1)],
    at: AtOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Scores and ranks, warning orders, appeals. Example: meterline rollout assess show 3"""
    from sync.rollout.assess import read_assessment

    with room(config) as desk:
        found = read_assessment(desk.connection, number, as_of(at))
    if as_json:
        print_json({**found, "results": [asdict(result) for result in found["results"]]})
        return
    for result in found["results"]:
        score = "unknown" if result.score is None else f"{result.score:.2f}"
        before = "" if result.score == result.found or result.found is None else f", {result.found:.2f} before appeals"
        print(f"{result.rank or '-'}  {printable(result.unit)}  {score}{before}")
    for row in found["warnings"]:
        print(f"warning order {row['warning_id']}: {printable(row['unit'])}, {row['score']:.2f}")
    for row in found["appeals"]:
        said = (
            "open" if row["answer"] is None else "refused" if row["granted"] is None else f"granted {row['granted']:g}"
        )
        print(f"appeal {row['appeal_id']}: {printable(row['unit'])} {row['indicator']} {row['claimed']:g}: {said}")


@assess_app.command("appeal")
def appeal_(
    number: Annotated[int, typer.Argument(metavar="ASSESSMENT", min=1)],
    unit: Annotated[str, typer.Argument()],
    indicator: Annotated[str, typer.Argument()],
    value: Annotated[float, typer.Argument(help="What it should be")],
    reason: Annotated[str, typer.Option("--reason", help="Why")],
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Appeal against a value. Example: meterline rollout assess appeal 3 county-3 on_time 1.0 --reason 'report 9'"""
    from sync.rollout.assess import appeal

    with room(config, by) as desk:
        made = appeal(desk.connection, number, unit, indicator, value, reason, desk.by, desk.now)
    print(f"appeal {made}")


@assess_app.command("answer")
def answer(
    number: Annotated[int, typer.Argument(metavar="APPEAL", min=1)],
    text: Annotated[str, typer.Option("--answer", help="Why")],
    grant: Annotated[float | None, typer.Option("--grant", help="What counts from now on")] = None,
    refuse: Annotated[bool, typer.Option("--refuse", help="What was found stays")] = False,
    by: ByOption = None,
    config: ConfigOption = None,
) -> None:
    """Answer an appeal of somebody else. Example: meterline rollout assess answer 1 --grant 1.0 --answer seen"""
    from sync.rollout.assess import answer_appeal

    if refuse == (grant is not None):
        fail("either --grant VALUE or --refuse", code=2)
    with room(config, by) as desk:
        answer_appeal(desk.connection, number, text, desk.by, desk.now, grant)
    print(f"appeal {number}: {'refused' if refuse else f'granted {grant:g}'}")
