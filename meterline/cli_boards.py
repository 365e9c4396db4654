"""Commands about boards: `meterline boards`. They talk to a Grafana that is there already."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from deploy.boards.language import Language
from meterline.cli_common import JsonOption, fail, print_json, printable, read_instant
from meterline.cli_snapshot import snapshot

if TYPE_CHECKING:
    from deploy.boards.model import Board
    from meterline.grafana import Grafana

boards_app = typer.Typer(
    no_args_is_help=True,
    help="The boards, and a Grafana that shows them. Example: meterline boards push --url URL --token-file FILE",
)
boards_app.command()(snapshot)
UrlOption = Annotated[str, typer.Option("--url", help="Address of the Grafana, such as https://grafana.example.org")]
TokenOption = Annotated[
    Path, typer.Option("--token-file", help="File with the token of a service account with the role Editor")
]
OrganisationOption = Annotated[
    int | None, typer.Option("--organisation", min=1, help="Number of the organisation; default: the token's own")
]
HttpOption = Annotated[bool, typer.Option("--allow-http", help="Send the token without TLS to another machine")]
LanguageOption = Annotated[
    list[Language] | None, typer.Option("--language", help="Only boards in this language; repeat for more")
]
BoardsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[BOARD]...", help="Only these, such as control-room; default: all")
]
RevenueOption = Annotated[
    bool, typer.Option("--revenue", help="The boards of revenue protection too, for a Grafana that only they may see")
]
ConsoleOption = Annotated[str, typer.Option("--console-url", help="Where alerts are shown and acknowledged")]
ZoneOption = Annotated[
    str, typer.Option("--time-zone", help="IANA name of the zone that times are shown in; default: the organisation's")
]
_FOLDERS = {
    Language.ENGLISH: ("meterline-boards", "Meterline"),
    Language.CHINESE: ("meterline-boards-zh", "Meterline 中文"),
}
_CONSOLE_URL = "http://127.0.0.1:8080"


@boards_app.command("list")
def boards_list(as_json: JsonOption = False) -> None:
    """Every board, with what it shows and for whom. Example: meterline boards list"""
    from deploy.boards.registry import BOARDS

    rows = [
        {
            "board": name_of(board),
            "uid": board.uid,
            "title": board.title,
            "for": board.source.value,
            "variables": [variable.name for variable in board.variables],
            "panels": [place.panel.title for place in board.places],
        }
        for board in BOARDS
    ]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print(f"{row['board']}: {row['title']} ({row['for']}), {len(row['panels'])} panels")


@boards_app.command("push")
def boards_push(
    url: UrlOption,
    token_file: TokenOption,
    boards: BoardsArgument = None,
    language: LanguageOption = None,
    revenue: RevenueOption = False,
    console_url: ConsoleOption = _CONSOLE_URL,
    time_zone: ZoneOption = "",
    organisation: OrganisationOption = None,
    allow_http: HttpOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a Grafana's boards to this release; what is so already is left alone.

    Example: meterline boards push --url https://grafana.example.org --token-file grafana.token
    """
    from meterline.grafana import GrafanaError

    drawn = _draw(boards, language, console_url, time_zone, revenue=revenue)
    grafana = _open(url, token_file, organisation, allow_http)
    results = []
    try:
        for spoken in dict.fromkeys(spoken for _, spoken, _ in drawn):
            grafana.ensure_folder(*_FOLDERS[spoken])
        for name, spoken, text in drawn:
            done = grafana.push(text, _FOLDERS[spoken][0], "meterline boards push")
            results.append({"board": name, "language": spoken.value, "result": done.value})
            if not as_json:
                print(f"{name} ({spoken.value}): {done.value}")
    except GrafanaError as error:
        _refuse(error, results, as_json=as_json)
    if as_json:
        print_json(results)


@boards_app.command("diff")
def boards_diff(
    url: UrlOption,
    token_file: TokenOption,
    boards: BoardsArgument = None,
    language: LanguageOption = None,
    revenue: RevenueOption = False,
    console_url: ConsoleOption = _CONSOLE_URL,
    time_zone: ZoneOption = "",
    organisation: OrganisationOption = None,
    allow_http: HttpOption = False,
    as_json: JsonOption = False,
) -> None:
    """Where a Grafana's boards are otherwise than this release's; exit code 1 when any is.

    Example: meterline boards diff --url https://grafana.example.org --token-file grafana.token
    """
    from meterline.grafana import GrafanaError, differences

    drawn = _draw(boards, language, console_url, time_zone, revenue=revenue)
    grafana = _open(url, token_file, organisation, allow_http)
    results = []
    try:
        for name, spoken, text in drawn:
            wanted = json.loads(text)
            there = grafana.read(wanted["uid"])
            found = ["missing"] if there is None else differences(wanted, there)
            results.append({"board": name, "language": spoken.value, "differences": found})
    except GrafanaError as error:
        fail(str(error))
    if as_json:
        print_json(results)
    else:
        for row in results:
            print(
                f"{row['board']} ({row['language']}): {'as it should be' if not row['differences'] else ''}".rstrip(
                    ": "
                )
            )
            for path in row["differences"]:
                print(f"    {printable(path)}")
    sys.exit(1 if any(row["differences"] for row in results) else 0)


