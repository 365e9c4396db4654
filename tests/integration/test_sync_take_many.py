"""Taking many records costs no more where the planner knows nothing yet of the system's other records."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from store.connection import connect
from sync.take import TakeRules, take_file
from tests.integration.conftest import Database
from tests.waiting import Promise

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
MANY = 40_000


def test_a_second_dataset_is_not_compared_record_by_record_with_the_first(
    database: Database, tmp_path: Path, promise: Promise
) -> None:
    with connect(database.conninfo("app"), "test") as connection:
        connection.autocommit = True

        def take(system: str, dataset: str, value: str) -> tuple[int, int, float]:
            file = tmp_path / f"{dataset}.csv"
            file.write_text("k,v\n" + "".join(f"K{i},{value}\n" for i in range(MANY)))
            began = time.monotonic()
            counts = take_file(connection, file, system, TakeRules(), NOW)
            return counts.added, counts.changed, time.monotonic() - began

        take("gis", "lines", "1")
        # What is known of the table is now of GIS alone, as it is while a utility is taken for the first time.
        with psycopg.connect(database.conninfo("owner"), autocommit=True) as owner:
            owner.execute("analyze sync.record")
        take("marketing", "areas", "1")
        added, _, seconds = take("marketing", "meters", "1")
        assert added == MANY
        promise(f"{MANY:,} records of a second dataset are taken", seconds, 3)
        _, changed, seconds = take("marketing", "meters", "2")
        assert changed == MANY
        promise(f"{MANY:,} changed records are taken", seconds, 5)
