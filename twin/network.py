"""The electrical network of the demonstration grid: SimBench's tables with closed switches contracted.

Only four medium-voltage grids of the data set carry their low-voltage grids in full; the others hold equivalents
(``…_eq``) and are left out. Everything is walked from the busbars, so what an open switch cuts off is not part of
it, and each piece belongs to the feeder that energises it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.network import Network as SwitchedNetwork
from twin.simbench import generation_profile, storage_profile
from twin.switching import FeederHeadLine, Row, code_of, read_switching
from twin.tables import Tables
from twin.ties import Section, Tie, find_sections, find_ties
from twin.walk import Edge, walk

#: Medium-voltage grids with all of their 412 low-voltage areas.
GRIDS = ("MV1.101", "MV2.101", "MV3.101", "MV4.101")
HIGH_VOLTAGE_V = 110_000

_FREQUENCY_HZ = 50.0
_MEDIUM_VOLTAGE = "5"


@dataclass(frozen=True, slots=True)
class TransformerData:
    """Rating plate of a distribution transformer."""

    rating_va: float
    high_voltage_v: float
    low_voltage_v: float
    short_circuit_voltage: float
    """A fraction of the rated voltage."""
    load_loss_w: float
    no_load_loss_w: float
    no_load_current: float
    """A fraction of the rated current."""
    clock: int


@dataclass(frozen=True, slots=True)
class Area:
    """A low-voltage grid behind one transformer."""

    code: str
    feeder: int
    high_node: int
    low_node: int
    transformer: TransformerData
    longitude_deg: float
    latitude_deg: float


@dataclass(frozen=True, slots=True)
class FeederLine:
    """A medium-voltage line that leaves a busbar and supplies something."""

    code: str
    grid: str
    head: int
    """Its first line section; that section's `from` end is at the busbar."""
    current_limit_a: float


@dataclass(frozen=True, slots=True)
class Point:
    """One consumer or generator of the data set."""

    code: str
    node: int
    area: int
    """-1 for a medium-voltage customer."""
    feeder: int
    """-1 on the busbar."""
    grid: str
    profile: str
    generation: bool
    active_w: float
    reactive_var: float
    rating_va: float
    longitude_deg: float
    latitude_deg: float


@dataclass(frozen=True, slots=True)
class Lines:
    """Line sections, `from` nearer to the busbar. `area` or `feeder` is the owner, the other is -1."""

    start: NDArray[np.int32]
    end: NDArray[np.int32]
    resistance_ohm: NDArray[np.float64]
    reactance_ohm: NDArray[np.float64]
    capacitance_f: NDArray[np.float64]
    area: NDArray[np.int32]
    feeder: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Network:
    """The contracted network; nodes, areas, feeders and lines are referred to by position."""

    nodes: tuple[str, ...]
    node_voltage_v: NDArray[np.float64]
    sources: tuple[tuple[int, float], ...]
    """Busbar nodes with the voltage that is held there, per unit."""
    lines: Lines
    areas: tuple[Area, ...]
    feeders: tuple[FeederLine, ...]
    points: tuple[Point, ...]
    medium_voltage_v: dict[str, int]
    """By grid."""
    switched: SwitchedNetwork
    """The medium-voltage lines with all their switches, as the records have them: not contracted."""
    ties: tuple[Tie, ...] = ()
    """Open switches of `switched` that join two nodes when they close."""
    sections: dict[str, Section] = field(default_factory=dict)
    """By the code of a switch of `switched`: the line end that it opens."""


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key under which 'Feeder10' follows 'Feeder9'."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text) if part]


def read_network(folder: Path, areas: int | None = None) -> Network:
    """Read the four medium-voltage grids with areas from a SimBench network's folder.

    Parameters
    ----------
    folder
        From `twin.simbench.data_folder`.
    areas
        Only the first so many transformer areas, in the order of feeders, with the whole medium-voltage lines of
        the feeders that supply them; then customers on a busbar are left out. None for all.

    Raises
    ------
    ValueError
        When the grid is not radial or `areas` is not positive.
    """
    tables = Tables(folder)
    return cut_network(tables, busbars(tables, GRIDS), areas)


def busbars(tables: Tables, grids: Collection[str]) -> dict[str, str]:
    """The busbars that transformers from high voltage feed, by contracted node, with their medium-voltage grid."""
    rows = (row for row in tables.transformer if row["voltLvl"] == "4" and row["subnet"] in grids)
    return {tables.root(row["nodeLV"]): row["subnet"] for row in rows}


