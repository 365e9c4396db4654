"""Technical losses in the real database: of feeders as their switches stood, of areas by their lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from grid.area_network import AreaNetwork
from grid.model import Meter, Role
from grid.network import SwitchPosition
from grid.topics import ENERGY_UNIT
from grid.unit_energy import encode_unit_energies
from store.connection import Connection, connect
from store.topology import apply_switch_position
from streams.counters import Counters
from streams.join import Record
from streams.processor import Processor
from sync.load import load_grid
from tests.integration.conftest import Database
from tests.integration.test_processor import NOON_US, area
from tests.small_network import switched_model

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
QUARTER_US = 900_000_000
TAKEN_WH = 20_000
NO_LOAD_W, LOAD_W, RATING_VA = 600.0, 4_000.0, 400_000


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as connection:
        model = switched_model()
        areas = tuple(replace(a, no_load_loss_w=NO_LOAD_W, load_loss_w=LOAD_W) for a in model.areas)
        customer = Meter("m1", "F1-A", Role.CUSTOMER, phases="A")
        lines = AreaNetwork("F1-A", (-1, 0), (0.0, 0.2), (0.0, 0.1), (0.0, 0.8), (0.0, 0.4), ("m1",), (1,))
        load_grid(connection, replace(model, areas=areas, meters=(*model.meters, customer), area_networks=(lines,)))
        connection.commit()
        connection.autocommit = True
        yield connection


@pytest.fixture
def processor(database: Database) -> Iterator[Processor]:
    processor = Processor(lambda: connect(database.conninfo("app"), "worker"), Counters())
    yield processor
    processor.close()


def send(processor: Processor, at_us: int) -> None:
    records = [Record("telemetry.scada", area(f, {f"{f}-head": 2_000}, at=at_us).value) for f in ("F1", "F2", "F3")]
    for f in ("F1", "F2", "F3"):
        for n in "ACD":
            meters = {f"{f}-{n}-master": TAKEN_WH}
            meters |= {"m1": 2_000} if (f, n) == ("F1", "A") else {}
            records.append(area(f"{f}-{n}", meters, at=at_us))
    told = processor.process(records)
    while told:
        told = processor.process([Record(ENERGY_UNIT, encode_unit_energies([e])) for e in told])


def technical(connection: Connection, unit: str) -> list[float | None]:
    rows = connection.execute(
        "select technical_wh from loss.balance join grid.unit using (unit_id) where code = %s order by observed_at",
        [unit],
    )
    return [row[0] for row in rows]


#: Load and iron of one area's transformer over a quarter of an hour.
TRANSFORMER_WH = (NO_LOAD_W + LOAD_W * (4 * TAKEN_WH / 0.95 / RATING_VA) ** 2) / 4


def test_a_feeder_loses_by_what_hangs_on_it_as_its_switches_stand(processor: Processor, connection: Connection) -> None:
    send(processor, NOON_US)
    # F1-C and F1-D are cut off from F1 and hang on F3, a quarter after noon.
    at = NOON + timedelta(minutes=15)
    apply_switch_position(connection, "F1-Q", SwitchPosition.OPEN, at)
    apply_switch_position(connection, "T13", SwitchPosition.CLOSED, at)
    send(processor, NOON_US + 2 * QUARTER_US)
    before, after = technical(connection, "F1")
    more_before, more_after = technical(connection, "F3")
    assert before is not None
    assert after is not None
    assert more_before is not None
    assert more_after is not None
    # Lines lose some watt-hours beside the transformers.
    assert before == pytest.approx(3 * TRANSFORMER_WH, rel=0.02)
    assert before > 3 * TRANSFORMER_WH
    # What is left hangs on the first node, without a line that is known.
    assert after == pytest.approx(TRANSFORMER_WH)
    assert more_before == pytest.approx(before)
    assert more_after == pytest.approx(5 * TRANSFORMER_WH, rel=0.02)


def test_an_area_loses_in_its_lines(processor: Processor, connection: Connection) -> None:
    send(processor, NOON_US)
    (lost,) = technical(connection, "F1-A")
    current_a = 8_000 / 0.95 / (400 / 3**0.5)
    assert lost == pytest.approx(current_a**2 * (0.8 + 2 * 0.2) / 3 / 4, rel=0.2)
    assert lost is not None
    assert lost > current_a**2 * (0.8 + 2 * 0.2) / 3 / 4
    assert technical(connection, "F2-A") == [None]
    names = connection.execute(
        "select loss.reason_names(reasons) from loss.balance join grid.unit using (unit_id) where code = 'F2-A'"
    ).fetchone()
    assert names == (["no_technical"],)


def test_a_line_that_is_recorded_otherwise_is_settled_again(processor: Processor, connection: Connection) -> None:
    send(processor, NOON_US)
    model = switched_model()
    assert model.network is not None
    segments = tuple(replace(s, resistance_ohm=100 * s.resistance_ohm) for s in model.network.segments)
    report = load_grid(connection, replace(model, network=replace(model.network, segments=segments)))
    assert report.units_resettled >= 3


@pytest.mark.parametrize("later_first", [False, True])
def test_a_transformer_that_was_changed_loses_by_the_plate_of_its_time(
    processor: Processor, connection: Connection, later_first: bool
) -> None:
    changed = {"at": NOON + timedelta(minutes=30), "load_w": 2 * LOAD_W}
    connection.execute(
        """
        with old as (
          update grid.unit_state s set valid = tstzrange(lower(s.valid), %(at)s)
          from grid.unit u where u.unit_id = s.unit_id and u.code = 'F1-A'
          returning s.*
        )
        insert into grid.unit_state (unit_id, name, rating_va, no_load_loss_w, load_loss_w, valid, recorded)
        select unit_id, name, rating_va, no_load_loss_w, %(load_w)s, tstzrange(%(at)s, null), recorded from old
        """,
        changed,
    )
    times = [NOON_US, NOON_US + 4 * QUARTER_US]
    for at_us in reversed(times) if later_first else times:
        send(processor, at_us)
    before, after = technical(connection, "F1")
    assert before is not None
    assert after is not None
    assert before == pytest.approx(3 * TRANSFORMER_WH, rel=0.02)
    assert after - before == pytest.approx(TRANSFORMER_WH - NO_LOAD_W / 4, rel=0.02)
