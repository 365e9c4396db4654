"""Blocks of a form that was written before, written without Arrow's own writer: the inverse of `grid.block_layout`.

What Arrow writes beside the contents depends on the number of meters, the length of their codes in all, the length of
the header's text and the columns. It is kept of each form that came once, after a look at whether it brings forth the
same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from grid.block_layout import Layout, layout_of
from grid.channels import Values

#: Forms that are known, with some 1.5 kB each.
_MAX_FORMS = 4_096
#: What may lie between two columns, and what ends a stream.
_PADDING = bytes(64)
_END = b"\xff\xff\xff\xff\0\0\0\0"

_Form = tuple[int, int, int, tuple[tuple[str, np.dtype[np.generic]], ...]]


class Forms:
    """Forms that were found so far, bounded."""

    def __init__(self) -> None:
        self._known: dict[_Form, Layout] = {}

    def record(self, text: bytes, meters: pa.StringArray, columns: Mapping[str, Values]) -> bytes | None:
        """The record of these contents; None where its form isn't known."""
        codes = _codes(meters)
        if codes is None:
            return None
        layout = self._known.get(_form(text, codes, columns))
        return None if layout is None else _record(layout, text, codes, columns)

    def learn(self, data: bytes, text: bytes, meters: pa.StringArray, columns: Mapping[str, Values]) -> None:
        """Keep the form of a record that Arrow has written; one that can't be made in the same way is passed over."""
        codes = _codes(meters)
        if codes is None:
            return
        with pa.ipc.open_stream(data) as reader:
            layout = layout_of(data, text, reader.read_next_batch())
        if layout is None or _record(layout, text, codes, columns) != data:
            return
        if len(self._known) >= _MAX_FORMS:
            self._known.clear()
        self._known[_form(text, codes, columns)] = layout


def _codes(meters: pa.StringArray) -> tuple[pa.Buffer, pa.Buffer] | None:
    """Offsets and codes as they are written; None where a part of a longer array is, or nothing."""
    rows = len(meters)
    if not rows or meters.offset or meters.null_count:
        return None
    _, offsets, codes = meters.buffers()
    ends = np.frombuffer(offsets, np.int32, rows + 1)
    return None if codes is None or ends[0] else (offsets.slice(0, 4 * (rows + 1)), codes.slice(0, int(ends[rows])))


def _form(text: bytes, codes: tuple[pa.Buffer, pa.Buffer], columns: Mapping[str, Values]) -> _Form:
    types = tuple([(name, values.dtype) for name, values in columns.items()])
    return len(text), codes[0].size, codes[1].size, types


def _record(layout: Layout, text: bytes, codes: tuple[pa.Buffer, pa.Buffer], columns: Mapping[str, Values]) -> bytes:
    parts: list[Any] = [layout.before, text, layout.between]
    end = layout.text_end + len(layout.between)
    for at, buffer in zip((layout.offsets_at, layout.codes_at), codes, strict=True):
        parts += (_PADDING[: at - end], buffer)
        end = at + buffer.size
    for (_, _, at), values in zip(layout.columns, columns.values(), strict=True):
        parts += (_PADDING[: at - end], np.ascontiguousarray(values))
        end = at + values.nbytes
    parts += (_PADDING[: -end % 8], _END)
    return b"".join(parts)
