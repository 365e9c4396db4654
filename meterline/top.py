"""The live view in a terminal."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from meterline.bootstrap import opener, stop_on_signals
from meterline.config import Settings
from store.overview import Overview, read_overview

_REFRESH_S = 2.0
#: A value older than this has stopped: three live intervals, and at least five minutes.
STALE_S = 300.0


def show_top(settings: Settings, *, once: bool, as_json: bool) -> None:
    """Show the overview until stopped, or `once`."""
    with opener(settings, "meterline-top")() as connection:
        overview = read_overview(connection)
        if as_json:
            sys.stdout.write(json.dumps(asdict(overview), default=str) + "\n")
            return
        if once:
            Console().print(render(overview, datetime.now(UTC)))
            return
        stop = stop_on_signals()
        with Live(render(overview, datetime.now(UTC)), screen=True, auto_refresh=False) as live:
            while not stop.wait(_REFRESH_S):
                live.update(render(read_overview(connection), datetime.now(UTC)), refresh=True)


def render(overview: Overview, now: datetime, note: str = "") -> Group:
    """Draw the overview; values that have stopped are marked stale with their age."""
    head = Text.assemble(
        ("Meterline  ", "bold"),
        f"areas settled {overview.areas_settled:,} intervals of {overview.units.get('area', 0)} areas   ",
        f"feeders {overview.feeders_settled:,} of {overview.units.get('feeder', 0)}   ",
        f"delay {overview.delay_s:.1f} s   ",
        _age(overview.newest, now),
    )
    feeders = Table("feeder", "supply kWh", "own loss %", "± 2σ", "with areas %", "age", title="Loss by feeder, 24 h")
    for row in overview.feeders:
        feeders.add_row(
            row.code,
            f"{row.inflow_wh / 1e3:,.0f}",
            _percent(row.own_loss_wh, row.inflow_wh),
            _percent(2 * row.sigma_wh, row.inflow_wh),
            _percent(row.loss_with_areas_wh, row.inflow_wh),
            _age(row.observed_at, now),
        )
    areas = Table("area", "supply kWh", "loss %", "± 2σ", "age", title="Worst areas, 24 h")
    for area in overview.areas:
        areas.add_row(
            area.code,
            f"{area.inflow_wh / 1e3:,.0f}",
            _percent(area.loss_wh, area.inflow_wh),
            _percent(2 * area.sigma_wh, area.inflow_wh),
            _age(area.observed_at, now),
        )
    columns = Table.grid(padding=(0, 2))
    columns.add_row(feeders, areas)
    lines = [f"{kind} {code} since {since:%Y-%m-%d %H:%M} UTC" for code, kind, _, since in overview.alerts]
    lines += [f"rejected: {reason} × {count:,}" for reason, count in overview.rejected.items()]
    return Group(head, Text(note), columns, Panel("\n".join(lines) or "none", title="Open alerts and rejected input"))


def _percent(part: float, whole: int) -> str:
    return f"{100 * part / whole:.2f}" if whole > 0 else "not computable"


def _age(at: datetime | None, now: datetime) -> Text:
    if at is None:
        return Text("no data", style="yellow")
    seconds = max(0.0, (now - at).total_seconds())
    text = (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )
    return Text(f"stale, {text}", style="bold red") if seconds > STALE_S else Text(text, style="green")
