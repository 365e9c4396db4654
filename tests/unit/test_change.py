"""Changes of a loss between two weeks whose truth is known, quarter-hour by quarter-hour."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kernels.change import Cause, Change, PeriodLoss, Step, explain_change

QUARTER_US = 900_000_000
WEEK = 672
GAP_US = 7 * 86_400_000_000
NO_LOAD_WH = 300.0
#: Technical loss of a flow of 100 kWh a quarter: 3 kWh.
K_PER_WH = 3_000.0 / 100_000.0**2

Floats = NDArray[np.float64]


def profile(seed: int, mean_wh: float) -> Floats:
    """A week of a load with an evening peak and noise of its own."""
    hour = np.arange(WEEK) / 4 % 24
    shape = 1 + 0.5 * np.sin((hour - 12) / 24 * 2 * math.pi) + 0.4 * np.exp(-(((hour - 19) / 2) ** 2))
    return np.asarray(mean_wh * shape * np.random.default_rng(seed).uniform(0.8, 1.2, WEEK))


@dataclass(eq=False)
class Week:
    """The truth of a feeder over a week, and what is wrong in its record."""

    number: int
    load_wh: Floats
    generation_wh: Floats
    record_error_wh: Floats
    theft_wh: float = 0.0

    def period(self, noise: int, known: bool = True, **others: Any) -> PeriodLoss:
        through = self.load_wh - self.generation_wh
        technical = NO_LOAD_WH + K_PER_WH * through**2
        rng = np.random.default_rng(noise)
        loss = technical + self.record_error_wh + self.theft_wh + rng.normal(0, 40.0, WEEK)
        modelled = technical * rng.normal(1.0, 0.01, WEEK)
        begin = self.number * GAP_US + np.arange(WEEK) * QUARTER_US
        rows = PeriodLoss(
            slot=np.arange(WEEK),
            begin_us=begin,
            end_us=begin + QUARTER_US,
            computable=np.ones(WEEK, np.bool_),
            loss_wh=np.rint(loss).astype(np.int64),
            doubtful_wh=np.zeros(WEEK, np.int64),
            generation_wh=np.rint(self.generation_wh).astype(np.int64),
            through_wh=np.rint(through + loss).astype(np.int64),
            technical_wh=modelled if known else np.full(WEEK, np.nan),
            technical_sigma_wh=technical * 0.01,
            sigma_wh=np.full(WEEK, 50.0),
            systematic_sigma_wh=np.full(WEEK, 30.0),
        )
        return replace(rows, **others)


def week(number: int, growth: float = 1.0) -> Week:
    return Week(number, growth * profile(number, 100_000.0), np.zeros(WEEK), np.zeros(WEEK))


def parts(change: Change) -> dict[str, int]:
    assert sum(part.wh for part in change.parts.values()) == change.change_wh
    return {cause.value: part.wh for cause, part in change.parts.items()}


def step(cause: Cause, at: int, first: tuple[Floats, Floats], late: tuple[Floats, Floats], **others: Any) -> Step:
    """A step at the beginning of a quarter, counted from that of the first week."""
    return Step(cause, at * QUARTER_US, first, late, **others)


#: Of one week against another whose load differs by chance: the spread of a sum of 672 quarters.
NOISE_WH = 3 * 40.0 * math.sqrt(2 * WEEK) + 12_000.0
WEDNESDAY = 2 * 96


class TestMoves:
    """An area of a tenth of the feeder goes to another feeder on the second week's Wednesday."""

    area = (profile(71, 10_000.0), profile(72, 10_000.0))

    def moved(self, fed_until: int, recorded_until: int) -> tuple[PeriodLoss, PeriodLoss, Step]:
        """An area that was fed, and recorded, until two instants of the second week."""
        first, second = week(0), week(1)
        quarter = np.arange(WEEK)
        second.load_wh = second.load_wh - np.where(quarter < fed_until, 0.0, self.area[1])
        fed, recorded = quarter < fed_until, quarter < recorded_until
        second.record_error_wh = self.area[1] * (fed.astype(float) - recorded)
        wrong = (self.area[0], self.area[1])
        # Sold here with a minus: after it is gone the loss is greater by its energy if it is still fed from here.
        recorded_step = step(Cause.TOPOLOGY, WEEK + recorded_until, (wrong[0], wrong[1]), (-wrong[0], -wrong[1]))
        return first.period(1), second.period(2), recorded_step

    def test_recorded_rightly_it_is_technical_loss_alone(self) -> None:
        before, after, recorded = self.moved(WEDNESDAY, WEDNESDAY)
        change = explain_change(before, after, [recorded])
        found = parts(change)
        assert found["topology"] == 0
        assert change.steps[0].note == "not_clear"
        assert found["technical"] < -100_000
        assert abs(found["unexplained"]) < NOISE_WH

    def test_what_did_not_move_shows_with_all_its_energy(self) -> None:
        before, after, recorded = self.moved(WEEK, WEDNESDAY)
        change = explain_change(before, after, [recorded])
        energy = float(self.area[1][WEDNESDAY:].sum())
        assert change.steps[0].share == pytest.approx(1.0, abs=0.02)
        assert change.late_since_us == (None,)
        assert parts(change)["topology"] == pytest.approx(energy, rel=0.02)
        assert abs(parts(change)["topology"] - energy) < 3 * change.parts[Cause.TOPOLOGY].sigma_wh
        assert abs(parts(change)["unexplained"]) < NOISE_WH

    def test_what_was_recorded_two_days_late_shows_before_the_record(self) -> None:
        before, after, recorded = self.moved(WEDNESDAY, 2 * WEDNESDAY)
        change = explain_change(before, after, [recorded])
        energy = float(self.area[1][WEDNESDAY : 2 * WEDNESDAY].sum())
        assert change.steps[0].share == pytest.approx(1.0, abs=0.02)
        assert change.late_since_us == (GAP_US + WEDNESDAY * QUARTER_US,)
        assert parts(change)["topology"] == pytest.approx(-energy, rel=0.02)
        assert abs(parts(change)["unexplained"]) < NOISE_WH

    def test_a_loss_that_members_take_with_them_is_topology_to_the_watt_hour(self) -> None:
        before, after, recorded = self.moved(WEDNESDAY, WEDNESDAY)
        own = np.arange(WEEK, dtype=np.int64)
        taken = (own + 500, np.where(np.arange(WEEK) < WEDNESDAY, own + 500, 0))
        before = replace(before, loss_wh=before.loss_wh + taken[0])
        after = replace(after, loss_wh=after.loss_wh + taken[1])
        found = parts(explain_change(before, after, [replace(recorded, loss_wh=taken)]))
        assert found["topology"] == -int(taken[0][WEDNESDAY:].sum())


