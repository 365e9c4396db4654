"""The grid model at present, read at once for comparison with the source systems."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from sys import intern
from typing import Any

from grid.present import AccountView, AreaView, EdgeView, GridView, MeterView
from store.connection import Connection, stream
from store.sql import load_queries

_SQL = load_queries("sync_grid")


def read_grid_view(connection: Connection) -> GridView:
    """What the model says of now, inside a transaction."""
    return GridView(
        dict(connection.execute(_SQL["feeders"]).fetchall()),
        [AreaView(*row) for row in connection.execute(_SQL["areas"])],
        [_meter(*row) for row in stream(connection, _SQL["meters"])],
        [AccountView(*row) for row in stream(connection, _SQL["accounts"])],
        [EdgeView(*row) for row in connection.execute(_SQL["segments"])],
        [EdgeView(*row) for row in connection.execute(_SQL["switches"])],
        dict(connection.execute(_SQL["breakers"]).fetchall()),
    )


def _meter(code: str, unit: str | None, *rest: Any) -> MeterView:
    # The code of a unit is that of hundreds of meters: it is kept once.
    return MeterView(code, None if unit is None else intern(unit), *rest)


def read_former_values(connection: Connection) -> Iterator[tuple[str, str, str, float | str | None]]:
    """Kind, code, field and value of what the model says that it was before, over the last years."""
    for kind, code, field, number, text in stream(connection, _SQL["former"]):
        yield kind, code, field, text if number is None else number


def read_measured(connection: Connection, at: datetime) -> list[tuple[str, str, float]]:
    """Meter, area and confidence of what voltages said within the last weeks."""
    return [(row[0], row[1], row[2]) for row in connection.execute(_SQL["measured"], {"at": at})]
