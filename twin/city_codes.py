"""Cities by code: the demonstration grid, SimBench's three scenarios, and the single grids cut out of them.

A code is SimBench's own, such as ``1-MVLV-rural-all-0-sw``: version, voltage levels, type, low-voltage grids,
scenario, switches. The single grids are parts of the complete data of their scenario, which the wheel holds; which
subnet a code means follows the data set's documentation (Meinecke et al., "SimBench – A Benchmark Dataset of Electric
Power Systems", Energies 13 (2020) 3290).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from twin.network import GRIDS, Network, busbars, cut_network, read_network
from twin.simbench import NETWORKS, data_folder
from twin.switching import code_of
from twin.tables import Tables

DEMONSTRATION = "demonstration"

#: Medium-voltage grid by the type in a code, with the low-voltage grids that SimBench lists for single selection.
_MEDIUM = {
    "rural": ("MV1.101", ("1.108", "2.107", "4.101")),
    "semiurb": ("MV2.101", ("3.202", "4.201", "5.220")),
    "urban": ("MV3.101", ("5.303", "6.305", "6.309")),
    "comm": ("MV4.101", ("3.403", "4.416", "5.401")),
}
_LOW = {
    "rural1": "LV1.101",
    "rural2": "LV2.101",
    "rural3": "LV3.101",
    "semiurb4": "LV4.101",
    "semiurb5": "LV5.201",
    "urban6": "LV6.201",
}
_LEVELS = ("MV", "LV", "MVLV")

#: The made line before a single low-voltage grid: so short that it loses nothing to speak of.
_LEAD_KM = 0.01
_LEAD_TYPE = {20.0: "NA2XS2Y 1x70 RM/25 12/20 kV", 10.0: "NA2XS2Y 1x150 RM/25 6/10 kV"}
#: Of the made busbar, per unit: as all busbars of the data set.
_SETPOINT = 1.025


class UnknownCityError(ValueError):
    """No city has this code, or what it names isn't in the data."""


@dataclass(frozen=True, slots=True)
class City:
    """What a code names.

    Attributes
    ----------
    scenario
        0 = present, 1 = near future, 2 = far future.
    grids
        Medium-voltage grids; empty for a single low-voltage grid.
    low
        Low-voltage grids in full; None for all that belong to `grids`.
    """

    code: str
    scenario: int
    grids: tuple[str, ...]
    low: frozenset[str] | None

    @property
    def folder(self) -> Path:
        """Folder of its tables and profiles.

        Raises
        ------
        twin.simbench.DataMissingError
            When the data are not installed.
        """
        return data_folder(NETWORKS[self.scenario])


def available_codes() -> tuple[str, ...]:
    """All codes; besides these, any low-voltage grid of a medium-voltage one may stand in a ``1-MVLV-…`` code."""
    codes = [DEMONSTRATION, *NETWORKS, *(str(scenario) for scenario in range(len(NETWORKS)))]
    for scenario in range(len(NETWORKS)):
        codes += [f"1-LV-{kind}--{scenario}-sw" for kind in _LOW]
        for kind, (_, grids) in _MEDIUM.items():
            codes.append(f"1-MV-{kind}--{scenario}-sw")
            codes += [f"1-MVLV-{kind}-{grid}-{scenario}-sw" for grid in ("all", *grids)]
    return tuple(codes)


def parse_city(code: str) -> City:
    """What a code names.

    Raises
    ------
    UnknownCityError
        With the possible codes, or why this one isn't.
    """
    if code == DEMONSTRATION:
        return City(code, 0, GRIDS, None)
    if code in ("0", "1", "2"):
        return City(code, int(code), GRIDS, None)
    if code in NETWORKS:
        return City(code, NETWORKS.index(code), GRIDS, None)
    match = re.fullmatch(r"1-([A-Z]+)-(\w+)-([\w.]*)-([012])-(sw|no_sw)", code)
    if match is None:
        raise UnknownCityError(f"no city {code!r}: {_possible()}")
    levels, kind, part, scenario, switches = match.groups()
    if switches == "no_sw":
        raise UnknownCityError(f"{code}: grids without switches aren't available, since line cut-overs need them")
    if levels in ("HV", "EHV", "HVMV", "EHVHV", "EHVHVMVLV"):
        raise UnknownCityError(f"{code}: meshed grids of 110 kV and above aren't available; {_possible()}")
    if levels == "LV" and kind in _LOW and not part:
        return City(code, int(scenario), (), frozenset({_LOW[kind]}))
    if levels == "MV" and kind in _MEDIUM and not part:
        return City(code, int(scenario), (_MEDIUM[kind][0],), frozenset())
    if levels == "MVLV" and kind in _MEDIUM and part:
        return City(code, int(scenario), (_MEDIUM[kind][0],), None if part == "all" else frozenset({f"LV{part}"}))
    raise UnknownCityError(f"no city {code!r}: {_possible()}")


