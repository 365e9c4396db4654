"""Interval blocks and their balances: read by key, written by one COPY and two upserts in one transaction."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from grid.rows import BalanceRows, BlockRows, Status, StoredBlock
from store.connection import Connection
from store.pgbinary import EPOCH_US, HEADER, NULL, TRAILER, ArrayColumn
from store.sql import load_queries

_SQL = load_queries("blocks")
_STATUS = {status: status.name.lower() for status in Status}
_STATUS_OF = {name: int(status) for status, name in _STATUS.items()}
_FIELDS = 19


class StaleVersionError(RuntimeError):
    """Rows have moved on since they were read: read again and compute again."""


def to_datetime(microseconds: int) -> datetime:
    """Microseconds since 1970 UTC as an aware datetime, exactly."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def read_blocks(
    connection: Connection, unit_id: NDArray[np.int32], observed_at_us: NDArray[np.int64]
) -> dict[int, StoredBlock]:
    """Stored rows of the keys (unit_id[r], observed_at_us[r]), by r; keys without a row are left out."""
    if not len(unit_id):
        return {}
    observed_at = [to_datetime(us) for us in observed_at_us.tolist()]
    arguments = {
        "unit_id": unit_id.tolist(),
        "observed_at": observed_at,
        "first": min(observed_at),
        "last": max(observed_at),
    }
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_SQL["read"], arguments).fetchall()
    return {
        row[0] - 1: StoredBlock(
            interval_s=row[1],
            version=row[2],
            received_at_us=row[3],
            # One element stands for all positions.
            sequence=np.repeat(row[4], len(row[9])) if len(row[4]) == 1 else row[4],
            import_wh=row[5],
            export_wh=row[6],
            loss_wh=row[7],
            voltage_dv=row[8],
            quality=np.frombuffer(row[9], np.uint8),
            status=-1 if row[10] is None else _STATUS_OF[row[10]],
        )
        for row in rows
    }


def write_blocks(connection: Connection, rows: BlockRows, balances: BalanceRows) -> None:
    """Write rows with their balances inside the caller's transaction.

    Each row gets version `rows.version` + 1 and replaces only a stored row of version `rows.version`.

    Raises
    ------
    StaleVersionError
        When a row has been replaced by another writer since it was read; the caller rolls back.
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
        cursor.execute(_SQL["write_balances"])


_KEY = struct.Struct(">hiiiqiiiiiq")
_RESULT = struct.Struct(">iqiqiqiqidif")


def _encode(rows: BlockRows, balances: BalanceRows) -> bytes:
    sequence = ArrayColumn(rows.sequence)
    import_wh = ArrayColumn(rows.import_wh)
    export_wh = ArrayColumn(rows.export_wh)
    loss_wh = ArrayColumn(rows.loss_wh)
    voltage_dv = ArrayColumn(rows.voltage_dv)
    quality = rows.quality.tobytes()
    lowest = np.iinfo(np.int64).min
    # No member has a loss of its own, or no voltage: the column is NULL or empty and costs nothing.
    with_loss = _any_by_row(rows.loss_wh != lowest, rows.starts)
    with_voltage = _any_by_row(rows.voltage_dv != np.iinfo(np.int16).min, rows.starts)
    uniform = ~_any_by_row(
        rows.sequence != np.repeat(rows.sequence[rows.starts[:-1]], np.diff(rows.starts)), rows.starts
    )
    parts = [HEADER]
    starts = rows.starts.tolist()
    observed = (rows.observed_at_us - EPOCH_US).tolist()
    received = (rows.received_at_us - EPOCH_US).tolist()
    keys = zip(rows.unit_id.tolist(), observed, rows.interval_s.tolist(), rows.version.tolist(), received, strict=True)
    results = zip(
        balances.inflow_wh.tolist(),
        balances.outflow_wh.tolist(),
        balances.loss_wh.tolist(),
        balances.members_loss_wh.tolist(),
        balances.sigma_wh.tolist(),
        balances.coverage.tolist(),
        balances.status.tolist(),
        balances.computable.tolist(),
        strict=True,
    )
    for r, (key, result) in enumerate(zip(keys, results, strict=True)):
        a, b = starts[r], starts[r + 1]
        unit_id, observed_at, interval_s, version, received_at = key
        status = _STATUS[Status(result[6])].encode()
        parts += (
            _KEY.pack(_FIELDS, 4, unit_id, 8, observed_at, 4, interval_s, 4, version + 1, 8, received_at),
            sequence.field(a, a + 1 if uniform[r] else b),
            import_wh.field(a, b),
            export_wh.field(a, b),
            loss_wh.field(a, b) if with_loss[r] else NULL,
            voltage_dv.field(a, b) if with_voltage[r] else NULL,
            struct.pack(">i", b - a),
            quality[a:b],
            _RESULT.pack(8, result[0], 8, result[1], 8, result[2], 8, result[3], 8, result[4], 4, result[5]),
            struct.pack(">i", len(status)),
            status,
            struct.pack(">i?", 1, result[7]),
        )
    parts.append(TRAILER)
    return b"".join(parts)


def _any_by_row(mask: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether any member of each row is set; a row without members has none."""
    counts = np.concatenate(([0], np.cumsum(mask)))
    return np.asarray(counts[starts[1:]] > counts[starts[:-1]])
