"""Until which time of recording results are complete."""

from __future__ import annotations

from datetime import datetime

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("horizon")


def read_horizon(connection: Connection, at_most_s: float | None = None) -> datetime:
    """Time of recording up to which all that is ever recorded is committed.

    Parameters
    ----------
    at_most_s
        It lies no further back than this: what a longer transaction records may then still come. None: no bound.
    """
    horizon: datetime = connection.execute(_SQL["horizon"], {"at_most_s": at_most_s}).fetchall()[0][0]
    return horizon
