"""Power flow of a city by power-grid-model, each phase by itself: voltages, flows and true losses by load step.

Single-phase customers load their own phase, transformers are delta–star with an earthed star point, and the neutral
is in the zero-sequence impedance of the lines. The kernels of Meterline have no part in this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from power_grid_model import CalculationMethod, ComponentType, DatasetType, PowerGridModel, initialize_array
from power_grid_model.errors import PowerGridBatchError  # type: ignore[attr-defined]  # re-exported without a word

from twin.components import MOST_TAPS, Components
from twin.network import Network
from twin.physics import sum_by
from twin.topology import NoSolutionError, Owners, Topology, owners

#: Of the voltage, per unit, between two iterations; energies then close to some 1e-9.
_TOLERANCE = 1e-9
#: Steps that are solved together; bounds memory.
_BATCH = 16
THREE_PHASE = 3


@dataclass(frozen=True, slots=True, eq=False)
class StepFlows:
    """Powers in watts and voltages per unit, by step; what is dark has zeros.

    Shapes (steps, points), (steps, areas), (steps, feeders), and (…, 3) by phase.
    """

    point_w: NDArray[np.float64]
    """Through the point's connection, hidden consumption left out; a generator's is negative."""
    point_voltage: NDArray[np.float64]
    """Of the point's phase; of a three-phase point the mean of the three."""
    point_phase_voltage: NDArray[np.float64]
    """Of the three phases of the node."""
    area_phase_w: NDArray[np.float64]
    """Into each area at the low-voltage side of its transformer."""
    area_phase_voltage: NDArray[np.float64]
    area_phase_var: NDArray[np.float64]
    """Reactive power into each area, by phase."""
    area_sold_w: NDArray[np.float64]
    """What its customers take, without hidden consumption."""
    area_generation_w: NDArray[np.float64]
    area_hidden_w: NDArray[np.float64]
    area_line_loss_w: NDArray[np.float64]
    area_transformer_loss_w: NDArray[np.float64]
    feeder_w: NDArray[np.float64]
    """At the busbar."""
    feeder_var: NDArray[np.float64]
    feeder_current_a: NDArray[np.float64]
    """Mean of the phases."""
    feeder_loss_w: NDArray[np.float64]
    """Of its medium-voltage lines and the transformers that it supplies at the time."""
    feeder_sold_w: NDArray[np.float64]
    """What areas and dedicated customers that it supplies at the time take from it."""
    feeder_generation_w: NDArray[np.float64]
    """What they give to it."""

    @classmethod
    def joined(cls, parts: Sequence[StepFlows]) -> StepFlows:
        """Successive steps as one."""
        if len(parts) == 1:
            return parts[0]
        columns = zip(*([getattr(part, name) for name in cls.__dataclass_fields__] for part in parts), strict=True)
        return cls(*map(np.concatenate, columns))

    @property
    def area_voltage(self) -> NDArray[np.float64]:
        """At each area's busbar, mean of the phases."""
        return np.asarray(self.area_phase_voltage.mean(axis=2))

    @property
    def area_var(self) -> NDArray[np.float64]:
        """Reactive power into each area, all phases."""
        return np.asarray(self.area_phase_var.sum(axis=2))

    @property
    def area_w(self) -> NDArray[np.float64]:
        """Into each area, all phases."""
        return np.asarray(self.area_phase_w.sum(axis=2))


