"""Rules over a day against an oracle in plain Python."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grid.quality import MISSING_WH
from kernels.validation import Spike
from streams.steps.validate import Day, DayRules, doubts_of
from tests.naive import validate_day as naive

_STEP_US = 3_600_000_000
_RULES = DayRules(Spike(ratio=2.0, least_wh=20), zero_hours=5.0, flat=4)

#: Stretches of one value, so that runs come about.
_READINGS = st.lists(
    st.tuples(st.one_of(st.none(), st.sampled_from([0, 0, 7, 9, 30, 90])), st.integers(1, 7)), min_size=4, max_size=16
).map(lambda parts: [value for value, times in parts for _ in range(times)][:48])


@given(st.lists(_READINGS, min_size=1, max_size=4), st.integers(0, 24))
def test_a_days_doubts_are_those_of_the_oracle(meters: list[list[int | None]], own: int) -> None:
    size = min(len(values) for values in meters)
    meters = [values[:size] for values in meters]
    own = min(own, size)
    energy = np.array([[MISSING_WH if v is None else v for v in values] for values in meters], np.int64)
    begin_us = 10 * _STEP_US
    found = [
        (d.position, d.rule.value, d.begin_us // _STEP_US - 10, d.end_us // _STEP_US - 10, d.value_wh, d.limit_wh)
        for d in doubts_of(Day(energy, begin_us, 3_600, own), _RULES)
    ]
    wanted = [
        (position, *one)
        for position, values in enumerate(meters)
        for one in [*naive.spikes(values, own, 2.0, 20), *naive.runs(values, own, 5, 4)]
    ]
    assert sorted(found) == sorted(wanted)
