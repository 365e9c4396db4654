"""The grid model at present, as plain rows: what it calls things, and what it says of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class AreaView(NamedTuple):
    """A transformer area or a dedicated customer."""

    code: str
    kind: str
    feeder: str | None
    rating_va: float | None
    no_load_loss_w: float | None
    load_loss_w: float | None
    longitude_deg: float | None
    latitude_deg: float | None
    node: str | None


class MeterView(NamedTuple):
    """A meter; `units` holds every unit of which it is a member."""

    code: str
    unit: str | None
    role: int
    multiplier: float
    accuracy_class: float
    account: str | None


class AccountView(NamedTuple):
    """A marketing account."""

    code: str
    tariff_class: str
    contract_w: float
    status: str


class EdgeView(NamedTuple):
    """A segment or a switch between two nodes."""

    code: str
    from_node: str
    to_node: str
    length_m: float | None = None
    resistance_ohm: float | None = None
    reactance_ohm: float | None = None
    normal: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class GridView:
    """The model at present.

    Attributes
    ----------
    feeders
        Substation by code of the feeder.
    meters, accounts
        By code.
    breakers
        The switch at each feeder's head.
    """

    feeders: Mapping[str, str] = field(default_factory=dict)
    areas: Sequence[AreaView] = ()
    meters: Mapping[str, MeterView] = field(default_factory=dict)
    accounts: Mapping[str, AccountView] = field(default_factory=dict)
    segments: Sequence[EdgeView] = ()
    switches: Sequence[EdgeView] = ()
    breakers: Mapping[str, str] = field(default_factory=dict)
