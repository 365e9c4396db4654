import numpy as np
import pytest

from kernels.coordinate_descent import bounded
from kernels.correlation import CorrelationState, LossCorrelation, LossDay, blame, fold_loss_day
from tests.naive import correlation as naive

HOMES, DAYS, HONEST = 12, 56, 28


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_the_best_that_is_not_negative(seed: int) -> None:
    random = np.random.default_rng(seed)
    regressors = random.gamma(1.0, 1.0, (6, 40))
    loss = np.maximum(random.normal(0, 1, 6), 0) @ regressors + random.normal(0, 1, 40)
    matrix, moments = regressors @ regressors.T, regressors @ loss
    zeros = np.zeros(6)
    found = bounded(matrix, moments, zeros, zeros + np.inf, zeros + 1.0, 10_000, 1e-7)
    np.testing.assert_allclose(found, naive.not_negative(matrix.tolist(), moments.tolist()), atol=1e-4)


def homes(seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    shape = 100 + 150 * (1 + np.sin(np.linspace(0, 2 * np.pi, 48) + random.uniform(0, 6, (HOMES, 1, 1))))
    busy = random.lognormal(0, 0.3, (HOMES, DAYS, 1))
    return (shape * busy * random.gamma(4.0, 0.25, (HOMES, DAYS, 48))).astype(np.int64) + 20


def folded(told: np.ndarray, loss: np.ndarray) -> CorrelationState:
    state = LossCorrelation(48).init(len(told))
    for day in range(DAYS):
        state = fold_loss_day(state, LossDay(day, told[:, day], loss[day], 30.0, day % 7 >= 5, day >= HONEST))
    return state


@pytest.mark.parametrize("kind", ["scaling", "night", "bypass"])
def test_a_thief_explains_the_loss(kind: str) -> None:
    true, random = homes(1), np.random.default_rng(2)
    told = true.copy()
    part = told[4, HONEST:]
    if kind == "scaling":
        part[:] = part * 4 // 10
    elif kind == "night":
        part[:, :12] = 0
    else:
        part[random.random(part.shape) < 0.5] = 0
    loss = (true - told).sum(axis=0) + random.normal(0, 40, (DAYS, 48))
    said = blame(folded(told, loss))
    assert said.rank.argmax() == said.score.argmax() == 4
    stolen = (true - told).sum()
    assert said.energy_wh[4] == pytest.approx(0.7 * stolen, rel=0.25)  # forgotten by half over 28 days: 0.72 on average
    assert (said.use_wh[4] > said.deficit_wh[4]) == (kind == "scaling")


def test_who_stands_still_without_a_loss_is_not_blamed() -> None:
    true, random = homes(3), np.random.default_rng(4)
    true[5, HONEST:, :12] = 0
    told = true.copy()
    told[2, HONEST:] = told[2, HONEST:] * 3 // 10
    said = blame(folded(told, (true - told).sum(axis=0) + random.normal(0, 40, (DAYS, 48))))
    assert said.score.argmax() == 2
    assert said.energy_wh[5] < 0.1 * said.energy_wh[2]


def test_without_a_loss_nobody_is_blamed() -> None:
    said = blame(LossCorrelation(48).init(3))
    assert not said.score.any()


def test_intervals_whose_loss_is_not_known_are_left_out() -> None:
    true, random = homes(1), np.random.default_rng(2)
    told = true.copy()
    told[4, HONEST:] = told[4, HONEST:] // 2
    loss = (true - told).sum(axis=0) + random.normal(0, 40, (DAYS, 48))
    loss[random.random(loss.shape) < 0.3] = np.nan
    assert blame(folded(told, loss)).score.argmax() == 4


def test_shapes_and_order_are_checked() -> None:
    state = LossCorrelation(24).init(2)
    with pytest.raises(ValueError, match="shape"):
        LossDay(0, np.zeros((2, 24), np.int64), np.zeros(23), 60.0, False, False)
    with pytest.raises(ValueError, match="another"):
        fold_loss_day(state, LossDay(0, np.zeros((3, 24), np.int64), np.zeros(24), 60.0, False, False))
    state = fold_loss_day(state, LossDay(3, np.zeros((2, 24), np.int64), np.zeros(24), 60.0, False, True))
    with pytest.raises(ValueError, match="comes after"):
        fold_loss_day(state, LossDay(3, np.zeros((2, 24), np.int64), np.zeros(24), 60.0, False, False))


def test_what_is_lost_at_all_times_alike_is_nobodys() -> None:
    true, random = homes(5), np.random.default_rng(6)
    state = folded(true, random.normal(400, 40, (DAYS, 48)))
    assert blame(state).energy_wh.sum() < 0.05 * state.loss[0]
