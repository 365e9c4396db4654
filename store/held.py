"""A connection that is kept between uses and opened again after it was lost."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import structlog

from store.connection import Connection

log = structlog.get_logger("store.held")


class HeldConnection:
    """Holds one connection for one user at a time.

    Parameters
    ----------
    open_connection
        Opens a connection; called at the first use and again after the connection was lost.
    """

    def __init__(self, open_connection: Callable[[], Connection]) -> None:
        self._open = open_connection
        self._connection: Connection | None = None

    def get(self) -> Connection:
        """The connection, opened where there is none.

        Raises
        ------
        psycopg.Error
            When it can't be opened.
        """
        if self._connection is None or self._connection.closed:
            self._connection = self._open()
        return self._connection

    def rollback(self) -> None:
        """Leave what was begun; a connection that can't is given up."""
        if self._connection is not None:
            try:
                self._connection.rollback()
            except psycopg.Error:
                self.close()

    def close(self) -> None:
        """Give the connection up; the next use opens another."""
        held, self._connection = self._connection, None
        if held is not None:
            try:
                held.close()
            except psycopg.Error as error:
                log.warning("a connection can't be closed", error=str(error))
