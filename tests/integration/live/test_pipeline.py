"""The whole path on real servers: MQTT, Kafka, Faust, TimescaleDB; good input, bad input, and a changed model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest
from paho.mqtt.client import Client, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from deploy.stack import StackSpec, set_gateways, start_programs, stop_programs
from grid.errors import Reason, Rejection
from grid.topics import ENERGY_UNIT, GRID_RESETTLE
from grid.unit_energy import UnitEnergies, encode_unit_energies
from meterline.bootstrap import opener
from meterline.config import Settings
from meterline.ready import wait_until_ready
from meterline.replay import replay_rejected
from meterline.settings.section import read_secret
from store.connection import Connection
from store.rejected import add_rejections
from sync.load import load_grid
from tests.small_grid import small_model
from tests.waiting import until


class Gateway:
    """One gateway account at the broker."""

    def __init__(self, settings: Settings, account: str) -> None:
        folder = settings.mqtt.gateway_passwords_dir
        assert folder is not None
        self.answers: dict[int, Any] = {}
        self.client = Client(CallbackAPIVersion.VERSION2, client_id=f"test-{account}", protocol=MQTTv5)
        self.client.username_pw_set(account, read_secret(folder / account))
        self.client.on_publish = lambda _c, _u, mid, reason, _p: self.answers.update({mid: reason})
        self.client.connect(settings.mqtt.host, settings.mqtt.port)
        self.client.loop_start()

    def send(self, topic: str, payload: bytes) -> Any:
        """Publish and return the broker's answer."""
        info = self.client.publish(topic, payload, qos=1)
        until(lambda: info.mid in self.answers)
        return self.answers[info.mid]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="module")
def pipeline(stack: StackSpec, settings: Settings) -> Iterator[Settings]:
    """Bridge and worker on the stack's own database, with the small grid."""
    with opener(settings, "test")() as connection:
        load_grid(connection, small_model())
        connection.commit()
    set_gateways(stack, ["headend", "rtu"])
    start_programs(stack, ["bridge", "worker", "sync"])
    try:
        wait_until_ready(settings, 1)
        yield settings
    finally:
        stop_programs(stack, ["bridge", "worker", "sync"])


@pytest.fixture
def connection(pipeline: Settings) -> Iterator[Connection]:
    with opener(pipeline, "test")() as connection:
        connection.autocommit = True
        for table in ("telemetry.block", "loss.balance", "telemetry.rejected"):
            connection.execute(f"delete from {table}")
        yield connection


@pytest.fixture(scope="module")
def headend(pipeline: Settings) -> Iterator[Gateway]:
    gateway = Gateway(pipeline, "headend")
    yield gateway
    gateway.close()


@pytest.fixture(scope="module")
def rtu(pipeline: Settings) -> Iterator[Gateway]:
    gateway = Gateway(pipeline, "rtu")
    yield gateway
    gateway.close()


_sequence = iter(range(1, 1_000_000))


def quarter(back: int = 1) -> datetime:
    """End of a quarter-hour that lies `back` quarter-hours back."""
    seconds = int(time.time()) // 900 * 900
    return datetime.fromtimestamp(seconds, UTC) - timedelta(minutes=15 * back)


def block(at: datetime, meters: dict[str, int | None], **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "sequence": next(_sequence),
        "observed_at": at.isoformat(),
        "interval_s": 900,
        "meter": list(meters),
        "import_wh": list(meters.values()),
    }
    return json.dumps(fields | changes).encode()


def topic(unit: str, gateway: str = "headend") -> str:
    return f"meterline/v1/{gateway}/block/{unit}"


def loss_of(connection: Connection, unit: str, at: datetime) -> tuple[Any, ...] | None:
    return connection.execute(
        "select inflow_wh, outflow_wh, loss_wh, members_loss_wh, computable, status"
        " from loss.balance join grid.unit using (unit_id) where code = %s and observed_at = %s",
        [unit, at],
    ).fetchone()


def rejected(connection: Connection, original: bytes) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select reason, quarantined, meters, id from telemetry.rejected where original = %s", [original]
    ).fetchall()


def test_from_meters_to_the_loss_of_areas_and_feeder(connection: Connection, headend: Gateway, rtu: Gateway) -> None:
    at = quarter()
    headend.send(topic("A1"), block(at, {"A1-master": 100, "A1-m1": 2_900, "A1-m2": 3_000}))
    headend.send(topic("A2"), block(at, {"A2-master": 50, "A2-m1": 1_400, "A2-m2": 1_450}))
    rtu.send(topic("F1", "rtu"), block(at, {"F1-head": 240}))
    assert until(lambda: loss_of(connection, "A1", at)) == (6_000, 5_900, 100, 0, True, "final")
    assert until(lambda: loss_of(connection, "A2", at)) == (3_000, 2_850, 150, 0, True, "final")
    # 240 × 40 Wh in at the head, 6,000 and 3,000 Wh out to the areas.
    until(lambda: (loss_of(connection, "F1", at) or [None])[-1] == "final")
    assert loss_of(connection, "F1", at) == (9_600, 9_000, 600, 250, True, "final")


