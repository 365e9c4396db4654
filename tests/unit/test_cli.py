"""The command line as a user meets it: help with an example, one line for what went wrong, nothing secret."""

from __future__ import annotations

import fcntl
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from kafka.errors import KafkaTimeoutError
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from deploy.stack import StackError, checks
from meterline import cli, cli_deliver
from meterline.cli_common import print_json, printable, text_console
from meterline.demonstration import PublisherError
from meterline.failures import explain
from meterline.schemas import all_schemas
from meterline.settings.section import ConfigError
from store.deliveries import Backlog
from twin.gateway import BrokerError


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the entry point as the shell does, in an empty folder and without settings in the environment."""
    for name in [name for name in os.environ if name.startswith("METERLINE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def entry(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["meterline", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        code = ended.value.code
        said = capsys.readouterr()
        return Ended(code if isinstance(code, int) else 0 if code is None else 1, said.out, said.err)

    return entry


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings whose servers are nowhere, with secrets in files."""
    for name in ("mqtt", "app", "owner", "board"):
        (tmp_path / name).write_text(f"secret-of-{name}\n")
    path = tmp_path / "config.toml"
    path.write_text(
        f'[mqtt]\npassword_file = "{tmp_path}/mqtt"\nport = 1\n[kafka]\nbootstrap = "127.0.0.1:1"\n'
        f'[database]\nport = 1\npassword_file = "{tmp_path}/app"\nowner_password_file = "{tmp_path}/owner"\n'
        f'board_password_file = "{tmp_path}/board"\n'
    )
    return path


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path
        return
    for name, child in children.items():
        yield from leaves(child, (*path, name))


