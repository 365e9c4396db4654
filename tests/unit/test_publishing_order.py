"""In what order the loads of the faults are sent."""

from __future__ import annotations

import random

import pytest

from tests.chaos.publishing import DAY_S, HOUR_S, Span, late_sometimes, three_times, within_the_hour

NOW_S = 1_780_315_200.0 + 123


@pytest.fixture
def chance() -> random.Random:
    return random.Random(1)  # noqa: S311  # the same at each run


def test_a_span_ends_before_now_in_the_order_of_time() -> None:
    spans = Span(8, 3_600).intervals(NOW_S)
    assert [interval.end_s for interval in spans] == [1_780_315_200 - 3_600 * n for n in reversed(range(8))]
    assert {interval.length_s for interval in spans} == {900}


def test_three_times_is_once_in_time_and_twice_within_the_hour(chance: random.Random) -> None:
    for _ in range(1_000):
        first, *others = three_times(NOW_S, chance)
        assert first == NOW_S
        assert len(others) == 2
        assert all(0 <= at - NOW_S <= HOUR_S for at in others)


def test_an_hour_s_messages_change_places_over_all_of_it(chance: random.Random) -> None:
    moments = [within_the_hour(NOW_S, chance) for _ in range(1_000)]
    assert {len(each) for each in moments} == {1}
    late = [at - NOW_S for (at,) in moments]
    assert 0 <= min(late) < 60
    assert HOUR_S - 60 < max(late) <= HOUR_S


def test_one_in_twenty_is_late_by_an_hour_to_seven_days(chance: random.Random) -> None:
    late = [at - NOW_S for _ in range(20_000) for at in late_sometimes(NOW_S, chance) if at != NOW_S]
    assert len(late) == pytest.approx(1_000, rel=0.1)
    assert HOUR_S <= min(late) < 1.1 * HOUR_S
    assert 6 * DAY_S < max(late) <= 7 * DAY_S
