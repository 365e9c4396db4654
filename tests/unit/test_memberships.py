"""What is held as columns comes back as it was given; what is kept of a record holds no record."""

from __future__ import annotations

import pyarrow as pa
import pytest

from grid.arrow import own_strings
from grid.memberships import Lapse, Lapses, Membership, Memberships
from grid.model import PHASES, Role, UnitKind
from grid.roster import BEGINNING_US, END_US, UnitView

HOUR_US = 3_600_000_000
GIVEN = (
    Membership(0, "master", None, int(Role.GATEWAY), 40, 0.5, BEGINNING_US, END_US, register_modulus_wh=10**9),
    Membership(1, "a", None, int(Role.CUSTOMER), 1, 2.0, 0, HOUR_US, 0, None, 7, 8, phases="CA"),
    Membership(1, "b", None, int(Role.CUSTOMER), 3, 1.0, HOUR_US, END_US, start_export_wh=5, phases="B"),
    Membership(2, None, 9, int(Role.UNIT), 1, 0.2, 0, END_US, inner=True),
)


def test_memberships_come_back_as_they_were_given() -> None:
    held = Memberships(GIVEN)
    assert tuple(held) == GIVEN
    assert [held[i] for i in range(-4, 4)] == [*GIVEN, *GIVEN]
    assert held[1:3] == GIVEN[1:3]
    assert [type(value) for value in vars_of(held[1])] == [type(value) for value in vars_of(GIVEN[1])]
    assert Memberships.of(held) is held
    with pytest.raises(IndexError):
        held[4]


@pytest.mark.parametrize("phases", [None, *PHASES])
def test_phases_come_back(phases: str | None) -> None:
    member = Membership(0, "a", None, 2, 1, 1.0, 0, 1, phases=phases)
    assert Memberships([member])[0] == member


def test_no_memberships_and_no_lapses() -> None:
    assert tuple(Memberships(())) == ()
    assert tuple(Lapses(())) == ()
    assert UnitView(1, "U", UnitKind.AREA, (), ()).roster(HOUR_US, 900).position_of_meter == {}


def test_lapses_come_back_as_they_were_given() -> None:
    given = (Lapse(3, BEGINNING_US, END_US), Lapse(0, 1, 2))
    held = Lapses(given)
    assert tuple(held) == held[:] == given
    assert (held[0], held[-1]) == given


def test_meters_are_found_in_any_order_and_at_their_last_position() -> None:
    twice = (*GIVEN, Membership(3, "master", None, int(Role.GATEWAY), 80, 0.5, 2 * HOUR_US, END_US))
    roster = UnitView(1, "U", UnitKind.AREA, twice, ()).roster(3 * HOUR_US, 3 * 3_600)
    assert roster.find(pa.array(["b", "nobody", "master", "a"])).tolist() == [1, -1, 3, 1]
    assert roster.position_of_meter == {"master": 3, "a": 1, "b": 1}
    assert roster.others == {3: (0,)}
    assert roster.position_of_child == {9: 2}


@pytest.mark.parametrize("taken", [slice(None), slice(1, 3), slice(3, 3)])
def test_strings_of_a_record_are_copied_whole(taken: slice) -> None:
    of_record = pa.array(["one", "two", "", "four"], pa.string())[taken]
    own = own_strings(of_record)
    own.validate(full=True)
    assert own.equals(of_record)
    theirs = {buffer.address for buffer in of_record.buffers() if buffer is not None}
    assert theirs.isdisjoint(buffer.address for buffer in own.buffers() if buffer is not None)
    with_null = pa.array(["one", None], pa.string())
    assert own_strings(with_null).equals(with_null)


def vars_of(member: Membership) -> list[object]:
    return [getattr(member, name) for name in Membership.__slots__]
