from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from twin.household_model import DAY, Clock, level
from twin.households import FILE_LEAD_S, Households
from twin.steps import Steps, make_steps

DAY_S = 86_400
MONDAY_S = 1_764_547_200  # 1 December 2025
FIRST_DAY = 735_000
FILE_DAYS = 800
NUMBERS = np.arange(40)
UNIX_ORDINAL = 719_163


def file_days() -> NDArray[np.int64]:
    return np.arange(FILE_DAYS) + FIRST_DAY - UNIX_ORDINAL


def save(path: Path, by_day: NDArray[np.float64]) -> Path:
    """A file in which each meter takes a constant power through each day."""
    np.savez(path, X=np.repeat(by_day, DAY, axis=0).astype(np.float32), t0=np.int64(FIRST_DAY))
    return path


@pytest.fixture(scope="module")
def meters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four meters with a daily wave, noise, zeros and gaps."""
    random = np.random.default_rng(3)
    wave = 0.4 + 0.3 * np.cos(2 * np.pi * (np.arange(FILE_DAYS * DAY)[:, None] % DAY - 38) / DAY)
    energy = wave * random.gamma(2, 0.5, (FILE_DAYS * DAY, 4))
    energy[random.random(energy.shape) < 0.05] = 0
    energy[5_000:5_003, 1] = np.nan
    energy[9_000:9_400, 2] = np.nan
    path = tmp_path_factory.mktemp("meters") / "meters.npz"
    np.savez(path, X=energy.astype(np.float32), t0=np.int64(FIRST_DAY), cid=np.array(list("abcd")))
    return path


@pytest.fixture(params=["resampled", "stochastic"])
def maker(request: pytest.FixtureRequest, meters: Path) -> str:
    return str(request.param)


def make(maker: str, meters: Path, seed: int = 5, vacant: float = 0.1) -> Households:
    if maker == "resampled":
        return Households.resampled(meters, seed, vacant=vacant)
    return Households.stochastic(seed, vacant=vacant)


def half_hours(days: int, begin_s: int = MONDAY_S) -> Steps:
    return make_steps(begin_s, days * DAY, 1800, 1)


def test_the_same_seed_gives_the_same_bytes_and_another_others(maker: str, meters: Path) -> None:
    steps = make_steps(MONDAY_S, 96)
    first = make(maker, meters).power_w(steps, NUMBERS)
    assert first.tobytes() == make(maker, meters).power_w(steps, NUMBERS).tobytes()
    assert not np.array_equal(first, make(maker, meters, seed=6).power_w(steps, NUMBERS))


def test_a_day_alone_is_the_day_of_its_weeks(maker: str, meters: Path) -> None:
    households, steps = make(maker, meters), make_steps(MONDAY_S, 15 * 96)
    weeks = households.power_w(steps, NUMBERS)
    for day in (0, 1, 6, 7, 14):
        at = slice(day * 288, (day + 1) * 288)
        assert np.array_equal(households.power_w(steps.part(at.start, at.stop), NUMBERS), weeks[at])
    assert np.array_equal(households.power_w(steps.part(1000, 1001), NUMBERS), weeks[1000:1001])


def test_a_household_is_the_same_in_any_company(maker: str, meters: Path) -> None:
    households, steps = make(maker, meters), make_steps(MONDAY_S, 96)
    many = np.arange(5_000)
    together = households.power_w(steps, many)
    chosen = np.array([4_999, 0, 2_047, 2_048, 17, 17])
    assert np.array_equal(households.power_w(steps, chosen), together[:, chosen])


@pytest.mark.parametrize(("interval_s", "parts"), [(60, 1), (300, 1), (900, 3), (900, 1), (3600, 1), (1800, 7200 // 8)])
def test_half_hours_have_one_mean_whatever_the_steps(maker: str, meters: Path, interval_s: int, parts: int) -> None:
    households = make(maker, meters)
    own = households.power_w(half_hours(1), NUMBERS)
    steps = make_steps(MONDAY_S, DAY_S // interval_s, interval_s, parts, cuts=[MONDAY_S + 1234, MONDAY_S + 7777])
    energy = households.power_w(steps, NUMBERS) * steps.hours[:, None]
    assert energy.min() >= 0
    hour = (steps.begin_s - MONDAY_S) // 3600
    by_hour = np.add.reduceat(energy, np.flatnonzero(np.diff(hour, prepend=-1)), axis=0)
    np.testing.assert_allclose(by_hour, own.reshape(24, 2, -1).mean(axis=1), rtol=1e-12, atol=1e-9)


class Given:
    """A source whose half-hours are given, from the one before midnight on; what isn't given is zero."""

    def __init__(self, power_w: list[float]) -> None:
        self.power_w = np.array(power_w)

    def half_hours(self, first: int, count: int, household: NDArray[np.int64]) -> NDArray[np.float64]:
        at = np.arange(first, first + count) - MONDAY_S // 1800 + 1
        given = (at >= 0) & (at < len(self.power_w))
        power_w = np.where(given, self.power_w[at.clip(0, len(self.power_w) - 1)], 0.0)
        return np.repeat(power_w[:, None], len(household), axis=1)


