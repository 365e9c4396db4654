"""The main job as a user starts it, on servers of its own: whole, killed in the middle, and ended by Ctrl-C."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.boards.control_room import CONTROL_ROOM
from deploy.boards.macros import expand
from deploy.stack import StackSpec
from meterline.config import load_settings
from tests.demonstration import finish, left_behind, start, until_streaming
from tests.webhook_receiver import SECRET, receive

FULL_S = 100


def board_rows(spec: StackSpec) -> dict[str, list[tuple[Any, ...]]]:
    """What the default board's panels show now, by title, asked as the board's role."""
    now = datetime.now(UTC)
    with psycopg.connect(load_settings(spec.config_path).database.conninfo("board"), autocommit=True) as connection:
        return {
            place.panel.title: connection.execute(
                expand(
                    place.panel.sql,
                    now - timedelta(hours=24),
                    now,
                    timedelta(minutes=5),
                    {"region": "*", "substation": "*"},
                ).encode()
            ).fetchall()
            for place in CONTROL_ROOM.places
        }


def watch_board(spec: StackSpec, process: subprocess.Popen[str]) -> None:
    """The default board shows values within a minute of the start, and they move."""
    started = time.monotonic()
    until_streaming(spec, process)
    first: dict[str, list[tuple[Any, ...]]] = {}
    while not first.get("Loss now by feeder"):
        assert time.monotonic() - started < 60
        time.sleep(0.5)
        first = board_rows(spec)
    while all(board_rows(spec)[title] == rows for title, rows in first.items() if rows):
        assert time.monotonic() - started < 60
        time.sleep(0.5)


@pytest.mark.timeout(420)
def test_the_whole_grid_arrives_once_and_is_settled(spec: StackSpec, tmp_path: Path) -> None:
    secret = tmp_path / "webhook.secret"
    secret.write_text(base64.b64encode(SECRET).decode())
    with receive() as receiver:
        (spec.home / "local.toml").write_text(
            f'[[alerts.webhooks]]\nname = "marketing"\nurl = "{receiver.url}"\n'
            f'secret_file = "{secret}"\nallow_private = true\n'
        )
        process = start(spec, "--for", str(FULL_S), "--json")
        watch_board(spec, process)
        report = finish(process, FULL_S + 240)
    # The hidden consumer of the demonstration is found, and marketing is told once.
    assert [body["data"]["unit"] for body in receiver.bodies if body["type"] == "alert.opened"] == ["LV1.101"]
    assert set(receiver.accepted.values()) == {1}
    assert receiver.forged == 0
    assert report["ok"] is True
    assert report["customers"] == 32_511
    assert report["areas"] == report["areas_settled"] == 412
    assert report["feeders"] == report["feeders_settled"] == 36
    assert report["readings_stored"] == report["readings_acknowledged"] > 2_000_000
    assert report["messages_missing"] == report["messages_doubled"] == 0
    assert report["rejected"] == 0
    # The goal of 5 s is measured by the run itself; here it only must not be wildly off on a machine that is shared,
    # whose workers begin while a day is sent: 19 s were seen once, 2 to 8 s otherwise.
    assert report["delay_p99_s"] < 30
    assert left_behind(spec) == []


@pytest.mark.timeout(180)
def test_ctrl_c_stops_every_process(spec: StackSpec) -> None:
    process = start(spec, "--areas", "2")
    until_streaming(spec, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-3000:]
    assert "Traceback" not in err
    assert left_behind(spec) == []


@pytest.mark.timeout(180)
def test_a_busy_port_is_one_clear_line(spec: StackSpec) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(spec.ports.postgres)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as other:
        try:
            time.sleep(1)
            process = start(spec, "--for", "5", "--json")
            out, err = process.communicate(timeout=120)
        finally:
            other.kill()
    assert process.returncode == 1
    assert out == ""
    assert str(spec.ports.postgres) in err.splitlines()[-1]
    assert "Traceback" not in err
