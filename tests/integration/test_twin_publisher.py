"""The twin against a real broker, which is killed and started again meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

from twin.ledger import read_ledger
from twin.publisher import simulate
from twin.scenario import demonstration_grid
from twin.sending import Summary


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
