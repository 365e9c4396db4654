"""Device events from Kafka to the database, each batch in one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import numpy as np
import structlog

from grid.arrow import InvalidBlockError
from grid.device_events import EventBatch, decode_events
from grid.errors import Reason, Rejection
from store.connection import STORE_ERRORS, Connection
from store.events import write_events
from store.held import HeldConnection
from store.rejected import add_rejections
from streams.counters import Counters
from streams.join import Record

log = structlog.get_logger("streams.events")

#: A message and what it says.
Taken = tuple[Record, EventBatch]


class EventProcessor:
    """Makes batches of device events durable, through one database connection.

    Parameters
    ----------
    open_connection
        Opens a connection; called again after the connection was lost.
    counters
        Where it counts what it does.
    """

    def __init__(self, open_connection: Callable[[], Connection], counters: Counters) -> None:
        self._held = HeldConnection(open_connection)
        self.counters = counters

    def close(self) -> None:
        """Close the connection."""
        self._held.close()

    def process(self, records: Sequence[Record]) -> None:
        """Store the events of a batch; those of unknown meters are quarantined.

        A record that fails for a reason of its own goes to the rejected store, alone.

        Raises
        ------
        psycopg.Error
            One of `STORE_ERRORS`, when the store can't be used: the batch may be tried again.
        """
        started = time.perf_counter()
        taken, rejections = _decoded(records)
        try:
            self._process(taken, rejections)
        except STORE_ERRORS:
            self._held.close()
            raise
        self.counters.batches += 1
        self.counters.records += len(records)
        self.counters.seconds += time.perf_counter() - started

    def _process(self, taken: Sequence[Taken], rejections: Sequence[Rejection]) -> None:
        try:
            self._take(taken, rejections)
        except STORE_ERRORS:
            raise
        except Exception as error:  # one poisoned record must not stop all partitions
            log.exception("a batch of device events failed; its records are tried one by one", records=len(taken))
            self._held.rollback()
            if len(taken) == 1:
                rejections = [*rejections, Rejection.of_failure(error, taken[0][0].topic, taken[0][0].value)]
            self._take((), rejections)
            if len(taken) > 1:
                for each in taken:
                    self._process([each], ())

    def _take(self, taken: Sequence[Taken], refused: Sequence[Rejection]) -> None:
        if not taken and not refused:
            return
        connection = self._held.get()
        batches = [batch for _, batch in taken]
        rejections = list(refused)
        with connection.transaction():
            written = write_events(connection, batches)
            for number, meters in written.unknown.items():
                record, batch = taken[number]
                detail = f"{len(meters)} meters are not known in unit {batch.unit!r} at the time"
                rejections.append(Rejection(Reason.UNKNOWN_METER, detail, record.topic, record.value, meters))
            add_rejections(connection, rejections, datetime.now(UTC))
        counters = self.counters
        counters.readings += sum(map(len, batches))
        counters.rows_written += written.rows
        counters.refused(rejections)
        observed = np.concatenate([batch.observed_at_us for batch in batches]) if batches else ()
        counters.committed([batch.received_at_us for batch in batches], time.time(), observed)


def _decoded(records: Sequence[Record]) -> tuple[list[Taken], list[Rejection]]:
    taken, rejections = [], []
    for record in records:
        try:
            taken.append((record, decode_events(record.value)))
        except InvalidBlockError as error:
            rejections.append(Rejection(Reason.INVALID_BLOCK, str(error), record.topic, record.value))
    return taken, rejections
