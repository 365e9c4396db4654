from __future__ import annotations

from pathlib import Path

import pytest

from meterline.config import load_settings

FILE = """
[mqtt]
password_file = "/secrets/mqtt"
port = 18830
[database]
password_file = "/secrets/app"
owner_password_file = "/secrets/owner"
board_password_file = "/secrets/board"
"""


def test_a_local_file_overrides_single_settings_and_a_variable_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config.toml"
    file.write_text(FILE)
    assert load_settings(file).alerts.webhooks == ()
    (tmp_path / "local.toml").write_text(
        "[alerts]\nsuper_high_rate = 0.2\n"
        '[[alerts.webhooks]]\nname = "m"\nurl = "https://x.example"\nsecret_file = "/s"\n'
    )
    monkeypatch.setenv("METERLINE_ALERTS__SUPER_HIGH_RATE", "0.3")
    settings = load_settings(file)
    assert [target.name for target in settings.alerts.webhooks] == ["m"]
    assert settings.alerts.super_high_rate == 0.3
    assert settings.mqtt.port == 18830
