"""Writes a whole grid model at once, bitemporally, with its outbox rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from grid.model import MAX_MEMBERS, GridModel, Role, UnitKind, usage_point_of
from store.beliefs import ACCOUNT_STATE, AREA_NETWORK, METER_STATE, UNIT_STATE, Relation
from store.connection import Connection, allow_long
from store.grid_change import RosterFullError
from store.network import find_switched, load_network
from store.organisation_writer import write_organisations
from store.outbox import begin_change, next_model_version
from store.parents import write_parents
from store.sql import load_queries, to_text

_SQL = load_queries("grid_writer")

#: From when on a model holds that doesn't say so: before any reading.
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)

#: Of fewer new members autovacuum learns in time.
_MANY = 10_000

_STATES = (UNIT_STATE, ACCOUNT_STATE, METER_STATE, AREA_NETWORK)


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a load has changed.

    Attributes
    ----------
    substations, units, accounts, meters
        Rows that are new or have changed.
    members_closed, members_written
        Beliefs about membership that were given up, and that were recorded.
    units_announced
        Units of which an outbox row tells.
    responsibilities
        Of organisations and persons: states and duties that are new or have changed.
    units_resettled
        Units known before whose results may be others now: an order for each is in the outbox.
    connections
        Nodes, segments, switches and connections of the network that are new, have changed or are gone.
    """

    substations: int
    units: int
    accounts: int
    meters: int
    members_closed: int
    members_written: int
    units_announced: int
    responsibilities: int = 0
    units_resettled: int = 0
    connections: int = 0

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return any(
            (
                self.substations,
                self.units,
                self.accounts,
                self.meters,
                self.members_closed,
                self.members_written,
                self.responsibilities,
                self.connections,
            )
        )


def load_model(connection: Connection, model: GridModel, valid_from: datetime = BEGINNING) -> LoadReport:
    """Make the store say what `model` says of the time from `valid_from` on; the same again changes nothing.

    Members of the model's units that it doesn't name are taken to have left at `valid_from`, and so are its meters
    and areas from units where they were before. Units, meters and accounts that it doesn't name are left alone.
    What was believed before stays readable in recorded time. Areas that are switched to another feeder than the model
    says stay there: it describes the normal state.

    Parameters
    ----------
    connection
        Not in a transaction; the load is one.
    valid_from
        Aware.

    Raises
    ------
    RosterFullError
        When a unit would get more than `MAX_MEMBERS` positions; nothing is written.
    """
    if valid_from.tzinfo is None:
        raise ValueError(f"valid_from must say its time zone: {valid_from}")
    # Bound by the client: several statements go in one, and some are not queries.
    with connection.transaction(), psycopg.ClientCursor(connection) as cursor:
        # A whole utility's model takes longer than the role's statements may.
        allow_long(connection)
        arguments: dict[str, object] = {
            "valid_from": valid_from,
            "valid_from_text": to_text(valid_from),
            "instant": (instant := begin_change(connection)),
        }

        def run(name: str) -> int:
            cursor.execute(_SQL[name], arguments)
            return max(cursor.rowcount, 0)

        run("stage")
        for table, rows in _staged(model):
            _copy(cursor, table, rows)
        run("analyze")
        substations = run("substations")
        run("identities")
        for relation in _STATES:
            _write_states(cursor, relation, arguments)
        run("installations")
        run("services")
        connections = 0 if model.network is None else load_network(cursor, model.network, arguments)
        parents, switched = find_switched(connection, model, valid_from)
        arguments["switched"] = list(switched)
        run("switched")
        run("wanted")
        cursor.execute(_SQL["longest_roster"])
        longest = cursor.fetchone()
        if longest is not None and longest[1] > MAX_MEMBERS:
            raise RosterFullError(f"unit {longest[0]} would have {longest[1]} positions, of at most {MAX_MEMBERS}")
        run("believed")
        run("differing")
        closed = run("close")
        written = run("keep_before") + run("write")
        moved = write_parents(connection, parents, switched, instant)
        arguments["moved"] = list(moved.units)
        run("changed_states")
        run("changed_members")
        if connections:
            run("rewired")
        run("changed_parents")
        run("present")
        cursor.execute(_SQL["counts"])
        units, accounts, meters = cursor.fetchone() or (0, 0, 0)
        organised = write_organisations(connection, model, valid_from, instant)
        announced = run("announce")
        resettled = 0
        if announced or organised or connections:
            arguments["version"] = next_model_version(connection)
            resettled = run("resettle")
        if written > _MANY:
            run("statistics")
    closed, written = closed + moved.closed, written + moved.written
    return LoadReport(
        substations, units, accounts, meters, closed, written, announced, organised, resettled, connections
    )


