"""What a worker tells of itself, for those who see the database alone: the boards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("worker_state")
_KEPT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PartState:
    """One part of a worker since it told the last time.

    Attributes
    ----------
    part
        Name as in `streams.counters.Vitals.by_name`, or ``readings`` of a gatherer of single readings.
    lag_records
        Records that are not acknowledged; None while Kafka doesn't tell.
    batches, records, readings
        Made durable since.
    rejected
        Put into the rejected store since; the same input again counts again.
    dropped
        Records that Kafka removed since for their age, before they were taken.
    flush_s, slowest_flush_s
        Mean and longest seconds from taking a batch to its commit; None without a batch.
    """

    part: str
    lag_records: int | None
    batches: int
    records: int
    readings: int
    rejected: int
    dropped: int
    flush_s: float | None
    slowest_flush_s: float | None


def add_state(connection: Connection, worker: str, at: datetime, over_s: float, parts: Sequence[PartState]) -> None:
    """Add what a worker's parts did in the `over_s` seconds up to `at`; what is older than a day is forgotten.

    Raises
    ------
    psycopg.Error
        When the store can't be used.
    """
    columns = {name: [getattr(part, name) for part in parts] for name in PartState.__slots__}
    connection.execute(_SQL["add"], {**columns, "worker": worker, "at": at, "over_s": over_s})
    connection.execute(_SQL["forget"], {"before": at - _KEPT})
