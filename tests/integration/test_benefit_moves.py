"""Repaired relations in the ledger: entered once, taken back with them, and no benefit where energy only moves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from benefit.ledger import Repair
from benefit.measure import Sizes, measure
from benefit.report import all_entries, explain
from benefit.update import load_approved
from store.benefit import unit_codes
from store.connection import Connection, connect
from store.sync_conflicts import ConflictRow, write_conflicts
from sync.load import load_grid
from sync.proposals.lifecycle import Action, ReviewRules
from sync.proposals.review import propose, review
from tests.benefit_grid import (
    NOON,
    REPAIRED,
    approve_some,
    benefit_model,
    confirm,
    losses,
    update,
    write_losses,
)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, benefit_model())
        yield opened


def propose_a_move(connection: Connection) -> int:
    """A meter that the records have in A1 and that hangs in A2: proposed and applied by four eyes; the proposal."""
    now = datetime.now(UTC)
    connection.execute("insert into sync.entity (entity_id, kind, code) values (1, 'meter', 'A1-m1')")
    row = ConflictRow(
        b"1" * 16, "impossible", "meter", 1, "area", "model", "meter", "A1-m1", "marketing", "A2", "A1",
        {"model": "A1", "voltage": "A2"}, 0.99,
    )  # fmt: skip
    with connection.transaction():
        write_conflicts(connection, [row], now)
    (number,) = connection.execute("select conflict_id from sync.conflict").fetchall()[0]
    (done,) = propose(connection, [number], "li", "voltage", ReviewRules(), now, now)
    assert done.proposal_id is not None
    review(connection, done.proposal_id, Action.APPROVE, "wang", "metering", None, now)
    assert review(connection, done.proposal_id, Action.APPROVE, "zhao", "operation", None, now).state == "applied"
    return done.proposal_id


def test_a_repaired_relation_is_entered_once_and_taken_back_with_it(connection: Connection) -> None:
    approve_some(connection)
    number = propose_a_move(connection)
    connection.execute("update sync.conflict set closed_at = now()")
    now = datetime.now(UTC)
    # The conflict that it resolved isn't counted beside it; of the loss nothing is known yet.
    done = update(connection, now)
    assert (done.written, [one["why"] for one in done.waiting]) == ({"new": 1}, ["0 of 14 days after are over"])
    (entry,) = all_entries(connection)
    assert (entry["source"], entry["source_id"], entry["unit"], entry["basis"]) == (
        "proposal",
        number,
        "A1",
        "estimate",
    )
    assert (entry["visits_milli"], entry["work_s"], entry["money_cents"]) == (1_000, 9_000, 18_000)
    (row,) = explain(connection, "proposal", number)
    assert row["evidence"]["source"]["before"] == {"area": "A1"}
    review(connection, number, Action.UNDO, "wang", "metering", "it was right", now)
    written = update(connection, datetime.now(UTC)).written
    assert written["withdrawn"] == 1
    # What is left is a conflict that went by itself: nobody has earned a visit.
    assert all_entries(connection) == []
    assert [(row["version"], row["withdrawn"]) for row in explain(connection, "proposal", number)] == [
        (1, False),
        (2, True),
    ]


def test_energy_that_moves_between_two_areas_is_no_benefit(connection: Connection) -> None:
    approve_some(connection)
    loss, inflow = losses(stolen_wh=0)
    loss[29:, 0] -= 40_000
    loss[29:, 1] += 40_000
    write_losses(connection, loss, inflow)
    confirm(connection, "A1", None, NOON, None)
    confirm(connection, "A2", None, NOON, None)
    # Each by itself has changed; as one, which a relation repaired between them makes of them, they have not.
    update(connection)
    assert [e["shown"] for e in all_entries(connection)] == [True, True]
    units = unit_ids(connection, "A1", "A2")
    together = measure(
        connection,
        Repair((0,), units, REPAIRED, REPAIRED),
        REPAIRED + timedelta(days=28),
        frozenset(),
        load_approved(connection)[1].windows,
        unit_codes(connection, units),
        Sizes(),
    )
    assert not together.values["shown"]
    assert together.values["low_wh"] < 0 < together.values["high_wh"]


def unit_ids(connection: Connection, *codes: str) -> tuple[int, ...]:
    rows = connection.execute("select unit_id from grid.unit where code = any(%s) order by 1", [list(codes)])
    return tuple(row[0] for row in rows)
