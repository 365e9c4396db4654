"""`meterline token`: tokens of the alerts' API."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from meterline.cli_common import JsonOption, fail, print_json, printable

token_app = typer.Typer(no_args_is_help=True, help="Tokens of the alerts' API. Example: meterline token new li.wei")


@token_app.callback()
def tokens() -> None:
    """Tokens of the alerts' API. Example: meterline token new li.wei --role marketing"""


@token_app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="Whose it is; stands in the history of what is done with it")],
    role: Annotated[list[str], typer.Option(help="May be repeated")],
    days: Annotated[int, typer.Option(min=1, max=3_660, help="After which it isn't taken any more")] = 365,
    unit: Annotated[str | None, typer.Option(help="Organisation that role unit sees")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token. It is shown this once; what goes into the file of tokens is its hash.

    Example: meterline token new li.wei --role marketing --role revenue
    """
    from console.api.tokens import ROLES, hash_of

    if unknown := sorted(set(role) - ROLES):
        fail(f"no role is named {printable(unknown[0])}; there are: {', '.join(sorted(ROLES))}", code=2)
    if ("unit" in role) != (unit is not None):
        fail("role unit, and no other, needs --unit", code=2)
    if unit is not None and (not unit.isprintable() or '"' in unit or "\\" in unit or not 0 < len(unit) <= 64):
        fail("a unit is a code of 1 to 64 characters without quotes", code=2)
    if not name.isprintable() or '"' in name or "\\" in name or not 0 < len(name) <= 200:
        fail("a name is 1 to 200 characters without quotes", code=2)
    token = secrets.token_urlsafe(32)
    expires = (datetime.now(UTC) + timedelta(days=days)).replace(microsecond=0)
    roles = sorted(set(role))
    if as_json:
        entry = {"name": name, "sha256": hash_of(token), "roles": roles, "expires": expires}
        if unit is not None:
            entry["unit"] = unit
        print_json({"token": token, "entry": entry})
        return
    quoted = ", ".join(f'"{each}"' for each in roles)
    print(f"token, shown this once: {token}\n\nfor the file that console.tokens_file names:\n")
    print(f'[[tokens]]\nname = "{name}"\nsha256 = "{hash_of(token)}"\nroles = [{quoted}]')
    if unit is not None:
        print(f'unit = "{unit}"')
    print(f"expires = {expires.isoformat().replace('+00:00', 'Z')}")
