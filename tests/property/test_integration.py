from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from grid import points
from kernels import integration
from kernels.integration import Integral, integrate_power
from tests.naive.integration import GOOD, SUBSTITUTED, UNKNOWN, Report, integrate

MINUTE_US = 60_000_000


def kernel(groups: list[tuple[int, int, list[float], list[int], list[Report]]]) -> Integral:
    reports = [report for group in groups for report in group[4]]
    return integrate_power(
        np.array([g[0] for g in groups], np.int64),
        np.array([g[1] for g in groups], np.int64),
        np.cumsum([0, *(len(g[2]) for g in groups)]).astype(np.int64),
        np.array([band for g in groups for band in g[2]], np.float64),
        np.array([hold for g in groups for hold in g[3]], np.int64),
        np.cumsum([0, *(len(g[4]) for g in groups)]).astype(np.int64),
        np.array([r.point for r in reports], np.int64),
        np.array([r.at_us for r in reports], np.int64),
        np.array([r.power_w for r in reports], np.float64),
        np.array([r.state for r in reports], np.int64),
    )


@st.composite
def group(draw: st.DrawFn) -> tuple[int, int, list[float], list[int], list[Report]]:
    size = draw(st.integers(1, 3))
    begin = draw(st.integers(0, 20)) * 1_000
    end = begin + draw(st.integers(1, 40)) * 1_000
    reports = st.builds(
        Report,
        point=st.integers(0, size - 1),
        at_us=st.integers(-10, 70).map(lambda n: n * 500),
        power_w=st.floats(-1e9, 1e9),
        state=st.sampled_from([UNKNOWN, SUBSTITUTED, GOOD, GOOD, GOOD]),
    )
    return (
        begin,
        end,
        draw(st.lists(st.floats(0, 1e6), min_size=size, max_size=size)),
        draw(st.lists(st.integers(1, 40_000), min_size=size, max_size=size)),
        sorted(draw(st.lists(reports, max_size=15)), key=lambda r: r.at_us),
    )


@settings(deadline=None)
@given(st.lists(group(), max_size=4))
def test_agrees_with_plain_python(groups: list[tuple[int, int, list[float], list[int], list[Report]]]) -> None:
    result = kernel(groups)
    for g, one in enumerate(groups):
        expected = integrate(*one)
        scale = 1e-9 * max([1.0, *(abs(r.power_w) for r in one[4])]) * (one[1] - one[0]) / 3.6e9
        assert math.isclose(result.import_wh[g], expected.import_wh, rel_tol=1e-9, abs_tol=scale)
        assert math.isclose(result.export_wh[g], expected.export_wh, rel_tol=1e-9, abs_tol=scale)
        assert math.isclose(result.coverage[g], expected.coverage, rel_tol=1e-12)
        assert math.isclose(result.sigma_wh[g], expected.sigma_wh, rel_tol=1e-9, abs_tol=1e-12)
        assert bool(result.substituted[g]) == expected.substituted


def test_the_kernel_and_the_model_mean_the_same_states() -> None:
    assert (points.UNKNOWN, points.SUBSTITUTED, points.GOOD) == (
        integration.UNKNOWN,
        integration.SUBSTITUTED,
        integration.GOOD,
    )
