"""Parquet files of the truth folder: one way to write and to open them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

#: Rows of a row group.
GROUP = 131_072
WORD = pa.dictionary(pa.int32(), pa.string())
INSTANT = pa.timestamp("us", tz="UTC")


class TruthError(ValueError):
    """A folder or a file holds no truth; the message says why."""


def make_writer(path: Path, schema: pa.Schema) -> Any:
    """A Parquet writer whose bytes follow from the schema and the tables alone."""
    words = [f.name for f in schema if pa.types.is_dictionary(f.type)]
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=words, version="2.6")


def write_table(path: Path, schema: pa.Schema, columns: Mapping[str, Sequence[Any]]) -> None:
    """Write columns as one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = []
    for field in schema:
        values = columns[field.name]
        if pa.types.is_dictionary(field.type):
            arrays.append(pa.array(values, pa.string()).dictionary_encode().cast(field.type))
        else:
            arrays.append(pa.array(values, field.type))
    with make_writer(path, schema) as writer:
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema), row_group_size=GROUP)


def open_table(path: Path, schema: pa.Schema) -> Any:
    """A Parquet file that has the columns of `schema`.

    Raises
    ------
    TruthError
        When it isn't there, or is another file.
    """
    if not path.is_file():
        raise TruthError(f"{path.parent} is no truth folder: it has no {path.name}")
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise TruthError(f"{path} is no Parquet file: {error}") from None
    lacking = sorted(set(schema.names) - set(file.schema_arrow.names))
    if lacking:
        raise TruthError(f"{path} has no column {', '.join(lacking)}")
    return file
