"""Commands of `meterline sync` that take what source systems say and compare it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
    from meterline.config import Settings
    from sync.mapping import SourceMapping

LimitOption = Annotated[int, typer.Option(min=1, max=100_000)]


def take(
    path: Annotated[Path, typer.Argument(help="A file, a folder of files, or a folder with a folder for each system")],
    system: Annotated[str | None, typer.Option(help="Which system; default the name of the folder")] = None,
    in_part: Annotated[
        bool, typer.Option("--in-part", help="List lines that can't be read and take the others")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take extracts of source systems (CSV, Excel, GeoJSON, CIM). The same again changes nothing.

    Example: meterline sync take ./city/sources
    """
    from meterline.bootstrap import opener
    from store.sync_records import read_refused
    from sync.sources.contract import SourceError
    from sync.take import take_file

    settings = read_settings(config, quiet=True)
    mapping = source_mapping(settings)
    rows: list[dict[str, Any]] = []
    with opener(settings, "meterline-sync")() as connection:
        for file, of in _files(path, system):
            try:
                counts = take_file(connection, file, of, _rules(settings, mapping, of, in_part), datetime.now(UTC))
            except SourceError as error:
                fail(printable(str(error), 500))
            refused = [] if counts.take_id is None or not counts.refused else read_refused(connection, counts.take_id)
            rows.append({"system": of, "file": file.name, **asdict(counts), "refused_lines": refused})
            connection.commit()
    if as_json:
        print_json(rows)
        return
    for row in rows:
        if row["take_id"] is None:
            print(f"{row['system']}/{row['file']}: unchanged")
            continue
        print(
            f"{row['system']}/{row['file']}: {row['records']} records, {row['added']} new, {row['changed']} changed, "
            f"{row['removed']} gone, {row['refused']} refused"
        )
        for line in row["refused_lines"]:
            column = "" if line["column_number"] is None else f", column {line['column_number']}"
            print(f"    line {line['line']}{column}: {printable(line['reason'])}")


