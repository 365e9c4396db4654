"""Power flow of the demonstration grid by power-grid-model: voltages, flows and true losses.

Balanced: one phase stands for three. The kernels of Meterline have no part in this, so that what they compute can
be checked against it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from power_grid_model import CalculationMethod, ComponentType, PowerGridModel

from twin.components import Components
from twin.network import Network

#: Of the voltage, per unit, between two iterations; losses are then exact to some 1e-9.
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class Flows:
    """Mean powers and voltages of a batch of steps; the first axis is the step. Watts, but for voltages."""

    point_w: NDArray[np.float64]
    """Consumption of each point; a generator's is negative."""
    point_voltage: NDArray[np.float64]
    """Per unit of the node's rated voltage."""
    area_w: NDArray[np.float64]
    """Into each area at the low-voltage side of its transformer; negative under back-feed."""
    area_voltage: NDArray[np.float64]
    """At that side."""
    feeder_w: NDArray[np.float64]
    """Into each feeder at the busbar."""
    area_line_loss_w: NDArray[np.float64]
    area_transformer_loss_w: NDArray[np.float64]
    """Belongs to the feeder: the master meter stands at the low-voltage side."""
    feeder_line_loss_w: NDArray[np.float64]
    """Of medium-voltage lines alone."""


class Physics:
    """The network as a power-grid-model, built once and solved for batches of steps.

    Parameters
    ----------
    network
        Node, line, area and point positions of the results are its own.
    hidden_w
        Constant consumption at a node that no meter sees, by node position.
    threads
        Of a batch.
    """

    def __init__(self, network: Network, hidden_w: dict[int, float] | None = None, threads: int = 1) -> None:
        self.network = network
        self._threads = threads
        self._point_node = np.array([p.node for p in network.points], dtype=np.int64)
        self._hidden_w = np.zeros(len(network.nodes))
        for node, power_w in (hidden_w or {}).items():
            self._hidden_w[node] += power_w
        # The points of one node are one load to the solver.
        self._load_nodes = np.unique(np.concatenate([self._point_node, np.flatnonzero(self._hidden_w)]))
        self._load_of_point = np.searchsorted(self._load_nodes, self._point_node)
        self._low_nodes = np.array([a.low_node for a in network.areas], dtype=np.int64)
        self._heads = np.array([f.head for f in network.feeders], dtype=np.int64)
        components = Components(network, self._load_nodes)
        self._first_load_id = components.first_load
        self._model = PowerGridModel(components.tables, system_frequency=50.0)

    def solve(self, active_w: NDArray[np.float64], reactive_var: NDArray[np.float64]) -> Flows:
        """Solve a batch of steps.

        Parameters
        ----------
        active_w, reactive_var
            Consumption of each point, generation negative; shape (steps, points).
        """
        network, lines, areas = self.network, self.network.lines, len(self.network.areas)
        steps = len(active_w)
        loads = len(self._load_nodes)
        active = self._by_load(active_w) + self._hidden_w[self._load_nodes]
        result = self._model.calculate_power_flow(
            calculation_method=CalculationMethod.newton_raphson,
            error_tolerance=_TOLERANCE,
            max_iterations=100,
            update_data={
                ComponentType.sym_load: {
                    "id": np.broadcast_to(
                        self._first_load_id + np.arange(loads, dtype=np.int32), (steps, loads)
                    ).copy(),
                    "p_specified": active,
                    "q_specified": self._by_load(reactive_var),
                }
            },
            output_component_types={
                ComponentType.node: {"u_pu"},
                ComponentType.line: {"p_from", "p_to"},
                ComponentType.transformer: {"p_from", "p_to"},
            },
            threading=self._threads,
        )
        node, line = result[ComponentType.node], result[ComponentType.line]
        transformer = result[ComponentType.transformer]
        line_loss = line["p_from"] + line["p_to"]
        return Flows(
            point_w=active_w,
            point_voltage=node["u_pu"][:, self._point_node],
            area_w=-transformer["p_to"],
            area_voltage=node["u_pu"][:, self._low_nodes],
            feeder_w=line["p_from"][:, self._heads],
            area_line_loss_w=sum_by(line_loss, lines.area, areas),
            area_transformer_loss_w=transformer["p_from"] + transformer["p_to"],
            feeder_line_loss_w=sum_by(line_loss, lines.feeder, len(network.feeders)),
        )

    def _by_load(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        return sum_by(power, self._load_of_point, len(self._load_nodes))


def sum_by(values: NDArray[np.float64], group: NDArray[np.integer], groups: int) -> NDArray[np.float64]:
    """Sum the columns of `values` by group; a negative group is left out. Shape (steps, groups)."""
    member = group >= 0
    return np.array([np.bincount(group[member], row[member], minlength=groups) for row in values])
