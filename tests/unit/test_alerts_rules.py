from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.rules import (
    AlertPolicy,
    Event,
    Kind,
    Severity,
    decide,
    has_ended,
    high_loss,
    judge,
    negative_loss,
)
from grid.unit_loss import UnitLoss

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POLICY = AlertPolicy()

energy = st.integers(1, 10**13)
rates = st.floats(-2, 2, allow_nan=False)
sigma_rates = st.floats(0, 0.5, allow_nan=False)


def loss_of(supply_wh: int = 1_000_000, loss_wh: int = 0, sigma_wh: float = 0.0, **fields: Any) -> UnitLoss:
    figures = {
        "unit_id": 1,
        "unit": "A1",
        "unit_kind": "area",
        "unit_name": "Area 1",
        "hours": 24.0,
        "intervals": 96,
        "since": NOW - timedelta(hours=24),
        "until": NOW,
        **fields,
    }
    return UnitLoss(supply_wh=supply_wh, loss_wh=loss_wh, sigma_wh=sigma_wh, **figures)


class TestHighLoss:
    def test_by_hand(self) -> None:
        finding = high_loss(1_000_000, 150_000, 20_000, threshold_rate=0.10, min_inflow_wh=10_000)
        assert finding is not None
        assert finding.kind is Kind.HIGH_LOSS
        assert (finding.loss_rate, finding.low_rate, finding.high_rate) == pytest.approx((0.15, 0.11, 0.19))
        assert finding.severity is Severity.WARNING

    def test_a_band_that_reaches_the_threshold_is_silent(self) -> None:
        assert high_loss(1_000_000, 150_000, 25_000, threshold_rate=0.10, min_inflow_wh=0) is None
        assert high_loss(1_000_000, 100_000, 0, threshold_rate=0.10, min_inflow_wh=0) is None

    def test_a_band_above_the_second_threshold_is_critical(self) -> None:
        finding = high_loss(1_000_000, 400_000, 10_000, threshold_rate=0.10, min_inflow_wh=0)
        assert finding is not None
        assert finding.severity is Severity.CRITICAL

    @pytest.mark.parametrize("supply_wh", [-5_000_000, 0, 9_999])
    def test_too_little_supply_has_no_rate(self, supply_wh: int) -> None:
        assert high_loss(supply_wh, 5_000, 0, 0.10, 10_000) is None
        assert negative_loss(supply_wh, -5_000, 0, 10_000) is None

    @given(energy, rates, sigma_rates, st.floats(0.01, 0.5), st.floats(0, 4))
    def test_alarms_only_when_the_whole_band_is_outside(
        self, supply_wh: int, rate: float, sigma: float, threshold: float, z: float
    ) -> None:
        loss_wh, sigma_wh = rate * supply_wh, sigma * supply_wh
        finding = high_loss(supply_wh, loss_wh, sigma_wh, threshold, 0, z)
        assert (finding is not None) == (loss_wh - z * sigma_wh > threshold * supply_wh)
        if finding is not None:
            assert finding.low_rate <= finding.loss_rate <= finding.high_rate
            assert finding.low_rate >= threshold * (1 - 1e-9)

    @given(energy, rates, sigma_rates, st.floats(0, 1))
    def test_a_wider_band_never_alarms_where_a_narrower_one_does_not(
        self, supply_wh: int, rate: float, sigma: float, more: float
    ) -> None:
        loss_wh, sigma_wh = rate * supply_wh, sigma * supply_wh
        if high_loss(supply_wh, loss_wh, sigma_wh, 0.1, 0) is None:
            assert high_loss(supply_wh, loss_wh, sigma_wh * (1 + more), 0.1, 0) is None

    @given(energy, rates, sigma_rates)
    def test_at_most_one_condition_holds(self, supply_wh: int, rate: float, sigma: float) -> None:
        figures = (supply_wh, rate * supply_wh, sigma * supply_wh)
        assert high_loss(*figures, 0.1, 0) is None or negative_loss(*figures, 0) is None

    @pytest.mark.parametrize("place", range(3))
    def test_nan_finds_nothing(self, place: int) -> None:
        supply_wh, loss_wh, sigma_wh = (math.nan if place == n else v for n, v in enumerate((1e6, 5e5, 0.0)))
        assert high_loss(supply_wh, loss_wh, sigma_wh, 0.1, 0) is None
        assert negative_loss(supply_wh, -loss_wh, sigma_wh, 0) is None