def cut_network(
    tables: Tables, sources: dict[str, str], areas: int | None = None, low: Collection[str] | None = None
) -> Network:
    """Cut what some busbars supply out of the tables.

    Parameters
    ----------
    sources
        From `busbars`.
    areas
        As for `read_network`.
    low
        Low-voltage grids that are areas; each other one is the equivalent at its node that the tables have for it:
        a dedicated customer, a generator and a storage. None for all, without equivalents.

    Raises
    ------
    ValueError
        When the grid is not radial or `areas` is not positive, or is given where there are no areas.
    """
    if areas is not None and areas < 1:
        raise ValueError(f"areas must be positive, not {areas}")
    tables.add_breakers(sources)
    walked = walk(tables, sources, low)
    owner, heads = walked.owner, walked.heads
    wanted = [edge for edge in walked.edges if edge.kind == "transformer"]
    wanted = sorted(wanted, key=lambda e: (natural(e.feeder), natural(e.area)))[:areas]
    if areas and not wanted:
        raise ValueError("this grid has no transformer areas to choose from")
    area_index = {edge.area: i for i, edge in enumerate(wanted)}
    taken = _taken(tables, owner, low)
    # A line that supplies nothing (a reserve cable to a switching station) is not a feeder.
    supplying = {edge.feeder for edge in wanted}
    if areas is None:
        supplying |= {owner[tables.root(t.row["node"])][0] for t in taken}
    feeder_codes = sorted(supplying - {""}, key=natural)
    feeder_index = {code: i for i, code in enumerate(feeder_codes)}
    kept = [
        edge
        for edge in walked.edges
        if edge.feeder in feeder_index and (not edge.area or edge.area in area_index) and edge.kind == "line"
    ]
    used_grids = {sources[heads[code].ends[0]] for code in feeder_codes}
    numbers = _number_nodes(kept, wanted, {n: g for n, g in sources.items() if g in used_grids})
    points = _points(tables, taken, owner, numbers, area_index, feeder_index, on_busbars=areas is None)
    switched = _switched(tables, owner, [*kept, *wanted], {code: heads[code] for code in feeder_codes}, points)
    return Network(
        nodes=tuple(numbers),
        node_voltage_v=np.array([tables.by_node[name]["vmR"] * 1e3 for name in numbers]),
        sources=tuple((numbers[name], _setpoint(tables, name)) for name in sources if name in numbers),
        lines=_lines(tables, kept, numbers, area_index, feeder_index),
        areas=tuple(_area(tables, edge, numbers, feeder_index) for edge in wanted),
        feeders=tuple(_feeder(tables, code, heads[code], kept, sources) for code in feeder_codes),
        points=points,
        medium_voltage_v={
            grid: int(tables.by_node[name]["vmR"] * 1e3) for name, grid in sources.items() if grid in used_grids
        },
        switched=switched,
        ties=find_ties(tables, {s.code for s in switched.switches}, numbers, owner, feeder_index),
        sections=find_sections(tables, kept),
    )


def _number_nodes(lines: list[Edge], transformers: list[Edge], sources: dict[str, str]) -> dict[str, int]:
    names = dict.fromkeys(sources)
    for edge in (*lines, *transformers):
        names.update(dict.fromkeys(edge.ends))
    return {name: i for i, name in enumerate(names)}


def _setpoint(tables: Tables, source: str) -> float:
    for row in tables.node:
        if row["vmSetp"] is not None and tables.root(row["id"]) == source:
            return float(row["vmSetp"])
    return 1.0


def _lines(
    tables: Tables, kept: list[Edge], numbers: dict[str, int], areas: dict[str, int], feeders: dict[str, int]
) -> Lines:
    kinds = {row["id"]: row for row in tables.line_type}
    rows = [tables.line[edge.row] for edge in kept]
    length_km: NDArray[np.float64] = np.array([row["length"] for row in rows], dtype=np.float64)

    def by_length(column: str) -> NDArray[np.float64]:
        return np.array([kinds[row["type"]][column] for row in rows], dtype=np.float64) * length_km

    return Lines(
        start=np.array([numbers[edge.ends[0]] for edge in kept], dtype=np.int32),
        end=np.array([numbers[edge.ends[1]] for edge in kept], dtype=np.int32),
        resistance_ohm=by_length("r"),
        reactance_ohm=by_length("x"),
        capacitance_f=by_length("b") * 1e-6 / (2 * np.pi * _FREQUENCY_HZ),
        area=np.array([areas[edge.area] if edge.area else -1 for edge in kept], dtype=np.int32),
        feeder=np.array([-1 if edge.area else feeders[edge.feeder] for edge in kept], dtype=np.int32),
    )


def _area(tables: Tables, edge: Edge, numbers: dict[str, int], feeders: dict[str, int]) -> Area:
    row = tables.transformer[edge.row]
    plate = next(kind for kind in tables.transformer_type if kind["id"] == row["type"])
    longitude_deg, latitude_deg = tables.place_of(row["nodeLV"])
    return Area(
        code=edge.area,
        feeder=feeders[edge.feeder],
        high_node=numbers[edge.ends[0]],
        low_node=numbers[edge.ends[1]],
        transformer=TransformerData(
            rating_va=plate["sR"] * 1e6,
            high_voltage_v=plate["vmHV"] * 1e3,
            low_voltage_v=plate["vmLV"] * 1e3,
            short_circuit_voltage=plate["vmImp"] / 100,
            load_loss_w=plate["pCu"] * 1e3,
            no_load_loss_w=plate["pFe"] * 1e3,
            no_load_current=plate["iNoLoad"] / 100,
            clock=round(plate["va0"] / 30),
        ),
        longitude_deg=longitude_deg,
        latitude_deg=latitude_deg,
    )


