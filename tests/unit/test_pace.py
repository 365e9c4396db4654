"""Who may look later waits on a busy machine, and for nobody on an idle one."""

import os
import threading
import time
from pathlib import Path

import pytest

from meterline import pace

_TOLD = """some avg10={} avg60=1.00 avg300=99.00 total=40592843021
full avg10=99.00 avg60=99.00 avg300=99.00 total=0
"""


@pytest.mark.parametrize(("share", "busy"), [("93.07", True), ("12.50", False), ("0.00", False), ("100.00", True)])
def test_a_machine_is_busy_where_somebody_waits_for_a_core_most_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: str, *, busy: bool
) -> None:
    told = tmp_path / "cpu"
    told.write_text(_TOLD.format(share))
    # The last minute says the opposite.
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0 if busy else 1e6, 0.0, 0.0))
    assert pace.is_busy(told) is busy


@pytest.mark.parametrize("text", [None, "", "nothing of the kind"])
@pytest.mark.parametrize(("load", "busy"), [(64.5, True), (64.0, False)])
def test_where_the_kernel_does_not_tell_the_load_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, load: float, *, busy: bool
) -> None:
    told = tmp_path / "cpu"
    if text is not None:
        told.write_text(text)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert pace.is_busy(told) is busy


@pytest.mark.parametrize("busy", [True, False])
def test_only_on_a_busy_machine_work_is_followed_by_a_rest(monkeypatch: pytest.MonkeyPatch, *, busy: bool) -> None:
    monkeypatch.setattr(pace, "is_busy", lambda: busy)
    started_s = time.monotonic()
    pace.rest(0.02, threading.Event())
    assert (time.monotonic() - started_s >= 0.7) is busy


def test_who_is_asked_to_stop_does_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "is_busy", lambda: True)
    stop = threading.Event()
    stop.set()
    started_s = time.monotonic()
    pace.rest(60.0, stop)
    assert time.monotonic() - started_s < 5