def _write_states(cursor: psycopg.ClientCursor[Any], relation: Relation, arguments: dict[str, object]) -> None:
    """Make the states of the model's entities what the model says from its instant on."""
    names = {
        "table": sql.Identifier(relation.table),
        "wanted": sql.Identifier(f"want_{relation.table}"),
        "differing": sql.Identifier(f"differing_{relation.table}"),
        "key": sql.Identifier(relation.key),
        "columns": sql.SQL(", ").join(map(sql.Identifier, relation.columns)),
        "believed_columns": sql.SQL(", ").join(sql.Identifier("b", column) for column in relation.columns),
        "wanted_columns": sql.SQL(", ").join(sql.Identifier("w", column) for column in relation.columns),
    }
    for name in ("state_differing", "state_close", "state_keep", "state_write"):
        # Several statements in one aren't composed whole, since a placeholder of ours is no name.
        cursor.execute(sql.SQL(_SQL[name]).format(**names), arguments)


_COPY: dict[str, LiteralString] = {
    "substation": "copy pg_temp.stage_substation from stdin",
    "unit": "copy pg_temp.stage_unit from stdin",
    "account": "copy pg_temp.stage_account from stdin",
    "meter": "copy pg_temp.stage_meter from stdin",
    "member": "copy pg_temp.stage_member from stdin",
    "area_network": "copy pg_temp.stage_area_network from stdin",
}


def _copy(cursor: psycopg.ClientCursor[Any], table: str, rows: Iterable[tuple[object, ...]]) -> None:
    with cursor.copy(_COPY[table]) as copy:
        for row in rows:
            copy.write_row(row)


def _staged(model: GridModel) -> Iterator[tuple[str, Iterable[tuple[object, ...]]]]:
    yield (
        "substation",
        ((s.code, s.name, s.high_voltage_v, s.medium_voltage_v) for s in model.substations),
    )
    yield "unit", ((ordinal, *unit) for ordinal, unit in enumerate(_units(model)))
    yield "account", ((a.code, a.tariff_class, a.contract_w, a.status.value) for a in model.accounts)
    yield (
        "meter",
        (
            (m.code, m.accuracy_class, m.register_modulus_wh, m.ct_class, m.pt_class, usage_point_of(m), m.account)
            for m in model.meters
        ),
    )
    yield "member", _members(model)
    yield (
        "area_network",
        ((n.area, *(list(getattr(n, column)) for column in AREA_NETWORK.columns)) for n in model.area_networks),
    )


#: Owner, plate, place and side.
_NO_TRANSFORMER = (None,) * 7


def _units(model: GridModel) -> Iterator[tuple[object, ...]]:
    substation_of = {f.code: f.substation for f in model.feeders}
    for f in model.feeders:
        gateway = model.feeder_gateways.get(f.code)
        yield f.code, UnitKind.FEEDER.value, f.name, f.substation, gateway, *_NO_TRANSFORMER
    for a in model.areas:
        yield (
            a.code,
            a.kind.value,
            a.name,
            None if a.feeder is None else substation_of[a.feeder],
            a.gateway,
            a.owner,
            a.rating_va,
            a.no_load_loss_w,
            a.load_loss_w,
            a.longitude_deg,
            a.latitude_deg,
            a.metered_side,
        )
    for g in model.greater:
        yield g.code, g.kind.value, g.name, g.substation, g.gateway, *_NO_TRANSFORMER


def _members(model: GridModel) -> Iterator[tuple[object, ...]]:
    ordinal = 0
    for m in model.meters:
        yield m.unit, ordinal, m.code, None, int(m.role), m.multiplier, m.phases
        ordinal += 1
    of_meter = {m.code: m for m in model.meters} if model.ties else {}
    for t in model.ties:
        yield t.unit, ordinal, t.meter, None, int(t.role), of_meter[t.meter].multiplier, of_meter[t.meter].phases
        ordinal += 1
    # After all meters: a feeder's head gateways come before its areas.
    parts = [(a.feeder, a.code) for a in model.areas if a.feeder is not None]
    parts += [(p.parent, p.unit) for p in model.parents]
    for parent, part in parts:
        yield parent, ordinal, None, part, int(Role.UNIT), 1, None
        ordinal += 1
