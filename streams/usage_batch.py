"""What one look of the live rules says of findings, gathered and written by few statements.

There may be one of each meter, where the accounts of a whole area aren't known yet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from grid.finding import Finding
from store.connection import Connection
from store.findings import add_findings
from store.usage_findings import NewFinding, add_usage_findings, end_findings, link_alerts
from store.usage_live import HeldLive, LiveUnit
from streams.usage_findings import finding_for_alerts, over_for_alerts


@dataclass(frozen=True, slots=True)
class _New:
    unit: str
    finding: NewFinding
    is_told: bool


class FindingBatch:
    """Findings of some units that hold, what begins and what ends; nothing is stored before `write`.

    Parameters
    ----------
    held
        What holds in the store.
    """

    def __init__(self, held: Iterable[HeldLive] = ()) -> None:
        #: By unit: there may be thousands, and each unit asks for its own.
        self._held: defaultdict[int, dict[tuple[str | None, str], HeldLive]] = defaultdict(dict)
        for one in held:
            self._held[one.unit_id].setdefault((one.meter, one.kind), one)
        self._new: dict[tuple[int, str | None, str], _New] = {}
        #: Begun and over within this look.
        self._passed: list[_New] = []
        self._ends: dict[int, datetime] = {}
        self._over: list[tuple[int, Finding]] = []
        self.begun = self.ended = 0

    def of_rules(self, unit_id: int) -> list[HeldLive]:
        """What the store says of a unit by live rules, and hasn't ended."""
        return [one for one in self._held[unit_id].values() if one.source == "live"]

    def holds(self, unit_id: int, meter: str | None, kind: str) -> bool:
        """Whether this is said, by whomever."""
        return (meter, kind) in self._held[unit_id] or (unit_id, meter, kind) in self._new

    def begin(self, unit: str, finding: NewFinding, *, is_told: bool = True) -> None:
        """A finding begins; where it is said already, nothing does. `is_told`: alerts learns of it."""
        if not self.holds(finding.unit_id, finding.meter, finding.kind):
            self._new[finding.unit_id, finding.meter, finding.kind] = _New(unit, finding, is_told)
            self.begun += 1

    def end_rule(self, unit: LiveUnit, meter: str | None, kind: str, at: datetime) -> None:
        """What a live rule has said is over; what others say stays."""
        of_unit = self._held[unit.unit_id]
        new, held = self._new.pop((unit.unit_id, meter, kind), None), of_unit.get((meter, kind))
        if new is not None:
            values = replace(new.finding.values, ended_at=at)
            self._passed.append(replace(new, finding=replace(new.finding, values=values)))
            self.ended += 1
        elif held is not None and held.source == "live":
            del of_unit[meter, kind]
            self.end(held.finding_id, unit.unit, meter, kind, held.opened_at, at)

    def end(
        self,
        finding_id: int,
        unit: str,
        meter: str | None,
        kind: str,
        opened_at: datetime,
        at: datetime,
        *,
        is_told: bool = True,
    ) -> None:
        """A stored finding is over."""
        self._ends[finding_id] = at
        self.ended += 1
        if is_told:
            self._over.append((finding_id, over_for_alerts(finding_id, unit, meter, kind, opened_at, at)))

    def write(self, connection: Connection) -> None:
        """Store all, and owe it to alerts, inside the caller's transaction."""
        end_findings(connection, self._ends)
        new = [*self._passed, *self._new.values()]
        numbers = add_usage_findings(connection, [each.finding for each in new])
        told = list(self._over)
        for number, each in zip(numbers, new, strict=True):
            if each.is_told:
                found = each.finding
                told.append((number, finding_for_alerts(number, each.unit, found.meter, found.kind, found.values)))
        add_findings(connection, (finding for _, finding in told))
        link_alerts(connection, sorted(number for number, _ in told))
