"""A feeder's power flow by backward and forward sweep in plain Python, straight from SimBench's files.

Imports nothing of the project, and reads, contracts and walks the tables by itself, so that it can tell whether the
twin does it right. One phase stands for three; a line is a π, a transformer a π on its low-voltage side with half of
the magnetising branch at each end (as power-grid-model has it).
"""

from __future__ import annotations

import csv
import json
import math
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

Row = dict[str, str]


@dataclass
class Branch:
    """From a bus to the one above it. Per unit of its own voltage level, on a base of 1 VA."""

    above: str
    area: str  # "" for a medium-voltage line
    transformer: bool
    impedance: complex
    shunt: complex  # admittance at each end


@dataclass
class Figures:
    """Energy of a day, watt-hours."""

    supply_wh: float = 0.0
    sold_wh: float = 0.0
    generation_wh: float = 0.0
    line_loss_wh: float = 0.0
    transformer_loss_wh: float = 0.0


@dataclass
class FeederDay:
    """Result of `solve_day`."""

    feeder: Figures = field(default_factory=Figures)  # sold and generation: of its medium-voltage customers
    areas: dict[str, Figures] = field(default_factory=lambda: defaultdict(Figures))


def rows(folder: Path, name: str) -> list[Row]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=";"))


def profile_rows(folder: Path, first: int, count: int) -> list[Row]:
    """Rows of both profile tables together, `first` counted from 0."""
    found: list[Row] = [{} for _ in range(count)]
    for name in ("LoadProfile", "RESProfile"):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            for i, row in enumerate(csv.DictReader(file, delimiter=";")):
                if first <= i < first + count:
                    found[i - first].update(row)
                elif i >= first + count:
                    break
    return found


def solve_day(folder: Path, feeder: str, first_row: int, steps: int = 96, step_hours: float = 0.25) -> FeederDay:
    """Solve one feeder, named as in the subnet of its first line, over a day of profile rows."""
    substation = feeder.split("_", maxsplit=1)[0]
    nodes = {row["id"]: row for row in rows(folder, "Node")}
    root = contract(rows(folder, "Switch"))
    branches, order, busbar = build(folder, feeder, substation, nodes, root)
    loads = injections(folder, branches, root)
    held = next(float(n["vmSetp"]) for n in nodes.values() if n["vmSetp"] != "NULL" and root(n["id"]) == busbar)

    day = FeederDay()
    voltage = {bus: complex(held) for bus in (busbar, *order)}
    for profile in profile_rows(folder, first_row, steps):
        power: dict[str, complex] = defaultdict(complex)
        for bus, kind, rated, name in loads:
            if kind == "load":
                s = complex(rated.real * float(profile[f"{name}_pload"]), rated.imag * float(profile[f"{name}_qload"]))
            else:
                s = -rated * float(profile[name])
            power[bus] += s
            figures = day.areas[branches[bus].area] if branches[bus].area else day.feeder
            energy_wh = s.real * step_hours
            if energy_wh > 0:
                figures.sold_wh += energy_wh
            else:
                figures.generation_wh -= energy_wh
        into = sweep(branches, order, power, voltage)
        for bus in order:
            branch = branches[bus]
            sent = voltage[branch.above] * into[bus][0].conjugate()
            received = voltage[bus] * into[bus][1].conjugate()
            loss_wh = (sent - received).real * step_hours
            figures = day.areas[branch.area] if branch.area else day.feeder
            if branch.transformer:
                figures.transformer_loss_wh += loss_wh
                figures.supply_wh += received.real * step_hours
            else:
                figures.line_loss_wh += loss_wh
            if branch.above == busbar:
                day.feeder.supply_wh += sent.real * step_hours
    return day


def sweep(
    branches: dict[str, Branch], order: list[str], power: dict[str, complex], voltage: dict[str, complex]
) -> dict[str, tuple[complex, complex]]:
    """Iterate currents up and voltages down until nothing moves; current (at the upper end, at the bus) of each."""
    currents: dict[str, tuple[complex, complex]] = {}
    for _ in range(60):
        drawn: dict[str, complex] = defaultdict(complex)
        series: dict[str, complex] = {}
        for bus in reversed(order):
            branch = branches[bus]
            at_bus = drawn[bus] + (power[bus] / voltage[bus]).conjugate()
            series[bus] = at_bus + voltage[bus] * branch.shunt
            at_top = series[bus] + voltage[branch.above] * branch.shunt
            drawn[branch.above] += at_top
            currents[bus] = (at_top, at_bus)
        moved = 0.0
        for bus in order:
            branch = branches[bus]
            new = voltage[branch.above] - branch.impedance * series[bus]
            moved = max(moved, abs(new - voltage[bus]))
            voltage[bus] = new
        if moved < 1e-13:
            return currents
    raise RuntimeError("the sweep doesn't settle")


