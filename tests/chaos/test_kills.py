"""Every part killed with -9 while telemetry streams, held against the ledger of acknowledged readings."""

from __future__ import annotations

import os
import signal
import time

import pytest

from deploy.stack import StackSpec, pid_of
from tests.demonstration import finish, start, until_streaming


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "victims",
    [("worker", "bridge", "worker", "bridge"), ("kafka", "postgres")],
    ids=["our programs", "the servers"],
)
def test_a_kill_loses_and_doubles_nothing(spec: StackSpec, victims: tuple[str, ...]) -> None:
    process = start(spec, "--for", "40", "--json", "--areas", "40", "--rate", "300")
    until_streaming(spec, process)
    for name in victims:
        time.sleep(3)
        deadline = time.monotonic() + 20
        while (pid := pid_of(spec, name)) is None:
            assert time.monotonic() < deadline, f"{name} wasn't started again"
            time.sleep(0.2)
        os.kill(pid, signal.SIGKILL)
    report = finish(process, 240)
    assert report["ok"] is True
    assert report["messages_missing"] == report["messages_doubled"] == 0
    assert report["readings_stored"] == report["readings_acknowledged"] > 100_000
    assert report["areas_settled"] == report["areas"] == 40
    assert report["feeders_settled"] == report["feeders"] > 0
