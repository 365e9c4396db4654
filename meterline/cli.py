"""The command line. Each command is thin: it reads the configuration, asks bootstrap for the parts, and runs them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from meterline import cli_points, cli_stack
from meterline.cli_acceptance import acceptance_app
from meterline.cli_alert_desk import finding_app, workorder_app
from meterline.cli_assess import assess_app
from meterline.cli_benefit import benefit_app
from meterline.cli_boards import boards_app
from meterline.cli_common import ConfigOption, JsonOption, OpsPortOption, fail, print_json, printable, read_settings
from meterline.cli_console import console, top
from meterline.cli_council import conference_app, decision_app, matter_app, norm_app, training_app
from meterline.cli_deliver import alert_app, sync_app
from meterline.cli_events import event_app
from meterline.cli_flow import flow_app
from meterline.cli_grid import grid_app
from meterline.cli_ingest import gaps_app
from meterline.cli_loadflow import loadflow
from meterline.cli_loss import loss
from meterline.cli_probe import probe
from meterline.cli_release import release_app
from meterline.cli_replay import replay
from meterline.cli_report import report_app
from meterline.cli_retention import retention_app
from meterline.cli_rollout import rollout_app
from meterline.cli_score import score
from meterline.cli_simulate import simulate
from meterline.cli_snapshot import snapshot
from meterline.cli_threshold import threshold_app
from meterline.cli_ticket import ticket_app
from meterline.cli_token import token_app
from meterline.cli_usage import usage_app
from meterline.cli_validation import validation_app
from meterline.cli_why import why
from meterline.cli_worker import worker_app

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Line loss of a power-distribution utility, in real time. Example: meterline run --for 120 --json",
)
ingest_app = typer.Typer(no_args_is_help=True, help="Sources of telemetry. Example: meterline ingest mqtt")
rejected_app = typer.Typer(
    no_args_is_help=True, help="Inputs that were not taken. Example: meterline rejected list --reason unknown_meter"
)
config_app = typer.Typer(no_args_is_help=True, help="The configuration. Example: meterline config show")
app.add_typer(cli_stack.load_app, name="load")
app.add_typer(ingest_app, name="ingest")
app.add_typer(rejected_app, name="rejected")
app.add_typer(gaps_app, name="gaps")
app.add_typer(config_app, name="config")
app.add_typer(cli_stack.stack_app, name="stack")
app.add_typer(worker_app, name="worker")
app.add_typer(alert_app, name="alert")
app.add_typer(finding_app, name="finding")
app.add_typer(workorder_app, name="workorder")
app.add_typer(token_app, name="token")
app.add_typer(sync_app, name="sync")
app.add_typer(rollout_app, name="rollout")
app.add_typer(ticket_app, name="ticket")
app.add_typer(report_app, name="report")
rollout_app.add_typer(release_app, name="release")
rollout_app.add_typer(assess_app, name="assess")
rollout_app.add_typer(acceptance_app, name="acceptance")
rollout_app.add_typer(matter_app, name="matter")
rollout_app.add_typer(conference_app, name="conference")
rollout_app.add_typer(decision_app, name="decision")
rollout_app.add_typer(norm_app, name="norm")
rollout_app.add_typer(training_app, name="training")
app.add_typer(event_app, name="event")
app.add_typer(validation_app, name="validation")
app.add_typer(retention_app, name="retention")
app.add_typer(grid_app, name="grid")
app.add_typer(threshold_app, name="threshold")
app.add_typer(boards_app, name="boards")
app.add_typer(usage_app, name="usage")
app.add_typer(flow_app, name="flow")
app.add_typer(benefit_app, name="benefit")
boards_app.command()(snapshot)
app.command()(console)
app.command()(top)
app.command()(loss)
app.command()(cli_stack.run)
app.command()(probe)
app.command()(replay)
app.command()(score)
app.command()(simulate)
app.command()(why)
app.command()(cli_stack.doctor)
app.command()(cli_points.points)
app.command()(loadflow)
cli_stack.load_app.command("points")(cli_points.load_points_file)


def main() -> None:
    """Entry point: expected failures end in one line, without a traceback."""
    try:
        app()
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        from meterline.failures import explain

        message = explain(error)
        if message is None:
            raise
        fail(message)


@app.command()
def migrate(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Bring the database and the Kafka topics up to this release. Safe to repeat. Example: meterline migrate --json"""
    from meterline.bootstrap import prepare

    applied, topics = prepare(read_settings(config, quiet=True))
    if as_json:
        print_json({"migrations": applied, "topics": topics})
    else:
        print(f"migrations: {', '.join(applied) or 'none new'}; topics: {', '.join(topics) or 'none new'}")


