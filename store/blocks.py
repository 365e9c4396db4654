"""Interval blocks and their balances, read by key; `store.block_writer` writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from grid.channels import FOLLOWING, VOTING, Values
from grid.loss_class import LossClass
from grid.rows import BALANCE_COLUMNS, NEVER_US, Status, StoredBlock
from store.connection import Connection
from store.precedence import unpack
from store.sql import load_queries

_SQL = load_queries("blocks")
#: How classes and states of results are written.
STATUS_NAMES = {status: status.name.lower() for status in Status}
CLASS_NAMES = {int(c): c.name.lower() for c in LossClass}
#: Where NaN says that it isn't known.
UNKNOWN = ("technical_wh", "averaging_wh", "technical_sigma_wh", "members_technical_wh")

_STATUS_OF = {name: int(status) for status, name in STATUS_NAMES.items()}
_CLASS_OF = {name: number for number, name in CLASS_NAMES.items()}
_COLUMNS = (*VOTING, *FOLLOWING)

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
    # Arrays as the server writes them: made value by value they would cost more than all else of a read.
    times = {at_us: to_datetime(at_us) for at_us in {key[1] for key in keys}}
    texts = {at_us: at.isoformat() for at_us, at in times.items()}
    return {
        "unit_id": _array(str(key[0]) for key in keys),
        "observed_at": _array(texts[key[1]] for key in keys),
        "interval_s": _array(str(key[2]) for key in keys),
        "first": min(times.values()),
        "last": max(times.values()),
    }


def _array(values: Iterable[str]) -> str:
    return f"{{{','.join(values)}}}"


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
    for name in UNKNOWN:
        if balance[name] is None:
            balance[name] = math.nan
    for name in ("published_us", "due_us"):
        if balance[name] is None:
            balance[name] = NEVER_US
    return StoredBlock(int(version), int(received_at_us), channels, quality, precedence, received_us, balance)  # type: ignore[call-overload]


def lock_units(connection: Connection, unit_ids: Sequence[int]) -> None:
    """Keep others that lock from settling these units until the transaction ends."""
    connection.execute(_SQL["lock_units"], {"unit_ids": list(unit_ids)})
