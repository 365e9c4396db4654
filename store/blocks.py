"""Interval blocks and their balances: read by key, written by one COPY and two upserts in one transaction."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.channels import FOLLOWING, VOTING, Values
from grid.loss_class import LossClass
from grid.rows import (
    BALANCE_COLUMNS,
    FIGURES,
    NEVER_US,
    BalanceRows,
    BlockRows,
    Status,
    StoredBlock,
    Superseded,
    empty_balances,
)
from store.connection import Connection
from store.pgbinary import EPOCH_US, HEADER, NULL, TRAILER, ArrayColumn
from store.precedence import Layout, pack, unpack
from store.sql import load_queries

_SQL = load_queries("blocks")
_STATUS = {status: status.name.lower() for status in Status}
_STATUS_OF = {name: int(status) for status, name in _STATUS.items()}
_CLASS = {int(c): c.name.lower() for c in LossClass}
_CLASS_OF = {name: number for number, name in _CLASS.items()}
_NAMES = {"classes": [_CLASS[n] for n in range(len(_CLASS))], "statuses": [_STATUS[s] for s in Status]}
_COLUMNS = (*VOTING, *FOLLOWING)
_FIELDS = 5 + 2 + len(_COLUMNS) + 1 + len(BALANCE_COLUMNS)

#: (unit id, end of the interval in microseconds, its length in seconds).
Key = tuple[int, int, int]


class StaleVersionError(RuntimeError):
    """Rows have moved on since they were read: read again and compute again."""


class LostBlockError(RuntimeError):
    """A result was published from readings that are no longer kept: what comes late can't be merged with them."""


