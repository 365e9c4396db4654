"""SCADA points the whole way on real servers: MQTT, Kafka, Faust, TimescaleDB, and the command that shows them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from psycopg.types.range import Range
from typer.testing import CliRunner

from grid.network import AreaConnection, FeederHead, Network, Node, Switch, SwitchKind, SwitchPosition
from grid.points import Point, PointKind
from meterline.bootstrap import opener
from meterline.cli import app
from meterline.config import Settings
from meterline.replay import replay_rejected
from store.connection import Connection
from store.grid_writer import BEGINNING
from store.points import load_points
from sync.load import load_grid
from tests.integration.live.test_pipeline import Gateway, block, headend, pipeline, quarter, rtu, topic
from tests.small_grid import small_model
from tests.switched_database import memberships, outbox
from tests.waiting import until

__all__ = ["headend", "pipeline", "rtu"]  # fixtures

POINTS = [
    Point("F2-P", "F2", PointKind.ACTIVE_POWER, "kW", dead_band=4, cycle_s=450, meter="F2-head"),
    Point("F2-CB", "F2", PointKind.SWITCH),
]
_sequence = iter(range(1, 1_000_000))


TABLES = (
    "telemetry.scada",
    "telemetry.point_last",
    "telemetry.block",
    "loss.balance",
    "loss.superseded",
    "telemetry.rejected",
)


@pytest.fixture
def connection(pipeline: Settings) -> Iterator[Connection]:
    with opener(pipeline, "test")() as connection:
        load_points(connection, POINTS)
        connection.autocommit = True
        try:
            yield connection
        finally:
            # The tests of this file look at the same database.
            for table in TABLES:
                connection.execute(f"delete from {table}")


@pytest.fixture
def ring(connection: Connection) -> Iterator[Connection]:
    """Area A2 between two feeders: on F1 by switch Q, and by tie T on F2."""
    network = Network(
        nodes=tuple(Node(n, "S") for n in ("N1", "N2", "N3")),
        segments=(),
        switches=(
            Switch("Q", SwitchKind.LOAD_BREAK, "N1", "N2"),
            Switch("T", SwitchKind.LOAD_BREAK, "N2", "N3", SwitchPosition.OPEN),
        ),
        heads=(FeederHead("F1", "N1"), FeederHead("F2", "N3")),
        connections=(AreaConnection("A1", "N1"), AreaConnection("A2", "N2")),
    )
    load_grid(connection, replace(small_model(), network=network))
    load_points(connection, [Point(f"{f}-{s}", f, PointKind.SWITCH, switch=s) for f, s in (("F1", "Q"), ("F2", "T"))])
    try:
        yield connection
    finally:
        connection.execute("delete from grid.switch_position")
        load_grid(connection, small_model())


def message(*reports: tuple[str, datetime, float | None, int], **changes: Any) -> bytes:
    fields = {
        "sequence": next(_sequence),
        "point": [r[0] for r in reports],
        "observed_at": [r[1].isoformat() for r in reports],
        "value": [r[2] for r in reports],
        "quality": [r[3] for r in reports],
    }
    return json.dumps(fields | changes).encode()


def register(connection: Connection, at: datetime) -> tuple[int, int] | None:
    return connection.execute(
        "select import_wh[1], get_byte(quality, 0) from telemetry.block join grid.unit using (unit_id)"
        " where code = 'F2' and observed_at = %s",
        [at],
    ).fetchone()


def test_power_stands_in_until_the_register_comes(connection: Connection, rtu: Gateway) -> None:
    at = quarter(2)
    for minutes in (15, 8, 1):
        rtu.send("meterline/v1/rtu/points/F2", message(("F2-P", at - timedelta(minutes=minutes), 400, 0)))
    rtu.send("meterline/v1/rtu/points/F2", message(("F2-CB", at + timedelta(seconds=1), 1, 0)))
    assert until(lambda: register(connection, at)) == (2_500, 8)
    assert connection.execute("select inflow_wh from loss.balance where observed_at = %s", [at]).fetchone() == (
        100_000,
    )
    rtu.send("meterline/v1/rtu/block/F2", block(at, {"F2-head": 2_510}))
    until(lambda: register(connection, at) == (2_510, 0))
    # More power for the same interval is stored, and changes the register no more.
    rtu.send("meterline/v1/rtu/points/F2", message(("F2-P", at - timedelta(minutes=5), 4_000, 0)))
    until(lambda: connection.execute("select 1 from telemetry.point_report where value = 4000").fetchone())
    time.sleep(2.5)  # two batches: long enough for a stand-in to be settled
    assert register(connection, at) == (2_510, 0)


def test_bad_input_goes_to_the_rejected_store_and_comes_back(
    pipeline: Settings, connection: Connection, rtu: Gateway, headend: Gateway
) -> None:
    now = datetime.now(UTC)
    unknown = message(("F2-I", now, 7, 0), ("F2-CB", now, 0, 0))
    rtu.send("meterline/v1/rtu/points/F2", unknown)
    rtu.send("meterline/v1/rtu/points/F2", b"not json")
    rtu.send("meterline/v1/rtu/points/F2", message(("F2-CB", now + timedelta(hours=1), 1, 0)))
    # Another account's unit: the broker drops what an account publishes outside its own prefix, the bridge the rest.
    assert headend.send("meterline/v1/rtu/points/F2", unknown).is_failure
    headend.send("meterline/v1/headend/points/F2", unknown)
    reasons = {"unknown_point", "invalid_json", "time_in_future", "not_senders_unit"}
    until(lambda: {r for (r,) in connection.execute("select reason from telemetry.rejected")} == reasons)
    load_points(connection, [Point("F2-I", "F2", PointKind.CURRENT, "A")])
    assert replay_rejected(pipeline, None, "unknown_point", 10) == {"replayed": 1, "refused": 0}
    until(lambda: connection.execute("select 1 from telemetry.point_report where point = 'F2-I'").fetchone())
    assert connection.execute("select count(*) from telemetry.scada").fetchone() == (1,)


def test_the_command_shows_last_values_with_their_age(
    config_path: Path, connection: Connection, rtu: Gateway, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    rtu.send("meterline/v1/rtu/points/F2", message(("F2-P", now, 412.5, 0), ("F2-CB", now - timedelta(hours=1), 1, 0)))
    until(lambda: connection.execute("select count(*) from telemetry.point_last").fetchone() == (2,))
    run = CliRunner()
    shown = run.invoke(app, ["points", "F2", "--json", "--config", str(config_path)])
    values = {v["point"]: v for v in json.loads(shown.stdout)}
    assert (values["F2-P"]["value"], values["F2-P"]["state"]) == (412.5, "good")
    assert values["F2-P"]["age_s"] < 60
    assert (values["F2-CB"]["value"], values["F2-CB"]["state"]) == (1.0, "stale")
    text = run.invoke(app, ["points", "--config", str(config_path)]).stdout
    assert "412.5" in text
    assert "stale" in text
    file = tmp_path / "points.json"
    file.write_text(json.dumps([{"code": "F2-U", "unit": "F2", "kind": "U", "unit_of_measure": "kV"}]))
    loaded = run.invoke(app, ["load", "points", str(file), "--json", "--config", str(config_path)])
    assert json.loads(loaded.stdout) == {"points": 1, "units_changed": ["F2"]}
    shown = run.invoke(app, ["points", "F2", "--json", "--config", str(config_path)])
    assert {v["point"]: v["state"] for v in json.loads(shown.stdout)}["F2-U"] == "silent"


def outflow(connection: Connection, feeder: str, at: datetime) -> int | None:
    row = connection.execute(
        "select outflow_wh from loss.balance join grid.unit using (unit_id) where code = %s and observed_at = %s",
        [feeder, at],
    ).fetchone()
    return None if row is None else int(row[0])


def test_a_switch_moves_an_area_and_its_energy_is_split_then(ring: Connection, headend: Gateway, rtu: Gateway) -> None:
    def send(at: datetime) -> None:
        headend.send(topic("A1"), block(at, {"A1-master": 100, "A1-m1": 2_900, "A1-m2": 3_000}))
        headend.send(topic("A2"), block(at, {"A2-master": 50, "A2-m1": 1_400, "A2-m2": 1_450}))
        rtu.send(topic("F1", "rtu"), block(at, {"F1-head": 240}))
        rtu.send(topic("F2", "rtu"), block(at, {"F2-head": 60}))

    before, after = quarter(3), quarter(2)
    moved_at = before - timedelta(minutes=10)
    send(before)
    until(lambda: outflow(ring, "F1", before) == 9_000)  # 6,000 Wh of A1 and 3,000 Wh of A2
    assert outflow(ring, "F2", before) == 0
    told = len(outbox(ring, "switch.position"))
    rtu.send("meterline/v1/rtu/points/F1", message(("F1-Q", moved_at, 0, 0)))
    rtu.send("meterline/v1/rtu/points/F2", message(("F2-T", moved_at, 1, 0)))
    until(lambda: len(memberships(ring, "A2")) == 2)
    assert [(feeder, valid) for feeder, _, valid in memberships(ring, "A2")] == [
        ("F1", Range(BEGINNING, moved_at)),
        ("F2", Range(moved_at, None)),
    ]
    changes = outbox(ring, "switch.position")[told:]
    assert {(c["switch"], c["position"]) for c in changes} == {("Q", "open"), ("T", "closed")}
    # A third of the interval was over.
    until(lambda: (outflow(ring, "F1", before), outflow(ring, "F2", before)) == (7_000, 2_000))
    send(after)
    until(lambda: (outflow(ring, "F1", after), outflow(ring, "F2", after)) == (6_000, 3_000))
    # Confirmed by cycle: nothing moves, nobody is told.
    rtu.send("meterline/v1/rtu/points/F1", message(("F1-Q", after, 0, 0)))
    until(lambda: ring.execute("select 1 from telemetry.point_report where observed_at = %s", [after]).fetchone())
    assert len(outbox(ring, "switch.position")) == told + len(changes)
    assert ring.execute("select reason from telemetry.rejected").fetchall() == []