COMMANDS = list(leaves(typer.main.get_command(cli.app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_of_every_command_has_an_example_that_calls_it(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli.app, [*path, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0
    said = " ".join(result.output.split())
    assert f"Example: meterline {' '.join(path)}" in said


READERS = [
    ["top", "--once"],
    ["top", "--json"],
    ["migrate"],
    ["load", "demonstration", "--areas", "1"],
    ["rejected", "list"],
    ["alert", "targets"],
    ["sync", "targets"],
    ["sync", "resume", "x"],
    ["simulate", "--areas", "1", "--for", "1"],
    ["config", "show"],
]


@pytest.mark.parametrize("arguments", READERS, ids=" ".join)
def test_a_missing_configuration_is_one_line(run: Run, arguments: list[str]) -> None:
    ended = run(*arguments, "--config", "nowhere.toml")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("meterline: no configuration at nowhere.toml")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["top"], ["top", "--json"], ["rejected", "list", "--json"]], ids=" ".join)
def test_a_database_that_is_down_is_one_line(run: Run, config: Path, arguments: list[str]) -> None:
    ended = run(*arguments, "--config", str(config))
    assert (ended.code, ended.out) == (1, "")
    assert "the database can't be used" in ended.err
    assert "meterline doctor" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["stack", "status"], ["stack", "stop"], ["stack", "destroy", "--yes"]])
def test_a_stack_that_never_was_is_one_line(run: Run, arguments: list[str]) -> None:
    ended = run(*arguments, "--home", "nowhere")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "meterline: no stack was started in nowhere; start one with ./run --keep\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--areas", "0"],
        ["run", "--for", "soon"],
        ["run", "--workers", "65"],
        ["simulate", "--speed", "2"],
        ["simulate", "--seed", "2"],
        ["simulate", "--city", "demonstration", "--days", "0.5"],
        ["simulate", "--city", "demonstration", "--resume"],
        ["simulate", "--city", "demonstration", "--copies", "2"],
        ["simulate", "--city", "demonstration", "--out", "x", "--load"],
        ["rejected", "show", "x"],
        ["rejected", "list", "--limit", "0"],
        ["nothing"],
        ["top", "--nothing"],
    ],
    ids=" ".join,
)
def test_a_wrong_call_ends_with_2_and_says_where_help_is(run: Run, arguments: list[str]) -> None:
    ended = run(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "--help" in ended.err


@pytest.mark.parametrize(
    "changed",
    [{"--by": " "}, {"--reason": ""}, {"--min-inflow": "inf"}, {"--voltage": "99999999999"}, {"--high": "nan"}],
    ids=str,
)
def test_a_threshold_that_cannot_be_recorded_is_refused_before_the_database(
    run: Run, config: Path, changed: dict[str, str]
) -> None:
    options = {"--kind": "area", "--low": "0", "--high": "0.1", "--by": "Li Na", "--reason": "target", **changed}
    given = [word for option in options.items() for word in option]
    ended = run("threshold", "set", *given, "--config", str(config))
    assert (ended.code, ended.out) == (2, "")
    assert next(iter(changed)).removeprefix("--") in ended.err


def test_ports_out_of_range_are_one_line(run: Run, tmp_path: Path) -> None:
    ended = run("run", "--home", str(tmp_path / "home"), "--port-offset", "60000")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "meterline: port mqtt = 78830 is outside 1024…65535; choose another\n"


def test_a_second_run_in_the_same_home_is_refused(run: Run, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with (home / "run.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = run("run", "--home", str(home), "--for", "1", "--json")
    assert (ended.code, ended.out) == (1, "")
    assert f"a run goes on in {home} already" in ended.err
    assert ended.err.count("\n") == 1


def test_config_show_names_files_and_never_their_content(run: Run, config: Path) -> None:
    ended = run("config", "show", "--config", str(config))
    assert (ended.code, ended.err) == (0, "")
    shown = json.loads(ended.out)
    assert shown["database"]["password_file"] == str(config.parent / "app")
    assert shown["kafka"]["bootstrap"] == "127.0.0.1:1"
    assert "secret-of" not in ended.out


def test_schemas_are_written_and_a_folder_that_cannot_be_made_is_one_line(run: Run, tmp_path: Path) -> None:
    ended = run("schemas", str(tmp_path / "made" / "here"))
    assert ended.code == 0
    written = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "made" / "here").iterdir()}
    assert written == all_schemas()
    assert len(ended.out.splitlines()) == len(written)
    (tmp_path / "file").write_text("")
    refused = run("schemas", str(tmp_path / "file" / "below"))
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.count("\n") == 1


def test_doctor_prints_one_document_and_says_in_one_line_that_something_is_missing(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = [
        checks.Check("java", ok=True, detail="version 17"),
        checks.Check("mosquitto", ok=False, detail="not installed", todo="apt-get install mosquitto"),
    ]
    monkeypatch.setattr(checks, "doctor", lambda spec: found)
    ended = run("doctor", "--home", str(tmp_path), "--json")
    assert ended.code == 1
    assert [check["ok"] for check in json.loads(ended.out)] == [True, False]
    assert ended.err == "meterline: something is missing; see above\n"
    read = run("doctor", "--home", str(tmp_path))
    assert "mosquitto" in read.out
    assert "not installed: apt-get install mosquitto" in read.out


def test_a_change_that_is_no_change_is_one_line(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"kind": "nothing"}')))
    ended = run("sync", "apply", "-", "--config", str(config))
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("meterline: the change was not made: ")
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("x"),
        StackError("x"),
        BrokerError("x"),
        PublisherError("x"),
        KafkaTimeoutError("x"),
        psycopg.OperationalError("x\ny"),
        psycopg.OperationalError(""),
        psycopg.errors.IdleInTransactionSessionTimeout("x\ny"),
        psycopg.errors.UndefinedTable("x"),
        psycopg.errors.InsufficientPrivilege("x"),
        PermissionError(13, "Permission denied", "/x"),
        ConnectionRefusedError(111, "Connection refused"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_expected_failures_are_one_line(error: Exception) -> None:
    line = explain(error)
    assert line
    assert "\n" not in line


def test_a_bug_keeps_its_traceback() -> None:
    assert explain(ValueError("x")) is None
    assert explain(psycopg.ProgrammingError("syntax error")) is None


def test_text_from_outside_has_no_control_characters() -> None:
    assert printable("a\x1b[31mb\nc") == "a?[31mb?c"
    assert printable("x" * 300) == "x" * 199 + "…"


def test_json_is_one_line_with_iso_times(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"at": datetime(2026, 11, 22, 4, tzinfo=UTC), "path": Path("/x")})
    assert capsys.readouterr().out == '{"at": "2026-11-22T04:00:00+00:00", "path": "/x"}\n'


def test_names_of_targets_are_not_read_as_markup(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Backlog("a[red]b[/]", 1, 2, datetime(2026, 11, 22, tzinfo=UTC), disabled=False)]
    Console(width=120).print(cli_deliver._table(rows))
    assert "a[red]b[/]" in capsys.readouterr().out


def test_text_that_goes_into_a_file_is_not_cut(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table("code", "name")
    table.add_row("A" * 300, "north yard")
    monkeypatch.delenv("COLUMNS", raising=False)
    text_console().print(table)
    assert "A" * 300 in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "60")
    text_console().print(table)
    assert max(map(len, capsys.readouterr().out.splitlines())) == 60
