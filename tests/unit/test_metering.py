from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from twin.draws import truncated_normal
from twin.metering import MeterErrors, Metering, MeterReadings
from twin.steps import Steps, make_steps

BEGIN = 1_780_000_000 // 86_400 * 86_400
METERS = 400
MULTIPLIERS = [1, 1, 40, 1]
CLASSES = [1.0, 2.0, 0.2, 0.5]

Array = NDArray[np.float64]


def metering(errors: MeterErrors | None = None, seed: int = 3) -> Metering:
    codes = [f"M-{i}" for i in range(METERS)]
    repeats = METERS // 4
    return Metering(codes, MULTIPLIERS * repeats, CLASSES * repeats, errors, seed)


def flows(steps: Steps, seed: int = 0) -> tuple[Array, Array]:
    """Power that goes both ways, and voltage."""
    chance = np.random.default_rng(seed)
    power = chance.normal(300, 500, (len(steps), METERS)) * np.array(MULTIPLIERS * (METERS // 4))
    return power, chance.normal(230, 2, (len(steps), METERS))


def read(meters: Metering, steps: Steps, power_w: Array, voltage_v: Array) -> list[MeterReadings]:
    return [*meters.advance(steps, power_w, voltage_v), *meters.finish()]


def stacked(readings: list[MeterReadings], name: str) -> NDArray[np.int64]:
    return np.stack([getattr(r, name) for r in readings])


def test_without_errors_readings_are_the_truth_but_for_a_watt_hour() -> None:
    steps = make_steps(BEGIN, 96)
    power, voltage = flows(steps)
    readings = read(metering(MeterErrors.none()), steps, power, voltage)
    assert [r.end_s for r in readings] == steps.ends_s.tolist()
    multipliers = np.array(MULTIPLIERS * (METERS // 4))
    for name, flow in (("import_wh", np.maximum(power, 0)), ("export_wh", np.maximum(-power, 0))):
        true_wh = steps.by_interval(flow * steps.hours[:, None]) / multipliers
        shown = stacked(readings, name)
        assert np.abs(shown - true_wh).max() <= 1
        assert np.abs((shown - true_wh).sum(axis=0)).max() <= 1  # rounding never adds up
        assert (shown > 0).any()
    mean = steps.by_interval(voltage * steps.hours[:, None]) / 0.25
    assert np.abs(stacked(readings, "voltage_v") - mean).max() <= 0.0501


def test_energies_are_differences_of_registers() -> None:
    steps = make_steps(BEGIN, 8)
    readings = read(metering(), steps, *flows(steps))
    for way in ("import", "export"):
        register = stacked(readings, f"{way}_register_wh")
        assert (np.diff(register, axis=0) == stacked(readings, f"{way}_wh")[1:]).all()
        assert register.dtype == np.int64
        assert (register > 0).all()


def test_over_days_energy_is_off_by_the_gain_alone() -> None:
    errors = MeterErrors(load_share=0, start_share=0, start_share_transformer=0)
    meters = metering(errors)
    steps = make_steps(BEGIN, 96 * 3)
    power, voltage = flows(steps)
    readings = read(meters, steps, power, voltage)
    own = power / np.array(MULTIPLIERS * (METERS // 4))
    true_wh = (np.maximum(own, 0) * steps.hours[:, None]).sum(axis=0)
    window_wh = own.max() * np.abs(meters.clock_offset_s).max() / 3600  # what clocks shift at both ends
    off = stacked(readings, "import_wh").sum(axis=0) - true_wh * (1 + meters.gain[0])
    assert np.abs(off).max() <= 1 + 2 * window_wh
    near = np.abs(meters.clock_offset_s) < 10
    assert np.abs(off[near]).max() <= 1 + 2 * own.max() * 11 / 3600


def test_gains_lie_within_the_class() -> None:
    meters = metering()
    classes = np.array(CLASSES * (METERS // 4)) / 100
    assert (np.abs(meters.gain) <= classes).all()
    assert 0.35 < (meters.gain / classes).std() < 0.55
    assert not np.array_equal(meters.gain[0], meters.gain[1])


def test_instrument_transformers_have_a_gain_of_their_own() -> None:
    codes = [f"T{i}" for i in range(4_000)]
    accuracy = [0.2] * len(codes)
    classes = np.stack([np.full(len(codes), 0.5), np.where(np.arange(len(codes)) < 2_000, 0.2, 0.0)])
    bare = Metering(codes, [100] * len(codes), accuracy)
    meters = Metering(codes, [100] * len(codes), accuracy, transformer_class=classes)
    added = (1 + meters.gain) / (1 + bare.gain) - 1
    np.testing.assert_allclose(added[0], added[1])  # the same transformer, whichever way energy flows
    both, one = added[0][:2_000], added[0][2_000:]
    assert np.abs(one).max() <= 0.005
    assert np.abs(both).max() <= 1.005 * 1.002 - 1
    # Half of the class, cut off at two of it: 0.44 of the class.
    assert one.std() == pytest.approx(0.44 * 0.005, rel=0.06)
    assert both.std() == pytest.approx(0.44 * np.hypot(0.005, 0.002), rel=0.06)
    assert not Metering(codes, [100] * len(codes), accuracy, MeterErrors.none(), transformer_class=classes).gain.any()


def test_clocks_are_distributed_as_documented() -> None:
    codes = [f"M-{i}" for i in range(20_000)]
    meters = Metering(codes, [1] * len(codes), [1.0] * len(codes))
    size = np.abs(meters.clock_offset_s)
    assert (size <= 5).mean() == pytest.approx(0.953, abs=0.01)
    assert (size > 60).mean() == pytest.approx(0.01, abs=0.003)
    assert size.max() <= 600
    assert (meters.clock_offset_s < 0).mean() == pytest.approx(0.5, abs=0.02)
    assert np.abs(meters.clock_drift).max() <= 6e-6


def test_a_clock_that_is_ahead_measures_an_earlier_window() -> None:
    errors = MeterErrors(
        class_share=0, load_share=0, start_share=0, start_share_transformer=0, clock_drift_ppm=0, clock_far_share=0.5
    )
    meters = metering(errors)
    steps = make_steps(BEGIN, 8)
    power = np.zeros((len(steps), METERS))
    power[3:6] = 3_600.0  # in the second interval
    own_w = 3_600.0 / np.array(MULTIPLIERS * (METERS // 4))
    readings = read(meters, steps, power, np.zeros_like(power))
    shown = stacked(readings, "import_wh")
    ahead = meters.clock_offset_s
    assert np.abs(shown[1] - own_w * (900 - np.abs(ahead)) / 3600).max() <= 1
    later = np.where(ahead > 0, shown[2], shown[0])  # ahead: the window ends before the load does
    assert np.abs(later - own_w * np.abs(ahead) / 3600).max() <= 1
    assert (shown[3:] == 0).all()


def test_a_slow_clock_holds_an_interval_back() -> None:
    meters = metering(MeterErrors(clock_far_share=0.5))
    steps = make_steps(BEGIN, 4)
    power, voltage = flows(steps)
    assert len(list(meters.advance(steps, power, voltage))) == 3
    assert len(list(meters.finish())) == 1
    with pytest.raises(ValueError, match="finished"):
        list(meters.advance(steps, power, voltage))


def test_nothing_is_counted_below_the_start() -> None:
    steps = make_steps(BEGIN, 4)
    power = np.full((len(steps), METERS), 4.0)  # 4.6 W is the start of class 1 and 2, 1.15 W that of better ones
    readings = read(metering(), steps, power, np.zeros_like(power))
    counted = stacked(readings, "import_wh").sum(axis=0).reshape(-1, 4)
    assert (counted[:, :2] == 0).all()
    assert (counted[:, 3] > 0).all()


def test_small_loads_have_a_further_error() -> None:
    steps = make_steps(BEGIN, 96)
    sums = []
    for share in (0.0, 0.25):
        errors = MeterErrors(class_share=0, load_share=share, start_share=0, clock_sigma_s=0, clock_far_share=0)
        totals = []
        for watts in (20.0, 2_000.0):
            power = np.full((len(steps), METERS), watts)
            totals.append(stacked(read(metering(errors), steps, power, power), "import_wh").sum(axis=0)[::4] / watts)
        sums.append(totals)
    (plain_low, plain_high), (low, high) = sums
    assert np.abs(low / plain_low - 1).max() == pytest.approx(0.005, abs=0.0035)
    assert np.abs(high / plain_high - 1).max() < 1e-4


def test_voltage_has_noise_and_none_where_there_is_none() -> None:
    steps = make_steps(BEGIN, 96)
    power = np.zeros((len(steps), METERS))
    voltage = np.full_like(power, 230.0)
    voltage[3:6] = 0.0
    voltage[6] = 0.0
    shown = np.array(stacked(read(metering(), steps, power, voltage), "voltage_v"))
    assert (shown[1] == 0).all()
    assert np.abs(shown[2] - 230).max() < 3  # the mean of where it was there
    error = np.delete(shown, 1, axis=0) - 230
    assert error.mean(axis=0).std() == pytest.approx(0.4, rel=0.15)
    assert (error - error.mean(axis=0)).std() == pytest.approx(0.2, rel=0.15)


def test_steps_must_follow_each_other_and_fit() -> None:
    steps = make_steps(BEGIN, 2)
    power, voltage = flows(steps)
    meters = metering()
    list(meters.advance(steps, power, voltage))
    with pytest.raises(ValueError, match="ended at"):
        list(meters.advance(steps, power, voltage))
    with pytest.raises(ValueError, match="aren't"):
        list(meters.advance(steps, power[:, :3], voltage))


def test_lengths_of_intervals_may_change() -> None:
    quarters, minutes = make_steps(BEGIN, 2), make_steps(BEGIN + 1_800, 15, 60, 1)
    meters = metering(MeterErrors.none())
    power, voltage = flows(quarters)
    power_after, voltage_after = flows(minutes)
    readings = list(meters.advance(quarters, power, voltage))
    readings += read(meters, minutes, power_after, voltage_after)
    assert [r.interval_s for r in readings] == [900] * 2 + [60] * 15


def test_truncated_normal_has_its_bound_and_its_spread() -> None:
    drawn = truncated_normal(np.linspace(0, 1, 100_001)[:-1], 2.0)
    assert np.abs(drawn).max() == 2.0
    assert drawn.std() == pytest.approx(0.8796, abs=1e-3)  # of a normal cut at 2 sigma
