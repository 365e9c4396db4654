"""What is learned of loads, and how a technical loss takes it in."""

from __future__ import annotations

from dataclasses import astuple, fields

import numpy as np
import pyarrow as pa
import pytest

from grid.area_network import NetworkPeriod
from grid.channels import EXPORT, IMPORT
from grid.loss_rules import LoadVariation, LossRules
from grid.model import Role
from grid.quality import MISSING_WH
from grid.roster import BEGINNING_US, END_US, Roster
from grid.rows import BlockRows
from kernels.averaging import Variation, averaging_loss, fit_variation, own_loss, own_loss_of_ways
from kernels.energy_balance import POWER_STEPS
from kernels.transformer_loss import POWER_FACTOR
from meterline.settings.figures import LossSection
from streams.steps import technical
from streams.steps.technical import TechnicalLoss, area_losses

VARIATION = LoadVariation(900, 20_000.0, 50.0, 0.1, 1.5, 0.1)


def test_coefficients_are_found_again() -> None:
    # Two samples an interval, apart by two roots of the variance that belongs to their mean.
    mean = np.random.default_rng(3).uniform(50.0, 3_000.0, (40, 200))
    half = np.sqrt(3_000.0 + 40.0 * mean + 0.25 * mean**2)
    found = fit_variation(np.stack([mean - half, mean + half], axis=2).reshape(40, -1), 2, 450)
    assert found.interval_s == 900
    expected = found.constant_w2 + found.linear_w * mean + found.square * mean**2
    np.testing.assert_allclose(expected, half**2, rtol=0.02)
    assert found.spread < 0.01
    assert found.error < 0.001


def test_few_loads_tell_less() -> None:
    random = np.random.default_rng(4)
    power_w = random.exponential(500.0, (64, 1)) * (random.random((64, 300)) < 0.3)
    few, many = fit_variation(power_w[:8], 3), fit_variation(power_w, 3)
    assert few.error > 1.5 * many.error > 0.03
    assert many.spread > 0.5


def test_an_interval_with_a_gap_is_passed_over() -> None:
    power_w = np.random.default_rng(5).uniform(0.0, 2_000.0, (5, 60))
    with_gap = power_w.copy()
    with_gap[:, 7] = np.nan
    without = np.delete(power_w, [6, 7, 8], axis=1)
    assert astuple(fit_variation(with_gap, 3)) == pytest.approx(astuple(fit_variation(without, 3)), rel=1e-6)


def test_steady_loads_hide_nothing() -> None:
    found = fit_variation(np.full((3, 30), 400.0), 15)
    assert found == Variation(900, 0.0, 0.0, 0.0, 0.0, 0.0)
    lost = averaging_loss(np.full((2, 3), 400.0), np.full(3, 1e-6), found)
    np.testing.assert_array_equal((lost.wh, lost.sigma_wh), 0.0)


def test_a_power_that_is_not_known_makes_the_loss_unknown() -> None:
    power_w = np.array([[100.0, np.nan], [100.0, 200.0]])
    lost = averaging_loss(power_w, np.full(2, 1e-6), Variation(900, 1.0, 1.0, 1.0, 1.0, 1.0))
    assert np.isnan(lost.wh).tolist() == [True, False]
    assert np.isnan(lost.sigma_wh).tolist() == [True, False]


