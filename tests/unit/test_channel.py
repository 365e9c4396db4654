"""What round trips come to, and what a channel must keep: against plain Python."""

from __future__ import annotations

import json
import statistics
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.channel import (
    BYTES_PER_BLOCK,
    BYTES_PER_METER,
    Limits,
    Measured,
    Shortfall,
    Traffic,
    bytes_per_s_needed,
    shortfalls,
    summarise,
)
from ingest.messages import BlockMessage

DELAYS = st.lists(st.none() | st.floats(0, 60), min_size=1, max_size=40)


@given(DELAYS)
def test_a_series_is_summed_up_as_its_definitions_say(delays: list[float | None]) -> None:
    found = summarise(delays)
    back = [delay for delay in delays if delay is not None]
    assert (found.sent, found.returned) == (len(delays), len(back))
    assert found.loss == pytest.approx(delays.count(None) / len(delays))
    if not back:
        assert (found.delay_s, found.jitter_s) == (None, None)
        return
    assert found.delay_s == pytest.approx(statistics.median(back))
    steps = [abs(b - a) for a, b in pairwise(back)]
    assert found.jitter_s == pytest.approx(statistics.mean(steps) if steps else 0)
    assert found.delay_high_s is not None
    # Nineteen of twenty are not above it.
    assert sum(delay <= found.delay_high_s + 1e-9 for delay in back) >= 0.95 * (len(back) - 1)


GOOD = Measured(100, 100, 0.1, 0.2, 0.01, 1e6, 0.2, 0.1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, ()),
        ({"delay_high_s": 1.01}, (Shortfall.DELAY,)),
        ({"delay_high_s": 1.0}, ()),
        ({"jitter_s": 0.31}, (Shortfall.JITTER,)),
        ({"returned": 98}, (Shortfall.LOSS,)),
        ({"returned": 99}, ()),
        ({"bytes_per_s": 500.0}, (Shortfall.THROUGHPUT,)),
        ({"bytes_per_s": None}, ()),
        ({"clock_offset_s": -1.05}, ()),
        ({"clock_offset_s": -1.15}, (Shortfall.CLOCK,)),
        ({"delay_high_s": 2.0, "jitter_s": 1.0, "bytes_per_s": 0.0},
         (Shortfall.DELAY, Shortfall.JITTER, Shortfall.THROUGHPUT)),
        ({"returned": 0, "delay_s": None, "delay_high_s": None, "jitter_s": None}, (Shortfall.UNREACHABLE,)),
    ],
)  # fmt: skip
def test_each_limit_is_kept_or_not(change: dict[str, float | None], expected: tuple[Shortfall, ...]) -> None:
    values = {**{name: getattr(GOOD, name) for name in GOOD.__slots__}, **change}
    # 400 meters in 90 s: 503.5 bytes a second.
    assert shortfalls(Measured(**values), Traffic(400, 1, 900), Limits()) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"sent": 0, "returned": 0}, {"returned": 101}, {"delay_s": -0.1}, {"delay_s": float("nan")}, {"delay_s": 0.3},
        {"delay_s": None}, {"clock_error_s": None}, {"bytes_per_s": -1.0},
    ],
)  # fmt: skip
def test_what_can_not_be_was_not_measured(change: dict[str, float | None]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Measured(**{**{name: getattr(GOOD, name) for name in GOOD.__slots__}, **change})


def test_the_bytes_of_a_reading_are_those_of_a_whole_message() -> None:
    meters = [f"METER-{n:012}" for n in range(400)]
    whole = {"sequence": 123_456, "observed_at": datetime(2026, 6, 1, tzinfo=UTC).isoformat(), "interval_s": 900}
    for name in BlockMessage.__struct_fields__:
        if name.endswith("_wh"):
            whole[name] = [123_456_789] * 400
        elif name.endswith(("_v", "_a")):
            whole[name] = [231.4] * 400
        elif name == "power_factor":
            whole[name] = [-0.97] * 400
    encoded = json.dumps({**whole, "meter": meters}, separators=(",", ":")).encode()
    msgspec.json.decode(encoded, type=BlockMessage)
    said = BYTES_PER_BLOCK + 400 * BYTES_PER_METER
    assert 0.8 * said < len(encoded) <= said
    assert bytes_per_s_needed(Traffic(400, 1, 900), Limits()) == pytest.approx(said / 90)
