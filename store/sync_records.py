"""Records of source systems as received: staged with COPY, compared and written as sets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg.rows import dict_row

from store.connection import Connection, read_whole_tables, stream
from store.sql import load_queries

_SQL = load_queries("sync_records")
#: Staged records from which on what is there is read once and not looked up for each: by statistics from before a
#: system's first records came, the planner can take a look through all of them for a look at one.
_MANY = 1_000


@dataclass(frozen=True, slots=True)
class StagedRecord:
    """A record on its way in: `body` as JSON; `valid_us` None = from now on."""

    dataset: str
    key: str
    line: int
    removed: bool
    body: str
    hash: bytes
    valid_us: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that was left out."""

    line: int
    column: int | None
    reason: str
    original: str


@dataclass(frozen=True, slots=True)
class TakeCounts:
    """What a take came to; `take_id` None when the same file was taken before and is unchanged."""

    take_id: int | None
    records: int
    added: int
    changed: int
    removed: int
    refused: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where records come from; `hash` of the whole file, None of what has no end."""

    system: str
    name: str
    hash: bytes | None
    whole: bool
    """Whether what isn't in it has gone from the source."""


def is_last_taken(connection: Connection, origin: Origin) -> bool:
    """Whether just this was the last that was taken of this origin and nothing came after it."""
    if origin.hash is None:
        return False
    same = connection.execute(
        "select origin_hash from sync.take where system = %s and origin = %s order by take_id desc limit 1",
        [origin.system, origin.name],
    ).fetchone()
    return same is not None and same[0] is not None and bytes(same[0]) == origin.hash


def stage(connection: Connection, records: Iterable[StagedRecord]) -> int:
    """Copy records into a temporary table of the transaction; returns how many."""
    connection.execute(_SQL["stage"])
    count = 0
    with connection.cursor() as cursor, cursor.copy(_SQL["copy"]) as copy:
        for record in records:
            valid = None if record.valid_us is None else datetime.fromtimestamp(record.valid_us / 1e6, UTC)
            copy.write_row((record.dataset, record.key, record.line, record.removed, record.body, record.hash, valid))
            count += 1
    connection.execute("analyze pg_temp.stage_record")
    return count


def repeated_keys(connection: Connection) -> list[tuple[str, str, int]]:
    """Dataset, key and line of staged records whose key comes again later."""
    return [(row[0], row[1], row[2]) for row in connection.execute(_SQL["repeated"])]


def drop_repeated(connection: Connection) -> None:
    """Keep the last of each staged key."""
    connection.execute(_SQL["drop_repeated"])


def write_staged(
    connection: Connection,
    origin: Origin,
    datasets: Sequence[str],
    records: int,
    refused: Sequence[Refused],
    at: datetime,
) -> TakeCounts:
    """Write what is staged; what is the same as before stays as it is.

    Parameters
    ----------
    datasets
        Those that the origin describes wholly: their other records have gone.
    """
    if records > _MANY:
        read_whole_tables(connection)
    common: dict[str, Any] = {"system": origin.system, "at": at, "datasets": list(datasets)}
    row = connection.execute(
        _SQL["take"],
        common | {"origin": origin.name, "hash": origin.hash, "mode": "full" if origin.whole else "changes"},
    ).fetchone()
    assert row is not None  # noqa: S101  # returning
    take_id = int(row[0])
    ended = connection.execute(_SQL["end_changed"], common).rowcount
    removed = connection.execute(_SQL["end_absent"], common).rowcount if origin.whole and datasets else 0
    added = connection.execute(_SQL["add"], common | {"take_id": take_id}).rowcount
    gone = connection.execute("select count(*) from pg_temp.stage_record where removed").fetchone()
    said_gone = 0 if gone is None else int(gone[0])
    changed = max(ended - said_gone, 0)
    counts = TakeCounts(take_id, records, added - changed, changed, removed + min(said_gone, ended), len(refused))
    connection.execute(
        _SQL["finish"],
        {"take_id": take_id, "records": records, "added": counts.added, "changed": counts.changed,
         "removed": counts.removed, "refused": counts.refused},
    )  # fmt: skip
    if refused:
        with connection.cursor() as cursor:
            cursor.executemany(
                _SQL["refused"],
                [{"take_id": take_id, "line": r.line, "column": r.column, "reason": r.reason, "original": r.original}
                 for r in refused],
            )  # fmt: skip
    return counts


def read_sources(connection: Connection) -> list[dict[str, Any]]:
    """What is held of each dataset."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["sources"]).fetchall()


def read_refused(connection: Connection, take_id: int) -> list[dict[str, Any]]:
    """Lines that a take left out."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_SQL["listed_refused"], {"take_id": take_id}).fetchall()


def read_systems(connection: Connection) -> list[str]:
    """Systems of which records are held."""
    return [row[0] for row in connection.execute(_SQL["systems"])]


def read_records(connection: Connection, system: str) -> Iterator[tuple[str, str, str]]:
    """Dataset, key and body (JSON) of a system's present records, in order."""
    yield from stream(connection, _SQL["current"], {"system": system})


def read_former_records(connection: Connection, system: str) -> Iterator[tuple[str, str, str]]:
    """Dataset, key and body (JSON) of what a system's records said before, over the last years."""
    yield from stream(connection, _SQL["former"], {"system": system})


def read_last_change(connection: Connection, system: str, dataset: str, column: str) -> str | None:
    """The greatest value of a change column that was taken before."""
    arguments = {"system": system, "dataset": dataset, "column": column}
    row = connection.execute(_SQL["last_change"], arguments).fetchone()
    return None if row is None else row[0]
