"""One record batch as an Arrow IPC stream: the form of every record of ours on Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import pyarrow as pa


class InvalidBlockError(ValueError):
    """The bytes of a record are not one; says why."""


class OtherRecordError(InvalidBlockError):
    """They aren't a record of this kind, but may be one of another."""


def write_record(schema: pa.Schema, columns: Sequence[pa.Array]) -> bytes:
    """`columns` under `schema`, whose metadata is the record's header."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    return bytes(sink.getvalue().to_pybytes())


def read_record(data: bytes, plain: pa.Schema | None, header: bytes) -> tuple[str, pa.RecordBatch]:
    """Inverse of `write_record`: the text under `header` in the metadata, and the columns, which must be `plain`'s
    (None: the caller checks them).

    Raises
    ------
    OtherRecordError
        When `data` is no Arrow stream whose metadata has `header`.
    InvalidBlockError
        When it is one with other columns.
    """
    try:
        with pa.ipc.open_stream(data) as reader:
            schema, batch = reader.schema, reader.read_next_batch()
        text = (schema.metadata or {}).get(header, b"").decode()
    except (pa.ArrowInvalid, pa.ArrowTypeError, OSError, TypeError, ValueError, StopIteration) as error:
        raise OtherRecordError(str(error) or type(error).__name__) from error
    if not text:
        raise OtherRecordError(f"its metadata have no {header.decode()!r}")
    if plain is not None and not schema.equals(plain, check_metadata=False):
        raise InvalidBlockError(f"columns are {schema.names}")
    return text, batch


class Names(Sequence[str]):
    """Codes that stay in their column, and become text one after the other when they are read.

    As text at once, those of one batch of messages whose meters are all unknown take some 30 MB.

    Parameters
    ----------
    column
        Without nulls.
    """

    __slots__ = ("_column",)

    def __init__(self, column: pa.StringArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Names: ...
    def __getitem__(self, index: int | slice) -> str | Names:
        if isinstance(index, slice):
            return Names(self._column.take(pa.array(range(*index.indices(len(self))), pa.int64())))
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return str(self._column[index % len(self)].as_py())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Names | tuple | list) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Names({list(self)!r})"


def own_strings(strings: pa.StringArray) -> pa.StringArray:
    """The same in memory of its own: a column of a record keeps all of the record alive."""
    if strings.null_count:
        return pa.array(strings.to_pylist(), strings.type)
    _, offsets, characters = strings.buffers()
    copies = (None if part is None else pa.py_buffer(part.to_pybytes()) for part in (offsets, characters))
    return pa.StringArray.from_buffers(len(strings), *copies, offset=strings.offset)
