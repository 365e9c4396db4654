"""The ledger of a run: what was published and what the broker acknowledged, in files that survive a kill.

Two append-only files of fixed-size records lie beside the list of units:

``units.json``
    Unit codes; a record's `unit` is a position in it.
``published.bin``
    One record a message, written before it is handed to the client; its position is the message's number.
``acked.bin``
    One record an acknowledgement, by the message's number.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

PUBLISHED = np.dtype(
    [
        ("unit", "<i4"),
        ("interval_s", "<i4"),
        ("observed_at_us", "<i8"),
        ("published_at_us", "<i8"),
        ("readings", "<i4"),
        ("pad", "<i4"),
        ("import_wh", "<i8"),
        ("export_wh", "<i8"),
    ]
)
ACKED = np.dtype([("message", "<i8"), ("acked_at_us", "<i8")])

_FLUSH_S = 0.1


class LedgerError(ValueError):
    """The folder can't take this run's ledger."""


class LedgerWriter:
    """Appends to a ledger; a later run on the same folder continues its numbers.

    Raises
    ------
    LedgerError
        When the folder holds the ledger of other units.
    """

    def __init__(self, folder: Path, units: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        names = folder / "units.json"
        if not names.exists():
            # Whole or not at all: others read the ledger while it is written.
            part = names.with_suffix(".part")
            part.write_text(json.dumps(list(units)), encoding="utf-8")
            part.replace(names)
        elif json.loads(names.read_text(encoding="utf-8")) != list(units):
            raise LedgerError(f"{folder} holds the ledger of other units: name another folder")
        self._published = _open(folder / "published.bin", PUBLISHED)
        self._acked = _open(folder / "acked.bin", ACKED)
        self._next = self._published.tell() // PUBLISHED.itemsize
        self._flushed = time.monotonic()

    def published(
        self,
        unit: int,
        interval_s: int,
        observed_at_us: int,
        published_at_us: int,
        readings: int,
        import_wh: int,
        export_wh: int,
    ) -> int:
        """Note a message that is about to be sent and return its number."""
        row = (unit, interval_s, observed_at_us, published_at_us, readings, 0, import_wh, export_wh)
        self._published.write(np.array(row, dtype=PUBLISHED).tobytes())
        self._next += 1
        return self._next - 1

    def acked(self, message: int, acked_at_us: int) -> None:
        """Note that the broker has taken a message."""
        self._acked.write(np.array((message, acked_at_us), dtype=ACKED).tobytes())

    def flush(self, *, force: bool = False) -> None:
        """Hand what was noted to the operating system, when the last time was 100 ms ago or `force` is set."""
        if force or time.monotonic() - self._flushed >= _FLUSH_S:
            # Messages first: an acknowledgement never names a message that is not there.
            self._published.flush()
            self._acked.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        """Flush and close the files."""
        self.flush(force=True)
        self._published.close()
        self._acked.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Ledger:
    """A ledger as it lies on disk. An incomplete last record is left out."""

    units: tuple[str, ...]
    published: NDArray[np.void]
    """Of dtype `PUBLISHED`."""
    acked: NDArray[np.void]
    """Of dtype `ACKED`."""

    @property
    def acknowledged(self) -> NDArray[np.void]:
        """The records of the messages that the broker has taken, in the order they were published."""
        rows: NDArray[np.void] = self.published[np.unique(self.acked["message"])]
        return rows


def read_ledger(folder: Path) -> Ledger:
    """Read a ledger, also while it is being written.

    Raises
    ------
    FileNotFoundError
        When there is none.
    """
    units = tuple(json.loads((folder / "units.json").read_text(encoding="utf-8")))
    acked = _read(folder / "acked.bin", ACKED)  # before what was published: see LedgerWriter.flush
    return Ledger(units, _read(folder / "published.bin", PUBLISHED), acked)


def _open(path: Path, dtype: np.dtype[np.void]) -> BinaryIO:
    file = path.open("ab")
    # A run that was killed may have left half a record.
    file.truncate(file.tell() - file.tell() % dtype.itemsize)
    file.seek(0, 2)
    return file


def _read(path: Path, dtype: np.dtype[np.void]) -> NDArray[np.void]:
    data = path.read_bytes()
    return np.frombuffer(data, dtype=dtype, count=len(data) // dtype.itemsize)
