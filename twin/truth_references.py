"""The part of a truth that says which object each row of an extract is."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from twin.truth_tables import open_table

_FILE = "crossreference.parquet"
_SCHEMA = pa.schema([(name, pa.string()) for name in ("system", "table", "key", "code")])


def read_references(folder: Path) -> dict[tuple[str, str, str], str]:
    """Code by system, table and key; empty where the folder doesn't say."""
    if not (folder / _FILE).is_file():
        return {}
    table = open_table(folder / _FILE, _SCHEMA).read().select(_SCHEMA.names)
    columns = [table.column(name).to_pylist() for name in _SCHEMA.names]
    return {(s, t, k): code for s, t, k, code in zip(*columns, strict=True)}