class TestNegativeLoss:
    def test_by_hand(self) -> None:
        finding = negative_loss(1_000_000, -50_000, 20_000, 10_000)
        assert finding is not None
        assert finding.kind is Kind.NEGATIVE_LOSS
        assert finding.high_rate == pytest.approx(-0.01)

    def test_within_the_band_is_silent(self) -> None:
        assert negative_loss(1_000_000, -39_000, 20_000, 10_000) is None


class TestDecide:
    def test_opens_once_then_updates(self) -> None:
        loss = loss_of(loss_wh=200_000)
        (step,) = decide([loss], {}, POLICY)
        assert (step.event, step.fingerprint, step.kind) == (Event.OPENED, "high_loss:A1", Kind.HIGH_LOSS)
        (step,) = decide([loss], {step.fingerprint: (step.kind, step.severity)}, POLICY)
        assert step.event is Event.UPDATED

    def test_a_normal_unit_has_no_steps(self) -> None:
        assert decide([loss_of(loss_wh=40_000)], {}, POLICY) == []

    def test_resolves_only_below_the_hysteresis(self) -> None:
        held = {"high_loss:A1": (Kind.HIGH_LOSS, Severity.WARNING)}
        (step,) = decide([loss_of(loss_wh=95_000)], held, POLICY)
        assert step.event is Event.UPDATED
        (step,) = decide([loss_of(loss_wh=90_000)], held, POLICY)
        assert step.event is Event.RESOLVED

    def test_too_few_hours_leave_an_alert_as_it_is(self) -> None:
        held = {"high_loss:A1": (Kind.HIGH_LOSS, Severity.WARNING)}
        assert decide([loss_of(loss_wh=0, hours=5.75)], held, POLICY) == []
        assert decide([loss_of(loss_wh=500_000, hours=5.75)], {}, POLICY) == []
        assert decide([], held, POLICY) == []

    def test_without_supply_an_alert_is_held(self) -> None:
        held = {"high_loss:A1": (Kind.HIGH_LOSS, Severity.CRITICAL)}
        (step,) = decide([loss_of(supply_wh=0)], held, POLICY)
        assert (step.event, step.severity) == (Event.UPDATED, Severity.CRITICAL)

    def test_from_high_to_negative_one_ends_and_one_opens(self) -> None:
        held = {"high_loss:A1": (Kind.HIGH_LOSS, Severity.WARNING)}
        steps = decide([loss_of(loss_wh=-100_000)], held, POLICY)
        assert [(step.event, step.kind) for step in steps] == [
            (Event.RESOLVED, Kind.HIGH_LOSS),
            (Event.OPENED, Kind.NEGATIVE_LOSS),
        ]

    @given(energy, rates, sigma_rates)
    def test_what_opens_is_not_resolved_by_the_same_figures(self, supply_wh: int, rate: float, sigma: float) -> None:
        loss = loss_of(supply_wh, round(rate * supply_wh), sigma * supply_wh)
        finding = judge(loss, POLICY)
        if finding is not None:
            assert not has_ended(finding.kind, loss, POLICY)


@pytest.mark.parametrize(
    "fields",
    [
        {"threshold_rate": 0.0},
        {"threshold_rate": 0.5},
        {"hysteresis": 0.0},
        {"hysteresis": 1.1},
        {"z": -1.0},
        {"min_hours": 25.0},
        {"window_h": 0.0, "min_hours": 0.0},
        {"min_inflow_wh": -1},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        AlertPolicy(**fields)
