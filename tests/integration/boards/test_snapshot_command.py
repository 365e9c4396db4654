"""`meterline boards snapshot` against the real database: the files that it says, and whose boards it draws."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread
from typer.testing import CliRunner, Result

from meterline.cli import app

Command = Callable[..., Result]
pytestmark = pytest.mark.usefixtures("measured")


@pytest.fixture
def command(config_path: Path, database: Any, tmp_path: Path) -> Command:
    """The command with the stack's settings, for the test's own database."""
    text = config_path.read_text(encoding="utf-8")
    own = tmp_path / "config.toml"
    own.write_text(text.replace('name = "meterline"', f'name = "{database.section.name}"'), encoding="utf-8")

    def run(*arguments: str) -> Result:
        out = ["--out", str(tmp_path / "report"), "--config", str(own)]
        return CliRunner().invoke(app, ["boards", "snapshot", *arguments, *out])

    return run


def test_a_board_is_drawn_to_the_file_that_is_named(command: Command, tmp_path: Path) -> None:
    done = command("control-room", "--language", "zh", "--var", "region=R")
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [str(tmp_path / "report" / "control-room.png")]
    picture = imread(tmp_path / "report" / "control-room.png")
    assert picture.shape[1] == 1920
    assert picture.std() > 0.05


def test_panels_are_drawn_by_themselves(command: Command, tmp_path: Path) -> None:
    arguments = ("--panel", "feeder_now", "--panel", "feeder_areas", "--var", "feeder=F2", "--json", "--dark")
    files = json.loads(command("feeder", *arguments).stdout)["files"]
    assert files == [str(tmp_path / f"report/feeder-{key}.png") for key in ("feeder_now", "feeder_areas")]
    assert all(imread(file).std() > 0.01 for file in files)


def test_boards_of_revenue_protection_are_drawn_where_they_are_asked_for(command: Command, tmp_path: Path) -> None:
    refused = command("usage")
    assert refused.exit_code == 2
    assert "control-room" in refused.stderr
    assert not (tmp_path / "report").exists()
    done = command("usage", "--revenue", "--panel", "area_meters", "--var", "area=A1")
    assert done.exit_code == 0, done.output
    assert imread(tmp_path / "report" / "usage-area_meters.png").std() > 0.01
