import numpy as np
import pytest

from kernels.live_rules import ACTIVE, GENERATES, MISSING, RULES, THREE_PHASE, LiveBatch, LiveLimits, LiveRules, Rule
from kernels.member import MISSING_WH
from tests.naive import live_rules as naive


def rules_of(bits: int) -> set[int]:
    return {r for r in range(RULES) if bits >> r & 1}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("with_electrical", [True, False])
def test_agrees_with_the_plain_rules(seed: int, with_electrical: bool) -> None:
    random = np.random.default_rng(seed)
    meters, intervals = 60, 50
    active, generates, three = random.random((3, meters)) < 0.5
    account = (active * ACTIVE + generates * GENERATES + three * THREE_PHASE).astype(np.uint8)
    capacity = random.choice([0, 1000], meters)
    state, detector = LiveRules().init(meters), LiveRules()
    mood = random.random((3, meters)) < 0.5
    given: list[list[tuple[object, ...]]] = [[] for _ in range(meters)]
    said: list[list[tuple[set[int], set[int]]]] = [[] for _ in range(meters)]
    for _ in range(intervals):
        mood ^= random.random((3, meters)) < 0.15
        taken = np.where(mood[0], random.choice([1500, 1050, 300], meters), random.choice([0, 20], meters))
        back = np.where(mood[1], 50, 0)
        voltage = np.where(mood[2][:, None], random.choice([2300, 0, 2000], (meters, 3)), 2300).astype(np.int16)
        current = np.where(mood[2], 500, 10)[:, None].repeat(3, axis=1).astype(np.int16)
        taken[random.random(meters) < 0.1] = MISSING_WH
        back[random.random(meters) < 0.1] = MISSING_WH
        voltage[random.random((meters, 3)) < 0.1] = MISSING
        current[random.random((meters, 3)) < 0.3] = MISSING
        v, c = (voltage, current) if with_electrical else (None, None)
        state, changes = detector.update(state, LiveBatch(taken, back, v, c, capacity, account))
        for m in range(meters):
            given[m].append(
                (
                    None if taken[m] == MISSING_WH else int(taken[m]),
                    None if back[m] == MISSING_WH else int(back[m]),
                    [None if x == MISSING else int(x) for x in voltage[m]] if with_electrical else None,
                    [None if x == MISSING else int(x) for x in current[m]] if with_electrical else None,
                    int(capacity[m]),
                    bool(active[m]),
                    bool(generates[m]),
                    bool(three[m]),
                )
            )
            said[m].append((rules_of(int(changes.begun[m])), rules_of(int(changes.ended[m]))))
    assert said == [naive.judge(of) for of in given]
    assert any(begun for of in said for begun, _ in of)


def test_a_closed_account_is_said_after_four_intervals_and_once() -> None:
    detector = LiveRules()
    state = detector.init(1)
    nothing = np.zeros(1, np.int64)
    batch = LiveBatch(np.array([300]), nothing, None, None, nothing, np.zeros(1, np.uint8))
    begun = []
    for _ in range(8):
        state, changes = detector.update(state, batch)
        begun.append(int(changes.begun[0]))
    assert begun == [0, 0, 0, 1 << Rule.NO_CONTRACT, 0, 0, 0, 0]


def test_all_phases_gone_is_not_a_lost_phase() -> None:
    detector = LiveRules()
    state = detector.init(1)
    nothing, dark = np.zeros(1, np.int64), np.zeros((1, 3), np.int16)
    for _ in range(5):
        state, _ = detector.update(
            state, LiveBatch(nothing, nothing, dark, None, nothing, np.array([ACTIVE | THREE_PHASE], np.uint8))
        )
    assert state.open[0] == 0


def test_what_the_account_or_the_meter_rules_out_ends() -> None:
    """A capacity that isn't known any more, and a meter of one phase in the place of one of three."""
    detector, nothing = LiveRules(), np.zeros(1, np.int64)
    state, ended = detector.init(1), 0
    three, one = np.array([[2300, 10, 2300]], np.int16), np.array([[2300, MISSING, MISSING]], np.int16)
    for n in range(10):
        account = np.array([ACTIVE | (THREE_PHASE if n < 5 else 0)], np.uint8)
        capacity_wh = np.full(1, 1_000 if n < 5 else 0)
        batch = LiveBatch(np.full(1, 3_000), nothing, three if n < 5 else one, None, capacity_wh, account)
        state, changes = detector.update(state, batch)
        ended |= int(changes.ended[0])
        assert bool(state.open[0]) == (2 <= n + 1 < 9)
    assert ended == 1 << Rule.OVER_CAPACITY | 1 << Rule.PHASE_MISSING


def test_limits_and_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="intervals"):
        LiveLimits(intervals=(0,) * RULES)
    with pytest.raises(ValueError, match="empty"):
        LiveLimits(low_dv=3000)
    one = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="shape"):
        LiveBatch(one, np.zeros(2, np.int64), None, None, one, np.zeros(1, np.uint8))