def to_datetime(microseconds: int) -> datetime:
    """Microseconds since 1970 UTC as an aware datetime, exactly."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def bounded(keys: Sequence[Key]) -> dict[str, object]:
    """Keys as arguments of a statement that reads rows by them, with bounds that leave out chunks; at least one key."""
    observed_at = [to_datetime(key[1]) for key in keys]
    return {
        "unit_id": [key[0] for key in keys],
        "observed_at": observed_at,
        "interval_s": [key[2] for key in keys],
        "first": min(observed_at),
        "last": max(observed_at),
    }


def read_blocks(connection: Connection, keys: Sequence[Key]) -> dict[Key, StoredBlock]:
    """Stored rows by key; keys without a row are left out."""
    if not keys:
        return {}
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_SQL["read"], bounded(keys)).fetchall()
    return {keys[row[0] - 1]: _stored(row[1:]) for row in rows}


def _stored(row: Sequence[object]) -> StoredBlock:
    version, received_at_us, packed_precedence, packed_received = row[:4]
    arrays = row[4 : 4 + len(_COLUMNS)]
    quality = np.frombuffer(row[4 + len(_COLUMNS)], np.uint8)  # type: ignore[call-overload]
    channels: dict[str, Values] = {name: a for name, a in zip(_COLUMNS, arrays, strict=True) if a is not None}  # type: ignore[misc]
    precedence, received_us = unpack(channels, quality, packed_precedence, packed_received)  # type: ignore[arg-type]
    balance: dict[str, float] = dict(zip(BALANCE_COLUMNS, row[5 + len(_COLUMNS) :], strict=True))  # type: ignore[arg-type]
    balance["status"] = _STATUS_OF[balance["status"]]  # type: ignore[index]
    balance["loss_class"] = _CLASS_OF[balance["loss_class"]]  # type: ignore[index]
    for name in _UNKNOWN:
        if balance[name] is None:
            balance[name] = math.nan
    for name in ("published_us", "due_us"):
        if balance[name] is None:
            balance[name] = NEVER_US
    return StoredBlock(int(version), int(received_at_us), channels, quality, precedence, received_us, balance)  # type: ignore[call-overload]


def lock_units(connection: Connection, unit_ids: Sequence[int]) -> None:
    """Keep others that lock from settling these units until the transaction ends."""
    connection.execute(_SQL["lock_units"], {"unit_ids": list(unit_ids)})


def write_blocks(connection: Connection, rows: BlockRows, balances: BalanceRows, superseded: Superseded) -> None:
    """Write rows with their balances inside the caller's transaction; what was published before stays readable.

    A row replaces only a stored row of the version that was read.

    Raises
    ------
    StaleVersionError
        When a row has been replaced by another writer since it was read; the caller rolls back.
    LostBlockError
        When a result was published from a row that is gone; the caller rolls back.
    """
    if not len(rows):
        return
    with connection.cursor() as cursor:
        cursor.execute(_SQL["stage"])
        with cursor.copy(_SQL["copy"]) as copy:
            copy.write(_encode(rows, balances))
        cursor.execute(_SQL["write_blocks"])
        if cursor.rowcount != len(rows):
            raise StaleVersionError(f"{len(rows) - cursor.rowcount} of {len(rows)} rows have moved on")
        if np.any(balances.revision > 1) or np.any((balances.revision == 1) & (rows.read_version > 0)):
            _keep_superseded(connection, rows, superseded)
        cursor.execute(_SQL["write_balances"], _NAMES)
        if cursor.rowcount != len(rows):
            raise LostBlockError(f"the readings of {len(rows) - cursor.rowcount} published results are gone")


def _keep_superseded(connection: Connection, rows: BlockRows, superseded: Superseded) -> None:
    with connection.cursor() as cursor:
        if len(superseded.unit_id):
            with cursor.copy(_SQL["copy_superseded"]) as copy:
                for row in _plain(superseded):
                    copy.write_row(row)
        bounds = (to_datetime(int(rows.observed_at_us.min())), to_datetime(int(rows.observed_at_us.max())))
        cursor.execute(_SQL["keep_superseded"], dict(zip(("first", "last"), bounds, strict=True)))


def _plain(superseded: Superseded) -> Iterable[tuple[object, ...]]:
    b = superseded.balances
    for i in range(len(b)):
        yield (
            int(superseded.unit_id[i]),
            to_datetime(int(superseded.observed_at_us[i])),
            int(superseded.interval_s[i]),
            *(_plain_value(name, getattr(b, name)[i].item()) for name in FIGURES),
            _STATUS[Status(int(b.status[i]))],
            int(b.revision[i]),
            to_datetime(int(b.published_us[i])),
        )


def _plain_value(name: str, value: float) -> object:
    if name == "loss_class":
        return _CLASS[int(value)]
    return None if value != value else value  # noqa: PLR0124  # NaN: not known


_KEY = struct.Struct(">hiiiqiiiqiq")
#: Where NaN says that it isn't known.
_UNKNOWN = ("technical_wh", "averaging_wh", "technical_sigma_wh", "members_technical_wh")


def _encode(rows: BlockRows, balances: BalanceRows) -> bytes:
    layout = pack(rows)
    fields = _fields(rows, layout)
    quality = rows.quality.tobytes()
    starts = rows.starts.tolist()
    keys = zip(
        rows.unit_id.tolist(),
        (rows.observed_at_us - EPOCH_US).tolist(),
        rows.interval_s.tolist(),
        (rows.read_version << 32 | rows.version).tolist(),
        (rows.received_at_us - EPOCH_US).tolist(),
        strict=True,
    )
    results, size = _results(balances).tobytes(), _RESULT.itemsize
    parts = [HEADER]
    for r, key in enumerate(keys):
        a, b = starts[r], starts[r + 1]
        unit_id, observed_at, interval_s, version, received_at = key
        parts.append(_KEY.pack(_FIELDS, 4, unit_id, 8, observed_at, 4, interval_s, 8, version, 8, received_at))
        parts.append(layout.precedence.field(*layout.span(r)))
        parts.append(layout.received_us.field(*layout.span(r)))
        parts += [NULL if column is None or not there[r] else column.field(a, b) for column, there in fields]
        parts += (struct.pack(">i", b - a), quality[a:b], results[r * size : (r + 1) * size])
    parts.append(TRAILER)
    return b"".join(parts)


def _fields(rows: BlockRows, layout: Layout) -> list[tuple[ArrayColumn | None, list[bool]]]:
    """Each column with whether a row has it: one without a value is NULL and costs nothing."""
    fields: list[tuple[ArrayColumn | None, list[bool]]] = []
    for name in _COLUMNS:
        if name not in rows.channels or not any(layout.there[name]):
            fields.append((None, []))
        else:
            fields.append((ArrayColumn(rows.channels[name]), layout.there[name]))
    return fields


def _result_layout() -> np.dtype[Any]:
    """A result as the fields of a COPY row: each with its length, none of them NULL, so that a row is a slice."""
    empty = empty_balances(0)
    parts: list[tuple[str, str]] = []
    for name in BALANCE_COLUMNS:
        kind = getattr(empty, name).dtype
        parts += [(f"{name}_length", ">i4"), (name, ">i2" if kind == np.int8 else kind.newbyteorder(">").str)]
    return np.dtype(parts)


_RESULT = _result_layout()


def _results(balances: BalanceRows) -> NDArray[np.void]:
    out = np.empty(len(balances), _RESULT)
    for name in BALANCE_COLUMNS:
        out[f"{name}_length"] = _RESULT[name].itemsize
        out[name] = getattr(balances, name)
    for name in ("published_us", "due_us"):
        instants = getattr(balances, name)
        # PostgreSQL's own -infinity is the same number.
        out[name] = np.where(instants == NEVER_US, NEVER_US, instants - EPOCH_US)
    return out
