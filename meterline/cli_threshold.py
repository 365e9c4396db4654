"""Commands about limits of loss rates (考核指标): `meterline threshold`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from grid.loss_class import LossClass
from grid.model import UnitKind
from grid.period import JUDGED_BY, PeriodKind, judge, midnight_us
from grid.thresholds import Bounds, Threshold, Thresholds
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
from meterline.cli_loss import FromOption, PeriodOption, ToOption, percent, read_days

if TYPE_CHECKING:
    from store.periods import Period
    from store.thresholds import Recorded

threshold_app = typer.Typer(
    no_args_is_help=True,
    help="Limits of loss rates by kind of unit. Example: meterline threshold try --kind area --high 0.07",
)
KindOption = Annotated[UnitKind, typer.Option("--kind", help="Kind of unit")]
VoltageOption = Annotated[
    int | None,
    typer.Option(
        "--voltage", metavar="V", min=1, max=1_000_000, help="Only where the substation has this medium voltage"
    ),
]
LowOption = Annotated[float | None, typer.Option("--low", help="A fraction; default: as it holds at --from")]
HighOption = Annotated[float | None, typer.Option("--high", help="A fraction; default: as it holds at --from")]


@threshold_app.command("list")
def threshold_list(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every threshold that was recorded, with who and why, after the configured defaults.

    Example: meterline threshold list --json
    """
    from rich.table import Table

    from meterline.bootstrap import opener
    from store.thresholds import Recorded, read_thresholds, valid_from

    settings = read_settings(config, quiet=True)
    with opener(settings, "meterline-cli")() as connection:
        recorded = read_thresholds(connection)
    rows = [*(Recorded(0, t, "configuration", "default") for t in settings.thresholds.defaults()), *recorded]
    if as_json:
        print_json([_as_json(row) for row in rows])
        return
    table = Table("kind", "voltage", "low", "high", "min Wh/h", "valid from (UTC)", "by", "reason")
    for row in rows:
        t, since = row.threshold, valid_from(row.threshold)
        table.add_row(
            t.unit_kind.value,
            "" if t.medium_voltage_v is None else f"{t.medium_voltage_v / 1e3:g} kV",
            percent(t.low_rate),
            percent(t.high_rate),
            f"{t.min_inflow_wh_per_h:g}",
            "" if since is None else f"{since:%Y-%m-%d %H:%M}",
            printable(row.recorded_by),
            printable(row.reason),
        )
    text_console().print(table)