class TestMeters:
    def test_a_ratio_doubled_and_recorded_two_days_late(self) -> None:
        """A customer's meter shows half from Monday on; its multiplier is doubled from Wednesday on."""
        first, second = week(0), week(1)
        energy = (profile(81, 8_000.0), profile(82, 8_000.0))
        second.record_error_wh = np.where(np.arange(WEEK) < WEDNESDAY, energy[1] / 2, 0.0)
        recorded = (energy[0], energy[1] - second.record_error_wh)
        change = explain_change(
            first.period(1),
            second.period(2),
            [
                step(
                    Cause.METER,
                    WEEK + WEDNESDAY,
                    (-recorded[0] * (1 - 1 / 2), -recorded[1] * (1 - 1 / 2)),
                    (-recorded[0] * (1 - 2), -recorded[1] * (1 - 2)),
                )
            ],
        )
        truth = float(second.record_error_wh.sum())
        assert change.late_since_us == (GAP_US,)
        assert parts(change)["meter"] == pytest.approx(truth, rel=0.05)
        assert abs(parts(change)["unexplained"]) < NOISE_WH

    def test_a_meter_that_stood_still_is_replaced(self) -> None:
        first, second = week(0), week(1)
        energy = (profile(81, 8_000.0), profile(82, 8_000.0))
        quarter = np.arange(WEEK)
        first.record_error_wh = energy[0]
        second.record_error_wh = np.where(quarter < WEDNESDAY, energy[1], 0.0)
        shown = (np.zeros(WEEK), -np.where(quarter < WEDNESDAY, 0.0, energy[1]))
        recorded = step(Cause.METER, WEEK + WEDNESDAY, shown, shown, two_sided=True)
        change = explain_change(first.period(1), second.period(2), [recorded])
        assert change.steps[0].share == pytest.approx(1.0, abs=0.05)
        assert parts(change)["meter"] == pytest.approx(-energy[1][WEDNESDAY:].sum(), rel=0.05)

    def test_theft_that_begins_between_is_not_the_meter_that_was_replaced(self) -> None:
        first, second = week(0), week(1)
        second.theft_wh = 2_000.0
        energy = (profile(81, 8_000.0), profile(82, 8_000.0))
        recorded = step(Cause.METER, WEEK + WEDNESDAY, energy, energy, two_sided=True)
        change = explain_change(first.period(1), second.period(2), [recorded])
        assert parts(change)["meter"] == 0
        assert parts(change)["unexplained"] == pytest.approx(2_000 * WEEK, abs=NOISE_WH)