def test_a_repeat_changes_nothing_and_a_correction_restates(connection: Connection, headend: Gateway) -> None:
    at = quarter(2)
    payload = block(at, {"A1-master": 100, "A1-m1": 2_900, "A1-m2": 3_000})
    for _ in range(3):
        headend.send(topic("A1"), payload)
    until(lambda: loss_of(connection, "A1", at))
    headend.send(topic("A1"), block(at, {"A1-m1": 2_800}))
    until(lambda: (loss_of(connection, "A1", at) or [None])[-1] == "restated")
    assert loss_of(connection, "A1", at) == (6_000, 5_800, 200, 0, True, "restated")
    published = connection.execute(
        "select r.revision, r.loss_wh, r.status from ("
        "  select unit_id, observed_at, revision, loss_wh, status from loss.balance"
        "  union all select unit_id, observed_at, revision, loss_wh, status from loss.superseded"
        ") r join grid.unit u using (unit_id) where u.code = 'A1' and r.observed_at = %(at)s order by 1",
        {"at": at},
    ).fetchall()
    assert published == [(1, 100, "final"), (2, 200, "restated")]


def bad_inputs() -> list[tuple[str, bytes, str]]:
    at = quarter(3)
    whole: dict[str, int | None] = {"A1-master": 1, "A1-m1": 2, "A1-m2": 3}
    return [
        ("A1", b'{"sequence": 1,', "invalid_json"),
        ("A1", block(at, whole, voltage_a_v=[230.0, float("nan"), 230.0]), "invalid_json"),
        ("A1", block(datetime(2100, 1, 1, tzinfo=UTC), whole), "time_in_future"),
        ("A1", block(at, whole) + b" " * 10_000_000, "too_large"),
        ("A1", block(at, whole, import_wh=[1, 2]), "unequal_lengths"),
        ("A1", b"\x00\x01\x02", "invalid_json"),
        ("Z9", block(at, whole), "unknown_unit"),
        ("F1", block(at, whole), "not_senders_unit"),
    ]


@pytest.mark.parametrize(("unit", "payload", "reason"), bad_inputs(), ids=[row[2] for row in bad_inputs()])
def test_bad_input_keeps_its_bytes_and_the_rest_goes_on(
    connection: Connection, headend: Gateway, unit: str, payload: bytes, reason: str
) -> None:
    at = quarter(4)
    headend.send(topic(unit), payload)
    headend.send(topic("A2"), block(at, {"A2-master": 50, "A2-m1": 1_400, "A2-m2": 1_450}))
    ((found, quarantined, _, _),) = until(lambda: rejected(connection, payload))
    assert found == reason
    assert quarantined == (reason in ("time_in_future", "unknown_unit"))
    assert until(lambda: loss_of(connection, "A2", at)) == (3_000, 2_850, 150, 0, True, "final")


def test_a_negative_register_is_refused_alone(connection: Connection, headend: Gateway) -> None:
    at = quarter(5)
    payload = block(at, {"A1-master": 100, "A1-m1": -5, "A1-m2": 3_000})
    headend.send(topic("A1"), payload)
    ((reason, _, meters, _),) = until(lambda: rejected(connection, payload))
    assert (reason, meters) == ("negative_energy", ["A1-m1"])
    assert until(lambda: loss_of(connection, "A1", at)) == (6_000, 3_000, 3_000, 0, False, "provisional")


def test_an_unknown_meter_waits_in_quarantine_until_the_model_knows_it(
    pipeline: Settings, connection: Connection, headend: Gateway
) -> None:
    at = quarter(6)
    headend.send(topic("A2"), block(at, {"A2-master": 50, "A2-m1": 1_400, "A2-m2": 1_450, "A2-new": 100}))
    assert until(lambda: loss_of(connection, "A2", at)) == (3_000, 2_850, 150, 0, True, "final")
    rows = connection.execute("select id, reason, meters, quarantined from telemetry.rejected").fetchall()
    ((_, reason, meters, quarantined),) = rows
    assert (reason, meters, quarantined) == ("unknown_meter", ["A2-new"], True)

    connection.execute("insert into grid.meter (code, accuracy_class) values ('A2-new', 1)")
    connection.execute(
        "insert into grid.member (unit_id, position, meter, role, valid)"
        " select unit_id, 3, 'A2-new', 2, '(,)' from grid.unit where code = 'A2'"
    )
    (change,) = connection.execute(
        "insert into grid.outbox (aggregatetype, aggregateid, type, payload)"
        """ values ('unit', 'A2', 'member.added', '{"unit": "A2"}') returning id"""
    ).fetchone() or [None]
    until(lambda: connection.execute("select 1 from sync.relay where outbox_id >= %s", [change]).fetchone())
    try:
        assert replay_rejected(pipeline, None, None, 100) == {"replayed": 1, "refused": 0}
        until(lambda: (loss_of(connection, "A2", at) or [0, 0])[1] == 2_950)
        assert loss_of(connection, "A2", at) == (3_000, 2_950, 50, 0, True, "restated")
        assert connection.execute("select count(*) from telemetry.rejected where replayed_at is null").fetchone() == (
            0,
        )
    finally:
        connection.execute("delete from grid.member where meter = 'A2-new'")
        connection.execute("delete from grid.meter where code = 'A2-new'")


