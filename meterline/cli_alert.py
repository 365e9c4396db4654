"""Commands for people who work on alerts: `meterline alert list` and what can be done to them."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

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
    from alerts.lifecycle import Action
    from store.alerts import AlertRow

ByOption = Annotated[str | None, typer.Option("--by", help="Who does it; default the user of this machine")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it stays in the alert's history")]
VersionOption = Annotated[
    int | None, typer.Option("--version", min=1, help="Only if the alert is still at this version")
]
AlertArgument = Annotated[int, typer.Argument(metavar="ID")]

_LIVE = ("open", "acknowledged", "in_progress", "suppressed")


def add_commands(alert_app: typer.Typer) -> None:
    """Give `meterline alert` its commands for people."""
    commands = (
        ("list", list_), ("show", show), ("ack", ack), ("assign", assign), ("expect", expect), ("suppress", suppress),
        ("close", close), ("reopen", reopen), ("outage", outage), ("replay", replay),
    )  # fmt: skip
    for name, command in commands:
        alert_app.command(name)(command)


def list_(
    config: ConfigOption = None,
    state: Annotated[list[str] | None, typer.Option(help="May be repeated; default all that are live")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those resolved and closed as well")] = False,
    kind: Annotated[list[str] | None, typer.Option(help="May be repeated")] = None,
    severity: Annotated[str | None, typer.Option(help="info, warning or critical")] = None,
    unit: Annotated[str | None, typer.Option(help="Code of a unit")] = None,
    role: Annotated[str | None, typer.Option(help="Who operates it, such as marketing")] = None,
    assignee: Annotated[str | None, typer.Option()] = None,
    group: Annotated[str | None, typer.Option(help="As notices name it, such as outage:F1")] = None,
    opened_from: Annotated[str | None, typer.Option(metavar="TIME", help="ISO 8601, in UTC without an offset")] = None,
    opened_to: Annotated[str | None, typer.Option(metavar="TIME")] = None,
    closed_from: Annotated[str | None, typer.Option(metavar="TIME")] = None,
    closed_to: Annotated[str | None, typer.Option(metavar="TIME")] = None,
    before: Annotated[int, typer.Option(min=0, help="Only ids below this one: the next page")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: JsonOption = False,
) -> None:
    """List alerts, the newest first. Example: meterline alert list --role marketing --json"""
    from dataclasses import asdict

    from alerts.lifecycle import State
    from grid.finding import Severity
    from meterline.bootstrap import opener
    from store.alerts import AlertFilter, list_alerts

    if unknown := sorted(set(state or ()) - set(State)):
        fail(f"no state is named {printable(unknown[0])}; there are: {', '.join(State)}", code=2)
    if severity is not None and severity not in set(Severity):
        fail(f"no severity is named {printable(severity)}; there are: {', '.join(Severity)}", code=2)
    wanted = AlertFilter(
        states=tuple(state) if state else None if everything or closed_from or closed_to else _LIVE,
        kinds=tuple(kind) if kind else None,
        severity=severity,
        unit=unit,
        role=role,
        assignee=assignee,
        group=group,
        opened_from=read_instant(opened_from, "--opened-from"),
        opened_to=read_instant(opened_to, "--opened-to"),
        closed_from=read_instant(closed_from, "--closed-from"),
        closed_to=read_instant(closed_to, "--closed-to"),
    )
    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        rows = list_alerts(connection, wanted, before, limit)
    if as_json:
        print_json([asdict(row) for row in rows])
    else:
        text_console().print(_table(rows) if rows else "no such alert")


def show(alert_id: AlertArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """One alert with its figures, its findings and its history. Example: meterline alert show 17"""
    from dataclasses import asdict

    from meterline.bootstrap import opener
    from store.alert_desk import list_orders
    from store.alerts import read_alerts, read_history
    from store.findings import FindingFilter, list_findings

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        alert = read_alerts(connection, [alert_id]).get(alert_id)
        if alert is None:
            fail(f"no alert {alert_id}")
        history = read_history(connection, alert_id)
        findings = list_findings(connection, FindingFilter(alert_id=alert_id), 0, 100)
        orders = list_orders(connection, None, None, alert_id, None, 0, 100)
    if as_json:
        parts = {
            "history": [asdict(step) for step in history],
            "findings": [asdict(finding) for finding in findings],
            "work_orders": [asdict(order) for order in orders],
        }
        print_json(asdict(alert) | parts)
        return
    text_console().print(_table([alert]))
    for name, value in alert.figures.items():
        print(f"  {name}: {printable(str(value))}")
    for step in history:
        print(
            f"{step.at:%Y-%m-%d %H:%M:%S} UTC  {step.action}: {step.from_state or '–'} → {step.to_state}, "
            f"{printable(step.actor)}: {printable(step.reason)}"
        )
    for order in orders:
        print(f"work order {order.work_order_id}: {order.state}, {printable(order.assignee)}, {order.result or '–'}")


def ack(
    alert_id: AlertArgument,
    reason: ReasonOption = "seen",
    expected: Annotated[
        str | None, typer.Option(metavar="TIME", help="Until when it is expected to last, as customers are told")
    ] = None,
    by: ByOption = None,
    version: VersionOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take an alert, so that it isn't escalated. Example: meterline alert ack 17 --expected 2026-11-22T18:00+08:00"""
    until = read_instant(expected, "--expected")
    _operate("acknowledge", alert_id, reason, by, version, config, as_json, expected_at=until)


