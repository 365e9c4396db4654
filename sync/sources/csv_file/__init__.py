"""CSV files: UTF-8 with a header, the first column is the key unless another is named."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from sync.sources.contract import (
    KEPT,
    MAX_BYTES,
    MAX_FIELDS,
    MAX_RECORD,
    RawRecord,
    Refusal,
    SourceError,
    Taken,
    checked_key,
    not_utf8,
)


def read_csv(path: Path, dataset: str, key: str | None = None, delimiter: str = ",") -> Taken:
    """Records of a file, one at a time.

    Parameters
    ----------
    key
        Name of the key's column; None = the first.

    Raises
    ------
    SourceError
        No header, an unusable one, not UTF-8, or a file larger than is taken: nothing of it can be used.
    """
    if (size := path.stat().st_size) > MAX_BYTES:
        raise SourceError(f"{path}: {size} bytes, of at most {MAX_BYTES}")
    csv.field_size_limit(MAX_RECORD)
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            yield from _records(file, path, dataset, key, delimiter)
        except UnicodeDecodeError:
            raise SourceError(f"{path}: {not_utf8(path)}") from None


def _records(file: TextIO, path: Path, dataset: str, key: str | None, delimiter: str) -> Taken:
    lines = _Lines(file)
    reader: Any = csv.reader(lines, strict=True, delimiter=delimiter)
    try:
        header: list[str] = next(reader, [])
    except csv.Error as error:
        raise SourceError(f"{path}: line 1: {error}") from None
    at = _key_column(path, header, key)
    while True:
        begin = reader.line_num + 1
        lines.text.clear()
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Refusal(begin, None, f"not CSV: {error}", "".join(lines.text)[:KEPT])
            # What the reader holds of a broken line is gone; it goes on with the next.
            reader = _Resumed(lines, delimiter, reader.line_num)
            continue
        if not row:
            continue
        if len(row) != len(header):
            column = min(len(row), len(header)) + 1
            reason = f"{len(row)} fields, and the header has {len(header)}"
            yield Refusal(begin, column, reason, "".join(lines.text)[:KEPT])
            continue
        bad = next((i for i, value in enumerate(row) if "\x00" in value), None)
        if bad is not None:
            yield Refusal(begin, bad + 1, "a NUL character", "".join(lines.text)[:KEPT])
            continue
        found = checked_key(row[at], begin, at + 1, "".join(lines.text))
        if isinstance(found, Refusal):
            yield found
            continue
        yield RawRecord(dataset, found, {n: v or None for n, v in zip(header, row, strict=True)}, begin)


class _Lines:
    """The lines of a file, and those that the record at hand is made of."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self.text: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_RECORD)
        if not line:
            raise StopIteration
        self.text.append(line)
        if len(self.text) > 1 and sum(map(len, self.text)) > MAX_RECORD:
            raise csv.Error(f"a record of more than {MAX_RECORD} characters")
        return line


class _Resumed:
    """A reader that goes on after a broken line, and counts lines from where the former one stopped."""

    def __init__(self, lines: _Lines, delimiter: str, before: int) -> None:
        self._reader = csv.reader(lines, strict=True, delimiter=delimiter)
        self._before = before

    @property
    def line_num(self) -> int:
        return self._before + self._reader.line_num

    def __next__(self) -> list[str]:
        return next(self._reader)


def _key_column(path: Path, header: list[str], key: str | None) -> int:
    if not header or not any(header):
        raise SourceError(f"{path}: line 1: no header")
    if len(header) > MAX_FIELDS:
        raise SourceError(f"{path}: line 1: {len(header)} columns, of at most {MAX_FIELDS}")
    for column, name in enumerate(header):
        if not name or not name.isprintable() or name in header[:column]:
            raise SourceError(f"{path}: line 1, column {column + 1}: {name!r} can't name a column, or does so twice")
    if key is None:
        return 0
    if key not in header:
        raise SourceError(f"{path}: line 1: no column is named {key}")
    return header.index(key)
