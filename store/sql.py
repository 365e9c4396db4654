"""Named SQL statements from the `.sql` files beside this package."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString, cast
from uuid import UUID

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


@cache
def load_queries(file: str) -> dict[str, LiteralString]:
    """Statements of `store/queries/<file>.sql` by name.

    Each starts with a line ``-- name: xyz``. The text comes from the package, never from input, so it may be
    treated as a literal.
    """
    text = (files("store") / "queries" / f"{file}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)
    names, bodies = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"store/queries/{file}.sql names a statement twice")
    return {name: cast("LiteralString", body.strip()) for name, body in zip(names, bodies, strict=True)}


def to_text(at: datetime) -> str:
    """An instant as RFC 3339 in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def rows_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as one parameter, for ``json_to_recordset``: many rows are quicker so than as an array a column.

    Raises
    ------
    ValueError
        For a number that isn't finite.
    """
    return json.dumps(rows, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no column")
