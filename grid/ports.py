"""What the rooms ask of the grid model, as protocols; `store` implements them, `meterline.bootstrap` joins them."""

from __future__ import annotations

from typing import Protocol

from grid.model import UnitKind


class Directory(Protocol):
    """What ingest must know of the grid to tell a sender's own units from others'."""

    def unit_kind(self, unit: str) -> UnitKind | None:
        """Kind of the unit with code `unit`; None when no such unit is known."""

    def may_send(self, gateway: str, unit: str) -> bool:
        """Whether account `gateway` reads `unit`."""
