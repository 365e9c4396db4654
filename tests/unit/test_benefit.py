"""Rules of the ledger without a server: parameters, groups of repairs, shares, matching, effects."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from benefit.comparison import choose_controls, compare
from benefit.economics import Gain, project
from benefit.effect import Effect, EffectError, estimate_effect
from benefit.ledger import Known, Source, entries_of_effect, entries_of_source, group_repairs
from benefit.matching import MatchRules, match_controls
from benefit.parameters import ParameterError, hash_of, parse_parameters, read_parameters, to_body
from benefit.reliability import Outage, indices
from tests.benefit_grid import PARAMETERS

ROOT = Path(__file__).resolve().parents[2]
DAY = date(2026, 3, 30)


def source(
    number: int, units: tuple[int, ...], found_wh: int = 0, tariff: str | None = None, day: date = DAY
) -> Source:
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return Source(
        "work_order", number, "theft", units[0], None, at, units, tariff, found_wh, None, None, (), day, day,
        {"n": number},
    )  # fmt: skip


def outage(minutes: float, customers: int, steps: tuple[tuple[float, int], ...] = ()) -> Source:
    begin = datetime(2026, 3, 30, tzinfo=UTC)
    return Source(
        "outage", 1, "outage", 1, None, begin + timedelta(minutes=minutes), (), None, 0, customers, begin, steps, DAY,
        DAY, {"n": 1},
    )  # fmt: skip


def test_the_parameters_of_the_document_can_be_used() -> None:
    text = (ROOT / "docs/how-to/benefit.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    parameters = parse_parameters("\n".join(line.removeprefix("   ") for line in block.splitlines()))
    assert read_parameters(to_body(parameters)) == parameters
    assert parameters.model is not None


def test_comments_and_order_are_no_part_of_the_parameters() -> None:
    assert hash_of(parse_parameters("# since May\n" + PARAMETERS)) == hash_of(parse_parameters(PARAMETERS))
    other = PARAMETERS.replace("0.5283", "0.5284")
    assert hash_of(parse_parameters(other)) != hash_of(parse_parameters(PARAMETERS))


@pytest.mark.parametrize(
    ("found", "put", "says"),
    [
        ("default = 0.50\n", "", "prices lacks default"),
        ("saved_share = 0.25", "saved_share = 1.5", "carbon.saved_share"),
        ("household = 0.5283", "household = -1", "prices.household"),
        ("household = 0.5283", "household = nan", "prices.household"),
        ("hours = 2.5", "hours = 2.5\nextra = 1", "extra"),
        ("discount_rate = 0.06", "discount_rate = -1", "discount_rate"),
        ("year = 2027", "year = 2040", "2040"),
        ("investment = [0.8, 1.5]", "investment = [1.5, 0.8]", "sensitivity.investment"),
        ('currency = "CNY"', "currency = ", "line 2"),
    ],
)
def test_parameters_that_mean_nothing_are_refused_with_where(found: str, put: str, says: str) -> None:
    assert found in PARAMETERS
    with pytest.raises(ParameterError, match=re.escape(says)):
        parse_parameters(PARAMETERS.replace(found, put))


def test_repairs_that_meet_in_time_and_place_are_one() -> None:
    later, long_after = DAY + timedelta(days=5), DAY + timedelta(days=60)
    sources = [
        source(1, (1,)), source(2, (2,)), source(3, (1, 2), day=later), source(4, (3,)), source(5, (1,), day=long_after)
    ]  # fmt: skip
    groups = group_repairs(sources, timedelta(days=28))
    assert [(g.sources, g.units) for g in groups] == [((0, 1, 2), (1, 2)), ((3,), (3,)), ((4,), (1,))]
    assert (groups[0].first, groups[0].last) == (DAY, DAY + timedelta(days=5))


def test_shares_of_an_effect_add_up_and_are_valued_by_each_tariff() -> None:
    parameters = parse_parameters(PARAMETERS)
    sources = [source(1, (1,), tariff="household"), source(2, (1,)), source(3, (1,))]
    (repair,) = group_repairs(sources, timedelta(days=28))
    entries = entries_of_effect(repair, sources, Known(9, 1_000_001, 100, True, b"x"), parameters, 1)
    assert [e.energy_wh for e in entries] == [333_334, 333_334, 333_333]
    # 333.334 kWh at 0.5283 and at 0.50.
    assert [e.money_cents for e in entries] == [17_610, 16_667, 16_667]
    none = entries_of_effect(repair, sources, Known(9, 1_000_001, 100, False, b"x"), parameters, 1)
    assert [(e.energy_wh, e.money_cents, e.co2_g, e.shown) for e in none] == [(0, 0, 0, False)] * 3
    assert sum(e.sigma_wh for e in none) == 100


def test_many_repairs_are_grouped_in_time_in_proportion_and_as_by_looking_at_all() -> None:
    generator = np.random.default_rng(5)
    sources = [
        source(n, tuple(generator.choice(40, 2, replace=False).tolist()), day=DAY + timedelta(days=int(day)))
        for n, day in enumerate(generator.integers(0, 400, 300))
    ]
    reach = timedelta(days=5)
    # By looking at all that there are, in the order of time.
    groups: list[set[int]] = []
    for i in sorted(range(300), key=lambda i: (sources[i].changed_on, i)):
        meets = [
            g for g in groups
            if any(set(sources[j].treated) & set(sources[i].treated) for j in g)
            and sources[i].changed_on - max(sources[j].changed_on for j in g) <= reach
        ]  # fmt: skip
        groups = [g for g in groups if g not in meets] + [{i}.union(*meets)]
    assert {r.sources for r in group_repairs(sources, reach)} == {tuple(sorted(g)) for g in groups}


def test_a_price_holds_from_its_day_on() -> None:
    dated = PARAMETERS + "[[prices_from]]\nday = 2026-04-01\nprices = { default = 0.6, household = 0.7 }\n"
    parameters = parse_parameters(dated)
    assert read_parameters(to_body(parameters)) == parameters
    before, after = DAY, date(2026, 4, 1)
    found = [
        entries_of_source(source(1, (1,), 1_000_000, "household", day), parameters, 1)[0].money_cents
        for day in (before, after)
    ]
    assert found == [52_830, 70_000]
    assert parameters.price_of("industry", after) == ("default", Decimal("0.6"))
    for wrong, says in (
        (dated.replace("default = 0.6, ", ""), "prices_from 2026-04-01: prices lacks default"),
        (dated + "[[prices_from]]\nday = 2026-03-01\nprices = { default = 0.6 }\n", "order of days"),
        (dated.replace("0.6", "-1"), "prices_from 2026-04-01.default"),
    ):
        with pytest.raises(ParameterError, match=re.escape(says)):
            parse_parameters(wrong)


def test_a_momentary_interruption_is_compared_with_nothing() -> None:
    parameters = parse_parameters(PARAMETERS)
    assert entries_of_source(outage(4, 99), parameters, 1) == []
    assert entries_of_source(outage(5, 99), parameters, 1) == []
    (sustained,) = entries_of_source(outage(5.5, 99), parameters, 1)
    assert sustained.outage_customer_s == 99 * (90 * 60 - 330)


def test_supply_that_comes_back_step_by_step_counts_as_long_as_it_was_away() -> None:
    parameters = parse_parameters(PARAMETERS)
    # A hundred are out; sixty have supply after two minutes, thirty after half an hour, ten after three hours.
    steps = ((0.0, 100), (120.0, 40), (1_800.0, 10))
    (entry,) = entries_of_source(outage(180, 100, steps), parameters, 1)
    assert entry.outage_customer_s == 30 * (90 - 30) * 60 + 10 * (90 - 180) * 60
    assert entry.evidence["parts"] == [(1_800, 30), (10_800, 10)]
    begin = datetime(2026, 3, 30, tzinfo=UTC)
    found = indices([Outage(begin, begin + timedelta(hours=3), 100, steps=steps)], 1_000)
    assert found is not None
    assert found.saidi_minutes == pytest.approx((30 * 30 + 10 * 180) / 1_000)
    assert found.saifi == pytest.approx(0.04)
    assert found.maifi == pytest.approx(0.06)
    assert (found.sustained, found.momentary, found.restore_minutes) == (1, 0, 180)


def test_what_came_once_is_booked_once() -> None:
    model = parse_parameters(PARAMETERS).model
    assert model is not None
    flows = project(model, [Gain("county-03", 2026, 50_000, 10_000), Gain("county-03", 2025, 7, 0)])
    measured = [(f.year, f.cents) for f in flows if f.unit == "county-03"]
    assert sorted(measured) == [
        (2026, 10_000),
        (2026, 50_000),
        (2027, 9_000),
        (2028, 8_100),
        (2029, 7_290),
        (2030, 6_561),
    ]


def test_sizes_and_growth_are_of_the_days_that_are_compared() -> None:
    loss, inflow = city(7)
    # The unit isn't known in the second half of the days before, in which its controls draw three times as much.
    loss[14:28, 0], inflow[14:28, 0] = np.nan, np.nan
    calm = effect_on(loss, inflow, 1)
    inflow[14:28, 1:] *= 3
    loss[14:28, 1:] *= 3
    assert effect_on(loss, inflow, 1) == calm


def test_an_entry_is_another_when_what_it_rests_on_is() -> None:
    parameters = parse_parameters(PARAMETERS)
    (one,) = entries_of_source(source(1, (1,), 500), parameters, 1)
    (same,) = entries_of_source(source(1, (1,), 500), parameters, 1)
    (other,) = entries_of_source(source(1, (1,), 501), parameters, 1)
    assert one.digest() == same.digest() != other.digest()


def city(seed: int, days: int = 57, units: int = 40) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    shared = 1 + 0.1 * np.sin(np.arange(days) / 15) + 0.05 * generator.standard_normal(days)
    inflow = (
        generator.uniform(3e5, 9e5, units) * shared[:, None] * (1 + 0.03 * generator.standard_normal((days, units)))
    )
    course = np.cumsum(generator.standard_normal((days, units)), axis=0) * 0.0004
    return inflow * (0.04 + course + 0.002 * generator.standard_normal((days, units))), inflow


BEFORE, AFTER = np.arange(57) < 28, np.arange(57) > 28


def effect_on(loss: np.ndarray, inflow: np.ndarray, seed: int) -> Effect:
    own, others = (loss[:, 0], inflow[:, 0]), (loss[:, 1:], inflow[:, 1:])
    chosen = choose_controls(*own, *others, BEFORE, AFTER, MatchRules())
    return compare(*own, others[0][:, chosen], others[1][:, chosen], BEFORE, AFTER, seed)


def test_the_interval_contains_the_truth_and_placebos_show_nothing() -> None:
    """A generator with wandering losses, apart from the twin: `benchmarks.benefit` asks the twin."""
    covered = shown = false = 0
    cases = 120
    for seed in range(cases):
        loss, inflow = city(seed)
        false += effect_on(loss, inflow, seed).shown
        loss[BEFORE, 0] += 15_000
        effect = effect_on(loss, inflow, seed)
        covered += effect.low_wh <= 15_000 * 28 <= effect.high_wh
        shown += effect.shown
    assert 0.90 <= covered / cases <= 0.99
    assert false / cases <= 0.05
    assert shown / cases >= 0.5


def test_what_all_share_is_no_effect_but_one_before_and_after() -> None:
    loss, inflow = city(3)
    loss[AFTER] *= 0.8
    inflow[AFTER] *= 0.8
    effect = effect_on(loss, inflow, 3)
    assert not effect.shown
    assert abs(effect.before_after_wh) > 3 * abs(effect.recovered_wh)


def test_controls_are_chosen_by_what_was_before_alone() -> None:
    loss, inflow = city(4)
    chosen = match_controls(loss[:, 0], inflow[:, 0], loss[:, 1:], inflow[:, 1:], BEFORE, AFTER, MatchRules())
    loss[AFTER, 1:] *= np.random.default_rng(1).uniform(0.1, 9, loss.shape[1] - 1)
    again = match_controls(loss[:, 0], inflow[:, 0], loss[:, 1:], inflow[:, 1:], BEFORE, AFTER, MatchRules())
    assert chosen.tolist() == again.tolist()
    assert len(chosen) == MatchRules().most


def test_a_control_that_lacks_the_days_that_are_compared_is_none() -> None:
    loss, inflow = city(6)
    # The treated unit has eleven days before; of those this control, otherwise complete, lacks six.
    loss[:17, 0] = np.nan
    loss[17:23, 1] = np.nan
    own, others = (loss[:, 0], inflow[:, 0]), (loss[:, 1:], inflow[:, 1:])
    chosen = choose_controls(*own, *others, BEFORE, AFTER, MatchRules(most=39))
    assert 0 not in chosen
    effect = compare(*own, others[0][:, chosen], others[1][:, chosen], BEFORE, AFTER, 1)
    assert effect.days_before == 11


def test_where_nothing_can_be_said_it_says_why() -> None:
    loss, inflow = city(5, units=6)
    with pytest.raises(EffectError, match="only 5 units are like it"):
        effect_on(loss, inflow, 1)
    ones = np.ones(5)
    with pytest.raises(EffectError, match="fewer than 7"):
        estimate_effect(np.where(BEFORE, np.nan, loss[:, 0]), loss[:, 1:], ones, ones, BEFORE, AFTER, 1)
    with pytest.raises(EffectError, match="nothing changes"):
        estimate_effect(np.ones(57), np.ones((57, 5)), ones, ones, BEFORE, AFTER, 1)
