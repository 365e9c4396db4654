from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from grid.model import AccountStatus
from tests.unit.twin_grid import full_grid, one_feeder
from twin.accounts import assign_accuracy, assign_closed
from twin.draws import draw, draw_seed
from twin.grid_model import build_grid_model
from twin.phases import SINGLE_PHASE_VA, THREE_PHASE, UNBALANCE_VA, assign_phases, zero_sequence
from twin.tariffs import tariff_class


def test_draws_are_uniform_and_of_each_code_alone() -> None:
    codes = [f"code {i}" for i in range(20_000)]
    drawn = draw(7, "a purpose", codes)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert abs(np.bincount((drawn * 10).astype(int)) - 2_000).max() < 200
    assert draw(7, "a purpose", codes[5:6])[0] == drawn[5]
    assert not np.array_equal(draw(8, "a purpose", codes), drawn)
    assert not np.array_equal(draw(7, "another", codes), drawn)
    assert draw(7, "a purpose", []).shape == (0,)
    assert len({draw_seed(0, str(i)) for i in range(100)}) == 100


def test_draws_stay_what_they_are() -> None:
    assert draw(1, "phase", ["LV1.101-Load-1"])[0] == pytest.approx(0.881295247634, abs=1e-12)


def test_phases_are_balanced_within_each_area() -> None:
    network = full_grid().network
    phases = assign_phases(network, 1)
    assert phases.dtype == np.int8
    area = np.array([p.area for p in network.points])
    for generation in (False, True):
        single = (phases < THREE_PHASE) & np.array([p.generation is generation for p in network.points])
        assert single.any()
        counts = np.bincount(3 * area[single] + phases[single], minlength=3 * len(network.areas)).reshape(-1, 3)
        assert (counts.max(axis=1) - counts.min(axis=1)).max() == 1
    total = np.bincount(phases)[:3]
    assert total.max() / total.min() < 1.02


def test_what_is_large_has_three_phases() -> None:
    network = full_grid().network
    phases = assign_phases(network, 1)
    kind = [tariff_class(p.profile, generation=p.generation) for p in network.points]
    for point, phase, name in zip(network.points, phases, kind, strict=True):
        limit_va = UNBALANCE_VA if name == "generation" else SINGLE_PHASE_VA
        if point.area < 0 or point.rating_va > limit_va:
            assert phase == THREE_PHASE
        elif name == "generation":
            assert phase < THREE_PHASE
    households = np.array([k == "household" and p.rating_va <= 1e4 for k, p in zip(kind, network.points, strict=True)])
    assert (phases[households] < THREE_PHASE).mean() == pytest.approx(0.9, abs=0.01)


def test_a_point_keeps_its_phase_whatever_else_is_read() -> None:
    full, part = full_grid().network, one_feeder().network
    of_full = dict(zip([p.code for p in full.points], assign_phases(full, 3).tolist(), strict=True))
    of_part = dict(zip([p.code for p in part.points], assign_phases(part, 3).tolist(), strict=True))
    assert of_part == {code: of_full[code] for code in of_part}
    assert not np.array_equal(assign_phases(part, 3), assign_phases(part, 4))


def test_meters_know_what_was_drawn() -> None:
    network = one_feeder().network
    phases, accuracy, closed = assign_phases(network, 1), assign_accuracy(network, 1), assign_closed(network, 1, 0.2)
    model = build_grid_model(network, phases, accuracy=accuracy, closed=closed)
    meters, accounts = {m.code: m for m in model.meters}, {a.code: a for a in model.accounts}
    for i, point in enumerate(network.points):
        meter = meters[point.code if point.area >= 0 else f"{point.code}-meter"]
        assert meter.phases == ("A", "B", "C", "ABC")[phases[i]]
        assert meter.accuracy_class == (accuracy[i] if point.area >= 0 else 0.5)
        status = accounts[f"account-{point.code}"].status
        assert status is (AccountStatus.CLOSED if closed[i] else AccountStatus.ACTIVE)
        assert not (closed[i] and (point.generation or point.area < 0))
    assert {m.phases for m in model.meters if m.account is None} == {"ABC"}
    assert 0.1 < closed.mean() < 0.3


def test_a_model_is_as_it_was_when_nothing_is_drawn() -> None:
    model = build_grid_model(full_grid().network)
    assert {m.phases for m in model.meters} == {None}
    assert {a.status for a in model.accounts} == {AccountStatus.ACTIVE}
    assert Counter(m.accuracy_class for m in model.meters) == {1.0: 35_157, 0.5: 412 + 70, 0.2: 36}


def test_shares_of_accuracy_and_closed_accounts() -> None:
    network = full_grid().network
    low = np.array([p.area >= 0 for p in network.points])
    accuracy = assign_accuracy(network, 2)
    assert (accuracy[~low] == 0).all()
    assert set(accuracy[low].tolist()) == {1.0, 2.0}
    assert (accuracy[low] == 2.0).mean() == pytest.approx(0.3, abs=0.01)
    assert assign_closed(network, 2).sum() / 32_511 == pytest.approx(0.01, abs=0.002)


def test_zero_sequence_has_twice_the_resistance_in_the_loop() -> None:
    lines = one_feeder().network.lines
    r0, x0, c0 = zero_sequence(lines)
    assert np.allclose((2 * lines.resistance_ohm + r0) / 3, 2 * lines.resistance_ohm)
    assert np.allclose(x0, 4 * lines.reactance_ohm)
    assert np.array_equal(c0[lines.feeder >= 0], lines.capacitance_f[lines.feeder >= 0])
    assert np.allclose(c0[lines.area >= 0], lines.capacitance_f[lines.area >= 0] / 2)


def test_a_profile_without_a_class_is_refused() -> None:
    with pytest.raises(ValueError, match="no tariff class"):
        tariff_class("X1", generation=False)
