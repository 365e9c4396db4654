"""Commands that tell other systems: `meterline alert` and `meterline sync`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from meterline import cli_authority, cli_identity, cli_review, cli_sync, cli_sync_indicators, cli_targets
from meterline.cli_alert import add_commands
from meterline.cli_alert_desk import holiday_app, maintenance_app
from meterline.cli_common import ConfigOption, JsonOption, OpsPortOption, fail, print_json, read_settings, text_console

if TYPE_CHECKING:
    from meterline.config import Settings
    from store.deliveries import Backlog

alert_app = typer.Typer(no_args_is_help=True, help="Alerts and who is told. Example: meterline alert targets")
add_commands(alert_app)
alert_app.add_typer(maintenance_app, name="maintenance")
alert_app.add_typer(holiday_app, name="holiday")
sync_app = typer.Typer(
    no_args_is_help=True,
    help="What source systems say, changes of the grid model, and who is told. Example: meterline sync take ./sources",
)
sync_app.command("take-table")(cli_sync.take_table)
for _command in (cli_sync.take, cli_sync.follow, cli_sync.sources, cli_sync.match, cli_review.propose, cli_sync.rate):
    sync_app.command()(_command)
sync_app.command()(cli_sync_indicators.indicators)
sync_app.command()(cli_targets.drift)
sync_app.command()(cli_targets.reconcile)
sync_app.add_typer(cli_authority.authority_app, name="authority")
sync_app.add_typer(cli_review.conflicts_app, name="conflicts")
sync_app.add_typer(cli_review.proposals_app, name="proposals")
sync_app.add_typer(cli_identity.identity_app, name="identity")


@alert_app.command("deliver")
def alert_deliver(config: ConfigOption = None, ops_port: OpsPortOption = None) -> None:
    """Look at the results, open and resolve alerts, and send them to the targets until stopped.

    Example: meterline alert deliver
    """
    from meterline.bootstrap import opener, stop_on_signals
    from meterline.deliver import run_alert_service
    from meterline.memory import give_back
    from meterline.metrics_alerts import AlertMetrics
    from meterline.ops import ops_of

    settings = read_settings(config)
    metrics = AlertMetrics(opener(settings, "meterline-alert-metrics"))
    give_back()
    with ops_of(ops_port, metrics, metrics.idle_reason):
        run_alert_service(settings, stop_on_signals(), metrics.counts)


@alert_app.command("targets")
def alert_targets(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What each target of alerts is owed and has received. Example: meterline alert targets --json"""
    from meterline.deliver import unreached_roles

    _show_backlog("alerts", config, as_json)
    settings = read_settings(config, quiet=True)
    if _configured(settings, "alerts") and (roles := unreached_roles(settings)):
        print(f"no target reaches: {', '.join(roles)}", file=sys.stderr)


@alert_app.command("resume")
def alert_resume(target: Annotated[str, typer.Argument(help="Its name")], config: ConfigOption = None) -> None:
    """Send again to a target that had answered that it is gone. Example: meterline alert resume marketing"""
    _resume("alerts", target, config)


@sync_app.command("deliver")
def sync_deliver(config: ConfigOption = None, ops_port: OpsPortOption = None) -> None:
    """Send changes of the grid model to Kafka and to the targets, and read these back, until stopped.

    Example: meterline sync deliver
    """
    from meterline.bootstrap import opener, stop_on_signals
    from meterline.deliver import run_sync_service
    from meterline.metrics_sync import SyncMetrics
    from meterline.ops import ops_of

    settings = read_settings(config)
    metrics = SyncMetrics(opener(settings, "meterline-sync-metrics"))
    with ops_of(ops_port, metrics, metrics.idle_reason):
        run_sync_service(settings, stop_on_signals(), metrics.counts)


@sync_app.command("apply")
def sync_apply(
    file: Annotated[Path, typer.Argument(help="JSON file of one change; - reads standard input")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make one change of the grid model. The same again changes nothing. Example: meterline sync apply change.json"""
    from meterline.bootstrap import opener
    from sync.change import ChangeError, apply_change, read_change

    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        fail(f"can't read {file}: {error.strerror}")
    try:
        change = read_change(data)
        with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
            applied = apply_change(connection, change)
    except ChangeError as error:
        fail(f"the change was not made: {error}")
    if as_json:
        print_json(asdict(applied))
    elif applied.outbox_id is None:
        print("nothing to change: the model says so already")
    else:
        print(f"change {applied.outbox_id} is made; units concerned: {', '.join(applied.units) or 'none'}")


@sync_app.command("targets")
def sync_targets(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What each target of changes is owed and has received. Example: meterline sync targets --json"""
    _show_backlog("sync", config, as_json)


@sync_app.command("resume")
def sync_resume(target: Annotated[str, typer.Argument(help="Its name")], config: ConfigOption = None) -> None:
    """Send again to a target that had answered that it is gone. Example: meterline sync resume billing"""
    _resume("sync", target, config)


def _show_backlog(queue: str, config: Path | None, as_json: bool) -> None:
    from meterline.bootstrap import opener
    from store.deliveries import Backlog, Queue, read_backlog

    settings = read_settings(config, quiet=True)
    with opener(settings, "meterline-cli")() as connection:
        rows = read_backlog(connection, Queue(queue))
    silent = _configured(settings, queue) - {row.target for row in rows}
    rows += [Backlog(name, waiting=0, delivered=0, oldest_waiting=None, disabled=False) for name in sorted(silent)]
    if as_json:
        print_json([asdict(row) for row in rows])
    elif rows:
        text_console().print(_table(rows))
    else:
        print(f"no target is configured: name one under [[{queue}.webhooks]]")


def _table(rows: Sequence[Backlog]) -> Table:
    table = Table("target", "waiting", "delivered", "oldest that waits (UTC)", "state")
    for row in rows:
        oldest = "" if row.oldest_waiting is None else f"{row.oldest_waiting:%Y-%m-%d %H:%M:%S}"
        state = "gone: see resume" if row.disabled else "behind" if row.waiting else "up to date"
        table.add_row(Text(row.target), str(row.waiting), str(row.delivered), oldest, state)
    return table


def _resume(queue: str, target: str, config: Path | None) -> None:
    from meterline.bootstrap import opener
    from store.deliveries import Queue, read_backlog, resume_target

    settings = read_settings(config, quiet=True)
    with opener(settings, "meterline-cli")() as connection:
        known = _configured(settings, queue) | {row.target for row in read_backlog(connection, Queue(queue))}
        if target not in known:
            fail(f"no target is named {target}; there are: {', '.join(sorted(known)) or 'none'}")
        resumed = resume_target(connection, Queue(queue), target, datetime.now(UTC))
    print(f"{resumed} deliveries to {target} will be sent again")


def _configured(settings: Settings, queue: str) -> set[str]:
    if queue == "sync":
        return {target.name for target in settings.sync.webhooks} | {target.name for target in settings.sync.targets}
    alerts = settings.alerts
    return {target.name for target in alerts.webhooks} | {target.name for target in alerts.channels}
