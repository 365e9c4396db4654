"""`meterline report`: daily, weekly and monthly reports for each level, and each of their figures again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, read_instant
from meterline.cli_rollout import as_of, room

report_app = typer.Typer(no_args_is_help=True, help="Reports. Example: meterline report daily --out today.html")

LevelOption = Annotated[
    Literal["unit", "working", "leading"], typer.Option("--level", help="For a unit, or one of the groups")
]
ReportUnitOption = Annotated[str | None, typer.Option("--unit", help="Organisation, for --level unit")]
ReportAtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME", help="What it covers ends here, and is told as known then; default now"),
]
OutOption = Annotated[Path | None, typer.Option("--out", help="FILE.html or FILE.pdf; default HTML to standard output")]
LanguageOption = Annotated[Literal["en", "zh"], typer.Option("--language")]


@report_app.command("daily")
def daily(
    level: LevelOption = "working",
    unit: ReportUnitOption = None,
    at: ReportAtOption = None,
    out: OutOption = None,
    language: LanguageOption = "en",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The day so far, or the day that ended at --at. Example: meterline report daily --level leading --out day.html"""
    _report("daily", level, unit, at, out, language, config, as_json)


@report_app.command("weekly")
def weekly(
    level: LevelOption = "working",
    unit: ReportUnitOption = None,
    at: ReportAtOption = None,
    out: OutOption = None,
    language: LanguageOption = "en",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The week from Monday on. Example: meterline report weekly --level unit --unit county-3 --out week.pdf"""
    _report("weekly", level, unit, at, out, language, config, as_json)


@report_app.command("monthly")
def monthly(
    level: LevelOption = "working",
    unit: ReportUnitOption = None,
    at: ReportAtOption = None,
    out: OutOption = None,
    language: LanguageOption = "en",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The month. Example: meterline report monthly --level leading --language zh --out month.html"""
    _report("monthly", level, unit, at, out, language, config, as_json)


@report_app.command("figure")
def figure(
    name: Annotated[str, typer.Argument(help="Of the indicator")],
    unit: Annotated[str | None, typer.Option("--unit", help="Organisation; default everything")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="Default a day before --at")] = None,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="As it was known then; default now")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compute a figure of a report again, as it was known then.

    Example: meterline report figure consistency --unit county-3 --at 2026-11-22T00:00+08:00
    """
    from store.rollout import INDICATORS, read_figure
    from sync.rollout.report import need_organisation

    if name not in INDICATORS:
        fail(f"no indicator is named {name!r}; there are: {', '.join(INDICATORS)}", code=2)
    begin = read_instant(since, "--since")
    with room(config) as desk:
        need_organisation(desk.connection, unit)
        found = read_figure(desk.connection, name, unit, as_of(at), desk.zone.key, begin)
    if as_json:
        print_json(asdict(found))
    else:
        parts = "" if found.whole is None else f" ({found.part:g} of {found.whole:g})"
        day = "" if found.day is None else f", of {found.day}"
        print(f"{name}: {'unknown' if found.value is None else f'{found.value:g}'}{parts}{day}")


def _report(
    span: str,
    level: str,
    unit: str | None,
    at: str | None,
    out: Path | None,
    language: Literal["en", "zh"],
    config: Path | None,
    as_json: bool,
) -> None:
    from sync.rollout.report import Level, make_report
    from sync.rollout.report_html import draw_report
    from sync.rollout.timetable import Span

    if out is not None and out.suffix not in {".html", ".pdf"}:
        fail(f"--out: FILE.html or FILE.pdf: {out}", code=2)
    instant = as_of(at)
    with room(config) as desk:
        report = make_report(desk.connection, Span(span), Level(level), instant, desk.zone, unit)
        base = (desk.settings.alerts.link or "").rstrip("/")
    page = draw_report(report, language, base)
    if out is not None and out.suffix == ".pdf":
        from meterline.pdf import write_pdf

        write_pdf(page, out)
    elif out is not None:
        out.write_text(page, "utf-8")
    if as_json:
        print_json(asdict(report))
    elif out is None:
        print(page)
    else:
        print(f"{out}: {span} report, {len(report.figures) + sum(map(len, report.by_unit.values()))} figures")