class Unbalanced:
    """A network as an unbalanced model, built once and solved for batches of steps.

    Parameters
    ----------
    phase
        Of each point: 0, 1, 2, or `THREE_PHASE`.
    zero_sequence
        Resistance, reactance (ohms) and capacitance (farads) of the lines in the zero sequence.
    ties
        Nodes that each normally open tie can join, shape (ties, 2).
    threads
        Of a batch.
    """

    def __init__(
        self,
        network: Network,
        phase: NDArray[np.int8],
        zero_sequence: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
        ties: NDArray[np.int64] | None = None,
        threads: int = 1,
    ) -> None:
        self.network = network
        self._threads = threads
        self._ties = np.empty((0, 2), np.int64) if ties is None else ties
        node = np.array([p.node for p in network.points], np.int64)
        self._load_nodes, load = np.unique(node, return_inverse=True)
        self._point_node, self._phase = node, phase
        # Where each point's power goes, as rows of (load, phase): a third to each phase of a three-phase point.
        three = phase == THREE_PHASE
        points = np.arange(len(node))
        self._from_point = np.concatenate([points[~three], np.repeat(points[three], 3)])
        to_phase = np.concatenate([phase[~three], np.tile(np.arange(3), int(three.sum()))])
        self._share = np.where(three, 1 / 3, 1.0)[self._from_point]
        self._to = load[self._from_point] * 3 + to_phase
        self._components = c = Components(network, self._load_nodes, ComponentType.asym_load, self._ties)
        line = c.tables[ComponentType.line]
        line["r0"], line["x0"], line["c0"] = zero_sequence
        line["tan0"] = 0.0
        self._model = PowerGridModel(c.tables, system_frequency=50.0)
        self._topology = Topology()
        self._owners = owners(network, self._topology, self._ties)
        self._area = np.array([p.area for p in network.points], np.int64)
        self._area_load = np.full(len(self._load_nodes), -1, np.int64)
        self._area_load[load] = self._area
        self._low_nodes = np.array([a.low_node for a in network.areas], np.int64)
        self._heads = np.array([f.head for f in network.feeders], np.int64)

    @property
    def owners(self) -> Owners:
        """Who supplies what as things stand."""
        return self._owners

    def switch(self, topology: Topology) -> None:
        """Put the grid into a state.

        Raises
        ------
        ValueError
            When the grid isn't radial then.
        """
        if topology == self._topology:
            return
        self._owners = owners(self.network, topology, self._ties)
        c, network = self._components, self.network
        line = initialize_array(DatasetType.update, ComponentType.line, len(network.lines.start))
        line["id"] = c.first_line + np.arange(len(line))
        line["from_status"] = line["to_status"] = 1
        dark = [network.feeders[f].head for f in topology.dark_feeders]
        line["from_status"][[*topology.open_lines, *dark]] = 0
        transformer = initialize_array(DatasetType.update, ComponentType.transformer, len(network.areas))
        transformer["id"] = c.first_transformer + np.arange(len(transformer))
        transformer["from_status"] = transformer["to_status"] = 1
        transformer["from_status"][list(topology.dark_areas)] = 0
        transformer["to_status"][list(topology.dark_areas)] = 0
        transformer["tap_pos"] = 0
        for area, steps in topology.taps:
            transformer["tap_pos"][area] = min(max(steps, -MOST_TAPS), MOST_TAPS)
        update = {ComponentType.line: line, ComponentType.transformer: transformer}
        if len(self._ties):
            link = initialize_array(DatasetType.update, ComponentType.link, len(self._ties))
            link["id"] = c.first_link + np.arange(len(link))
            link["from_status"] = link["to_status"] = 0
            link["from_status"][list(topology.closed_ties)] = 1
            link["to_status"][list(topology.closed_ties)] = 1
            update[ComponentType.link] = link
        self._model.update(update_data=update)
        self._topology = topology

    def solve(
        self,
        active_w: NDArray[np.float64],
        reactive_var: NDArray[np.float64],
        hidden: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None,
    ) -> StepFlows:
        """Solve steps in the state that the grid is in.

        Parameters
        ----------
        active_w, reactive_var
            Consumption of each point, generation negative; shape (steps, points). What is dark must be 0.
        hidden
            Points at whose node, on whose phase, more is drawn that no meter there sees; watts, shape (steps, k).
        """
        parts = [
            self._solve(
                active_w[first : first + _BATCH],
                reactive_var[first : first + _BATCH],
                None if hidden is None else (hidden[0], hidden[1][first : first + _BATCH]),
            )
            for first in range(0, len(active_w), _BATCH)
        ]
        return StepFlows.joined(parts)

    def _solve(
        self,
        active_w: NDArray[np.float64],
        reactive_var: NDArray[np.float64],
        hidden: tuple[NDArray[np.int64], NDArray[np.float64]] | None,
    ) -> StepFlows:
        hidden_w = np.zeros_like(active_w)
        if hidden is not None:
            for point, power_w in zip(hidden[0].tolist(), hidden[1].T, strict=True):
                hidden_w[:, point] += power_w
        result = self._calculated(self._by_phase(active_w + hidden_w), self._by_phase(reactive_var))
        line = result[ComponentType.line]
        none = np.zeros((len(active_w), 0, 3))
        # A grid without areas has no transformers, and no result of them.
        transformer = result.get(ComponentType.transformer, {"p_from": none, "p_to": none, "q_to": none})
        voltage = result[ComponentType.node]["u_pu"]
        network, own = self.network, self._owners
        areas, feeders = len(network.areas), len(network.feeders)
        line_loss = (line["p_from"] + line["p_to"]).sum(axis=2)
        transformer_loss = (transformer["p_from"] + transformer["p_to"]).sum(axis=2)
        area_phase_w = -transformer["p_to"]
        area_w = area_phase_w.sum(axis=2)
        taken, given = np.maximum(active_w, 0), np.maximum(-active_w, 0)
        heads = self._heads
        return StepFlows(
            point_w=active_w,
            point_voltage=self._point_voltage(voltage),
            point_phase_voltage=voltage[:, self._point_node],
            area_phase_w=area_phase_w,
            area_phase_voltage=voltage[:, self._low_nodes],
            area_phase_var=-transformer["q_to"],
            area_sold_w=sum_by(taken, self._area, areas),
            area_generation_w=sum_by(given, self._area, areas),
            area_hidden_w=sum_by(hidden_w, self._area, areas),
            area_line_loss_w=sum_by(line_loss, network.lines.area, areas),
            area_transformer_loss_w=transformer_loss,
            feeder_w=line["p_from"][:, heads].sum(axis=2),
            feeder_var=line["q_from"][:, heads].sum(axis=2),
            feeder_current_a=line["i_from"][:, heads].mean(axis=2),
            feeder_loss_w=sum_by(line_loss, own.of_line, feeders) + sum_by(transformer_loss, own.of_area, feeders),
            feeder_sold_w=sum_by(np.maximum(area_w, 0), own.of_area, feeders) + sum_by(taken, own.of_point, feeders),
            feeder_generation_w=sum_by(np.maximum(-area_w, 0), own.of_area, feeders)
            + sum_by(given, own.of_point, feeders),
        )

    def _by_phase(self, power: NDArray[np.float64]) -> NDArray[np.float64]:
        columns = power[:, self._from_point] * self._share
        size = 3 * len(self._load_nodes)
        return np.array([np.bincount(self._to, row, minlength=size) for row in columns]).reshape(len(power), -1, 3)

    def _calculated(self, active: NDArray[np.float64], reactive: NDArray[np.float64]) -> dict[ComponentType, Any]:
        loads = initialize_array(DatasetType.update, ComponentType.asym_load, active.shape[:2])
        loads["id"] = self._components.first_load + np.arange(active.shape[1])
        loads["p_specified"], loads["q_specified"] = active, reactive
        try:
            return self._model.calculate_power_flow(
                symmetric=False,
                calculation_method=CalculationMethod.iterative_current,
                error_tolerance=_TOLERANCE,
                max_iterations=200,
                update_data={ComponentType.asym_load: loads},
                output_component_types={
                    ComponentType.node: {"u_pu"},
                    ComponentType.line: {"p_from", "p_to", "q_from", "i_from"},
                    ComponentType.transformer: {"p_from", "p_to", "q_to"},
                },
                threading=self._threads,
            )
        except PowerGridBatchError as error:
            raise NoSolutionError("the grid can't carry what is drawn: its power flow has no solution") from error

    def _point_voltage(self, voltage: NDArray[np.float64]) -> NDArray[np.float64]:
        three = self._phase == THREE_PHASE
        of_phase = voltage[:, self._point_node, np.where(three, 0, self._phase)]
        of_phase[:, three] = voltage[:, self._point_node[three]].mean(axis=2)
        return np.asarray(of_phase)
