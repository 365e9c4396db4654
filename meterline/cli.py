"""The command line. Each command is thin: it reads the configuration, asks bootstrap for the parts, and runs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from meterline.cli_common import ConfigOption, JsonOption, OpsPortOption, fail, print_json, printable, read_settings
from meterline.cli_loading import LoadingGroup


class _Commands(LoadingGroup):
    places: ClassVar[Mapping[str, str]] = {
        "console": "meterline.cli_console:console",
        "top": "meterline.cli_console:top",
        "loss": "meterline.cli_loss:loss",
        "run": "meterline.cli_stack:run",
        "probe": "meterline.cli_probe:probe",
        "replay": "meterline.cli_replay:replay",
        "score": "meterline.cli_score:score",
        "simulate": "meterline.cli_simulate:simulate",
        "why": "meterline.cli_why:why",
        "doctor": "meterline.cli_stack:doctor",
        "points": "meterline.cli_points:points",
        "loadflow": "meterline.cli_loadflow:loadflow",
        "load": "meterline.cli_stack:load_app",
        "gaps": "meterline.cli_ingest:gaps_app",
        "stack": "meterline.cli_stack:stack_app",
        "worker": "meterline.cli_worker:worker_app",
        "alert": "meterline.cli_deliver:alert_app",
        "finding": "meterline.cli_alert_desk:finding_app",
        "workorder": "meterline.cli_alert_desk:workorder_app",
        "token": "meterline.cli_token:token_app",
        "sync": "meterline.cli_deliver:sync_app",
        "rollout": "meterline.cli_rollout_parts:rollout_app",
        "ticket": "meterline.cli_ticket:ticket_app",
        "report": "meterline.cli_report:report_app",
        "event": "meterline.cli_events:event_app",
        "validation": "meterline.cli_validation:validation_app",
        "retention": "meterline.cli_retention:retention_app",
        "grid": "meterline.cli_grid:grid_app",
        "threshold": "meterline.cli_threshold:threshold_app",
        "boards": "meterline.cli_boards:boards_app",
        "usage": "meterline.cli_usage:usage_app",
        "flow": "meterline.cli_flow:flow_app",
        "benefit": "meterline.cli_benefit:benefit_app",
    }


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Line loss of a power-distribution utility, in real time. Example: meterline run --for 120 --json",
)
ingest_app = typer.Typer(no_args_is_help=True, help="Sources of telemetry. Example: meterline ingest mqtt")
rejected_app = typer.Typer(
    no_args_is_help=True, help="Inputs that were not taken. Example: meterline rejected list --reason unknown_meter"
)
config_app = typer.Typer(no_args_is_help=True, help="The configuration. Example: meterline config show")
app.add_typer(ingest_app, name="ingest")
app.add_typer(rejected_app, name="rejected")
app.add_typer(config_app, name="config")


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
    from meterline.memory import give_back, without_collecting

    with without_collecting():
        from meterline.bootstrap import make_bridge, stop_on_signals
        from meterline.metrics_bridge import BridgeMetrics
        from meterline.ops import ops_of

        bridge = make_bridge(read_settings(config))
    give_back()
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

    from meterline.memory import give_back, keep_freed_memory, without_collecting

    keep_freed_memory()
    with without_collecting():
        from meterline.bootstrap import make_reading_gatherer, opener, stop_on_signals
        from meterline.metrics_readings import ReadingMetrics
        from meterline.ops import ops_of
        from meterline.reading_state import ReadingStateTeller

        settings = read_settings(config)
        stop = stop_on_signals()
        gatherer = make_reading_gatherer(settings, instance)
    give_back()
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
