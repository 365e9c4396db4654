"""Intervals that are settled again after a change of the model, against the real database and without Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import psycopg
import pytest

from grid.due import Due, encode_due
from grid.model import GreaterUnit, UnitKind, UnitParent
from grid.resettle import decode_resettle
from grid.topics import ENERGY_UNIT
from grid.unit_energy import UnitEnergies, encode_unit_energies
from store.connection import Connection, connect
from store.outbox import START, read_outbox
from streams import processor as module
from streams.counters import Counters
from streams.join import Record, join
from streams.processor import Processor
from streams.sweep import Sweeper
from streams.view_cache import ViewCache
from sync.change import apply_change, read_change
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.integration.test_processor import NOON_US, area, whole
from tests.small_grid import small_model

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
QUARTER_US = 900_000_000


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as connection:
        model = small_model()
        city = GreaterUnit("city", "City", UnitKind.REGION)
        parts = (UnitParent("F1", "city"), UnitParent("F2", "city"))
        load_grid(connection, replace(model, greater=(city,), parents=parts))
        connection.commit()
        connection.autocommit = True
        yield connection


class Worker:
    """A processor that passes on what units tell the units above."""

    def __init__(self, database: Database, views: ViewCache | None = None) -> None:
        self.processor = Processor(lambda: connect(database.conninfo("app"), "worker"), Counters(), views=views)

    def take(self, *records: Record) -> None:
        self._pass_on(self.processor.process(records))

    def follow(self, connection: Connection, after: Any) -> list[str]:
        """Carry out the orders in the outbox; returns the units that they name."""
        units = []
        for row in read_outbox(connection, after, 1_000):
            if row.aggregatetype != "resettle":
                for unit in row.payload["units"]:
                    self.processor.views.drop(unit)
                continue
            order = decode_resettle(
                msgspec.json.encode({"payload": row.payload, "recorded_at": row.recorded_at.isoformat()})
            )
            units.append(order.unit)
            for energies in self.processor.settle_again(order):
                self._pass_on(energies)
        return units

    def _pass_on(self, energies: list[UnitEnergies]) -> None:
        while energies:
            energies = self.processor.process([Record(ENERGY_UNIT, encode_unit_energies([e])) for e in energies])


@pytest.fixture
def worker(database: Database, connection: Connection) -> Iterator[Worker]:
    worker = Worker(database)
    # Head of F1: 24,000 Wh; both areas take 6,000 each.
    for turn in range(3):
        at = NOON_US + turn * QUARTER_US
        worker.take(whole("A1", at=at), whole("A2", at=at))
        worker.take(Record("telemetry.scada", area("F1", {"F1-head": 600}, at=at).value))
        worker.take(Record("telemetry.scada", area("F2", {"F2-head": 200}, at=at).value))
    yield worker
    worker.processor.close()


def change(connection: Connection, **fields: Any) -> Any:
    last = max((row.position for row in read_outbox(connection, START, 10_000)), default=START)
    applied = apply_change(connection, read_change(msgspec.json.encode(fields)))
    assert applied.outbox_id is not None
    return last


def results(connection: Connection, unit: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select loss_wh, members_loss_wh, computable, status, revision from loss.balance join grid.unit using (unit_id)"
        " where code = %s order by observed_at",
        [unit],
    ).fetchall()


def test_before_any_change(worker: Worker, connection: Connection) -> None:
    assert results(connection, "A1") == [(100, 0, True, "final", 1)] * 3
    assert results(connection, "F1") == [(12_000, 200, True, "final", 1)] * 3
    # A region without meters at its boundary is the sum of its lines.
    assert results(connection, "city") == [(0, 12_000 + 200 + 8_000, True, "final", 1)] * 3


def test_a_multiplier_that_was_wrong_restates_what_it_concerns_up_to_the_feeder(
    worker: Worker, connection: Connection
) -> None:
    after = change(connection, kind="meter_multiplier", meter="A1-master", multiplier=90, valid_from=NOON.isoformat())
    assert set(worker.follow(connection, after)) >= {"A1"}
    assert results(connection, "A1") == [
        (100, 0, True, "final", 1),  # it ends when the change begins
        (3_100, 0, True, "restated", 2),
        (3_100, 0, True, "restated", 2),
    ]
    assert results(connection, "F1")[0] == (12_000, 200, True, "final", 1)
    assert [row[:4] for row in results(connection, "F1")[1:]] == [(9_000, 3_200, True, "restated")] * 2
    # What the line loses less, the area loses more.
    assert results(connection, "city") == [(0, 20_200, True, "final", 1)] * 3
    # The same orders again change nothing.
    before = connection.execute("select * from loss.balance order by 1, 2, 3").fetchall()
    worker.follow(connection, after)
    assert connection.execute("select * from loss.balance order by 1, 2, 3").fetchall() == before
    kept = connection.execute(
        "select s.revision, s.loss_wh from loss.superseded s join grid.unit using (unit_id)"
        " where code = 'A1' order by observed_at"
    ).fetchall()
    assert kept == [(1, 100), (1, 100)]


def test_a_reading_days_late_restates_its_interval_alone_up_to_the_region(
    worker: Worker, connection: Connection
) -> None:
    before = {unit: results(connection, unit) for unit in ("A1", "A2", "F1", "F2", "city")}
    late = 3 * 86_400_000_000
    worker.take(area("A1", {"A1-m1": 2_500}, sequence=late, at=NOON_US + QUARTER_US))
    after = {unit: results(connection, unit) for unit in before}
    changed = {(unit, i) for unit in before for i in range(3) if before[unit][i] != after[unit][i]}
    assert changed == {("A1", 1), ("F1", 1), ("city", 1)}
    assert after["A1"][1] == (500, 0, True, "restated", 2)
    assert after["F1"][1] == (12_000, 600, True, "restated", 2)
    assert after["city"][1] == (0, 20_600, True, "restated", 2)


def test_what_was_published_can_still_be_read(worker: Worker, connection: Connection) -> None:
    after = change(connection, kind="meter_multiplier", meter="A1-master", multiplier=90, valid_from=NOON.isoformat())
    worker.follow(connection, after)
    query = (
        "select loss_wh, revision from loss.as_published(%s) join grid.unit using (unit_id)"
        " where code = 'A1' and observed_at > %s order by observed_at"
    )
    long_ago = datetime.fromtimestamp(NOON_US / 1e6, UTC) + timedelta(hours=1)
    assert connection.execute(query, [long_ago, NOON]).fetchall() == [(100, 1), (100, 1)]
    assert connection.execute(query, [datetime.now(UTC), NOON]).fetchall() == [(3_100, 2), (3_100, 2)]
    assert connection.execute(query, [NOON - timedelta(days=1), NOON]).fetchall() == []


def test_a_meter_recorded_in_the_wrong_area_takes_its_values_along(worker: Worker, connection: Connection) -> None:
    after = change(connection, kind="meter_move", meter="A1-m1", unit="A2", valid_from=NOON.isoformat())
    assert set(worker.follow(connection, after)) >= {"A1", "A2"}
    assert results(connection, "A1")[0] == (100, 0, True, "final", 1)
    assert results(connection, "A1")[1] == (3_000, 0, True, "restated", 2)
    assert results(connection, "A2")[1] == (100 - 2_900, 0, True, "restated", 2)
    # Nothing is lost between them.
    assert results(connection, "F1")[1][:2] == (12_000, 200)


def test_a_meter_that_moves_inside_an_interval_is_shared(worker: Worker, connection: Connection) -> None:
    third = NOON + timedelta(minutes=5)  # a third of the second interval
    after = change(connection, kind="meter_move", meter="A1-m1", unit="A2", valid_from=third.isoformat())
    worker.follow(connection, after)
    first = 2_900 // 3
    assert results(connection, "A1")[1][:3] == (100 + 2_900 - first, 0, True)
    assert results(connection, "A2")[1][:3] == (100 - (2_900 - first), 0, True)
    assert results(connection, "A2")[2][:3] == (100 - 2_900, 0, True)


def test_an_area_that_changes_its_feeder_inside_an_interval_is_shared(worker: Worker, connection: Connection) -> None:
    third = NOON + timedelta(minutes=5)
    after = change(connection, kind="unit_parent", unit="A1", parent="F2", valid_from=third.isoformat())
    worker.follow(connection, after)
    assert [row[:3] for row in results(connection, "F1")] == [
        (12_000, 200, True),
        (24_000 - 6_000 - 2_000, 100 + 33, True),
        (24_000 - 6_000, 100, True),
    ]
    assert [row[:3] for row in results(connection, "F2")] == [
        (8_000, 0, True),
        (8_000 - 4_000, 67, True),
        (8_000 - 6_000, 100, True),
    ]


def test_what_is_taken_on_a_closed_account(worker: Worker, connection: Connection) -> None:
    third = NOON + timedelta(minutes=5)
    after = change(
        connection, kind="account_status", account="A1-account1", status="closed", valid_from=third.isoformat()
    )
    assert worker.follow(connection, after) == ["A1"]
    taken = connection.execute(
        "select uncontracted_wh, loss_wh from loss.balance join grid.unit using (unit_id)"
        " where code = 'A1' order by observed_at"
    ).fetchall()
    assert taken == [(0, 100), (2_900 - 2_900 // 3, 100), (2_900, 100)]


def test_a_worker_that_hasn_t_heard_of_a_change_doesn_t_settle_by_the_old_model(
    database: Database, worker: Worker, connection: Connection
) -> None:
    """Word of a change comes to each worker on its own; the order to settle again may have been carried out before."""
    deaf = Worker(database)
    deaf.take(whole("A1"))
    after = change(connection, kind="meter_multiplier", meter="A1-master", multiplier=90, valid_from=NOON.isoformat())
    worker.follow(connection, after)
    deaf.take(whole("A1", at=NOON_US + 3 * QUARTER_US))
    deaf.take(area("A1", {"A1-m1": 2_901}, sequence=99, at=NOON_US + QUARTER_US))
    assert [row[0] for row in results(connection, "A1")] == [100, 3_099, 3_100, 3_100]
    deaf.processor.close()


def test_a_change_in_the_middle_of_a_batch_is_settled_by(
    database: Database, worker: Worker, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model changes between the join of a batch and its writing."""
    joined = join
    calls: list[Any] = []

    def join_then_change(*arguments: Any) -> Any:
        found = joined(*arguments)
        if not calls:
            change(connection, kind="meter_multiplier", meter="A1-master", multiplier=90, valid_from=NOON.isoformat())
        calls.append(found)
        return found

    monkeypatch.setattr(module, "join", join_then_change)
    worker.take(whole("A1", at=NOON_US + 3 * QUARTER_US))
    assert results(connection, "A1")[3][0] == 3_100
    assert worker.processor.counters.conflicts == 1


