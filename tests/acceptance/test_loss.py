"""The stated error of a loss against the twin's truth, in short; `python -m benchmarks.loss` does it at length."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from benchmarks.loss_city import Month, make_month, plan_city
from benchmarks.loss_meters import class_errors
from benchmarks.loss_score import Periods, classes_of, intervals_of, local_days, periods_of, shares_within
from benchmarks.loss_settle import FIGURES, Stated, settle_month
from grid.block import Block
from grid.limits import Limits
from grid.loss_class import LossClass, LossReason
from grid.loss_rules import LossRules
from grid.memberships import Membership
from grid.model import UnitKind
from grid.roster import BEGINNING_US, END_US, UnitView
from grid.thresholds import Threshold, Thresholds
from meterline.city import ZONE
from streams.steps.contribution import from_block
from streams.steps.settle import settle
from twin.city import City
from twin.events import Event, EventKind
from twin.metering import MeterErrors

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_AREAS, _DAYS, _SEED = 40, 1, 21
_MINUTE_7_S = 12 * 3_600 + 7 * 60


@dataclass(frozen=True)
class Settled:
    """A city's days with what two draws of its meters come to: the usual ones, and meters without error."""

    month: Month
    usual: list[Stated]
    exact: Stated
    swapped: str


@pytest.fixture(scope="module")
def settled() -> Settled:
    city = plan_city(_AREAS, _DAYS, _SEED, "cut_over=1")
    robbed, other = (area.code for area in city.network.areas[:2])
    meter = next(m for m in city.recorded.meters if m.account is not None and m.unit == other)
    begin_s = city.plan.begin_s + _MINUTE_7_S
    swap = Event(begin_s, 100, EventKind.METER_REPLACED, meter.code, None, 1.0, f"{meter.code}-new")
    hook = Event(city.plan.begin_s, 101, EventKind.THEFT_HOOK, robbed, None, 10_000.0)
    city = City(replace(city.plan, events=(*city.events, hook, swap)))
    month = make_month(city, [(MeterErrors(), 21), (MeterErrors(), 22), (MeterErrors.none(), 23)])
    *usual, exact = (settle_month(month, park, LossRules()) for park in month.parks)
    return Settled(month, usual, exact, meter.unit)


def errors(settled: Settled, stated: Stated) -> NDArray[np.float64]:
    return stated.loss_wh - settled.month.true_wh


def days_of(month: Month, stated: Stated, thresholds: Thresholds | None = None) -> Periods:
    kinds = [UnitKind.AREA] * _AREAS + [UnitKind.FEEDER] * (stated.loss_wh.shape[1] - _AREAS)
    of_truth = stated, month.true_wh, month.supply_wh
    return periods_of(*of_truth, local_days(month.ends_s, 900, ZONE), 900, kinds, thresholds or Thresholds())


def test_exact_meters_err_by_their_steps_alone(settled: Settled) -> None:
    stated, areas = settled.exact, slice(0, _AREAS)
    error = errors(settled, stated)[:, areas][stated.computable[:, areas]]
    meters = len(settled.month.city.recorded.meters) / _AREAS
    # One watt-hour a meter, √(1/6) of it as deviation; the largest of some thousands lies within 6.
    assert np.abs(error).max() < 6 * np.sqrt(2 * meters / 6)
    assert abs(error.mean()) < 0.5


def test_truth_lies_within_the_band_of_intervals(settled: Settled) -> None:
    z = np.concatenate(
        [
            (errors(settled, s)[s.computable & (s.sigma_wh > 0)] / s.sigma_wh[s.computable & (s.sigma_wh > 0)])
            for s in settled.usual
        ]
    )
    assert len(z) > 7_000
    # Two draws of forty areas: one whose master meter is at its limit is more than a percent by itself.
    assert 0.88 < shares_within(z)[1] < 0.99
    assert 0.55 < shares_within(z)[0] < 0.85


def test_truth_lies_within_the_band_of_days(settled: Settled) -> None:
    month, stated = settled.month, settled.usual[0]
    firsts = np.flatnonzero(np.append(True, np.diff(local_days(month.ends_s, 900, ZONE))))
    days = days_of(month, stated)
    drawn = class_errors(month, month.parks[0], stated.computable, firsts, 200, _SEED)
    assert 0.93 < shares_within(drawn / days.sigma_wh)[1] < 0.99
    # What clocks and steps take from one interval they give to the next; a split stays.
    areas = days.part(slice(0, _AREAS))
    assert areas.systematic_sigma_wh.sum() > 0.99 * areas.sigma_wh.sum()


def test_theft_is_classed_and_nothing_else(settled: Settled) -> None:
    month = settled.month
    limits = Threshold(UnitKind.AREA, -0.01, 0.05)
    for stated in settled.usual:
        days = days_of(month, stated, Thresholds((limits,))).part(slice(0, _AREAS))
        classed = classes_of(days, limits, np.full(days.loss_wh.shape, 2_400.0))
        assert classed.is_event.any()
        assert (classed.called == classed.truly)[classed.is_event].all()
        assert not classed.is_false.any()


