"""Readings that their own registers contradict."""

from __future__ import annotations

import pytest

from grid.loss_class import reason_names
from grid.model import UnitKind
from grid.quality import MISSING_WH, Quality
from grid.roster import UnitView
from tests.memory import MemoryStore
from tests.property.test_registers import HEAD, QUARTER, START, STAYS, block, contributions

KEY = (5, START + 2 * QUARTER, 900)


@pytest.mark.parametrize(
    ("said_wh", "closing_wh", "apart_wh"),
    [
        (50, 1_050, 0),
        (53, 1_050, 0),  # two watt-hours and a fiftieth are allowed
        (54, 1_050, 4),
        (5_000, 1_050, 4_950),
        (0, 1_050, 50),
        (50, 900, 0),  # a register that fell says nothing
    ],
)
def test_a_reading_that_its_registers_contradict_is_suspect_and_less_sure(
    said_wh: int, closing_wh: int, apart_wh: int
) -> None:
    view = UnitView(5, "A", UnitKind.AREA, (HEAD, STAYS), ())
    store = MemoryStore()
    said = [
        block(2, "head", 1, import_wh=5_100, export_wh=0),
        block(1, "m1", 1, register_import_wh=1_000),
        block(2, "m1", 2, import_wh=said_wh, export_wh=0, register_import_wh=closing_wh),
    ]
    store.take(contributions(said, view))
    row = store.rows[KEY]
    assert int(row.channels["import_wh"][1]) == said_wh
    assert bool(row.quality[1] & Quality.SUSPECT) == (apart_wh > 0)
    assert int(row.channels["sigma_wh"][1]) == (apart_wh or MISSING_WH)
    assert ("suspect" in reason_names(int(row.balance["reasons"]))) == (apart_wh > 0)
    assert row.balance["sigma_wh"] >= apart_wh
    assert row.balance["outflow_wh"] == said_wh


def test_a_register_that_is_corrected_clears_it() -> None:
    view = UnitView(5, "A", UnitKind.AREA, (HEAD, STAYS), ())
    store = MemoryStore()
    store.take(contributions([block(1, "m1", 1, register_import_wh=1_000)], view))
    store.take(contributions([block(2, "m1", 2, import_wh=50, export_wh=0, register_import_wh=2_000)], view))
    assert store.rows[KEY].quality[1] == Quality.SUSPECT
    store.take(contributions([block(2, "m1", 3, register_import_wh=1_050)], view))
    assert store.rows[KEY].quality[1] == Quality.VALID
    assert int(store.rows[KEY].channels["sigma_wh"][1]) == MISSING_WH
