"""Commands of the stream workers: `meterline worker`."""

from __future__ import annotations

from typing import Annotated

import typer

from meterline.cli_common import ConfigOption, JsonOption, OpsPortOption, fail, print_json, read_settings

worker_app = typer.Typer(help="Settle assessment units. Example: meterline worker --instance 1")


@worker_app.callback(invoke_without_command=True)
def worker(
    context: typer.Context,
    config: ConfigOption = None,
    instance: Annotated[str, typer.Option(help="Fixed name of this worker in its group")] = "0",
    ops_port: OpsPortOption = None,
) -> None:
    """Settle assessment units under Faust until stopped. Start more, each with its --instance, to share the work.

    Example: meterline worker --instance 1
    """
    if context.invoked_subcommand is not None:
        return
    from meterline.memory import without_collecting

    with without_collecting():
        from meterline.worker import run_worker

        settings = read_settings(config)
    run_worker(settings, instance, ops_port)


@worker_app.command("leave")
def worker_leave(
    instance: Annotated[str, typer.Option(help="Name of the worker that was stopped for good")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Hand the partitions of a worker that was stopped for good to the others, instead of after its session's end.

    Example: meterline worker leave --instance 3
    """
    from meterline.group import leave, members

    settings = read_settings(config, quiet=True)
    left = leave(settings.kafka, instance)
    _, names = members(settings.kafka)
    if not left:
        fail(f"no worker is in the group as {instance}; there are: {', '.join(sorted(names)) or 'none'}")
    if as_json:
        print_json({"left": instance, "members": sorted(names)})
    else:
        print(f"{instance} has left; in the group are: {', '.join(sorted(names)) or 'none'}")
