"""Writes interval blocks with their balances: what is new by COPY, the rest by COPY and two upserts."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import psycopg
from numpy.typing import NDArray

from grid.channels import FOLLOWING, VOTING
from grid.loss_class import LossClass
from grid.rows import BALANCE_COLUMNS, FIGURES, NEVER_US, BalanceRows, BlockRows, Status, Superseded
from store.blocks import CLASS_NAMES, STATUS_NAMES, UNKNOWN, LostBlockError, StaleVersionError, to_datetime
from store.connection import Connection
from store.pgbinary import EPOCH_US
from store.pgcopy import Arrays, Bytes, Column, Nulls, Values, copy_data
from store.precedence import pack
from store.sql import load_queries

_SQL = load_queries("blocks")
_CLASSES = np.array([CLASS_NAMES[n].encode() for n in range(len(LossClass))])
_STATUSES = np.array([STATUS_NAMES[status].encode() for status in Status])


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
    data = _Data(rows, balances)
    is_new = rows.read_version == 0
    rest = np.flatnonzero(~is_new)
    if is_new.any():
        try:
            with connection.transaction():
                _copy(connection, "new", data, np.flatnonzero(is_new))
        except psycopg.errors.UniqueViolation:
            # Another has made one of them meanwhile, or its result is there alone: the upserts tell which.
            rest = np.arange(len(rows))
    if len(superseded.unit_id):
        with connection.cursor() as cursor:
            cursor.execute(_SQL["stage_superseded"])
            with cursor.copy(_SQL["copy_superseded"]) as copy:
                for row in _plain(superseded):
                    copy.write_row(row)
            cursor.execute(_SQL["write_superseded"])
    if len(rest):
        _upsert(connection, rows, balances, data, rest)


def warm_writer(rows: BlockRows, balances: BalanceRows) -> None:
    """Have compiled what writing takes, without a server."""
    data = _Data(rows, balances)
    for columns in (data.blocks, data.balances):
        copy_data(columns, np.arange(len(rows)))


def _copy(connection: Connection, where: str, data: _Data, rows: NDArray[np.intp]) -> None:
    """To ``new``: straight into the tables; to ``stage``: beside them."""
    with connection.cursor() as cursor:
        for table, columns in (("blocks", data.blocks), ("balances", data.balances)):
            with cursor.copy(_SQL[f"copy_{where}_{table}"]) as copy:
                copy.write(copy_data(columns, rows))


def _upsert(
    connection: Connection, rows: BlockRows, balances: BalanceRows, data: _Data, some: NDArray[np.intp]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_SQL["stage"])
        _copy(connection, "stage", data, some)
        cursor.execute(_SQL["write_blocks"])
        if cursor.rowcount != len(some):
            raise StaleVersionError(f"{len(some) - cursor.rowcount} of {len(rows)} rows have moved on")
        if np.any(balances.revision[some] > 0):
            at_us = rows.observed_at_us[some]
            bounds = {"first": to_datetime(int(at_us.min())), "last": to_datetime(int(at_us.max()))}
            cursor.execute(_SQL["keep_superseded"], bounds)
        cursor.execute(_SQL["write_balances"])
        if cursor.rowcount != len(some):
            raise LostBlockError(f"the readings of {len(some) - cursor.rowcount} published results are gone")


class _Data:
    """A batch's rows as columns of their two tables."""

    def __init__(self, rows: BlockRows, balances: BalanceRows) -> None:
        layout = pack(rows)
        observed_at = Values(rows.observed_at_us - EPOCH_US)
        received_at = Values(rows.received_at_us - EPOCH_US)
        keys: list[Column] = [Values(rows.unit_id), observed_at, Values(rows.interval_s)]
        nulls = Nulls(len(rows))
        # The version that was read goes before the new one: of a row that is new it is 0.
        self.blocks: list[Column] = [
            *keys,
            Values(rows.read_version << 32 | rows.version),
            received_at,
            Arrays(layout.precedence, layout.starts),
            Arrays(layout.received_us, layout.starts),
            # A channel without a value costs nothing.
            *(
                Arrays(rows.channels[name], rows.starts, layout.there[name]) if name in rows.channels else nulls
                for name in (*VOTING, *FOLLOWING)
            ),
            Bytes(rows.quality, rows.starts),
        ]
        self.balances: list[Column] = [*keys, *(_result(balances, name) for name in BALANCE_COLUMNS), received_at]


def _result(balances: BalanceRows, name: str) -> Column:
    values = getattr(balances, name)
    if name == "loss_class":
        return Values(_CLASSES[values])
    if name == "status":
        return Values(_STATUSES[values])
    if name in ("published_us", "due_us"):
        never = values == NEVER_US
        return Values(np.where(never, 0, values - EPOCH_US), never)
    return Values(values, np.isnan(values) if name in UNKNOWN else None)


def _plain(superseded: Superseded) -> Iterable[tuple[object, ...]]:
    b = superseded.balances
    for i in range(len(b)):
        yield (
            int(superseded.unit_id[i]),
            to_datetime(int(superseded.observed_at_us[i])),
            int(superseded.interval_s[i]),
            *(_plain_value(name, getattr(b, name)[i].item()) for name in FIGURES),
            STATUS_NAMES[Status(int(b.status[i]))],
            int(b.revision[i]),
            to_datetime(int(b.published_us[i])),
        )


def _plain_value(name: str, value: float) -> object:
    if name == "loss_class":
        return CLASS_NAMES[int(value)]
    return None if value != value else value  # noqa: PLR0124  # NaN: not known