def test_steps_read_the_source_s_own_means() -> None:
    households = Households(Given([100, 0, 600, 300, 0, 0, 50]), seed=1, vacant=0)
    power_w = households.power_w(make_steps(MONDAY_S, 5, 1800, 1), np.array([4]))
    np.testing.assert_allclose(power_w[:, 0], [0, 600, 300, 0, 0], rtol=1e-14)


def test_minutes_read_a_line_through_the_middles() -> None:
    households = Households(Given([100, 300, 500]), seed=1, vacant=0)
    power_w = households.power_w(make_steps(MONDAY_S, 30, 60, 1), np.array([4]))
    np.testing.assert_allclose(power_w[:, 0], 200 + 200 * (np.arange(30) + 0.5) / 30, rtol=1e-14)


def test_no_two_households_are_alike_but_the_vacant(maker: str, meters: Path) -> None:
    households, many = make(maker, meters), np.arange(1_000)
    power_w = households.power_w(half_hours(7), many)
    vacant = households.is_vacant(many)
    assert 70 <= vacant.sum() <= 130
    assert np.array_equal(vacant, ~power_w.any(axis=0)) or maker == "stochastic"  # there one may be away for a week
    assert not power_w[:, vacant].any()
    awake = power_w[:, power_w.any(axis=0)]
    assert len(np.unique(awake, axis=1).T) == awake.shape[1]


def test_power_factors_are_constant_and_differ(maker: str, meters: Path) -> None:
    households = make(maker, meters)
    factors = households.power_factor(np.arange(2_000))
    assert factors.min() >= 0.90
    assert factors.max() <= 1.0
    assert factors.mean() == pytest.approx(0.95, abs=0.002)
    assert np.array_equal(make(maker, meters).power_factor(np.array([7, 3])), factors[[7, 3]])


def test_no_steps_and_no_households_are_empty_arrays(maker: str, meters: Path) -> None:
    households = make(maker, meters)
    assert households.power_w(make_steps(0, 0), NUMBERS).shape == (0, 40)
    assert households.power_w(make_steps(0, 2), NUMBERS[:0]).shape == (6, 0)


@pytest.mark.parametrize("numbers", [np.array([-1]), np.array([[1, 2]])])
def test_what_is_no_number_of_a_household_is_refused(numbers: NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match="numbers from 0 on"):
        Households.stochastic(1).power_w(make_steps(0, 1), numbers)


def test_half_an_hour_is_the_least_offset(meters: Path) -> None:
    with pytest.raises(ValueError, match="half-hours"):
        Clock(utc_offset_s=900)
    with pytest.raises(ValueError, match="half-hours"):
        Households.resampled(meters, 1, lead_s=900)


def test_a_file_s_lead_moves_its_households(meters: Path) -> None:
    steps = half_hours(3)
    late = Households.resampled(meters, 1, lead_s=0).power_w(steps, NUMBERS)
    early = Households.resampled(meters, 1, lead_s=7200).power_w(steps, NUMBERS)
    # Where the day of the year is the same; it may be another at midnight.
    np.testing.assert_allclose(early[4:40], late[8:44], rtol=1e-12)


# The stochastic model against the training households it was derived from, by the figures of the document.


@pytest.fixture(scope="module")
def year() -> NDArray[np.float64]:
    """A year of 400 households of the stochastic model, none vacant, by the clock of Australia."""
    clock = Clock(utc_offset_s=0, south=True)
    return Households.stochastic(11, clock=clock, vacant=0).power_w(half_hours(364), np.arange(400))


