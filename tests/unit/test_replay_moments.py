"""When things happen in a replay beside its records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from alerts.routing import Routing
from alerts.rules import AlertPolicy
from alerts.service import AlertSettings
from meterline.replay_moments import ALERTS_EVERY_US, ChangesFileError, Moments, TimedChange, read_changes
from meterline.replaying import _microseconds
from streams.join import Record
from streams.replay import Received
from sync.change import read_change

CHANGE = read_change(b'{"kind": "unit_name", "unit": "A1", "name": "x", "valid_from": "2026-06-01T00:00:00Z"}')


class Watched(Moments):
    """Notes in which order things happen, and does none of them."""

    def __init__(self, changes: Sequence[int], *, alerts: bool = False) -> None:
        self.happened: list[tuple[str, Any]] = []
        timed = [TimedChange(at_us, "", CHANGE) for at_us in changes]
        judged_by = AlertSettings(AlertPolicy(), lambda _: Routing()) if alerts else None
        super().__init__(self, None, timed, judged_by)  # type: ignore[arg-type]
        self._settled = False

    def take(self, records: Sequence[Received]) -> None:
        if self._settled:
            self.happened.append(("records", [r.received_at_us for r in records]))
            return
        self._settled = True
        super().take(records)
        self._settled = False

    def _change(self, timed: TimedChange) -> None:
        self._done += 1
        self.happened.append(("change", timed.at_us))

    def _look(self, at_us: int) -> None:
        self.happened.append(("look", at_us))


def received(*times: int) -> list[Received]:
    return [Received(at_us, "A1", Record("", b"")) for at_us in times]


def test_a_change_comes_before_what_is_received_from_its_instant_on() -> None:
    moments = Watched([5, 20, 20, 30, 99])
    moments.take(received(10, 19, 20, 21))
    moments.take(received(25, 30))
    moments.finish(50)
    assert moments.happened == [
        ("change", 5), ("records", [10, 19]), ("change", 20), ("change", 20), ("records", [20, 21]),
        ("records", [25]), ("change", 30), ("records", [30]),
    ]  # fmt: skip
    moments.finish(100)
    assert moments.happened[-1] == ("change", 99)


def test_alerts_are_looked_for_each_quarter_hour_after_the_changes_of_that_instant() -> None:
    q = ALERTS_EVERY_US
    moments = Watched([2 * q], alerts=True)
    moments.take(received(q // 2, q, 3 * q + 5))
    moments.finish(9 * q)
    assert moments.happened == [
        ("records", [q // 2]), ("look", q), ("records", [q]), ("change", 2 * q), ("look", 2 * q), ("look", 3 * q),
        ("records", [3 * q + 5]), ("look", 4 * q),
    ]  # fmt: skip


def test_changes_are_read_by_their_instant(tmp_path: Path) -> None:
    file = tmp_path / "changes.jsonl"
    lines = [
        b'{"kind": "unit_name", "unit": "A1", "name": "later", "valid_from": "2026-06-01T00:00:01Z"}',
        b"",
        b'{"kind": "unit_name", "unit": "A1", "name": "first", "valid_from": "2026-06-01T00:00:00Z"}',
    ]
    file.write_bytes(b"\n".join(lines))
    changes = read_changes(file, _microseconds)
    assert [(c.at_us, c.origin) for c in changes] == [
        (1_780_272_000_000_000, f"{file} line 3"),
        (1_780_272_001_000_000, f"{file} line 1"),
    ]
    # One that was reported later, or known before.
    file.write_bytes(lines[0].replace(b"}", b', "reported_at": "2026-06-02T02:00:00.000007+02:00"}'))
    assert [c.at_us for c in read_changes(file, _microseconds)] == [1_780_358_400_000_007]
    without_zone = lines[0].replace(b"}", b', "reported_at": "2026-06-02T02:00:00"}')
    for bad, text in (
        (without_zone, "line 1: .*reported_at"),
        (b"[]", "line 1: "),
        (b'{"kind": "no"}', "line 1: "),
        (b"\xff", "line 1: "),
    ):
        file.write_bytes(bad)
        with pytest.raises(ChangesFileError, match=text):
            read_changes(file, _microseconds)
    with pytest.raises(ChangesFileError, match="can't read"):
        read_changes(tmp_path / "none", _microseconds)
