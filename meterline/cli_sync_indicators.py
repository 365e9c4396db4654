"""`meterline sync indicators`: how well the records of source systems agree, by day, week or month."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_instant, read_settings


def indicators(
    period: Annotated[str, typer.Option(help="day, week or month")] = "day",
    count: Annotated[int, typer.Option(min=1, max=400, help="How many periods that have ended, the newest first")] = 1,
    at: Annotated[str | None, typer.Option("--at", metavar="TIME", help="As of then; default now")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Consistency by unit, open conflicts by kind, department and age, time to resolve, drift, completeness.

    Example: meterline sync indicators --period week --count 4 --json
    """
    from meterline.bootstrap import opener
    from store.sync_indicators import read_indicators
    from sync.periods import PERIODS, ended_periods

    chosen = next((each for each in PERIODS if each == period), None)
    if chosen is None:
        fail(f"--period: {', '.join(PERIODS)}, not {printable(period)}", code=2)
    settings = read_settings(config, quiet=True)
    zone = settings.settling.zone()
    bounds = ended_periods(read_instant(at, "--at") or datetime.now(UTC), chosen, count, zone)
    with opener(settings, "meterline-sync")() as connection:
        found = [read_indicators(connection, since, until, zone.key) for since, until in bounds]
    if as_json:
        print_json([each.as_json() for each in found])
        return
    for each in found:
        print(f"{each.since.date()} to {each.at.date()}")
        for name, figure in each.whole.items():
            print(f"  {name}: {_value(figure.value)}" + _of(figure.part, figure.whole))
        for unit, figure in each.units.items():
            print(f"  consistency of {printable(unit)}: {_value(figure.value)}" + _of(figure.part, figure.whole))
        for row in each.open_conflicts:
            print(f"  open {row['kind']} of {row['department']}, {row['days']} days: {row['open']}")
        for row in each.resolved:
            hours = f"{row['mean_hours']:.1f} h, half of them within {row['median_hours']:.1f} h"
            print(f"  resolved {row['kind']} of {row['department']}: {row['resolved']}, on average after {hours}")
        for row in each.drift:
            print(f"  drift of {printable(row['target'])}, {row['kind']}: {row['minutes']:.1f} minutes")
        for row in each.completeness:
            print(f"  {row['kind']} of {printable(row['system'])}: {_value(row['rate'])} complete")


def _value(value: float | None) -> str:
    return "not known" if value is None else f"{value:.6g}"


def _of(part: float | None, whole: float | None) -> str:
    return "" if part is None or whole is None else f" ({part:.6g} of {whole:.6g})"
