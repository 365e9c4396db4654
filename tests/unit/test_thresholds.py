"""Thresholds and the classes that they give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from grid.loss_class import LossClass, LossReason, reason_names
from grid.model import UnitKind
from grid.period import judge
from grid.thresholds import DEFAULTS, Bounds, Threshold, Thresholds
from meterline.settings.figures import ThresholdSection, ThresholdsSection

AREA = Threshold(UnitKind.AREA, 0.0, 0.10, 100.0)


@pytest.mark.parametrize(
    ("inflow_wh", "loss_wh", "sigma_wh", "expected"),
    [
        (10_000, 500, 10, (LossClass.NORMAL, 0)),
        (10_000, 1_021, 10, (LossClass.HIGH, 0)),
        # Touching the limit is not beyond it.
        (10_000, 1_020, 10, (LossClass.NORMAL, 0)),
        (10_000, -21, 10, (LossClass.NEGATIVE, 0)),
        (10_000, -20, 10, (LossClass.NORMAL, 0)),
        # As wide as the limits lie apart, and a little wider.
        (10_000, 500, 250, (LossClass.NORMAL, 0)),
        (10_000, 500, 250.1, (LossClass.NOT_COMPUTABLE, LossReason.WIDE_BAND)),
        # However wide, wholly beyond is beyond.
        (10_000, 9_000, 1_000, (LossClass.HIGH, 0)),
        (10_000, 500, math.nan, (LossClass.NOT_COMPUTABLE, LossReason.WIDE_BAND)),
        (2_399, 500, 1, (LossClass.NOT_COMPUTABLE, LossReason.LOW_INFLOW)),
        (2_400, 100, 1, (LossClass.NORMAL, 0)),
        (0, 0, 0, (LossClass.NOT_COMPUTABLE, LossReason.LOW_INFLOW)),
    ],
)
def test_only_a_whole_band_beyond_a_limit_is_abnormal(
    inflow_wh: float, loss_wh: float, sigma_wh: float, expected: tuple[LossClass, int]
) -> None:
    figures = (np.array([x], np.float64) for x in (inflow_wh, loss_wh, sigma_wh, 24))
    classes, reasons = Bounds.of([AREA]).judge(*figures)
    assert (LossClass(int(classes[0])), LossReason(int(reasons[0]))) == expected


def judged(**figures: float) -> tuple[str, set[str]]:
    """Class and reasons of a day with an inflow of 100 kWh, of which everything was measured unless said otherwise."""
    row: dict[str, float] = {"computable": True, "reasons": 0, "covered_s": 86_400, "inflow_wh": 100_000,
        "sigma_wh": 10.0, "systematic_sigma_wh": 10.0, "judged_inflow_wh": 100_000, "judged_loss_wh": 5_000,
        "judged_random_sigma_wh": 0.0}  # fmt: skip
    row |= figures
    row.setdefault("judged_s", row["covered_s"])
    columns = {name: np.array([value]) for name, value in row.items()}
    classes, reasons = judge(Bounds.of([AREA]), columns, np.array([86_400]))
    return LossClass(int(classes[0])).name.lower(), set(reason_names(int(reasons[0])))


def test_hours_that_are_missing_widen_the_band() -> None:
    assert judged(judged_loss_wh=10_500) == ("high", set())
    assert judged(judged_loss_wh=10_500, covered_s=82_800) == ("normal", set())
    assert judged(judged_loss_wh=10_500, covered_s=82_800, computable=False) == ("not_computable", set())


def test_reasons_of_single_intervals_are_not_the_days() -> None:
    reasons = LossReason.WIDE_BAND | LossReason.LOW_INFLOW | LossReason.FEW_MEASURED | LossReason.SWITCHED
    assert judged(reasons=reasons) == ("normal", {"switched"})


def test_hours_that_were_guessed_play_no_part_but_for_what_they_may_be_off() -> None:
    half = {"judged_s": 43_200, "judged_inflow_wh": 50_000}
    # The sums say what they like.
    assert judged(**half, judged_loss_wh=-2_000, sigma_wh=5_000.0)[0] == "normal"
    assert judged(**half, judged_loss_wh=-2_000, sigma_wh=600.0)[0] == "negative"
    assert judged(**half, judged_loss_wh=10_000, sigma_wh=600.0)[0] == "high"
    # Of class, they have the half too.
    assert judged(**half, judged_loss_wh=6_000, systematic_sigma_wh=999.0, sigma_wh=999.0)[0] == "high"
    assert judged(**half, judged_loss_wh=6_000, systematic_sigma_wh=1_001.0, sigma_wh=1_001.0)[0] == "normal"


def test_too_little_that_was_measured_has_no_class() -> None:
    assert judged(judged_s=34_560, judged_inflow_wh=40_000, judged_loss_wh=2_000) == ("normal", set())
    assert judged(judged_s=34_559, judged_inflow_wh=40_000, judged_loss_wh=9_000) == (
        "not_computable", {"few_measured"},
    )  # fmt: skip


def test_the_latest_that_is_valid_stands_and_the_voltages_own_before_it() -> None:
    of = Thresholds(
        (
            Threshold(UnitKind.AREA, 0.0, 0.07, 100.0, valid_from_us=10, recorded_us=5),
            Threshold(UnitKind.AREA, 0.0, 0.08, 100.0, valid_from_us=10, recorded_us=7),
            Threshold(UnitKind.AREA, 0.0, 0.09, 100.0, valid_from_us=5, recorded_us=9),
            Threshold(UnitKind.AREA, 0.0, 0.05, 100.0, valid_from_us=20, medium_voltage_v=10_000, recorded_us=9),
        )
    )
    assert [of.at(UnitKind.AREA, at).high_rate for at in (4, 5, 9, 10, 30)] == [0.10, 0.09, 0.09, 0.08, 0.08]
    assert [of.at(UnitKind.AREA, at, 10_000).high_rate for at in (10, 19, 20)] == [0.08, 0.08, 0.05]
    assert of.at(UnitKind.AREA, 20, 20_000).high_rate == 0.08
    assert of.known_at(6).at(UnitKind.AREA, 10).high_rate == 0.07
    assert of.recorded_us(UnitKind.AREA, 10) == [5, 7, 9]
    assert of.recorded_us(UnitKind.AREA, 20, 10_000) == [5, 7, 9]
    assert of.recorded_us(UnitKind.FEEDER, 20) == []


@pytest.mark.parametrize(
    "values",
    [
        {"low_rate": 0.1, "high_rate": 0.1},
        {"low_rate": math.nan, "high_rate": 0.1},
        {"low_rate": 0.0, "high_rate": 1.1},
        {"low_rate": 0.0, "high_rate": 0.1, "min_inflow_wh_per_h": -1.0},
        {"low_rate": 0.0, "high_rate": 0.1, "medium_voltage_v": 0},
    ],
)
def test_impossible_limits_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"expected|inflow|voltage"):
        Threshold(UnitKind.AREA, **values)  # type: ignore[arg-type]


def test_the_configurations_defaults_are_the_models() -> None:
    assert {t.unit_kind: t for t in ThresholdsSection().defaults()} == {t.unit_kind: t for t in DEFAULTS}
    section = ThresholdSection(low_rate=0.0, high_rate=0.1, min_inflow_wh_per_h=1.0)
    assert section.allows(-0.05, 0.30)
    assert not section.allows(-0.06, 0.1)
    assert not section.allows(0.1, 0.1)
    with pytest.raises(ValueError, match="lowest_rate"):
        ThresholdSection(low_rate=0.0, high_rate=0.5, min_inflow_wh_per_h=1.0)
