"""SCADA points against the real database, without Kafka: history, last values, stand-ins, switches, poison."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest

from grid.block import Block, decode_block, encode_block
from grid.points import Point, PointBatch, PointCause, PointKind, encode_points
from grid.quality import Quality
from store.blocks import to_datetime
from store.connection import Connection, connect
from store.points import UnknownReferenceError, list_points, load_points
from store.topology import UnknownSwitchError
from streams.counters import Counters, PointCounters
from streams.join import Record
from streams.points import PointProcessor
from streams.processor import Processor
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.integration.test_settling_again import Worker as Follower
from tests.integration.test_settling_again import change
from tests.small_grid import small_model

NOON_US = 1_780_315_200_000_000  # 2026-06-01T12:00:00Z
SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
QUARTER_US = 15 * MINUTE_US

POINTS = (
    Point("F1-P", "F1", PointKind.ACTIVE_POWER, "kW", dead_band=4.0, cycle_s=300, meter="F1-head"),
    Point("F1-Q", "F1", PointKind.REACTIVE_POWER, "kvar"),
    Point("F1-CB", "F1", PointKind.SWITCH, switch="CB-1"),
    Point("F2-P1", "F2", PointKind.ACTIVE_POWER, "MW", sign=-1, cycle_s=300, meter="F2-head"),
    Point("F2-P2", "F2", PointKind.ACTIVE_POWER, "W", cycle_s=300, meter="F2-head"),
)

Report = tuple[str, float, float, int]


def points(unit: str, *reports: Report, sequence: int = 1, received_s: float = 0.0) -> Record:
    """A message of (point, seconds after noon, value, quality)."""
    batch = PointBatch(
        unit=unit,
        gateway="rtu",
        received_at_us=NOON_US + int(received_s * SECOND_US),
        sequence=sequence,
        cause=PointCause.SPONTANEOUS,
        digest=hash((unit, sequence, reports)),
        codes=pa.array([r[0] for r in reports], pa.string()),
        observed_at_us=np.array([NOON_US + int(r[1] * SECOND_US) for r in reports], np.int64),
        value=np.array([r[2] for r in reports], np.float64),
        quality=np.array([r[3] for r in reports], np.uint8),
    )
    return Record("telemetry.scada", encode_points(batch))


def register(
    unit: str, value_wh: int, at: int = NOON_US + QUARTER_US, channel: str = "import_wh", interval_s: int = 900
) -> Record:
    block = Block(
        unit=unit,
        gateway="rtu",
        observed_at_us=at,
        interval_s=interval_s,
        received_at_us=at,
        meters=pa.array([f"{unit}-head"], pa.string()),
        sequence=np.ones(1, np.int64),
        channels={channel: np.array([value_wh], np.int64), channel.replace("import", "export"): np.zeros(1, np.int64)},
        quality=np.zeros(1, np.uint8),
    )
    return Record("telemetry.scada", encode_block(block))


class Switches:
    """Takes note of what the topology is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, bool, float]] = []
        self.error: Exception | None = None

    def __call__(self, connection: Connection, switch: str, closed: bool, at: datetime) -> None:
        if self.error is not None:
            raise self.error
        self.told.append((switch, closed, (at - to_datetime(NOON_US)).total_seconds()))


class Worker:
    """Both processors, one after the other, as the agent runs them."""

    def __init__(self, database: Database) -> None:
        def opened() -> Connection:
            return connect(database.conninfo("app"), "worker")

        self.switches = Switches()
        self.points = PointProcessor(opened, PointCounters(), 900, self.switches)
        self.greater = Processor(opened, Counters())

    def take(self, *records: Record) -> list[Block]:
        """Settle a batch; returns the stand-ins."""
        rest = self.points.process(records)
        self.greater.process(rest)
        return [decode_block(r.value) for r in rest if r not in records]

    def close(self) -> None:
        self.points.close()
        self.greater.close()


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as connection:
        load_grid(connection, small_model())
        load_points(connection, POINTS)
        connection.commit()
        connection.autocommit = True
        yield connection


