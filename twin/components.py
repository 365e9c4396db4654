"""The network as power-grid-model's tables, for one phase that stands for three or for each phase by itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from power_grid_model import BranchSide, ComponentType, DatasetType, LoadGenType, WindingType, initialize_array

from twin.network import Network

#: Short-circuit power behind a busbar: so large that the busbar is at its set point.
_SOURCE_VA = 1e13
#: A step of a tap, per unit: the finest by which a transformer's voltage can be shifted here.
TAP_STEP = 0.005
MOST_TAPS = 60


class Components:
    """Tables of a network's nodes, loads, lines, transformers and sources, with the ids that they have.

    Parameters
    ----------
    load_nodes
        Nodes with a load, ascending.
    load
        Kind of component: `sym_load` or `asym_load`.
    ties
        Pairs of nodes that a normally open switch can join.
    """

    def __init__(
        self,
        network: Network,
        load_nodes: NDArray[np.int64],
        load: ComponentType = ComponentType.sym_load,
        ties: NDArray[np.int64] | None = None,
    ) -> None:
        self.load = load
        counts = [
            len(network.nodes),
            len(load_nodes),
            len(network.lines.start),
            len(network.areas),
            len(network.sources),
        ]
        firsts = np.cumsum(counts)
        self.first_load, self.first_line, self.first_transformer, self.first_source, self.first_link = map(int, firsts)
        self.tables: dict[ComponentType, NDArray[np.void]] = {
            ComponentType.node: _nodes(network),
            load: _loads(load, self.first_load, load_nodes),
            ComponentType.line: _lines(self.first_line, network),
            ComponentType.transformer: _transformers(self.first_transformer, network),
            ComponentType.source: _sources(self.first_source, network),
        }
        if ties is not None and len(ties):
            self.tables[ComponentType.link] = _links(self.first_link, ties)


def _nodes(network: Network) -> NDArray[np.void]:
    node = initialize_array(DatasetType.input, ComponentType.node, len(network.nodes))
    node["id"] = np.arange(len(network.nodes))
    node["u_rated"] = network.node_voltage_v
    return node


def _loads(kind: ComponentType, first: int, nodes: NDArray[np.int64]) -> NDArray[np.void]:
    load = initialize_array(DatasetType.input, kind, len(nodes))
    load["id"] = first + np.arange(len(load))
    load["node"] = nodes
    load["status"] = 1
    load["type"] = LoadGenType.const_power
    load["p_specified"] = load["q_specified"] = 0.0
    return load


def _lines(first: int, network: Network) -> NDArray[np.void]:
    lines = network.lines
    line = initialize_array(DatasetType.input, ComponentType.line, len(lines.start))
    line["id"] = first + np.arange(len(line))
    line["from_node"], line["to_node"] = lines.start, lines.end
    line["from_status"] = line["to_status"] = 1
    line["r1"], line["x1"], line["c1"] = lines.resistance_ohm, lines.reactance_ohm, lines.capacitance_f
    line["tan1"] = 0.0
    return line


def _transformers(first: int, network: Network) -> NDArray[np.void]:
    plates = [a.transformer for a in network.areas]
    transformer = initialize_array(DatasetType.input, ComponentType.transformer, len(plates))
    transformer["id"] = first + np.arange(len(plates))
    transformer["from_node"] = [a.high_node for a in network.areas]
    transformer["to_node"] = [a.low_node for a in network.areas]
    transformer["from_status"] = transformer["to_status"] = 1
    transformer["winding_from"], transformer["winding_to"] = WindingType.delta, WindingType.wye_n
    # At the low-voltage side, so that a step adds the same voltage wherever the tap stands.
    transformer["tap_side"] = BranchSide.to_side
    transformer["tap_pos"] = transformer["tap_nom"] = 0
    transformer["tap_min"], transformer["tap_max"] = -MOST_TAPS, MOST_TAPS
    transformer["tap_size"] = [TAP_STEP * plate.low_voltage_v for plate in plates]
    for name, attribute in (
        ("u1", "high_voltage_v"), ("u2", "low_voltage_v"), ("sn", "rating_va"), ("uk", "short_circuit_voltage"),
        ("pk", "load_loss_w"), ("i0", "no_load_current"), ("p0", "no_load_loss_w"), ("clock", "clock"),
    ):  # fmt: skip
        transformer[name] = [getattr(plate, attribute) for plate in plates]
    return transformer


def _sources(first: int, network: Network) -> NDArray[np.void]:
    source = initialize_array(DatasetType.input, ComponentType.source, len(network.sources))
    source["id"] = first + np.arange(len(source))
    source["node"] = [n for n, _ in network.sources]
    source["status"] = 1
    source["u_ref"] = [u for _, u in network.sources]
    source["sk"] = _SOURCE_VA
    return source


def _links(first: int, ties: NDArray[np.int64]) -> NDArray[np.void]:
    link = initialize_array(DatasetType.input, ComponentType.link, len(ties))
    link["id"] = first + np.arange(len(link))
    link["from_node"], link["to_node"] = ties[:, 0], ties[:, 1]
    link["from_status"] = link["to_status"] = 0
    return link
