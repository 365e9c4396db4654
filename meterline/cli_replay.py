"""The command `meterline replay`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meterline.cli_common import ConfigOption, JsonOption, check_conninfo, fail, print_json, read_settings

if TYPE_CHECKING:
    from meterline.config import Settings
    from meterline.replaying import ReplayOptions, ReplayReport, Span
    from store.connection import Connection


def replay(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE]...", help="Files of readings (.parquet, .csv) or messages")
    ] = None,
    config: ConfigOption = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Instead of files: stored blocks from here on")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Until when; default now")] = None,
    unit: Annotated[list[str] | None, typer.Option(help="Only blocks of this unit; may be repeated")] = None,
    source: Annotated[
        str | None, typer.Option(metavar="CONNINFO", help="Where blocks and model are read; default as configured")
    ] = None,
    database: Annotated[
        str | None, typer.Option(metavar="CONNINFO", help="Database to write; default as configured")
    ] = None,
    embedded: Annotated[
        Path | None, typer.Option(metavar="DIRECTORY", help="Write an embedded database in this directory instead")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Grid model to load first (JSON); default: the target's, else the source's")
    ] = None,
    points: Annotated[Path | None, typer.Option(help="SCADA points to load first (JSON)")] = None,
    changes: Annotated[
        Path | None, typer.Option(help="Changes of the grid model, one a line, each made when it comes to hold")
    ] = None,
    city: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", help="What simulate --out wrote: its messages, model, points and changes"),
    ] = None,
    alerts: Annotated[bool, typer.Option("--alerts", help="Look for alerts, as of the replayed time")] = False,
    as_known_at: Annotated[
        str | None, typer.Option(metavar="TIME", help="With the grid model as it was known then")
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Publish what is due before then; default now")
    ] = None,
    sort: Annotated[bool, typer.Option("--sort", help="Sort files by received_at first, on disk")] = False,
    batch: Annotated[int, typer.Option(min=1, max=20_000, help="Messages settled at once")] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Compute results again from files or stored blocks, by the same steps as live, with no broker. Safe to repeat.

    Example: meterline replay june.parquet --model grid.json --embedded ./june-db --json

    Example: meterline replay --city ./city --alerts --embedded ./city-db

    Example: meterline replay --from 2026-06-01T00:00:00Z --to 2026-06-02T00:00:00Z --embedded ./june-db
    """
    from meterline.bootstrap import default_config, stop_on_signals
    from meterline.logs import configure_logs
    from meterline.replaying import (
        provide_model,
        provide_points,
        same_database,
        target_database,
    )
    from meterline.replaying import replay as run_replay
    from store.connection import connect

    if city is not None:
        if files or model or points or changes or from_ is not None:
            fail("--city names its own files, model, points and changes", 2)
        files, model = [city / "messages.parquet"], city / "grid.json"
        points, changes = city / "points.json", city / "changes.jsonl"
    if bool(files) == (from_ is not None):
        fail("name either files or a span by --from", 2)
    if database is not None and embedded is not None:
        fail("--database and --embedded exclude each other", 2)
    check_conninfo({"--database": database, "--source": source})
    if as_known_at is not None and changes is not None:
        fail("--changes moves the model on, and --as-known-at keeps it as it was", 2)
    if from_ is None and (to is not None or unit):
        fail("--to and --unit belong to a span by --from", 2)
    configure_logs("warning")
    span = None if from_ is None else _span(from_, to, unit)
    # Files with a model, and a database by name, need no configuration.
    has_config = config is not None or default_config().is_file()
    settings = read_settings(config, quiet=True) if has_config else None
    options = replace(
        _options(settings, alerts=alerts),
        files=tuple(files or ()),
        span=span,
        sort=sort,
        until=_instant("--until", until),
        known_at=_instant("--as-known-at", as_known_at),
        batch=batch,
        changes=changes,
    )

    def configured() -> str:
        return read_settings(config, quiet=True).database.conninfo("app")

    open_source: Callable[[], Connection] | None = None
    if source is not None or span is not None or has_config:
        open_source = partial(connect, source or configured(), "meterline-replay")
    stop = stop_on_signals()
    with target_database(database, embedded, configured) as open_target:
        if options.known_at is not None and not _apart(open_target, configured, has_config, same_database):
            fail("--as-known-at would replace the configured database's results: name another by --database", 2)
        _note(f"grid model: {_MODELS[provide_model(open_target, model, open_source)]}")
        if points is not None:
            provide_points(open_target, points)
        with _progress(options.files) as progress:
            report = run_replay(options, open_target, open_source, stop.is_set, progress)
    if as_json:
        print_json(asdict(report))
    else:
        print(_text(report))
    sys.exit(0 if report.complete else 130)


