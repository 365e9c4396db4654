"""The tables of a SimBench network, and which of its nodes closed switches make one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa

from twin.simbench import read_table

_TEXT, _NUMBER = pa.string(), pa.float64()
_MEDIUM_VOLTAGE = "5"


class Tables:
    """The tables as read, and the union-find of the nodes that closed switches join."""

    def __init__(self, folder: Path) -> None:
        self.node = read_rows(folder, "Node", id=_TEXT, vmSetp=_NUMBER, vmR=_NUMBER, coordID=_TEXT, voltLvl=_TEXT)
        self.switch = read_rows(
            folder, "Switch", id=_TEXT, nodeA=_TEXT, nodeB=_TEXT, type=_TEXT, cond=_TEXT, voltLvl=_TEXT
        )
        self.line = read_rows(
            folder, "Line", id=_TEXT, nodeA=_TEXT, nodeB=_TEXT, type=_TEXT, length=_NUMBER, subnet=_TEXT, voltLvl=_TEXT
        )
        self.line_type = read_rows(folder, "LineType", id=_TEXT, r=_NUMBER, x=_NUMBER, b=_NUMBER, iMax=_NUMBER)
        self.transformer = read_rows(
            folder, "Transformer", nodeHV=_TEXT, nodeLV=_TEXT, type=_TEXT, subnet=_TEXT, voltLvl=_TEXT
        )
        self.transformer_type = read_rows(
            folder, "TransformerType", id=_TEXT, sR=_NUMBER, vmHV=_NUMBER, vmLV=_NUMBER, va0=_NUMBER,
            vmImp=_NUMBER, pCu=_NUMBER, pFe=_NUMBER, iNoLoad=_NUMBER,
        )  # fmt: skip
        self.load = read_rows(
            folder, "Load", id=_TEXT, node=_TEXT, profile=_TEXT, pLoad=_NUMBER, qLoad=_NUMBER, sR=_NUMBER,
            subnet=_TEXT, voltLvl=_TEXT,
        )  # fmt: skip
        self.generation = read_rows(
            folder, "RES", id=_TEXT, node=_TEXT, profile=_TEXT, pRES=_NUMBER, qRES=_NUMBER, sR=_NUMBER,
            subnet=_TEXT, voltLvl=_TEXT,
        )  # fmt: skip
        self.storage = (
            read_rows(
                folder, "Storage", id=_TEXT, node=_TEXT, profile=_TEXT, pStor=_NUMBER, qStor=_NUMBER, sR=_NUMBER,
                subnet=_TEXT, voltLvl=_TEXT,
            ) if (folder / "Storage.csv").is_file() else []
        )  # fmt: skip
        coordinates = read_rows(folder, "Coordinates", id=_TEXT, x=_NUMBER, y=_NUMBER)
        self.place = {row["id"]: (row["x"], row["y"]) for row in coordinates}
        self.by_node = {row["id"]: row for row in self.node}
        # Scenarios 1 and 2 have lines between medium-voltage nodes that are marked as high-voltage ones.
        for row in self.line:
            row["voltLvl"] = self.by_node[row["nodeA"]]["voltLvl"]
        self._parent: dict[str, str] = {}
        for row in self.switch:
            if row["cond"] == "1":
                self._join(row["nodeA"], row["nodeB"])

    def add_node(self, name: str, like: str, setpoint: float | None = None) -> None:
        """A made node at the place and of the voltage of another."""
        row = {**self.by_node[like], "id": name, "vmSetp": setpoint}
        self.node.append(row)
        self.by_node[name] = row

    def add_breaker(self, name: str, ends: tuple[str, str]) -> None:
        """A made medium-voltage breaker, closed."""
        row = {"id": name, "nodeA": ends[0], "nodeB": ends[1], "type": "CB", "cond": "1", "voltLvl": _MEDIUM_VOLTAGE}
        self.switch.append(row)
        self._join(*ends)

    def add_breakers(self, busbars: Collection[str]) -> None:
        """Give lines that end at a busbar itself a breaker: those that scenarios 1 and 2 add have no switches."""
        for row in self.line:
            for column in ("nodeA", "nodeB"):
                busbar = row[column]
                if busbar in busbars and row["voltLvl"] == _MEDIUM_VOLTAGE:
                    row[column] = f"{busbar}_{row['id']}"
                    self.add_node(row[column], busbar)
                    self.add_breaker(f"{row['id']} CB", (busbar, row[column]))

    def _join(self, a: str, b: str) -> None:
        # The shorter name wins: auxiliary nodes are named after the bus they are joined to.
        first, second = sorted((self.root(a), self.root(b)), key=lambda name: (len(name), name))
        self._parent[second] = first

    def root(self, node: str) -> str:
        """The node that stands for all that closed switches join to `node`."""
        path = []
        while (parent := self._parent.get(node, node)) != node:
            path.append(node)
            node = parent
        for step in path:
            self._parent[step] = node
        return node

    def place_of(self, node: str) -> tuple[float, float]:
        """Longitude and latitude of a node, in degrees."""
        longitude, latitude = self.place[self.by_node[node]["coordID"]]
        return float(longitude), float(latitude)


def read_rows(folder: Path, name: str, **types: pa.DataType) -> list[dict[str, Any]]:
    """Rows of a table; see `twin.simbench.read_table`."""
    columns = read_table(folder, name, **types)
    keys = list(columns)
    return [dict(zip(keys, values, strict=True)) for values in zip(*columns.values(), strict=True)]
