"""A utility of any size, as its grid model and as extracts of four systems that contradict each other here and there.

Far quicker to make than a city of the twin, and without its physics: marketing, PMS, GIS and the head-end, with names
after the rules of the default mapping.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grid.model import Account, Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind
from sync.naming import distance, skeleton

_OF_AREA = 90
_OF_FEEDER = 30
_OF_STATION = 8
_RATING_KVA = 400
_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aeiou"
#: Letters by which the skeletons of two stations differ at least.
_APART = 3


@dataclass(frozen=True, slots=True)
class Utility:
    """What was made.

    Attributes
    ----------
    faults
        Kind of conflict, and the asset number of the meter that it is about.
    """

    model: GridModel
    faults: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Customer:
    number: int
    area: int
    street: str
    house: int
    capacity_kva: float

    @property
    def account(self) -> str:
        return str(4_000_000_000 + self.number)

    @property
    def asset(self) -> str:
        return str(310_000_000_000 + self.number)


def make_utility(folder: Path, customers: int, seed: int, rate: float) -> Utility:
    """Write the extracts into `folder`, a folder a system; `rate` of the customers get each kind of fault."""
    draw = random.Random(seed)  # noqa: S311  # made-up data
    areas = -(-customers // _OF_AREA)
    feeders = -(-areas // _OF_FEEDER)
    stations = _stations(-(-feeders // _OF_STATION), draw)
    places = _words(areas, draw)
    streets = _words(200, draw)
    listed = [
        _Customer(n, n // _OF_AREA, streets[(n // _OF_AREA * 7 + n % 5) % 200], n % _OF_AREA + 1, 3 + n % 9)
        for n in range(customers)
    ]
    chosen = draw.sample(range(customers), 4 * round(customers * rate))
    kinds = ("relation_differs", "field_differs", "missing", "orphan")
    faults = {number: kinds[i % 4] for i, number in enumerate(chosen)}
    _marketing(folder / "marketing", stations, places, feeders, listed, faults)
    _pms(folder / "pms", stations, places, feeders)
    _gis(folder / "gis", stations, places, listed, faults)
    _table(folder / "headend", "meters", ("meter_code", "asset_number"), ((f"M{c.number}", c.asset) for c in listed))
    model = _model(stations, places, feeders, listed)
    return Utility(model, frozenset((kind, listed[number].asset) for number, kind in faults.items()))


def _words(count: int, draw: random.Random) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        letters = (draw.choice(_CONSONANTS) + draw.choice(_VOWELS) for _ in range(4))
        found["".join(letters).capitalize()] = None
    return list(found)


def _stations(count: int, draw: random.Random) -> list[str]:
    """Names that aren't taken for each other's misspelling."""
    found: list[str] = []
    while len(found) < count:
        name = "".join(draw.choice(_CONSONANTS) + draw.choice(_VOWELS) for _ in range(5)).capitalize()
        if all(distance(skeleton(name), skeleton(other)) >= _APART for other in found):
            found.append(name)
    return found


def _table(folder: Path, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _marketing(
    folder: Path,
    stations: Sequence[str],
    places: Sequence[str],
    feeders: int,
    listed: Sequence[_Customer],
    faults: dict[int, str],
) -> None:
    lines = (
        (f"L{f}", f"{_station(stations, f)} line {_number(f):02}", f"{_station(stations, f)} substation")
        for f in range(feeders)
    )
    _table(folder, "lines", ("line_number", "name", "substation_name"), lines)
    areas = (
        (1_200_000_000 + a, f"{place} public transformer area", "public", f"L{a // _OF_FEEDER}", _RATING_KVA)
        for a, place in enumerate(places)
    )
    _table(folder, "areas", ("area_number", "name", "kind", "line_number", "rating_kva"), areas)
    customers = (
        (c.account, f"N{c.number}", f"{c.street} {c.house}, {places[c.area]}", "101", c.capacity_kva, "10")
        for c in listed
    )
    header = ("account_number", "customer_name", "address", "tariff_code", "contract_kva", "status")
    _table(folder, "customers", header, customers)
    meters = (
        (
            c.asset,
            f"9{c.account}" if faults.get(c.number) == "orphan" else c.account,
            1_200_000_000 + c.area,
            "",
            "1/1",
            "1/1",
            "2.0",
        )
        for c in listed
    )
    of_meters = (
        "asset_number", "account_number", "area_number", "line_number", "ct_ratio", "pt_ratio", "accuracy_class",
    )  # fmt: skip
    _table(folder, "meters", of_meters, meters)


def _pms(folder: Path, stations: Sequence[str], places: Sequence[str], feeders: int) -> None:
    substations = ((f"SUB{s}", f"110 kV {name} transformer station") for s, name in enumerate(stations))
    _table(folder, "substations", ("equipment_id", "name"), substations)
    lines = (
        (f"FDR{f}", f"20 kV {_station(stations, f)} #{_number(f)} line", f"SUB{f // _OF_STATION}")
        for f in range(feeders)
    )
    _table(folder, "feeders", ("equipment_id", "name", "substation_id"), lines)
    transformers = (
        (f"TRF{a}", _transformer(stations, a, place), f"FDR{a // _OF_FEEDER}", f"{place} TA", _RATING_KVA, 0.46, 4.6)
        for a, place in enumerate(places)
    )
    header = (
        "equipment_id", "name", "feeder_id", "area_name", "rating_kva", "no_load_loss_kw", "load_loss_kw",
    )  # fmt: skip
    _table(folder, "transformers", header, transformers)


def _transformer(stations: Sequence[str], area: int, place: str) -> str:
    feeder = area // _OF_FEEDER
    return f"20 kV {_station(stations, feeder)} #{_number(feeder)} line, {place} #1 transformer"


def _gis(
    folder: Path, stations: Sequence[str], places: Sequence[str], listed: Sequence[_Customer], faults: dict[int, str]
) -> None:
    transformers = (
        (
            f"T{a}",
            _position(a, 0),
            {
                "name": f"{place.upper()} PT",
                "line_name": f"{_station(stations, a // _OF_FEEDER).upper()}-{_number(a // _OF_FEEDER)}",
                "rating_kva": float(_RATING_KVA),
            },
        )
        for a, place in enumerate(places)
    )
    _features(folder, "transformers", transformers)
    _features(folder, "meters", _gis_meters(places, listed, faults))


def _gis_meters(
    places: Sequence[str], listed: Sequence[_Customer], faults: dict[int, str]
) -> Iterator[tuple[str, tuple[float, float], dict[str, object]]]:
    for c in listed:
        fault = faults.get(c.number)
        if fault == "missing":
            continue
        area = (c.area + 1) % len(places) if fault == "relation_differs" else c.area
        said = {
            "asset_number": c.asset,
            "transformer_id": f"T{area}",
            "address": f"{places[c.area]}: {c.house} {c.street}",
            "capacity_kva": c.capacity_kva * (2 if fault == "field_differs" else 1),
        }
        yield f"G{c.number}", _position(c.area, c.house), said


def _features(folder: Path, name: str, rows: Iterable[tuple[str, tuple[float, float], dict[str, object]]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.geojson").open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [\n')
        for i, (key, place, said) in enumerate(rows):
            feature = {
                "type": "Feature",
                "id": key,
                "geometry": {"type": "Point", "coordinates": place},
                "properties": said,
            }
            file.write(("" if i == 0 else ",\n") + json.dumps(feature))
        file.write("\n]}\n")


def _model(stations: Sequence[str], places: Sequence[str], feeders: int, listed: Sequence[_Customer]) -> GridModel:
    areas = tuple(
        TransformerArea(
            f"A{a}", place, UnitKind.AREA, "headend", f"F{a // _OF_FEEDER}", _RATING_KVA * 1000, 460.0, 4600.0,
            *_position(a, 0),
        )
        for a, place in enumerate(places)
    )  # fmt: skip
    meters = tuple(
        Meter(f"M{c.number}", f"A{c.area}", Role.CUSTOMER, accuracy_class=2.0, account=f"account-{c.number}")
        for c in listed
    )
    return GridModel(
        tuple(Substation(f"S{s}", name, 110_000, 20_000) for s, name in enumerate(stations)),
        tuple(Feeder(f"F{f}", f"{_station(stations, f)} {_number(f)}", f"S{f // _OF_STATION}") for f in range(feeders)),
        areas,
        meters,
        tuple(Account(f"account-{c.number}", "household", round(c.capacity_kva * 1000)) for c in listed),
        {f"F{f}": "rtu" for f in range(feeders)},
    )


def _station(stations: Sequence[str], feeder: int) -> str:
    return stations[feeder // _OF_STATION]


def _number(feeder: int) -> int:
    return feeder % _OF_STATION + 1


def _position(area: int, place: int) -> tuple[float, float]:
    """Areas stand on a raster of a hundredth of a degree, customers beside them."""
    return round(100 + area % 200 / 100 + place * 1e-5, 6), round(30 + area // 200 / 100 + place * 1e-5, 6)