@ingest_app.command("mqtt")
def ingest_mqtt(config: ConfigOption = None, ops_port: OpsPortOption = None) -> None:
    """Bring the gateways' messages from MQTT into Kafka until stopped. Example: meterline ingest mqtt"""
    from meterline.bootstrap import make_bridge, stop_on_signals
    from meterline.metrics import BridgeMetrics
    from meterline.ops import ops_of

    bridge = make_bridge(read_settings(config))
    with ops_of(ops_port, BridgeMetrics(bridge), bridge.idle_reason):
        bridge.run(stop_on_signals())


@ingest_app.command("readings")
def ingest_readings(
    config: ConfigOption = None,
    instance: Annotated[str, typer.Option(help="Fixed name of this gatherer in its group")] = "0",
    ops_port: OpsPortOption = None,
) -> None:
    """Collect single readings from Kafka into blocks until stopped. Start more, each with its --instance.

    Example: meterline ingest readings --instance 1
    """
    from threading import Thread

    from meterline.bootstrap import make_reading_gatherer, opener, stop_on_signals
    from meterline.memory import keep_freed_memory
    from meterline.metrics_readings import ReadingMetrics
    from meterline.ops import ops_of
    from meterline.reading_state import ReadingStateTeller

    settings = read_settings(config)
    keep_freed_memory()
    stop = stop_on_signals()
    gatherer = make_reading_gatherer(settings, instance)
    teller = ReadingStateTeller(opener(settings, "meterline-readings"), instance, gatherer)
    Thread(target=teller.run, args=(stop,), name="state", daemon=True).start()
    with ops_of(ops_port, ReadingMetrics(gatherer), gatherer.idle_reason):
        gatherer.run(stop)


@rejected_app.command("list")
def rejected_list(
    config: ConfigOption = None,
    reason: Annotated[str | None, typer.Option(help="Only this reason")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Those already replayed as well")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    as_json: JsonOption = False,
) -> None:
    """List inputs that were not taken, newest first. Example: meterline rejected list --reason unknown_meter"""
    from dataclasses import asdict

    from meterline.bootstrap import opener
    from store.rejected import list_rejected

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        rows = list_rejected(connection, reason, everything, limit)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    for row in rows:
        state = "replayed" if row.replayed_at else "quarantined" if row.quarantined else "rejected"
        times = "once" if row.seen == 1 else f"{row.seen} times"
        print(f"{row.id}  {row.first_at:%Y-%m-%d %H:%M:%S} UTC  {row.reason}  {state}  {row.original_size} B, {times}")
        print(f"    {printable(row.topic)}: {printable(row.detail)}")
    if not rows:
        print("no such input" if reason else "nothing was rejected" if everything else "nothing waits")


@rejected_app.command("show")
def rejected_show(
    entry: Annotated[int, typer.Argument(metavar="ID")],
    config: ConfigOption = None,
) -> None:
    """Write the original bytes of one entry to standard output. Example: meterline rejected show 17 > message.json"""
    from meterline.bootstrap import opener
    from store.rejected import read_original

    with opener(read_settings(config, quiet=True), "meterline-cli")() as connection:
        original = read_original(connection, entry)
    if original is None:
        fail(f"no rejected input with id {entry}")
    sys.stdout.buffer.write(original)


@rejected_app.command("replay")
def rejected_replay(
    ids: Annotated[list[int] | None, typer.Argument(metavar="[ID]...")] = None,
    config: ConfigOption = None,
    reason: Annotated[str | None, typer.Option(help="Only this reason")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 10_000,
    as_json: JsonOption = False,
) -> None:
    """Give inputs back to the pipeline: the named ones, or all in quarantine. What fails again is rejected again.

    Example: meterline rejected replay --reason unknown_meter
    """
    from meterline.replay import replay_rejected

    counts = replay_rejected(read_settings(config, quiet=True), ids or None, reason, limit)
    if as_json:
        print_json(counts)
    else:
        print(f"given back {counts['replayed']}; refused again {counts['refused']}")


@config_app.command("show")
def config_show(config: ConfigOption = None) -> None:
    """Print the configuration as used, as JSON. A secret is shown as the file that holds it, never its content.

    Example: meterline config show
    """
    print(read_settings(config, quiet=True).model_dump_json(indent=2))


@app.command()
def schemas(folder: Annotated[Path, typer.Argument(help="Folder to write to")]) -> None:
    """Write the JSON Schema of every message that other systems send or receive. Example: meterline schemas FOLDER"""
    from meterline.schemas import all_schemas

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in all_schemas().items():
        (folder / name).write_text(text, encoding="utf-8")
        print(folder / name)
