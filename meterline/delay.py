"""Measures the delay from publish to queryable row, by asking for the rows of sampled messages until they are there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psycopg
from numpy.typing import NDArray

from store.connection import Connection
from twin.ledger import PUBLISHED

_POLL_S = 0.1
_MOST_OUTSTANDING = 2_000

_ARRIVED = """
select k.n
from unnest(%(unit_id)s::int[], %(observed_at_us)s::bigint[], %(published_at_us)s::bigint[])
  with ordinality as k (unit_id, observed_at_us, published_at_us, n)
join telemetry.block b
  on b.unit_id = k.unit_id
  and b.observed_at = timestamptz 'epoch' + k.observed_at_us * interval '1 microsecond'
  -- A row of an earlier run under the same key is not this message.
  and b.received_at >= timestamptz 'epoch' + k.published_at_us * interval '1 microsecond'
where b.observed_at >= timestamptz 'epoch' + %(first)s * interval '1 microsecond'
  and b.observed_at <= timestamptz 'epoch' + %(last)s * interval '1 microsecond'
"""


@dataclass(frozen=True, slots=True)
class Delay:
    """Seconds from publish to a query that sees the row; an upper bound, since it is asked every 0.1 s."""

    samples: int
    waiting: int
    p50_s: float | None
    p99_s: float | None
    max_s: float | None


class DelayWatch:
    """Follows a ledger while it is written.

    Parameters
    ----------
    open_connection
        Opens a connection.
    ledger_dir
        Folder of the ledger; may not be there yet.
    units
        Unit id by position in the ledger's list; asked once the ledger is there.
    every
        One message in so many is followed.
    """

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        ledger_dir: Path,
        units: Callable[[], NDArray[np.int32]],
        every: int = 5,
    ) -> None:
        self._open = open_connection
        self._file = ledger_dir / "published.bin"
        self._units = units
        self._every = every
        self._read = 0
        self._outstanding = np.empty(0, PUBLISHED)
        self._delays: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delay-watch", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> Delay:
        """End and return what was measured."""
        self._stop.set()
        self._thread.join(timeout=10)
        return self.measured()

    def measured(self) -> Delay:
        """What was measured so far."""
        delays = np.array(self._delays)
        if not len(delays):
            return Delay(0, len(self._outstanding), None, None, None)
        p50, p99, most = (round(float(q), 3) for q in np.percentile(delays, [50, 99, 100]))
        return Delay(len(delays), len(self._outstanding), p50, p99, most)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._open() as connection:
                    connection.autocommit = True
                    while not self._stop.wait(_POLL_S):
                        self._take_new()
                        self._ask(connection)
            except psycopg.Error:
                # The store may be away for a while; what is outstanding keeps waiting, and shows in the delay.
                time.sleep(_POLL_S)

    def _take_new(self) -> None:
        try:
            with self._file.open("rb") as file:
                file.seek(self._read * PUBLISHED.itemsize)
                data = file.read()
        except FileNotFoundError:
            return
        rows = np.frombuffer(data, PUBLISHED, count=len(data) // PUBLISHED.itemsize)
        numbers = np.arange(self._read, self._read + len(rows))
        self._read += len(rows)
        room = max(0, _MOST_OUTSTANDING - len(self._outstanding))
        self._outstanding = np.concatenate([self._outstanding, rows[numbers % self._every == 0][:room]])

    def _ask(self, connection: Connection) -> None:
        waiting = self._outstanding
        if not len(waiting):
            return
        arguments = {
            "unit_id": self._units()[waiting["unit"]].tolist(),
            "observed_at_us": waiting["observed_at_us"].tolist(),
            "published_at_us": waiting["published_at_us"].tolist(),
            "first": int(waiting["observed_at_us"].min()),
            "last": int(waiting["observed_at_us"].max()),
        }
        seen = np.array([row[0] - 1 for row in connection.execute(_ARRIVED, arguments)], np.intp)
        now_us = time.time_ns() // 1_000
        if len(seen):
            self._delays += ((now_us - waiting["published_at_us"][seen]) / 1e6).tolist()
            keep = np.ones(len(waiting), np.bool_)
            keep[seen] = False
            self._outstanding = waiting[keep]
