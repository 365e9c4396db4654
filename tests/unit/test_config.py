"""Settings come from a file, a local file and the environment; what is wrong is one line that names where it stands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from grid.limits import Limits
from grid.model import UnitKind
from ingest.checks import MAX_BEHIND_US
from meterline.config import load_settings
from meterline.settings.section import ConfigError, read_secret
from meterline.settings.servers import LATE_D

NEEDED = """
[mqtt]
password_file = "/secrets/mqtt"
[database]
password_file = "/secrets/app"
owner_password_file = "/secrets/owner"
board_password_file = "/secrets/board"
"""


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("METERLINE_")]:
        monkeypatch.delenv(name)


def write(folder: Path, more: str = "", name: str = "config.toml") -> Path:
    path = folder / name
    path.write_text(NEEDED + more if name == "config.toml" else more, encoding="utf-8")
    return path


def complaint(path: Path) -> str:
    with pytest.raises(ConfigError) as error:
        load_settings(path)
    line = str(error.value)
    assert "\n" not in line
    return line


def test_defaults_stand_where_the_file_is_silent(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path))
    assert settings.stack is None
    assert settings.kafka.bootstrap == "127.0.0.1:9092"
    assert settings.alerts.super_high_rate == 0.30
    assert settings.log_level == "info"


def test_a_variable_overrides_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, '[kafka]\nbootstrap = "a:1"\npartitions = 3\n')
    monkeypatch.setenv("METERLINE_KAFKA__BOOTSTRAP", "b:2")
    monkeypatch.setenv("METERLINE_SYNC__WEBHOOKS", '[{"name": "m", "url": "https://x.example", "secret_file": "/s"}]')
    settings = load_settings(path)
    assert (settings.kafka.bootstrap, settings.kafka.partitions) == ("b:2", 3)
    assert [target.name for target in settings.sync.webhooks] == ["m"]


def test_variables_of_the_command_line_are_no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METERLINE_CONFIG", "/x")
    monkeypatch.setenv("METERLINE_HOME", "/x")
    assert load_settings(write(tmp_path)).log_level == "info"


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    assert complaint(tmp_path / "config.toml") == (
        f"no configuration at {tmp_path}/config.toml: start the stack (./run --keep) or name one with --config"
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[kafka]\npartitions = 0\n", "kafka.partitions is 0: Input should be greater than or equal to 1"),
        ("[kafka]\npartitons = 4\n", "kafka.partitons is no setting"),
        ("[kafkaa]\npartitions = 4\n", "kafkaa is no setting"),
        ('[[alerts.webhooks]]\nname = "m"\nsecret_file = "/s"\n', "alerts.webhooks.0.url is missing"),
        ('[worker]\nlinger_s = "soon"\n', "worker.linger_s is 'soon': Input should be a valid number"),
    ],
)
def test_a_wrong_value_is_named_with_its_file(tmp_path: Path, more: str, said: str) -> None:
    assert complaint(write(tmp_path, more)).startswith(f"{tmp_path}/config.toml: {said}")
    write(tmp_path)
    write(tmp_path, more, "local.toml")
    assert complaint(tmp_path / "config.toml").startswith(f"{tmp_path}/local.toml: {said}")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("blocks_d = 400", "retention.blocks_d is 400: Value error, at least 401: readings are taken 400 days late"),
        ("balances_d = 401", "retention.balances_d is 401: Value error, results are kept at least as long as readings"),
        ("blocks_d = 1827", "retention.balances_d is 1826: Value error, results are kept at least as long as readings"),
        ("scada_d = 2", "retention.scada_d is 2: Input should be greater than or equal to 3"),
    ],
)
def test_nothing_is_kept_for_less_than_late_data_need(tmp_path: Path, more: str, said: str) -> None:
    assert complaint(write(tmp_path, f"[retention]\n{more}\n")).startswith(f"{tmp_path}/config.toml: {said}")


def test_readings_are_kept_for_longer_than_they_may_be_late(tmp_path: Path) -> None:
    assert LATE_D * 86_400_000_000 == MAX_BEHIND_US
    assert load_settings(write(tmp_path)).retention.blocks_d > LATE_D
    days = load_settings(write(tmp_path, "[retention]\nblocks_d = 401\nbalances_d = 401\nscada_d = 3\n")).retention
    assert (days.blocks_d, days.balances_d, days.scada_d) == (401, 401, 3)


def test_a_wrong_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "[kafka]\npartitions = 4\n")
    monkeypatch.setenv("METERLINE_KAFKA__PARTITIONS", "many")
    assert complaint(path).startswith("METERLINE_KAFKA__PARTITIONS: kafka.partitions is 'many': ")
    monkeypatch.delenv("METERLINE_KAFKA__PARTITIONS")
    monkeypatch.setenv("METERLINE_MQTT", "no json")
    assert complaint(path).startswith("the environment's METERLINE_… can't be used: ")


def test_a_section_that_is_needed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[mqtt]\n", encoding="utf-8")
    assert complaint(path) == f"{path}: mqtt.password_file is missing"


def test_what_is_not_toml_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    local = write(tmp_path, "threshold = [", "local.toml")
    assert complaint(tmp_path / "config.toml").startswith(f"{local} is not TOML: ")
    local.write_bytes(b"\xff")
    assert complaint(tmp_path / "config.toml").startswith(f"{local} is not TOML: ")


def test_a_secret_is_read_without_the_line_s_end(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(" geheim \r\n", encoding="utf-8")
    assert read_secret(file) == " geheim "


def test_a_missing_secret_is_one_line_with_its_file(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path))
    with pytest.raises(ConfigError, match=r"^can't read the secret /secrets/owner: No such file or directory$"):
        settings.database.conninfo("owner")


def test_what_is_above_waits_longer_and_elements_stand_between_lines_and_regions(tmp_path: Path) -> None:
    assert {k: load_settings(write(tmp_path)).settling.limits().of(k) for k in UnitKind} == {
        k: Limits().of(k) for k in UnitKind
    }
    longer = "[settling.line]\nprovisional_s = 400\nfinal_s = 90000\n"
    limit = load_settings(write(tmp_path, longer)).settling.limits().of(UnitKind.ELEMENT)
    assert (limit.provisional_s, limit.final_s) == (410, 91_800)
