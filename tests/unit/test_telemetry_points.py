from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, tzinfo
from pathlib import Path

import numpy as np
import pytest

from grid.model import UnitKind
from grid.points import PointCause, PointKind, PointQuality
from ingest.decode_points import decode_points_message
from meterline.points_file import read_points
from twin.delivery import Delivery
from twin.delivery_faults import DeliveryFaults
from twin.metering import MeterErrors, Metering
from twin.outbox import Made, MessageKind, in_order_of_making, in_order_of_sending
from twin.steps import Steps, make_steps
from twin.telemetry_points import FeederSeries, ScadaReports, ScadaSettings, SwitchPoint, points_file, scada_points

MONDAY = 1_780_272_000  # 2026-06-01T00:00:00Z

FEEDERS = ["F1", "F2", "F3"]
SWITCHES = (SwitchPoint("F1-CB", "F1", "CB-1"), SwitchPoint("F2-tie", "F2", "S-9"))
QUIET = ScadaSettings(noise_w=0, noise_var=0, noise_v=0, noise_a=0, invalid_share=0, old_share=0)


@dataclass(frozen=True)
class Unit:
    code: str
    gateway: str
    first: int
    last: int
    has_voltage: bool


class AllKnown:
    """A directory that has every unit."""

    zone: tzinfo = UTC

    def unit_kind(self, unit: str) -> UnitKind | None:
        return UnitKind.AREA

    def may_send(self, gateway: str, unit: str) -> bool:
        return True


def scada(settings: ScadaSettings | None = None) -> ScadaReports:
    return ScadaReports(FEEDERS, ["rtu-1", "rtu-1", "rtu-2"], [3, 4, 5], SWITCHES, settings, seed=6)


def series(steps: Steps, swing: float = 2e5) -> FeederSeries:
    chance = np.random.default_rng(4)
    size = (len(steps), len(FEEDERS))
    closed = np.ones((len(steps), 2), np.bool_)
    closed[5:, 1] = False
    power = 1e6 + chance.normal(0, swing, size) if swing else np.full(size, 1e6)
    return FeederSeries(power, power / 4, np.full(size, 20_000.0), power / 34_641, closed)


def reports(settings: ScadaSettings | None, steps: Steps, what: FeederSeries) -> list[Made]:
    rtu = scada(settings)
    return [*rtu.advance(steps, what), *rtu.finish()]


def points_of(made: Sequence[Made]) -> list[tuple[str, float, float | None, int, str]]:
    found: list[tuple[str, float, float | None, int, str]] = []
    for message in in_order_of_sending(made):
        decoded = decode_points_message(message.topic, message.payload, message.send_at_us, AllKnown())
        assert decoded.rejections == ()
        batch = decoded.batch
        assert batch is not None
        for code, at_us, value, quality in zip(
            batch.codes.to_pylist(), batch.observed_at_us, batch.value, batch.quality, strict=True
        ):
            assert message.send_at_us > at_us
            found.append((code, at_us / 1e6, float(value), int(quality), PointCause(batch.cause).name))
    return found


def test_what_does_not_move_is_reported_by_cycle_alone() -> None:
    steps = make_steps(MONDAY, 4)
    found = points_of(reports(QUIET, steps, series(steps, 0)))
    assert sum(code == "F3-P" for code, *_ in found) == 60 + 1  # the first look is reported too
    assert {value for code, _, value, _, _ in found if code == "F3-P"} == {1_000.0}
    assert {q for *_, q, _ in found} == {0}


def test_a_held_value_is_never_off_by_more_than_the_dead_band() -> None:
    steps = make_steps(MONDAY, 8)
    what = series(steps)
    found = points_of(reports(QUIET, steps, what))
    middle = steps.begin_s + steps.length_s / 2
    own = [(at, value or 0.0) for code, at, value, _, _ in found if code == "F2-P"]
    at = np.array([a for a, _ in own])
    for look in range(MONDAY, MONDAY + 7_200, 10):
        held = own[int(np.searchsorted(at, look, side="right")) - 1][1]
        true_kw = np.interp(look, middle, what.power_w[:, 1]) / 1e3
        assert abs(held - true_kw) <= 20.06
    causes = {cause for *_, cause in found}
    assert causes == {"CYCLIC", "SPONTANEOUS"}


def test_a_switch_is_reported_when_it_moves() -> None:
    steps = make_steps(MONDAY, 4, cuts=[MONDAY + 1_234])
    what = series(steps)
    found = [
        (at, value, cause) for code, at, value, _, cause in points_of(reports(QUIET, steps, what)) if code == "F2-tie"
    ]
    moved_s = float(steps.begin_s[5])
    assert (moved_s, 0.0, "SPONTANEOUS") in found
    assert all(value == (at < moved_s) for at, value, _ in found)


def test_reports_do_not_depend_on_the_division_of_steps() -> None:
    steps = make_steps(MONDAY, 8)
    what = series(steps)
    rtu = scada()
    made: list[Made] = []
    for first in range(0, len(steps), 5):
        part = slice(first, first + 5)
        values = FeederSeries(*(getattr(what, f.name)[part] for f in fields(FeederSeries)))
        made += rtu.advance(steps.part(first, first + 5), values)
    made += rtu.finish()
    assert made == reports(None, steps, what)
    assert [m.made_us for m in made] == sorted(m.made_us for m in made)


def test_some_points_are_invalid_or_old() -> None:
    steps = make_steps(MONDAY, 16)
    settings = ScadaSettings(invalid_share=0.05, old_share=0.1)
    found = points_of(reports(settings, steps, series(steps)))
    flags = np.array([q for *_, q, _ in found])
    assert (flags == PointQuality.INVALID).mean() == pytest.approx(0.05, abs=0.01)
    assert (flags == PointQuality.NOT_TOPICAL).mean() == pytest.approx(0.1, abs=0.015)
    assert all(np.isnan(v or 0.0) == (q == PointQuality.INVALID) for _, _, v, q, _ in found)


def test_the_points_file_is_read(tmp_path: Path) -> None:
    points = scada_points(FEEDERS, SWITCHES, meters={"F1": "F1-head"})
    path = tmp_path / "points.json"
    path.write_bytes(points_file(points))
    assert read_points(path) == list(points)
    assert [p.switch for p in points if p.kind is PointKind.SWITCH] == ["CB-1", "S-9"]
    assert points[0].meter == "F1-head"
    assert points[0].dead_band == 20.0
    with pytest.raises(ValueError, match="multiple"):
        ScadaSettings(cycle_s=25)


def test_blocks_and_points_share_their_gateways_numbers() -> None:
    steps = make_steps(MONDAY, 2)
    what = series(steps)
    meters = Metering(FEEDERS, [60] * 3, [0.2] * 3, MeterErrors.none())
    delivery = Delivery(
        [Unit(f, "rtu-1", i, i + 1, False) for i, f in enumerate(FEEDERS)], FEEDERS, 1, DeliveryFaults.none()
    )
    blocks = (m for r in meters.advance(steps, what.power_w, what.power_w) for m in delivery.make(r))
    sent = list(in_order_of_sending(in_order_of_making(blocks, reports(None, steps, what))))
    own = sorted(s.sequence for s in sent if s.made.gateway == "rtu-1")
    assert own == list(range(1, len(own) + 1))
    assert {s.made.kind for s in sent} == {MessageKind.BLOCK, MessageKind.POINTS}
