"""Rules of the ledger without a server: parameters, groups of repairs, shares, matching, effects."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from benefit.comparison import choose_controls, compare
from benefit.effect import Effect, EffectError, estimate_effect
from benefit.ledger import Known, Source, entries_of_effect, entries_of_source, group_repairs
from benefit.matching import MatchRules, match_controls
from benefit.parameters import ParameterError, hash_of, parse_parameters, read_parameters, to_body
from tests.benefit_grid import PARAMETERS

ROOT = Path(__file__).resolve().parents[2]
DAY = date(2026, 3, 30)


def source(number: int, units: tuple[int, ...], found_wh: int = 0, tariff: str | None = None) -> Source:
    at = datetime(2026, 3, 30, tzinfo=UTC)
    return Source("work_order", number, "theft", units[0], None, at, units, tariff, found_wh, None, None, {"n": number})


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
    sources = [source(1, (1,)), source(2, (2,)), source(3, (1, 2)), source(4, (3,)), source(5, (1,))]
    days = [DAY, DAY, DAY + timedelta(days=5), DAY, DAY + timedelta(days=60)]
    groups = group_repairs(sources, days, timedelta(days=28))
    assert [(g.sources, g.units) for g in groups] == [((0, 1, 2), (1, 2)), ((3,), (3,)), ((4,), (1,))]
    assert (groups[0].first, groups[0].last) == (DAY, DAY + timedelta(days=5))


def test_shares_of_an_effect_add_up_and_are_valued_by_each_tariff() -> None:
    parameters = parse_parameters(PARAMETERS)
    sources = [source(1, (1,), tariff="household"), source(2, (1,)), source(3, (1,))]
    (repair,) = group_repairs(sources, [DAY] * 3, timedelta(days=28))
    entries = entries_of_effect(repair, sources, Known(9, 1_000_001, 100, True, b"x"), parameters, 1)
    assert [e.energy_wh for e in entries] == [333_334, 333_334, 333_333]
    # 333.334 kWh at 0.5283 and at 0.50.
    assert [e.money_cents for e in entries] == [17_610, 16_667, 16_667]
    none = entries_of_effect(repair, sources, Known(9, 1_000_001, 100, False, b"x"), parameters, 1)
    assert [(e.energy_wh, e.money_cents, e.co2_g, e.shown) for e in none] == [(0, 0, 0, False)] * 3
    assert sum(e.sigma_wh for e in none) == 100


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
