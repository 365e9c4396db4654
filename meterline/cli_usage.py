"""Commands about abnormal usage: `meterline usage`. They work as the application's role."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meterline.cli_alert import ByOption
from meterline.cli_common import (
    ConfigOption,
    JsonOption,
    OpsPortOption,
    fail,
    print_json,
    printable,
    read_instant,
    read_settings,
    text_console,
)

if TYPE_CHECKING:
    from meterline.usage import Suspect
    from meterline.usage_story import Story
    from store.connection import Connection
    from streams.usage import UsageRules

usage_app = typer.Typer(
    no_args_is_help=True, help="Abnormal usage: theft, faults, wrong records. Example: meterline usage list"
)


class Result(StrEnum):
    """What a field check found."""

    CONFIRMED = "confirmed"
    INNOCENT = "innocent"
    NOT_FOUND = "not-found"


@usage_app.command("run")
def usage_run(
    day: Annotated[
        str | None, typer.Option(metavar="DAY", help="Through this local day, YYYY-MM-DD; with --once")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Fold what is there, and end")] = False,
    area: Annotated[str | None, typer.Option(metavar="CODE", help="Only this area; with --once")] = None,
    config: ConfigOption = None,
    ops_port: OpsPortOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fold each area's days when they are closed, and keep findings up to date, until stopped.

    Example: meterline usage run --day 2026-06-01 --once
    """
    from meterline.bootstrap import opener, stop_on_signals
    from meterline.memory import give_back
    from meterline.metrics_usage import UsageMetrics
    from meterline.ops import ops_of
    from meterline.usage import rules_of, run_through, run_usage_service

    settings = read_settings(config)
    rules = rules_of(settings)
    if not once:
        if day is not None or area is not None:
            fail("--day and --area go with --once", code=2)
        metrics = UsageMetrics(opener(settings, "meterline-usage-metrics"), rules)
        give_back()
        with ops_of(ops_port, metrics, metrics.idle_reason):
            run_usage_service(settings, stop_on_signals(), metrics.counts)
        return
    through = _through(day, rules)
    with opener(settings, "meterline-usage")() as connection:
        connection.autocommit = True
        _check_area(connection, area)
        counts = run_through(connection, rules, through, area)
    if as_json:
        print_json({"through": through, **asdict(counts)})
    else:
        print(f"through {through}: {counts.area_days} days of areas, {counts.conclusions} conclusions")


