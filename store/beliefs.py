"""One way to write what is believed of an entity, for every table that has a valid and a recorded period.

A row is never overwritten: its recorded period gets an end, and new rows say what is believed now. All functions work
inside the caller's transaction, which begins with `store.outbox.begin_change`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from grid.membership import StatePeriod
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("beliefs")


@dataclass(frozen=True, slots=True)
class Relation:
    """A bitemporal table of schema `grid`: its key and what it says of it."""

    table: str
    key: str
    columns: tuple[str, ...]

    def names(self) -> dict[str, sql.Composable]:
        """Its identifiers, for statements that are written for any such table."""
        return {
            "table": sql.Identifier("grid", self.table),
            "key": sql.Identifier(self.key),
            "columns": sql.SQL(", ").join(map(sql.Identifier, self.columns)),
            "values": sql.SQL(", ").join(map(sql.Placeholder, self.columns)),
        }


UNIT_STATE = Relation(
    "unit_state",
    "unit_id",
    (
        "name",
        "substation",
        "gateway",
        "owner",
        "rating_va",
        "no_load_loss_w",
        "load_loss_w",
        "longitude_deg",
        "latitude_deg",
        "metered_side",
    ),
)
ACCOUNT_STATE = Relation("account_state", "account_id", ("tariff_class", "contract_w", "status"))
METER_STATE = Relation("meter_state", "meter_id", ("accuracy_class", "register_modulus_wh", "ct_class", "pt_class"))
AREA_NETWORK = Relation(
    "area_network",
    "unit_id",
    (
        "parent",
        "resistance_ohm",
        "reactance_ohm",
        "zero_resistance_ohm",
        "zero_reactance_ohm",
        "meters",
        "meter_node",
    ),
)
ORGANISATION_STATE = Relation("organisation_state", "organisation_id", ("name", "parent_id"))
INSTALLATION = Relation("installation", "usage_point_id", ("meter_id",))
INSTALLED_METER = Relation("installation", "meter_id", ("usage_point_id",))
SERVICE = Relation("service", "usage_point_id", ("account_id",))
RESPONSIBILITY = Relation("responsibility", "unit_id", ("duty", "organisation_id", "person_id"))


def read_beliefs(connection: Connection, relation: Relation, key: int) -> list[StatePeriod]:
    """What is now believed of one entity, in order of time."""
    statement = sql.SQL(_SQL["believed"]).format(**relation.names())
    return [
        StatePeriod(row[0], dict(zip(relation.columns, row[3:], strict=True)), row[1], row[2])
        for row in connection.execute(statement, {"key": key})
    ]


def give_up_belief(connection: Connection, relation: Relation, belief_id: int, instant: datetime) -> None:
    """End the recorded period of one row."""
    statement = sql.SQL(_SQL["close"]).format(**relation.names())
    closed = connection.execute(statement, {"belief_id": belief_id, "instant": instant}).rowcount
    if closed != 1:
        raise RuntimeError(f"{closed} rows, and not one, of grid.{relation.table} hold belief {belief_id}")


def add_belief(connection: Connection, relation: Relation, key: int, period: StatePeriod, instant: datetime) -> None:
    """Record what is believed of one valid period from `instant` on."""
    statement = sql.SQL(_SQL["add"]).format(**relation.names())
    connection.execute(
        statement,
        {
            **period.values,
            "key": key,
            "valid_from": period.valid_from,
            "valid_to": period.valid_to,
            "instant": instant,
        },
    )


def replace_beliefs(
    connection: Connection,
    relation: Relation,
    key: int,
    old: Sequence[StatePeriod],
    new: Sequence[StatePeriod],
    instant: datetime,
) -> None:
    """Give up all of `old`, then record all of `new`."""
    for period in old:
        if period.belief_id is not None:
            give_up_belief(connection, relation, period.belief_id, instant)
    for period in new:
        add_belief(connection, relation, key, period, instant)