def _feeder(tables: Tables, code: str, head: Edge, kept: list[Edge], sources: dict[str, str]) -> FeederLine:
    kind = tables.line[head.row]["type"]
    limit_a = next(row["iMax"] for row in tables.line_type if row["id"] == kind)
    position = next(i for i, edge in enumerate(kept) if edge is head)
    return FeederLine(code, sources[head.ends[0]], position, float(limit_a))


def _switched(
    tables: Tables,
    owner: dict[str, tuple[str, str]],
    edges: list[Edge],
    heads: dict[str, Edge],
    points: tuple[Point, ...],
) -> SwitchedNetwork:
    feeder_of = {}
    for row in tables.node:
        if row["voltLvl"] != _MEDIUM_VOLTAGE:
            continue
        feeder, area = owner.get(tables.root(row["id"]), ("", ""))
        if feeder in heads and not area:
            feeder_of[row["id"]] = feeder
    head_lines = []
    for code, edge in heads.items():
        ends = (tables.line[edge.row]["nodeA"], tables.line[edge.row]["nodeB"])
        head_lines.append(FeederHeadLine(code, next(end for end in ends if tables.root(end) == edge.ends[0])))
    node_of = {
        code_of(row["id"]): row["node"]
        for row in (*tables.load, *tables.generation, *tables.storage)
        if row["voltLvl"] == _MEDIUM_VOLTAGE
    }
    connections = [(e.area, tables.transformer[e.row]["nodeHV"]) for e in edges if e.kind == "transformer"]
    connections += [(p.code, node_of[p.code]) for p in points if p.area < 0 and p.feeder >= 0]
    return read_switching(
        feeder_of,
        [(tables.line[e.row], e.feeder) for e in edges if e.kind == "line" and not e.area],
        tables.line_type,
        tables.switch,
        head_lines,
        connections,
    )


@dataclass(frozen=True, slots=True)
class _Taken:
    """A row of a consumer, generator or storage; powers in MW as the table has them, but never negative."""

    row: Row
    generation: bool
    profile: str
    active: float
    reactive: float


def _taken(tables: Tables, owner: Mapping[str, tuple[str, str]], low: Collection[str] | None) -> list[_Taken]:
    """The rows whose node is energised, without the equivalents of what is there in full."""
    rows = [_Taken(r, False, r["profile"], r["pLoad"], r["qLoad"]) for r in tables.load]
    rows += [_Taken(r, True, generation_profile(r["profile"]), r["pRES"], r["qRES"]) for r in tables.generation]
    # What the tables call a storage is photovoltaics with a battery behind it: its profile only ever feeds in.
    rows += [_Taken(r, True, storage_profile(r["profile"]), -r["pStor"], -r["qStor"]) for r in tables.storage]
    return [
        taken
        for taken in rows
        if taken.row["voltLvl"] in "57"
        and not _in_full(taken.row["subnet"], low)
        and tables.root(taken.row["node"]) in owner
    ]


def _in_full(subnet: str, low: Collection[str] | None) -> bool:
    """Whether it is the equivalent of a grid that is there itself."""
    parts = subnet.split("_")
    return parts[-1] == "eq" and (low is None or parts[1] in low)


def _points(
    tables: Tables,
    taken: Iterable[_Taken],
    owner: Mapping[str, tuple[str, str]],
    numbers: Mapping[str, int],
    areas: Mapping[str, int],
    feeders: Mapping[str, int],
    *,
    on_busbars: bool,
) -> tuple[Point, ...]:
    points = []
    by_feeder = list(feeders)
    for take in taken:
        row = take.row
        name = tables.root(row["node"])
        feeder, area = owner[name]
        if name not in numbers or (area and area not in areas) or not (feeder or on_busbars):
            continue
        longitude_deg, latitude_deg = tables.place_of(row["node"])
        points.append(
            Point(
                code=code_of(row["id"]),
                node=numbers[name],
                area=areas[area] if area else -1,
                feeder=feeders[feeder] if feeder else -1,
                grid=(by_feeder[feeders[feeder]] if area else row["subnet"]).split("_")[0],
                profile=take.profile,
                generation=take.generation,
                active_w=take.active * 1e6,
                reactive_var=take.reactive * 1e6,
                rating_va=row["sR"] * 1e6,
                longitude_deg=longitude_deg,
                latitude_deg=latitude_deg,
            )
        )
    return tuple(sorted(points, key=lambda p: (p.area < 0, p.area, p.generation, natural(p.code))))