def assign(
    alert_id: AlertArgument,
    to: Annotated[str, typer.Option("--to", help="Whom")],
    reason: ReasonOption = "assigned",
    by: ByOption = None,
    version: VersionOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Assign an alert to somebody. Example: meterline alert assign 17 --to li.wei"""
    _operate("assign", alert_id, reason, by, version, config, as_json, assignee=to)


def expect(
    alert_id: AlertArgument,
    until: Annotated[str, typer.Option("--until", metavar="TIME", help="ISO 8601, in UTC without an offset")],
    reason: ReasonOption = "expected",
    by: ByOption = None,
    version: VersionOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say until when an alert is expected to last, as customers are told; again when that changes.

    Example: meterline alert expect 17 --until 2026-11-22T18:00+08:00
    """
    _operate("expect", alert_id, reason, by, version, config, as_json, expected_at=read_instant(until, "--until"))


def suppress(
    alert_id: AlertArgument,
    reason: ReasonOption,
    hours: Annotated[float, typer.Option("--hours", min=0.1, max=90 * 24.0, help="For how long")] = 24.0,
    by: ByOption = None,
    version: VersionOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell nobody of an alert for some time. Example: meterline alert suppress 17 --hours 8 --reason ordered"""
    until = datetime.now(UTC) + timedelta(hours=hours)
    _operate("suppress", alert_id, reason, by, version, config, as_json, until=until)


def close(
    alert_id: AlertArgument,
    reason: ReasonOption,
    by: ByOption = None,
    version: VersionOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Close an alert. It stays, with its history. Example: meterline alert close 17 --reason mended"""
    _operate("close", alert_id, reason, by, version, config, as_json)


def reopen(
    alert_id: AlertArgument,
    reason: ReasonOption,
    by: ByOption = None,
    version: VersionOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Open an alert again that was suppressed, resolved or closed.

    Example: meterline alert reopen 17 --reason again
    """
    _operate("reopen", alert_id, reason, by, version, config, as_json)


def outage(
    meter: Annotated[str, typer.Argument(metavar="METER")], config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """Whether a customer is out: since when, until when it is expected. Example: meterline alert outage LV1.101-m7"""
    from dataclasses import asdict

    from meterline.bootstrap import opener
    from store.outages import find_meter_outage

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        found = find_meter_outage(connection, meter, datetime.now(UTC))
    if not found:
        fail(f"no unit has a meter {printable(meter)}")
    if as_json:
        print_json([asdict(each) for each in found])
        return
    for each in found:
        if each.since is None:
            print(f"{printable(each.area)}: no outage is known")
            continue
        until = "not known" if each.expected_at is None else f"{each.expected_at:%Y-%m-%d %H:%M} UTC"
        print(f"{printable(each.area)}: out since {each.since:%Y-%m-%d %H:%M:%S} UTC, expected until: {until}")


def replay(
    target: Annotated[str, typer.Argument(help="Its name")],
    since: Annotated[str, typer.Option(metavar="TIME", help="ISO 8601, in UTC without an offset")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a target again what it has taken since, with the same ids.

    Example: meterline alert replay crm --since 2026-11-22
    """
    from meterline.bootstrap import opener
    from store.deliveries import Queue, read_backlog, replay_target

    instant = read_instant(since, "--since")
    assert instant is not None  # noqa: S101  # a required option
    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        if target not in {row.target for row in read_backlog(connection, Queue.ALERTS)}:
            fail(f"nothing was ever owed to {printable(target)}")
        count = replay_target(connection, target, instant, datetime.now(UTC))
    if as_json:
        print_json({"target": target, "replayed": count})
    else:
        print(f"{count} notices to {target} will be sent again")


def _operate(
    action: str,
    alert_id: int,
    reason: str,
    by: str | None,
    version: int | None,
    config: Path | None,
    as_json: bool,
    **more: Any,
) -> None:
    from dataclasses import asdict

    from alerts.lifecycle import Action, IllegalTransitionError
    from alerts.operate import OperationError, operate
    from meterline.bootstrap import opener

    step: Action = Action(action)
    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        try:
            alert = operate(
                connection, alert_id, step, by or getpass.getuser(), reason, datetime.now(UTC), version=version, **more
            )
        except (OperationError, IllegalTransitionError) as error:
            fail(str(error))
    if as_json:
        print_json(asdict(alert))
    else:
        to = f", assigned to {printable(alert.assignee)}" if alert.assignee else ""
        print(f"alert {alert.alert_id} ({printable(alert.fingerprint)}) is {alert.state}{to}")


def _table(rows: list[AlertRow]) -> Table:
    table = Table(box=None, header_style="bold")
    for title in ("id", "severity", "kind", "where", "state", "role", "assignee", "opened (UTC)"):
        table.add_column(title, justify="right" if title == "id" else "left")
    for row in rows:
        where = row.unit if row.meter is None else f"{row.unit} / {row.meter}"
        opened = f"{row.opened_at:%Y-%m-%d %H:%M:%S}"
        cells = (row.severity, row.kind, where, row.state, row.role, row.assignee or "", opened)
        table.add_row(str(row.alert_id), *(Text(printable(cell)) for cell in cells))
    return table
