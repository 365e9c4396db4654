"""What the rooms ask of the store, as protocols; `store` implements them, `meterline.bootstrap` joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Protocol

from grid.model import UnitKind
from grid.numbering import Gap, Numbering
from grid.places import UnitPlaces


class Directory(Protocol):
    """What ingest must know of the grid to tell a sender's own units from others'."""

    @property
    def zone(self) -> tzinfo:
        """The utility's time zone, in which its days begin."""

    def unit_kind(self, unit: str) -> UnitKind | None:
        """Kind of the unit with code `unit`; None when no such unit is known."""

    def may_send(self, gateway: str, unit: str) -> bool:
        """Whether account `gateway` reads `unit`."""


class GapLedger(Protocol):
    """Where ingest keeps what it has heard of each gateway's numbers."""

    def load(self) -> tuple[list[Numbering], list[Gap]]:
        """The current numbering of each gateway, and their open gaps."""

    def save(self, numberings: Sequence[Numbering], gaps: Sequence[Gap]) -> bool:
        """Keep these, all or none; may be repeated. False while the store can't be used: to be tried again."""


class Places(Protocol):
    """What ingest must know of the grid to find the unit of a reading that names its meter alone."""

    @property
    def zone(self) -> tzinfo:
        """The utility's time zone, in which its days begin."""

    @property
    def units(self) -> Mapping[str, UnitPlaces]:
        """Stays of meters by the code of their unit, as last read."""

    def refresh(self) -> bool:
        """Read what has changed; whether anything has. False while the store can't be used: to be tried again."""
