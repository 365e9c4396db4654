"""Who may look later waits on a busy machine, and for nobody on an idle one."""

import os
import threading
import time

import pytest

from meterline.pace import rest


@pytest.mark.parametrize(("load", "rests"), [(3.5 * 64, True), (0.0, False)])
def test_only_on_a_busy_machine_work_is_followed_by_a_rest(
    monkeypatch: pytest.MonkeyPatch, load: float, *, rests: bool
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    started_s = time.monotonic()
    rest(0.02, threading.Event())
    assert (time.monotonic() - started_s >= 0.18) is rests


def test_who_is_asked_to_stop_does_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1e6, 0.0, 0.0))
    stop = threading.Event()
    stop.set()
    started_s = time.monotonic()
    rest(60.0, stop)
    assert time.monotonic() - started_s < 5
