"""Commands for the flow of the work: `meterline flow`."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meterline.cli_common import (
    ConfigOption,
    JsonOption,
    fail,
    print_json,
    printable,
    read_instant,
    read_settings,
    text_console,
)

if TYPE_CHECKING:
    from benefit.flow_report import ProcessFlow

flow_app = typer.Typer(
    no_args_is_help=True, help="How the work flows, and where it is held up. Example: meterline flow show"
)
SinceOption = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Cases that began then or later; default 90 days before")
]
AtOption = Annotated[
    str | None, typer.Option("--at", metavar="TIME", help="As it was known then, ISO 8601; default now")
]
ProcessOption = Annotated[
    list[str] | None,
    typer.Option("--process", help="conflict, delivery, alert or ticket; may be repeated; default all"),
]
CasesOption = Annotated[int, typer.Option("--limit", min=1, max=200_000, help="Cases of each process: the newest")]


@flow_app.command("show")
def show(
    process: ProcessOption = None,
    since: SinceOption = None,
    at: AtOption = None,
    kinds: Annotated[bool, typer.Option("--kinds", help="Times by kind of case as well")] = False,
    limit: CasesOption = 20_000,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Times by step and department, rework, and the bottlenecks with what to do about them.

    Example: meterline flow show --process alert --since 2026-06-01T00:00:00Z
    """
    from benefit.flow_report import plain

    begin, until, flows = _read(process, since, at, limit, config)
    if as_json:
        print_json({"since": begin, "at": until, "processes": [plain(asdict(flow)) for flow in flows]})
        return
    for flow in flows:
        _print_flow(flow, kinds=kinds)
    recommended = [r for flow in flows for r in flow.recommendations]
    print("what to do:" if recommended else "nothing is held up")
    for n, r in enumerate(recommended, start=1):
        where = printable(r.step) + (f" at {printable(r.department)}" if r.department else "")
        print(f"{n}. {r.about}, {where}: {printable(r.evidence, 1_000)}")
        print(f"   saves about {r.gain_s / 3600:,.0f} h: {printable(r.how, 1_000)}")


@flow_app.command("check")
def check(
    process: ProcessOption = None,
    since: SinceOption = None,
    at: AtOption = None,
    limit: CasesOption = 20_000,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare what was recorded with the intended process; ends with 1 when a step deviates.

    Example: meterline flow check --process conflict --json
    """
    begin, until, flows = _read(process, since, at, limit, config)
    deviating = sum(flow.deviating_steps for flow in flows)
    if as_json:
        wanted = ("process", "cases", "conforming", "deviating_steps", "deviations")
        rows = [{name: value for name, value in asdict(flow).items() if name in wanted} for flow in flows]
        print_json({"since": begin, "at": until, "processes": rows})
    else:
        for flow in flows:
            print(f"{flow.process}: {flow.conforming} of {flow.cases} cases as intended")
            for d in flow.deviations:
                print(
                    f"    {d.at:%Y-%m-%d %H:%M} UTC  {flow.process} {d.case}, {printable(d.kind)}: {printable(d.what)}"
                )
    if deviating:
        sys.exit(1)


def _read(
    process: list[str] | None, since: str | None, at: str | None, limit: int, config: Path | None
) -> tuple[datetime, datetime, list[ProcessFlow]]:
    from benefit.flow import read_flow
    from benefit.flow_process import PROCESSES
    from meterline.bootstrap import opener

    names = process or list(PROCESSES)
    if unknown := [name for name in names if name not in PROCESSES]:
        fail(f"no process {printable(unknown[0])!r}; there are {', '.join(PROCESSES)}", code=2)
    now = datetime.now(UTC)
    until = read_instant(at, "--at") or now
    begin = read_instant(since, "--since") or until - timedelta(days=90)
    if until > now:
        fail("--at lies ahead", code=2)
    if begin >= until:
        fail("--since must be earlier than --at", code=2)
    settings = read_settings(config, quiet=True)
    kept_since = now - timedelta(days=settings.retention.deliveries_d)
    with opener(settings, "meterline-cli")() as connection:
        return begin, until, read_flow(connection, begin, until, names, limit=limit, deliveries_since=kept_since)


def _print_flow(flow: ProcessFlow, *, kinds: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    lead = " and ".join(_hours(value) for value in (flow.lead_p50_s, flow.lead_p90_s))
    waited = flow.waiting_s / total if (total := flow.waiting_s + flow.working_s) else 0.0
    print(
        f"{flow.process}: {flow.cases} cases, {flow.over} over, {lead} h to the end (p50, p90), {waited:.0%} of it"
        f" waiting; {flow.conforming} as intended"
    )
    _print_older(flow)
    if not flow.steps:
        return
    table = Table(box=None, header_style="bold", show_edge=False)
    for title in ("step", "department", "kind", "stays", "still", "p50 h", "p90 h", "spent h", "again h", ""):
        table.add_column(title, justify="left" if title in {"step", "department", "kind", ""} else "right")
    for s in flow.steps:
        if kinds or s.kind is None:
            table.add_row(
                s.stage, Text(printable(s.department)), Text(printable(s.kind or "all")), str(s.stays), str(s.lasting),
                _hours(s.p50_s), _hours(s.p90_s), _hours(s.spent_s), _hours(s.again_s),
                "works" if s.working else "waits",
            )  # fmt: skip
    text_console().print(table)
    for r in flow.rework:
        print(
            f"    again: {r.action} back to {r.stage}, {printable(r.kind)}: {r.times} times in {r.cases} cases,"
            f" {_hours(r.spent_s)} h"
        )


def _print_older(flow: ProcessFlow) -> None:
    for o in flow.older:
        print(
            f"    begun before and still open: {o.cases} at {o.stage}, {printable(o.department)}, the longest since"
            f" {o.oldest_at:%Y-%m-%d %H:%M} UTC"
        )


def _hours(seconds: float) -> str:
    return "–" if math.isnan(seconds) else f"{seconds / 3600:,.1f}"
