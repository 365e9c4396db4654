"""The steps of usage: a day from intervals, findings from conclusions, ranking, overload, what meters report."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from grid.memberships import Lapse, Membership
from grid.model import Role, UnitKind
from grid.quality import MISSING_WH, Quality
from grid.roster import BEGINNING_US, END_US, UnitView
from grid.usage import AreaIntervals, DayConclusion
from kernels.live_rules import of_customers
from meterline.usage_plot import baseline, days_of_series
from streams.steps.usage_conclude import days_without_account
from streams.steps.usage_day import chain_of, fit_slots, is_abnormal, is_weekend, make_day
from streams.steps.usage_findings import QUIET_DAYS, make_runs
from streams.steps.usage_live import SINGLE_OUTAGE, TAMPERING, LiveInterval, OverloadRule, Reported, overload
from streams.steps.usage_rank import HitRates, Visit, precision_by_month

_US = 1_000_000
DAY = date(2026, 5, 4)


def view(lapses: tuple[Lapse, ...] = ()) -> UnitView:
    """A master meter, and customers with multipliers 1 and 20."""
    roles = ((Role.GATEWAY, 60), (Role.CUSTOMER, 1), (Role.CUSTOMER, 20))
    members = tuple(
        Membership(n, f"m{n}", None, int(role), ratio, 1.0, BEGINNING_US, END_US)
        for n, (role, ratio) in enumerate(roles)
    )
    return UnitView(1, "A1", UnitKind.AREA, members, (), lapses)


def intervals(length_s: int, count: int, wh: int = 100) -> AreaIntervals:
    known = np.full(count, 10.0)
    return AreaIntervals(
        ends_us=(np.arange(count) + 1) * length_s * _US,
        interval_s=np.full(count, length_s),
        import_wh=np.full((count, 3), wh),
        export_wh=np.zeros((count, 3), np.int64),
        quality=np.zeros((count, 3), np.uint8),
        computable=np.ones(count, np.bool_),
        inflow_wh=known * 100,
        loss_wh=known * 3,
        technical_wh=known,
        sigma_wh=np.full(count, 5.0),
        systematic_sigma_wh=np.full(count, 4.0),
    )


def made(stored: AreaIntervals, hours: int = 24, of: UnitView | None = None):  # type: ignore[no-untyped-def]
    return make_day(stored, of or view(), 0, hours * 3_600 * _US)


@pytest.mark.parametrize(("length_s", "slots"), [(60, 96), (300, 96), (900, 96), (1_800, 48), (3_600, 24)])
def test_a_day_is_laid_on_slots(length_s: int, slots: int) -> None:
    day = made(intervals(length_s, 86_400 // length_s))
    total = 86_400 // length_s * 100
    assert day.energy_wh.shape == (3, slots)
    assert (day.energy_wh[0] == MISSING_WH).all()  # the master meter is no customer
    assert (day.energy_wh[1].sum(), day.energy_wh[2].sum()) == (total, 20 * total)
    n = 86_400 // length_s
    assert day.unexplained_wh == pytest.approx(20.0 * n)
    assert day.unexplained_by_slot_wh.sum() == pytest.approx(20.0 * n)
    # What intervals share adds up, the rest by its squares.
    assert day.sigma_wh == pytest.approx(4.0 * n + 3.0 * n**0.5)
    assert (day.supply_wh, day.loss_wh, day.minutes) == (1_000 * n, 30 * n, 1_440 / slots)


def test_what_was_not_counted_is_missing() -> None:
    stored = intervals(300, 288)
    stored.quality[0, 1] = Quality.ESTIMATED
    stored.quality[3, 1] = Quality.SUBSTITUTED
    stored.quality[6, 1] = Quality.SUSPECT
    stored.import_wh[9, 2] = MISSING_WH
    stored.export_wh[12, 1] = 40
    day = made(stored)
    assert (np.flatnonzero(day.energy_wh[1] == MISSING_WH) == [0, 1]).all()
    assert day.energy_wh[2, 3] == MISSING_WH
    assert day.energy_wh[1, 4] == 260
    stored.computable[: 288 // 2] = False
    assert np.isnan(made(stored).unexplained_wh)


@pytest.mark.parametrize(("hours", "slots"), [(23, 24), (25, 25)])
def test_days_of_other_lengths(hours: int, slots: int) -> None:
    day = made(intervals(3_600, hours), hours)
    assert day.energy_wh.shape == (3, slots)
    energy, loss = fit_slots(day.energy_wh, day.unexplained_by_slot_wh, 24)
    assert energy.shape == (3, 24)
    assert loss.shape == (24,)
    assert (energy[1] != MISSING_WH).sum() == min(hours, 24)


def test_where_midnight_is_within_an_interval_the_day_begins_with_that() -> None:
    stored = intervals(3_600, 24)
    stored.import_wh[:, 1] = np.arange(24)
    half_us = 1_800 * _US
    day = make_day(stored, view(), half_us, half_us + 24 * 3_600 * _US)
    assert day.energy_wh[1].tolist() == list(range(24))


def test_of_several_lengths_the_one_that_covers_most_is_taken() -> None:
    quarter, hour = intervals(900, 96), intervals(3_600, 3, wh=9_999)
    both = AreaIntervals(*(np.concatenate([getattr(quarter, n), getattr(hour, n)]) for n in AreaIntervals.__slots__))
    assert (made(both).energy_wh == made(quarter).energy_wh).all()


def test_a_digest_names_the_series_and_not_the_size_of_the_roster() -> None:
    day = made(intervals(900, 96))
    wider = replace(
        day,
        energy_wh=np.pad(day.energy_wh, ((0, 2), (0, 0)), constant_values=MISSING_WH),
        uncontracted=np.pad(day.uncontracted, (0, 2)),
    )
    assert wider.digest() == day.digest()
    for name in ("import_wh", "loss_wh", "technical_wh"):
        other = intervals(900, 96)
        getattr(other, name)[5] += 1
        assert made(other).digest() != day.digest()
    lapsed = view((Lapse(1, BEGINNING_US, END_US),))
    assert made(intervals(900, 96), of=lapsed).digest() != day.digest()
    assert chain_of(b"", day.digest()) != chain_of(chain_of(b"", day.digest()), day.digest())


def test_abnormal_needs_all_days_their_band_and_a_share() -> None:
    assert is_abnormal([100.0, 100.0], [40.0, 40.0], [1_000, 1_000])
    assert not is_abnormal([100.0, None], [40.0, 40.0], [1_000, 1_000])
    assert not is_abnormal([100.0, 100.0], [60.0, 60.0], [1_000, 1_000])
    assert not is_abnormal([100.0, 100.0], [1.0, 1.0], [10_000, 10_000])
    assert (is_weekend(DAY, {}), is_weekend(DAY, {DAY: False})) == (False, True)
    assert not is_weekend(date(2026, 5, 9), {date(2026, 5, 9): True})


def test_days_without_an_account() -> None:
    day_us = 86_400 * _US
    lapses = (Lapse(1, 2 * day_us, 9 * day_us), Lapse(2, BEGINNING_US, END_US))
    assert days_without_account(view(lapses), 5 * day_us, 4).tolist() == [0, 3, 4]
    assert days_without_account(view(lapses), 10 * day_us, 4).tolist() == [0, 0, 4]


def conclusion(day: int, meter: str = "m1", kind: str = "theft") -> DayConclusion:
    return DayConclusion(DAY + timedelta(days=day), meter, kind, 0.9, DAY, 1_000, None, ("explains_loss",))


@given(st.sets(st.integers(0, 60)), st.integers(60, 80))
def test_runs_are_days_that_lie_close(days: set[int], through: int) -> None:
    """Against the plain statement: a new run begins after more than a week; one day alone is none."""
    runs: list[list[int]] = []
    for day in sorted(days):
        if runs and day - runs[-1][-1] <= QUIET_DAYS:
            runs[-1].append(day)
        else:
            runs.append([day])
    wanted = [(run[1], run[-1], through - run[-1] >= QUIET_DAYS) for run in runs if len(run) >= 2]
    found = make_runs([conclusion(day) for day in days], DAY + timedelta(days=through))
    assert [((r.first - DAY).days, (r.last - DAY).days, r.over) for r in found] == wanted


def test_runs_of_other_meters_and_kinds_are_apart() -> None:
    said = [conclusion(d, m, k) for d in (0, 1) for m, k in (("m1", "theft"), ("m1", "meter_fault"), ("m2", "theft"))]
    said.append(conclusion(0, "m3"))
    assert [(r.newest.meter, r.newest.kind) for r in make_runs(said, DAY + timedelta(days=1))] == [
        ("m1", "meter_fault"), ("m1", "theft"), ("m2", "theft"),
    ]  # fmt: skip


def visit(confirmed: bool, kind: str = "theft", area: str = "A1", wh: float = 1.0, month: int = 5) -> Visit:
    return Visit(kind, area, confirmed, date(2026, month, 1), wh)


def test_chances_learn_from_visits() -> None:
    assert HitRates([]).chance("theft", "A1", 0.7) == pytest.approx(0.7)
    rates = HitRates([visit(True), visit(False, area="A2"), visit(False, area="A2")])
    of_kind = (1 + 4 * 0.7) / (3 + 4)
    assert rates.chance("theft", "A3", 0.7) == pytest.approx(of_kind)
    assert rates.chance("theft", "A1", 0.7) == pytest.approx((1 + 4 * of_kind) / 5)
    assert rates.chance("theft", "A2", 0.7) == pytest.approx(4 * of_kind / 6)
    assert rates.chance("meter_fault", "A1", 0.7) == pytest.approx(0.7)


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["A1", "A2"]))), st.floats(0, 1))
def test_one_result_moves_a_chance_little_and_the_right_way(visits: list[tuple[bool, str]], confidence: float) -> None:
    made_so_far = [visit(hit, area=area) for hit, area in visits]
    before = HitRates(made_so_far).chance("theft", "A1", confidence)
    for hit in (True, False):
        after = HitRates([*made_so_far, visit(hit)]).chance("theft", "A1", confidence)
        assert 0.0 <= after <= 1.0
        assert abs(after - before) <= 0.36 + 1e-9
        assert (after >= before - 1e-9) if hit else (after <= before + 1e-9)


def test_precision_at_k_is_of_those_ranked_highest() -> None:
    visits = [visit(False, wh=1.0), visit(True, wh=9.0), visit(True, wh=5.0), visit(False, wh=7.0, month=6)]
    may, june = precision_by_month(visits, 2)
    assert (may.visits, may.confirmed, may.precision_at_k) == (3, 2, 1.0)
    assert may.precision == pytest.approx(2 / 3)
    assert (june.precision, june.precision_at_k) == (0.0, 0.0)


def loads(*kw: float | None) -> list[LiveInterval]:
    none: NDArray[np.int64] = np.empty(0, np.int64)
    return [
        LiveInterval(n * 900 * _US, 900, none, none, None, None, None if p is None else round(p * 250))
        for n, p in enumerate(kw)
    ]


@pytest.mark.parametrize(
    ("kw", "holds", "begins"),
    [
        ((110, 110, 110, 110), False, True),
        ((50, 110, 110, 110, 110), False, True),
        ((110, 110, 90, 110), False, None),
        ((110, None, 110, 110), False, None),
        ((110, 110, 110, 110), True, None),
        ((90, 90, 90, 90), True, False),
        ((90, 110, 90, 90), True, None),
        ((110, 110, 110), False, None),
    ],
)
def test_overload(kw: tuple[float | None, ...], holds: bool, begins: bool | None) -> None:
    change = overload(loads(*kw), 100_000.0, OverloadRule(), holds=holds)
    assert (None if change is None else change.begins) == begins
    assert overload(loads(*kw), 0.0, OverloadRule(), holds=holds) is None


@pytest.mark.parametrize(
    ("kind", "neighbours", "restored", "finding"),
    [
        ("cover_open", 0, False, TAMPERING),
        ("magnetic_field", 2, False, TAMPERING),
        ("cover_open", 3, False, None),
        ("last_gasp", 0, False, SINGLE_OUTAGE),
        ("last_gasp", 0, True, None),
        ("last_gasp", 9, False, None),
    ],
)
def test_reports_are_joined_with_neighbours(kind: str, neighbours: int, restored: bool, finding: str | None) -> None:
    at = datetime(2026, 5, 4, tzinfo=UTC)
    assert Reported(1, "A1", "m1", kind, at, at, 1, neighbours, 12, restored).finding == finding


def test_days_of_a_series_and_what_was_usual() -> None:
    zone = UTC
    rows = [
        (datetime(2026, 5, 4, tzinfo=UTC) + timedelta(hours=h + 1), 3_600, 1_000 if h < 72 else 400, None)
        for h in range(96 + 8)
    ]
    # Readings of some quarters beside the hours are the same energy.
    rows += [(datetime(2026, 5, 4, tzinfo=UTC) + timedelta(minutes=15 * (q + 1)), 900, 250, None) for q in range(40)]
    days, kwh = days_of_series(rows, zone)  # type: ignore[arg-type]
    assert [d.day for d in days] == [4, 5, 6, 7, 8]
    assert kwh[:4].tolist() == [24.0, 24.0, 24.0, pytest.approx(9.6)]
    assert np.isnan(kwh[4])  # a third of it is there
    assert baseline(days, kwh, date(2026, 5, 7)).tolist() == [24.0] * 5


def test_energies_of_customers_are_multiplied_and_others_missing() -> None:
    wh = np.array([5, MISSING_WH, 7, 0], np.int64)
    found = of_customers(wh, np.array([True, True, False, True]), np.array([10, 10, 1, 3]))
    assert found.tolist() == [50, MISSING_WH, MISSING_WH, 0]
    with pytest.raises(ValueError, match="shapes"):
        of_customers(wh, np.ones(3, np.bool_), np.ones(4, np.int64))
