"""Reads files of readings (Parquet, CSV) and logs of messages (Parquet) in bounded pieces.

A file of readings becomes the messages that gateways would have sent, so that everything is checked in one place, by
the decoder, and what is refused is kept in a form that can be given back. Rows that stand together and agree in
gateway, unit, interval and time of receipt are one message.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from grid.errors import Reason, Rejection
from grid.model import MAX_MEMBERS
from ingest.sources.files.columns import CHANNELS, LOG, REQUIRED, converted, is_log, problem_of

_ROWS = 65_536
_LOG_ROWS = 256
_CSV_BYTES = 4 << 20
#: What every row of a message agrees in.
_MESSAGE = ("received_at", "gateway", "unit", "observed_at", "interval_s")
#: An infinite value has no place in JSON; this is out of range as well.
_HUGE = 1e300


class FileError(RuntimeError):
    """A file can't be read as what it should be; the message says why."""


@dataclass(frozen=True, slots=True, eq=False)
class FileMessage:
    """A message as it came, or as it would have come.

    Attributes
    ----------
    received_at_us
        Microseconds since 1970 UTC.
    sequence
        int64 number of each reading, where ingest had gathered several messages; None = as the payload says.
    """

    topic: str
    payload: bytes
    received_at_us: int
    sequence: NDArray[np.int64] | None = None


def read_messages(path: Path, refuse: Callable[[Rejection], None]) -> Iterator[FileMessage]:
    """Messages of one file in its order.

    Parameters
    ----------
    path
        ``.parquet``, or ``.csv``, which may be compressed (``.csv.gz``).
    refuse
        Takes rows that can't be read.

    Raises
    ------
    FileError
        When it is no such file.
    OSError
        When it can't be opened.
    """
    bad = _Refused(path, refuse)
    try:
        if path.suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                schema = file.schema_arrow
                _check(path, schema)
                log = is_log(schema)
                batches = file.iter_batches(_LOG_ROWS if log else _ROWS)
                yield from _logged(batches, bad) if log else _grouped(batches, bad)
        elif ".csv" in path.suffixes[-2:]:
            yield from _grouped(_csv_batches(path, bad), bad)
        else:
            raise FileError(f"{path} is neither .parquet nor .csv")
    except pa.ArrowInvalid as error:
        raise FileError(f"{path} can't be read: {error}") from None


def count_rows(path: Path) -> int | None:
    """Rows of a file, where it says so without being read."""
    if path.suffix != ".parquet":
        return None
    try:
        return int(pq.read_metadata(path).num_rows)
    except pa.ArrowInvalid as error:
        raise FileError(f"{path} can't be read: {error}") from None


class _Refused:
    """Rows of one file that can't be read."""

    def __init__(self, path: Path, refuse: Callable[[Rejection], None]) -> None:
        self._topic = f"file/{path.name}"
        self._refuse = refuse

    def text(self, row: pyarrow.csv.InvalidRow) -> str:
        detail = f"{row.actual_columns} columns, and not {row.expected_columns}"
        self._refuse(Rejection(Reason.INVALID_FIELD, detail, self._topic, row.text.encode()))
        return "skip"

    def rows(self, batch: pa.RecordBatch, wrong: dict[int, str], first: int) -> None:
        for row, detail in wrong.items():
            original = msgspec.json.encode(batch.slice(row, 1).to_pylist()[0])
            self._refuse(Rejection(Reason.INVALID_FIELD, f"row {first + row}: {detail}", self._topic, original))


def _check(path: Path, schema: pa.Schema) -> None:
    problem = problem_of(schema)
    if problem is not None:
        raise FileError(f"{path} can't be replayed: {problem}")


def _csv_batches(path: Path, bad: _Refused) -> Iterator[pa.RecordBatch]:
    with pa.input_stream(path, compression="detect") as stream:
        reader = pyarrow.csv.open_csv(
            stream,
            read_options=pyarrow.csv.ReadOptions(block_size=_CSV_BYTES, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(invalid_row_handler=bad.text),
            # As text: one value that can't be read must not spoil the file.
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys((*REQUIRED, *CHANNELS), pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        _check(path, reader.schema)
        yield from reader


def _readable(
    batches: Iterator[pa.RecordBatch], types: dict[str, pa.DataType], bad: _Refused
) -> Iterator[pa.RecordBatch]:
    first = 1
    for batch in batches:
        typed, wrong = converted(batch, types)
        if wrong:
            bad.rows(batch, wrong, first)
            keep = np.ones(len(batch), np.bool_)
            keep[list(wrong)] = False
            typed = typed.filter(pa.array(keep))
        first += len(batch)
        yield typed


def _logged(batches: Iterator[pa.RecordBatch], bad: _Refused) -> Iterator[FileMessage]:
    for batch in _readable(batches, LOG, bad):
        received = batch.column("received_at").cast(pa.int64()).to_pylist()
        topics, payloads = batch.column("topic").to_pylist(), batch.column("payload").to_pylist()
        for topic, payload, received_at_us in zip(topics, payloads, received, strict=True):
            yield FileMessage(topic, payload, received_at_us)


def _grouped(batches: Iterator[pa.RecordBatch], bad: _Refused) -> Iterator[FileMessage]:
    # The last message of a batch may go on in the next one.
    rest: pa.RecordBatch | None = None
    for batch in _readable(batches, {**REQUIRED, **CHANNELS}, bad):
        rows = batch if rest is None else pa.concat_batches([rest, batch])
        starts = _starts(rows)
        for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            yield _message(rows.slice(start, end - start))
        rest = rows.slice(int(starts[-1])) if len(starts) else rows
        while len(rest) > 2 * MAX_MEMBERS:  # no message; refused in pieces, so that memory stays bounded
            yield _message(rest.slice(0, 2 * MAX_MEMBERS))
            rest = rest.slice(2 * MAX_MEMBERS)
    if rest is not None and len(rest):
        yield _message(rest)


def _starts(rows: pa.RecordBatch) -> NDArray[np.intp]:
    """Where messages begin."""
    if not len(rows):
        return np.empty(0, np.intp)
    begins = np.zeros(len(rows), np.bool_)
    begins[0] = True
    for name in _MESSAGE:
        column = rows.column(name)
        begins[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return np.flatnonzero(begins)


def _message(rows: pa.RecordBatch) -> FileMessage:
    first = rows.slice(0, 1).to_pylist()[0]
    sequence = rows.column("sequence").to_numpy()
    fields: dict[str, Any] = {name: first[name] for name in ("sequence", "observed_at", "interval_s")}
    fields["meter"] = rows.column("meter").to_pylist()
    for name in rows.schema.names:
        column = rows.column(name)
        if name in CHANNELS and column.null_count < len(column):
            if pa.types.is_floating(column.type):
                column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
                column = pc.if_else(pc.is_inf(column), pa.scalar(_HUGE, column.type), column)
            fields[name] = column.to_pylist()
    return FileMessage(
        topic=f"meterline/v1/{first['gateway']}/block/{first['unit']}",
        payload=msgspec.json.encode(fields),
        received_at_us=int(rows.column("received_at").cast(pa.int64())[0].as_py()),
        sequence=None if np.all(sequence == sequence[0]) else sequence,
    )
