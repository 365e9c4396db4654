"""A stand-in from an RTU's messages, against figures made by hand (`scada_quarter/README.md`)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from grid.model import UnitKind
from grid.point_table import KnownPoint, PointTable, Reports
from grid.points import MINUTE_US, Point, PointBatch, PointKind
from ingest.decode_points import decode_points_message
from streams.steps.point_rows import arrange
from streams.steps.stand_in import Touched, Window, due_windows, stand_ins, to_block

CASE = json.loads((Path(__file__).parent / "scada_quarter" / "case.json").read_text(encoding="utf-8"))
NOON_US = int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp()) * 1_000_000
END_US = NOON_US + 15 * MINUTE_US


class OneFeeder:
    zone = UTC

    def unit_kind(self, unit: str) -> UnitKind | None:
        return UnitKind.FEEDER

    def may_send(self, gateway: str, unit: str) -> bool:
        return True


def batches() -> list[PointBatch]:
    decoded = [
        decode_points_message("meterline/v1/rtu/points/F1", json.dumps(m).encode(), END_US + 5_000_000, OneFeeder())
        for m in CASE["messages"]
    ]
    assert all(d.rejections == () for d in decoded)
    return [d.batch for d in decoded if d.batch is not None]


def test_the_stand_in_is_what_was_worked_out_by_hand() -> None:
    power = Point(**{**CASE["point"], "kind": PointKind(CASE["point"]["kind"])})
    reactive = Point("F1-Q", "F1", PointKind.REACTIVE_POWER, "kvar")
    table = PointTable([KnownPoint(7, 1, "rtu", power), KnownPoint(9, 1, "rtu", reactive)])
    arranged = arrange(batches(), table)
    touched = [
        Touched(1, minute, END_US + 2_000_000, prior, 900)
        for minute, prior in ((NOON_US - MINUTE_US, None), (END_US, NOON_US + 12 * MINUTE_US))
    ]
    assert due_windows(touched, arranged.reports, table)[-1] == Window(0, END_US, 900)
    reports: dict[int, Reports] = {1: arranged.reports}
    (made,) = stand_ins([Window(0, END_US, 900)], reports, table)
    expected = CASE["expected"]
    assert made.import_wh == pytest.approx(expected["import_wh"], abs=1e-6)
    assert made.export_wh == pytest.approx(expected["export_wh"], abs=1e-6)
    assert made.sigma_wh == pytest.approx(expected["sigma_wh"], abs=CASE["tolerance"]["sigma_wh"])
    assert made.reports == expected["reports"]
    block = to_block(made, CASE["multiplier"])
    assert block is not None
    assert (block.observed_at_us, block.interval_s) == (END_US, 900)
    assert block.sequence.tolist() == [expected["reports"]]
    assert {name: values.tolist() for name, values in block.channels.items()} == {
        "import_wh": [expected["meter_import_wh"]],
        "export_wh": [expected["meter_export_wh"]],
        "sigma_wh": [expected["meter_sigma_wh"]],
    }
    assert block.quality[0] == expected["quality"]