def read_city(code: str, areas: int | None = None) -> Network:
    """Read the network of a city.

    Of a medium-voltage grid, a low-voltage grid that isn't in full is the equivalent that the tables have for it: a
    dedicated customer, a generator and, in scenarios 1 and 2, a storage. A single low-voltage grid is an area behind
    its own transformer, with a busbar and a feeder made for it.

    Parameters
    ----------
    code
        One of `available_codes`, or with any other low-voltage grid of a ``1-MVLV-…`` code.
    areas
        As for `twin.network.read_network`.

    Raises
    ------
    UnknownCityError
        When there is no such city.
    twin.simbench.DataMissingError
        When the data are not installed.
    ValueError
        When `areas` is not positive, or is given for a grid that has no areas.
    """
    city = parse_city(code)
    if city.grids == GRIDS:
        return read_network(city.folder, areas)
    tables = Tables(city.folder)
    if not city.grids:
        (low,) = sorted(city.low or ())
        return cut_network(tables, _lead_to(tables, low), areas, city.low)
    for low in city.low or ():
        _check_is_fed(tables, city, low)
    return cut_network(tables, busbars(tables, city.grids), areas, city.low)


def _possible() -> str:
    kinds, low = "|".join(_MEDIUM), "|".join(_LOW)
    return (
        f"there are {DEMONSTRATION}, 0, 1, 2, 1-complete_data-mixed-all-S-sw, 1-LV-({low})--S-sw, "
        f"1-MV-({kinds})--S-sw, 1-MVLV-({kinds})-all-S-sw and 1-MVLV-({kinds})-N.NNN-S-sw with the scenario S = 0, 1 "
        "or 2; grids of 110 kV and above (HV, EHV) and those without switches (no_sw) are not available"
    )


def _check_is_fed(tables: Tables, city: City, low: str) -> None:
    (grid,) = city.grids
    fed = [r["subnet"] for r in tables.transformer if r["voltLvl"] == "6" and r["nodeHV"].startswith(f"{grid} ")]
    if low not in fed:
        listed = ", ".join(sorted(name.removeprefix("LV") for name in fed))
        raise UnknownCityError(f"{city.code}: {grid} feeds no low-voltage grid {low}; it feeds {listed}")


def _lead_to(tables: Tables, low: str) -> dict[str, str]:
    """Cut off all but one low-voltage grid, with its transformer, and make a busbar, breaker and line before it."""
    transformer = next(row for row in tables.transformer if row["voltLvl"] == "6" and row["subnet"] == low)
    high = transformer["nodeHV"]
    bus, grid = tables.root(high), high.split(" ")[0]
    tables.line = [row for row in tables.line if row["voltLvl"] == "7"]
    tables.switch = [row for row in tables.switch if row["voltLvl"] != "5" or high in (row["nodeA"], row["nodeB"])]
    for table in (tables.load, tables.generation, tables.storage):
        table[:] = [row for row in table if row["subnet"] == low]
    busbar, behind = f"{grid} {low} busbar", f"{grid} {low} busbar_1"
    tables.add_node(busbar, bus, _SETPOINT)
    tables.add_node(behind, bus)
    tables.add_breaker(f"{grid} {low} CB", (busbar, behind))
    tables.line.append(
        {
            "id": f"{grid} {low} Line",
            "nodeA": behind,
            "nodeB": bus,
            "type": _LEAD_TYPE[tables.by_node[bus]["vmR"]],
            "length": _LEAD_KM,
            "subnet": f"{grid}_{code_of(low)}",
            "voltLvl": "5",
        }
    )
    return {tables.root(busbar): grid}