def autocorrelation(series: NDArray[np.float64], lag: int) -> float:
    early, late = series[:-lag] - series[:-lag].mean(axis=0), series[lag:] - series[lag:].mean(axis=0)
    spread = np.sqrt((early**2).sum(axis=0) * (late**2).sum(axis=0))
    return float(np.mean((early * late).sum(axis=0) / spread))


def test_stochastic_households_keep_the_autocorrelations(year: NDArray[np.float64]) -> None:
    assert autocorrelation(year, 1) == pytest.approx(0.586, abs=0.05)
    assert autocorrelation(year, 48) == pytest.approx(0.237, abs=0.05)


def test_stochastic_households_keep_the_share_of_zeros(year: NDArray[np.float64]) -> None:
    zeros = (year == 0).mean(axis=0)
    assert zeros.mean() == pytest.approx(0.068, abs=0.05)
    assert (zeros > 0).mean() == pytest.approx(5 / 13, abs=0.08)


def test_stochastic_households_keep_the_spread_of_energy(year: NDArray[np.float64]) -> None:
    day_kwh = year.mean(axis=0) * 0.024
    assert np.log(day_kwh).std() == pytest.approx(0.74, abs=0.1)
    assert day_kwh.mean() == pytest.approx(14.5, rel=0.15)
    assert year.max() <= 15_000 * (1 + 1e-12)


