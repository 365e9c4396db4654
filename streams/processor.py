"""One batch from Kafka to the database: decode, join, read, settle, write in one transaction.

Nothing is acknowledged here; the agent does it when `process` has returned and the messages upwards are sent.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import numpy as np
import psycopg
import structlog

from grid.block import InvalidBlockError, decode_block
from grid.errors import Reason, Rejection
from grid.roster import UnitView
from grid.unit_energy import UnitEnergies, decode_unit_energies
from store.blocks import StaleVersionError, read_blocks, write_blocks
from store.connection import Connection
from store.rejected import add_rejections
from store.views import load_views
from streams.steps.contribution import Contribution, from_block, from_energies
from streams.steps.settle import keys_of, settle

log = structlog.get_logger("streams.processor")

ENERGY_UNIT = "energy.unit"
_STALE_TRIES = 20
_MAX_VIEWS = 200_000


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record, as far as a step needs it."""

    topic: str
    value: bytes


@dataclass(slots=True)
class Counters:
    """What a processor has done since it started."""

    batches: int = 0
    records: int = 0
    readings: int = 0
    rows_written: int = 0
    rejected: int = 0
    conflicts: int = 0
    seconds: float = 0.0
    last_commit_at: float = field(default_factory=time.time)

    def report(self, units: str) -> None:
        """Log what was done so far, once there is anything."""
        if self.records:
            log.info("settled", units=units, **asdict(self))


class ViewCache:
    """Views of units by code, filled on demand; bounded, and emptied of a unit when its model changes."""

    def __init__(self) -> None:
        self._views: dict[str, UnitView] = {}

    def get(self, connection: Connection, codes: set[str]) -> dict[str, UnitView]:
        """Views of the codes that the store knows."""
        wanted = [code for code in codes if code not in self._views]
        if wanted:
            if len(self._views) + len(wanted) > _MAX_VIEWS:
                self._views.clear()
                wanted = list(codes)
            self._views |= load_views(connection, wanted)
        return {code: self._views[code] for code in codes if code in self._views}

    def drop(self, code: str) -> None:
        """Forget one unit, so that the next batch loads it anew."""
        self._views.pop(code, None)

    def clear(self) -> None:
        """Forget all."""
        self._views.clear()


class Processor:
    """Settles batches through one database connection.

    Parameters
    ----------
    open_connection
        Opens a connection; called again after the connection was lost.
    """

    def __init__(self, open_connection: Callable[[], Connection]) -> None:
        self._open = open_connection
        self._connection: Connection | None = None
        self.views = ViewCache()
        self.counters = Counters()

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def process(self, records: Sequence[Record]) -> list[UnitEnergies]:
        """Make the effects of `records` durable; returns what the units above must be told.

        A record that fails for a reason of its own goes to the rejected store, alone.

        Raises
        ------
        psycopg.OperationalError
            When the store can't be reached or gives way; nothing of the batch is written, and it may be tried again.
        """
        started = time.perf_counter()
        try:
            energies = self._settle(records)
        except (psycopg.OperationalError, psycopg.InterfaceError):
            self._drop_connection()
            raise
        except Exception as error:  # one poisoned record must not stop all partitions
            log.exception("a batch failed; its records are tried one by one", records=len(records))
            self._rollback()
            if len(records) == 1:
                self._reject(records[0], error)
                energies = []
            else:
                energies = [energy for record in records for energy in self.process([record])]
        self.counters.batches += 1
        self.counters.records += len(records)
        self.counters.seconds += time.perf_counter() - started
        self.counters.last_commit_at = time.time()
        return energies

    def _settle(self, records: Sequence[Record]) -> list[UnitEnergies]:
        connection = self._connect()
        contributions, rejections = self._join(connection, records)
        keys = keys_of(contributions)
        unit_id = np.array([key[0] for key in keys], np.int32)
        observed_at_us = np.array([key[1] for key in keys], np.int64)
        for _ in range(_STALE_TRIES):
            try:
                with connection.transaction():
                    settled = settle(keys, contributions, read_blocks(connection, unit_id, observed_at_us))
                    write_blocks(connection, settled.rows, settled.balances)
                    if rejections:
                        add_rejections(connection, rejections, datetime.now(UTC))
                self.counters.readings += sum(len(c.positions) for c in contributions)
                self.counters.rows_written += len(settled.rows)
                self.counters.rejected += len(rejections)
                return settled.energies
            except (StaleVersionError, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                self.counters.conflicts += 1
        raise psycopg.OperationalError(f"rows moved on {_STALE_TRIES} times in a row")

    def _join(self, connection: Connection, records: Sequence[Record]) -> tuple[list[Contribution], list[Rejection]]:
        rejections: list[Rejection] = []
        blocks = []
        energies = []
        codes: set[str] = set()
        for record in records:
            try:
                if record.topic == ENERGY_UNIT:
                    message = decode_unit_energies(record.value)
                    energies.append(message)
                    codes.add(message.parent)
                else:
                    block = decode_block(record.value)
                    blocks.append((record, block))
                    codes.add(block.unit)
            except InvalidBlockError as error:
                rejections.append(Rejection(Reason.INVALID_BLOCK, str(error), record.topic, record.value))
        views = self.views.get(connection, codes)
        connection.commit()
        contributions = []
        for record, block in blocks:
            view = views.get(block.unit)
            if view is None:
                detail = f"no unit {block.unit!r} in the grid model"
                rejections.append(Rejection(Reason.UNKNOWN_UNIT, detail, record.topic, record.value))
                continue
            contribution, refused = from_block(block, view, record.topic, record.value)
            contributions.append(contribution)
            rejections += refused
        for message in energies:
            if message.parent in views:
                contributions += from_energies(message, views[message.parent])
        return contributions, rejections

    def _reject(self, record: Record, error: Exception) -> None:
        detail = "".join(traceback.format_exception(error))[-4_000:]
        rejection = Rejection(Reason.PROCESSING_FAILED, detail, record.topic, record.value)
        connection = self._connect()
        with connection.transaction():
            add_rejections(connection, [rejection], datetime.now(UTC))
        self.counters.rejected += 1

    def _connect(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = self._open()
        return self._connection

    def _rollback(self) -> None:
        if self._connection is not None:
            try:
                self._connection.rollback()
            except psycopg.Error:
                self._drop_connection()

    def _drop_connection(self) -> None:
        try:
            self.close()
        except psycopg.Error:
            self._connection = None
