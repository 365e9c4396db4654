"""A reading that comes when its day has been removed harms no result that was kept."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from store.connection import Connection, connect
from streams.counters import Counters
from streams.processor import Processor
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.integration.test_processor import NOON_US, area, whole
from tests.small_grid import small_model

NEXT_US = NOON_US + 900_000_000


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as connection:
        load_grid(connection, small_model())
        connection.commit()
        connection.autocommit = True
        yield connection


@pytest.fixture
def processor(database: Database) -> Iterator[Processor]:
    processor = Processor(lambda: connect(database.conninfo("app"), "worker"), Counters())
    yield processor
    processor.close()


def test_a_late_reading_is_rejected_and_the_rest_of_its_batch_is_not(
    processor: Processor, connection: Connection, database: Database
) -> None:
    processor.process([whole("A1", at=NOON_US)])
    kept = "select * from loss.balance where observed_at <= '2026-06-01T12:00Z' order by unit_id, observed_at"
    before = connection.execute(kept).fetchall()
    assert len(before) == 1
    with psycopg.connect(database.conninfo("owner")) as owner:
        owner.execute("delete from telemetry.block")
    late = area("A1", {"A1-m1": 2_900}, sequence=77)
    energies = processor.process([late, whole("A2", at=NEXT_US)])
    told = [at for energy in energies for at in energy.observed_at_us.tolist()]
    assert told
    assert set(told) == {NEXT_US}
    assert connection.execute(kept).fetchall() == before
    assert connection.execute("select count(*) from telemetry.block").fetchone() == (1,)
    rejected = connection.execute("select reason, original, detail from telemetry.rejected").fetchall()
    assert [(reason, original) for reason, original, _ in rejected] == [("processing_failed", late.value)]
    assert "published results are gone" in rejected[0][2]
