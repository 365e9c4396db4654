"""From stored voltages to doubted records: columns, phases that nobody wrote down, and repairs that agree or don't."""

import numpy as np
import pytest

from grid.memberships import Membership
from grid.model import Role, UnitKind
from grid.quality import MISSING_WH
from grid.roster import BEGINNING_US, END_US, UnitView
from grid.usage import AreaQuantities
from kernels.association import Repair
from streams.steps.usage_records import Doubt, Neighbourhood, compare, is_mended, make_neighbourhood, with_repair

HOUR_S, HOURS, EACH = 3_600, 336, 8
MISSING = np.iinfo(np.int16).min
AT_US = HOURS * HOUR_S * 1_000_000


def area(code: str, phases: list[str | None], from_us: int = BEGINNING_US) -> UnitView:
    """A gateway meter, and customers on these phases."""
    members = [Membership(0, f"{code}-master", None, int(Role.GATEWAY), 1, 0.2, BEGINNING_US, END_US)]
    members += [
        Membership(n + 1, f"{code}-m{n}", None, int(Role.CUSTOMER), 1, 1.0, from_us, END_US, phases=phase)
        for n, phase in enumerate(phases)
    ]
    return UnitView(1, code, UnitKind.AREA, tuple(members), ())


def voltages(seed: int, true: list[int], groups: np.ndarray) -> AreaQuantities:
    """Of a master meter, and of customers on groups' voltages; `groups` (hours, 3 or more) begin with the master's."""
    random = np.random.default_rng(seed)
    dv = np.full((3, HOURS, 1 + len(true)), MISSING, np.int16)
    for phase in range(3):
        dv[phase, :, 0] = np.rint(10 * (groups[:, phase] + random.normal(0, 0.3, HOURS)))
    for n, g in enumerate(true):
        dv[0, :, n + 1] = np.rint(10 * (groups[:, g] + random.normal(0, 0.3, HOURS)))
    nothing = np.full(dv.shape, MISSING, np.int16)
    energy_wh = np.full(dv.shape[1:], MISSING_WH)
    return AreaQuantities(np.arange(1, HOURS + 1) * HOUR_S * 1_000_000, dv, nothing, nothing[0], energy_wh)


def two_areas() -> np.ndarray:
    random = np.random.default_rng(1)
    return 230 + random.normal(0, 1.5, (HOURS, 1)) - random.gamma(1.0, 1.0, (HOURS, 6))


def near(phases: list[str | None], true: list[int]) -> Neighbourhood:
    groups = two_areas()
    other = np.roll(groups, -3, axis=1)
    given = [
        (area("A", phases), voltages(2, true, groups)),
        (area("B", list("ABC" * EACH)), voltages(3, [0, 1, 2] * EACH, other)),
    ]
    found = make_neighbourhood(given, AT_US, HOUR_S)
    assert found is not None
    return found


def test_a_wrong_transformer_and_a_wrong_phase_are_told() -> None:
    true = [0, 1, 2] * EACH
    true[4], true[9] = 5, 1
    said = compare(near(list("ABC" * EACH), true), HOUR_S)
    assert len(said.meters) == 3 * EACH
    doubts = {doubt.meter: doubt for doubt in said.doubts}
    assert set(doubts) == {"A-m4", "A-m9"}
    assert (doubts["A-m4"].area, doubts["A-m4"].phase) == ("B", "C")
    assert (doubts["A-m9"].area, doubts["A-m9"].phase) == ("A", "B")
    assert doubts["A-m9"].reasons == ("voltage_follows_another_phase",)
    assert doubts["A-m4"].confidence > 0.9


def test_of_a_meter_without_a_phase_only_the_area_is_doubted() -> None:
    phases: list[str | None] = list("ABC" * EACH)
    phases[3] = phases[4] = None
    true = [0, 1, 2] * EACH
    true[3], true[4] = 2, 4
    found = near(phases, true)
    assert found.group[[n for n, meter in enumerate(found.meters) if meter == "A-m3"]].tolist() == [2]
    doubts = compare(found, HOUR_S).doubts
    assert [(doubt.meter, doubt.area) for doubt in doubts] == [("A-m4", "B")]
    assert doubts[0].evidence["voltage"]["recorded_phase"] is None


def test_outages_and_times_before_a_membership_are_left_out() -> None:
    given = voltages(1, [0, 1], two_areas())
    given.voltage_dv[0, 5:9, 1] = 0
    begin_us = 20 * HOUR_S * 1_000_000
    found = make_neighbourhood([(area("A", ["A", "B"], begin_us), given)], AT_US, HOUR_S)
    assert found is not None
    columns = [n for n, meter in enumerate(found.meters) if meter == "A-m0"]
    assert np.isnan(found.voltage_v[:20, columns]).all()
    assert np.isfinite(found.voltage_v[20:, columns]).all()
    early = make_neighbourhood([(area("A", ["A", "B"]), given)], AT_US, HOUR_S)
    assert early is not None
    assert np.flatnonzero(np.isnan(early.voltage_v[:, columns[0]])).tolist() == [5, 6, 7, 8]


def test_memory_is_bounded() -> None:
    groups = two_areas()
    given = [(area(code, list("ABC")), voltages(1, [0, 1, 2], groups)) for code in "ABC"]
    some = make_neighbourhood(given, AT_US, HOUR_S, most_columns=12)
    assert some is not None
    assert some.areas == ("A", "B", "C")[: len(some.areas)]
    assert some.voltage_v.shape[1] <= 12
    assert make_neighbourhood(given, AT_US, HOUR_S, most_columns=3) is None


@pytest.mark.parametrize(("left", "next_best", "mended"), [(0.1, 0.4, True), (0.6, 0.95, False), (0.3, 0.4, False)])
def test_a_repair_counts_when_it_is_clear(left: float, next_best: float, *, mended: bool) -> None:
    repair = Repair((1,), (), (-5.0, 5.0), (0.0, 0.0), left, next_best)
    assert is_mended(repair) is mended
    assert not is_mended(Repair((), (), (-5.0, 5.0), (0.0, 0.0), 0.0, 1.0))


def test_a_repair_makes_surer_what_it_agrees_with() -> None:
    repair = Repair((1,), (), (-5.0, 5.0), (0.0, 0.0), 0.1, 0.5)
    doubt = Doubt("m", "B", "A", 0.95, ("voltage_follows_another",))
    (agreed,) = with_repair([doubt], {"m": ("B", repair)})
    assert agreed.confidence > 0.95
    assert agreed.reasons == ("voltage_follows_another", "mends_two_areas")
    assert with_repair([doubt], {"m": ("C", repair)}) == [doubt]
    (alone,) = with_repair([], {"n": ("C", repair)})
    assert (alone.meter, alone.area, alone.phase, alone.reasons) == ("n", "C", None, ("mends_two_areas",))