def test_a_cut_over_inside_an_interval(settled: Settled) -> None:
    month = settled.month
    (cut,) = month.city.effects.cut_overs()
    assert cut.begin_s % 900 == 7 * 60
    row = int(np.searchsorted(month.ends_s, cut.begin_s, side="right"))
    columns = [month.city.truth_units.index(f) for f in (cut.from_feeder, cut.to_feeder)]
    for stated in (*settled.usual, settled.exact):
        assert stated.computable[row, columns].all()
        assert (stated.reasons[row, columns] & LossReason.SWITCHED).all()
        assert (np.abs(errors(settled, stated)[row, columns]) < 2 * stated.sigma_wh[row, columns]).all()
        told = stated.loss_class[row - 1 : row + 2, columns]
        assert not np.isin(told, (LossClass.HIGH, LossClass.NEGATIVE)).any()
    # Without the split both would be off by what moved.
    assert (settled.exact.sigma_wh[row, columns] > 5 * settled.exact.sigma_wh[row - 1, columns]).all()


def test_a_meter_swap_inside_an_interval(settled: Settled) -> None:
    month = settled.month
    column = month.city.truth_units.index(settled.swapped)
    row = int(np.searchsorted(month.ends_s, month.city.plan.begin_s + _MINUTE_7_S, side="right"))
    for stated in (*settled.usual, settled.exact):
        # Half of the interval was counted by a meter that nobody read.
        assert stated.computable[row - 1 : row + 2, column].tolist() == [True, False, True]
        assert stated.loss_class[row, column] == LossClass.NOT_COMPUTABLE
        assert (np.abs(errors(settled, stated)[[row - 1, row + 1], column]) < 60).all()


@pytest.mark.parametrize(("before", "after"), [(10, 20), (20, 10), (40, 60)])
def test_a_current_transformer_changed_at_minute_7(before: int, after: int) -> None:
    """The register counts at one ratio and then at another; split by time it errs within the band of the split."""
    begin_us, change_us = 0, 7 * 60 * 1_000_000
    view = UnitView(
        1, "A", UnitKind.AREA,
        (
            Membership(0, "master", None, 1, 1, 0.5, BEGINNING_US, END_US),
            Membership(1, "large", None, 2, before, 1.0, BEGINNING_US, change_us),
            Membership(2, "large", None, 2, after, 1.0, change_us, END_US),
            Membership(3, "small", None, 2, 1, 1.0, BEGINNING_US, END_US),
        ),
        (),
    )  # fmt: skip
    end_us = begin_us + 900 * 1_000_000
    # 40 kW in the first 7 minutes and 48 kW in the 8 after; the others take 30 kW, and the lines 0.4 kWh.
    first_wh, last_wh, others_wh, lost_wh = 40_000 * 7 / 60, 48_000 * 8 / 60, 7_500, 400
    shown = round(first_wh / before + last_wh / after)
    import_wh = np.array([round(first_wh + last_wh) + others_wh + lost_wh, shown, others_wh], np.int64)
    block = Block(
        unit="A", gateway="g", observed_at_us=end_us, interval_s=900, received_at_us=end_us + 1,
        meters=pa.array(["master", "large", "small"], pa.string()), sequence=np.ones(3, np.int64),
        channels={"import_wh": import_wh}, quality=np.zeros(3, np.uint8),
    )  # fmt: skip
    said, refused = from_block(block, view, "telemetry.area", b"")
    assert not refused
    balance = settle([said], {}, Limits()).balances
    assert balance.computable[0]
    error = float(balance.loss_wh[0]) - lost_wh
    assert 100 < abs(error) < 2 * float(balance.sigma_wh[0])
    # The split's band is wider than the limits lie apart: no class is told, and why.
    assert balance.loss_class[0] == LossClass.NOT_COMPUTABLE
    assert balance.reasons[0] & LossReason.WIDE_BAND
    assert balance.reasons[0] & LossReason.SWITCHED


def test_ends_remain_at_the_edges_of_each_stretch() -> None:
    """Five intervals of one period, the third not computable: two stretches, of which four halves of ends remain."""
    nothing = np.zeros((5, 1))
    there = np.array([[True], [True], [False], [True], [True]])
    figures = {"loss_wh": 2, "inflow_wh": 20, "sigma_wh": 13, "systematic_sigma_wh": 3, "ends_sigma_wh": 4}
    stated = Stated(
        **{name: nothing + figures.get(name, 0) for name in FIGURES},
        computable=there, loss_class=nothing.astype(np.int8), reasons=nothing.astype(np.int32),
    )  # fmt: skip
    of_truth = nothing + 1, nothing + 10
    period = periods_of(stated, *of_truth, np.zeros(5, np.int64), 900, [UnitKind.AREA], Thresholds())
    assert period.loss_wh.tolist() == [[8.0]]
    assert period.true_wh.tolist() == [[4.0]]
    assert period.systematic_sigma_wh.tolist() == [[12.0]]
    assert period.ends_sigma_wh[0, 0] == pytest.approx((4 * 0.5 * 16) ** 0.5)
    # Of 13² = 3² + 4² + 12² the last is new each time.
    assert period.sigma_wh[0, 0] == pytest.approx((12**2 + 32 + 4 * 12**2) ** 0.5)
    # What estimates of longer gaps add to a sum is none of an interval's own.
    longer = replace(stated, gap_sigma_wh=nothing + 5)
    with_gaps = periods_of(longer, *of_truth, np.zeros(5, np.int64), 900, [UnitKind.AREA], Thresholds())
    assert with_gaps.sigma_wh[0, 0] == pytest.approx((12**2 + 32 + 4 * (12**2 + 5**2)) ** 0.5)
    assert intervals_of(longer, *of_truth).sigma_wh[there].tolist() == [13.0] * 4
    # Four of five intervals are too few, and all of them too unsure for a class.
    assert not period.computable[0, 0]
    assert period.judged[0, 0] == 0.0
