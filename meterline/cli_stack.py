"""Commands for the native stack and the demonstration."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, read_settings, text_console
from meterline.cli_points import load_points_file

load_app = typer.Typer(no_args_is_help=True, help="Grid models. Example: meterline load demonstration")
load_app.command("points")(load_points_file)
stack_app = typer.Typer(no_args_is_help=True, help="The native stack on this machine. Example: meterline stack status")

HomeOption = Annotated[
    Path, typer.Option("--home", envvar="METERLINE_HOME", help="Folder of the stack: settings, secrets, data, logs")
]
_HOME = Path(".meterline/run")


def run(
    home: HomeOption = _HOME,
    duration: Annotated[
        float | None, typer.Option("--for", min=1, metavar="SECONDS", help="Stream this long, then stop everything")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="No live view; print one JSON object at the end")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack up")] = False,
    areas: Annotated[int | None, typer.Option(min=1, help="Only the first transformer areas of the grid")] = None,
    rate: Annotated[float, typer.Option(min=1, help="Most messages a second while the past is filled")] = 600.0,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Stream workers")] = 1,
    browser: Annotated[bool, typer.Option(help="Open the console in the desktop's browser")] = True,
    port_offset: Annotated[
        int, typer.Option(help="Shift all ports, so that a second stack can live beside the first")
    ] = 0,
) -> None:
    """Run the demonstration on real servers. Example: meterline run --for 120 --json"""
    from meterline.run import RunOptions
    from meterline.run import run as run_demonstration

    spec = _spec(home, workers, port_offset)
    options = RunOptions(duration_s=duration, as_json=as_json, keep=keep, areas=areas, rate=rate, browser=browser)
    sys.exit(run_demonstration(spec, options))


@load_app.command("demonstration")
def load_demonstration(
    config: ConfigOption = None,
    areas: Annotated[int | None, typer.Option(min=1, help="Only the first transformer areas of the grid")] = None,
    as_json: JsonOption = False,
) -> None:
    """Load the demonstration grid into the configured database. Safe to repeat.

    Example: meterline load demonstration --areas 10
    """
    from meterline.demonstration import load_demonstration as load
    from meterline.demonstration import make_twin

    settings = read_settings(config, quiet=True)
    model = make_twin(areas).model
    loaded = load(settings, model) is not None
    units, meters = len(model.areas) + len(model.feeders), len(model.meters)
    if as_json:
        print_json({"loaded": loaded, "units": units, "meters": meters})
    else:
        print(f"{units:,} units with {meters:,} meters {'are loaded' if loaded else 'are there already'}")


@load_app.command("grid")
def load_grid_file(
    file: Annotated[Path, typer.Argument(help="A grid model as JSON", metavar="FILE")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Load a grid model from a file, in place of what the database has of its units. Safe to repeat.

    Example: meterline load grid ./city/grid.json
    """
    from meterline.bootstrap import opener
    from meterline.model_file import read_model
    from sync.load import load_grid

    model = read_model(file)
    with opener(read_settings(config, quiet=True), "meterline-load")() as connection:
        load_grid(connection, model)
        connection.commit()
    units, meters = len(model.areas) + len(model.feeders), len(model.meters)
    if as_json:
        print_json({"units": units, "meters": meters})
    else:
        print(f"{units:,} units with {meters:,} meters are loaded")


@stack_app.command("gateways")
def stack_gateways(
    names: Annotated[list[str], typer.Argument(help="Accounts of the senders", metavar="NAME...")],
    home: HomeOption = _HOME,
) -> None:
    """Give gateways accounts at the stack's broker. Safe to repeat.

    Example: meterline stack gateways headend-7 rtu-7
    """
    from deploy.stack import set_gateways
    from grid.model import check_code

    for name in names:
        check_code(name)
    spec = _spec(home, 1, 0)
    set_gateways(spec, names)
    print(f"{len(names)} gateways have accounts; their passwords are in {spec.secrets_dir / 'gateways'}")


@stack_app.command("up")
def stack_up(
    home: HomeOption = _HOME,
    workers: Annotated[int, typer.Option(min=1, max=64)] = 1,
    port_offset: Annotated[int, typer.Option(help="Shift all ports")] = 0,
) -> None:
    """Start the servers, migrate, and start the programs, without telemetry. Example: meterline stack up"""
    from deploy.stack.accounts import CONSOLE_TOKEN
    from meterline.run import bring_up

    spec = _spec(home, workers, port_offset)
    settings = bring_up(spec, None, Console(stderr=True, highlight=False, soft_wrap=True))
    print(f"the stack is up; its settings are {spec.config_path}")
    print(f"the console is at {settings.console.url}; to acknowledge an alert there, show the token in")
    print(spec.secret_path(CONSOLE_TOKEN))


