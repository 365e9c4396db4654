"""What is drawn for customers besides their phase: class and side of their meter, and whether the account is closed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twin.draws import draw
from twin.network import Network, Point

#: Accuracy classes of low-voltage customers' meters (IEC 62053-21, active energy) with their shares: what utilities
#: have, where class 2 was installed until class 1 became the rule. An assumption.
ACCURACY_SHARES = {1.0: 0.7, 2.0: 0.3}
#: Share of low-voltage consumers whose account is closed: flats that stand empty.
CLOSED_SHARE = 0.01
#: Share of dedicated customers, generators left out, that are metered behind their transformer. An assumption.
LOW_SIDE_SHARE = 0.3


def assign_accuracy(network: Network, seed: int) -> NDArray[np.float64]:
    """Accuracy class in percent of each low-voltage point's meter, shape (points,); 0 at medium voltage.

    There the class stays what `twin.grid_model.build_grid_model` gives.
    """
    classes = np.array(list(ACCURACY_SHARES))
    drawn = draw(seed, "accuracy", _codes(network.points))
    chosen = classes[np.searchsorted(np.cumsum(list(ACCURACY_SHARES.values()))[:-1], drawn, side="right")]
    result: NDArray[np.float64] = np.where(_low_voltage(network.points), chosen, 0.0)
    return result


def assign_closed(network: Network, seed: int, share: float = CLOSED_SHARE) -> NDArray[np.bool_]:
    """Whether each point's account is closed, shape (points,): low-voltage consumers alone.

    What is closed consumes nothing: multiply the load by ``~closed``.
    """
    consumer = np.array([not p.generation for p in network.points], dtype=np.bool_)
    result: NDArray[np.bool_] = (
        _low_voltage(network.points) & consumer & (draw(seed, "closed", _codes(network.points)) < share)
    )
    return result


def assign_low_side(network: Network, seed: int, share: float = LOW_SIDE_SHARE) -> NDArray[np.bool_]:
    """Whether each point is a dedicated customer that is metered at low voltage (高供低计), shape (points,)."""
    dedicated = np.array([p.area < 0 and not p.generation and p.rating_va > 0 for p in network.points], np.bool_)
    result: NDArray[np.bool_] = dedicated & (draw(seed, "low_side", _codes(network.points)) < share)
    return result


def _codes(points: Sequence[Point]) -> list[str]:
    return [p.code for p in points]


def _low_voltage(points: Sequence[Point]) -> NDArray[np.bool_]:
    return np.array([p.area >= 0 for p in points], dtype=np.bool_)
