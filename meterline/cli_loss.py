"""The command `meterline loss`: days and months of units, and qualified rates."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grid.loss_class import reason_names
from grid.model import UnitKind
from grid.period import PeriodKind, first_day
from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_settings, text_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from meterline.config import Settings
    from store.periods import Period, Rates

PeriodOption = Annotated[PeriodKind, typer.Option("--period", help="Local days or months")]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="DAY", help="First local day, YYYY-MM-DD; default: the last full period")
]
ToOption = Annotated[str | None, typer.Option("--to", metavar="DAY", help="Last local day; default: as --from")]


class By(StrEnum):
    """What units are grouped by."""

    ALL = "all"
    SUBSTATION = "substation"
    ORGANISATION = "organisation"


def loss(
    config: ConfigOption = None,
    period: PeriodOption = PeriodKind.DAY,
    from_: FromOption = None,
    to: ToOption = None,
    kind: Annotated[UnitKind | None, typer.Option(help="Only units of this kind")] = None,
    unit: Annotated[list[str] | None, typer.Option("--unit", metavar="CODE", help="Only this unit; repeatable")] = None,
    rates: Annotated[bool, typer.Option("--rates", help="Qualified rates instead of single units")] = False,
    by: Annotated[By, typer.Option(help="What rates are grouped by, beside the kind of unit")] = By.ALL,
    refresh: Annotated[bool, typer.Option("--refresh", help="Sum up what has been settled since, first")] = False,
    as_json: JsonOption = False,
) -> None:
    """Loss of units over local days or months, with its error, class and reasons; or the qualified rates of them.

    Example: meterline loss --period day --from 2026-06-01 --to 2026-06-07 --rates --json
    """
    from meterline.bootstrap import opener
    from meterline.periods import refresh_all
    from store.periods import read_periods, read_rates

    settings = read_settings(config, quiet=True)
    first, last = read_days(settings, period, from_, to)
    with opener(settings, "meterline-cli")() as connection:
        connection.autocommit = True
        if refresh:
            refresh_all(connection, settings)
        table: Table
        if rates:
            shares = read_rates(connection, period, first, last, by.value, kind)
            plain: Sequence[dict[str, Any]] = [rates_as_json(r) for r in shares]
            table = _rates_table(shares)
        else:
            found = read_periods(connection, period, first, last, kind, unit)
            plain = [period_as_json(p) for p in found]
            table = _table(found)
    if as_json:
        print_json(plain)
    elif plain:
        text_console().print(table)
    else:
        print("nothing is summed up of that time")


def read_days(settings: Settings, period: PeriodKind, from_: str | None, to: str | None) -> tuple[date, date]:
    """First days of the first and the last period that are asked for; the last full one by default."""
    from datetime import datetime

    first = _day(from_, "--from")
    if first is None:
        today = datetime.now(settings.settling.zone()).date()
        first = first_day(period, first_day(period, today) - timedelta(days=1))
    last = _day(to, "--to") or first
    if last < first:
        fail(f"--to {last} lies before --from {first}", code=2)
    return first_day(period, first), first_day(period, last)


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"{option}: not a day such as 2026-06-01: {printable(text)}", code=2)


def period_as_json(period: Period) -> dict[str, Any]:
    """Its figures by name, with rates and hours; reasons by name."""
    row = asdict(period)
    row["class"] = row.pop("loss_class")
    row["reasons"] = reason_names(period.reasons)
    row["hours"] = period.covered_s / 3_600
    row["expected_hours"] = period.expected_s / 3_600
    row["loss_rate"] = period.loss_rate
    return row


def rates_as_json(rates: Rates) -> dict[str, Any]:
    """Its counts by name, with the rates."""
    return {
        **asdict(rates),
        "computable_rate": rates.computable_rate,
        "qualified_rate": rates.qualified_rate,
        "abnormal_rate": rates.abnormal_rate,
    }


def percent(rate: float | None) -> str:
    """A fraction for a reader; a dash where there is none."""
    return "–" if rate is None else f"{rate:.2%}"


def _table(periods: Sequence[Period]) -> Table:
    from rich.table import Table

    table = Table(
        "first day", "unit", "kind", "hours", "inflow kWh", "loss kWh", "rate", "± 2σ", "class", "reasons", "status"
    )
    for p in periods:
        band = 2 * p.sigma_wh / p.inflow_wh if p.loss_rate is not None else None
        table.add_row(
            str(p.first_day),
            printable(p.unit),
            p.unit_kind,
            f"{p.covered_s / 3_600:g} of {p.expected_s / 3_600:g}",
            f"{p.inflow_wh / 1e3:,.1f}",
            f"{p.loss_wh / 1e3:,.1f}",
            percent(p.loss_rate),
            percent(band),
            p.loss_class.replace("_", " "),
            " ".join(reason_names(p.reasons)),
            p.status if p.revision else "so far",
        )
    return table


def _rates_table(shares: Sequence[Rates]) -> Table:
    from rich.table import Table

    table = Table("first day", "kind", "of", "assessed", "computable", "qualified", "high", "negative", "rate")
    for r in shares:
        counts = (r.assessed, r.computable, r.qualified, r.high, r.negative)
        table.add_row(str(r.first_day), r.unit_kind, printable(r.member), *map(str, counts), percent(r.qualified_rate))
    return table
