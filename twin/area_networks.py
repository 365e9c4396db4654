"""The low-voltage lines of each area as the records have them."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from grid.area_network import AreaNetwork
from twin.network import Network


def area_networks(
    network: Network, zero_sequence: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
) -> tuple[AreaNetwork, ...]:
    """Lines of every area from its busbar on, with the meters of its points.

    Parameters
    ----------
    zero_sequence
        Resistance, reactance and capacitance of the lines, from `twin.phases.zero_sequence`.
    """
    lines = network.lines
    own: dict[int, list[int]] = defaultdict(list)
    for line in np.flatnonzero(lines.area >= 0).tolist():
        own[int(lines.area[line])].append(line)
    points: dict[int, list[int]] = defaultdict(list)
    for i, point in enumerate(network.points):
        points[point.area].append(i)
    networks = []
    for number, area in enumerate(network.areas):
        by_start: dict[int, list[int]] = defaultdict(list)
        for line in own[number]:
            by_start[int(lines.start[line])].append(line)
        at = {area.low_node: 0}
        parent, branches = [-1], [-1]
        queue = [area.low_node]
        for node in queue:
            for line in by_start[node]:
                far = int(lines.end[line])
                at[far] = len(parent)
                parent.append(at[node])
                branches.append(line)
                queue.append(far)

        def of(values: NDArray[np.float64], branches: list[int] = branches) -> tuple[float, ...]:
            return (0.0, *values[branches[1:]].tolist())

        networks.append(
            AreaNetwork(
                area=area.code,
                parent=tuple(parent),
                resistance_ohm=of(lines.resistance_ohm),
                reactance_ohm=of(lines.reactance_ohm),
                zero_resistance_ohm=of(zero_sequence[0]),
                zero_reactance_ohm=of(zero_sequence[1]),
                meters=tuple(network.points[k].code for k in points[number]),
                meter_node=tuple(at[network.points[k].node] for k in points[number]),
            )
        )
    return tuple(networks)
