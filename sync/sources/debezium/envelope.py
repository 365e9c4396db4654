"""Debezium's envelopes: each change of a table as JSON with `before`, `after`, `op` and the source's time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from sync.sources.contract import KEPT, MAX_RECORD, RawRecord, Refusal, checked_key, number_text


class _Origin(msgspec.Struct):
    table: str
    ts_ms: int | None = None


class _Payload(msgspec.Struct):
    op: str
    source: _Origin
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class _Envelope(msgspec.Struct):
    """With the schema beside it, as the JSON converter writes it by default."""

    payload: _Payload | None


_PLAIN = msgspec.json.Decoder(_Payload)
_WRAPPED = msgspec.json.Decoder(_Envelope)
#: Create, read (of a snapshot), update, delete; a truncation empties the table and isn't taken.
_OPERATIONS = frozenset("crud")
#: The year 2100: a time beyond is another unit's, or none.
_END_MS = 4_102_444_800_000


def decode_envelope(
    value: bytes | None, keys: Sequence[str], offset: int, names: dict[str, str] | None = None
) -> RawRecord | Refusal | None:
    """A record from one message's value; None of a tombstone, which says nothing new; pure.

    Parameters
    ----------
    keys
        Columns that hold the key; several are joined with "/". None named: the row's first column.
    offset
        Of the message: it stands where a file has its line.
    names
        Dataset by table, where they differ.
    """
    if value is None:
        return None
    original = value[:KEPT].decode("utf-8", "replace")
    if len(value) > MAX_RECORD:
        return Refusal(offset, None, f"a message of more than {MAX_RECORD} bytes", original)
    try:
        payload = _payload(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Refusal(offset, None, f"not an envelope of Debezium: {error}", original)
    if payload is None:
        return None
    if payload.op not in _OPERATIONS:
        return Refusal(offset, None, f"operation {payload.op[:20]!r} isn't taken", original)
    removed = payload.op == "d"
    row = payload.before if removed else payload.after
    if not row:
        return Refusal(offset, None, "neither before nor after holds a row", original)
    wanted = list(keys) or [next(iter(row))]
    if lacking := [name for name in wanted if row.get(name) is None]:
        return Refusal(offset, None, f"no key: {', '.join(lacking)}", original)
    if any(isinstance(row[name], (dict, list)) for name in wanted):
        # Such as a decimal of any scale, which the connector writes as an object of its own.
        return Refusal(offset, None, "the key isn't one value", original)
    key = checked_key("/".join(_text(row[name]) or "" for name in wanted), offset, None, original)
    if isinstance(key, Refusal):
        return key
    ts_ms = payload.source.ts_ms
    if ts_ms is not None and not 0 <= ts_ms < _END_MS:
        return Refusal(offset, None, f"source.ts_ms is no time: {ts_ms}", original)
    table = checked_key(payload.source.table, offset, None, original)
    if isinstance(table, Refusal):
        return Refusal(offset, None, f"source.table: {table.reason}", original)
    body = {name: _text(cell) for name, cell in row.items()}
    at_us = None if ts_ms is None else ts_ms * 1_000
    return RawRecord((names or {}).get(table, table), key, body, offset, removed, at_us)


def _payload(value: bytes) -> _Payload | None:
    try:
        return _PLAIN.decode(value)
    except msgspec.ValidationError:
        return _WRAPPED.decode(value).payload


def _text(cell: Any) -> Any:
    """A cell as an extract of the same table would have it."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return number_text(cell)
    return str(cell) if isinstance(cell, int) else cell