@stack_app.command("status")
def stack_status(home: HomeOption = _HOME, as_json: JsonOption = False) -> None:
    """Show the stack's processes. Example: meterline stack status --json"""
    from dataclasses import asdict

    from deploy.stack import StackSpec, status

    found = status(StackSpec.load(home))
    if as_json:
        print_json([asdict(process) for process in found])
        return
    table = Table("process", "state", "pid", "up for", "port")
    for process in found:
        up = f"{process.uptime_s:,.0f} s" if process.pid else ""
        table.add_row(process.name, process.state, str(process.pid or ""), up, str(process.port or ""))
    text_console().print(table)


@stack_app.command("stop")
def stack_stop(home: HomeOption = _HOME) -> None:
    """Stop every process of the stack; its data stay. Example: meterline stack stop"""
    from deploy.stack import StackSpec, stop

    stop(StackSpec.load(home))
    print("stopped; the data stay")


@stack_app.command("destroy")
def stack_destroy(
    home: HomeOption = _HOME, yes: Annotated[bool, typer.Option("--yes", help="Don't ask")] = False
) -> None:
    """Stop the stack and remove its data, secrets and logs. What is cached for other stacks stays.

    Example: meterline stack destroy --yes
    """
    from deploy.stack import StackSpec, destroy

    spec = StackSpec.load(home)
    if not yes:
        typer.confirm(f"Remove all data of the stack in {spec.home}?", abort=True)
    destroy(spec)
    print(f"{spec.home} is removed")


def doctor(
    home: HomeOption = _HOME,
    acceptance: Annotated[bool, typer.Option("--acceptance", help="Examine a site, and sign what was found")] = False,
    site: Annotated[str | None, typer.Option("--site", help="Organisation of the site, for --acceptance")] = None,
    key: Annotated[Path | None, typer.Option("--key", help="Ed25519 private key that signs, PEM")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File to write the signed report to")] = None,
    verify: Annotated[Path | None, typer.Option("--verify", metavar="FILE", help="Prove a signed report")] = None,
    public_key: Annotated[Path | None, typer.Option("--public-key", help="Of the site, PEM, for --verify")] = None,
    api: Annotated[
        str | None,
        typer.Option("--api", metavar="URL", help="The centre's console, where --acceptance files its report"),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with a token of the unit, for --api")
    ] = None,
    ca_file: Annotated[
        Path | None, typer.Option("--ca-file", help="Authority of the centre's certificate, for --api")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check what Meterline needs on this machine and say what to do about what is missing.

    With --acceptance, examine a site against its configuration, servers and interfaces included, and sign the result;
    with --api, file it at the centre too.

    Example: meterline doctor --acceptance --site county-3 --key county-3.pem --out county-3.json
    """
    from meterline import cli_acceptance

    if acceptance:
        if site is None or key is None or verify is not None:
            fail("--acceptance needs --site and --key", code=2)
        if (api is None) != (token_file is None):
            fail("--api and --token-file go together", code=2)
        centre = None if api is None or token_file is None else cli_acceptance.Filing(api, token_file, ca_file)
        cli_acceptance.accept(site, key, out, centre, config, as_json)
        return
    if verify is not None:
        if public_key is None:
            fail("--verify needs --public-key", code=2)
        cli_acceptance.verify(verify, public_key, as_json)
        return
    from dataclasses import asdict

    from deploy.stack.checks import doctor as examine

    found = examine(_spec(home, 1, 0))
    if as_json:
        print_json([asdict(check) for check in found])
    else:
        console = Console(highlight=False, soft_wrap=True)
        for check in found:
            mark = Text("ok  ", style="green") if check.ok else Text("not ", style="red")
            console.print(mark, f"{check.name:22} {check.detail}{'' if check.ok else ': ' + check.todo}", markup=False)
    if not all(check.ok for check in found):
        fail("something is missing; see above")


def _spec(home: Path, workers: int, port_offset: int):  # type: ignore[no-untyped-def]  # StackSpec, imported on use
    from dataclasses import replace

    from deploy.stack import Ports, StackError, StackSpec

    try:
        known = StackSpec.load(home)
    except StackError:
        known = StackSpec(home=home)
    ports = Ports(**{name: port + port_offset for name, port in Ports().items()}) if port_offset else known.ports
    return replace(known, workers=workers, ports=ports, python=sys.executable)
