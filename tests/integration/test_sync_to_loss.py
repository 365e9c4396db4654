"""From a conflict to the loss rows: a wrong relation is proposed, approved by four eyes, both areas are restated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from store.connection import Connection, connect
from store.outbox import START, read_outbox
from store.sync_conflicts import ConflictRow, write_conflicts
from store.sync_targets import count_drift
from streams.join import Record
from sync.load import load_grid
from sync.proposals.lifecycle import Action, ReviewRules
from sync.proposals.review import propose, review
from tests.integration.conftest import Database
from tests.integration.test_processor import area, whole
from tests.integration.test_settling_again import Worker
from tests.small_grid import small_model
from tests.waiting import Promise

BEGIN = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 90
INTERVALS = DAYS * 96
QUARTER_US = 900_000_000
BATCH = 480


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, small_model())
        yield opened


def approve(connection: Connection, valid_from: datetime) -> None:
    """A conflict that the voltage found, proposed and approved by two others."""
    now = datetime.now(UTC)
    connection.execute("insert into sync.entity (entity_id, kind, code) values (1, 'meter', 'A1-m1')")
    said = {"model": "A1", "voltage": "A2"}
    row = ConflictRow(
        b"1" * 16, "impossible", "meter", 1, "area", "model", "meter", "A1-m1", "marketing", "A2", "A1", said, 0.99
    )
    with connection.transaction():
        write_conflicts(connection, [row], now)
    found = connection.execute("select conflict_id from sync.conflict").fetchall()
    (done,) = propose(connection, [found[0][0]], "li", "voltage", ReviewRules(), now, valid_from)
    assert done.proposal_id is not None
    review(connection, done.proposal_id, Action.APPROVE, "wang", "metering", None, now)
    assert review(connection, done.proposal_id, Action.APPROVE, "zhao", "operation", None, now).state == "applied"


def losses(connection: Connection, unit: str) -> list[tuple[int, str]]:
    return connection.execute(
        "select loss_wh, status from loss.balance join grid.unit using (unit_id) where code = %s order by observed_at",
        [unit],
    ).fetchall()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wrong_relation_of_ninety_days_is_repaired_in_the_loss_of_both_areas(
    connection: Connection, database: Database, record_property: Callable[[str, object], None], promise: Promise
) -> None:
    worker = Worker(database)
    begin_us = int(BEGIN.timestamp()) * 1_000_000
    try:
        for start in range(0, INTERVALS, BATCH):
            ends = [begin_us + (n + 1) * QUARTER_US for n in range(start, min(start + BATCH, INTERVALS))]
            records: list[Record] = [whole(unit, at=at) for at in ends for unit in ("A1", "A2")]
            worker.processor.process(records)
        before = {unit: losses(connection, unit) for unit in ("A1", "A2")}
        assert [len(rows) for rows in before.values()] == [INTERVALS] * 2
        after = max(row.position for row in read_outbox(connection, START, 10_000))
        approve(connection, BEGIN)
        started, worked = time.monotonic(), time.process_time()
        assert {"A1", "A2"} <= set(worker.follow(connection, after))
        seconds = time.monotonic() - started
        moved = [(rows[-1][0] - losses(connection, unit)[-1][0]) for unit, rows in before.items()]
        # What A1 sells less, A2 sells more.
        assert moved[0] == -moved[1] != 0
        for unit, rows in before.items():
            now = losses(connection, unit)
            assert len(now) == INTERVALS
            assert all(status == "restated" for _, status in now)
            assert {new - old for (new, _), (old, _) in zip(now, rows, strict=True)} == {
                -moved[0] if unit == "A1" else -moved[1]
            }
        record_property("processor_s", time.process_time() - worked)
        promise("ninety days of two areas are settled again", seconds, 60)
    finally:
        worker.processor.close()


def test_a_repair_is_in_the_loss_rows_of_the_next_flush(connection: Connection, database: Database) -> None:
    worker = Worker(database)
    try:
        at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
        at_us = int(at.timestamp()) * 1_000_000
        worker.take(whole("A1", at=at_us), whole("A2", at=at_us))
        worker.take(Record("telemetry.scada", area("F1", {"F1-head": 600}, at=at_us).value))
        before = {unit: losses(connection, unit)[0][0] for unit in ("A1", "A2")}
        after = max(row.position for row in read_outbox(connection, START, 10_000))
        approve(connection, at - timedelta(days=1))
        worker.follow(connection, after)
        now = {unit: losses(connection, unit)[0] for unit in ("A1", "A2")}
        assert {status for _, status in now.values()} == {"restated"}
        assert now["A1"][0] - before["A1"] == before["A2"] - now["A2"][0] > 0
        assert count_drift(connection) == []
    finally:
        worker.processor.close()