@pytest.mark.parametrize(
    ("power_w", "per_interval"),
    [
        (np.ones(30), 15),
        (np.ones((3, 31)), 15),
        (np.ones((3, 30)), 1),
        (np.ones((1, 30)), 15),
        (np.zeros((3, 30)), 15),
        (np.full((3, 30), np.nan), 15),
    ],
)
def test_what_tells_nothing_of_loads_is_refused(power_w: np.ndarray, per_interval: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # each has a message of its own
        fit_variation(power_w, per_interval)


@pytest.mark.parametrize("name", ["constant_w2", "linear_w", "square", "spread", "error"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_variation_is_checked(name: str, value: float) -> None:
    good = dict.fromkeys(("constant_w2", "linear_w", "square", "spread", "error"), 1.0)
    for kind in (Variation, LoadVariation):
        kind(900, **good)
        with pytest.raises(ValueError, match=str(value)):
            kind(900, **(good | {name: value}))
        with pytest.raises(ValueError, match="0"):
            kind(0, **good)


def test_the_kernel_and_the_grid_mean_the_same_variation() -> None:
    assert [f.name for f in fields(Variation)] == [f.name for f in fields(LoadVariation)]


def test_arguments_that_disagree_are_refused() -> None:
    with pytest.raises(ValueError, match="own_loss_per_w"):
        averaging_loss(np.ones((2, 3)), np.ones(2), Variation(900, 1.0, 1.0, 1.0, 1.0, 1.0))
    area = technical._area(roster(), LINES)
    network, load, share = area.network, np.unique(area.position, return_inverse=True)[1], area.share
    source_v = np.full(3, 230.0 + 0j)
    with pytest.raises(ValueError, match="share"):
        own_loss(network, load, share[:-1], source_v)
    with pytest.raises(ValueError, match="gaps"):
        own_loss(network, load + 1, share, source_v)
    with pytest.raises(ValueError, match="base_w"):
        own_loss(network, load, share, source_v, base_w=np.ones(9))
    parent, ohm, node, connected = np.array([-1, 0, 1]), np.ones(3), np.array([2]), np.array([[True, False, False]])
    own_loss_of_ways(parent, ohm, ohm, node, connected, 230.0)
    for wrong in (
        (np.array([-1, 2, 0]), ohm, ohm, node, connected, 230.0),
        (np.array([0, 0, 1]), ohm, ohm, node, connected, 230.0),
        (parent, ohm[:2], ohm, node, connected, 230.0),
        (parent, ohm, ohm, node + 1, connected, 230.0),
        (parent, ohm, ohm, node, np.zeros((1, 3), np.bool_), 230.0),
        (parent, ohm, ohm, node, connected, 0.0),
    ):
        with pytest.raises(ValueError, match=r"source|wanted|isn't there"):
            own_loss_of_ways(*wrong)


def test_the_setting_says_it() -> None:
    plain = LossSection()
    rules = LossRules()
    assert (plain.variation, plain.clock_sigma_s) == (None, rules.clock_sigma_s)
    steps = rules.customer_power_step, rules.unit_power_step
    assert (plain.customer_power_step, plain.unit_power_step) == steps == POWER_STEPS
    values = {field.name: getattr(VARIATION, field.name) for field in fields(VARIATION)}
    section = LossSection.model_validate({"variation": values})
    assert section.variation is not None
    assert LoadVariation(**section.variation.model_dump()) == VARIATION


# A busbar, and a line of 0.1 ohm to three meters at its end: one of phase A, one of all, one behind transformers.
OHM, ZERO_OHM = 0.1, 0.4
LINES = NetworkPeriod(
    parent=np.array([-1, 0]),
    resistance_ohm=np.array([0.0, OHM]),
    reactance_ohm=np.zeros(2),
    zero_resistance_ohm=np.array([0.0, ZERO_OHM]),
    zero_reactance_ohm=np.zeros(2),
    node_of_meter={"a": 1, "abc": 1, "ct": 1},
    valid_from_us=BEGINNING_US,
    valid_to_us=END_US,
)


def roster() -> Roster:
    return Roster(
        role=np.array([Role.GATEWAY, Role.CUSTOMER, Role.CUSTOMER, Role.CUSTOMER], np.uint8),
        multiplier=np.array([1, 1, 1, 10]),
        accuracy_class=np.ones(4),
        modulus_wh=np.zeros(4, np.int64),
        phases=np.array([7, 1, 7, 1], np.uint8),
        meters=pa.array(["master", "a", "abc", "ct"], pa.string()),
        place=np.array([0, 1, 2, 3, -1], np.int32),
        position_of_child={},
    )


def losses(
    energies_wh: list[list[int]],
    variation: LoadVariation | None,
    interval_s: list[int],
    volts: int = 2_309,
    members: Roster | None = None,
) -> TechnicalLoss:
    """Losses of one area's rows: energies of the phase's, the three-phase and the transformers' meter."""
    count = len(energies_wh)
    import_wh = np.array([[0, *row] for row in energies_wh]).ravel()
    nothing = np.zeros(count, np.int64)
    rows = BlockRows(
        unit_id=np.ones(count, np.int32),
        interval_s=np.array(interval_s, np.int32),
        observed_at_us=nothing,
        read_version=nothing,
        version=nothing,
        received_at_us=nothing,
        starts=np.arange(count + 1) * 4,
        channels={"voltage_a_dv": np.full(count * 4, volts, np.int16)},
        quality=np.zeros(count * 4, np.uint8),
        precedence={},
        received_us={},
    )
    energies = {IMPORT: import_wh, EXPORT: np.full(count * 4, MISSING_WH)}
    same = members or roster()
    return area_losses(rows, np.arange(count), [same] * count, energies, [LINES] * count, variation)


def test_without_a_variation_nothing_is_hidden() -> None:
    plain = losses([[100, 200, 30]], None, [900])
    assert plain.averaging_wh.tolist() == [0.0]
    assert plain.sigma_wh == pytest.approx(0.1 * plain.wh)


def test_the_hidden_loss_is_added_and_widens_the_error() -> None:
    rows = [[100, 0, 0], [0, 100, 0], [100, 100, 0]]
    plain, more = losses(rows, None, [900] * 3), losses(rows, VARIATION, [900] * 3)
    np.testing.assert_allclose(more.wh - more.averaging_wh, plain.wh, rtol=1e-9)
    # 400 W, and what varies where nothing is taken.
    taken, idle = 20_000.0 + 50.0 * 400.0 + 0.1 * 400.0**2, 20_000.0
    per_va2 = 0.25 / 230.9**2 / POWER_FACTOR**2
    of_one, of_three = (ZERO_OHM + 2 * OHM) / 3 * per_va2, OHM / 3 * per_va2
    expected = [
        taken * of_one + idle * of_three,
        idle * of_one + taken * of_three,
        taken * of_one + taken * of_three,
    ]
    np.testing.assert_allclose(more.averaging_wh, expected, rtol=2e-3)
    chance = 1.5 * np.hypot(taken * of_one, idle * of_three)
    sigma_wh = np.sqrt((0.1 * plain.wh[0]) ** 2 + chance**2 + (0.1 * expected[0]) ** 2)
    assert more.sigma_wh[0] == pytest.approx(sigma_wh, rel=1e-3)


def test_a_meter_behind_current_transformers_and_another_length_are_left_alone() -> None:
    found = losses([[0, 0, 50], [0, 0, 0], [100, 100, 0]], VARIATION, [900, 900, 1_800])
    assert found.averaging_wh[0] == found.averaging_wh[1] > 0
    assert found.averaging_wh[2] == 0.0


def test_less_voltage_more_current() -> None:
    rows = [[100, 100, 0]]
    full, low = (losses(rows, VARIATION, [900], volts) for volts in (2_309, 2_100))
    assert low.averaging_wh / full.averaging_wh == pytest.approx((2_309 / 2_100) ** 2, rel=1e-3)


def test_an_area_that_is_held_serves_with_a_variation_and_without() -> None:
    held, rows = roster(), [[100, 200, 30]]
    plain, more = losses(rows, None, [900]), losses(rows, VARIATION, [900])
    for variation, expected in ((None, plain), (VARIATION, more), (None, plain), (VARIATION, more)):
        assert losses(rows, variation, [900], members=held).wh == expected.wh
    assert more.wh > plain.wh