def _options(settings: Settings | None, *, alerts: bool) -> ReplayOptions:
    """What the configuration says; the defaults where there is none."""
    from alerts.routing import Routing
    from alerts.rules import AlertPolicy
    from alerts.service import AlertSettings
    from meterline.config import loss_rules
    from meterline.deliver import alert_settings
    from meterline.replaying import ReplayOptions

    if settings is None:
        return ReplayOptions(alerts=AlertSettings(AlertPolicy(), lambda _: Routing()) if alerts else None)
    return ReplayOptions(
        alerts=alert_settings(settings) if alerts else None,
        limits=settings.settling.limits(),
        rules=loss_rules(settings),
        stand_in_interval_s=settings.scada.stand_in_interval_s,
    )


_MODELS = {"file": "loaded from the file", "target": "as the database has it", "source": "copied from the source"}


def _apart(
    open_target: Callable[[], Connection],
    configured: Callable[[], str],
    has_config: bool,
    same_database: Callable[[Callable[[], Connection], Callable[[], Connection]], bool],
) -> bool:
    from store.connection import connect

    return not has_config or not same_database(open_target, partial(connect, configured(), "meterline-replay"))


def _span(from_: str, to: str | None, unit: list[str] | None) -> Span:
    from meterline.replaying import Span

    first, last = _instant("--from", from_), _instant("--to", to) or datetime.now(UTC)
    if first is None or first >= last:
        fail(f"--from {from_} isn't before --to {last.isoformat()}", 2)
    return Span(first, last, tuple(unit) if unit else None)


def _instant(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text!r} is no time such as 2026-06-01T00:00:00Z", 2)
    if at.tzinfo is None:
        fail(f"{option} {text!r} must say its time zone, such as 2026-06-01T00:00:00Z", 2)
    return at


@contextmanager
def _progress(files: tuple[Path, ...]) -> Iterator[Callable[[int, int], None]]:
    """Shows how far it is, on a terminal's standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from ingest.sources.files.reader import count_rows

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _messages, _readings: None
        return
    counts = [count_rows(path) for path in files]
    # A log counts messages, a file of readings counts readings: which of them it is shows as it goes.
    total = sum(c for c in counts if c is not None) if counts and None not in counts else None
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading", total=total)

        def show(messages: int, readings: int) -> None:
            text = f"{messages:,} messages, {readings:,} readings"
            bar.update(task, completed=min(readings, total or readings), description=text)

        yield show


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _text(report: ReplayReport) -> str:
    end = f"published until {report.until:%Y-%m-%d %H:%M:%S} UTC" if report.until else "stopped: the same again goes on"
    also = f", {report.changes} changes of the model, {report.alerts} alerts" if report.changes or report.alerts else ""
    return (
        f"{report.messages} messages with {report.readings} readings in {report.seconds:.1f} s "
        f"({report.readings_per_s:,.0f} readings/s)\n"
        f"{report.rows} rows written, {report.revisions} results published, {report.rejected} inputs rejected"
        f"{also}\n{end}"
    )
