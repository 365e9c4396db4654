from __future__ import annotations

import math
from dataclasses import fields

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from grid import roster
from grid.model import MAX_ENERGY_WH, MAX_MULTIPLIER, Role
from kernels import member
from kernels.energy_balance import Balance, line_loss
from tests.naive.energy_balance import MISSING, Member, balance


def _shared(member: Member) -> Member:
    """Only what a unit says of itself has a part that intervals share."""
    shared = member.extra_sigma_wh * 3 // 5 if member.role & 4 and member.extra_sigma_wh > 0 else MISSING
    return member._replace(extra_systematic_wh=shared)


energies = st.one_of(st.just(MISSING), st.just(0), st.integers(0, MAX_ENERGY_WH))
members = st.builds(
    Member,
    import_wh=energies,
    export_wh=energies,
    loss_wh=st.one_of(st.just(MISSING), st.integers(-(10**12), 10**12)),
    multiplier=st.integers(1, MAX_MULTIPLIER),
    role=st.sampled_from([0, 1, 2, 3, 4, 5, 10, 20, 32, 64]),
    accuracy_class=st.sampled_from([0.2, 0.5, 1.0, 2.0]),
    extra_sigma_wh=st.one_of(st.just(MISSING), st.integers(0, 10**6)),
    quality=st.sampled_from([0, 0, 2, 4, 8, 10]),
    gap_sigma_wh=st.one_of(st.just(MISSING), st.integers(0, 10**6)),
).map(_shared)


PLAIN = Member(1_234, MISSING, MISSING, 1, 2, 1.0)
#: Nearly all of them plain customers, as in an area, and more of them than are looked at together.
areas = st.lists(members, max_size=3).flatmap(
    lambda odd: st.lists(st.sampled_from(odd + [PLAIN, PLAIN._replace(import_wh=MISSING)] * 3), max_size=200)
)


@settings(deadline=None)
@given(
    st.lists(st.lists(members, max_size=20), max_size=8),
    st.sampled_from([0.0, 0.01, 0.2]),
    st.floats(0.0, 20.0),
    st.sampled_from([(1.0, 0.15), (0.3, 0.2), (0.0, 0.0)]),
)
def test_agrees_with_plain_python_to_the_watt_hour(
    units: list[list[Member]], clock_share: float, start_wh: float, power_steps: tuple[float, float]
) -> None:
    _agrees(units, clock_share, start_wh, power_steps)


@settings(deadline=None)
@given(st.lists(areas, max_size=3))
def test_agrees_with_plain_python_where_nearly_all_are_customers(units: list[list[Member]]) -> None:
    _agrees(units, 0.01, 5.0, (0.3, 0.2))


@settings(deadline=None)
@given(areas, st.lists(members, max_size=9))
def test_a_unit_comes_to_the_same_bit_by_bit_beside_any_others(unit: list[Member], before: list[Member]) -> None:
    alone, beside = (_balanced(units, 0.01, 5.0, (0.3, 0.2)) for units in ([unit], [before, unit]))
    for field in fields(alone):
        np.testing.assert_array_equal(getattr(alone, field.name), getattr(beside, field.name)[1:], field.name)


def _balanced(
    units: list[list[Member]], clock_share: float, start_wh: float, power_steps: tuple[float, float]
) -> Balance:
    flat = [member for unit in units for member in unit]
    return line_loss(
        np.cumsum([0, *(len(unit) for unit in units)]).astype(np.int64),
        np.array([m.import_wh for m in flat], np.int64),
        np.array([m.export_wh for m in flat], np.int64),
        np.array([m.loss_wh for m in flat], np.int64),
        np.array([m.multiplier for m in flat], np.int64),
        np.array([m.role for m in flat], np.uint8),
        np.array([m.accuracy_class for m in flat], np.float64),
        np.array([m.extra_sigma_wh for m in flat], np.int64),
        np.array([m.quality for m in flat], np.uint8),
        np.full(len(units), clock_share),
        np.array([m.extra_systematic_wh for m in flat], np.int64),
        np.full(len(units), start_wh),
        power_steps,
        np.array([m.gap_sigma_wh for m in flat], np.int64),
    )


def _agrees(units: list[list[Member]], clock_share: float, start_wh: float, power_steps: tuple[float, float]) -> None:
    result = _balanced(units, clock_share, start_wh, power_steps)
    for u, unit in enumerate(units):
        expected = balance(unit, clock_share, start_wh, power_steps)
        assert int(result.generation_wh[u]) == expected.generation_wh
        assert int(result.estimated_wh[u]) == expected.estimated_wh
        assert bool(result.complete[u]) == expected.complete
        for name in (
            "sigma_wh",
            "systematic_sigma_wh",
            "export_sigma_wh",
            "ends_sigma_wh",
            "sold_sigma_wh",
            "sold_systematic_sigma_wh",
            "gateway_extra_sigma_wh",
            "gateway_systematic_sigma_wh",
            "gap_sigma_wh",
        ):
            assert math.isclose(getattr(result, name)[u], getattr(expected, name), rel_tol=1e-9, abs_tol=1e-9), name
        assert int(result.inflow_wh[u]) == expected.inflow_wh
        assert int(result.outflow_wh[u]) == expected.outflow_wh
        assert int(result.loss_wh[u]) == expected.loss_wh
        assert int(result.members_loss_wh[u]) == expected.members_loss_wh
        assert int(result.taken_wh[u]) == expected.taken_wh
        assert int(result.returned_wh[u]) == expected.returned_wh
        assert bool(result.gateways_complete[u]) == expected.gateways_complete
        assert result.coverage[u] == expected.coverage or (
            math.isnan(expected.coverage) and np.isnan(result.coverage[u])
        )


def test_the_kernel_and_the_model_mean_the_same_roles() -> None:
    names = ("GATEWAY", "CUSTOMER", "UNIT", "TIE_IN", "TIE_OUT")
    assert [int(Role[name]) for name in names] == [getattr(member, name) for name in names]
    assert (roster.UNCONTRACTED, roster.INNER) == (member.UNCONTRACTED, member.INNER)
    assert not (roster.UNCONTRACTED | roster.INNER) & sum(Role)


def test_the_greatest_unit_stays_inside_64_bits() -> None:
    n = 4_096
    result = line_loss(
        np.array([0, n], np.int64),
        np.full(n, MAX_ENERGY_WH, np.int64),
        np.full(n, MAX_ENERGY_WH, np.int64),
        np.full(n, MISSING, np.int64),
        np.full(n, MAX_MULTIPLIER, np.int64),
        np.full(n, 3, np.uint8),
        np.full(n, 1.0),
    )
    assert int(result.inflow_wh[0]) == 2 * n * MAX_ENERGY_WH * MAX_MULTIPLIER
    assert int(result.loss_wh[0]) == 0
