"""The command `meterline score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meterline.cli_common import (
    ConfigOption,
    JsonOption,
    check_conninfo,
    fail,
    print_json,
    printable,
    read_instant,
    read_settings,
    text_console,
)


def score(
    truth: Annotated[Path, typer.Option(metavar="DIR", help="Folder with the truth of a simulated city")],
    config: ConfigOption = None,
    database: Annotated[
        str | None, typer.Option(metavar="CONNINFO", help="Database to score; default as configured")
    ] = None,
    embedded: Annotated[
        Path | None, typer.Option(metavar="DIRECTORY", help="Score an embedded database in this directory instead")
    ] = None,
    from_: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Only what lies after it")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Only what lies before it")] = None,
    k: Annotated[str, typer.Option("--k", metavar="N,N,…", help="Precision among the first so many alerts")] = "10,50",
    as_json: JsonOption = False,
) -> None:
    """Compare what the system stored and alerted with the truth of a simulated city. It changes nothing.

    Example: meterline score --truth ./city/truth --embedded ./city-db --json
    """
    from contextlib import AbstractContextManager, nullcontext

    from meterline.embedded import embedded_database
    from meterline.logs import configure_logs
    from meterline.score.reading import score_truth
    from meterline.score.report import as_json as plain
    from meterline.score.report import render
    from store.connection import connect
    from twin.truth_files import read_manifest

    ks = _lengths(k)
    begin, end = read_instant(from_, "--from"), read_instant(to, "--to")
    if begin is not None and end is not None and begin >= end:
        fail(f"--from {printable(from_ or '')} isn't before --to {printable(to or '')}", code=2)
    if database is not None and embedded is not None:
        fail("--database and --embedded exclude each other", code=2)
    check_conninfo({"--database": database})
    read_manifest(truth)  # what is wrong with the folder is said before the database is asked
    opened: AbstractContextManager[str] = nullcontext(database or "")
    if embedded is not None:
        if not (embedded / "PG_VERSION").is_file():
            fail(f"{embedded} is no embedded database: meterline replay --embedded makes one")
        opened = embedded_database(embedded)
    elif database is None:
        opened = nullcontext(read_settings(config, quiet=True).database.conninfo("app"))
    if database is not None or embedded is not None:
        configure_logs("warning")
    with opened as conninfo, connect(conninfo, "meterline-score") as connection:
        found = score_truth(connection, truth, begin, end, ks)
    if as_json:
        print_json(plain(found))
    else:
        text_console().print(render(found))


def _lengths(text: str) -> tuple[int, ...]:
    """Numbers above 0, each once, that stand between commas."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 1_000_000 for part in parts):
        fail(f"--k: not numbers such as 10,50: {printable(text)}", code=2)
    return tuple(sorted({int(part) for part in parts}))
