from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.rules import AlertPolicy, Kind, find_losses, has_ended, judge
from grid.finding import Severity
from grid.model import UnitKind
from grid.thresholds import Threshold, Thresholds
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


TEN_PERCENT = Threshold(UnitKind.AREA, 0.0, 0.10, 400.0)
THRESHOLDS = Thresholds((TEN_PERCENT,))


class TestJudge:
    def test_by_hand(self) -> None:
        excess = judge(loss_of(loss_wh=150_000, sigma_wh=20_000), TEN_PERCENT, POLICY)
        assert excess is not None
        assert (excess.kind, excess.severity, excess.limit_rate) == (Kind.HIGH_LOSS, Severity.WARNING, 0.10)
        excess = judge(loss_of(loss_wh=-50_000, sigma_wh=20_000), TEN_PERCENT, POLICY)
        assert excess is not None
        assert (excess.kind, excess.limit_rate) == (Kind.NEGATIVE_LOSS, 0.0)

    @pytest.mark.parametrize(("loss_wh", "sigma_wh"), [(150_000, 25_000.0), (100_000, 0.0), (-39_000, 20_000.0)])
    def test_a_band_that_reaches_a_threshold_is_silent(self, loss_wh: int, sigma_wh: float) -> None:
        assert judge(loss_of(loss_wh=loss_wh, sigma_wh=sigma_wh), TEN_PERCENT, POLICY) is None

    def test_a_band_above_the_second_threshold_is_critical(self) -> None:
        excess = judge(loss_of(loss_wh=400_000, sigma_wh=10_000), TEN_PERCENT, POLICY)
        assert excess is not None
        assert excess.severity is Severity.CRITICAL
        # A unit that may lose 25 % is critical from 37.5 % on.
        excess = judge(loss_of(loss_wh=370_000), Threshold(UnitKind.AREA, 0.0, 0.25), POLICY)
        assert excess is not None
        assert excess.severity is Severity.WARNING

    @pytest.mark.parametrize("supply_wh", [-5_000_000, 0, 9_599])
    def test_too_little_supply_has_no_rate(self, supply_wh: int) -> None:
        assert judge(loss_of(supply_wh, 9_000), TEN_PERCENT, POLICY) is None
        assert judge(loss_of(supply_wh, -9_000), TEN_PERCENT, POLICY) is None

    @given(energy, rates, sigma_rates, st.floats(-0.05, 0.0), st.floats(0.01, 0.5))
    def test_alarms_only_when_the_whole_band_is_outside(
        self, supply_wh: int, rate: float, sigma: float, low: float, high: float
    ) -> None:
        loss = loss_of(supply_wh, round(rate * supply_wh), sigma * supply_wh)
        excess = judge(loss, Threshold(UnitKind.AREA, low, high), POLICY)
        above = loss.loss_wh - 2 * loss.sigma_wh > high * supply_wh
        below = loss.loss_wh + 2 * loss.sigma_wh < low * supply_wh
        assert (excess is not None and excess.kind is Kind.HIGH_LOSS) == above
        assert (excess is not None and excess.kind is Kind.NEGATIVE_LOSS) == below

    @given(energy, rates, sigma_rates, st.floats(0, 1))
    def test_a_wider_band_never_alarms_where_a_narrower_one_does_not(
        self, supply_wh: int, rate: float, sigma: float, more: float
    ) -> None:
        loss = loss_of(supply_wh, round(rate * supply_wh), sigma * supply_wh)
        wider = loss_of(supply_wh, loss.loss_wh, sigma * (1 + more) * supply_wh)
        if judge(loss, TEN_PERCENT, POLICY) is None:
            assert judge(wider, TEN_PERCENT, POLICY) is None

    def test_nan_finds_nothing(self) -> None:
        assert judge(loss_of(loss_wh=500_000, sigma_wh=math.nan), TEN_PERCENT, POLICY) is None

    @given(energy, rates, sigma_rates, st.floats(-0.05, 0.05), st.floats(0.06, 0.5))
    def test_what_begins_is_not_ended_by_the_same_figures(
        self, supply_wh: int, rate: float, sigma: float, low: float, high: float
    ) -> None:
        threshold = Threshold(UnitKind.AREA, low, high)
        loss = loss_of(supply_wh, round(rate * supply_wh), sigma * supply_wh)
        excess = judge(loss, threshold, POLICY)
        if excess is not None:
            assert not has_ended(excess.kind, loss, threshold, POLICY)


class TestFindLosses:
    def found(self, losses: list[UnitLoss], holding: dict[str, Severity], at: Thresholds = THRESHOLDS) -> Any:
        return [(f.fingerprint, f.holds, f.severity) for f in find_losses(losses, holding, at, POLICY)]

    def test_a_normal_unit_has_none(self) -> None:
        assert self.found([loss_of(loss_wh=40_000)], {}) == []

    def test_ends_only_below_the_hysteresis(self) -> None:
        held = {"high_loss:A1": Severity.WARNING}
        assert self.found([loss_of(loss_wh=95_000)], held) == [("high_loss:A1", True, Severity.WARNING)]
        assert self.found([loss_of(loss_wh=90_000)], held) == [("high_loss:A1", False, Severity.WARNING)]

    def test_too_few_hours_leave_it_as_it_is(self) -> None:
        held = {"high_loss:A1": Severity.WARNING}
        assert self.found([loss_of(loss_wh=0, hours=5.75)], held) == []
        assert self.found([loss_of(loss_wh=500_000, hours=5.75)], {}) == []

    def test_without_supply_it_is_held(self) -> None:
        held = {"high_loss:A1": Severity.CRITICAL}
        assert self.found([loss_of(supply_wh=0)], held) == [("high_loss:A1", True, Severity.CRITICAL)]

    def test_from_high_to_negative_one_ends_and_one_begins(self) -> None:
        held = {"high_loss:A1": Severity.WARNING}
        assert [(f, holds) for f, holds, _ in self.found([loss_of(loss_wh=-100_000)], held)] == [
            ("high_loss:A1", False),
            ("negative_loss:A1", True),
        ]

    def test_the_threshold_of_the_kind_the_voltage_and_the_time_counts(self) -> None:
        noon_us = int(NOW.timestamp() * 1e6)
        own = Threshold(UnitKind.AREA, 0.0, 0.20, valid_from_us=noon_us, medium_voltage_v=10_000)
        at = Thresholds((TEN_PERCENT, own))
        loss = loss_of(loss_wh=150_000, medium_voltage_v=10_000)
        assert self.found([loss], {}, at) == []
        assert self.found([loss_of(loss_wh=150_000, medium_voltage_v=20_000)], {}, at) != []
        earlier = loss_of(loss_wh=150_000, medium_voltage_v=10_000, until=NOW - timedelta(hours=1))
        assert self.found([earlier], {}, at) != []
        element = loss_of(loss_wh=60_000, unit_kind="element", supply_wh=1_000_000)
        assert self.found([element], {}) == [("high_loss:A1", True, Severity.WARNING)]  # 5 % by default


@pytest.mark.parametrize(
    "fields",
    [
        {"super_high_rate": 0.0},
        {"hysteresis": 0.0},
        {"hysteresis": 1.1},
        {"z": -1.0},
        {"min_hours": 25.0},
        {"window_h": 0.0, "min_hours": 0.0},
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        AlertPolicy(**fields)