def take_table(
    table: Annotated[str, typer.Argument(help="Its name there, with a schema before a dot if need be")],
    system: Annotated[str, typer.Option(help="Which system")],
    conninfo_file: Annotated[Path, typer.Option("--conninfo-file", help="File with the connection string")],
    key: Annotated[str, typer.Option(help="Column of the key")],
    dataset: Annotated[str | None, typer.Option(help="Name of the dataset; default the table's")] = None,
    changed: Annotated[
        str | None, typer.Option(help="Column that rises with each change: only what is new is read")
    ] = None,
    in_part: Annotated[
        bool, typer.Option("--in-part", help="List rows that can't be taken and take the others")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take a table of another PostgreSQL database: all of it, or what is new since the last time.

    Example: meterline sync take-table pms.areas --system pms --conninfo-file pms.conninfo --key id --changed updated_at
    """
    from meterline.bootstrap import opener
    from meterline.settings.section import read_secret
    from store.sync_records import Origin, read_last_change
    from sync.sources.contract import SourceError
    from sync.sources.postgres_table import TableSource, read_table
    from sync.take import take_records

    settings = read_settings(config, quiet=True)
    mapping = source_mapping(settings)
    name = dataset or table.rpartition(".")[2]
    with opener(settings, "meterline-sync")() as connection:
        since = None if changed is None else read_last_change(connection, system, name, changed)
        source = TableSource(name, table, key, changed, since)
        origin = Origin(system, table, None, whole=since is None)
        rows = read_table(read_secret(conninfo_file), source)
        try:
            with connection.transaction():
                rules = _rules(settings, mapping, system, in_part)
                counts = take_records(connection, rows, origin, rules, datetime.now(UTC), [name])
        except SourceError as error:
            fail(printable(str(error), 500))
    if as_json:
        print_json({"since": since, **asdict(counts)})
    else:
        print(
            f"{counts.records} rows, {counts.added} new, {counts.changed} changed, {counts.removed} gone, "
            f"{counts.refused} refused"
        )


def follow(
    topic: Annotated[str, typer.Argument(help="Topic of Debezium's envelopes")],
    system: Annotated[str, typer.Option(help="Which system")],
    key: Annotated[list[str], typer.Option(help="Column of the key; several are joined with /")],
    dataset: Annotated[
        list[str] | None, typer.Option(metavar="TABLE=DATASET", help="Dataset of a table; default the table's name")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when nothing new comes")] = False,
    in_part: Annotated[bool, typer.Option("--in-part", help="List messages that can't be read and go on")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take changes from a Kafka topic until stopped.

    Example: meterline sync follow pms.public.areas --system pms --key id
    """
    from meterline.bootstrap import opener, stop_on_signals
    from sync.sources.contract import SourceError
    from sync.sources.debezium.topic import TopicSource
    from sync.sources.debezium.topic import follow as run_follow

    settings = read_settings(config, quiet=True)
    names = dict(pair.split("=", 1) for pair in dataset or () if "=" in pair)
    if len(names) != len(dataset or ()):
        fail("--dataset: write TABLE=DATASET", code=2)
    source = TopicSource(system, topic, tuple(key), names)
    stop = stop_on_signals()
    consumer = _consumer(settings, topic, system)
    rules = _rules(settings, source_mapping(settings), system, in_part)
    totals = {"records": 0, "added": 0, "changed": 0, "removed": 0, "refused": 0}
    idle = 0
    try:
        taken = run_follow(
            opener(settings, "meterline-sync"), consumer, source, rules, lambda: datetime.now(UTC), stop.is_set
        )
        for counts in taken:
            # A group takes a moment to give out its partitions.
            idle = idle + 1 if counts.take_id is None else 0
            for name in totals:
                totals[name] += getattr(counts, name)
            if once and idle >= _IDLE:
                break
    except SourceError as error:
        fail(printable(str(error), 500))
    finally:
        consumer.close()
    if as_json:
        print_json(totals)
    else:
        print(", ".join(f"{count} {name}" for name, count in totals.items()))


#: Seconds without a message after which a topic is taken to be at its end.
_IDLE = 8


def _consumer(settings: Settings, topic: str, system: str) -> Any:
    from kafka import KafkaConsumer

    return KafkaConsumer(
        topic,
        bootstrap_servers=settings.kafka.bootstrap,
        group_id=f"meterline-sync-{system}-{topic}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )


def sources(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """What is held of each source system. Example: meterline sync sources --json"""
    from meterline.bootstrap import opener
    from store.sync_records import read_sources

    with opener(read_settings(config, quiet=True), "meterline-sync")() as connection:
        rows = read_sources(connection)
    print_rows(rows, as_json, ("system", "dataset", "records", "identified", "changed_at"), "nothing was taken yet")


def match(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Find which records are the same thing, and where they contradict each other and the grid model.

    Example: meterline sync match --json
    """
    from meterline.bootstrap import opener
    from sync.match import match as run_match

    settings = read_settings(config, quiet=True)
    now = datetime.now(UTC)
    with opener(settings, "meterline-sync")() as connection:
        report = run_match(connection, source_mapping(settings), now.astimezone(settings.settling.zone()).date(), now)
    if as_json:
        print_json(asdict(report))
        return
    print(
        f"{report.records} records are {report.entities} things, {report.in_model} of them in the grid model; "
        f"{report.unsure} are unsure, {report.changed} others than before"
    )
    print(f"conflicts: {report.conflicts.found}, {report.conflicts.opened} new, {report.conflicts.closed} gone")


def rate(
    unit: Annotated[str | None, typer.Option(help="Only this unit")] = None,
    day: Annotated[str | None, typer.Option("--day", metavar="DATE", help="As of this day; default today")] = None,
    limit: LimitOption = 20,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Share of right relations station-line-transformer-customer (站-线-变-户): of all, and of the worst units.

    Example: meterline sync rate --json
    """
    from meterline.bootstrap import opener
    from store.sync_conflicts import read_rate_totals, read_rates

    instant = read_instant(day, "--day") or datetime.now(UTC)
    with opener(read_settings(config, quiet=True), "meterline-sync")() as connection:
        totals = read_rate_totals(connection, instant.date())
        units = read_rates(connection, instant.date(), unit, limit)
    if as_json:
        print_json({"all": totals, "units": units})
        return
    if not totals:
        print("no rate yet: run meterline sync match")
    for row in totals:
        print(f"{row['relation']}: {row['rate']:.2%} of {row['relations']} on {row['day']}")
    for row in units:
        print(f"  {printable(row['code'])}  {row['relation']}  {row['rate']:.2%} of {row['relations']}")


def source_mapping(settings: Settings) -> SourceMapping:
    """The configured mapping, or the one that comes with Meterline."""
    from importlib.resources import files

    from sync.mapping import MappingError, parse_mapping

    file = settings.sync.mapping_file
    text = (files("sync") / "default_mapping.toml").read_text("utf-8") if file is None else file.read_text("utf-8")
    try:
        return parse_mapping(text)
    except MappingError as error:
        fail(f"{file or 'default mapping'}: {error}")


def _rules(settings: Settings, mapping: SourceMapping, system: str, in_part: bool) -> Any:
    from meterline.settings.section import read_secret
    from sync.take import TakeRules

    secret = settings.sync.withheld_key_file
    return TakeRules(
        in_part=in_part or settings.sync.take_in_part,
        max_refused=settings.sync.max_refused,
        withheld=mapping.withheld(system),
        secret=b"" if secret is None else read_secret(secret).encode()[:64],
    )


def _files(path: Path, system: str | None) -> list[tuple[Path, str]]:
    """The files to take, each with its system."""
    from sync.take import find_files

    if not path.exists():
        fail(f"{path}: no such file or folder")
    if path.is_file():
        return [(path, system or path.resolve().parent.name)]
    mine = [(file, system or path.resolve().name) for file in find_files(path)]
    if mine or system is not None:
        found = mine
    else:
        folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
        found = [(file, folder.name) for folder in folders for file in find_files(folder)]
    if not found:
        fail(f"{path}: no file that can be taken (CSV, Excel, GeoJSON or CIM)")
    return found


def print_rows(rows: list[dict[str, Any]], as_json: bool, columns: tuple[str, ...], nothing: str) -> None:
    from rich.table import Table
    from rich.text import Text

    if as_json:
        print_json(rows)
    elif not rows:
        print(nothing)
    else:
        table = Table(*columns, box=None)
        for row in rows:
            table.add_row(*(Text("" if row[c] is None else printable(str(row[c]), 60)) for c in columns))
        text_console().print(table)
