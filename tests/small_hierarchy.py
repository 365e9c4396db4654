"""A region with a feeder and areas, as the units that steps see."""

from __future__ import annotations

from collections.abc import Sequence

from grid.memberships import Membership
from grid.model import Role, UnitKind
from grid.roster import BEGINNING_US, END_US, Parentage, UnitView
from store.replaying import Hierarchy

NOON_US = 1_780_315_200_000_000
SECOND_US = 1_000_000


def _unit(unit_id: int, code: str, kind: UnitKind, members: Sequence[str | int], parents: dict[int, str]) -> UnitView:
    """The first meter stands at the unit's gateway, the others are customers'."""
    rosters = []
    for position, member in enumerate(members):
        meter, child = (member, None) if isinstance(member, str) else (None, member)
        role = Role.UNIT if meter is None else Role.GATEWAY if position == 0 else Role.CUSTOMER
        multiplier = 10 if role is Role.GATEWAY else 1
        rosters.append(Membership(position, meter, child, int(role), multiplier, 1.0, BEGINNING_US, END_US))
    above = tuple(Parentage(p, parent, BEGINNING_US, END_US) for p, parent in parents.items())
    return UnitView(unit_id, code, kind, tuple(rosters), above)


#: A region with a feeder, on it two areas, and an area of its own.
VIEWS = {
    view.unit: view
    for view in (
        _unit(1, "R", UnitKind.REGION, ["R-head", 2, 5], {}),
        _unit(2, "F", UnitKind.FEEDER, ["F-head", 3, 4], {1: "R"}),
        _unit(3, "A", UnitKind.AREA, ["A-head", "A-1", "A-2"], {2: "F"}),
        _unit(4, "B", UnitKind.AREA, ["B-head", "B-1"], {2: "F"}),
        _unit(5, "C", UnitKind.AREA, ["C-head", "C-1"], {1: "R"}),
    )
}
METERS = {code: [m.meter for m in view.members if m.meter is not None] for code, view in VIEWS.items()}
HIERARCHY = Hierarchy({v.unit_id: v.unit for v in VIEWS.values()}, [(2, 1), (5, 1), (3, 2), (4, 2)])
