"""Blocks whose metadata were seen before, read without Arrow's own reader.

A record on Kafka is an Arrow IPC stream: the schema with the header's text, the sizes and places of the columns, and
the columns. All but the text and the columns is the same, byte for byte, in every block that has as many meters, codes
as long and the same channels: what those bytes say is found once, by Arrow, and holds for each record that has them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from grid.channels import Values

#: Lengths of records that are known, and ways of one length; with some 1.5 kB each.
_MAX_LENGTHS = 4_096
_MAX_WAYS = 8
#: What each message of a stream begins with, before the length of its metadata.
_MARK = b"\xff\xff\xff\xff"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the parts of a record lie.

    Attributes
    ----------
    before, between
        Its bytes up to the header's text, and from there to the columns.
    text_end
        Where the text ends.
    rows
        Number of meters.
    offsets_at, codes_at, codes_size
        Where the offsets of the meters' codes lie, and the codes.
    columns
        Name, type and place of the other columns.
    """

    before: bytes
    between: bytes
    text_end: int
    rows: int
    offsets_at: int
    codes_at: int
    codes_size: int
    columns: tuple[tuple[str, np.dtype[np.generic], int], ...]

    def fits(self, data: bytes) -> bool:
        """Whether a record of the same length has it."""
        end = self.text_end
        return data.startswith(self.before) and data.startswith(self.between, end)

    def text(self, data: bytes) -> str:
        """The header's text."""
        return data[len(self.before) : self.text_end].decode()

    def meters(self, data: bytes) -> pa.StringArray:
        """Codes of the meters; keeps `data` alive, as the columns do."""
        buffer = pa.py_buffer(data)
        offsets = buffer.slice(self.offsets_at, 4 * (self.rows + 1))
        return pa.StringArray.from_buffers(self.rows, offsets, buffer.slice(self.codes_at, self.codes_size))

    def values(self, data: bytes) -> dict[str, Values]:
        """The other columns by name, read-only."""
        return {name: np.frombuffer(data, dtype, self.rows, at) for name, dtype, at in self.columns}


class Layouts:
    """Layouts that were found so far, bounded."""

    def __init__(self) -> None:
        self._of_length: dict[int, tuple[Layout, ...]] = {}

    def of(self, data: bytes) -> Layout | None:
        """The layout of a record; None where it isn't known."""
        for layout in self._of_length.get(len(data), ()):
            if layout.fits(data):
                return layout
        return None

    def learn(self, data: bytes, text: str, batch: pa.RecordBatch) -> None:
        """Keep the layout of a record that Arrow has read; one that is made otherwise than ours is passed over."""
        layout = layout_of(data, text.encode(), batch)
        if layout is None:
            return
        if len(self._of_length) >= _MAX_LENGTHS:
            self._of_length.clear()
        ways = self._of_length.get(len(data), ())
        self._of_length[len(data)] = (*ways[-_MAX_WAYS + 1 :], layout)


def layout_of(data: bytes, text: bytes, batch: pa.RecordBatch) -> Layout | None:
    """The layout of a record that Arrow has read as `text` and `batch`; None where it is made otherwise than ours."""
    schema_end = 8 + int.from_bytes(data[4:8], "little")
    body = schema_end + 8 + int.from_bytes(data[schema_end + 4 : schema_end + 8], "little")
    if not (data.startswith(_MARK) and data.startswith(_MARK, schema_end)):
        return None
    if data.count(text, 0, body) != 1 or not batch.num_rows:
        return None
    base = pa.py_buffer(data).address
    places: list[tuple[int, int]] = []
    for n, column in enumerate(batch.columns):
        valid, *buffers = column.buffers()
        if (
            valid is not None
            or column.offset
            or len(buffers) != (2 if n == 0 else 1)
            or any(b is None for b in buffers)
        ):
            return None
        places += [(buffer.address - base, buffer.size) for buffer in buffers]
    if not all(body <= at and at + size <= len(data) for at, size in places):
        return None
    begin = data.index(text)
    (offsets_at, _), (codes_at, codes_size), *others = places
    types = [(field.name, np.dtype(field.type.to_pandas_dtype())) for field in list(batch.schema)[1:]]
    return Layout(
        before=data[:begin],
        between=data[begin + len(text) : body],
        text_end=begin + len(text),
        rows=batch.num_rows,
        offsets_at=offsets_at,
        codes_at=codes_at,
        codes_size=codes_size,
        columns=tuple((name, dtype, at) for (name, dtype), (at, _) in zip(types, others, strict=True)),
    )
