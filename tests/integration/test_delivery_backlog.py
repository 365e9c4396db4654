"""What a target is owed after hours: taking the next of it costs no more than of a short queue."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from store.connection import Connection, connect
from store.deliveries import Attempt, Outcome, Outgoing, Queue, Target, deliver_due, read_waiting
from store.sql import load_queries

_OWED = 40_000
_ENTITIES = 500
_NOW = datetime(2026, 6, 1, tzinfo=UTC)
_OWE = """
insert into sync.delivery (delivery_id, target, entity, sequence, payload, due_at)
select gen_random_uuid(), %s, 'meter:' || n %% %s, n, jsonb_build_object('n', n), %s + n * interval '1 millisecond'
from generate_series(0, %s - 1) n
"""


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("owner"), "test") as opened:
        opened.autocommit = True
        yield opened


def pages_read(connection: Connection, target: str) -> int:
    """Pages that a claim of this target's touches."""
    arguments = {"now": _NOW, "lease_s": 60.0, "targets": [target], "limit": 32}
    with connection.transaction(force_rollback=True):
        explained = "explain (analyze, buffers, format json) " + load_queries("deliveries")["claim_sync"]
        row = connection.execute(explained, arguments).fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    assert plan["Actual Rows"] == 32
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


@pytest.mark.parametrize("analyzed", [False, True])
def test_a_claim_does_not_go_through_all_that_is_owed(connection: Connection, analyzed: bool) -> None:
    long_ago = _NOW - timedelta(hours=6)
    connection.execute(_OWE, ["other", _ENTITIES, long_ago, 100])
    connection.execute("analyze sync.delivery")
    connection.execute(_OWE, ["away", _ENTITIES, long_ago, _OWED])
    if analyzed:
        connection.execute("vacuum analyze sync.delivery")
    # An entity's first delivery that failed keeps its others waiting: those are passed over.
    connection.execute(
        "update sync.delivery set due_at = %s where target = 'away' and sequence < 5", [_NOW + timedelta(hours=1)]
    )
    assert pages_read(connection, "away") < 2_000
    assert pages_read(connection, "other") < 2_000


def test_what_is_owed_goes_out_by_its_due_time_and_each_entity_in_order(connection: Connection) -> None:
    connection.execute(_OWE, ["away", 20, _NOW - timedelta(hours=6), 200])
    sent: list[int] = []

    def send(batch: Sequence[Outgoing]) -> list[Attempt]:
        numbers = sorted(json.loads(each.body)["n"] for each in batch)
        sent.extend(numbers)
        # No two of one entity at once, and one that fails keeps its successors waiting.
        assert len({n % 20 for n in numbers}) == len(numbers)
        return [
            Attempt(Outcome.FAILED if json.loads(each.body)["n"] == 3 else Outcome.DELIVERED, "no") for each in batch
        ]

    target = Target("away", "")
    while deliver_due(connection, Queue.SYNC, [target], send, lambda: _NOW, lambda: 0.0).claimed:
        pass
    assert sent == [n for n in range(200) if n % 20 != 3 or n == 3]
    row = connection.execute("select count(*) from sync.delivery where delivered_at is null").fetchone()
    assert row == (10,)


def test_what_waits_is_told_without_reading_what_was_delivered(connection: Connection) -> None:
    for target, owed in (("a", 3), ("b", 2), ("c", 1)):
        connection.execute(_OWE, [target, 10, _NOW, owed])
    connection.execute("update sync.delivery set delivered_at = %s where target = 'b' or sequence = 2", [_NOW])
    told = read_waiting(connection)
    assert [(target, waiting, since is None) for target, waiting, since in told] == [
        ("a", 2, False), ("b", 0, True), ("c", 1, False),
    ]  # fmt: skip
    connection.execute(_OWE, ["past", _ENTITIES, _NOW, _OWED])
    connection.execute("update sync.delivery set delivered_at = %s where target = 'past'", [_NOW])
    connection.execute("vacuum analyze sync.delivery")
    explained = "explain (analyze, buffers, format json) " + load_queries("deliveries")["waiting"]
    row = connection.execute(explained).fetchone()
    assert row is not None
    assert row[0][0]["Plan"]["Shared Hit Blocks"] + row[0][0]["Plan"]["Shared Read Blocks"] < 200
