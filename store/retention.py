"""Removes what is older than it has to be kept: whole chunks where there are chunks, else rows in bounded batches.

What still waits is never removed, however old: a delivery that is owed, a change that wasn't relayed or is owed to
somebody, a quarantined input that wasn't given back, a finding with a live alert.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import sql

from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("retention")

#: Rows removed in one transaction.
BATCH = 5_000
#: Chunks dropped in one transaction.
CHUNKS = 20


@dataclass(frozen=True, slots=True)
class Rule:
    """How long the rows of one table are kept.

    Attributes
    ----------
    name
        Of the query that finds what may go, and of the rule in reports.
    table, column
        The table, and the time by which its rows age.
    days
        Kept at least this long.

    Raises
    ------
    ValueError
        When `days` isn't positive.
    """

    name: str
    table: str
    column: str
    days: int

    def __post_init__(self) -> None:
        if self.days < 1:
            raise ValueError(f"{self.name} can't be kept for {self.days} days: at least 1")

    def before(self, now: datetime) -> datetime:
        """What is older than this may go."""
        return now - timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed of one table, or would be.

    Attributes
    ----------
    chunks
        Names of chunks, sorted; empty where the table isn't in chunks.
    rows
        Rows removed one by one; 0 where it is in chunks.
    """

    rule: str
    table: str
    before: datetime
    chunks: tuple[str, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Kept:
    """What a table holds now.

    Attributes
    ----------
    oldest
        Time of the oldest row; of the start of the oldest chunk where there are chunks. None while it is empty.
    chunks
        How many; None where the table isn't in chunks.
    size_bytes
        On disk, with its indexes.
    """

    rule: str
    table: str
    days: int
    oldest: datetime | None
    chunks: int | None
    size_bytes: int


def retention_rules(
    *, blocks: int, balances: int, scada: int, events: int, rejected: int, outbox: int, deliveries: int, findings: int
) -> tuple[Rule, ...]:
    """The rules in the order in which they are followed: deliveries before the changes that they name.

    Parameters
    ----------
    blocks, balances, scada, events, rejected, outbox, deliveries, findings
        Days.
    """
    return (
        Rule("blocks", "telemetry.block", "observed_at", blocks),
        Rule("balances", "loss.balance", "observed_at", balances),
        Rule("superseded", "loss.superseded", "observed_at", balances),
        Rule("scada", "telemetry.scada", "observed_at", scada),
        Rule("events", "telemetry.event", "observed_at", events),
        Rule("doubts", "telemetry.doubt", "ends_at", blocks),
        Rule("validated", "telemetry.validated_day", "as_of", blocks),
        Rule("rejected", "telemetry.rejected", "first_at", rejected),
        Rule("alert_deliveries", "alerts.delivery", "created_at", deliveries),
        Rule("findings", "alerts.finding", "ended_at", findings),
        Rule("usage_findings", "usage.finding", "ended_at", findings),
        Rule("sync_deliveries", "sync.delivery", "created_at", deliveries),
        Rule("outbox", "grid.outbox", "recorded_at", outbox),
    )


def run_retention(
    connection: Connection, rules: tuple[Rule, ...], now: datetime, *, dry_run: bool = False, batch: int = BATCH
) -> list[Removed] | None:
    """Remove what may go, in transactions of bounded size; None while another process is at it.

    Parameters
    ----------
    connection
        In autocommit.
    dry_run
        Only tell what would go.

    Raises
    ------
    psycopg.errors.LockNotAvailable
        When a long query keeps a chunk; what was removed before stays removed.
    """
    if dry_run:
        return [_would_go(connection, rule, now) for rule in rules]
    with _owner(connection) as mine:
        return [_remove(connection, rule, now, batch) for rule in rules] if mine else None


def read_kept(connection: Connection, rules: tuple[Rule, ...]) -> list[Kept]:
    """What the tables of the rules hold now."""
    return [_kept(connection, rule) for rule in rules]


@contextlib.contextmanager
def _owner(connection: Connection) -> Iterator[bool]:
    row = connection.execute(_SQL["lock"]).fetchone()
    mine = row is not None and bool(row[0])
    try:
        yield mine
    finally:
        # A connection that was lost has lost its lock with it.
        if mine and not connection.closed:
            connection.execute(_SQL["unlock"])


def _in_chunks(connection: Connection, rule: Rule) -> bool:
    known = connection.execute(_SQL["knows_chunks"]).fetchone()
    if known is None or not known[0]:
        return False
    row = connection.execute(_SQL["is_hypertable"], {"table": rule.table}).fetchone()
    return row is not None and bool(row[0])


def _would_go(connection: Connection, rule: Rule, now: datetime) -> Removed:
    before = rule.before(now)
    if _in_chunks(connection, rule):
        chunks = connection.execute(_SQL["chunks"], {"table": rule.table}).fetchall()
        names = sorted(name for _, end, name, _ in chunks if end <= before)
        return Removed(rule.name, rule.table, before, tuple(names), 0)
    row = connection.execute(_query("count", rule), {"before": before}).fetchone()
    return Removed(rule.name, rule.table, before, (), 0 if row is None else int(row[0]))


def _remove(connection: Connection, rule: Rule, now: datetime, batch: int) -> Removed:
    before = rule.before(now)
    if _in_chunks(connection, rule):
        gone: list[str] = []
        arguments = {"table": rule.table, "before": before, "limit": CHUNKS}
        while dropped := [str(row[0]) for row in connection.execute(_SQL["drop_chunks"], arguments)]:
            gone += dropped
        return Removed(rule.name, rule.table, before, tuple(sorted(gone)), 0)
    rows = 0
    while True:
        count = connection.execute(_query("remove", rule), {"before": before, "limit": batch}).rowcount
        rows += count
        if count < batch:
            return Removed(rule.name, rule.table, before, (), rows)


def _kept(connection: Connection, rule: Rule) -> Kept:
    if _in_chunks(connection, rule):
        chunks = connection.execute(_SQL["chunks"], {"table": rule.table}).fetchall()
        oldest = chunks[0][0] if chunks else None
        return Kept(rule.name, rule.table, rule.days, oldest, len(chunks), sum(int(size) for *_, size in chunks))
    oldest_row = connection.execute(_query("oldest", rule)).fetchone()
    size_row = connection.execute(_SQL["size"], {"table": rule.table}).fetchone()
    assert oldest_row is not None  # noqa: S101  # an aggregate of one row
    assert size_row is not None  # noqa: S101  # the same
    return Kept(rule.name, rule.table, rule.days, oldest_row[0], None, int(size_row[0]))


def _query(name: str, rule: Rule) -> sql.Composed:
    return sql.SQL(_SQL[name]).format(
        table=sql.Identifier(*rule.table.split(".")),
        column=sql.Identifier(rule.column),
        past=sql.SQL(_SQL[f"past_{rule.name}"]),
    )
