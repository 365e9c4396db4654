"""Levels, elements, sides of metering, instrument transformers and ties, on a real database."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from grid.model import (
    GreaterUnit,
    GridModel,
    Meter,
    MeteredSide,
    Role,
    TieMeter,
    TransformerArea,
    UnitKind,
    UnitParent,
)
from meterline.model_file import read_model, write_model
from store.connection import Connection, connect
from store.grid_reader import read_meter, read_unit
from store.views import load_views
from sync.change import ContradictionError
from sync.load import InvalidModelError, load_grid
from tests.integration.conftest import Database
from tests.integration.test_processor import NOON_US, area, whole
from tests.integration.test_settling_again import NOON, Worker, change, results
from tests.small_grid import small_model

QUARTER = timedelta(minutes=15)
LATER_US = NOON_US + 900_000_000


def model() -> GridModel:
    """Two lines with a tie on one busbar; two areas and a customer metered behind its transformer on the first."""
    small = small_model()
    customer = TransformerArea(
        "D1", "Works", UnitKind.DEDICATED, "headend", "F1", 315_000, 480.0, 3_650.0, metered_side=MeteredSide.LOW
    )
    levels = {"110": "110 kV", "20": "20 kV", "0.4": "0.4 kV"}
    return replace(
        small,
        areas=(*small.areas, customer),
        meters=(
            *small.meters,
            Meter("D1-meter", "D1", Role.GATEWAY | Role.CUSTOMER, 10, 0.5, ct_class=0.5),
            Meter("T1-meter", "T1", Role.GATEWAY, 100, 0.2, ct_class=0.2, pt_class=0.2),
            Meter("tie", "F1", Role.TIE_OUT, 10, 0.2),
        ),
        ties=(TieMeter("tie", "F2", Role.TIE_IN),),
        greater=(
            GreaterUnit("city", "City", UnitKind.REGION),
            GreaterUnit("T1", "Transformer 1", UnitKind.ELEMENT, gateway="rtu", substation="S"),
            GreaterUnit("B1", "Busbar 1", UnitKind.ELEMENT, substation="S"),
            *(GreaterUnit(code, name, UnitKind.VOLTAGE_LEVEL) for code, name in levels.items()),
        ),
        parents=(
            UnitParent("T1", "city"),
            UnitParent("B1", "T1"),
            *(UnitParent(f, "B1") for f in ("F1", "F2")),
            UnitParent("T1", "110"),
            *(UnitParent(u, "20") for u in ("F1", "F2", "D1")),
            *(UnitParent(a, "0.4") for a in ("A1", "A2")),
        ),
    )


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as connection:
        load_grid(connection, model())
        connection.commit()
        connection.autocommit = True
        yield connection


@pytest.fixture
def worker(database: Database, connection: Connection) -> Iterator[Worker]:
    worker = Worker(database)
    for at in (NOON_US, LATER_US):
        worker.take(whole("A1", at=at), whole("A2", at=at))
        worker.take(area("D1", {"D1-meter": 1_000}, at=at))
        # 24,000 + 24,000 Wh at the heads, 1,000 of them by the tie from the first line to the second.
        worker.take(from_rtu("F1", {"F1-head": 600, "tie": 100}, at))
        worker.take(from_rtu("F2", {"F2-head": 600}, at))
        worker.take(from_rtu("T1", {"T1-meter": 490}, at))
    yield worker
    worker.processor.close()


def from_rtu(unit: str, readings: dict[str, int], at: int) -> Any:
    return replace(area(unit, readings, at=at), topic="telemetry.scada")


def losses(connection: Connection, code: str) -> tuple[int, int]:
    row = results(connection, code)[0]
    assert row[2], code
    return int(row[0]), int(row[1])


def inflows(connection: Connection, code: str) -> list[int]:
    rows = connection.execute(
        "select inflow_wh from loss.balance join grid.unit using (unit_id) where code = %s order by observed_at", [code]
    )
    return [row[0] for row in rows]


def test_a_region_is_the_sum_of_levels_and_of_elements_to_the_watt_hour(worker: Worker, connection: Connection) -> None:
    # 120 Wh without load, and what 10,000 Wh at 0.95 in a quarter-hour of an hour add.
    transformer = 120 + round(3_650 * (40_000 / 0.95 / 315_000) ** 2 / 4)
    own = {code: losses(connection, code)[0] for code in ("T1", "B1", "F1", "F2", "A1", "A2", "D1")}
    assert own == {
        "T1": 49_000 - 48_000,
        "B1": 0,
        "F1": 24_000 - 1_000 - 2 * 6_000 - 10_000 - transformer,
        "F2": 24_000 + 1_000,
        "A1": 100,
        "A2": 100,
        "D1": transformer,
    }
    region = sum(losses(connection, "city"))
    assert region == sum(own.values())
    assert region == sum(losses(connection, code)[1] for code in ("110", "20", "0.4"))
    assert [inflows(connection, code)[0] for code in ("110", "20", "0.4")] == [49_000, 48_000, 12_000]


def test_the_side_of_metering_changes_in_two_times(worker: Worker, connection: Connection) -> None:
    moved = {"kind": "unit_metering", "unit": "D1", "metered_side": "high", "valid_from": NOON.isoformat()}
    units = worker.follow(connection, change(connection, **moved))
    assert {"D1", "F1", "20"} <= set(units)
    before, after = (row[0] for row in results(connection, "D1"))
    assert before > 0
    assert after == 0
    assert [row[0] for row in results(connection, "F1")] == [1_000 - before, 1_000]
    sides = [(read_unit(connection, "D1", at=at) or {})["metered_side"] for at in (NOON - QUARTER, NOON)]
    assert sides == ["low", "high"]
    view = load_views(connection, ["D1"])["D1"]
    assert [p.metered_side for p in view.plates] == [MeteredSide.LOW, MeteredSide.HIGH]
    assert {load_views(connection, [u])[u].plates[0].metered_side for u in ("A1", "A2")} == {MeteredSide.LOW}
    assert load_views(connection, ["F1"])["F1"].plates == ()
    with pytest.raises(ContradictionError, match="no transformer"):
        change(connection, **{**moved, "unit": "F1"})


def test_another_plate_in_the_model_settles_a_customer_again(worker: Worker, connection: Connection) -> None:
    loaded = model()
    areas = tuple(replace(a, no_load_loss_w=960.0) if a.code == "D1" else a for a in loaded.areas)
    first = results(connection, "D1")[0][0]
    last = change(connection, kind="unit_name", unit="D1", name="Old works")
    areas = tuple(replace(a, name="Old works") if a.code == "D1" else a for a in areas)
    report = load_grid(connection, replace(loaded, areas=areas))
    assert report.units_resettled >= 1
    worker.follow(connection, last)
    assert [row[0] for row in results(connection, "D1")] == [first + 120] * 2
    assert not load_grid(connection, replace(loaded, areas=areas)).changed


def test_classes_of_instrument_transformers_widen_a_meters_error(worker: Worker, connection: Connection) -> None:
    def accuracy(unit: str, meter: str) -> float:
        members = load_views(connection, [unit])[unit].members
        return next(m.accuracy_class for m in reversed(members) if m.meter == meter)

    assert accuracy("T1", "T1-meter") == pytest.approx(0.2 * math.sqrt(3))
    assert accuracy("F1", "F1-head") == pytest.approx(0.2)
    child = next(m for m in load_views(connection, ["F1"])["F1"].members if m.child_id is not None and m.position == 4)
    assert child.accuracy_class == pytest.approx(0.5 * math.sqrt(2))
    changed = {"kind": "meter_class", "meter": "F1-head", "accuracy_class": 0.2, "valid_from": NOON.isoformat()}
    worker.follow(connection, change(connection, **changed, ct_class=0.5, pt_class=0.5))
    assert accuracy("F1", "F1-head") == pytest.approx(math.sqrt(0.2**2 + 2 * 0.5**2))
    sigmas = [
        row[0]
        for row in connection.execute(
            "select systematic_sigma_wh from loss.balance join grid.unit using (unit_id)"
            " where code = 'F1' order by observed_at"
        )
    ]
    share = 0.44 / 100 * 24_000
    assert sigmas[1] ** 2 - sigmas[0] ** 2 == pytest.approx(2 * (0.5 * share) ** 2, rel=1e-3)
    replaced = {"kind": "meter_replace", "meter": "F1-head", "new_meter": "F1-new", "accuracy_class": 0.5}
    change(connection, **replaced, valid_from=(NOON + QUARTER).isoformat())
    meter = read_meter(connection, "F1-new", at=NOON + QUARTER)
    assert meter is not None
    assert (meter["accuracy_class"], meter["ct_class"], meter["pt_class"]) == (0.5, 0.5, 0.5)


def test_a_line_that_leaves_its_busbar_comes_into_its_level_by_itself(worker: Worker, connection: Connection) -> None:
    """A busbar that is in the level with its lines: what they take has come in with it."""
    last = change(connection, kind="unit_parent", unit="B1", parent="20", valid_from=NOON.isoformat())
    assert "20" in worker.follow(connection, last)

    assert inflows(connection, "20") == [48_000, 48_000]
    gone = {"kind": "unit_parent", "unit": "F2", "parent": None, "parent_kind": "element"}
    assert "20" in worker.follow(connection, change(connection, **gone, valid_from=NOON.isoformat()))
    members = {m.child_id: m.inner for m in load_views(connection, ["20"])["20"].members if m.valid_to_us > LATER_US}
    ids: dict[str, int] = dict(connection.execute("select code, unit_id from grid.unit").fetchall())
    assert {code: members[ids[code]] for code in ("F1", "F2", "D1", "B1")} == {
        "F1": True, "F2": False, "D1": True, "B1": False,
    }  # fmt: skip


def test_the_model_goes_through_a_file(tmp_path: Any) -> None:
    write_model(tmp_path / "grid.json", model())
    assert read_model(tmp_path / "grid.json") == model()


@pytest.mark.parametrize(
    "parents",
    [(UnitParent("F1", "city"),), (UnitParent("B1", "city"),)],
)
def test_what_would_be_counted_twice_is_refused(parents: tuple[UnitParent, ...]) -> None:
    with pytest.raises(ValueError, match="by itself and within"):
        replace(model(), parents=(*model().parents, *parents))


def test_a_tie_must_be_one_on_both_sides() -> None:
    for tie in (TieMeter("F1-head", "F2", Role.TIE_IN), TieMeter("tie", "F1", Role.TIE_IN)):
        with pytest.raises(ValueError, match="tie"):
            replace(model(), ties=(tie,))
    with pytest.raises(ValueError, match="role"):
        TieMeter("tie", "F2", Role.GATEWAY)
    with pytest.raises(InvalidModelError):
        load_grid(None, replace(model(), meters=(*model().meters, Meter("x", "F1", Role.UNIT))))  # type: ignore[arg-type]
