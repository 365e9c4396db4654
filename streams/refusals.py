"""Writes what ingest refused from its Kafka topic to the rejected store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from grid.errors import Rejection
from store.connection import STORE_ERRORS, Connection
from store.held import HeldConnection
from store.rejected import add_rejections


class RefusalWriter:
    """Stores rejections through a connection of its own.

    Parameters
    ----------
    open_connection
        Opens a connection; called again after the connection was lost.
    """

    def __init__(self, open_connection: Callable[[], Connection]) -> None:
        self._held = HeldConnection(open_connection)

    def write(self, rejections: Sequence[Rejection]) -> None:
        """Make `rejections` durable.

        Raises
        ------
        psycopg.Error
            One of `STORE_ERRORS`, when the store can't be used; nothing is written.
        """
        connection = self._held.get()
        try:
            with connection.transaction():
                add_rejections(connection, rejections, datetime.now(UTC))
        except STORE_ERRORS:
            self._held.close()
            raise
