"""The ledger of benefits in the store: what entries rest on, and their versions. Inside the caller's transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("benefit")
Row = dict[str, Any]

#: Days of units: unit, day, revision, loss and inflow in Wh.
DayRow = tuple[int, date, int, int, int]
SOURCES = ("work_orders", "proposals", "conflicts", "outages")


@contextlib.contextmanager
def own_ledger(connection: Connection) -> Iterator[bool]:
    """Take the ledger's turn, if nobody else has it; the connection is in autocommit."""
    row = connection.execute(_SQL["lock"]).fetchone()
    mine = row is not None and bool(row[0])
    try:
        yield mine
    finally:
        # A connection that was lost has lost its lock with it.
        if mine and not connection.closed:
            connection.execute(_SQL["unlock"])


def add_parameters(connection: Connection, hash_: bytes, body: Any, reason: str, by: str) -> tuple[int, bool]:
    """Number of the parameters, and whether they are new."""
    row = connection.execute(
        _SQL["add_parameters"], {"hash": hash_, "body": Jsonb(body), "reason": reason, "by": by}
    ).fetchone()
    if row is not None:
        return int(row[0]), True
    (number,) = connection.execute(_SQL["parameters_of_hash"], {"hash": hash_}).fetchall()[0]
    return int(number), False


def approve_parameters(connection: Connection, parameters_id: int, by: str) -> bool:
    """Let these count from now on; False where there are none of that number.

    Raises
    ------
    psycopg.errors.CheckViolation
        When they were recorded by the same.
    """
    return connection.execute(_SQL["approve"], {"parameters_id": parameters_id, "by": by}).fetchone() is not None


def list_parameters(connection: Connection, parameters_id: int | None = None, limit: int = 50) -> list[Row]:
    """Parameters with who recorded and who approved them, the newest first."""
    return _rows(connection, "parameters", parameters_id=parameters_id, limit=limit)


def approved_parameters(connection: Connection) -> Row | None:
    """Those that were approved last; None where none are."""
    row = connection.execute(_SQL["approved"]).fetchone()
    return None if row is None else list_parameters(connection, row[0])[0]


def keep_outages(connection: Connection, at: datetime) -> int:
    """Keep outages that ended up to an instant; returns how many are new."""
    return connection.execute(_SQL["keep_outages"], {"at": at}).rowcount


def read_sources(connection: Connection, at: datetime) -> list[tuple[Any, ...]]:
    """What was done up to an instant: source, number, kind, unit, organisation, when, treated units, tariff, energy
    found, customers, begin, steps, since when it holds, what the source says.
    """
    return [row for name in SOURCES for row in connection.execute(_SQL[name], {"at": at})]


