"""Puts records into the order in which they were received, in bounded memory."""

from __future__ import annotations

import heapq
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from streams.join import Record
from streams.replay import Received

#: Records, and their bytes, that a window holds: those of a bridge come a little out of order, and no further.
WINDOW = 10_000
_WINDOW_BYTES = 64 << 20
#: Bytes that are sorted at once, and runs that are merged at once.
_RUN_BYTES = 128 << 20
_FAN_IN = 64

_HEAD = struct.Struct("<qIHHI")


class OutOfOrderError(ValueError):
    """A record was received before one that has been given out already."""

    def __init__(self, received_at_us: int, before_us: int) -> None:
        super().__init__(
            f"input is {(before_us - received_at_us) / 1e6:.3f} s out of order of receipt, "
            f"further than a window of {WINDOW} messages: use --sort"
        )


def in_window(records: Iterable[Received], window: int = WINDOW) -> Iterator[Received]:
    """Records in order of receipt, as far as a window mends it; those received together stay in their order.

    Raises
    ------
    OutOfOrderError
        When it takes more than the window.
    """
    held: list[tuple[int, int, Received]] = []
    size = last_us = 0
    for number, record in enumerate(records):
        heapq.heappush(held, (record.received_at_us, number, record))
        size += _weight(record)
        while len(held) > window or size > _WINDOW_BYTES:
            received_at_us, _, first = heapq.heappop(held)
            size -= _weight(first)
            if received_at_us < last_us:
                raise OutOfOrderError(received_at_us, last_us)
            last_us = received_at_us
            yield first
    while held:
        received_at_us, _, first = heapq.heappop(held)
        if received_at_us < last_us:
            raise OutOfOrderError(received_at_us, last_us)
        last_us = received_at_us
        yield first


def sorted_by_receipt(records: Iterable[Received], run_bytes: int = _RUN_BYTES) -> Iterator[Received]:
    """All records in order of receipt, sorted through temporary files; those received together stay in their order."""
    with tempfile.TemporaryDirectory(prefix="meterline-replay-") as folder:
        runs = _Runs(Path(folder))
        held: list[Received] = []
        size = 0
        for record in records:
            held.append(record)
            size += _weight(record)
            if size > run_bytes:
                runs.add(_in_order(held))
                held, size = [], 0
        last = _in_order(held)
        yield from runs.merged(last)


class _Runs:
    """Sorted files, the earlier first among records that were received together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._paths: list[Path] = []

    def add(self, records: Iterable[Received]) -> None:
        self._paths.append(self._written(records))
        if len(self._paths) >= _FAN_IN:
            paths = self._paths
            self._paths = [self._written(_merge(paths, []))]
            for path in paths:
                path.unlink()

    def merged(self, last: Iterable[Received]) -> Iterator[Received]:
        return _merge(self._paths, last)

    def _written(self, records: Iterable[Received]) -> Path:
        path = self._folder / f"run-{self._count}"
        self._count += 1
        with path.open("wb") as file:
            for r in records:
                unit, topic = r.unit.encode(), r.record.topic.encode()
                file.write(_HEAD.pack(r.received_at_us, r.readings, len(unit), len(topic), len(r.record.value)))
                file.write(unit + topic + r.record.value)
        return path


def _merge(paths: Iterable[Path], last: Iterable[Received]) -> Iterator[Received]:
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in paths]
        # heapq.merge is stable: of equal ones, those of the earlier run come first.
        yield from heapq.merge(*map(_read, files), last, key=_receipt)


def _read(file: BinaryIO) -> Iterator[Received]:
    while head := file.read(_HEAD.size):
        received_at_us, readings, unit, topic, value = _HEAD.unpack(head)
        code, name = file.read(unit).decode(), file.read(topic).decode()
        yield Received(received_at_us, code, Record(name, file.read(value)), readings)


def _in_order(records: list[Received]) -> list[Received]:
    return sorted(records, key=_receipt)


def _receipt(record: Received) -> int:
    return record.received_at_us


def _weight(record: Received) -> int:
    # A record is some hundred bytes beside its value.
    return len(record.record.value) + 300
