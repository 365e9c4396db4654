"""The command `meterline why`."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_settings, text_console

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from rich.table import Table

    from grid.recorded_change import RecordedChange
    from meterline.why import PeriodFacts, Span, Why


class Period(StrEnum):
    """Periods that a date names."""

    DAY = "day"
    MONTH = "month"


def why(
    unit: Annotated[str, typer.Argument(help="Code of an area, a feeder, a region or another unit")],
    between: Annotated[str, typer.Option("--between", metavar="DATE", help="First day of the earlier period")],
    and_: Annotated[str, typer.Option("--and", metavar="DATE", help="First day of the later period")],
    config: ConfigOption = None,
    days: Annotated[int | None, typer.Option("--days", min=1, max=366, help="Length of both periods in days")] = None,
    period: Annotated[
        Period, typer.Option("--period", help="day: these days; month: the months that they lie in")
    ] = Period.DAY,
    with_members: Annotated[
        bool | None,
        typer.Option(
            "--with-members/--own", help="With the loss inside smaller units, or without; default by the kind"
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Tell why the loss of a unit changed from one period to another, in parts that add up. Days are the utility's.

    Example: meterline why LV1.101 --between 2026-11-01 --and 2026-11-08 --days 7
    """
    from meterline.bootstrap import opener
    from meterline.why import WhyError, explain

    settings = read_settings(config, quiet=True)
    zone = settings.settling.zone()
    if days is not None and period is Period.MONTH:
        fail("--days is a length, and so is --period month: give one of them", code=2)
    spans = _span(between, "--between", days, period, zone), _span(and_, "--and", days, period, zone)
    if spans[0].end > spans[1].begin:
        fail("the later period begins before the earlier one ends: --between comes first, without overlap", code=2)
    with opener(settings, "meterline-cli")() as connection:
        connection.autocommit = True
        try:
            found = explain(connection, unit, spans, zone, with_members)
        except WhyError as error:
            fail(printable(str(error)))
    if as_json:
        print_json(as_plain(found))
        return
    console = text_console()
    console.print(_table(found))
    for line in _lines(found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _span(text: str, option: str, days: int | None, period: Period, zone: ZoneInfo) -> Span:
    from meterline.why import Span

    try:
        first = date.fromisoformat(text)
    except ValueError:
        fail(f"{option}: not a date such as 2026-11-01: {printable(text)}", code=2)
    if not 1900 < first.year < 2200:
        fail(f"{option}: no such date: {printable(text)}", code=2)
    if period is Period.MONTH:
        first = first.replace(day=1)
        return Span.of_days(first, ((first + timedelta(days=31)).replace(day=1) - first).days, zone)
    return Span.of_days(first, days or 1, zone)


def as_plain(found: Why) -> dict[str, Any]:
    """What is printed as JSON; energies in Wh, None where a figure can't be told."""
    change = found.change
    return {
        "unit": found.unit.code,
        "kind": found.unit.kind,
        "name": found.unit.name,
        "with_members": found.with_members,
        "interval_s": found.interval_s,
        "before": _plain_period(found.before),
        "after": _plain_period(found.after),
        "change_wh": change.change_wh,
        "sigma_wh": _number(change.sigma_wh),
        "pairs": change.pairs,
        "parts": [
            {"part": cause.value, "wh": part.wh, "sigma_wh": _number(part.sigma_wh), "notes": list(part.notes)}
            for cause, part in change.parts.items()
        ],
        "gaps_wh": change.gaps_wh,
        "estimates_wh": change.estimates_wh,
        "steps": [
            {
                "part": step.cause.value,
                "wh": outcome.wh,
                "sigma_wh": _number(outcome.sigma_wh),
                "moved_wh": moved,
                "share": outcome.share,
                "late_since": None if since is None else _instant(since, found).isoformat(),
                "note": outcome.note or None,
                "changes": [_plain_change(c) for c in recorded],
            }
            for step, outcome, moved, since, recorded in zip(
                found.steps, change.steps, change.moved_wh, change.late_since_us, found.recorded, strict=True
            )
        ],
    }


def _plain_period(facts: PeriodFacts) -> dict[str, Any]:
    return {
        "from": facts.begin.isoformat(),
        "to": facts.end.isoformat(),
        "intervals": facts.intervals,
        "computable": facts.computable,
        "gap_hours": facts.gap_hours,
        "gaps": [{"from": a.isoformat(), "to": b.isoformat()} for a, b in facts.gaps],
        "inflow_wh": facts.inflow_wh,
        "loss_wh": facts.loss_wh,
        "generation_wh": facts.generation_wh,
        "estimated_wh": facts.estimated_wh,
        "technical_wh": None if facts.technical_wh is None else round(facts.technical_wh),
        "technical_intervals": facts.technical_intervals,
        "provisional": facts.provisional,
        "reasons": facts.reasons,
    }


def _plain_change(change: RecordedChange) -> dict[str, Any]:
    old, new = change.values
    return {
        "kind": change.kind.value,
        "member": change.member,
        "at": change.at.isoformat(),
        "old": old or None,
        "new": new or None,
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _instant(us: int, found: Why) -> datetime:
    return datetime.fromtimestamp(us / 1e6, found.before.begin.tzinfo)


_NOTES = {
    "no_pairs": "no interval is computable in both periods",
    "few_pairs": "too few intervals are computable in both periods",
    "no_energy": "the energy of what changed isn't stored",
    "not_separable": "can't be told apart from another cause",
    "not_clear": "no error of the record or the estimates shows",
    "not_known": "technical loss isn't known",
    "partly_known": "technical loss is known for some intervals only",
}


def _table(found: Why) -> Table:
    from rich.table import Table

    change = found.change
    scope = "with its members" if found.with_members else "own"
    table = Table(title=f"{printable(found.unit.code)} ({found.unit.kind}), {scope} loss, kWh", title_justify="left")
    table.add_column("")
    table.add_column("kWh", justify="right")
    table.add_column("± σ", justify="right")
    table.add_column("")
    for facts, total in ((found.before, change.before_wh), (found.after, change.after_wh)):
        rate = f"{total / facts.inflow_wh:.2%} of inflow" if facts.inflow_wh > 0 else ""
        if found.with_members:
            rate = ""
        last = facts.end - timedelta(days=1)
        days = f"{facts.begin:%Y-%m-%d}" + ("" if last.date() == facts.begin.date() else f" to {last:%Y-%m-%d}")
        table.add_row(days, f"{total / 1000:,.3f}", "", rate)
    table.add_section()
    for cause, part in change.parts.items():
        notes = "; ".join(_NOTES[note] for note in part.notes)
        table.add_row(cause.value.replace("_", " "), f"{part.wh / 1000:+,.3f}", _spread(part.sigma_wh), notes)
    table.add_section()
    table.add_row("change", f"{change.change_wh / 1000:+,.3f}", _spread(change.sigma_wh), "")
    return table


def _spread(sigma_wh: float) -> str:
    return f"{sigma_wh / 1000:,.3f}" if math.isfinite(sigma_wh) else "not known"


def _lines(found: Why) -> list[str]:
    """The facts behind the parts."""
    change = found.change
    lines = [f"{change.pairs} pairs of intervals of {found.interval_s} s"]
    for name, facts in (("earlier", found.before), ("later", found.after)):
        if facts.gap_hours:
            lines.append(f"{name}: nothing computable for {facts.gap_hours:,.2f} h")
            zone = facts.begin.tzinfo
            lines += _first(
                [f"  {a.astimezone(zone):%Y-%m-%d %H:%M} to {b.astimezone(zone):%Y-%m-%d %H:%M}" for a, b in facts.gaps]
            )
        if facts.estimated_wh:
            lines.append(f"{name}: {facts.estimated_wh / 1000:,.3f} kWh estimated or substituted")
        if facts.provisional:
            lines.append(f"{name}: {facts.provisional} results are provisional")
    first, second = found.before, found.after
    if first.generation_wh or second.generation_wh:
        lines.append(f"generation: {first.generation_wh / 1000:,.3f} kWh, then {second.generation_wh / 1000:,.3f} kWh")
    if first.technical_wh is not None and second.technical_wh is not None:
        lines.append(
            f"technical loss: {first.technical_wh / 1000:,.3f} kWh, then {second.technical_wh / 1000:,.3f} kWh"
        )
    for step, outcome, moved, since, recorded in zip(
        found.steps, change.steps, change.moved_wh, change.late_since_us, found.recorded, strict=True
    ):
        what = []
        if outcome.note:
            what.append(_NOTES[outcome.note])
        elif outcome.wh or not moved:
            what.append(f"{outcome.wh / 1000:+,.3f} kWh, {outcome.share:.0%} of what a wrong record would make")
        if since is not None:
            what.append(f"recorded late, wrong since {_instant(since, found):%Y-%m-%d %H:%M}")
        if moved:
            what.append(f"{moved / 1000:+,.3f} kWh of loss moved with them")
        lines.append(f"{step.cause.value}: {'; '.join(what)}")
        lines += _first([_recorded(change, first.begin.tzinfo) for change in recorded])
    return lines


def _recorded(change: RecordedChange, zone: tzinfo | None) -> str:
    old, new = (printable(value) for value in change.values)
    of = f": {old} → {new}" if old or new else ""
    return f"  {change.at.astimezone(zone):%Y-%m-%d %H:%M} {printable(change.member)} {change.kind.value}{of}"


def _first(lines: list[str], most: int = 20) -> list[str]:
    """The first lines, and how many there are besides."""
    return lines if len(lines) <= most else [*lines[:most], f"  and {len(lines) - most} more"]
