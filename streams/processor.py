"""One batch from Kafka to the database: decode, join, read, settle, write in one transaction.

Nothing is acknowledged here; the agent does it when `process` has returned and the messages upwards are sent.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
import structlog

from grid.arrow import InvalidBlockError
from grid.block import decode_block
from grid.errors import Reason, Rejection
from grid.limits import Limits
from grid.roster import UnitView
from grid.unit_energy import UnitEnergies, decode_unit_energies
from store.blocks import StaleVersionError, read_blocks, write_blocks
from store.connection import STORE_ERRORS, Connection
from store.rejected import add_rejections
from streams.counters import Counters
from streams.steps.contribution import Contribution, from_block, from_energies
from streams.steps.settle import keys_to_read, settle
from streams.view_cache import ViewCache

log = structlog.get_logger("streams.processor")

ENERGY_UNIT = "energy.unit"
_STALE_TRIES = 20


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record, as far as a step needs it."""

    topic: str
    value: bytes


class Processor:
    """Settles batches through one database connection.

    Parameters
    ----------
    open_connection
        Opens a connection; called again after the connection was lost.
    counters
        Where it counts what it does.
    limits
        When figures are published.
    """

    def __init__(
        self, open_connection: Callable[[], Connection], counters: Counters, limits: Limits | None = None
    ) -> None:
        self._limits = limits or Limits()
        self._open = open_connection
        self._connection: Connection | None = None
        self.views = ViewCache()
        self.counters = counters

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
        psycopg.Error
            One of `STORE_ERRORS`, when the store can't be used or gives way: the batch may be tried again.
        """
        started = time.perf_counter()
        try:
            energies = self._process(records)
        except STORE_ERRORS:
            self._drop_connection()
            raise
        self.counters.batches += 1
        self.counters.records += len(records)
        self.counters.seconds += time.perf_counter() - started
        return energies

    def _process(self, records: Sequence[Record]) -> list[UnitEnergies]:
        try:
            return self._settle(records)
        except STORE_ERRORS:
            raise
        except Exception as error:  # one poisoned record must not stop all partitions
            log.exception("a batch failed; its records are tried one by one", records=len(records))
            self._rollback()
            if len(records) > 1:
                return [energy for record in records for energy in self._process([record])]
            self._reject(records[0], error)
            return []

    def _settle(self, records: Sequence[Record]) -> list[UnitEnergies]:
        connection = self._connect()
        for _ in range(_STALE_TRIES):
            # Joined again after a conflict: what moved the rows on may be a change of the model.
            contributions, rejections = self._join(connection, records)
            try:
                with connection.transaction():
                    stored = read_blocks(connection, keys_to_read(contributions))
                    settled = settle(contributions, stored, self._limits)
                    write_blocks(connection, settled.rows, settled.balances, settled.superseded)
                    if rejections:
                        add_rejections(connection, rejections, datetime.now(UTC))
                self.counters.committed([c.received_at_us for c in contributions], time.time())
                self.counters.readings += sum(len(c.positions) for c in contributions)
                self.counters.rows_written += len(settled.rows)
                self.counters.rejected += len(rejections)
                return settled.energies
            except (StaleVersionError, psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure):
                self.counters.conflicts += 1
        raise psycopg.OperationalError(f"rows moved on {_STALE_TRIES} times in a row")

    def _join(self, connection: Connection, records: Sequence[Record]) -> tuple[list[Contribution], list[Rejection]]:
        """What the records contribute, and what is refused."""
        rejections: list[Rejection] = []
        blocks = []
        energies = []
        codes: set[str] = set()
        for record in records:
            try:
                if record.topic == ENERGY_UNIT:
                    message = decode_unit_energies(record.value)
                    energies.append((record, message))
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
        known = [(record, message) for record, message in energies if message.parent in views]
        for of_parent in self._join_energies(connection, views, known):
            contributions += of_parent
        return contributions, rejections

    def _join_energies(
        self, connection: Connection, views: dict[str, UnitView], energies: list[tuple[Record, UnitEnergies]]
    ) -> list[list[Contribution]]:
        joined = [from_energies(message, views[message.parent]) for _, message in energies]
        # A parent that doesn't know a child is the older view of the two: the child's own named the parent.
        older = {c.view.unit for of_parent in joined for c in of_parent if c.positions.min() < 0}
        if not older:
            return joined
        for code in older:
            self.views.drop(code)
        views |= self.views.get(connection, older)
        connection.commit()
        return [from_energies(message, views[message.parent]) for _, message in energies]

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
