"""The contract of kernels.detector, for every detector."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest

from kernels import correlation, live_rules, usage
from kernels.detector import bytes_per_meter, dump, restore
from kernels.member import MISSING_WH

METERS, ROUNDS = 9, 44


@dataclass(frozen=True)
class Case:
    name: str
    detector: Any
    state: type
    version: int
    make: Callable[[np.random.Generator, int, np.ndarray], Any]  # of a round, for meters in an order


def energies(random: np.random.Generator, slots: int) -> np.ndarray:
    energy = random.gamma(1.5, 60.0, (METERS, slots)).astype(np.int64)
    energy[random.random(energy.shape) < 0.03] = MISSING_WH
    energy[random.random(energy.shape) < 0.1] = 0
    return energy


def usage_day(random: np.random.Generator, n: int, order: np.ndarray) -> usage.UsageDay:
    return usage.UsageDay(n + n // 20, energies(random, 48)[order], 30.0, n % 7 >= 5)


def loss_day(random: np.random.Generator, n: int, order: np.ndarray) -> correlation.LossDay:
    energy = energies(random, 48)
    return correlation.LossDay(n, energy[order], random.normal(100, 30, 48), 30.0, n % 7 >= 5, n >= 14)


def live_batch(random: np.random.Generator, n: int, order: np.ndarray) -> live_rules.LiveBatch:
    voltage = random.choice([0, 1900, 2300, live_rules.MISSING], (METERS, 3), p=[0.1, 0.2, 0.6, 0.1]).astype(np.int16)
    current = random.choice([0, 500, live_rules.MISSING], (METERS, 3)).astype(np.int16)
    energy = random.choice([0, 100, 5000, MISSING_WH], (2, METERS), p=[0.4, 0.3, 0.2, 0.1])
    account = random.integers(0, 8, METERS).astype(np.uint8)
    return live_rules.LiveBatch(
        energy[0][order], energy[1][order], voltage[order], current[order], np.full(METERS, 1000), account[order]
    )


CASES = [
    Case("usage", usage.UsageModel(), usage.UsageState, usage.VERSION, usage_day),
    Case("loss", correlation.LossCorrelation(48), correlation.CorrelationState, correlation.VERSION, loss_day),
    Case("live", live_rules.LiveRules(), live_rules.LiveState, live_rules.VERSION, live_batch),
]
every = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def batches(case: Case, order: np.ndarray | None = None, rounds: int = ROUNDS) -> list[Any]:
    random = np.random.default_rng(3)
    return [case.make(random, n, np.arange(METERS) if order is None else order) for n in range(rounds)]


def played(case: Case, given: list[Any]) -> tuple[Any, list[Any]]:
    state, said = case.detector.init(METERS), []
    for batch in given:
        state, out = case.detector.update(state, batch)
        said.append(out)
    return state, said


def same(a: Any, b: Any, **tolerance: Any) -> None:
    for field in fields(a):
        if tolerance:
            np.testing.assert_allclose(getattr(a, field.name), getattr(b, field.name), **tolerance)
        else:
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


@every
def test_an_update_changes_nothing_that_it_was_given(case: Case) -> None:
    state = case.detector.init(METERS)
    for batch in batches(case, rounds=20):
        state_before, batch_before = dump(state, 1), dump(batch, 1)
        new, _ = case.detector.update(state, batch)
        assert dump(state, 1) == state_before
        assert dump(batch, 1) == batch_before
        state = new


@every
def test_the_same_input_gives_the_same_bytes(case: Case) -> None:
    assert dump(played(case, batches(case))[0], 1) == dump(played(case, batches(case))[0], 1)


@every
def test_a_state_kept_and_restored_goes_on_as_if_it_had_not_been(case: Case) -> None:
    given = batches(case)
    whole, said = played(case, given)
    state, _ = played(case, given[:30])
    state = restore(case.state, dump(state, case.version), case.version)
    for batch, wanted in zip(given[30:], said[30:], strict=True):
        state, out = case.detector.update(state, batch)
        same(out, wanted)
    assert dump(state, 1) == dump(whole, 1)


@every
def test_later_data_change_nothing_that_was_said(case: Case) -> None:
    given = batches(case)
    for one, other in zip(played(case, given)[1], played(case, given[:25])[1], strict=False):
        same(one, other)


@every
def test_late_data_fold_again_from_a_stored_state(case: Case) -> None:
    given = batches(case)
    stored, _ = played(case, given[:20])
    again = stored
    for batch in given[20:]:
        again, _ = case.detector.update(again, batch)
    assert dump(again, 1) == dump(played(case, given)[0], 1)


@every
def test_the_order_of_meters_makes_no_difference(case: Case) -> None:
    order = np.random.default_rng(8).permutation(METERS)
    said, shuffled = played(case, batches(case))[1][-1], played(case, batches(case, order))[1][-1]
    for field in fields(said):
        np.testing.assert_allclose(
            getattr(said, field.name)[order], getattr(shuffled, field.name), rtol=1e-6, atol=1e-6, err_msg=field.name
        )


@every
def test_a_damaged_or_foreign_state_is_refused(case: Case) -> None:
    data = dump(case.detector.init(METERS), case.version)
    with pytest.raises(ValueError, match="not a detector"):
        restore(case.state, b"nothing", case.version)
    with pytest.raises(ValueError, match="not whole"):
        restore(case.state, data[:-1], case.version)
    with pytest.raises(ValueError, match="follow"):
        restore(case.state, data + b"x", case.version)
    with pytest.raises(ValueError, match="wanted"):
        restore(case.state, data, case.version + 1)


def test_the_usage_model_remembers_at_most_256_bytes_a_meter() -> None:
    assert bytes_per_meter(usage.UsageModel().init(1000), 1000) <= 256