def test_a_record_that_failed_goes_back_to_its_own_topic(pipeline: Settings, connection: Connection) -> None:
    at = quarter(8)
    ids: dict[str, int] = dict(connection.execute("select code, unit_id from grid.unit").fetchall())
    energies = UnitEnergies(
        parent="F2",
        child_id=np.array([ids["A1"]], np.int32),
        observed_at_us=np.array([int(at.timestamp()) * 1_000_000]),
        interval_s=np.array([900], np.int32),
        received_at_us=np.array([int(at.timestamp()) * 1_000_000]),
        version=np.array([1]),
        taken_wh=np.array([1]),
        returned_wh=np.array([0]),
        loss_wh=np.array([0]),
        sigma_wh=np.array([0]),
        technical_milli_wh=np.array([0]),
        sold_sigma_wh=np.array([0]),
        sold_systematic_wh=np.array([0]),
        sigma_systematic_wh=np.array([0]),
        final_us=np.array([int(at.timestamp()) * 1_000_000]),
        quality=np.zeros(1, np.uint8),
    )
    order = {"unit": "A1", "from": at.isoformat(), "to": None, "model_version": 1}
    originals = [
        (ENERGY_UNIT, encode_unit_energies([energies])),
        (ENERGY_UNIT, b"broken"),
        (GRID_RESETTLE, json.dumps({"recorded_at": at.isoformat(), "payload": order}).encode()),
    ]
    rejections = [Rejection(Reason.PROCESSING_FAILED, "bug", topic, original) for topic, original in originals]
    with connection.transaction():
        add_rejections(connection, rejections, datetime.now(UTC))
    entries = [row[0] for row in connection.execute("select id from telemetry.rejected order by original").fetchall()]
    assert replay_rejected(pipeline, entries, None, 100) == {"replayed": 3, "refused": 0}
    # The worker takes all; what is broken comes back with its reason, and nothing became a device's message.
    until(lambda: rejected(connection, b"broken")[1:])
    rows = connection.execute(
        "select reason, topic, replayed_at is null from telemetry.rejected order by id"
    ).fetchall()
    assert sorted(rows) == [
        ("invalid_block", ENERGY_UNIT, True),
        ("processing_failed", ENERGY_UNIT, False),
        ("processing_failed", ENERGY_UNIT, False),
        ("processing_failed", GRID_RESETTLE, False),
    ]


def test_the_broker_stops_a_gateway_that_speaks_for_another(
    connection: Connection, headend: Gateway, rtu: Gateway
) -> None:
    at = quarter(7)
    payload = block(at, {"A1-master": 100, "A1-m1": 1, "A1-m2": 1})
    assert rtu.send(topic("A1"), payload).is_failure
    assert not headend.send(topic("A2"), block(at, {"A2-master": 50, "A2-m1": 1_400, "A2-m2": 1_450})).is_failure
    until(lambda: loss_of(connection, "A2", at))
    assert loss_of(connection, "A1", at) is None
    assert rejected(connection, payload) == []


def test_health_readiness_and_metrics_of_bridge_and_worker(
    stack: StackSpec, connection: Connection, headend: Gateway
) -> None:
    at = quarter(8)
    headend.send(topic("A1"), block(at, {"A1-master": 100, "A1-m1": 2_900, "A1-m2": 3_000}))
    until(lambda: loss_of(connection, "A1", at))
    for port in (stack.ports.bridge_ops, stack.ports.worker_ops):
        assert httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").text == "ok\n"
    worker = httpx.get(f"http://127.0.0.1:{stack.ports.worker_ops}/metrics").text
    figures = {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in worker.splitlines() if not line.startswith("#"))
    }
    assert figures['meterline_worker_readings_total{units="areas"}'] >= 3
    assert figures['meterline_worker_delay_seconds_bucket{le="+Inf",units="areas"}'] >= 1
    assert figures['meterline_worker_delay_seconds_bucket{le="60.0",units="areas"}'] >= 1
    bridge = httpx.get(f"http://127.0.0.1:{stack.ports.bridge_ops}/metrics").text
    assert "meterline_bridge_forwarded_total" in bridge


def test_a_wrong_password_is_not_let_in(pipeline: Settings) -> None:
    answers: list[Any] = []
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv5)
    client.username_pw_set("headend", "wrong")
    client.on_connect = lambda _c, _u, _f, reason, _p: answers.append(reason)
    client.connect(pipeline.mqtt.host, pipeline.mqtt.port)
    client.loop_start()
    try:
        assert until(lambda: answers)[0].is_failure
    finally:
        client.loop_stop()


def test_the_board_role_reads_no_customer_s_series(pipeline: Settings, connection: Connection) -> None:
    with psycopg.connect(pipeline.database.conninfo("board")) as board:
        assert board.execute("select count(*) from loss.balance").fetchone() is not None
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            board.execute("select import_wh from telemetry.block")
