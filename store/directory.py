"""The directory that ingest asks, held in memory and read again when a unit is not known."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, tzinfo

import psycopg
import structlog

from grid.model import UnitKind
from store.connection import Connection
from store.views import load_directory

log = structlog.get_logger("store.directory")

#: However many unknown units are invented, the store is asked at most this often.
_REFRESH_S = 5.0


class StoredDirectory:
    """Implements `grid.ports.Directory`. The store must be there when it is made; later it may be away.

    Parameters
    ----------
    open_connection
        Opens a connection; it is closed after each reading.
    zone
        The utility's time zone.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        zone: tzinfo = UTC,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.zone = zone
        self._open = open_connection
        self._clock = clock
        self._units: dict[str, tuple[UnitKind, str | None]] = {}
        self._read_at = float("-inf")
        self._load()

    def unit_kind(self, unit: str) -> UnitKind | None:
        """Kind of a unit; None when it is not known even to a reading of the last few seconds."""
        if unit not in self._units:
            self._refresh()
        known = self._units.get(unit)
        return None if known is None else known[0]

    def may_send(self, gateway: str, unit: str) -> bool:
        """Whether the account reads the unit."""
        known = self._units.get(unit)
        if known is not None and known[1] != gateway:
            self._refresh()
            known = self._units.get(unit)
        return known is not None and known[1] == gateway

    def _refresh(self) -> None:
        if self._clock() - self._read_at < _REFRESH_S:
            return
        try:
            self._load()
        except psycopg.OperationalError as error:
            # Ingest goes on with what it knows: an unknown unit is quarantined, and that must not stop the others.
            log.warning("the directory can't be read again", error=str(error))
            self._read_at = self._clock()

    def _load(self) -> None:
        with self._open() as connection:
            self._units = load_directory(connection)
        self._read_at = self._clock()