def unit_codes(connection: Connection, unit_ids: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Code and kind of units."""
    rows = connection.execute(_SQL["unit_codes"], {"unit_ids": list(unit_ids)})
    return {row[0]: (row[1], row[2]) for row in rows}


def read_sizes(connection: Connection, kind: str, first: date, until: date, least: int) -> list[tuple[int, float]]:
    """Mean daily inflow of units of a kind over [first, until), of those with at least so many days."""
    arguments = {"kind": kind, "first": first, "until": until, "least": least}
    return [(row[0], row[1]) for row in connection.execute(_SQL["sizes"], arguments)]


def read_days(connection: Connection, unit_ids: Sequence[int], first: date, last: date) -> list[DayRow]:
    """Published and computable days of units as they stand."""
    arguments = {"unit_ids": list(unit_ids), "first": first, "last": last}
    return connection.execute(_SQL["days"], arguments).fetchall()


def read_days_as_taken(connection: Connection, keys: Sequence[tuple[int, date, int]]) -> list[DayRow]:
    """Days in given revisions: unit, day, revision; those that are still kept."""
    columns = list(zip(*keys, strict=True)) or [(), (), ()]
    arguments = {"unit_ids": list(columns[0]), "days": list(columns[1]), "revisions": list(columns[2])}
    return connection.execute(_SQL["days_as_taken"], arguments).fetchall()


def read_day_states(connection: Connection, first: date, last: date) -> dict[tuple[str, date], str]:
    """Of each kind of unit and day that has published figures: what is another when one of them is."""
    rows = connection.execute(_SQL["day_states"], {"first": first, "last": last})
    return {(row[0], row[1]): f"{row[2]} {row[3]} {row[4]}" for row in rows}


def ledger_reached(connection: Connection) -> tuple[datetime | None, date | None]:
    """Up to when it has entered what was done, and the last day that an effect rests on; None: nothing yet."""
    (row,) = connection.execute(_SQL["reached"]).fetchall()
    return row[0], row[1]


@dataclass(frozen=True, slots=True)
class NewestEffect:
    """The newest version of an effect."""

    effect_id: int
    version: int
    digest: bytes
    recovered_wh: int
    sigma_wh: int
    shown: bool


def newest_effects(connection: Connection) -> dict[str, NewestEffect]:
    """The newest version of each effect, by key."""
    return {key: NewestEffect(*found) for key, *found in connection.execute(_SQL["newest_effects"])}


def add_effect(connection: Connection, values: Mapping[str, Any]) -> int:
    """Write a version of an effect; returns its number."""
    arguments = {**values, "evidence": Jsonb(values["evidence"])}
    (row,) = connection.execute(_SQL["add_effect"], arguments).fetchall()
    return int(row[0])


@dataclass(frozen=True, slots=True)
class LastMeasured:
    """What the newest measurement of a repair came to: an effect, or why nothing can be said."""

    inputs: bytes
    effect_id: int | None
    why: str | None


def read_measured(connection: Connection) -> dict[str, LastMeasured]:
    """Newest measurements by key of the repair."""
    return {row[0]: LastMeasured(*row[1:]) for row in connection.execute(_SQL["measured"])}


def note_measured(connection: Connection, key: str, measured: LastMeasured) -> None:
    """Note what a measurement came to, and what it rests on."""
    connection.execute(_SQL["note_measured"], {"key": key, **asdict(measured)})


def forget_measured(connection: Connection, keys: Sequence[str]) -> None:
    """Forget the measurements of repairs other than these."""
    connection.execute(_SQL["forget_measured"], {"keys": list(keys)})


def add_run(connection: Connection, values: Mapping[str, Any]) -> None:
    """Note that an update came to its end."""
    connection.execute(
        _SQL["add_run"], {**values, "advice": Jsonb(values["advice"]), "social": Jsonb(values["social"])}
    )


def read_told(connection: Connection, at: datetime) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """What the newest update known at an instant said of the flow of the work, and social figures."""
    row = connection.execute(_SQL["told"], {"at": at}).fetchone()
    return ((), ()) if row is None else (tuple(row[0]), tuple(row[1]))


def read_last_run(connection: Connection) -> Row | None:
    """The newest update that came to its end; None before the first."""
    found = _rows(connection, "last_run")
    return found[0] if found else None


def read_effect(connection: Connection, effect_id: int) -> Row | None:
    """An effect with all that it rests on; None where there is none."""
    found = _rows(connection, "read_effect", effect_id=effect_id)
    return found[0] if found else None


def newest_entries(connection: Connection) -> list[tuple[Any, ...]]:
    """Source, number, item, version, withdrawn, digest, parameters, source row and effect of the newest versions."""
    return connection.execute(_SQL["newest_entries"]).fetchall()


def add_entries(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write versions of entries."""
    with connection.cursor() as cursor:
        cursor.executemany(_SQL["add_entry"], [{**row, "evidence": Jsonb(row["evidence"])} for row in rows])


def withdraw_entry(connection: Connection, source: str, source_id: int, item: str, version: int) -> None:
    """Let an entry count no more."""
    arguments = {"source": source, "source_id": source_id, "item": item, "version": version}
    connection.execute(_SQL["withdraw_entry"], arguments)


def list_entries(
    connection: Connection,
    organisation: str | None = None,
    unit: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    after: tuple[str, int, str] | None = None,
    limit: int = 1_000,
) -> list[Row]:
    """Entries as they stand, by source, number and item; those after `after`."""
    source, source_id, item = after or (None, None, None)
    return _rows(
        connection, "entries", organisation=organisation, unit=unit, since=since, until=until, after=source,
        after_id=source_id, after_item=item, limit=limit,
    )  # fmt: skip


def read_totals(
    connection: Connection,
    organisation: str | None = None,
    unit: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Row]:
    """Sums of the entries by organisation, item and basis."""
    return _rows(connection, "totals", organisation=organisation, unit=unit, since=since, until=until)


def read_deviation(
    connection: Connection,
    organisation: str | None = None,
    unit: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> float:
    """Standard deviation of the energy of all entries together, watt-hours."""
    arguments = {"organisation": organisation, "unit": unit, "since": since, "until": until}
    row = connection.execute(_SQL["deviation"], arguments).fetchone()
    return 0.0 if row is None else float(row[0])


def read_versions(connection: Connection, source: str, source_id: int, item: str | None) -> list[Row]:
    """All versions of a source's entries, by item."""
    return _rows(connection, "versions", source=source, source_id=source_id, item=item)


def read_yearly(connection: Connection, zone: str) -> list[tuple[str, int, int, int]]:
    """What the entries of a year bring: organisation, year, cents once, cents a year from then on."""
    return connection.execute(_SQL["yearly"], {"zone": zone}).fetchall()


def read_interruptions(
    connection: Connection, since: datetime, until: datetime, organisation: str | None
) -> list[tuple[datetime, datetime, int, bool, list[Any]]]:
    """Kept outages that began within [since, until): begin, end, customers, planned, and steps."""
    arguments = {"since": since, "until": until, "organisation": organisation}
    return connection.execute(_SQL["interruptions"], arguments).fetchall()


def count_customers(connection: Connection, at: datetime, organisation: str | None) -> int:
    """Customers' meters that were members of a unit at an instant."""
    row = connection.execute(_SQL["customers"], {"at": at, "organisation": organisation}).fetchone()
    return 0 if row is None else int(row[0])


def read_wrong_records(connection: Connection, until: datetime, organisation: str | None) -> list[tuple[str, datetime]]:
    """Meters and accounts whose record made wrong bills, and when it was put right."""
    arguments = {"until": until, "organisation": organisation}
    return connection.execute(_SQL["wrong_records"], arguments).fetchall()


def _rows(connection: Connection, name: str, **arguments: object) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL[name], arguments).fetchall()
