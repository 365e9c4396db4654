"""A worker writes down every few seconds how far it is behind and how long its writes took."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from grid.topics import (
    ENERGY_UNIT,
    GRID_RESETTLE,
    TELEMETRY_AREA,
    TELEMETRY_BACKFILL,
    TELEMETRY_EVENT,
    TELEMETRY_REJECTED,
    TELEMETRY_SCADA,
)
from store.connection import Connection
from store.worker_state import PartState, add_state
from streams.counters import Vitals

#: Which part of a worker takes a topic.
PART_OF: Mapping[str, str] = {
    TELEMETRY_AREA: "areas",
    ENERGY_UNIT: "greater",
    TELEMETRY_SCADA: "scada",
    TELEMETRY_EVENT: "events",
    GRID_RESETTLE: "again",
    TELEMETRY_BACKFILL: "backfill",
    TELEMETRY_REJECTED: "refusals",
}


#: Of a part since the worker started: batches, records, readings, refused, dropped, seconds of flushes.
_Figures = tuple[int, int, int, int, int, float]


class StateTeller:
    """Tells what a worker's parts did since it told the last time.

    Parameters
    ----------
    open_connection
        Opens a connection to the store.
    worker
        Name of the worker in its group.
    vitals
        What is told.
    """

    def __init__(self, open_connection: Callable[[], Connection], worker: str, vitals: Vitals) -> None:
        self._open = open_connection
        self._worker = worker
        self._vitals = vitals
        self._told_s = time.monotonic()
        self._told: dict[str, _Figures] = {}

    def tell(self) -> None:
        """Write a row of each part.

        Raises
        ------
        psycopg.Error
            When the store can't be used; what it would have told is told the next time.
        """
        now_s = time.monotonic()
        lag = lag_of_parts({**self._vitals.lag, **self._vitals.backfill_lag})
        figures = _figures(self._vitals)
        parts = []
        for part, counters in self._vitals.by_name().items():
            before = self._told.get(part, (0, 0, 0, 0, 0, 0.0))
            now = figures[part]
            batches, records, readings, rejected, dropped, seconds = (
                new - old for new, old in zip(now, before, strict=True)
            )
            parts.append(
                PartState(
                    part,
                    # Without any answer of Kafka's nothing is known; with one, a part without records has none.
                    lag.get(part, 0) if self._vitals.lag else None,
                    int(batches),
                    int(records),
                    int(readings),
                    int(rejected),
                    int(dropped),
                    seconds / batches if batches else None,
                    counters.slowest_flush_s if batches else None,
                )
            )
        with self._open() as connection:
            add_state(connection, self._worker, datetime.now(UTC), now_s - self._told_s, parts)
        self._told_s, self._told = now_s, figures
        for counters in self._vitals.by_name().values():
            counters.slowest_flush_s = 0.0


def lag_of_parts(lag: Mapping[tuple[str, int], int]) -> dict[str, int]:
    """Records by the part of a worker, from those by topic and partition."""
    found: Counter[str] = Counter()
    for (topic, _), records in lag.items():
        found[PART_OF[topic]] += records
    return dict(found)


def _figures(vitals: Vitals) -> dict[str, _Figures]:
    dropped = lag_of_parts(vitals.dropped)
    return {
        part: (
            int(counters.flush.counts.sum()),
            counters.records,
            counters.readings,
            # Points are counted by themselves.
            counters.rejected + (vitals.points.rejected if part == "scada" else 0),
            dropped.get(part, 0),
            counters.flush.total,
        )
        for part, counters in vitals.by_name().items()
    }