@threshold_app.command("set")
def threshold_set(
    kind: KindOption,
    low: Annotated[float, typer.Option("--low", help="Below this loss rate a unit is negative; a fraction")],
    high: Annotated[float, typer.Option("--high", help="Above this loss rate a unit is high; a fraction")],
    reason: Annotated[str, typer.Option("--reason", help="Why, for those who ask later")],
    by: Annotated[str, typer.Option("--by", help="Who has decided it")],
    config: ConfigOption = None,
    valid_from: Annotated[
        str | None,
        typer.Option("--valid-from", metavar="TIME", help="ISO 8601, in UTC without an offset; default: now"),
    ] = None,
    min_inflow: Annotated[
        float | None, typer.Option("--min-inflow", metavar="WH", min=0, help="Wh in an hour; default: as it is")
    ] = None,
    voltage: VoltageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record the limits of a kind of unit from an instant on; nothing is overwritten. See `try` for what they would do.

    Example: meterline threshold set --kind area --low 0 --high 0.07 --by "Li Na" --reason "target of 2027"
    """
    from meterline.bootstrap import opener
    from store.thresholds import add_threshold, load_thresholds

    _check_inflow(min_inflow)
    if not by.strip() or not reason.strip():
        fail("--by and --reason: who has decided it, and why, for those who ask later", code=2)
    settings = read_settings(config, quiet=True)
    allowed = settings.thresholds.of(kind)
    if not allowed.allows(low, high):
        fail(
            f"--low, --high: the limits of units of kind {kind.value} may lie from {allowed.lowest_rate:g} to "
            f"{allowed.highest_rate:g}, low before high: {low:g} and {high:g} don't",
            code=2,
        )
    at = read_instant(valid_from, "--valid-from") or datetime.now(UTC)
    at_us = round(at.timestamp() * 1e6)
    with opener(settings, "meterline-cli")() as connection:
        if min_inflow is None:
            known = load_thresholds(connection, settings.thresholds.defaults())
            min_inflow = known.at(kind, at_us, voltage).min_inflow_wh_per_h
        number = add_threshold(connection, Threshold(kind, low, high, min_inflow, at_us, voltage), by, reason)
    if as_json:
        print_json({"threshold_id": number})
    else:
        print(f"threshold {number} holds from {at.astimezone(UTC):%Y-%m-%d %H:%M} UTC")


@threshold_app.command("try")
def threshold_try(
    kind: KindOption,
    config: ConfigOption = None,
    low: LowOption = None,
    high: HighOption = None,
    min_inflow: Annotated[
        float | None, typer.Option("--min-inflow", metavar="WH", min=0, help="Wh in an hour; default: as it is")
    ] = None,
    voltage: VoltageOption = None,
    period: PeriodOption = PeriodKind.DAY,
    from_: FromOption = None,
    to: ToOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Changes to show")] = 20,
    as_json: JsonOption = False,
) -> None:
    """What limits would have flagged: unit-periods by class as they are and would be, and which change, worst first.

    Example: meterline threshold try --kind area --high 0.07 --from 2026-06-01 --to 2026-06-30
    """
    from meterline.bootstrap import opener
    from store.periods import read_periods
    from store.thresholds import load_thresholds

    _check_inflow(min_inflow)
    settings = read_settings(config, quiet=True)
    first, last = read_days(settings, period, from_, to)
    with opener(settings, "meterline-cli")() as connection:
        thresholds = load_thresholds(connection, settings.thresholds.defaults())
        found = read_periods(connection, period, first, last, kind)
    zone = settings.settling.zone()
    held = thresholds.at(kind, midnight_us(first, zone), voltage)
    try:
        proposal = Threshold(
            kind,
            held.low_rate if low is None else low,
            held.high_rate if high is None else high,
            held.min_inflow_wh_per_h if min_inflow is None else min_inflow,
        )
    except ValueError as error:
        fail(str(error), code=2)
    trial = compare(concerned(found, thresholds, zone, voltage), proposal)
    if as_json:
        print_json(trial.as_json(limit))
    else:
        _show(trial, limit)


def _check_inflow(min_inflow: float | None) -> None:
    if min_inflow is not None and not math.isfinite(min_inflow):
        fail(f"--min-inflow: not a number of Wh in an hour: {min_inflow}", code=2)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a proposal would change: unit-periods by class, and those whose class changes, worst first."""

    proposal: Threshold
    now: Counter[str]
    then: Counter[str]
    changes: list[tuple[Period, str]]

    def as_json(self, limit: int) -> dict[str, Any]:
        """For programs; at most `limit` of the changes."""
        names = [c.name.lower() for c in LossClass]
        return {
            "kind": self.proposal.unit_kind.value,
            "low_rate": self.proposal.low_rate,
            "high_rate": self.proposal.high_rate,
            "min_inflow_wh_per_h": self.proposal.min_inflow_wh_per_h,
            "now": {name: self.now[name] for name in names},
            "proposed": {name: self.then[name] for name in names},
            "changed": len(self.changes),
            "changes": [
                {
                    "unit": p.unit,
                    "name": p.unit_name,
                    "period": p.period,
                    "first_day": p.first_day.isoformat(),
                    "loss_rate": p.loss_rate,
                    "loss_wh": p.loss_wh,
                    "sigma_wh": p.sigma_wh,
                    "hours": p.covered_s / 3_600,
                    "now": p.loss_class,
                    "proposed": then,
                }
                for p, then in self.changes[:limit]
            ],
        }


def concerned(periods: Sequence[Period], thresholds: Thresholds, zone: tzinfo, voltage: int | None) -> list[Period]:
    """Those that a threshold of a voltage would judge; of none, those that no threshold of their own voltage judges."""
    if voltage is not None:
        return [p for p in periods if p.medium_voltage_v == voltage]
    held = (thresholds.at(UnitKind(p.unit_kind), midnight_us(p.first_day, zone), p.medium_voltage_v) for p in periods)
    return [p for p, threshold in zip(periods, held, strict=True) if threshold.medium_voltage_v is None]


def compare(periods: Sequence[Period], proposal: Threshold) -> Trial:
    """Classes of periods as they stand, and under a proposal; the greatest energy beyond its limits first."""
    now: Counter[str] = Counter()
    then: Counter[str] = Counter()
    changes = []
    if not periods:
        return Trial(proposal, now, then, [])
    figures = {name: np.array([getattr(p, name) for p in periods]) for name in JUDGED_BY}
    classes, _ = judge(Bounds.of([proposal] * len(periods)), figures, np.array([p.expected_s for p in periods]))
    for p, proposed in zip(periods, classes.tolist(), strict=True):
        name = LossClass(proposed).name.lower()
        now[p.loss_class] += 1
        then[name] += 1
        if name != p.loss_class:
            changes.append((p, name))
    changes.sort(key=lambda change: (-_beyond_wh(change[0], proposal), change[0].first_day, change[0].unit))
    return Trial(proposal, now, then, changes)


def _beyond_wh(p: Period, proposal: Threshold) -> float:
    return max(p.loss_wh - proposal.high_rate * p.inflow_wh, proposal.low_rate * p.inflow_wh - p.loss_wh)


def _as_json(row: Recorded) -> dict[str, Any]:
    from store.thresholds import valid_from

    t = row.threshold
    return {
        "threshold_id": row.threshold_id or None,
        "kind": t.unit_kind.value,
        "medium_voltage_v": t.medium_voltage_v,
        "low_rate": t.low_rate,
        "high_rate": t.high_rate,
        "min_inflow_wh_per_h": t.min_inflow_wh_per_h,
        "valid_from": valid_from(t),
        "recorded_by": row.recorded_by,
        "reason": row.reason,
    }


def _show(trial: Trial, limit: int) -> None:
    from rich.table import Table

    classes = Table("class", "as it is", "proposed")
    for c in LossClass:
        name = c.name.lower()
        classes.add_row(name.replace("_", " "), str(trial.now[name]), str(trial.then[name]))
    console = text_console()
    console.print(classes)
    print(f"{len(trial.changes)} of {trial.now.total()} would change")
    if not trial.changes:
        return
    changes = Table("first day", "unit", "rate", "loss kWh", "hours", "as it is", "proposed")
    for p, then in trial.changes[:limit]:
        changes.add_row(
            str(p.first_day),
            printable(p.unit),
            percent(p.loss_rate),
            f"{p.loss_wh / 1e3:,.1f}",
            f"{p.covered_s / 3_600:g}",
            p.loss_class.replace("_", " "),
            then.replace("_", " "),
        )
    console.print(changes)