@pytest.fixture
def worker(database: Database, connection: Connection) -> Iterator[Worker]:
    worker = Worker(database)
    yield worker
    worker.close()


def history(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select unit_id, observed_at, digest, sequence, cause, received_at, first_us, power_count, point_id, offset_us,"
        " value, quality from telemetry.scada order by 1, 2, 3"
    ).fetchall()


def last(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute("select * from telemetry.point_last order by 1").fetchall()


def heads(connection: Connection) -> dict[tuple[str, int], tuple[int, int, int]]:
    """Import, export and quality of the gateway meter by unit and minutes after noon."""
    rows = connection.execute(
        "select code, (extract(epoch from observed_at) * 1000000)::bigint, import_wh[1], export_wh[1],"
        " get_byte(quality, 0) from telemetry.block join grid.unit using (unit_id) where kind = 'feeder'"
    )
    return {(code, (at - NOON_US) // MINUTE_US): (i, e, q) for code, at, i, e, q in rows}


def rejected(connection: Connection) -> list[tuple[str, list[str]]]:
    return connection.execute("select reason, meters from telemetry.rejected order by id").fetchall()


def steady(value: float, minutes: Sequence[int], unit: str = "F1", point: str = "F1-P", first: int = 1) -> list[Record]:
    return [points(unit, (point, 60 * m, value, 0), sequence=first + n) for n, m in enumerate(minutes)]


def test_history_and_last_values(worker: Worker, connection: Connection) -> None:
    worker.take(
        points(
            "F1", ("F1-Q", 1.5, 7.0, 0), ("F1-P", 2.25, 400.0, 32), ("F1-P", 59.999999, 401.0, 0), ("F1-P", 60, 9, 128)
        )
    )
    rows = connection.execute(
        "select point, extract(epoch from observed_at - minute)::float8, value, quality, cause from"
        " telemetry.point_report order by observed_at, point"
    ).fetchall()
    assert rows == [
        ("F1-Q", 1.5, 7.0, 0, 3),
        ("F1-P", 2.25, 400.0, 32, 3),
        ("F1-P", 59.999999, 401.0, 0, 3),
        ("F1-P", 0.0, 9.0, 128, 3),
    ]
    known = {v.point: (v.value, v.quality) for v in list_points(connection) if v.value is not None}
    assert known == {"F1-P": (9.0, 128), "F1-Q": (7.0, 0)}
    assert len(list_points(connection, "F1")) == 3
    assert worker.points.counters.figures()["reports"] == 4


def test_any_order_repetition_and_batching_ends_in_the_same_state(worker: Worker, connection: Connection) -> None:
    dice = random.Random(4)  # noqa: S311  # no secret
    values = [float("nan"), 0.0, 400.0, 410.0]
    messages = [
        points(
            "F1",
            *[
                (
                    dice.choice(["F1-P", "F1-Q"]),
                    dice.choice([0, 0.5, 59, 61, 300]),
                    dice.choice(values),
                    dice.choice([0, 32, 64]),
                )
                for _ in range(dice.randint(1, 4))
            ],
            sequence=dice.randint(1, 3),
            received_s=dice.randint(0, 5),
        )
        for _ in range(12)
    ]
    # The same message again, received later: the earlier receipt stands.
    messages += [points("F1", ("F1-P", 0, 1.0, 0), sequence=9, received_s=s) for s in (3, 2, 4)]
    states = []
    for _ in range(8):
        connection.execute("delete from telemetry.scada")
        connection.execute("delete from telemetry.point_last")
        order = messages + dice.choices(messages, k=5)
        dice.shuffle(order)
        while order:
            size = dice.randint(1, 6)
            worker.take(*order[:size])
            order = order[size:]
        states.append(repr((history(connection), last(connection))))
    assert len(set(states)) == 1


def test_power_stands_in_for_a_missing_register_and_adds_nothing_to_one_that_comes(
    worker: Worker, connection: Connection
) -> None:
    made = worker.take(*steady(400.0, [-1, 4, 9, 14]))
    assert made == []  # the interval is still open
    (block,) = worker.take(*steady(480.0, [15]))
    # 400 kW for a quarter-hour through a meter of multiplier 40.
    assert (block.unit, block.meters.to_pylist(), block.channels["import_wh"].tolist()) == ("F1", ["F1-head"], [2_500])
    assert heads(connection) == {("F1", 15): (2_500, 0, Quality.SUBSTITUTED)}
    worker.take(register("F1", 2_510))
    assert heads(connection) == {("F1", 15): (2_510, 0, Quality.VALID)}
    # And the other way round.
    worker.take(register("F1", 2_999, NOON_US + 2 * QUARTER_US), *steady(480.0, [20, 25, 29, 30], first=20))
    assert heads(connection)["F1", 30] == (2_999, 0, Quality.VALID)


def test_energy_from_registers_wins_over_power(worker: Worker, connection: Connection) -> None:
    worker.take(*steady(400.0, [-1, 4, 9, 14, 15]))
    worker.take(
        register("F1", 10_000, NOON_US, "register_import_wh"),
        register("F1", 12_510, NOON_US + QUARTER_US, "register_import_wh"),
    )
    assert heads(connection)["F1", 15] == (2_510, 0, Quality.DERIVED)


def test_the_band_of_a_stand_in_is_that_of_the_dead_band_too(worker: Worker, connection: Connection) -> None:
    def sigma_wh() -> float:
        row = connection.execute("select sigma_wh from loss.balance join grid.unit using (unit_id) where code = 'F1'")
        return float(row.fetchall()[0][0])

    worker.take(*steady(400.0, [0, 5, 10, 15]))
    power = sigma_wh()
    worker.take(register("F1", 2_500))
    # Three holds of 300 s with ± 4 kW: 4 kW × √(3 × 300² / 3) s = 333 Wh beyond the meter's class; at the meter, whose
    # multiplier is 40, whole watt-hours: 9.
    assert power**2 - sigma_wh() ** 2 == pytest.approx((9 * 40) ** 2)


def test_the_energy_of_a_stand_in_outlives_a_correction_of_the_multiplier(
    database: Database, worker: Worker, connection: Connection
) -> None:
    def inflow_wh() -> list[tuple[int]]:
        return connection.execute(
            "select inflow_wh from loss.balance join grid.unit using (unit_id) where code = 'F1'"
        ).fetchall()

    worker.take(*steady(400.0, [0, 5, 10, 15]))
    assert inflow_wh() == [(100_000,)]
    follower = Follower(database)
    for multiplier in (50, 40, 80):
        valid_from = to_datetime(NOON_US).isoformat()
        after = change(
            connection, kind="meter_multiplier", meter="F1-head", multiplier=multiplier, valid_from=valid_from
        )
        assert follower.follow(connection, after) == ["F1"]
        assert inflow_wh() == [(100_000,)]
    follower.processor.close()


def test_several_points_of_a_meter_add_up_and_export_is_apart(worker: Worker, connection: Connection) -> None:
    for minute in (0, 5, 10, 15):
        # 0.3 MW out of the feeder, and 100 kW or 700 kW into it.
        into = 100e3 if minute < 10 else 700e3
        worker.take(points("F2", ("F2-P1", 60 * minute, 0.3, 0), ("F2-P2", 60 * minute, into, 32), sequence=minute))
    # 10 minutes at −200 kW, 5 minutes at +400 kW; multiplier 40; substituted values are flagged.
    assert heads(connection) == {
        ("F2", 15): (round(400e3 / 12 / 40), round(200e3 / 6 / 40), Quality.SUBSTITUTED | Quality.SUSPECT)
    }


@pytest.mark.parametrize(
    "gap",
    [
        steady(400.0, [0, 14, 15]),  # nothing between for more than two cycles
        [*steady(400.0, [0, 5, 10, 15]), points("F1", ("F1-P", 400, 400.0, 128), sequence=50)],
        [*steady(400.0, [0, 5, 10, 15]), points("F1", ("F1-P", 400, float("nan"), 128), sequence=50)],
    ],
)
def test_what_isn_t_wholly_known_stands_in_for_nothing(
    worker: Worker, connection: Connection, gap: list[Record]
) -> None:
    worker.take(*gap)
    assert heads(connection) == {}


def test_a_late_report_is_computed_anew(worker: Worker, connection: Connection) -> None:
    worker.take(*steady(400.0, [0, 5, 10, 15]))
    assert heads(connection)["F1", 15][0] == 2_500
    # From 12:07 to 12:10 it was 100 kW: less, and it stands although the value is smaller.
    worker.take(points("F1", ("F1-P", 420, 100.0, 0), sequence=2))
    assert heads(connection)["F1", 15][0] == round((400e3 * 12 + 100e3 * 3) / 60 / 40)


def test_a_report_after_a_silence_closes_what_lay_before_it(worker: Worker, connection: Connection) -> None:
    worker.take(*steady(400.0, [0, 5, 10, 14]))
    assert heads(connection) == {}
    worker.take(points("F1", ("F1-Q", 4 * 3_600, 1.0, 0), sequence=99))
    assert list(heads(connection)) == [("F1", 15)]


def test_a_late_report_fills_a_gap(worker: Worker, connection: Connection) -> None:
    worker.take(*steady(400.0, [0, 12, 15]))
    assert heads(connection) == {}
    worker.take(*steady(400.0, [6], first=9))
    assert heads(connection)["F1", 15][0] == 2_500


def test_any_order_ends_in_the_same_register(worker: Worker, connection: Connection) -> None:
    dice = random.Random(7)  # noqa: S311  # no secret
    messages = [
        points("F1", ("F1-P", s, 100.0 + dice.randint(0, 900), dice.choice([0, 0, 32])), sequence=n)
        for n, s in enumerate(range(-60, 1_900, 97))
    ]
    states = []
    for _ in range(6):
        for table in ("telemetry.scada", "telemetry.point_last", "telemetry.block", "loss.balance"):
            connection.execute(f"delete from {table}")
        worker.points._looked.clear()
        order = messages + dice.choices(messages, k=6)
        dice.shuffle(order)
        while order:
            size = dice.randint(1, 6)
            worker.take(*order[:size])
            order = order[size:]
        states.append(heads(connection))
    assert states[0].keys() == {("F1", 15), ("F1", 30)}
    assert all(state == states[0] for state in states)


def test_a_batch_that_is_repeated_after_a_crash_tells_again(database: Database, connection: Connection) -> None:
    for _ in range(2):
        worker = Worker(database)  # the first one has died before its stand-ins were settled
        worker.points.process(steady(400.0, [0, 5, 10]))
        rest = worker.points.process(steady(400.0, [15, 16], first=5))
        assert len(rest) == 1
        worker.close()


def test_the_unit_s_own_interval_is_used(worker: Worker, connection: Connection) -> None:
    worker.take(register("F1", 160, NOON_US + MINUTE_US, interval_s=60))
    worker.take(*steady(400.0, [0, 1, 2, 3]))
    assert {minute for _, minute in heads(connection)} == {1, 2, 3}


def test_switches_are_told_once_and_in_order(worker: Worker, connection: Connection) -> None:
    def position(at_s: float, value: float, sequence: int, quality: int = 0) -> Record:
        return points("F1", ("F1-CB", at_s, value, quality), sequence=sequence)

    worker.take(position(0, 1, 1), position(10, 1, 2), position(20, 0, 3))
    assert worker.switches.told == [("CB-1", True, 0.0), ("CB-1", False, 20.0)]
    worker.take(position(30, 0, 4), position(40, 1, 5, quality=128), position(50, 2, 6), position(20, 0, 3))
    # Confirmed, not good, neither open nor closed, repeated: nothing to tell.
    assert worker.switches.told[2:] == []
    worker.switches.told.clear()
    worker.take(position(60, 0, 7))
    # What was seen last was neither open nor closed: this one is told, whatever it was before.
    assert worker.switches.told == [("CB-1", False, 60.0)]
    worker.switches.told.clear()
    # Late, and a position that was confirmed since holds from when it was seen.
    worker.take(position(25, 1, 8))
    assert worker.switches.told == [("CB-1", True, 25.0), ("CB-1", False, 30.0)]


def test_a_topology_that_fails_costs_no_points(worker: Worker, connection: Connection) -> None:
    worker.switches.error = LookupError("no such switch")
    worker.take(points("F1", ("F1-CB", 0, 1, 0), ("F1-Q", 0, 5, 0)))
    assert {v.point for v in list_points(connection) if v.value is not None} == {"F1-CB", "F1-Q"}
    assert rejected(connection) == [("processing_failed", ["F1-CB"])]
    assert worker.points.counters.switch_changes_unwritten == 1


def test_a_switch_that_the_model_does_not_have_is_counted(worker: Worker, connection: Connection) -> None:
    worker.switches.error = UnknownSwitchError("no switch CB-1")
    worker.take(points("F1", ("F1-CB", 0, 1, 0), ("F1-Q", 0, 5, 0)))
    assert {v.point for v in list_points(connection) if v.value is not None} == {"F1-CB", "F1-Q"}
    assert rejected(connection) == []
    assert worker.points.counters.switch_changes_unwritten == 1


def test_unknown_points_wait_and_take_their_place_once_they_are_known(worker: Worker, connection: Connection) -> None:
    message = points("F1", ("F1-new", 5, 1.0, 0), ("F1-P", 6, 400.0, 0), ("F2-P1", 6, 1.0, 0))
    worker.take(message)
    assert rejected(connection) == [("unknown_point", ["F1-new", "F2-P1"])]
    assert [len(row[8]) for row in history(connection)] == [1]
    load_points(connection, [Point("F1-new", "F1", PointKind.CURRENT, "A")])
    worker.points.table.drop("F1")
    worker.take(message)
    worker.take(message)
    assert [len(row[8]) for row in history(connection)] == [2]
    assert len(last(connection)) == 2


def test_a_poisoned_record_goes_alone(worker: Worker, connection: Connection) -> None:
    far = points("F1", ("F1-P", 7e12, 1.0, 0))
    numbered = points("F1", ("F1-P", 0, 1.0, 0), sequence=2**63)
    broken = Record("telemetry.scada", points("F1", ("F1-P", 0, 1.0, 0)).value[:-40])
    worker.take(
        points("F1", ("F1-Q", 0, 5, 0)), far, broken, numbered, points("F2", ("F2-P1", 0, 5, 0)), register("F1", 7)
    )
    assert {v.point for v in list_points(connection) if v.value is not None} == {"F1-Q", "F2-P1"}
    assert sorted(reason for reason, _ in rejected(connection)) == [
        "invalid_block",
        "invalid_block",
        "processing_failed",
    ]
    assert heads(connection)["F1", 15][0] == 7


def test_a_lost_connection_is_made_again(worker: Worker, connection: Connection) -> None:
    worker.take(*steady(400.0, [0, 5, 10]))
    connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'worker'")
    with pytest.raises(psycopg.OperationalError):
        worker.points.process(steady(400.0, [15], first=9))
    assert len(worker.points.process(steady(400.0, [15], first=9))) == 1


def test_the_loader_refuses_what_the_model_doesn_t_have(connection: Connection) -> None:
    wrong = [
        Point("x", "F9", PointKind.OTHER),
        Point("y", "F1", PointKind.ACTIVE_POWER, "kW", meter="F2-head"),
        Point("F1-Q", "F2", PointKind.REACTIVE_POWER, "kvar"),
    ]
    with pytest.raises(UnknownReferenceError) as caught:
        load_points(connection, wrong)
    assert caught.value.problems == [
        "no gateway meter F2-head in unit F1",
        "no unit F9",
        "point F1-Q belongs to another unit",
    ]
    assert load_points(connection, POINTS) == []
    assert load_points(connection, [Point("F1-Q", "F1", PointKind.REACTIVE_POWER, "Mvar")]) == ["F1"]
    told = connection.execute("select aggregateid, payload->'units' from grid.outbox where type = 'unit.points'")
    assert told.fetchall() == [("F1", ["F1"]), ("F2", ["F2"]), ("F1", ["F1"])]
