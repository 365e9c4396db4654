"""What happens in a replay beside its records, at the replayed time: changes of the grid model, looks for alerts."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from alerts.evaluate import evaluate
from alerts.routing import Routing
from alerts.service import AlertSettings
from store.blocks import to_datetime
from store.connection import Connection
from store.outbox import last_change, resettles_since
from store.replaying import read_hierarchy
from streams.replay import Received, Replay
from sync.change import ChangeError, apply_change, read_change
from sync.messages import Change

#: Alerts are looked for so often, of the replayed time: once a quarter-hour, since results don't come oftener.
ALERTS_EVERY_US = 900 * 1_000_000
_MAX_BYTES = 256 << 20


class ChangesFileError(RuntimeError):
    """Changes can't be read, or one of them can't be made; the message says which and why."""


@dataclass(frozen=True, slots=True)
class TimedChange:
    """A change of the grid model, and when it is reported."""

    at_us: int
    origin: str
    change: Change


def read_changes(path: Path, microseconds: Callable[[datetime], int]) -> list[TimedChange]:
    """Changes from a file with a request of `meterline sync apply` in each line, by the instant of their report.

    That is `reported_at`, which a line may have beside the request's own fields; else it is from when on the change
    holds.

    Raises
    ------
    ChangesFileError
        With the line and what is wrong there.
    """
    changes = []
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ChangesFileError(f"{path} is larger than {_MAX_BYTES >> 20} MiB")
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ChangesFileError(f"can't read {path}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        origin = f"{path} line {number}"
        try:
            reported_at, request = _apart(line)
            change = read_change(request)
        except (ChangeError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ChangesFileError(f"{origin}: {error}") from None
        if change.valid_from is None:
            raise ChangesFileError(f"{origin}: it doesn't say from when on it holds (valid_from)")
        changes.append(TimedChange(microseconds(reported_at or change.valid_from), origin, change))
    return sorted(changes, key=lambda change: change.at_us)


class _Report(msgspec.Struct):
    reported_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


def _apart(line: bytes) -> tuple[datetime | None, bytes]:
    """When a change was reported, and the request by itself."""
    reported_at = msgspec.json.decode(line, type=_Report).reported_at
    if reported_at is None:
        return None, line
    request = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    del request["reported_at"]
    return reported_at, msgspec.json.encode(request)


class Moments:
    """Takes records with what happens between them.

    Attributes
    ----------
    changed
        Changes that were made; those that the model said already aren't among them.
    alerts
        Alerts that were opened.

    Parameters
    ----------
    run
        Settles the records.
    connection
        In autocommit, of a role that may change the grid model.
    changes
        By their instant.
    judged_by
        What alerts are looked for by; nobody is told of them. None = none are looked for.
    """

    def __init__(
        self,
        run: Replay,
        connection: Connection,
        changes: Sequence[TimedChange] = (),
        judged_by: AlertSettings | None = None,
    ) -> None:
        self._run, self._connection, self._judged_by = run, connection, judged_by
        self._changes = list(changes)
        self._done = 0
        self._next_look_us: int | None = None
        self.changed = 0
        self.alerts = 0

    def take(self, records: Sequence[Received]) -> None:
        """Settle records in order of receipt, and let happen what lies before each.

        Raises
        ------
        ChangesFileError
            When a change can't be made.
        """
        times = [record.received_at_us for record in records]
        if self._judged_by is not None and self._next_look_us is None and times:
            self._next_look_us = (times[0] // ALERTS_EVERY_US + 1) * ALERTS_EVERY_US
        first = 0
        while first < len(records):
            moment_us = self._next_us()
            last = len(records) if moment_us is None else bisect.bisect_left(times, moment_us, first)
            if last > first:
                self._run.take(records[first:last])
            if moment_us is not None and last < len(records):
                self._happen(moment_us)
            first = last

    def finish(self, until_us: int) -> None:
        """Let happen what is left before `until_us`; alerts are looked for once more, as of the last look."""
        while self._done < len(self._changes) and self._changes[self._done].at_us < until_us:
            self._change(self._changes[self._done])
        if self._next_look_us is not None:
            self._look(self._next_look_us)

    def _next_us(self) -> int | None:
        change_us = self._changes[self._done].at_us if self._done < len(self._changes) else None
        moments = [at_us for at_us in (change_us, self._next_look_us) if at_us is not None]
        return min(moments, default=None)

    def _happen(self, moment_us: int) -> None:
        """What is due at a moment: changes first."""
        while self._done < len(self._changes) and self._changes[self._done].at_us <= moment_us:
            self._change(self._changes[self._done])
        if self._next_look_us is not None and self._next_look_us <= moment_us:
            self._look(self._next_look_us)
            self._next_look_us += ALERTS_EVERY_US

    def _change(self, timed: TimedChange) -> None:
        self._done += 1
        before = last_change(self._connection)
        try:
            applied = apply_change(self._connection, timed.change)
        except ChangeError as error:
            raise ChangesFileError(f"{timed.origin}: the change was not made: {error}") from None
        if applied.outbox_id is None:
            return
        self.changed += 1
        self._run.regard(read_hierarchy(self._connection))
        # Recorded when it was reported, by the clock of the replay, as everything else in it is.
        for order in resettles_since(self._connection, before, timed.at_us):
            self._run.settle_again(order)

    def _look(self, at_us: int) -> None:
        by = self._judged_by
        if by is not None:
            events = evaluate(
                self._connection, by.policy, Routing(), to_datetime(at_us), rules=by.rules, defaults=by.thresholds
            )
            self.alerts += sum(event.event == "opened" for event in events)