class TestQuality:
    def test_a_week_of_missing_readings_is_data_quality_alone(self) -> None:
        """Of two weeks, the second week of the later fortnight has nothing."""
        halves = [week(0).period(1), week(1).period(2)]
        rows = {
            name: np.concatenate([getattr(h, name) for h in halves]) for name in PeriodLoss.__dataclass_fields__
        } | {"slot": np.arange(2 * WEEK)}
        before = PeriodLoss(**rows)
        lost = before.slot >= WEEK
        after = replace(
            before,
            begin_us=before.begin_us + 2 * GAP_US,
            end_us=before.end_us + 2 * GAP_US,
            computable=~lost,
            loss_wh=np.where(lost, 0, before.loss_wh),
        )
        change = explain_change(before, after)
        assert parts(change) == dict.fromkeys(parts(change), 0) | {"data_quality": -int(before.loss_wh[lost].sum())}
        assert change.gaps_wh == change.change_wh
        assert change.pairs == WEEK

    def test_estimates_that_are_too_low_by_a_third(self) -> None:
        first, second = week(0).period(1), week(1).period(2)
        estimated = np.where(np.arange(WEEK) % 5 == 0, profile(91, 9_000.0), 0.0)
        second = replace(
            second,
            loss_wh=second.loss_wh + np.rint(estimated / 3).astype(np.int64),
            doubtful_wh=np.rint(estimated).astype(np.int64),
        )
        change = explain_change(first, second)
        assert change.estimates_wh == pytest.approx(estimated.sum() / 3, rel=0.05)
        assert change.gaps_wh == 0

    def test_a_month_has_more_days(self) -> None:
        first, second = week(0).period(1), week(1).period(2)
        shorter = PeriodLoss(**{n: getattr(first, n)[:576] for n in PeriodLoss.__dataclass_fields__})
        change = explain_change(shorter, second)
        assert parts(change)["length"] == int(second.loss_wh[576:].sum())
        assert parts(change)["data_quality"] == 0


