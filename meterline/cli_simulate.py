"""`meterline simulate`: the demonstration's telemetry, or a city's, live or as files."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meterline.cli_common import ConfigOption, JsonOption, print_json, read_settings

if TYPE_CHECKING:
    from twin.city import City
    from twin.sending import Summary

_SHOW_S = 2.0


def simulate(
    config: ConfigOption = None,
    city: Annotated[str | None, typer.Option(help="A SimBench code: a city with events, errors and faults")] = None,
    events: Annotated[str, typer.Option(help="default, none, kind=count,… or a JSON file")] = "default",
    last_gasps: Annotated[
        float | None, typer.Option("--last-gasp-share", min=0, max=1, help="Of a city: last gasps that get through")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes")] = 0,
    households: Annotated[Path | None, typer.Option(help="Real meters' series (.npz) to draw households from")] = None,
    out: Annotated[Path | None, typer.Option(help="Write files with the truth beside them, and send nothing")] = None,
    copies: Annotated[
        int, typer.Option(min=1, max=1000, help="With --out: so many cities, each with its own seed")
    ] = 1,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="With --out: only the first so many intervals of the days")
    ] = None,
    begin: Annotated[
        datetime | None, typer.Option(help="A city's first day, by the clock on the wall there", formats=["%Y-%m-%d"])
    ] = None,
    ledger: Annotated[Path | None, typer.Option(help="Folder for the ledger of what was published")] = None,
    duration: Annotated[float | None, typer.Option("--for", min=1, metavar="SECONDS")] = None,
    areas: Annotated[int | None, typer.Option(min=1, help="Only the first transformer areas of the grid")] = None,
    days: Annotated[float, typer.Option(min=0, max=366, help="Past that is filled first; of a city, whole days")] = 1.0,
    rate: Annotated[float, typer.Option(min=1, help="Most messages a second")] = 600.0,
    speed: Annotated[float, typer.Option(min=1, help="Of the scenario's clock; above 1 needs --for")] = 1.0,
    fast: Annotated[bool, typer.Option("--as-fast-as-possible", help="Of a city: send its days and end")] = False,
    load: Annotated[bool, typer.Option("--load", help="Of a city: load its grid and points first")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Take up where each unit's stored results end")] = False,
    as_json: JsonOption = False,
) -> None:
    """Publish the demonstration grid's telemetry, or a city's, over MQTT; or write a city's days as files.

    Example: meterline simulate --city 1-MVLV-rural-all-0-sw --days 7 --seed 1 --out ./city
    """
    if speed > 1 and duration is None:
        raise typer.BadParameter("a speed above 1 needs --for, since the scenario ends at the wall clock")
    of_a_city = {
        "--out": out,
        "--begin": begin,
        "--households": households,
        "--load": load,
        "--as-fast-as-possible": fast,
        "--events": events != "default",
        "--last-gasp-share": last_gasps is not None,
        "--seed": seed,
        "--copies": copies > 1,
        "--rounds": rounds is not None,
    }
    if city is None and (given := [name for name, value in of_a_city.items() if value]):
        raise typer.BadParameter(f"{', '.join(given)}: of a --city alone")
    if city is None:
        _demonstration(config, ledger, duration, areas, days, rate, speed, resume=resume, as_json=as_json)
        return
    if days < 1 or days != int(days):
        raise typer.BadParameter("a city plays whole days: --days 1 or more")
    if resume:
        raise typer.BadParameter("a city begins anew each time: --resume is of the demonstration")
    if out is not None and (duration is not None or speed > 1 or load or fast):
        raise typer.BadParameter(
            "--for, --speed, --load and --as-fast-as-possible are of sending: with --out nothing is sent"
        )
    if copies > 1 and out is None:
        raise typer.BadParameter("--copies are written as files: they need --out")
    if rounds is not None and out is None:
        raise typer.BadParameter("--rounds are written as files: they need --out")
    from meterline.city import make_city

    def make(copy: int) -> City:
        return make_city(
            city,
            areas=areas,
            begin=None if begin is None else begin.replace(tzinfo=UTC),
            days=int(days),
            seed=seed,
            events=events,
            last_gasps=last_gasps,
            households=households,
            live=out is None,
            copy=copy,
        )

    if out is not None:
        _files(make, copies, out, rounds, as_json=as_json)
    else:
        _live(make(0), config, ledger, duration, rate, speed, load=load, fast=fast, as_json=as_json)


def _files(make: Callable[[int], City], copies: int, out: Path, rounds: int | None, *, as_json: bool) -> None:
    from dataclasses import asdict

    from meterline.city_files import check_new, write_city, write_copies

    check_new(out)
    last = [time.monotonic()]

    def show(intervals: int, of: int, messages: int) -> None:
        if not as_json and (time.monotonic() - last[0] >= _SHOW_S or intervals == of):
            last[0] = time.monotonic()
            print(f"{intervals:,} of {of:,} intervals, {messages:,} messages", file=sys.stderr)

    one = copies == 1
    written = write_city(make(0), out, show, rounds) if one else write_copies(make, copies, out, show, rounds)
    if as_json:
        print_json({"folder": str(out), **asdict(written)})
    else:
        print(
            f"{written.messages:,} messages of {written.meters:,} meters over {written.intervals:,} intervals, with "
            f"{written.events:,} events, in {out}"
        )


def _live(
    city: City,
    config: Path | None,
    ledger: Path | None,
    duration: float | None,
    rate: float,
    speed: float,
    *,
    load: bool,
    fast: bool,
    as_json: bool,
) -> None:
    from meterline.bootstrap import stop_on_signals
    from meterline.city import load as load_city
    from meterline.city import publish

    settings = read_settings(config)
    if load:
        load_city(settings, city)
    folder = ledger or _ledger_folder()
    summary = publish(
        settings,
        city,
        folder,
        stop=stop_on_signals(),
        duration_s=duration,
        rate=rate,
        speed=None if fast else speed,
        progress=_shower(as_json=as_json),
    )
    _report(summary, folder, as_json=as_json)


def _demonstration(
    config: Path | None,
    ledger: Path | None,
    duration: float | None,
    areas: int | None,
    days: float,
    rate: float,
    speed: float,
    *,
    resume: bool,
    as_json: bool,
) -> None:
    from meterline.bootstrap import stop_on_signals
    from meterline.demonstration import make_twin
    from meterline.demonstration import simulate as publish

    settings = read_settings(config)
    folder = ledger or _ledger_folder()
    stop = stop_on_signals()
    summary = publish(
        settings,
        make_twin(areas),
        folder,
        stop=stop,
        duration_s=duration,
        days=days,
        resume=resume,
        rate=rate,
        speed=speed,
        progress=_shower(as_json=as_json),
    )
    _report(summary, folder, as_json=as_json)


def _ledger_folder() -> Path:
    return Path(".meterline") / "ledger" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}"


def _shower(*, as_json: bool) -> Any:
    last = [0.0]

    def show(summary: Summary) -> None:
        if not as_json and time.monotonic() - last[0] >= _SHOW_S:
            last[0] = time.monotonic()
            until = "" if summary.observed_at is None else f", up to {summary.observed_at:%Y-%m-%d %H:%M} UTC"
            print(f"{summary.published:,} messages published, {summary.acked:,} acknowledged{until}", file=sys.stderr)

    return show


def _report(summary: Summary, folder: Path, *, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        print_json(asdict(summary))
    else:
        print(f"published {summary.published:,} messages, {summary.acked:,} acknowledged; ledger in {folder}")
