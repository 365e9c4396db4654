"""One batch from Kafka to the database: decode, join, read, settle, write in one transaction.

Nothing is acknowledged here; the agent does it when `process` has returned and the messages upwards are sent.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import structlog

from grid.due import is_due
from grid.errors import Rejection
from grid.limits import Limits
from grid.line_network import LineNetwork
from grid.loss_rules import LossRules
from grid.model import UnitKind
from grid.resettle import Resettle
from grid.unit_energy import UnitEnergies
from store.block_writer import write_blocks
from store.blocks import StaleVersionError, lock_units, read_blocks
from store.connection import STORE_ERRORS, Connection
from store.held import HeldConnection
from store.line_networks import LineNetworks
from store.outbox import changes_since, last_change, lock_model
from store.rejected import add_rejections
from store.resettling import former_homes, intervals_of
from store.thresholds import load_thresholds, newest_threshold
from streams.counters import Counters
from streams.estimating import estimates_for
from streams.join import Record, join
from streams.steps.contribution import Cause, Contribution, Key, look_again
from streams.steps.moves import Home, adopted
from streams.steps.registers import before, with_registers
from streams.steps.settle import Settled, keys_to_read, settle
from streams.view_cache import ViewCache

log = structlog.get_logger("streams.processor")

_STALE_TRIES = 20
#: Intervals that are settled again in one transaction.
_PAGE = 200

#: Intervals that orders to publish name in one transaction.
_MAX_DUE = 1_000

#: Bytes of records in one transaction: decoded and merged they take several times that, and most where all of their
#: meters are unknown, of which each is named.
_MAX_BYTES = 8_000_000

#: What is to be settled, and what is refused.
Joined = tuple[list[Contribution], list[Rejection]]


class _ModelMovedError(RuntimeError):
    """What is believed of a unit of the batch has changed since it was joined."""


#: After these a batch is joined and settled again.
_AGAIN = (
    _ModelMovedError,
    StaleVersionError,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)


class Processor:
    """Settles batches through one database connection.

    Parameters
    ----------
    open_connection
        Opens a connection; called again after the connection was lost.
    counters
        Where it counts what it does.
    limits, rules
        When figures are published, and what losses are judged by.
    views
        What it holds of the grid model.
    """

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        counters: Counters,
        limits: Limits | None = None,
        rules: LossRules | None = None,
        views: ViewCache | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._rules = rules or LossRules()
        self._held = HeldConnection(open_connection)
        self.views = views or ViewCache()
        self._model_seen: int | None = None
        self._lines = LineNetworks()
        self._threshold_seen = 0
        self.counters = counters

    def close(self) -> None:
        """Close the connection."""
        self._held.close()

    def process(self, records: Sequence[Record]) -> list[UnitEnergies]:
        """Make the effects of `records` durable; returns what the units above must be told.

        A record that fails for a reason of its own goes to the rejected store, alone; it is found by halves, so that of
        a thousand only some twenty transactions are tried.

        Raises
        ------
        psycopg.Error
            One of `STORE_ERRORS`, when the store can't be used or gives way: the batch may be tried again.
        """
        started = time.perf_counter()
        try:
            energies = self._process(records)
        except STORE_ERRORS:
            self._held.close()
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
            self._held.rollback()
            if len(records) > 1:
                log.warning("a batch failed; its halves are tried", records=len(records), error=repr(error))
                half = len(records) // 2
                return self._process(records[:half]) + self._process(records[half:])
            log.exception("a record failed; it is refused", topic=records[0].topic)
            self._reject(records[0], error)
            return []

    def _settle(self, records: Sequence[Record]) -> list[UnitEnergies]:
        connection = self._held.get()
        views, zone = self.views, self._rules.zone
        return [
            energies
            for part in _bounded(records)
            for energies in self._commit(connection, functools.partial(join, connection, views, part, zone))
        ]

    def settle_again(self, order: Resettle) -> Iterator[list[UnitEnergies]]:
        """Settle intervals with what is believed of their unit now; yields what the units above must be told.

        A page of intervals is durable before its energies are yielded. The same again changes nothing.

        Raises
        ------
        psycopg.Error
            One of `STORE_ERRORS`, as `process`.
        """
        try:
            connection = self._held.get()
            self.views.drop(order.unit)
            view = self.views.get(connection, {order.unit}).get(order.unit)
            homes = {} if view is None else former_homes(connection, view.unit_id)
            connection.commit()
            if view is None or not view.size:
                return
            units = [view.unit_id, *sorted({unit for places in homes.values() for unit, _, _ in places})]
            for page in intervals_of(connection, units, order.from_us, order.to_us, _PAGE):
                connection.commit()
                keys = [(view.unit_id, observed_at_us, interval_s) for observed_at_us, interval_s in page]
                yield self._commit(connection, functools.partial(self._again, connection, keys, homes, order))
        except STORE_ERRORS:
            self._held.close()
            raise

    def _commit(self, connection: Connection, make: Callable[[], Joined]) -> list[UnitEnergies]:
        for attempt in range(_STALE_TRIES):
            # Where nothing has moved, the look in the transaction is enough. Joined again after a conflict: what moved
            # the rows on may be a change of the model.
            if attempt or self._model_seen is None:
                self._catch_up(connection)
                connection.commit()
            contributions, rejections = make()
            try:
                with connection.transaction():
                    self._check_model(connection, contributions)
                    settled = self._write(connection, contributions)
                    if rejections:
                        add_rejections(connection, rejections, datetime.now(UTC))
                self.counters.committed(
                    [c.received_at_us for c in contributions], time.time(), [c.observed_at_us for c in contributions]
                )
                self.counters.readings += sum(len(c.positions) for c in contributions)
                self.counters.rows_written += len(settled.rows)
                self.counters.refused(rejections)
                self.counters.published += settled.published
                return settled.energies
            except _AGAIN:
                self.counters.conflicts += 1
        raise psycopg.OperationalError(f"rows moved on {_STALE_TRIES} times in a row")

    def _again(
        self, connection: Connection, keys: Sequence[Key], homes: dict[str, list[Home]], order: Resettle
    ) -> Joined:
        view = self.views.get(connection, {order.unit})[order.unit]
        others = {unit for places in homes.values() for unit, _, _ in places}
        wanted = {k[1:] for key in keys for k in (key, *before(key))}
        stored = read_blocks(connection, sorted((unit, *interval) for unit in others for interval in wanted))
        connection.commit()
        contributions = []
        for key in keys:
            if stored:
                contributions += adopted(view, key, homes, stored, order.recorded_us)
            contributions.append(look_again(view, key[1], key[2], order.recorded_us, Cause.MODEL))
        return contributions, []

    def _check_model(self, connection: Connection, contributions: Sequence[Contribution]) -> None:
        lock_model(connection)
        if self._catch_up(connection) & {c.view.unit for c in contributions}:
            raise _ModelMovedError

    def _catch_up(self, connection: Connection) -> set[str]:
        """Drop views of units whose model has changed since the last look; returns their codes.

        Word of changes on Kafka is faster for units that are seldom asked for; this is what makes sure that no batch is
        written by an older view than the orders to settle again have come after.
        """
        if self.views.frozen:
            return set()
        if self._model_seen is None:
            self._model_seen = last_change(connection)
            self.views.clear()
            return set()
        seen = self._model_seen
        self._model_seen, units = changes_since(connection, seen)
        if self._model_seen != seen:
            self._lines.clear()
        for unit in units:
            self.views.drop(unit)
        return units

    def _write(self, connection: Connection, contributions: Sequence[Contribution]) -> Settled:
        registers = sorted({c.view.unit_id for c in with_registers(contributions)})
        if registers:
            # A register concerns two rows, of which one may not be there yet for another worker's eyes.
            lock_units(connection, registers)
        stored = read_blocks(connection, keys_to_read(contributions))
        lines = self._lines_of(connection, contributions)
        rules = self._rules_now(connection)
        settled = settle(contributions, stored, self._limits, rules, lines)
        if settled.gaps and (made := estimates_for(connection, settled, rules, self.counters)):
            settled = settle([*contributions, *made], stored, self._limits, rules, lines)
        write_blocks(connection, settled.rows, settled.balances, settled.superseded)
        return settled

    def _rules_now(self, connection: Connection) -> LossRules:
        """The rules with what the database says of thresholds."""
        newest = newest_threshold(connection)
        if newest != self._threshold_seen:
            self._threshold_seen = newest
            thresholds = load_thresholds(connection, self._rules.thresholds.of_kind)
            self._rules = replace(self._rules, thresholds=thresholds)
        return self._rules

    def _lines_of(self, connection: Connection, contributions: Sequence[Contribution]) -> dict[Key, LineNetwork]:
        """What the feeders of a batch consist of; of an earlier belief it isn't known."""
        if self.views.frozen:
            return {}
        of_feeders = {c.key: c.view.unit for c in contributions if c.view.kind is UnitKind.FEEDER}
        found = {
            key: self._lines.get(connection, unit, key[1] - key[2] * 1_000_000) for key, unit in of_feeders.items()
        }
        return {key: line for key, line in found.items() if line is not None}

    def _reject(self, record: Record, error: Exception) -> None:
        rejection = Rejection.of_failure(error, record.topic, record.value)
        connection = self._held.get()
        with connection.transaction():
            add_rejections(connection, [rejection], datetime.now(UTC))
        self.counters.refused([rejection])


def _bounded(records: Sequence[Record]) -> Iterator[list[Record]]:
    """Batches of the records, in order, with bounded bytes and a bounded number of intervals that orders name."""
    batch: list[Record] = []
    due = size = 0
    for record in records:
        intervals = record.value.count(b"[") if is_due(record.value) else 0
        if batch and (due + intervals > _MAX_DUE or size + len(record.value) > _MAX_BYTES):
            yield batch
            batch, due, size = [], 0, 0
        batch.append(record)
        due += intervals
        size += len(record.value)
    yield batch