class TestGeneration:
    def test_photovoltaics_take_load_off_the_line(self) -> None:
        first, second = week(0), week(1)
        hour = np.arange(WEEK) / 4 % 24
        second.generation_wh = 30_000.0 * np.clip(np.sin((hour - 6) / 12 * math.pi), 0, None)
        change = explain_change(first.period(1), second.period(2))
        # The mean of both orders: generation added before and after the load changed.
        flow = first.load_wh + second.load_wh - second.generation_wh
        truth = -K_PER_WH * float((flow * second.generation_wh).sum())
        assert parts(change)["generation"] == pytest.approx(truth, rel=0.1)
        assert abs(parts(change)["generation"] - truth) < 5 * change.parts[Cause.GENERATION].sigma_wh
        assert abs(parts(change)["unexplained"]) < NOISE_WH

    def test_the_same_generation_is_no_cause(self) -> None:
        first, second = week(0), week(1, 1.2)
        for one in (first, second):
            one.generation_wh = np.full(WEEK, 5_000.0)
        assert explain_change(first.period(1), second.period(2)).parts[Cause.GENERATION].wh == 0

    def test_without_technical_loss_it_is_not_told(self) -> None:
        first, second = week(0), week(1)
        second.generation_wh = np.full(WEEK, 5_000.0)
        change = explain_change(first.period(1, known=False), second.period(2, known=False))
        assert change.parts[Cause.GENERATION].notes == ("not_known",)
        assert change.parts[Cause.TECHNICAL].notes == ("not_known",)
        assert parts(change)["unexplained"] == change.change_wh


def test_more_load_is_technical_loss() -> None:
    first, second = week(0), week(1, 1.2)
    change = explain_change(first.period(1), second.period(2))
    truth = K_PER_WH * float((second.load_wh**2 - first.load_wh**2).sum())
    assert parts(change)["technical"] == pytest.approx(truth, rel=0.02)
    assert abs(parts(change)["unexplained"]) < NOISE_WH
    assert parts(change)["topology"] == parts(change)["meter"] == 0


def test_steps_that_say_the_same_are_not_told_apart() -> None:
    first, second = week(0), week(1)
    energy = (profile(81, 8_000.0), profile(82, 8_000.0))
    second.record_error_wh = np.where(np.arange(WEEK) < WEDNESDAY, 0.0, energy[1])
    same = [step(cause, WEEK + WEDNESDAY, energy, energy) for cause in (Cause.TOPOLOGY, Cause.METER)]
    change = explain_change(first.period(1), second.period(2), same)
    assert [outcome.note for outcome in change.steps] == ["not_separable", "not_separable"]
    assert math.isnan(change.parts[Cause.METER].sigma_wh)
    assert parts(change)["unexplained"] == pytest.approx(energy[1][WEDNESDAY:].sum(), rel=0.05)


def test_what_cannot_be_compared_is_refused() -> None:
    one = week(0).period(1)
    with pytest.raises(ValueError, match="no computable interval"):
        explain_change(one, replace(one, computable=np.zeros(WEEK, np.bool_)))
    with pytest.raises(ValueError, match="a slot stands twice"):
        replace(one, slot=np.zeros(WEEK, np.int64))
    with pytest.raises(ValueError, match="loss_wh has shape"):
        replace(one, loss_wh=np.zeros(3, np.int64))
    with pytest.raises(ValueError, match="not as long as the periods"):
        explain_change(one, one, [step(Cause.METER, 5, (np.zeros(3), np.zeros(3)), (np.zeros(3), np.zeros(3)))])


def test_right_records_are_rarely_blamed() -> None:
    """A recorded move that is right, with or without a theft that begins between the weeks, at any hour."""
    blamed = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        area = (profile(3_000 + seed, 10_000.0), profile(5_000 + seed, 10_000.0))
        first = replace(week(0), load_wh=profile(1_000 + seed, 100_000.0))
        second = replace(week(1), load_wh=profile(2_000 + seed, 100_000.0), theft_wh=float(rng.choice([0, 2_000])))
        at = int(rng.integers(96, 576))
        second.load_wh = second.load_wh - np.where(np.arange(WEEK) < at, 0.0, area[1])
        recorded = step(Cause.TOPOLOGY, WEEK + at, area, (-area[0], -area[1]))
        change = explain_change(first.period(2 * seed), second.period(2 * seed + 1), [recorded])
        blamed += change.parts[Cause.TOPOLOGY].wh != 0
    assert blamed <= 4
