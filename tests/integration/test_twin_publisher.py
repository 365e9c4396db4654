"""The twin against a real broker, which is killed and started again meanwhile."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from twin.ledger import read_ledger
from twin.publisher import Summary, simulate
from twin.scenario import demonstration_grid


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[int, Callable[[], None]]]:
    """Port of a broker without accounts, and what kills it and starts it again."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    settings = tmp_path / "mosquitto.conf"
    settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 50\n")

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["mosquitto", "-c", str(settings)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return process
            time.sleep(0.05)
        raise AssertionError("mosquitto doesn't start")

    running = [start()]

    def restart() -> None:
        running[0].kill()
        running[0].wait()
        running[0] = start()

    yield port, restart
    running[0].kill()
    running[0].wait()


def test_a_killed_broker_loses_and_doubles_nothing(tmp_path: Path, broker: tuple[int, Callable[[], None]]) -> None:
    port, restart = broker
    twin = demonstration_grid(areas=30)
    stop = Event()
    killed: list[Thread] = []

    def progress(summary: Summary) -> None:
        if summary.published > 500 and not killed:
            killed.append(Thread(target=restart))
            killed[0].start()
        if summary.published > 2_500:
            stop.set()

    summary = simulate(
        twin,
        host="127.0.0.1",
        port=port,
        credentials={unit.gateway: "any" for unit in twin.units},
        ledger_dir=tmp_path / "ledger",
        stop=stop,
        duration_s=40.0,
        progress=progress,
    )
    killed[0].join()
    ledger = read_ledger(tmp_path / "ledger")
    assert summary.published > 2_500
    assert summary.acked == summary.published == len(ledger.published) == len(ledger.acked)
    assert len(ledger.acknowledged) == summary.acked
    assert summary.readings == summary.readings_acked == ledger.published["readings"].sum()
    assert summary.refused == 0
