"""Excel workbooks (.xlsx): each sheet is a dataset with a header in its first row, its first column is the key."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

from openpyxl import load_workbook

from sync.sources.contract import KEPT, MAX_FIELDS, RawRecord, Refusal, SourceError, Taken, checked_key, number_text

_MAX_BYTES = 128 << 20
#: Of what a workbook unpacks to: a small archive can hold a huge one.
_MAX_UNPACKED = 2 << 30


def read_excel(path: Path, dataset: str | None = None) -> Taken:
    """Records of all sheets, row by row.

    Parameters
    ----------
    dataset
        Name of the dataset of the only sheet; None = each sheet's own name.

    Raises
    ------
    SourceError
        Not a workbook, too large, or a sheet without a usable header.
    """
    _check_size(path)
    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except Exception as error:  # noqa: BLE001  # parts of a workbook that are broken raise whatever their readers do
        raise SourceError(f"{path}: not an Excel workbook: {_one_line(error)}") from None
    try:
        for sheet in book.worksheets:
            name = dataset if dataset is not None and len(book.worksheets) == 1 else sheet.title
            yield from _rows(_read(sheet.iter_rows(values_only=True), path, name), path, name)
    finally:
        book.close()


def _read(rows: Iterable[tuple[Any, ...]], path: Path, dataset: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a sheet, which is unpacked on the way: what is broken in it shows only then."""
    row = 0
    try:
        for cells in rows:
            row += 1
            yield cells
    except Exception as error:  # noqa: BLE001  # as above; what the taker of the rows raises doesn't come by here
        raise SourceError(f"{path}: sheet {dataset}: broken after row {row}: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _check_size(path: Path) -> None:
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise SourceError(f"{path}: {size} bytes, of at most {_MAX_BYTES}")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile as error:
        raise SourceError(f"{path}: not an Excel workbook: {error}") from None
    if unpacked > _MAX_UNPACKED:
        raise SourceError(f"{path}: unpacks to {unpacked} bytes, of at most {_MAX_UNPACKED}")


def _rows(rows: Iterable[tuple[Any, ...]], path: Path, dataset: str) -> Taken:
    header: list[str] | None = None
    for line, row in enumerate(rows, start=1):
        if header is None:
            header = ["" if cell is None else str(cell).strip() for cell in row]
            while header and not header[-1]:
                header.pop()
            if not header or len(header) > MAX_FIELDS or len(set(header)) != len(header) or not all(header):
                raise SourceError(f"{path}: sheet {dataset}, row 1: no usable header")
            continue
        if all(cell is None for cell in row):
            continue
        original = str(row)[:KEPT]
        if any(cell is not None for cell in row[len(header) :]):
            yield Refusal(line, len(header) + 1, "a value beyond the header", original)
            continue
        cells = [_text(cell) for cell in row[: len(header)]]
        cells += [None] * (len(header) - len(cells))
        key = checked_key(cells[0], line, 1, original)
        yield key if isinstance(key, Refusal) else RawRecord(dataset, key, dict(zip(header, cells, strict=True)), line)


def _text(cell: Any) -> str | None:
    """A cell as CSV would have it."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == datetime.min.time() else cell.isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, float):
        return number_text(cell)
    return str(cell)
