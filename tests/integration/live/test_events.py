"""Device events the whole way on real servers: MQTT, Kafka, Faust, TimescaleDB, and the command that shows them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from grid.device_events import EventBatch, encode_events
from grid.model import Meter, Role
from meterline.bootstrap import opener
from meterline.cli import app
from meterline.config import Settings
from meterline.replay import replay_rejected
from store.connection import Connection, connect
from streams.counters import Counters
from streams.events import EventProcessor
from streams.join import Record
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.integration.live.test_pipeline import Gateway, headend, pipeline
from tests.small_grid import small_model
from tests.waiting import Promise, until

__all__ = ["headend", "pipeline"]  # fixtures

NOON_US = 1_795_262_400_000_000  # 2026-11-21T12:00:00Z
TOPIC = "meterline/v1/headend/event/A1"
_sequence = iter(range(1, 1_000_000))


def message(*events: tuple[str, str, datetime], **changes: Any) -> bytes:
    fields = {
        "sequence": next(_sequence),
        "meter": [e[0] for e in events],
        "kind": [e[1] for e in events],
        "observed_at": [e[2].isoformat() for e in events],
    }
    return json.dumps(fields | changes).encode()


@pytest.fixture
def connection(pipeline: Settings) -> Iterator[Connection]:
    with opener(pipeline, "test")() as connection:
        connection.autocommit = True
        for table in ("telemetry.event", "telemetry.rejected"):
            connection.execute(f"delete from {table}")
        yield connection
        load_grid(connection, small_model())
        connection.execute("delete from telemetry.rejected")


def stored(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select u.code, e.meter, e.kind, e.observed_at from telemetry.event e join grid.unit u using (unit_id)"
        " order by 1, 2, 3, 4"
    ).fetchall()


def test_events_arrive_once_and_are_shown(config_path: Path, connection: Connection, headend: Gateway) -> None:
    now = datetime.now(UTC)
    before = now - timedelta(minutes=2)
    first = message(("A1-m1", "last_gasp", before), ("A1-m2", "last_gasp", before), ("A1-m1", "power_restored", now))
    headend.send(TOPIC, first)
    headend.send(TOPIC, first)  # the same again
    headend.send(TOPIC, message(("A1-m1", "last_gasp", before), ("A1-master", "cover_open", before)))
    expected = [
        ("A1", "A1-m1", "last_gasp", before),
        ("A1", "A1-m1", "power_restored", now),
        ("A1", "A1-m2", "last_gasp", before),
        ("A1", "A1-master", "cover_open", before),
    ]
    until(lambda: stored(connection) == expected)
    time.sleep(0.5)
    assert stored(connection) == expected

    run = CliRunner()

    def listed(*options: str) -> list[Any]:
        result = run.invoke(app, ["event", "list", "--json", "--config", str(config_path), *options])
        assert result.exit_code == 0, result.output
        return list(json.loads(result.stdout))

    assert [(e["unit"], e["meter"], e["kind"]) for e in listed()] == [
        ("A1", "A1-m1", "power_restored"),
        ("A1", "A1-m1", "last_gasp"),
        ("A1", "A1-m2", "last_gasp"),
        ("A1", "A1-master", "cover_open"),
    ]
    assert {e["meter"] for e in listed("--kind", "last_gasp", "--unit", "A1")} == {"A1-m1", "A1-m2"}
    assert len(listed("--since", (now - timedelta(seconds=1)).isoformat())) == 1
    assert listed("--unit", "A2") == []
    assert len(listed("--limit", "2")) == 2
    text = run.invoke(app, ["event", "list", "--config", str(config_path)])
    assert "cover_open" in text.stdout
    assert run.invoke(app, ["event", "list", "--unit", "X", "--config", str(config_path)]).exit_code == 1
    assert run.invoke(app, ["event", "list", "--kind", "stolen", "--config", str(config_path)]).exit_code == 2


def test_bad_input_goes_to_the_rejected_store_and_comes_back(
    pipeline: Settings, connection: Connection, headend: Gateway
) -> None:
    now = datetime.now(UTC)
    unknown = message(("A1-m9", "last_gasp", now), ("A1-m1", "last_gasp", now))
    headend.send(TOPIC, unknown)
    headend.send(TOPIC, b"not json")
    headend.send(TOPIC, message(("A1-m1", "stolen", now)))
    headend.send(TOPIC, message(("A1-m1", "last_gasp", now + timedelta(hours=1))))
    headend.send("meterline/v1/headend/event/A9", message(("A1-m1", "last_gasp", now)))
    headend.send("meterline/v1/headend/event/F1", message(("F1-head", "last_gasp", now)))
    reasons = {"unknown_meter", "invalid_json", "invalid_field", "time_in_future", "unknown_unit", "not_senders_unit"}
    until(lambda: {r for (r,) in connection.execute("select reason from telemetry.rejected")} == reasons)
    quarantined = connection.execute("select reason, meters from telemetry.rejected where quarantined order by 1")
    assert quarantined.fetchall() == [
        ("time_in_future", ["A1-m1"]), ("unknown_meter", ["A1-m9"]), ("unknown_unit", [])
    ]  # fmt: skip
    assert stored(connection) == [("A1", "A1-m1", "last_gasp", now)]

    model = small_model()
    load_grid(connection, replace(model, meters=(*model.meters, Meter("A1-m9", "A1", Role.CUSTOMER))))
    assert replay_rejected(pipeline, None, "unknown_meter", 10) == {"replayed": 1, "refused": 0}
    until(lambda: len(stored(connection)) == 2)
    assert stored(connection)[1][1] == "A1-m9"


def record(
    meters: list[str], *, unit: str = "A1", sequence: int = 1, received_at_us: int = NOON_US, kind: str = "cover_open"
) -> Record:
    batch = EventBatch(
        unit, "headend", received_at_us, sequence, pa.array(meters, pa.string()),
        pa.array([kind] * len(meters), pa.string()), np.full(len(meters), NOON_US - 1_000_000, np.int64),
    )  # fmt: skip
    return Record("telemetry.event", encode_events(batch))


@pytest.fixture
def own(database: Database) -> Iterator[tuple[EventProcessor, Connection]]:
    def opened() -> Connection:
        return connect(database.conninfo("app"), "worker")

    processor = EventProcessor(opened, Counters())
    with opened() as connection:
        connection.autocommit = True
        load_grid(connection, small_model())
        yield processor, connection
    processor.close()


def test_the_first_receipt_stands_in_whatever_order(own: tuple[EventProcessor, Connection]) -> None:
    processor, connection = own
    early = record(["A1-m1"], sequence=5)
    late = record(["A1-m1", "A1-m2"], sequence=4, received_at_us=NOON_US + 9_000_000)
    seen = []
    for batches in ([[early], [late]], [[late], [early]], [[late, early, late]], [[early, late], [late]]):
        connection.execute("delete from telemetry.event")
        for batch in batches:
            processor.process(batch)
        rows = connection.execute("select meter, sequence, received_at from telemetry.event order by 1")
        seen.append(rows.fetchall())
    assert [row[:2] for row in seen[0]] == [("A1-m1", 5), ("A1-m2", 4)]
    assert seen == [seen[0]] * 4
    assert processor.counters.rejected == 0


def test_what_is_broken_or_unknown_is_refused_alone(own: tuple[EventProcessor, Connection]) -> None:
    processor, connection = own
    broken = Record("telemetry.event", record(["A1-m1"]).value[:-30])
    processor.process([broken, record(["A1-m1", "A2-m1", 'a"b,c\\.\n']), record(["A2-m1"], unit="A2"), broken])
    assert [row[:2] for row in stored(connection)] == [("A1", "A1-m1"), ("A2", "A2-m1")]
    rejected = connection.execute("select reason, meters, seen from telemetry.rejected order by 1").fetchall()
    assert rejected == [("invalid_block", [], 2), ("unknown_meter", ["A2-m1", 'a"b,c\\.\n'], 1)]
    assert processor.counters.rows_written == 2
    assert processor.counters.reasons == {"invalid_block": 2, "unknown_meter": 1}


def test_a_record_that_the_store_cannot_take_stops_no_other(own: tuple[EventProcessor, Connection]) -> None:
    processor, connection = own
    # Ingest lets no such code through; PostgreSQL's text can't hold it.
    processor.process([record(["A1-m1"]), record(["a\0b"]), record(["A1-m2"])])
    assert [row[1] for row in stored(connection)] == ["A1-m1", "A1-m2"]
    assert connection.execute("select reason from telemetry.rejected").fetchall() == [("processing_failed",)]


def test_an_event_counts_where_its_meter_was_at_the_time(own: tuple[EventProcessor, Connection]) -> None:
    processor, connection = own
    connection.execute(
        "update grid.member set valid = tstzrange(lower(valid), %s) where meter = 'A1-m2'",
        [datetime(2026, 11, 21, 11, 59, 58, tzinfo=UTC)],
    )
    processor.process([record(["A1-m1", "A1-m2"])])
    assert [row[1] for row in stored(connection)] == ["A1-m1"]


def test_a_storm_is_stored_in_seconds(own: tuple[EventProcessor, Connection], promise: Promise) -> None:
    """64 messages of 4,096 events, as many as a batch may hold."""
    processor, connection = own
    meters = ["A1-m1"] * 4_096
    instants = np.arange(4_096, dtype=np.int64) * 1_000
    storm = [
        Record("telemetry.event", encode_events(EventBatch(
            "A1", "headend", NOON_US, n, pa.array(meters), pa.array(["phase_missing"] * 4_096),
            NOON_US - 10_000_000_000 + n * 4_096_000 + instants,
        )))
        for n in range(64)
    ]  # fmt: skip
    started = time.monotonic()
    processor.process(storm)
    promise("262,144 events are stored", time.monotonic() - started, 20)
    assert connection.execute("select count(*) from telemetry.event").fetchone() == (64 * 4_096,)
