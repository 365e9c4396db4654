"""Columns of a file of readings, and their conversion: what can't be read spoils its row alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from grid.quality import MAX_SEQUENCE

_INSTANT = pa.timestamp("us", tz="UTC")

#: What every row says: one meter over one interval, in one message.
REQUIRED: dict[str, pa.DataType] = {
    "gateway": pa.string(),
    "unit": pa.string(),
    "meter": pa.string(),
    "observed_at": _INSTANT,
    "interval_s": pa.int64(),
    "sequence": pa.int64(),
    "received_at": _INSTANT,
}
#: Channels, each of which may be left out; as in `ingest.messages.BlockMessage`.
CHANNELS: dict[str, pa.DataType] = {
    **dict.fromkeys(("import_wh", "export_wh", "register_import_wh", "register_export_wh"), pa.int64()),
    **dict.fromkeys(
        (
            "voltage_a_v",
            "voltage_b_v",
            "voltage_c_v",
            "current_a_a",
            "current_b_a",
            "current_c_a",
            "power_factor",
        ),
        pa.float64(),
    ),
}
#: A message as it came: topic, original bytes, time of receipt.
LOG: dict[str, pa.DataType] = {"topic": pa.string(), "payload": pa.binary(), "received_at": _INSTANT}


def problem_of(schema: pa.Schema) -> str | None:
    """Why a file with these columns can't be replayed; None when it can."""
    names = list(schema.names)
    if len(set(names)) != len(names):
        return "a column is named twice"
    known = LOG if is_log(schema) else {**REQUIRED, **CHANNELS}
    needed = LOG if is_log(schema) else REQUIRED
    if lacking := [name for name in needed if name not in names]:
        return f"it has no column {', '.join(lacking)}"
    if unknown := [name for name in names if name not in known]:
        return f"column {', '.join(unknown)} is not known"
    if not is_log(schema) and not set(names) & set(CHANNELS):
        return "it has no column of readings"
    for field in schema:
        if pa.types.is_timestamp(field.type) and field.type.tz is None:
            return f"column {field.name} doesn't say its time zone"
    return None


def is_log(schema: pa.Schema) -> bool:
    """Whether a file holds messages as they came."""
    return "payload" in schema.names


def converted(batch: pa.RecordBatch, types: dict[str, pa.DataType]) -> tuple[pa.RecordBatch, dict[int, str]]:
    """The batch with its columns in their types, and what is wrong with which rows.

    A required column must have a value. What can't be read is null in the result.
    """
    wrong: dict[int, str] = {}
    columns = {}
    for name in batch.schema.names:
        column, unread = _converted(batch.column(name), types[name])
        for row in unread.tolist():
            wrong.setdefault(row, f"{name} can't be read: {str(batch.column(name)[row].as_py())[:100]!r}")
        if (name in REQUIRED or name in LOG) and column.null_count:
            for row in np.flatnonzero(_nulls(column)).tolist():
                wrong.setdefault(row, f"{name} is missing")
        if name == "sequence":
            for row in _out_of_bounds(column).tolist():
                wrong.setdefault(row, "sequence is out of bounds")
        columns[name] = column
    return pa.RecordBatch.from_pydict(columns), wrong


def _converted(column: pa.Array, wanted: pa.DataType) -> tuple[pa.Array, NDArray[np.intp]]:
    none = np.empty(0, np.intp)
    if column.type == wanted:
        return column, none
    try:
        # What is finer than a microsecond is cut.
        options = pc.CastOptions(wanted, allow_time_truncate=True)
        return column.cast(options=options), none
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        values = [_one(value, _READERS[wanted]) for value in column.to_pylist()]
    read = pa.array(values, wanted)
    return read, np.flatnonzero(_nulls(read) & ~_nulls(column))


def _out_of_bounds(column: pa.Array) -> NDArray[np.intp]:
    """Rows whose sequence can't be one."""
    values = column.fill_null(0).to_numpy()
    return np.flatnonzero((values < 0) | (values >= MAX_SEQUENCE))


def _nulls(column: pa.Array) -> NDArray[np.bool_]:
    nulls: NDArray[np.bool_] = column.is_null().to_numpy(zero_copy_only=False)
    return nulls


def _one(value: Any, read: Callable[[Any], Any]) -> Any:
    try:
        return None if value is None else read(value)
    except (ValueError, TypeError, OverflowError):
        return None


def _instant(value: Any) -> datetime:
    at = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if at.tzinfo is None:
        raise ValueError("no time zone")
    return at.astimezone(UTC)


def _whole(value: Any) -> int:
    number = int(value) if isinstance(value, str) else value
    if int(number) != number or not -(2**63) <= number < 2**63:
        raise ValueError("not a whole number")
    return int(number)


_READERS: dict[pa.DataType, Callable[[Any], Any]] = {
    pa.string(): str,
    pa.binary(): lambda value: value.encode() if isinstance(value, str) else bytes(value),
    pa.int64(): _whole,
    pa.float64(): float,
    _INSTANT: _instant,
}
