"""What all commands share: options, the configuration, output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from meterline.config import Settings

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", envvar="METERLINE_CONFIG", help="Configuration file; default .meterline/run/config.toml"),
]
OpsPortOption = Annotated[
    int | None,
    typer.Option(
        min=1024,
        max=65_000,
        help="Serve /healthz, /readyz and /metrics on 127.0.0.1; a worker adds its number to the port",
    ),
]
#: Columns of text that goes into a file or to another program.
_WIDE = 1_000
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text")]


def fail(message: str, code: int = 1) -> NoReturn:
    """End with one line on standard error."""
    print(f"meterline: {message}", file=sys.stderr)
    sys.exit(code)


def text_console() -> Console:
    """Where a command's text goes: what isn't shown on a terminal is as wide as it has to be, and nothing is cut."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _WIDE
    return console


def read_settings(config: Path | None, *, quiet: bool = False) -> Settings:
    """Settings from the named file or the default one, with logs set up; `quiet` shows warnings only."""
    from meterline.bootstrap import default_config
    from meterline.config import load_settings
    from meterline.logs import configure_logs

    settings = load_settings(config or default_config())
    configure_logs("warning" if quiet else settings.log_level)
    return settings


def read_instant(text: str | None, option: str) -> datetime | None:
    """The instant that an option gives, ISO 8601, in UTC without an offset; None where it is left out."""
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option}: not a time after ISO 8601: {printable(text)}", code=2)
    if not 1 < parsed.year < 9999:
        fail(f"{option}: no such time: {printable(text)}", code=2)
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed


def check_conninfo(given: Mapping[str, str | None]) -> None:
    """End with one line where an option's text is no connection string of PostgreSQL's."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    for option, text in given.items():
        try:
            conninfo_to_dict(text or "")
        except psycopg.ProgrammingError as error:
            fail(f"{option}: no connection string: {printable(str(error).strip())}", code=2)


def print_json(value: Any) -> None:
    """Print a value as one line of JSON; times after ISO 8601."""
    print(json.dumps(value, default=_plain))


def printable(text: str, limit: int = 200) -> str:
    """Text from outside for a terminal: cut, and without control characters."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else "?" for c in cut)


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
