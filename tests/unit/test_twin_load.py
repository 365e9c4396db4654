from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from tests.unit.twin_grid import one_feeder
from twin.load import mean_shares
from twin.simbench import PROFILE_ROWS, PROFILE_START, profile_row


def row_at(instant: datetime) -> int:
    return profile_row(int(instant.timestamp()) // 900)


def test_the_data_s_own_year_is_itself() -> None:
    assert row_at(PROFILE_START) == 0
    assert row_at(PROFILE_START + timedelta(minutes=15 * (PROFILE_ROWS - 1))) == PROFILE_ROWS - 1


@pytest.mark.parametrize("year", range(2017, 2045))
def test_another_year_keeps_the_weekday_the_hour_and_the_season(year: int) -> None:
    for day in range(0, 366, 5):
        instant = datetime(year, 1, 1, 12, tzinfo=UTC) + timedelta(days=day)
        row = row_at(instant)
        assert 0 <= row < PROFILE_ROWS
        mapped = PROFILE_START + timedelta(minutes=15 * row)
        assert (mapped.weekday(), mapped.time()) == (instant.weekday(), instant.time())
        apart = (mapped.timetuple().tm_yday - instant.timetuple().tm_yday) % 365
        assert min(apart, 365 - apart) <= 4


def test_successive_quarter_hours_are_successive_rows() -> None:
    first = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp()) // 900
    rows = [profile_row(first + i) for i in range(96 * 60)]
    assert np.all(np.diff(rows) == 1)


@pytest.mark.parametrize("length_s", [60, 300])
def test_minutes_have_the_mean_of_their_quarter_hour(length_s: int) -> None:
    profiles = one_feeder()._profiles
    start = int(datetime(2026, 7, 3, 5, tzinfo=UTC).timestamp())  # at sunrise, where the curve is most bent
    for quarter in range(8):
        end = start + 900 * (quarter + 1)
        parts = [mean_shares(profiles, t, length_s) for t in range(end - 900 + length_s, end + 1, length_s)]
        for own, mean in zip(mean_shares(profiles, end, 900), zip(*parts, strict=True), strict=True):
            np.testing.assert_allclose(np.mean(mean, axis=0), own, rtol=1e-12, atol=1e-15)
        assert min(active.min() for active, _ in parts) >= 0


def test_an_hour_is_the_mean_of_its_quarters() -> None:
    profiles = one_feeder()._profiles
    end = int(datetime(2026, 7, 3, 5, tzinfo=UTC).timestamp())
    quarters = [mean_shares(profiles, end - 900 * i, 900)[0] for i in range(4)]
    np.testing.assert_allclose(mean_shares(profiles, end, 3600)[0], np.mean(quarters, axis=0), rtol=1e-12)


@pytest.mark.parametrize(("end_s", "length_s"), [(930, 60), (840, 420), (901, 900), (90, 90)])
def test_what_is_no_interval_is_refused(end_s: int, length_s: int) -> None:
    with pytest.raises(ValueError, match="no interval"):
        mean_shares(one_feeder()._profiles, end_s, length_s)
