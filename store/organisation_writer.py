"""Writes the tree of organisations, the persons, and who answers for which unit.

All functions work inside the caller's transaction, which begins with `store.outbox.begin_change`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from grid.membership import StatePeriod
from grid.model import GridModel
from grid.timeline import set_values
from store.beliefs import ORGANISATION_STATE, RESPONSIBILITY, Relation, read_beliefs, replace_beliefs
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("organisation_writer")


def write_organisations(connection: Connection, model: GridModel, valid_from: datetime, instant: datetime) -> int:
    """Make the store say what the model says from `valid_from` on; returns how many things were new or changed.

    What the model doesn't name is left alone.
    """
    changed = 0
    for organisation in model.organisations:
        kind = {"code": organisation.code, "kind": organisation.kind.value}
        changed += connection.execute(_SQL["organisation"], kind).rowcount
        values = {
            "name": organisation.name,
            "parent_id": None
            if organisation.parent is None
            else find_id(connection, "organisation_id", organisation.parent),
        }
        key = find_id(connection, "organisation_id", organisation.code)
        assert key is not None  # noqa: S101  # written above
        changed += _hold(connection, ORGANISATION_STATE, key, values, valid_from, instant)
    for person in model.persons:
        values = {"code": person.code, "role": person.role, "display_name": person.display_name}
        changed += connection.execute(_SQL["person"], values).rowcount
    for held in model.responsibilities:
        unit = find_id(connection, "unit_id", held.unit)
        assert unit is not None  # noqa: S101  # the model resolves
        values = {
            "duty": int(held.duty),
            "organisation_id": held.organisation and find_id(connection, "organisation_id", held.organisation),
            "person_id": held.person and find_id(connection, "person_id", held.person),
        }
        changed += _hold(connection, RESPONSIBILITY, unit, values, valid_from, instant, duty=int(held.duty))
    return changed


def find_id(connection: Connection, what: str, code: str) -> int | None:
    """Number of the `organisation_id`, `person_id` or `unit_id` with this code; None when there is none."""
    row = connection.execute(_SQL[what], {"code": code}).fetchone()
    return None if row is None else int(row[0])


def _hold(
    connection: Connection,
    relation: Relation,
    key: int,
    values: Mapping[str, object],
    valid_from: datetime,
    instant: datetime,
    duty: int | None = None,
) -> int:
    """Let `values` hold from `valid_from` on without end."""
    periods = read_beliefs(connection, relation, key)
    if duty is not None:
        periods = [p for p in periods if p.values["duty"] == duty]
    old, new = set_values(periods, StatePeriod(None, values, valid_from, None))
    replace_beliefs(connection, relation, key, old, new, instant)
    return 1 if old or new else 0
