"""`meterline sync identity`: which records are the same thing, as people decide it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_settings
from meterline.cli_person import ByOption, TokenOption, person
from meterline.cli_sync import LimitOption, print_rows

if TYPE_CHECKING:
    from meterline.config import Settings

identity_app = typer.Typer(
    no_args_is_help=True, help="Which records are the same thing. Example: meterline sync identity unsure"
)


@identity_app.command("unsure")
def identity_unsure(limit: LimitOption = 50, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Records of which it isn't sure what they are, the least sure first. Example: meterline sync identity unsure"""
    from meterline.bootstrap import opener
    from store.sync_identity import read_unsure

    with opener(read_settings(config, quiet=True), "meterline-sync")() as connection:
        rows = read_unsure(connection, limit)
    columns = ("system", "dataset", "key", "kind", "entity_id", "code", "confidence", "method")
    print_rows(rows, as_json, columns, "nothing is unsure")


@identity_app.command("merge")
def identity_merge(
    record: Annotated[str, typer.Argument(help="system.dataset/key, such as gis.transformers/T100009")],
    entity: Annotated[int, typer.Argument(help="Number of the entity that it is")],
    reason: Annotated[str, typer.Option(help="Why")],
    by: ByOption = None,
    token_file: TokenOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a record is a known thing. It stands until it is undone.

    Example: meterline sync identity merge gis.transformers/T100009 4711 --reason "seen on site"
    """
    from store.sync_identity import decide_merge

    title, key = _record(record)
    settings = read_settings(config, quiet=True)
    who = person(settings, by, token_file).name
    _decide(
        settings, as_json, lambda connection, at: decide_merge(connection, title, key, entity, who, reason, at),
        f"no record {record} or no entity {entity} is known",
    )  # fmt: skip


@identity_app.command("split")
def identity_split(
    record: Annotated[str, typer.Argument(help="system.dataset/key")],
    reason: Annotated[str, typer.Option(help="Why")],
    by: ByOption = None,
    token_file: TokenOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say that a record is a thing of its own. Example: meterline sync identity split gis.lines/L1 --reason checked"""
    from store.sync_identity import decide_split

    title, key = _record(record)
    settings = read_settings(config, quiet=True)
    who = person(settings, by, token_file).name
    _decide(
        settings, as_json, lambda connection, at: decide_split(connection, title, key, who, reason, at),
        f"no record {record} is known",
    )  # fmt: skip


@identity_app.command("undo")
def identity_undo(
    decision: Annotated[int, typer.Argument(help="Number of the decision")],
    by: ByOption = None,
    token_file: TokenOption = None,
    config: ConfigOption = None,
) -> None:
    """Take a merge or split back: the record is what it was before. Example: meterline sync identity undo 3"""
    from meterline.bootstrap import opener
    from store.sync_identity import undo_decision

    settings = read_settings(config, quiet=True)
    who = person(settings, by, token_file).name
    with opener(settings, "meterline-sync")() as connection:
        if not undo_decision(connection, decision, who, datetime.now(UTC)):
            fail(f"no decision {decision} stands")
    print(f"decision {decision} is undone")


def _decide(settings: Settings, as_json: bool, run: Any, unknown: str) -> None:
    from meterline.bootstrap import opener
    from store.sync_identity import DecisionError

    try:
        with opener(settings, "meterline-sync")() as connection:
            number = run(connection, datetime.now(UTC))
    except DecisionError as error:
        fail(printable(str(error), 500))
    if number is None:
        fail(unknown)
    if as_json:
        print_json({"decision_id": number})
    else:
        print(f"decision {number} stands; `meterline sync match` takes it into account")


def _record(text: str) -> tuple[str, str]:
    title, slash, key = text.partition("/")
    if not slash or "." not in title:
        fail(f"not a record such as gis.transformers/T100009: {printable(text)}", code=2)
    return title, key
