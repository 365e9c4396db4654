"""For which departments an account acts on the command line."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from meterline.cli_person import Person, person
from meterline.config import load_settings
from meterline.settings.section import ConfigError

ACCOUNT = pwd.getpwuid(os.getuid()).pw_name
NEEDED = """
[mqtt]
password_file = "/secrets/mqtt"
[database]
password_file = "/secrets/app"
owner_password_file = "/secrets/owner"
board_password_file = "/secrets/board"
[sync.departments]
"""
Acting = Callable[[str], Person]


@pytest.fixture
def acting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Acting:
    """Who acts without a token, by what the configuration says of departments."""
    for name in [name for name in os.environ if name.startswith("METERLINE_")]:
        monkeypatch.delenv(name)

    def of(departments: str) -> Person:
        (tmp_path / "config.toml").write_text(NEEDED + departments)
        return person(load_settings(tmp_path / "config.toml"), None, None)

    return of


def test_an_account_acts_for_any_department_until_it_is_said_for_which(acting: Acting) -> None:
    assert acting("") == Person(ACCOUNT, None)
    acting("").check_department("dispatch")


def test_an_account_acts_for_its_own_departments_alone(acting: Acting, capsys: pytest.CaptureFixture[str]) -> None:
    own = acting(f'{ACCOUNT} = ["metering", "operation"]')
    assert own == Person(ACCOUNT, frozenset({"metering", "operation"}))
    own.check_department("operation")
    with pytest.raises(SystemExit):
        own.check_department("marketing")
    assert f"{ACCOUNT} doesn't speak for marketing" in capsys.readouterr().err


def test_an_account_that_is_not_named_acts_for_none(acting: Acting) -> None:
    other = acting('somebody = ["operation"]')
    assert other == Person(ACCOUNT, frozenset())
    with pytest.raises(SystemExit):
        other.check_department("operation")


def test_a_department_that_there_is_not_is_refused(acting: Acting) -> None:
    with pytest.raises(ConfigError, match="departments"):
        acting('li = ["police"]')
