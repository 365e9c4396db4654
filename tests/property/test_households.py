from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from twin.households import Households
from twin.steps import make_steps

HOUSEHOLDS = Households.stochastic(3)
NUMBERS = st.lists(st.integers(0, 2**62), min_size=1, max_size=6).map(lambda numbers: np.array(numbers, np.int64))
#: Half-hours from 1990 to 2050.
BEGINS = st.integers(350_000, 1_400_000).map(lambda half_hour: half_hour * 1800)


@settings(deadline=None, max_examples=60)
@given(
    begin_s=BEGINS,
    numbers=NUMBERS,
    interval_s=st.sampled_from([60, 300, 900, 1800]),
    offsets=st.sets(st.integers(1, 7199)),
)
def test_any_steps_carry_the_energy_of_their_half_hours(
    begin_s: int, numbers: np.ndarray, interval_s: int, offsets: set[int]
) -> None:
    wanted = HOUSEHOLDS.power_w(make_steps(begin_s, 4, 1800, 1), numbers) / 2
    steps = make_steps(begin_s, 7200 // interval_s, interval_s, 1, cuts=[begin_s + offset for offset in offsets])
    power_w = HOUSEHOLDS.power_w(steps, numbers)
    assert power_w.min() >= 0
    half_hour = (steps.begin_s - begin_s) // 1800
    energy = np.stack([(power_w * steps.hours[:, None])[half_hour == i].sum(axis=0) for i in range(4)])
    np.testing.assert_allclose(energy, wanted, rtol=1e-11, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(begin_s=BEGINS, numbers=NUMBERS, at=st.integers(0, 143), count=st.integers(1, 144), data=st.data())
def test_any_part_is_the_part_of_the_whole(
    begin_s: int, numbers: np.ndarray, at: int, count: int, data: st.DataObject
) -> None:
    steps = make_steps(begin_s, 48)
    whole = HOUSEHOLDS.power_w(steps, numbers)
    order = np.array(data.draw(st.permutations(range(len(numbers)))))
    part = HOUSEHOLDS.power_w(steps.part(at, at + count), numbers[order])
    assert part.tobytes() == np.ascontiguousarray(whole[at : at + count][:, order]).tobytes()
