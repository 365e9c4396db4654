"""Device events in the store."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.csv

from grid.device_events import EventBatch
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("events")
_INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A device event as it is stored; `received_at` and `sequence` are those of the first message that said it."""

    unit: str
    meter: str
    kind: str
    observed_at: datetime
    received_at: datetime
    sequence: int


@dataclass(frozen=True, slots=True)
class WrittenEvents:
    """What became of a batch.

    Attributes
    ----------
    rows
        New, or moved to a message that was received earlier.
    unknown
        By number of the message: meters that were no members of its unit at the time, whose events aren't stored.
    """

    rows: int
    unknown: dict[int, tuple[str, ...]]


def write_events(connection: Connection, batches: Sequence[EventBatch]) -> WrittenEvents:
    """Store events of known meters inside the caller's transaction; a repeat changes nothing."""
    if not batches:
        return WrittenEvents(0, {})
    with connection.cursor() as cursor:
        cursor.execute(_SQL["stage"])
        with cursor.copy(_SQL["copy"]) as copy:
            copy.write(_csv(batches))
        unknown: dict[int, list[str]] = {}
        for message, meter in cursor.execute(_SQL["unknown"]).fetchall():
            unknown.setdefault(message, []).append(meter)
        cursor.execute(_SQL["write"])
        rows = cursor.rowcount
    return WrittenEvents(rows, {message: tuple(meters) for message, meters in unknown.items()})


def list_events(
    connection: Connection, since: datetime, unit: str | None = None, kind: str | None = None, limit: int = 1_000
) -> list[StoredEvent]:
    """Events that happened at `since` or later, the latest first; of one unit or kind where it is given."""
    arguments = {"since": since, "unit": unit, "kind": kind, "limit": limit}
    return [StoredEvent(*row) for row in connection.execute(_SQL["list"], arguments)]


def _csv(batches: Sequence[EventBatch]) -> bytes:
    """Rows for COPY, written by Arrow: no Python for each event."""
    sizes = [len(batch) for batch in batches]
    messages = np.repeat(np.arange(len(batches), dtype=np.int32), sizes)
    units = pa.array([batch.unit for batch in batches], pa.string())
    table = pa.table(
        {
            "message": messages,
            "unit": units.take(pa.array(messages)),
            "meter": pa.chunked_array([batch.meters for batch in batches], pa.string()),
            "observed_at": pa.array(np.concatenate([batch.observed_at_us for batch in batches])).cast(_INSTANT),
            "kind": pa.chunked_array([batch.kinds for batch in batches], pa.string()),
            "sequence": np.repeat(np.array([batch.sequence for batch in batches], np.int64), sizes),
            "received_at": pa.array(
                np.repeat(np.array([batch.received_at_us for batch in batches], np.int64), sizes)
            ).cast(_INSTANT),
        }
    )
    sink = io.BytesIO()
    pyarrow.csv.write_csv(table, sink, pyarrow.csv.WriteOptions(include_header=False))
    return sink.getvalue()
