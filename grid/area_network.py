"""The low-voltage network of a transformer area (台区): a tree of lines from its busbar to the meters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Nodes of one area, the busbar among them.
MAX_NODES = 4_096


@dataclass(frozen=True, slots=True)
class AreaNetwork:
    """Lines of an area as columns. Node 0 is the low-voltage busbar of its transformer.

    Attributes
    ----------
    area
        Code of the area.
    parent
        Of each node the node nearer to the busbar, of a smaller number; −1 for the busbar.
    resistance_ohm, reactance_ohm
        Of the line from its parent to each node, of its whole length, in the positive sequence; 0 for the busbar.
    zero_resistance_ohm, zero_reactance_ohm
        The same in the zero sequence, with the way back through the neutral.
    meters, meter_node
        Codes of the meters and the node of each. A meter that isn't named counts as at the busbar.
    """

    area: str
    parent: tuple[int, ...]
    resistance_ohm: tuple[float, ...]
    reactance_ohm: tuple[float, ...]
    zero_resistance_ohm: tuple[float, ...]
    zero_reactance_ohm: tuple[float, ...]
    meters: tuple[str, ...]
    meter_node: tuple[int, ...]

    def __post_init__(self) -> None:
        nodes = len(self.parent)
        if not 1 <= nodes <= MAX_NODES:
            raise ValueError(f"network of {self.area}: {nodes} nodes, not 1 to {MAX_NODES}")
        if self.parent[0] != -1 or any(not 0 <= p < node for node, p in enumerate(self.parent[1:], start=1)):
            raise ValueError(f"network of {self.area}: node 0 is not the busbar, or a node stands before its parent")
        for name in ("resistance_ohm", "reactance_ohm", "zero_resistance_ohm", "zero_reactance_ohm"):
            values = getattr(self, name)
            if len(values) != nodes:
                raise ValueError(f"network of {self.area}: {len(values)} values of {name} for {nodes} nodes")
            if any(not (math.isfinite(value) and value >= 0) for value in values):
                raise ValueError(f"network of {self.area}: a value of {name} is negative or no number")
        if len(self.meter_node) != len(self.meters) or len(set(self.meters)) != len(self.meters):
            raise ValueError(f"network of {self.area}: meters aren't each named once with a node")
        if any(not 0 <= node < nodes for node in self.meter_node):
            raise ValueError(f"network of {self.area}: a meter stands at a node that isn't there")


@dataclass(frozen=True, slots=True, eq=False)
class NetworkPeriod:
    """An area's network over [from, to) as arrays of shape (nodes,); see `AreaNetwork`."""

    parent: NDArray[np.int64]
    resistance_ohm: NDArray[np.float64]
    reactance_ohm: NDArray[np.float64]
    zero_resistance_ohm: NDArray[np.float64]
    zero_reactance_ohm: NDArray[np.float64]
    node_of_meter: dict[str, int]
    valid_from_us: int
    valid_to_us: int

    def nodes_of(self, position_of_meter: Mapping[str, int], size: int) -> NDArray[np.int64]:
        """Node of each position of a roster, shape (size,); 0 for what isn't named."""
        nodes = np.zeros(size, np.int64)
        for meter, position in position_of_meter.items():
            nodes[position] = self.node_of_meter.get(meter, 0)
        return nodes
