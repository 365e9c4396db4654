"""Who acts on the command line: the account that runs it, or whoever's token is given."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meterline.cli_common import fail, printable

if TYPE_CHECKING:
    from meterline.config import Settings

ByOption = Annotated[
    str | None, typer.Option("--by", help="Who; default the account that runs it, anybody else with their --token-file")
]
TokenOption = Annotated[
    Path | None, typer.Option("--token-file", help="File with the token of who acts, as for the API")
]


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts, and for which departments; None: it isn't known for which."""

    name: str
    departments: frozenset[str] | None = None

    def check_department(self, department: str) -> None:
        """End with an error where the person doesn't speak for a department."""
        if self.departments is not None and department not in self.departments:
            fail(f"--department: {printable(self.name)} doesn't speak for {department}", code=2)


def person(settings: Settings, by: str | None, token_file: Path | None) -> Person:
    """Whoever acts; what is said of it must be so, or the command ends with an error."""
    found = _of_account(settings) if token_file is None else _of_token(settings, token_file)
    if by is not None and by != found.name:
        proof = "give their token with --token-file" if token_file is None else "the token is another's"
        fail(f"--by {printable(by)}: you are {printable(found.name)}: {proof}", code=2)
    return found


def _of_account(settings: Settings) -> Person:
    # By the number of the user: anybody can write another name into the environment.
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid {os.getuid()}"
    known = settings.sync.departments
    return Person(name, frozenset(map(str, known.get(name, ()))) if known else None)


def _of_token(settings: Settings, file: Path) -> Person:
    from console.api.sync import DEPARTMENTS
    from console.api.tokens import TokenFileError, Tokens
    from meterline.settings.section import ConfigError, read_secret

    known = settings.console.tokens_file
    if known is None:
        fail("--token-file: no file of tokens is configured (console.tokens_file)")
    try:
        principal = Tokens(known).find(read_secret(file).strip(), datetime.now(UTC))
    except (TokenFileError, ConfigError) as error:
        fail(printable(str(error), 500))
    if principal is None:
        fail(f"--token-file: {file} holds no token that is known, or it has expired")
    departments = frozenset(DEPARTMENTS[role] for role in principal.roles if role in DEPARTMENTS)
    if not departments:
        fail(f"--token-file: the token of {printable(principal.name)} speaks for no department")
    return Person(principal.name, frozenset(map(str, departments)))
