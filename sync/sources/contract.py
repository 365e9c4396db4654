"""What every source adapter gives: records with their place in the source, and what it refuses.

An adapter is a folder: it opens a file, a table or a topic and yields `RawRecord`s in the order of the source, one at a
time, so that a source of any length is taken in bounded memory. What can't be read is a `Refusal` with line and column:
the taker decides whether one of them refuses the whole (the default) or is listed while the others are taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Of a file.
MAX_BYTES = 1 << 30
#: Of one record, as text.
MAX_RECORD = 1 << 20
#: Of a key.
MAX_KEY = 200
#: Columns or properties of a record.
MAX_FIELDS = 500
#: From here on not every whole number is a number of its own.
_WHOLE = 2.0**53
#: What is kept of a refused original.
KEPT = 1_000

Body = dict[str, Any]


class SourceError(RuntimeError):
    """A source that can't be taken at all; the message says where and why."""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record as received.

    Attributes
    ----------
    body
        By field; None where the source says nothing.
    removed
        The source says that the record is gone; `body` is what it was, or empty.
    at_us
        When the source changed it, microseconds since 1970 UTC; None where it doesn't say.
    """

    dataset: str
    key: str
    body: Body
    line: int
    removed: bool = False
    at_us: int | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that can't be taken: line (from 1), column (from 1, None where the whole line is meant), why."""

    line: int
    column: int | None
    reason: str
    original: str

    def __str__(self) -> str:
        place = f"line {self.line}" if self.column is None else f"line {self.line}, column {self.column}"
        return f"{place}: {self.reason}"


Taken = Iterator[RawRecord | Refusal]


def number_text(value: float) -> str:
    """A number as CSV would have it: whole ones to the last digit, since they may be keys."""
    return str(int(value)) if value.is_integer() and abs(value) < _WHOLE else f"{value:.10g}"


def not_utf8(path: Path) -> str:
    """Where a file's first byte stands that is no UTF-8, for a message: line and column from 1."""
    with path.open("rb") as file:
        line = 0
        # A broken file can be one line: no more of it is held than of a record.
        while piece := file.readline(MAX_RECORD):
            line += 1
            try:
                piece.decode()
            except UnicodeDecodeError as error:
                if error.reason != "unexpected end of data" or len(piece) < MAX_RECORD:
                    return f"line {line}, column {len(piece[: error.start].decode()) + 1}: not UTF-8"
    return "not UTF-8"


def checked_key(value: object, line: int, column: int | None, original: str) -> str | Refusal:
    """The value as a key, or why it is none."""
    key = "" if value is None else str(value).strip()
    if not key:
        return Refusal(line, column, "the key is empty", original[:KEPT])
    if len(key) > MAX_KEY:
        return Refusal(line, column, f"the key has more than {MAX_KEY} characters", original[:KEPT])
    if not key.isprintable():
        return Refusal(line, column, "the key has control characters", original[:KEPT])
    return key
