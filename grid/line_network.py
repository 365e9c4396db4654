"""What a feeder (线路) consists of while its switches stand as they do: lines and the transformers on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class LineNetwork:
    """A feeder's network over [from, to); node 0 is its head.

    Attributes
    ----------
    from_node, to_node
        int64 of shape (branches,): ends of segments and closed switches, in any direction.
    resistance_ohm, reactance_ohm
        float64 of shape (branches,): 0 for a switch.
    nodes
        How many there are.
    voltage_v
        Nominal, between phases.
    child_node
        By the id of an area or dedicated customer: the node that it hangs on.
    rating_va, no_load_loss_w, load_loss_w
        By the same id, of the transformers whose loss is the line's: rating, and losses without load and at it.
    """

    from_node: NDArray[np.int64]
    to_node: NDArray[np.int64]
    resistance_ohm: NDArray[np.float64]
    reactance_ohm: NDArray[np.float64]
    nodes: int
    voltage_v: float
    child_node: dict[int, int]
    rating_va: dict[int, float]
    no_load_loss_w: dict[int, float]
    load_loss_w: dict[int, float]
    valid_from_us: int
    valid_to_us: int
