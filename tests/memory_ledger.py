"""A ledger of gaps in memory, which can be away."""

from __future__ import annotations

from collections.abc import Sequence

from grid.numbering import Gap, Numbering


class MemoryLedger:
    """Implements `grid.ports.GapLedger`."""

    def __init__(self) -> None:
        self.numberings: dict[str, Numbering] = {}
        self.gaps: dict[tuple[str, int, int], Gap] = {}
        self.away = False
        self.writes = 0

    def load(self) -> tuple[list[Numbering], list[Gap]]:
        return list(self.numberings.values()), [gap for gap in self.gaps.values() if gap.missing]

    def save(self, numberings: Sequence[Numbering], gaps: Sequence[Gap]) -> bool:
        if self.away:
            return False
        self.writes += 1
        self.numberings |= {n.gateway: n for n in numberings}
        self.gaps |= {(g.gateway, g.numbering, g.first): g for g in gaps}
        return True

    def missing(self) -> set[int]:
        """Numbers of the current numberings that are missing, of all gateways together."""
        return {
            number
            for gap in self.gaps.values()
            if gap.numbering == self.numberings[gap.gateway].numbering
            for first, last in gap.missing
            for number in range(first, last + 1)
        }
