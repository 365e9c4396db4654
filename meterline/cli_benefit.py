"""Commands about what it brought: `meterline benefit`. They work as the application's role."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meterline.cli_alert import ByOption
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
    from benefit.parameters import Parameters
    from store.connection import Connection

benefit_app = typer.Typer(
    no_args_is_help=True, help="What it brought: ledger, effects, economy. Example: meterline benefit show --json"
)
parameters_app = typer.Typer(
    no_args_is_help=True, help="What benefits are valued by. Example: meterline benefit parameters list"
)
benefit_app.add_typer(parameters_app, name="parameters")

OrganisationOption = Annotated[
    str | None, typer.Option("--organisation", metavar="CODE", help="Only this organisation and those below it")
]
SinceOption = Annotated[str | None, typer.Option("--since", metavar="TIME", help="Done then or later, ISO 8601")]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Done before")]


class SourceName(StrEnum):
    """What an entry comes from."""

    WORK_ORDER = "work_order"
    PROPOSAL = "proposal"
    CONFLICT = "conflict"
    OUTAGE = "outage"


@benefit_app.command("update")
def benefit_update(
    at: Annotated[str | None, typer.Option(metavar="TIME", help="What was done up to then; default now")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enter what was done, and restate what is known otherwise now. The same again writes nothing; daily is enough.

    Example: meterline benefit update --json
    """
    from benefit.update import LedgerAheadError, LedgerBusyError, NotApprovedError, update_ledger
    from meterline.bootstrap import opener

    settings = read_settings(config, quiet=True)
    now = datetime.now(UTC)
    until = read_instant(at, "--at") or now
    if until > now:
        fail("--at lies ahead", code=2)
    with opener(settings, "meterline-cli")() as connection:
        connection.autocommit = True
        try:
            kept = timedelta(days=settings.retention.deliveries_d)
            done = update_ledger(connection, settings.settling.zone(), until, kept)
        except (NotApprovedError, LedgerAheadError, LedgerBusyError) as error:
            fail(str(error))
    if as_json:
        print_json(
            {
                "sources": done.sources, "written": dict(sorted(done.written.items())), "unchanged": done.unchanged,
                "measured": done.measured, "effects": done.effects, "waiting": done.waiting,
            }
        )  # fmt: skip
        return
    written = ", ".join(f"{count} {reason}" for reason, count in sorted(done.written.items()))
    print(f"{done.sources} sources; entries: {written or 'none new'}, {done.unchanged} as they were")
    for one in done.waiting:
        print(f"  {', '.join(one['sources'])}: {printable(one['why'])}")


