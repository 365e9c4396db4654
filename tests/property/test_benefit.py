"""Shares, present values, payback and indices against oracles in plain Python, and what holds of any input."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benefit.economics import CashFlow, Gain, appraise, net_present_cents, payback, project, tornado
from benefit.effect import estimate_effect
from benefit.ledger import money_cents
from benefit.parameters import Flow, Model
from benefit.reliability import Outage, indices, restored
from benefit.split import split
from tests.naive import benefit as naive

CENTS = st.integers(-(10**12), 10**12)
WEIGHTS = st.lists(st.integers(0, 1_000), min_size=1, max_size=8).filter(any)
KINDS = ("investment", "running", "people", "benefit")


@given(st.integers(-(10**15), 10**15), WEIGHTS)
def test_parts_add_up_and_are_within_one_of_the_exact(total: int, weights: list[int]) -> None:
    parts = split(total, weights)
    assert sum(parts) == total
    assert all(abs(p - Decimal(total) * w / sum(weights)) < 1 for p, w in zip(parts, weights, strict=True))


@given(st.integers(0, 10**9), WEIGHTS)
def test_parts_are_those_of_the_largest_remainders(total: int, weights: list[int]) -> None:
    assert split(total, weights) == naive.largest_remainders(total, weights)


FLOWS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(KINDS), st.integers(0, 10**9)), max_size=20)


def model_of(rate: str, flows: list[tuple[int, str, int]], units: int = 1) -> Model:
    return Model(
        first_year=2026,
        years=7,
        discount_rate=Decimal(rate),
        persistence=Decimal("0.9"),
        flows=tuple(
            Flow(unit=f"u{i % units}", year=2026 + year, kind=kind, amount=Decimal(cents) / 100, note="x")  # type: ignore[arg-type]
            for i, (year, kind, cents) in enumerate(flows)
        ),
    )


@given(FLOWS, st.sampled_from(["0", "0.06", "-0.1", "0.35"]))
def test_present_value_is_that_of_the_oracle_to_half_a_cent_a_flow(
    flows: list[tuple[int, str, int]], rate: str
) -> None:
    model = model_of(rate, flows)
    found = net_present_cents(project(model, []), model)
    assert abs(found - naive.present_value(flows, rate)) <= Decimal(len(flows)) / 2


GAINS = st.builds(Gain, st.sampled_from(["u0", "u1", "v"]), st.integers(2024, 2035), CENTS, CENTS)


@given(FLOWS, st.integers(1, 4), st.lists(GAINS, max_size=5))
def test_units_add_up_to_all(flows: list[tuple[int, str, int]], units: int, gains: list[Gain]) -> None:
    model = model_of("0.06", flows, units)
    projected = project(model, gains)
    parts = [appraise(projected, model, unit) for unit in sorted({flow.unit for flow in projected})]
    whole = appraise(projected, model)
    assert sum(part.npv_cents for part in parts) == whole.npv_cents
    assert sum(part.costs_cents for part in parts) == whole.costs_cents


@given(st.lists(st.tuples(st.integers(-10_000, 10_000), st.integers(-10_000, 10_000)), min_size=1, max_size=6))
def test_payback_is_the_last_moment_below_zero(years: list[tuple[int, int]]) -> None:
    first, during = [y[0] for y in years], [y[1] for y in years]
    found, wanted = payback(first, during), naive.years_to_pay(first, during)
    assert (found is None) == (wanted is None)
    if found is not None and wanted is not None:
        assert found == pytest.approx(wanted, abs=0.002)


@given(st.integers(0, 10**12), st.decimals(0, 100, places=4))
def test_money_is_exact_to_half_a_cent(energy_wh: int, price: Decimal) -> None:
    assert abs(Decimal(money_cents(energy_wh, price)) - Decimal(energy_wh) * price / 10) <= Decimal("0.5")


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 50)), max_size=10), st.integers(1, 500))
def test_indices_are_those_of_the_oracle(rows: list[tuple[int, int]], customers: int) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    found = indices([Outage(begin, begin + timedelta(minutes=m), c) for m, c in rows], customers)
    wanted = naive.reliability([(float(m), c) for m, c in rows], customers)
    assert found is not None
    assert found.saidi_minutes == pytest.approx(wanted["saidi"])
    assert found.saifi == pytest.approx(wanted["saifi"])
    assert found.caidi_minutes == (pytest.approx(wanted["caidi"]) if "caidi" in wanted else None)


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 30)), min_size=1, max_size=8).map(sorted),
    st.integers(0, 50),
)
def test_parts_of_an_outage_hold_every_customer_second(rows: list[tuple[int, int]], more_s: int) -> None:
    steps = [(float(at), count) for at, count in rows]
    length = rows[-1][0] + more_s
    parts = restored(float(length), 0, steps)
    # The first count holds from the begin on.
    ends = [at for at, _ in rows[1:]] + [length]
    begins = [0, *(at for at, _ in rows[1:])]
    wanted = sum(count * (end - begin) for (_, count), begin, end in zip(rows, begins, ends, strict=True))
    assert sum(seconds * count for seconds, count in parts) == pytest.approx(wanted)
    rises = [rows[0][1], *(max(b - a, 0) for (_, a), (_, b) in pairwise(rows))]
    assert sum(count for _, count in parts) == sum(rises)
    assert all(0 <= seconds <= length for seconds, _ in parts)


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 3))
def test_an_effect_follows_the_unit_of_measure_and_not_what_all_share(seed: int, factor: float) -> None:
    generator = np.random.default_rng(seed)
    days, controls = 42, 12
    before, after = np.arange(days) < 20, np.arange(days) > 20
    treated, others = generator.normal(100, 5, days), generator.normal(100, 5, (days, controls))
    shared = generator.normal(0, 50, days)
    ones = np.ones(controls)
    plain = estimate_effect(treated, others, ones, ones, before, after, 3, draws=50)
    moved = estimate_effect(treated + shared, others + shared[:, None], ones, ones, before, after, 3, draws=50)
    assert moved.recovered_wh == pytest.approx(plain.recovered_wh, abs=1e-6)
    assert moved.high_wh == pytest.approx(plain.high_wh, abs=1e-6)
    scaled = estimate_effect(treated * factor, others * factor, ones, ones, before, after, 3, draws=50)
    assert scaled.low_wh == pytest.approx(plain.low_wh * factor, rel=1e-9)
    assert plain.low_wh <= plain.recovered_wh <= plain.high_wh


def test_a_longer_bar_comes_first() -> None:
    model = Model(
        first_year=2026, years=3, discount_rate=Decimal("0.06"), persistence=Decimal("0.9"),
        flows=(Flow(unit="u", year=2026, kind="investment", amount=Decimal(1_000), note="x"),),
        sensitivity={"measured": (Decimal("0.5"), Decimal(2)), "investment": (Decimal("0.9"), Decimal("1.1"))},
    )  # fmt: skip
    gains = [Gain("u", 2026, 0, 50_000)]
    bars = tornado(model, gains)
    assert [bar.name for bar in bars] == ["measured", "investment"]
    assert bars[1].npv_low_cents - bars[1].npv_high_cents == 20_000
    assert min(project(model, gains)) == CashFlow("u", 2026, "investment", 100_000)