def test_stochastic_households_keep_the_daily_profile_by_day_and_season(year: NDArray[np.float64]) -> None:
    clock = Clock(utc_offset_s=0, south=True)
    wanted = level(MONDAY_S // 1800, len(year), clock).reshape(-1, 7, 24, 2)
    mean = (year.mean(axis=1) / year.mean()).reshape(-1, 7, 24, 2)
    wanted /= wanted.mean()
    for days in (slice(0, 5), slice(5, 7)):
        for weeks in (slice(3, 10), slice(29, 36)):
            own, expected = mean[weeks, days].mean(axis=(0, 1, 3)), wanted[weeks, days].mean(axis=(0, 1, 3))
            np.testing.assert_allclose(own, expected, rtol=0.15)
    np.testing.assert_allclose(mean.mean(axis=(0, 1, 3)), wanted.mean(axis=(0, 1, 3)), rtol=0.06)


def test_winter_is_in_february_in_the_north_and_in_august_in_the_south() -> None:
    # Fortnights around the middles of the quarters, where their profiles hold.
    february, august = 20_492 * DAY, 20_674 * DAY
    means = {
        (south, first): level(first, 14 * DAY, Clock(south=south)).mean()
        for south in (False, True)
        for first in (february, august)
    }
    assert means[False, february] == pytest.approx(means[True, august], rel=0.02)
    assert means[False, february] > 1.3 * means[False, august]


def test_saturday_and_sunday_are_the_weekend() -> None:
    # In the middle of a quarter the days of a week follow two profiles: late mornings are the weekend's.
    week = level(20_492 * DAY + DAY, 7 * DAY, Clock()).reshape(7, DAY)  # from Monday, 9 February 2026, on
    late_morning = week[:, 14:18].mean(axis=1) / week[:, 22:26].mean(axis=1)
    assert late_morning[:5].min() > 0.95
    assert late_morning[5:].max() < 0.75


# Resampling, told by files whose values say where they come from.


def middays(households: Households, days: int) -> NDArray[np.float64]:
    """Power around noon by the file's clock, shape (days, households): there no shift leads to another day."""
    steps = half_hours(days, MONDAY_S - 3600 - FILE_LEAD_S + DAY_S)
    return households.power_w(steps, NUMBERS).reshape(days, DAY, -1)[:, 24]


def test_resampled_days_keep_their_weekday(tmp_path: Path) -> None:
    weekday = (file_days() + 3) % 7
    path = save(tmp_path / "weekdays.npz", np.stack([1.0 + weekday, 10.0 + weekday], axis=1))
    noon = middays(Households.resampled(path, 1, vacant=0), 35).reshape(5, 7, -1)
    assert np.ptp(noon / noon[:1], axis=0).max() < 1e-6
    first = noon[0, 6] / noon[0, 0]
    # Tuesday over Monday of either donor: the sequence begins on a Tuesday by the file's clock.
    by_weekday = {round(float(v), 3) for v in first}
    assert by_weekday == {0.5, round(10 / 11, 3)}


def test_resampled_days_keep_their_season(tmp_path: Path) -> None:
    of_year = file_days() % 365.2425
    path = save(tmp_path / "seasons.npz", (2 + np.cos(2 * np.pi * (of_year - 196) / 365.2425))[:, None])
    noon = middays(Households.resampled(path, 1, vacant=0), 364)
    relative = noon / noon.mean(axis=0)
    north = (20_423 + np.arange(364) + 182) % 365.2425
    expected = 2 + np.cos(2 * np.pi * (north - 196) / 365.2425)
    assert np.abs(relative / (expected / expected.mean())[:, None] - 1).max() < 0.35
    assert np.corrcoef(relative.mean(axis=1), expected)[0, 1] > 0.99


def test_resampled_households_use_the_chosen_columns_alone(tmp_path: Path) -> None:
    by_day = np.tile([1.0, 100.0, 1.0, 100.0], (FILE_DAYS, 1))
    households = Households.resampled(save(tmp_path / "two.npz", by_day), 1, columns=[0, 2], vacant=0)
    assert households.power_w(half_hours(2), NUMBERS).max() < 2000 * 5


def test_resampled_households_keep_the_means_of_their_file(meters: Path) -> None:
    with np.load(meters) as file:
        energy = file["X"].astype(np.float64)
    profile = np.nanmean(energy[: FILE_DAYS * DAY].reshape(FILE_DAYS, 24, 2, 4), axis=(0, 2, 3)) * 2000
    clock = Clock(utc_offset_s=-FILE_LEAD_S, south=True)
    households = Households.resampled(meters, 2, clock=clock, vacant=0)
    power_w = households.power_w(half_hours(56), np.arange(400))
    assert np.isfinite(power_w).all()
    np.testing.assert_allclose(power_w.reshape(56, 24, 2, -1).mean(axis=(0, 2, 3)), profile, rtol=0.06)
    assert (power_w == 0).mean() == pytest.approx((energy == 0).sum() / np.isfinite(energy).sum(), abs=0.01)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"Y": np.zeros((96, 2))}, "has no series"),
        ({"X": np.zeros(96), "t0": np.int64(FIRST_DAY)}, "has no series"),
        ({"X": np.full((800 * 48, 1), -1.0), "t0": np.int64(FIRST_DAY)}, "negative"),
        ({"X": np.ones((100 * 48, 1)), "t0": np.int64(FIRST_DAY)}, "no meter has"),
        ({"X": np.full((800 * 48, 2), np.nan), "t0": np.int64(FIRST_DAY)}, "no meter has"),
        ({"X": np.zeros((0, 0)), "t0": np.int64(FIRST_DAY)}, "no meter has"),
        ({"X": np.zeros((800 * 48, 1)), "t0": np.int64(FIRST_DAY)}, "no energy but zeros"),
        ({"X": np.full((800 * 48, 1), np.inf), "t0": np.int64(FIRST_DAY)}, "kWh in a half-hour"),
        ({"X": np.full((800 * 48, 1), 1j), "t0": np.int64(FIRST_DAY)}, "has no series"),
        ({"X": np.array([["a"]]), "t0": np.int64(FIRST_DAY)}, "has no series"),
        ({"X": np.ones((800 * 48, 1)), "t0": np.float64("nan")}, "has no series"),
        ({"X": np.array([[None]]), "t0": np.int64(FIRST_DAY)}, "no whole .npz file of numbers"),
    ],
)
def test_a_file_that_cannot_serve_is_refused(
    tmp_path: Path, arrays: dict[str, NDArray[np.float64]], message: str
) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]  # its stub takes the keyword for allow_pickle
    with pytest.raises(ValueError, match=message):
        Households.resampled(path, 1)


def test_what_is_no_npz_file_is_said_so(tmp_path: Path, meters: Path) -> None:
    np.save(tmp_path / "array.npy", np.ones((4, 2)))
    (tmp_path / "text.npz").write_text("no")
    (tmp_path / "nothing.npz").write_bytes(b"")
    (tmp_path / "part.npz").write_bytes(meters.read_bytes()[:100_000])
    for name in ("array.npy", "text.npz", "nothing.npz", "part.npz"):
        with pytest.raises(ValueError, match=f"{name} is no whole .npz file of numbers"):
            Households.resampled(tmp_path / name, 1)
