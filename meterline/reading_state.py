"""A gatherer of single readings writes down every few seconds how far it is behind, as workers do, for the boards."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from ingest.sources.kafka import ReadingGatherer
from store.connection import STORE_ERRORS, Connection
from store.worker_state import PartState, add_state

log = structlog.get_logger("meterline.reading_state")

_EVERY_S = 10.0


class ReadingStateTeller:
    """Tells what a gatherer did since it told the last time.

    Parameters
    ----------
    open_connection
        Opens a connection to the store.
    instance
        Name of the gatherer in its group.
    gatherer
        What is told of.
    """

    def __init__(self, open_connection: Callable[[], Connection], instance: str, gatherer: ReadingGatherer) -> None:
        self._open = open_connection
        self._name = f"readings-{instance}"
        self._gatherer = gatherer
        self._told_s = time.monotonic()
        self._taken = self._dropped = 0

    def run(self, stop: threading.Event) -> None:
        """Tell every few seconds until `stop` is set; what the store doesn't take is told the next time."""
        while not stop.wait(_EVERY_S):
            try:
                self.tell()
            except STORE_ERRORS as error:
                log.warning("the gatherer's state could not be told; trying again later", error=str(error))

    def tell(self) -> None:
        """Write a row.

        Raises
        ------
        psycopg.Error
            When the store can't be used.
        """
        now_s, taken, dropped = time.monotonic(), self._gatherer.taken, sum(dict(self._gatherer.dropped).values())
        lag = self._gatherer.lag
        part = PartState(
            "readings",
            sum(lag.values()) if lag else None,  # without a poll lately nothing is known
            batches=0,
            records=taken - self._taken,
            readings=taken - self._taken,
            # The workers that store what was refused count it.
            rejected=0,
            dropped=dropped - self._dropped,
            flush_s=None,
            slowest_flush_s=None,
        )
        with self._open() as connection:
            add_state(connection, self._name, datetime.now(UTC), now_s - self._told_s, [part])
        self._told_s, self._taken, self._dropped = now_s, taken, dropped
