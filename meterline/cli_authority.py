"""`meterline sync authority`: which systems are believed for a field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from meterline.cli_common import ConfigOption, JsonOption, fail, print_json, printable, read_instant, read_settings
from meterline.cli_person import ByOption, TokenOption, person
from meterline.cli_sync import print_rows

authority_app = typer.Typer(
    no_args_is_help=True, help="Which systems are believed for a field. Example: meterline sync authority list"
)


@authority_app.command("list")
def authority_list(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List the rules that hold now, the most believed system first. Example: meterline sync authority list --json"""
    from meterline.bootstrap import opener
    from store.sync_conflicts import read_authority
    from sync.authority import Authority, AuthorityRow

    with opener(read_settings(config, quiet=True), "meterline-sync")() as connection:
        authority = Authority((AuthorityRow(*row) for row in read_authority(connection)), datetime.now(UTC))
    rows = [{"entity": e, "field": f, "systems": list(s)} for e, f, s in authority.rules()]
    print_rows(rows, as_json, ("entity", "field", "systems"), "no rule")


@authority_app.command("add")
def authority_add(
    entity: Annotated[str, typer.Argument(help="Kind of entity, such as meter")],
    field: Annotated[str, typer.Argument(help="Field, such as multiplier; * is all that have no rule of their own")],
    systems: Annotated[list[str], typer.Argument(help="The most believed first")],
    reason: Annotated[str, typer.Option(help="Why")],
    valid_from: Annotated[str | None, typer.Option("--valid-from", metavar="TIME", help="Default from now on")] = None,
    by: ByOption = None,
    token_file: TokenOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record a rule. None is ever changed: the newest that holds stands.

    Example: meterline sync authority add meter multiplier marketing gis --reason "agreed on 1 June"
    """
    from meterline.bootstrap import opener
    from store.sync_conflicts import add_authority
    from sync.authority import FIELDS, is_known

    if not is_known(entity, field):
        known = ", ".join(f"{kind}: {' '.join(fields)}" for kind, fields in FIELDS.items())
        fail(f"no rule can be made for {printable(entity)} {printable(field)}; there are, beside *, {known}", code=2)
    if len(set(systems)) != len(systems) or not all(system.isidentifier() and len(system) <= 64 for system in systems):
        fail("name each system once, by the name under which its extracts are taken", code=2)
    since = read_instant(valid_from, "--valid-from") or datetime.now(UTC)
    settings = read_settings(config, quiet=True)
    who = person(settings, by, token_file).name
    with opener(settings, "meterline-sync")() as connection:
        number = add_authority(connection, entity, field, systems, since, who, reason)
    if as_json:
        print_json({"authority_id": number})
    else:
        print(f"rule {number} holds from {since.isoformat()} on; `meterline sync match` takes it into account")
