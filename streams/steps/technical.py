"""Technical loss of settled intervals: what physics takes, from what flowed through the lines; pure.

Of a line by a balanced load flow over its nodes, with what its areas and dedicated customers took, and the losses of
the transformers whose loss is the line's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from grid.channels import EXPORT, IMPORT
from grid.line_network import LineNetwork
from grid.quality import MISSING_WH
from grid.roster import Roster
from grid.rows import BlockRows
from kernels.load_flow import Outcome, RadialNetworks, balanced_flow, radial_networks

#: Taken where nothing is measured: of loads in distribution networks it lies between 0.9 and 1.
POWER_FACTOR = 0.95
#: Standard deviation of a load loss that is computed from records: impedances, voltages and power factors are known
#: to some percent each, and the loss goes with the square of the current.
LOAD_LOSS_SHARE = 0.1

_TANGENT = math.tan(math.acos(POWER_FACTOR))
_made: WeakKeyDictionary[LineNetwork, RadialNetworks] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True, eq=False)
class TechnicalLoss:
    """Technical losses of some rows, shape (k,); NaN where not known.

    Attributes
    ----------
    wh
        All of it, what the mean over the interval hides among it.
    averaging_wh
        That part.
    sigma_wh
        Its standard deviation.
    """

    wh: NDArray[np.float64]
    averaging_wh: NDArray[np.float64]
    sigma_wh: NDArray[np.float64]

    def put(self, rows: NDArray[np.intp], of_rows: TechnicalLoss) -> None:
        """Take over those of some rows."""
        self.wh[rows], self.averaging_wh[rows], self.sigma_wh[rows] = of_rows.wh, of_rows.averaging_wh, of_rows.sigma_wh

    def none(self, which: NDArray[np.bool_]) -> None:
        """Say of some rows that they lose nothing."""
        for values in (self.wh, self.averaging_wh, self.sigma_wh):
            values[which] = 0.0

    @classmethod
    def unknown(cls, size: int) -> TechnicalLoss:
        """Of rows of which nothing is known."""
        return cls(*(np.full(size, np.nan) for _ in range(3)))


def line_losses(
    rows: BlockRows,
    numbers: NDArray[np.intp],
    rosters: Sequence[Roster],
    energies: Mapping[str, NDArray[np.int64]],
    networks: Sequence[LineNetwork | None],
) -> TechnicalLoss:
    """Losses of lines with their transformers.

    Parameters
    ----------
    numbers
        The rows, shape (k,): their members must all be there.
    rosters, networks
        Of these rows; a row without network stays unknown.
    energies
        Import and export of all members of all rows as far as they are the unit's.
    """
    lost = TechnicalLoss.unknown(len(numbers))
    by_network: dict[int, list[int]] = {}
    for i, network in enumerate(networks):
        if network is not None:
            by_network.setdefault(id(network), []).append(i)
    for of_network in by_network.values():
        network = networks[of_network[0]]
        assert network is not None  # noqa: S101  # those without were left out
        power_w = np.zeros((len(of_network), network.nodes))
        reactive_var = np.zeros_like(power_w)
        transformers = np.zeros((len(of_network), 2))  # without load, at load
        for case, i in enumerate(of_network):
            r = int(numbers[i])
            _load(network, rosters[i], rows, r, energies, power_w[case], transformers[case])
        reactive_var[:] = np.abs(power_w) * _TANGENT
        flow = balanced_flow(_ready(network), power_w, reactive_var, network.voltage_v)
        solved = flow.outcome[:, 0] == Outcome.CONVERGED
        hours = rows.interval_s[numbers[of_network]] / 3_600.0
        at = np.array(of_network)
        load_w = flow.loss_w[:, 0] + transformers[:, 1]
        lost.wh[at] = np.where(solved, (load_w + transformers[:, 0]) * hours, np.nan)
        lost.averaging_wh[at] = np.where(solved, 0.0, np.nan)
        lost.sigma_wh[at] = np.where(solved, LOAD_LOSS_SHARE * load_w * hours, np.nan)
    return lost


def _load(
    network: LineNetwork,
    roster: Roster,
    rows: BlockRows,
    r: int,
    energies: Mapping[str, NDArray[np.int64]],
    power_w: NDArray[np.float64],
    transformers: NDArray[np.float64],
) -> None:
    """Put a row's members on the nodes where they hang, with the losses of their transformers."""
    begin, hours = int(rows.starts[r]), int(rows.interval_s[r]) / 3_600.0
    for child, position in roster.position_of_child.items():
        if roster.role[position] == 0:
            continue
        taken, given = (int(energies[name][begin + position]) for name in (IMPORT, EXPORT))
        mean_w = (taken - (0 if given == MISSING_WH else given)) / hours
        if child in network.rating_va:
            share = mean_w / POWER_FACTOR / network.rating_va[child]
            no_load_w, load_w = network.no_load_loss_w[child], network.load_loss_w[child] * share * share
            transformers += (no_load_w, load_w)
            mean_w += no_load_w + load_w
        # What hangs on no node that is known is taken at the head, where it loads no line.
        power_w[network.child_node.get(child, 0)] += mean_w


def _ready(network: LineNetwork) -> RadialNetworks:
    """The network as the kernel takes it, made once."""
    if network not in _made:
        _made[network] = radial_networks(
            np.array([0, network.nodes], np.int64),
            np.zeros(1, np.int64),
            np.full(network.nodes, network.voltage_v),
            network.from_node,
            network.to_node,
            network.resistance_ohm,
            network.reactance_ohm,
        )
    return _made[network]
