"""The grid model at present, read at once for comparison with the source systems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from sys import intern

from grid.present import AccountView, AreaView, EdgeView, GridView, MeterView
from store.connection import Connection, stream
from store.sql import load_queries

_SQL = load_queries("sync_grid")


def read_grid_view(connection: Connection) -> GridView:
    """What the model says of now, inside a transaction."""
    accounts = {row[0]: _account(*row) for row in stream(connection, _SQL["accounts"])}
    return GridView(
        dict(connection.execute(_SQL["feeders"]).fetchall()),
        [AreaView(*row) for row in connection.execute(_SQL["areas"])],
        {row[0]: _meter(accounts, *row) for row in stream(connection, _SQL["meters"])},
        accounts,
        [EdgeView(*row) for row in connection.execute(_SQL["segments"])],
        [EdgeView(*row) for row in connection.execute(_SQL["switches"])],
        dict(connection.execute(_SQL["breakers"]).fetchall()),
    )


# Codes of units and accounts, tariffs and the usual numbers stand in many of a million rows: each is kept once.
@lru_cache(maxsize=10_000)
def _once(value: float) -> float:
    return value


def _account(code: str, tariff_class: str, contract_w: float, status: str) -> AccountView:
    return AccountView(code, intern(tariff_class), _once(contract_w), intern(status))


def _meter(
    accounts: Mapping[str, AccountView],
    code: str,
    unit: str | None,
    role: int,
    multiplier: float,
    accuracy_class: float,
    account: str | None,
) -> MeterView:
    known = None if account is None else accounts.get(account)
    return MeterView(
        code,
        None if unit is None else intern(unit),
        role,
        _once(multiplier),
        _once(accuracy_class),
        account if known is None else known.code,
    )


def read_former_values(connection: Connection) -> Iterator[tuple[str, str, str, float | str | None]]:
    """Kind, code, field and value of what the model says that it was before, over the last years."""
    for kind, code, field, number, text in stream(connection, _SQL["former"]):
        yield kind, code, field, text if number is None else number


def read_measured(connection: Connection, at: datetime) -> list[tuple[str, str, float]]:
    """Meter, area and confidence of what voltages said within the last weeks."""
    return [(row[0], row[1], row[2]) for row in connection.execute(_SQL["measured"], {"at": at})]