@usage_app.command("associate")
def usage_associate(
    area: Annotated[str | None, typer.Option(metavar="CODE", help="Only this area, whenever it was its turn")] = None,
    day: Annotated[str | None, typer.Option(metavar="DAY", help="Through this local day, YYYY-MM-DD")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare meters' transformers and phases with voltages, energies and losses, and end; the service does so weekly.

    Example: meterline usage associate --area A-17 --json
    """
    from meterline.bootstrap import opener
    from meterline.usage import record_rules, rules_of
    from streams.usage import RecordCounts
    from streams.usage_association import compare_due

    settings = read_settings(config, quiet=True)
    rules, counts = rules_of(settings), RecordCounts()
    through = _through(day, rules)
    with opener(settings, "meterline-cli")() as connection:
        connection.autocommit = True
        _check_area(connection, area)
        while compare_due(connection, rules, record_rules(settings), through, counts, unit=area):
            pass
    if as_json:
        print_json({"through": through, **asdict(counts)})
    else:
        print(f"through {through}: {counts.areas} areas, {counts.meters} meters, {counts.doubted} records doubted")


@usage_app.command("list")
def usage_list(
    area: Annotated[str | None, typer.Option(metavar="CODE", help="Only this area")] = None,
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as theft")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Only what was still seen since, ISO 8601")] = None,
    everything: Annotated[bool, typer.Option("--all", help="What has ended or was checked too")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List suspects by the energy that a visit is expected to recover. Example: meterline usage list --kind theft"""
    from meterline.bootstrap import opener
    from meterline.usage import FINDING_KINDS, ranked
    from store.usage_findings import FindingQuery

    if kind is not None and kind not in FINDING_KINDS:
        fail(f"--kind: {printable(kind)!r} is none of {', '.join(FINDING_KINDS)}", code=2)
    wanted = FindingQuery(unit=area, kind=kind, since=read_instant(since, "--since"), everything=everything)
    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        _check_area(connection, area)
        suspects = ranked(connection, wanted, datetime.now(UTC), limit)
    if as_json:
        print_json(
            [{**asdict(s.finding), "chance": round(s.chance, 4), "worth_wh": round(s.worth_wh)} for s in suspects]
        )
    elif suspects:
        _print_table(suspects)
    else:
        print("no such finding")


@usage_app.command("explain")
def usage_explain(
    meter: Annotated[str, typer.Argument(metavar="METER")],
    plot: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw its days and the area's loss: a PNG")] = None,
    reader: Annotated[
        str | None, typer.Option("--reader", help="Who looks at the series: its alert must be assigned to them")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the story of one meter. A picture reads its series through the audited function.

    Example: meterline usage explain M-17 --plot m17.png --reader wang
    """
    from meterline.bootstrap import opener
    from meterline.usage import UsageError, rules_of
    from meterline.usage_story import tell

    settings = read_settings(config, quiet=True)
    rules = rules_of(settings)
    with opener(settings, "meterline-cli")() as connection:
        try:
            story = tell(connection, meter, rules)
        except UsageError as error:
            fail(printable(str(error)))
        if plot is not None:
            _plot(connection, story, rules, plot, reader or getpass.getuser())
    if as_json:
        print_json(story.as_json())
    else:
        print("\n".join(map(printable, story.lines())))


@usage_app.command("check")
def usage_check(
    finding: Annotated[int, typer.Argument(metavar="FINDING")],
    result: Annotated[Result, typer.Option(help="What was found")],
    note: Annotated[str, typer.Option("--note", help="What was seen")],
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record what a field check found; with an alert it goes to its work order.

    Example: meterline usage check 17 --result confirmed --note "bridge behind the meter"
    """
    from meterline.bootstrap import opener
    from meterline.usage import UsageError, check

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        try:
            place = check(connection, finding, result.value, by or getpass.getuser(), note, datetime.now(UTC))
        except UsageError as error:
            fail(str(error))
    if as_json:
        print_json({"finding": finding, "result": result.value, "recorded_with": place})
    else:
        print(f"finding {finding}: {result.value}, recorded with {place}")


@usage_app.command("precision")
def usage_precision(
    k: Annotated[int, typer.Option("--k", min=1, max=10_000, help="The so many that were ranked highest")] = 10,
    months: Annotated[int, typer.Option(min=1, max=120, help="How far back")] = 12,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """How many visits found what was said, by month: of all, and of the k ranked highest.

    Example: meterline usage precision --k 20 --json
    """
    from datetime import timedelta

    from meterline.bootstrap import opener
    from meterline.usage import visits_of
    from store.usage_findings import read_results
    from streams.steps.usage_rank import precision_by_month

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        results = read_results(connection, datetime.now(UTC) - timedelta(days=31 * months))
    found = precision_by_month(visits_of(results), k)
    if as_json:
        print_json([{**asdict(row), "k": k} for row in found])
        return
    for row in found:
        print(
            f"{row.month:%Y-%m}: {row.confirmed} of {row.visits} confirmed, {row.precision:.2f};"
            f" of the {k} ranked highest {row.precision_at_k:.2f}"
        )
    if not found:
        print("nothing was checked")


def _plot(connection: Connection, story: Story, rules: UsageRules, file: Path, reader: str) -> None:
    import psycopg

    from meterline.usage_plot import days_of_series, draw
    from meterline.usage_story import series_window
    from store.findings import read_series

    if story.alert_finding_id is None:
        fail(f"meter {printable(story.meter)} has no finding with an alert: its series may not be read")
    try:
        rows = read_series(connection, reader, story.alert_finding_id, story.meter, *series_window(story, rules))
        connection.commit()
    except psycopg.errors.InsufficientPrivilege as error:
        fail(f"{error.diag.message_primary}: meterline workorder create ALERT --to {printable(reader)}")
    days, kwh = days_of_series(rows, rules.zone)
    if not days:
        fail("there are no readings to draw")
    newest = story.findings[0]
    title = f"{story.meter}: {newest.kind}, finding {newest.finding_id}"
    draw(file, title, (days, kwh), newest.begin_at.astimezone(rules.zone), story.days)


def _print_table(suspects: list[Suspect]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    for title in ("finding", "kind", "area", "meter", "since"):
        # Figures and days stay whole on a narrow terminal.
        table.add_column(title, overflow="fold", no_wrap=title in ("finding", "since"))
    for title in ("kWh 28 d", "money", "chance", "worth", "alert"):
        table.add_column(title, justify="right", no_wrap=True)
    for s in suspects:
        f = s.finding
        table.add_row(
            str(f.finding_id),
            f.kind,
            Text(f.unit),
            Text(f.meter or ""),
            f"{f.begin_at:%Y-%m-%d}",
            f"{f.expected_wh / 1_000:.0f}",
            "" if f.expected_money is None else f"{f.expected_money:.2f}",
            f"{s.chance:.2f}",
            f"{s.worth_wh / 1_000:.0f}",
            "" if f.alert_id is None else str(f.alert_id),
        )
    text_console().print(table)


def _through(day: str | None, rules: UsageRules) -> date:
    """The day through which to work: the last closed one, or one before it."""
    last = rules.last_closed(datetime.now(UTC))
    if day is None:
        return last
    try:
        wanted = date.fromisoformat(day)
    except ValueError:
        fail(f"--day: not a day as YYYY-MM-DD: {printable(day)}", code=2)
    if wanted.year < 1970:
        fail(f"--day: no such day: {wanted}", code=2)
    # Days of which nothing is there yet would end all findings.
    if wanted > last:
        fail(f"--day: {wanted} is not closed yet: the last closed day is {last}", code=2)
    return wanted


def _check_area(connection: Connection, area: str | None) -> None:
    from store.views import load_views

    if area is not None and not load_views(connection, [area]):
        fail(f"no area {printable(area)!r} in the grid model")
