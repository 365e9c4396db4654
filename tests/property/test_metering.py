"""Readings and faults don't depend on how time is divided among calls, nor on which meters there are besides."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.metering import MeterErrors, Metering, MeterReadings
from twin.steps import make_steps

BEGIN = 1_780_000_000 // 86_400 * 86_400
METERS = 60
STEPS = make_steps(BEGIN, 16, cuts=[BEGIN + 1_000, BEGIN + 7_777])
CHANCE = np.random.default_rng(1)
POWER = CHANCE.normal(200, 400, (len(STEPS), METERS))
VOLTAGE = CHANCE.normal(230, 3, (len(STEPS), METERS))
ERRORS = MeterErrors(clock_far_share=0.2)


def meters(first: int = 0) -> Metering:
    codes = [f"M-{i}" for i in range(first, METERS)]
    return Metering(codes, [1 + i % 3 for i in range(first, METERS)], [1.0] * len(codes), ERRORS, seed=5)


def rows(readings: list[MeterReadings]) -> list[tuple[object, ...]]:
    names = ("import_wh", "export_wh", "import_register_wh", "export_register_wh", "voltage_v")
    return [(r.end_s, r.interval_s, *(getattr(r, name).tolist() for name in names)) for r in readings]


def read(cuts: list[int]) -> list[MeterReadings]:
    metering = meters()
    edges = [0, *sorted(cuts), len(STEPS)]
    found: list[MeterReadings] = []
    for first, last in pairwise(edges):
        found += metering.advance(STEPS.part(first, last), POWER[first:last], VOLTAGE[first:last])
    return [*found, *metering.finish()]


@cache
def at_once() -> list[tuple[object, ...]]:
    return rows(read([]))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, len(STEPS)), max_size=6))
def test_any_division_gives_the_same_readings(cuts: list[int]) -> None:
    assert rows(read(cuts)) == at_once()


@settings(deadline=None, max_examples=10)
@given(st.integers(0, METERS - 1))
def test_a_meter_counts_the_same_without_the_others(first: int) -> None:
    metering = meters(first)
    alone = [*metering.advance(STEPS, POWER[:, first:], VOLTAGE[:, first:]), *metering.finish()]
    whole = read([])
    for own, among in zip(alone[: len(whole)], whole, strict=True):
        assert own.import_register_wh.tolist() == among.import_register_wh[first:].tolist()
        assert own.export_wh.tolist() == among.export_wh[first:].tolist()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(-5e4, 5e4), min_size=3, max_size=30),
    st.sampled_from([1, 7, 120]),
    st.sampled_from([0.2, 1.0, 2.0]),
)
def test_registers_never_fall_and_follow_the_truth(powers: list[float], multiplier: int, accuracy: float) -> None:
    steps = make_steps(BEGIN, len(powers), per_interval=1)
    power = np.array(powers)[:, None]
    metering = Metering(["M"], [multiplier], [accuracy], MeterErrors(start_share=0, start_share_transformer=0), 2)
    readings = [*metering.advance(steps, power, power), *metering.finish()]
    imported = np.array([r.import_wh[0] for r in readings])
    exported = np.array([r.export_wh[0] for r in readings])
    assert imported.min() >= 0
    assert exported.min() >= 0
    for shown, true_wh in ((imported, np.maximum(power, 0)), (exported, np.maximum(-power, 0))):
        whole_wh = true_wh.sum() / 4 / multiplier
        shifted_wh = np.abs(power).max() / multiplier * 610 / 3600
        assert abs(int(shown.sum()) - whole_wh) <= 1 + 2 * shifted_wh + whole_wh * 1.5 * accuracy / 100