@benefit_app.command("show")
def benefit_show(
    organisation: OrganisationOption = None,
    unit: Annotated[str | None, typer.Option(metavar="CODE", help="Only this assessment unit")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sums of the ledger by organisation and item, and money by department; with --json every entry too.

    Example: meterline benefit show --since 2026-01-01T00:00:00Z --json
    """
    from benefit.report import all_entries, summary

    wanted: dict[str, Any] = {
        "organisation": organisation, "unit": unit, "since": read_instant(since, "--since"),
        "until": read_instant(until, "--until"),
    }  # fmt: skip
    if wanted["since"] and wanted["until"] and wanted["since"] >= wanted["until"]:
        fail("--until must be later than --since", code=2)
    with _opened(config) as (connection, parameters):
        found = summary(connection, parameters, **wanted)
        entries = all_entries(connection, **wanted) if as_json else []
    if as_json:
        print_json({**found, "list": entries})
        return
    from rich.table import Table

    table = Table("organisation", "item", "basis", box=None, header_style="bold")
    for title in ("entries", "kWh", "± kWh", found["currency"], "visits", "customer h", "CO₂ kg"):
        table.add_column(title, justify="right")
    for row in [*found["by_item"], {**found["total"], "organisation": "", "item": "all", "basis": ""}]:
        table.add_row(
            printable(row["organisation"]), row["item"], row["basis"], f"{row.get('entries', found['entries']):,}",
            f"{row['energy_wh'] / 1_000:,.1f}", _error(row["sigma_wh"], 1, "–"), f"{row['money_cents'] / 100:,.2f}",
            f"{row['visits_milli'] / 1_000:,.1f}", f"{row['outage_customer_s'] / 3_600:,.1f}",
            f"{row['co2_g'] / 1_000:,.1f}",
        )  # fmt: skip
    text_console().print(table)
    if any(row["sigma_wh"] is None for row in found["by_item"]):
        print("–: how exact that is isn't known; ± of all is that of the avoided losses")
    if found["no_effect_shown"]:
        print(f"no effect can be shown of {found['no_effect_shown']}: nothing is credited for them")
    shares = ", ".join(f"{printable(name)} {cents / 100:,.2f}" for name, cents in found["departments"].items())
    print(f"by department: {shares} {found['currency']}")


@benefit_app.command("explain")
def benefit_explain(
    source: Annotated[SourceName, typer.Argument(metavar="SOURCE")],
    number: Annotated[int, typer.Argument(metavar="ID", min=1)],
    item: Annotated[str | None, typer.Option(help="Only this item, such as loss_avoided")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Every version of a source's entries, what they rest on, and whether it still comes to the same.

    SOURCE is work_order, proposal, conflict or outage. Example: meterline benefit explain work_order 17
    """
    from benefit.report import explain
    from meterline.bootstrap import opener

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        rows = explain(connection, source.value, number, item)
    if not rows:
        fail(f"nothing is entered of {source.value} {number}")
    if as_json:
        print_json(rows)
        return
    for row in rows:
        state = "withdrawn" if row["withdrawn"] else "entered"
        print(f"{row['item']} version {row['version']}, {state} ({row['reason']}), {row['basis']}: {row['method']}")
        print(f"  {row['energy_wh'] / 1_000:,.3f} kWh ± {_error(row['sigma_wh'], 3)}, {row['money_cents'] / 100:,.2f}")
        effect = row["effect"]
        if effect is not None:
            _print_effect(effect, row["check"])
        said = ", ".join(f"{name} {value}" for name, value in sorted(row["evidence"]["source"].items()))
        print(f"  rests on: {printable(said, 400)}")


def _print_effect(effect: dict[str, Any], check: str) -> None:
    kwh = {name: effect[name] / 1_000 for name in ("recovered_wh", "low_wh", "high_wh", "before_after_wh")}
    shown = "an effect is shown" if effect["shown"] else "no effect can be shown"
    print(
        f"  {shown}: {kwh['recovered_wh']:,.1f} kWh over {effect['days_after']} days "
        f"({kwh['low_wh']:,.1f} to {kwh['high_wh']:,.1f}), against {effect['controls']} controls; "
        f"placebo rank {effect['placebo_rank']:.3f}; "
        f"{effect['evidence'].get('barred', 'unknown')} units were none, since something was done at them too"
    )
    print(f"  simple comparison of before and after: {kwh['before_after_wh']:,.1f} kWh")
    print(f"  units {printable(effect['key'])}; computed again: {check}")


@benefit_app.command("model")
def benefit_model(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Net present value, payback and sensitivity of the programme, by unit and in all.

    Example: meterline benefit model --json
    """
    from benefit.report import NoModelError, programme

    zone = read_settings(config, quiet=True).settling.zone()
    with _opened(config) as (connection, parameters):
        try:
            found = programme(connection, parameters, zone)
        except NoModelError as error:
            fail(str(error))
    if as_json:
        print_json(found)
        return
    from rich.table import Table

    table = Table("unit", box=None, header_style="bold")
    for title in ("costs", "benefits", "net present value", "payback, years", "discounted"):
        table.add_column(title, justify="right")
    for row in [*found["units"], {**found["all"], "unit": "all"}]:
        table.add_row(
            printable(row["unit"] or "(no organisation)"), _money(row["costs_cents"]), _money(row["benefits_cents"]),
            _money(row["npv_cents"]), _years(row["payback_years"]), _years(row["discounted_payback_years"]),
        )  # fmt: skip
    console = text_console()
    console.print(table)
    bars = Table("what is varied", box=None, header_style="bold")
    for title in ("low", "high", "value at low", "value at high"):
        bars.add_column(title, justify="right")
    for row in found["tornado"]:
        bars.add_row(
            row["name"], str(row["low"]), str(row["high"]), _money(row["npv_low_cents"]), _money(row["npv_high_cents"])
        )
    console.print(bars)


@benefit_app.command("social")
def benefit_social(
    since: Annotated[str, typer.Option("--since", metavar="TIME", help="Begin of the span, ISO 8601")],
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="Its end")],
    organisation: OrganisationOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """SAIDI, SAIFI, CAIDI, time to restore, wrong bills, complaints, CO₂; each measured or an estimate.

    Example: meterline benefit social --since 2026-01-01 --until 2027-01-01
    """
    from benefit.report import social

    first, last = read_instant(since, "--since"), read_instant(until, "--until")
    assert first is not None  # noqa: S101  # required options
    assert last is not None  # noqa: S101
    if not first < last:
        fail("--until must be later than --since", code=2)
    with _opened(config) as (connection, parameters):
        rows = social(connection, parameters, first, last, organisation)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        value = "–" if row["value"] is None else f"{row['value']:,.3f}"
        unit = "" if row["unit"] == "1" else f" {row['unit']}"
        print(f"{row['name']}: {value}{unit}, {row['basis']} ({row['rests_on']})")


@parameters_app.command("load")
def parameters_load(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="TOML; see docs/how-to/benefit.md")],
    reason: Annotated[str, typer.Option("--reason", help="Why these; it stays")],
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record parameters; they count when somebody else has approved them.

    Example: meterline benefit parameters load benefit.toml --reason "tariffs of 2026"
    """
    from benefit.parameters import ParameterError, hash_of, parse_parameters, to_body
    from meterline.bootstrap import opener
    from store.benefit import add_parameters

    if not reason.strip():
        fail("--reason is empty", code=2)
    try:
        parameters = parse_parameters(file.read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{printable(str(file))}: {error.strerror}")
    except (ParameterError, UnicodeDecodeError) as error:
        fail(f"{printable(str(file))}: {printable(str(error), 400)}")
    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        number, new = add_parameters(
            connection, hash_of(parameters), to_body(parameters), reason, by or getpass.getuser()
        )
    if as_json:
        print_json({"parameters_id": number, "new": new})
    else:
        print(f"parameters {number} {'are recorded' if new else 'say the same'}; they count once approved")


@parameters_app.command("approve")
def parameters_approve(
    number: Annotated[int, typer.Argument(metavar="ID", min=1)],
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let parameters count from now on: not by who recorded them.

    Example: meterline benefit parameters approve 2 --by wang
    """
    import psycopg

    from meterline.bootstrap import opener
    from store.benefit import approve_parameters

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        try:
            found = approve_parameters(connection, number, by or getpass.getuser())
        except psycopg.errors.CheckViolation:
            fail("who recorded parameters doesn't approve them")
    if not found:
        fail(f"no parameters {number}")
    if as_json:
        print_json({"parameters_id": number})
    else:
        print(f"parameters {number} count from now on; meterline benefit update restates the ledger by them")


@parameters_app.command("list")
def parameters_list(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Parameters with who recorded and approved them, the newest first.

    Example: meterline benefit parameters list --json
    """
    from meterline.bootstrap import opener
    from store.benefit import list_parameters

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        rows = list_parameters(connection)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        approved = "not approved" if row["approved_by"] is None else f"approved by {printable(row['approved_by'])}"
        print(f"{row['parameters_id']}  {printable(row['recorded_by'])}: {printable(row['reason'])}; {approved}")
    if not rows:
        print("no parameters are recorded")


@contextmanager
def _opened(config: Path | None) -> Iterator[tuple[Connection, Parameters]]:
    """A connection that sees one moment, and the approved parameters; fails plainly where none are approved."""
    from benefit.update import NotApprovedError, load_approved
    from meterline.bootstrap import opener

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        connection.execute("set transaction isolation level repeatable read read only")
        try:
            _, parameters = load_approved(connection)
        except NotApprovedError as error:
            fail(str(error))
        yield connection, parameters


def _error(sigma_wh: int | None, decimals: int, unknown: str = "not known") -> str:
    return unknown if sigma_wh is None else f"{sigma_wh / 1_000:,.{decimals}f}"


def _money(cents: int) -> str:
    return f"{cents / 100:,.2f}"


def _years(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f}"