@boards_app.command("health")
def boards_health(
    url: UrlOption,
    token_file: TokenOption,
    revenue: RevenueOption = False,
    organisation: OrganisationOption = None,
    allow_http: HttpOption = False,
    as_json: JsonOption = False,
) -> None:
    """Whether a Grafana is up, of a release that the boards are made for, and its data sources answer.

    Example: meterline boards health --url https://grafana.example.org --token-file grafana.token
    """
    from deploy.boards.grafana_fields import DATASOURCE_UIDS
    from deploy.boards.model import Source
    from meterline.grafana import GrafanaError

    grafana = _open(url, token_file, organisation, allow_http)
    try:
        health = grafana.health()
        wanted = [Source.OPERATIONS, *([Source.REVENUE] if revenue else [])]
        sources = {DATASOURCE_UIDS[source]: grafana.check_source(DATASOURCE_UIDS[source]) for source in wanted}
    except GrafanaError as error:
        fail(str(error))
    ok = health.supported and health.database == "ok" and not any(sources.values())
    if as_json:
        print_json(
            {
                "version": health.version,
                "supported": health.supported,
                "database": health.database,
                "data_sources": {uid: wrong or "ok" for uid, wrong in sources.items()},
                "ok": ok,
            }
        )
    else:
        made_for = "" if health.supported else "; the boards are made for 11 to 13"
        print(f"Grafana {printable(health.version)}, database {printable(health.database)}{made_for}")
        for uid, wrong in sources.items():
            print(f"data source {uid}: {printable(wrong or 'ok')}")
    sys.exit(0 if ok else 1)


@boards_app.command("annotate")
def boards_annotate(
    text: Annotated[str, typer.Argument(help="What is to be read at the mark")],
    url: UrlOption,
    token_file: TokenOption,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="ISO 8601, in UTC without an offset; default: now")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="End of a time; default: an instant")] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", help="Beside the tag meterline; repeat for more")] = None,
    board: Annotated[str | None, typer.Option("--board", help="Only on this board, such as feeder")] = None,
    organisation: OrganisationOption = None,
    allow_http: HttpOption = False,
    as_json: JsonOption = False,
) -> None:
    """Mark an instant or a time in a Grafana, as planned work.

    Example: meterline boards annotate "work on F1" --url URL --token-file FILE --to 2026-06-01T12:00
    """
    from meterline.grafana import GrafanaError

    since = read_instant(from_, "--from") or datetime.now(UTC)
    until = read_instant(to, "--to")
    if until is not None and until <= since:
        fail("--to must be after --from", code=2)
    uid = None if board is None else _chosen([board], revenue=True)[0].uid
    try:
        number = _open(url, token_file, organisation, allow_http).annotate(
            text, since, until, ["meterline", *(tag or [])], uid
        )
    except GrafanaError as error:
        fail(str(error))
    if as_json:
        print_json({"annotation": number})
    else:
        print(f"annotation {number}")


def name_of(board: Board) -> str:
    """How commands call a board."""
    return board.uid.removeprefix("meterline-")


def _draw(
    boards: list[str] | None, languages: list[Language] | None, console_url: str, time_zone: str, *, revenue: bool
) -> list[tuple[str, Language, str]]:
    """Name, language and Grafana's JSON of each board that was asked for, each language by itself."""
    from deploy.boards.grafana import dumps

    zone = _zone(time_zone)
    return [
        (name_of(board), spoken, dumps(board, spoken, console_url=console_url, time_zone=zone, revenue=revenue))
        for spoken in languages or tuple(Language)
        for board in _chosen(boards, revenue=revenue)
    ]


def _chosen(names: list[str] | None, *, revenue: bool) -> list[Board]:
    from deploy.boards.model import Source
    from deploy.boards.registry import BOARDS

    known = {name_of(board): board for board in BOARDS}
    if unknown := [name for name in names or [] if name not in known]:
        fail(f"no such board: {printable(unknown[0])}; there are {', '.join(known)}", code=2)
    shown = [board for board in BOARDS if revenue or board.source is Source.OPERATIONS]
    if names is None:
        return shown
    if hidden := [name for name in names if known[name] not in shown]:
        fail(f"{hidden[0]} is for revenue protection: say --revenue where only they may see it", code=2)
    return [known[name] for name in dict.fromkeys(names)]


def _zone(name: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if name:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            fail(f"--time-zone: no such zone: {printable(name)}", code=2)
    return name


def _open(url: str, token_file: Path, organisation: int | None, allow_http: bool) -> Grafana:
    from meterline.grafana import Grafana, GrafanaError
    from meterline.settings.section import ConfigError, read_secret

    try:
        return Grafana(url, read_secret(token_file), organisation, allow_http=allow_http)
    except (GrafanaError, ConfigError) as error:
        fail(str(error))


def _refuse(error: Exception, done: list[dict[str, str]], *, as_json: bool) -> NoReturn:
    if as_json and done:
        print_json(done)
    fail(str(error))
