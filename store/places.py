"""The places of meters that ingest asks for, held in memory and read again where the grid model has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, tzinfo

import psycopg
import pyarrow as pa
import structlog

from grid.model import UnitKind
from grid.places import UnitPlaces
from grid.roster import BEGINNING_US, END_US
from store.connection import Connection, allow_long, read_whole_tables
from store.outbox import changes_since, last_change
from store.sql import load_queries

log = structlog.get_logger("store.places")

_SQL = load_queries("places")
#: The model is asked what has changed at most this often.
_EVERY_S = 0.5


def load_places(connection: Connection, units: set[str] | None = None) -> dict[str, UnitPlaces]:
    """Stays of meters, as believed now, by their unit; of all units or of these."""
    arguments = {
        "codes": None if units is None else sorted(units),
        "beginning": BEGINNING_US,
        "end": END_US,
    }
    with connection.transaction(), connection.cursor(binary=True) as cursor:
        if units is None:
            allow_long(connection)
            read_whole_tables(connection)
        return {
            unit: UnitPlaces(unit, UnitKind(kind), pa.array(meters, pa.string()), from_us, to_us)
            for unit, kind, meters, from_us, to_us in cursor.execute(_SQL["places"], arguments)
        }


class StoredPlaces:
    """Implements `grid.ports.Places`. The store must be there when it is made; later it may be away.

    Parameters
    ----------
    open_connection
        Opens a connection; called again after the connection was lost.
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
        self._connection: Connection | None = open_connection()
        # First how far the model has come: what changes while it is read is read again.
        self._seen = last_change(self._connection)
        self._connection.commit()
        self._units = load_places(self._connection)
        self._next_s = float("-inf")

    @property
    def units(self) -> Mapping[str, UnitPlaces]:
        """Stays of meters by the code of their unit, as last read."""
        return self._units

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def refresh(self) -> bool:
        """Read what has changed; whether anything has."""
        if self._clock() < self._next_s:
            return False
        try:
            changed = self._read()
        except psycopg.Error as error:
            # Ingest goes on with what it knows: a meter that isn't known is quarantined.
            log.warning("the places of meters can't be read again", error=str(error))
            self.close()
            changed = False
        self._next_s = self._clock() + _EVERY_S
        return changed

    def _read(self) -> bool:
        if self._connection is None:
            self._connection = self._open()
        seen, units = changes_since(self._connection, self._seen)
        self._connection.commit()
        if units:
            found = load_places(self._connection, units)
            self._units = {code: places for code, places in self._units.items() if code not in units} | found
        self._seen = seen
        return bool(units)
