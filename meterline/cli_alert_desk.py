"""Commands beside alerts: work orders, maintenance windows, holidays, findings."""

from __future__ import annotations

import getpass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from meterline.cli_alert import ByOption
from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_instant, read_settings

if TYPE_CHECKING:
    from store.alert_desk import WorkOrder

workorder_app = typer.Typer(no_args_is_help=True, help="Work orders. Example: meterline workorder list --state issued")
maintenance_app = typer.Typer(
    no_args_is_help=True, help="Windows in which nothing new alarms. Example: meterline alert maintenance list"
)
holiday_app = typer.Typer(
    no_args_is_help=True, help="Days that differ from the week's pattern. Example: meterline alert holiday list"
)
finding_app = typer.Typer(no_args_is_help=True, help="What was found. Example: meterline finding list --kind outage")
OrderArgument = Annotated[int, typer.Argument(metavar="ID")]


@workorder_app.command("create")
def workorder_create(
    alert_id: Annotated[int, typer.Argument(metavar="ALERT")],
    to: Annotated[str, typer.Option("--to", help="Whom to send")],
    deadline: Annotated[str | None, typer.Option(metavar="TIME", help="ISO 8601; default in seven days")] = None,
    expected_wh: Annotated[int | None, typer.Option(min=0, help="Energy to be recovered; default as found")] = None,
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a crew out for an alert, with the evidence as it is now.

    Example: meterline workorder create 17 --to crew-3
    """
    from alerts.lifecycle import IllegalTransitionError
    from alerts.operate import OperationError
    from alerts.work_orders import issue
    from meterline.bootstrap import opener

    until = read_instant(deadline, "--deadline")
    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        try:
            order = issue(
                connection,
                alert_id,
                to,
                by or getpass.getuser(),
                datetime.now(UTC),
                deadline=until,
                expected_wh=expected_wh,
            )
        except (OperationError, IllegalTransitionError) as error:
            fail(str(error))
    _print(order, as_json)


@workorder_app.command("list")
def workorder_list(
    state: Annotated[str | None, typer.Option(help="issued, done or cancelled")] = None,
    assignee: Annotated[str | None, typer.Option()] = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only those out past their deadline")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List work orders, the newest first. Example: meterline workorder list --overdue"""
    from dataclasses import asdict

    from meterline.bootstrap import opener
    from store.alert_desk import list_orders

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        at = datetime.now(UTC) if overdue else None
        orders = list_orders(connection, state, assignee, None, None, 0, limit, at)
    if as_json:
        print_json([asdict(order) for order in orders])
        return
    for order in orders:
        _print(order, as_json=False)
    if not orders:
        print("no such work order")


@workorder_app.command("show")
def workorder_show(number: OrderArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """One work order with its evidence. Example: meterline workorder show 3 --json"""
    import json

    from meterline.bootstrap import opener
    from store.alert_desk import read_order

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        order = read_order(connection, number)
    if order is None:
        fail(f"no work order {number}")
    _print(order, as_json)
    if not as_json:
        print(json.dumps(order.evidence, ensure_ascii=False, indent=2))


@workorder_app.command("result")
def workorder_result(
    number: OrderArgument,
    result: Annotated[str, typer.Argument(metavar="RESULT", help="confirmed, refuted or not_found")],
    note: Annotated[str, typer.Option("--note", help="What was seen")],
    found_wh: Annotated[int | None, typer.Option(min=0, help="Energy that was recovered")] = None,
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Note what the crew found; the alert is resolved by it.

    Example: meterline workorder result 3 confirmed --note hook
    """
    from alerts.lifecycle import IllegalTransitionError
    from alerts.operate import OperationError
    from alerts.work_orders import report
    from meterline.bootstrap import opener

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        try:
            order = report(
                connection, number, result, by or getpass.getuser(), note, datetime.now(UTC), found_wh=found_wh
            )
        except (OperationError, IllegalTransitionError) as error:
            fail(str(error))
    _print(order, as_json)


@workorder_app.command("cancel")
def workorder_cancel(
    number: OrderArgument,
    note: Annotated[str, typer.Option("--note", help="Why")],
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Call a crew back. Example: meterline workorder cancel 3 --note misplaced"""
    from alerts.operate import OperationError
    from alerts.work_orders import cancel
    from meterline.bootstrap import opener

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        try:
            order = cancel(connection, number, by or getpass.getuser(), note, datetime.now(UTC))
        except OperationError as error:
            fail(str(error))
    _print(order, as_json)


def _print(order: WorkOrder, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print_json(asdict(order))
        return
    expected = "–" if order.expected_wh is None else f"{order.expected_wh / 1000:,.1f} kWh"
    print(
        f"{order.work_order_id}  alert {order.alert_id}  {printable(order.alert_code)}  {order.state}  "
        f"{printable(order.assignee)}  until {order.deadline:%Y-%m-%d %H:%M} UTC  expected {expected}  "
        f"{order.result or ''}".rstrip()
    )


@maintenance_app.command("add")
def maintenance_add(
    unit: Annotated[str, typer.Argument(metavar="UNIT")],
    begins: Annotated[str, typer.Option("--from", metavar="TIME", help="ISO 8601, in UTC without an offset")],
    ends: Annotated[str, typer.Option("--to", metavar="TIME")],
    reason: Annotated[str, typer.Option("--reason")],
    kind: Annotated[list[str] | None, typer.Option(help="Only these kinds of alerts; may be repeated")] = None,
    by: ByOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Keep back what would open at a unit or below it for some time.

    Example: meterline alert maintenance add F1 --from 2026-11-22T08:00+08:00 --to 2026-11-22T12:00+08:00 --reason cable
    """
    from meterline.bootstrap import opener
    from store.alert_desk import add_maintenance

    first, last = read_instant(begins, "--from"), read_instant(ends, "--to")
    assert first is not None  # noqa: S101  # required options
    assert last is not None  # noqa: S101
    if not first < last:
        fail("--to must be later than --from", code=2)
    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        number = add_maintenance(connection, unit, first, last, reason, by or getpass.getuser(), kind or None)
    if number is None:
        fail(f"no unit {printable(unit)}")
    if as_json:
        print_json({"maintenance_id": number})
    else:
        print(f"window {number} is planned")


@maintenance_app.command("list")
def maintenance_list(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Windows that last or are planned. Example: meterline alert maintenance list --json"""
    from dataclasses import asdict

    from meterline.bootstrap import opener
    from store.alert_desk import list_maintenance

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        rows = list_maintenance(connection, datetime.now(UTC))
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for row in rows:
        span = f"{row.begins_at:%Y-%m-%d %H:%M} – {row.ends_at:%Y-%m-%d %H:%M} UTC"
        print(f"{row.maintenance_id}  {printable(row.unit)}  {span}  {printable(row.reason)}")
    if not rows:
        print("no window is planned")


@maintenance_app.command("end")
def maintenance_end(number: OrderArgument, config: ConfigOption = None) -> None:
    """End a window now. Example: meterline alert maintenance end 4"""
    from meterline.bootstrap import opener
    from store.alert_desk import end_maintenance

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        if not end_maintenance(connection, number, datetime.now(UTC)):
            fail(f"no window {number} lasts or is planned")
    print(f"window {number} is over")


@holiday_app.command("set")
def holiday_set(
    day: Annotated[str, typer.Argument(metavar="DATE")],
    name: Annotated[str, typer.Option("--name")],
    working: Annotated[bool, typer.Option("--working", help="A working day, whatever the week says")] = False,
    config: ConfigOption = None,
) -> None:
    """Make a day a holiday, or a working day, in all calendars.

    Example: meterline alert holiday set 2027-02-06 --name 春节
    """
    from meterline.bootstrap import opener
    from store.alert_desk import set_holiday

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        set_holiday(connection, _day(day), working, name)
    print(f"{day} is a {'working day' if working else 'holiday'}")


@holiday_app.command("unset")
def holiday_unset(day: Annotated[str, typer.Argument(metavar="DATE")], config: ConfigOption = None) -> None:
    """Let the week's pattern hold again. Example: meterline alert holiday unset 2027-02-06"""
    from meterline.bootstrap import opener
    from store.alert_desk import unset_holiday

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        if not unset_holiday(connection, _day(day)):
            fail(f"nothing is set for {printable(day)}")
    print(f"{day} is as the week says")


@holiday_app.command("list")
def holiday_list(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Days that differ from the week's pattern. Example: meterline alert holiday list"""
    from meterline.bootstrap import opener
    from store.alert_desk import list_holidays

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        rows = list_holidays(connection)
    if as_json:
        print_json([{"day": day.isoformat(), "working": working, "name": name} for day, working, name in rows])
        return
    for day, working, name in rows:
        print(f"{day}  {'working' if working else 'holiday'}  {printable(name)}")
    if not rows:
        print("no day differs from the week's pattern")


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"not a date after ISO 8601: {printable(text)}", code=2)


@finding_app.command("list")
def finding_list(
    kind: Annotated[str | None, typer.Option()] = None,
    unit: Annotated[str | None, typer.Option(help="Code of a unit")] = None,
    meter: Annotated[str | None, typer.Option()] = None,
    alert: Annotated[int | None, typer.Option(help="Only those of this alert")] = None,
    holding: Annotated[bool | None, typer.Option("--holding/--ended", help="Default both")] = None,
    before: Annotated[int, typer.Option(min=0, help="Only ids below this one: the next page")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List findings, the newest first; each is kept, whether it alarmed or not.

    Example: meterline finding list --holding
    """
    from dataclasses import asdict

    from meterline.bootstrap import opener
    from store.findings import FindingFilter, list_findings

    wanted = FindingFilter(kind=kind, unit=unit, meter=meter, alert_id=alert, holds=holding)
    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        rows = list_findings(connection, wanted, before, limit)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for row in rows:
        became = f"alert {row.alert_id}" if row.alert_id else f"held by {row.held_by}" if row.held_by else "no alert"
        until = "" if row.ended_at is None else f" – {row.ended_at:%Y-%m-%d %H:%M:%S}"
        print(f"{row.finding_id}  {printable(row.fingerprint)}  {row.begin_at:%Y-%m-%d %H:%M:%S}{until} UTC  {became}")
    if not rows:
        print("no such finding")
