"""Made-up places, streets and addresses. No word of them comes from a real register."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from twin.network import Network, Point, natural
from twin.sources.table import draws

_FIRST = (
    "Alder", "Amber", "Ash", "Aspen", "Birch", "Bramble", "Briar", "Cedar", "Cherry", "Chestnut", "Clover", "Copper",
    "Cypress", "Elder", "Elm", "Fern", "Flint", "Garnet", "Hawthorn", "Hazel", "Heather", "Holly", "Ivy", "Jasmine",
    "Juniper", "Larch", "Laurel", "Lavender", "Lilac", "Linden", "Magnolia", "Maple", "Marigold", "Mulberry", "Oak",
    "Olive", "Orchid", "Pine", "Plum", "Poplar", "Quince", "Rose", "Rowan", "Sage", "Spruce", "Sycamore", "Tulip",
    "Walnut", "Willow", "Yew",
)  # fmt: skip
_PLACE = (
    "Bank", "Common", "Corner", "Court", "Crossing", "Dale", "Estate", "Field", "Garden", "Green", "Grove", "Heath",
    "Hill", "Mead", "Park", "Quarter", "Ridge", "Village", "Wharf", "Yard",
)  # fmt: skip
_STREET = ("Avenue", "Close", "Drive", "Lane", "Path", "Road", "Row", "Street", "Terrace", "Walk", "Way")
_STATION = (
    "Northfield", "Southgate", "Eastbridge", "Westhaven", "Highmoor", "Lowford", "Newmill", "Oldchurch", "Longwater",
    "Redbank", "Whitecliff", "Blackwood", "Greenhithe", "Kingsmead", "Queensferry", "Millbrook", "Stonecross",
    "Fairview", "Harbourside", "Riverton",
)  # fmt: skip
_BUILDINGS_A_STREET = 20

#: What GIS writes instead of the second word.
SHORT = {
    "Avenue": "Av", "Close": "Cl", "Drive": "Dr", "Lane": "La", "Road": "Rd", "Street": "St", "Terrace": "Ter",
    "Court": "Ct", "Estate": "Est", "Garden": "Gdn", "Grove": "Gr", "Quarter": "Qtr", "Village": "Vlg",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Address:
    """Where a customer or generator is."""

    place: str
    street: str
    number: int
    unit: int
    """Dwelling in the building; 0 where it is the only one."""

    @property
    def postal(self) -> str:
        """As marketing writes it."""
        unit = f", unit {self.unit}" if self.unit else ""
        return f"{self.street} {self.number}{unit}, {self.place}"

    @property
    def mapped(self) -> str:
        """As GIS writes it."""
        unit = f"/{self.unit}" if self.unit else ""
        return f"{shortened(self.place)}: {self.number}{unit} {shortened(self.street)}"


def shortened(name: str) -> str:
    """A name with GIS's abbreviations."""
    return " ".join(SHORT.get(word, word) for word in name.split())


@lru_cache(maxsize=8)
def _pairs(seed: int, purpose: str, second: tuple[str, ...]) -> tuple[str, ...]:
    names = [f"{a} {b}" for a in _FIRST for b in second]
    order = np.argsort(draws(seed, purpose, names)[:, 0], kind="stable")
    return tuple(names[i] for i in order.tolist())


def place_name(seed: int, number: int) -> str:
    """Name of the place of that number; all are different."""
    pairs = _pairs(seed, "places", _PLACE)
    again, i = divmod(number, len(pairs))
    return f"{pairs[i]} {again + 1}" if again else pairs[i]


def street_name(seed: int, number: int) -> str:
    """Name of the street of that number; after 550 they come again, in other places."""
    pairs = _pairs(seed, "streets", _STREET)
    return pairs[number % len(pairs)]


def station_name(number: int) -> str:
    """Name of the substation of that number; all are different."""
    again, i = divmod(number, len(_STATION))
    return f"{_STATION[i]} {again + 1}" if again else _STATION[i]


def number_places(seed: int, codes: Sequence[str]) -> dict[str, int]:
    """Number of the place of each area."""
    order = np.argsort(draws(seed, "place", codes)[:, 0], kind="stable")
    return {codes[i]: rank for rank, i in enumerate(order.tolist())}


def find_addresses(network: Network, places: dict[str, int], seed: int) -> dict[str, Address]:
    """Address of each point, by its code.

    The points of one node share a building, the nodes of one area fill a few streets in the order of their names.
    """
    members: dict[int, list[Point]] = defaultdict(list)
    for point in network.points:
        members[point.area].append(point)
    addresses: dict[str, Address] = {}
    for area, points in members.items():
        if area >= 0:
            number = places[network.areas[area].code]
            addresses |= _in_area(network, points, number, seed)
            continue
        for point in points:
            number = places.get(point.code, len(places))
            addresses[point.code] = Address(place_name(seed, number), street_name(seed, number), 1 + number % 90, 0)
    return addresses


def _in_area(network: Network, points: list[Point], place: int, seed: int) -> dict[str, Address]:
    buildings: dict[int, list[Point]] = defaultdict(list)
    for point in points:
        buildings[point.node].append(point)
    name = place_name(seed, place)
    found = {}
    for i, node in enumerate(sorted(buildings, key=lambda n: natural(network.nodes[n]))):
        street, number = divmod(i, _BUILDINGS_A_STREET)
        customers = [p.code for p in buildings[node] if not p.generation]
        units = {code: k + 1 for k, code in enumerate(customers)} if len(customers) > 1 else {}
        for point in buildings[node]:
            found[point.code] = Address(
                name, street_name(seed, place * 7 + street), number + 1, units.get(point.code, 0)
            )
    return found
