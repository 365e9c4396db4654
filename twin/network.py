"""The electrical network of the demonstration grid: SimBench's tables with closed switches contracted.

Only four medium-voltage grids of the data set carry their low-voltage grids in full; the others hold equivalents
(``…_eq``) and are left out. Everything is walked from the busbars, so what an open switch cuts off is not part of
it, and each piece belongs to the feeder that energises it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.network import Network as SwitchedNetwork
from twin.switching import FeederHeadLine, code_of, read_switching
from twin.tables import Tables

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


def natural(text: str) -> list[tuple[int, str]]:
    """Sort key under which 'Feeder10' follows 'Feeder9'."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", text) if part]


@dataclass(slots=True)
class _Edge:
    """A line or transformer between contracted nodes, before numbering."""

    kind: str
    row: int
    ends: tuple[str, str]
    feeder: str = ""
    area: str = ""


def read_network(folder: Path, areas: int | None = None) -> Network:
    """Read the demonstration grid from a SimBench network's folder.

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
    if areas is not None and areas < 1:
        raise ValueError(f"areas must be positive, not {areas}")
    tables = Tables(folder)
    sources = {
        tables.root(row["nodeLV"]): row["subnet"]
        for row in tables.transformer
        if row["voltLvl"] == "4" and row["subnet"] in GRIDS
    }
    owner, edges, heads = _walk(tables, sources)
    wanted = sorted((e for e in edges if e.kind == "transformer"), key=lambda e: (natural(e.feeder), natural(e.area)))
    wanted = wanted[:areas]
    area_index = {edge.area: i for i, edge in enumerate(wanted)}
    # A line that supplies nothing (a reserve cable to a switching station) is not a feeder.
    feeder_codes = sorted({edge.feeder for edge in wanted}, key=natural)
    feeder_index = {code: i for i, code in enumerate(feeder_codes)}
    kept = [
        edge
        for edge in edges
        if edge.feeder in feeder_index and (not edge.area or edge.area in area_index) and edge.kind == "line"
    ]
    used_grids = [grid for grid in GRIDS if any(code.startswith(grid) for code in feeder_codes)]
    numbers = _number_nodes(kept, wanted, {n: g for n, g in sources.items() if g in used_grids})
    points = _points(tables, owner, numbers, area_index, feeder_index, busbars=areas is None)
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
        switched=_switched(tables, owner, [*kept, *wanted], {code: heads[code] for code in feeder_codes}, points),
    )


def _walk(tables: Tables, sources: dict[str, str]) -> tuple[dict[str, tuple[str, str]], list[_Edge], dict[str, _Edge]]:
    """Owner (feeder, area) of each energised node, the energised edges from the busbars on, each feeder's head."""
    adjacent: dict[str, list[_Edge]] = defaultdict(list)
    for kind, table, columns, levels in (
        ("line", tables.line, ("nodeA", "nodeB"), "57"),
        ("transformer", tables.transformer, ("nodeHV", "nodeLV"), "6"),
    ):
        for i, row in enumerate(table):
            if row["voltLvl"] in levels:
                edge = _Edge(kind, i, (tables.root(row[columns[0]]), tables.root(row[columns[1]])))
                adjacent[edge.ends[0]].append(edge)
                adjacent[edge.ends[1]].append(edge)
    owner: dict[str, tuple[str, str]] = dict.fromkeys(sources, ("", ""))
    edges: list[_Edge] = []
    heads: dict[str, _Edge] = {}
    stack: list[tuple[str, int | None]] = [(name, None) for name in sources]
    while stack:
        node, came_by = stack.pop()
        feeder, area = owner[node]
        for edge in adjacent[node]:
            if id(edge) == came_by:
                continue
            far = edge.ends[1] if edge.ends[0] == node else edge.ends[0]
            if far in owner:
                raise ValueError(f"the grid is not radial: {far} is reached twice")
            edge.ends = (node, far)
            edge.feeder, edge.area = feeder, area
            if edge.kind == "transformer":
                edge.area = code_of(tables.transformer[edge.row]["subnet"])
            elif not feeder:
                edge.feeder = code_of(tables.line[edge.row]["subnet"])
                if edge.feeder in heads:
                    raise ValueError(f"feeder {edge.feeder} leaves a busbar twice")
                heads[edge.feeder] = edge
            owner[far] = (edge.feeder, edge.area)
            edges.append(edge)
            stack.append((far, id(edge)))
    return owner, edges, heads


def _number_nodes(lines: list[_Edge], transformers: list[_Edge], sources: dict[str, str]) -> dict[str, int]:
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
    tables: Tables, kept: list[_Edge], numbers: dict[str, int], areas: dict[str, int], feeders: dict[str, int]
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


def _area(tables: Tables, edge: _Edge, numbers: dict[str, int], feeders: dict[str, int]) -> Area:
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


def _feeder(tables: Tables, code: str, head: _Edge, kept: list[_Edge], sources: dict[str, str]) -> FeederLine:
    kind = tables.line[head.row]["type"]
    limit_a = next(row["iMax"] for row in tables.line_type if row["id"] == kind)
    position = next(i for i, edge in enumerate(kept) if edge is head)
    return FeederLine(code, sources[head.ends[0]], position, float(limit_a))


def _switched(
    tables: Tables,
    owner: dict[str, tuple[str, str]],
    edges: list[_Edge],
    heads: dict[str, _Edge],
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
        for row in (*tables.load, *tables.generation)
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


def _points(
    tables: Tables,
    owner: dict[str, tuple[str, str]],
    numbers: dict[str, int],
    areas: dict[str, int],
    feeders: dict[str, int],
    *,
    busbars: bool,
) -> tuple[Point, ...]:
    points = []
    for table, active, reactive in ((tables.load, "pLoad", "qLoad"), (tables.generation, "pRES", "qRES")):
        for row in table:
            if row["voltLvl"] not in "57" or row["subnet"].endswith("_eq"):
                continue
            name = tables.root(row["node"])
            feeder, area = owner.get(name, (None, ""))
            if name not in numbers or feeder is None or (area and area not in areas) or not (feeder or busbars):
                continue
            longitude_deg, latitude_deg = tables.place_of(row["node"])
            points.append(
                Point(
                    code=code_of(row["id"]),
                    node=numbers[name],
                    area=areas[area] if area else -1,
                    feeder=feeders[feeder] if feeder else -1,
                    grid=row["subnet"] if not area else "",
                    profile=row["profile"],
                    generation=table is tables.generation,
                    active_w=row[active] * 1e6,
                    reactive_var=row[reactive] * 1e6,
                    rating_va=row["sR"] * 1e6,
                    longitude_deg=longitude_deg,
                    latitude_deg=latitude_deg,
                )
            )
    by_feeder = list(feeders)
    points = [p if p.grid else replace(p, grid=by_feeder[p.feeder].split("_")[0]) for p in points]
    return tuple(sorted(points, key=lambda p: (p.area < 0, p.area, p.generation, natural(p.code))))