def contract(switches: list[Row]) -> Callable[[str], str]:
    """Function that names the bus a node belongs to, with closed switches gone."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.get(node, node) != node:
            node = parent[node]
        return node

    for switch in switches:
        if switch["cond"] == "1":
            a, b = root(switch["nodeA"]), root(switch["nodeB"])
            if a != b:
                parent[a] = b
    return root


def build(
    folder: Path, feeder: str, substation: str, nodes: dict[str, Row], root: Callable[[str], str]
) -> tuple[dict[str, Branch], list[str], str]:
    """Branches by their lower bus, buses from the busbar down, and the busbar."""
    kinds = {row["id"]: row for row in rows(folder, "LineType")}
    plates = {row["id"]: row for row in rows(folder, "TransformerType")}
    near: dict[str, list[tuple[str, Row]]] = defaultdict(list)
    for line in rows(folder, "Line"):
        if line["voltLvl"] in ("5", "7"):
            a, b = root(line["nodeA"]), root(line["nodeB"])
            near[a].append((b, line))
            near[b].append((a, line))
    busbars = set()
    for transformer in rows(folder, "Transformer"):
        if transformer["voltLvl"] == "4" and transformer["subnet"] == substation:
            busbars.add(root(transformer["nodeLV"]))
        elif transformer["voltLvl"] == "6":
            near[root(transformer["nodeHV"])].append((root(transformer["nodeLV"]), transformer))
    busbar, first, head = next(
        (bus, far, line) for bus in busbars for far, line in near[bus] if line["subnet"] == feeder
    )
    branches: dict[str, Branch] = {}
    order: list[str] = []
    ahead = [(first, busbar, head, "")]
    while ahead:
        bus, above, row, area = ahead.pop()
        if "nodeLV" in row:
            area = row["subnet"]
        branches[bus] = make_branch(row, above, area, nodes[above], kinds, plates)
        order.append(bus)
        ahead += [(far, bus, other, area) for far, other in near[bus] if far != above]
    return branches, order, busbar


def make_branch(row: Row, above: str, area: str, node: Row, kinds: dict[str, Row], plates: dict[str, Row]) -> Branch:
    if "nodeLV" in row:
        plate = plates[row["type"]]
        rating_va = float(plate["sR"]) * 1e6
        z = float(plate["vmImp"]) / 100 / rating_va
        r = float(plate["pCu"]) * 1e3 / rating_va**2
        g = float(plate["pFe"]) * 1e3
        y = float(plate["iNoLoad"]) / 100 * rating_va
        impedance = complex(r, math.sqrt(z * z - r * r))
        shunt = complex(g, -math.sqrt(max(0.0, y * y - g * g)))
        return Branch(above, area, transformer=True, impedance=impedance, shunt=shunt / 2)
    kind = kinds[row["type"]]
    base_ohm = (float(node["vmR"]) * 1e3) ** 2
    length_km = float(row["length"])
    impedance = complex(float(kind["r"]), float(kind["x"])) * length_km / base_ohm
    shunt = 1j * float(kind["b"]) * 1e-6 * length_km * base_ohm
    return Branch(above, area, transformer=False, impedance=impedance, shunt=shunt / 2)


def injections(
    folder: Path, branches: dict[str, Branch], root: Callable[[str], str]
) -> list[tuple[str, str, complex, str]]:
    """(bus, kind, rated VA, profile) of all consumers and generators but the equivalents."""
    found = []
    for name, kind, p, q in (("Load", "load", "pLoad", "qLoad"), ("RES", "generation", "pRES", "qRES")):
        for row in rows(folder, name):
            bus = root(row["node"])
            if bus in branches and row["voltLvl"] in ("5", "7") and not row["subnet"].endswith("_eq"):
                found.append((bus, kind, complex(float(row[p]), float(row[q])) * 1e6, row["profile"]))
    return found


if __name__ == "__main__":
    # python -m tests.naive.radial FOLDER FEEDER FIRST_ROW: figures of that day, as JSON
    result = solve_day(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    figures = {"feeder": asdict(result.feeder), "areas": {a: asdict(f) for a, f in sorted(result.areas.items())}}
    json.dump(figures, sys.stdout, indent=2)