def test_processors_that_share_views_see_a_change_each_for_itself(
    database: Database, worker: Worker, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one has joined its batch when the other sees the change first, and drops the view that they share."""
    other = Worker(database, worker.processor.views)
    other.take(whole("A1"))
    joined = join
    calls: list[Any] = []

    def join_then_other(*arguments: Any) -> Any:
        found = joined(*arguments)
        calls.append(found)
        if len(calls) == 1:
            change(connection, kind="meter_multiplier", meter="A1-master", multiplier=90, valid_from=NOON.isoformat())
            other.take(whole("A1", at=NOON_US + 4 * QUARTER_US))
        return found

    monkeypatch.setattr(module, "join", join_then_other)
    worker.take(whole("A1", at=NOON_US + 3 * QUARTER_US))
    assert [row[0] for row in results(connection, "A1")[3:]] == [3_100, 3_100]
    assert worker.processor.counters.conflicts == 1
    other.processor.close()


def test_values_that_follow_many_meters_are_one_revision(worker: Worker, connection: Connection) -> None:
    meters = ["A1-m1", "A1-m2"]
    after = START
    for meter in meters:
        applied = change(connection, kind="meter_move", meter=meter, unit="A2", valid_from=NOON.isoformat())
        after = applied if after == START else after
    worker.follow(connection, after)
    assert [row[4] for row in results(connection, "A2")] == [1, 2, 2]
    assert results(connection, "A2")[1][:3] == (100 - 5_900, 0, True)


def test_limits_are_published_by_orders_of_the_sweep(
    database: Database, worker: Worker, connection: Connection
) -> None:
    at = NOON_US + 3 * QUARTER_US
    worker.take(area("A1", {"A1-master": 100, "A1-m1": 2_900}, at=at))
    assert results(connection, "A1")[3] == (3_100, 0, False, "provisional", 0)
    sweeper = Sweeper(lambda: connect(database.conninfo("app"), "worker"))
    for now_us, wanted in ((at + 400_000_000, ("provisional", 1)), (at + 100_000_000_000, ("final", 2))):
        sweeper = Sweeper(lambda: connect(database.conninfo("app"), "worker"))
        orders = sweeper.orders(now_us)
        assert {order.key for order in orders} == {b"A1", b"F1"} if wanted[1] == 1 else {b"A1", b"F1"}
        assert sweeper.orders(now_us) == []  # not given twice
        worker.take(*(Record(order.topic, order.value) for order in orders))
        assert results(connection, "A1")[3][3:] == wanted
    assert Sweeper(lambda: connect(database.conninfo("app"), "worker")).orders(at + 200_000_000_000) == []


def test_an_order_for_an_unknown_unit_or_interval_does_nothing(worker: Worker, connection: Connection) -> None:
    worker.take(Record("telemetry.area", encode_due(Due("nowhere", 2**60, ((NOON_US, 900),)))))
    worker.take(Record("telemetry.area", encode_due(Due("A1", 2**60, ((NOON_US - QUARTER_US, 900),)))))
    worker.take(Record("telemetry.area", b"{"))
    assert len(results(connection, "A1")) == 3
    assert connection.execute("select reason from telemetry.rejected").fetchall() == [("invalid_block",)]


def test_a_reading_whose_block_is_gone_takes_no_published_result_s_place(
    database: Database, worker: Worker, connection: Connection
) -> None:
    before = {unit: results(connection, unit) for unit in ("A1", "F1", "city")}
    with psycopg.connect(database.conninfo("owner"), autocommit=True) as owner:
        owner.execute("delete from telemetry.block")
    worker.take(area("A1", {"A1-m1": 2_900}, sequence=77))
    assert {unit: results(connection, unit) for unit in before} == before
    ((reason, detail),) = connection.execute("select reason, detail from telemetry.rejected").fetchall()
    assert reason == "processing_failed"
    assert "published results are gone" in detail
