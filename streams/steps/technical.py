"""Technical loss of settled intervals: what physics takes, from what flowed through the lines; pure.

Each row is solved alone, and from the beginning: cases that are solved together help each other along, and then the
last digits of a row would depend on which others are in its batch. A replay must come to the same bytes.

Of a line by a balanced load flow over its nodes, with what its areas and dedicated customers took, and the losses of
the transformers whose loss is the line's. Of an area phase by phase, over its low-voltage lines.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from grid.area_network import NetworkPeriod
from grid.channels import CHANNELS, EXPORT, IMPORT
from grid.line_network import LineNetwork
from grid.loss_rules import LoadVariation
from grid.model import Role
from grid.quality import MISSING_WH
from grid.roster import Roster
from grid.rows import BlockRows
from kernels.averaging import AveragingLoss, Variation, averaging_loss, own_loss_of_ways
from kernels.load_flow import RadialNetworks, balanced_flow, radial_networks
from kernels.load_flow_phases import Elements, PhaseNetwork, phase_network, unbalanced_flow
from kernels.load_flow_tree import Outcome, orient
from kernels.transformer_loss import POWER_FACTOR, load_loss_w

#: Standard deviation of a load loss that is computed from records: impedances, voltages and power factors are known
#: to some percent each, and the loss goes with the square of the current.
LOAD_LOSS_SHARE = 0.1

#: Of a low-voltage network, phase to earth, where the gateway meter doesn't say it.
_LOW_VOLTAGE_V = 400.0 / math.sqrt(3.0)
#: A voltage that is further off, as a share of the nominal one, is an error of the meter's.
_VOLTAGE_BOUND = 0.2
_VOLTAGES = ("voltage_a_dv", "voltage_b_dv", "voltage_c_dv")
POWER_FACTOR_CHANNEL = "power_factor_permille"
#: Angles of the phases at the source.
_PHASORS = np.exp(-2j * np.pi / 3 * np.arange(3))

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

    def add(self, rows: NDArray[np.intp], loss_wh: NDArray[np.int64], sigma_wh: NDArray[np.float64]) -> None:
        """What is lost besides in some rows, where the rest is known."""
        self.wh[rows] += loss_wh
        self.sigma_wh[rows] = np.hypot(self.sigma_wh[rows], sigma_wh)

    def none(self, which: NDArray[np.bool_]) -> None:
        """Say of some rows that they lose nothing."""
        for values in (self.wh, self.averaging_wh, self.sigma_wh):
            values[which] = 0.0

    @classmethod
    def of_transformers(cls, loss_wh: NDArray[np.int64], sigma_wh: NDArray[np.float64]) -> TechnicalLoss:
        """Of rows that lose in a transformer alone, by its plate."""
        return cls(loss_wh.astype(np.float64), np.zeros(len(loss_wh)), sigma_wh)

    @classmethod
    def unknown(cls, size: int) -> TechnicalLoss:
        """Of rows of which nothing is known."""
        return cls(*(np.full(size, np.nan) for _ in range(3)))


def line_losses(
    rows: BlockRows,
    numbers: NDArray[np.intp],
    rosters: Sequence[Roster],
    energies: Mapping[str, NDArray[np.int64]],
    networks: Sequence[LineNetwork],
) -> TechnicalLoss:
    """Losses of lines with their transformers.

    Parameters
    ----------
    numbers
        The rows, shape (k,): their members must all be there.
    rosters, networks
        Of these rows.
    energies
        Import and export of all members of all rows as far as they are the unit's.
    """
    lost = TechnicalLoss.unknown(len(numbers))
    for i, (roster, network) in enumerate(zip(rosters, networks, strict=True)):
        r = int(numbers[i])
        power_w = np.zeros((1, network.nodes))
        transformers = np.zeros(2)  # without load, at load
        _load(network, roster, rows, r, energies, power_w[0], transformers)
        flow = balanced_flow(_ready(network), power_w, np.abs(power_w) * _TANGENT, network.voltage_v)
        if flow.outcome[0, 0] == Outcome.CONVERGED:
            hours = int(rows.interval_s[r]) / 3_600.0
            load_w = float(flow.loss_w[0, 0]) + transformers[1]
            lost.wh[i] = (load_w + transformers[0]) * hours
            lost.averaging_wh[i] = 0.0
            lost.sigma_wh[i] = LOAD_LOSS_SHARE * load_w * hours
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
            no_load_w = network.no_load_loss_w[child]
            load_w = load_loss_w(mean_w, network.rating_va[child], network.load_loss_w[child])
            transformers += (no_load_w, load_w)
            mean_w += no_load_w + load_w
        # What hangs on no node that is known is taken at the head, where it loads no line.
        power_w[network.child_node.get(child, 0)] += mean_w


@dataclass(frozen=True, slots=True, eq=False)
class _Area:
    """An area's lines with the meters of one roster on them.

    Attributes
    ----------
    position, share
        Of each load, which is what a meter has on one phase: the meter's position, and the load's share of its power.
    first
        The first load of each meter.
    own_loss_per_w
        Of each meter, at nominal voltage and without reactive power, see `kernels.averaging`; 0 of one that stands
        behind current transformers, since what is learned of households doesn't hold for it.
    """

    lines: NetworkPeriod
    network: PhaseNetwork
    position: NDArray[np.int64]
    share: NDArray[np.float64]
    first: NDArray[np.intp]
    own_loss_per_w: NDArray[np.float64]


_of_rosters: WeakKeyDictionary[Roster, _Area] = WeakKeyDictionary()


def area_losses(
    rows: BlockRows,
    numbers: NDArray[np.intp],
    rosters: Sequence[Roster],
    energies: Mapping[str, NDArray[np.int64]],
    networks: Sequence[NetworkPeriod],
    variation: LoadVariation | None = None,
) -> TechnicalLoss:
    """Losses of areas' low-voltage lines; parameters as of `line_losses`, `networks` those of the areas.

    With `variation`, what the mean over intervals of its length hides is added.

    Notes
    -----
    A meter whose phases aren't known is taken as three-phase. Where a meter tells its power factor that one is taken;
    the voltage at the busbar is what the gateway meter tells.
    """
    lost = TechnicalLoss.unknown(len(numbers))
    for i, (roster, network) in enumerate(zip(rosters, networks, strict=True)):
        area = _area(roster, network)
        if not len(area.position):
            continue
        at = np.array([i])
        members = rows.starts[numbers[at]][:, None] + area.position
        hours = rows.interval_s[numbers[at]] / 3_600.0
        given = np.where(energies[EXPORT][members] == MISSING_WH, 0, energies[EXPORT][members])
        ratio = roster.multiplier[area.position]
        power_w = (energies[IMPORT][members] - given) * ratio * area.share / hours[:, None]
        tangents = np.broadcast_to(_tangents(rows, members), power_w.shape)
        source_v = _source_v(rows, numbers[at], roster)
        flow = unbalanced_flow(area.network, power_w, np.abs(power_w) * tangents, source_v)
        hidden = np.zeros(len(at))
        hidden_sigma = np.zeros(len(at))
        if variation is not None:
            its_length = rows.interval_s[numbers[at]] == variation.interval_s
            more = _averaging(area, power_w[its_length], tangents[its_length], source_v[its_length], variation)
            hidden[its_length], hidden_sigma[its_length] = more.wh, more.sigma_wh
        lost.wh[at] = flow.loss_w * hours + hidden
        lost.averaging_wh[at] = np.where(np.isnan(flow.loss_w), np.nan, hidden)
        lost.sigma_wh[at] = np.hypot(LOAD_LOSS_SHARE * flow.loss_w * hours, hidden_sigma)
    return lost


def _averaging(
    area: _Area,
    power_w: NDArray[np.float64],
    tangents: NDArray[np.float64],
    source_v: NDArray[np.complex128],
    variation: LoadVariation,
) -> AveragingLoss:
    """What the means of an area's meters hide: their current goes with power factor and voltage."""
    below_nominal = _LOW_VOLTAGE_V / np.abs(source_v).mean(axis=1, keepdims=True)
    own = area.own_loss_per_w * (1.0 + tangents[:, area.first] ** 2) * below_nominal**2
    return averaging_loss(power_w[:, area.first] / area.share[area.first], own, Variation(*astuple(variation)))


def _area(roster: Roster, lines: NetworkPeriod) -> _Area:
    """The lines as the kernel takes them, made once for a roster."""
    held = _of_rosters.get(roster)
    if held is not None and held.lines is lines:
        return held
    nodes = len(lines.parent)
    child = np.arange(1, nodes)
    tree = orient(np.array([0, nodes]), np.zeros(1, np.int64), lines.parent[1:], child)
    one = lines.resistance_ohm + 1j * lines.reactance_ohm
    zero = lines.zero_resistance_ohm + 1j * lines.zero_reactance_ohm
    bus = tree.bus
    eye = np.broadcast_to(np.eye(3, dtype=np.complex128), (nodes, 3, 3)).copy()
    mutual = ((zero - one) / 3.0)[bus][:, None, None]
    series = np.asarray(mutual + one[bus][:, None, None] * np.eye(3), np.complex128)
    nothing = np.zeros((nodes, 3, 3), np.complex128)
    is_load = (roster.role & int(Role.CUSTOMER) != 0) & (roster.role & int(Role.GATEWAY) == 0)
    phases = np.where(roster.phases == 0, 7, roster.phases)
    on = np.stack([phases & 1, phases >> 1 & 1, phases >> 2 & 1], axis=1).astype(np.bool_) & is_load[:, None]
    position, phase = np.nonzero(on)
    node = lines.nodes_of(roster.position_of_meter, len(roster))[position]
    count = len(position)
    constant_power = np.tile([1.0, 0.0, 0.0], (count, 1))
    elements = Elements(
        position=np.argsort(bus)[node],
        from_conductor=phase.astype(np.int64),
        to_conductor=np.full(count, -1, np.int64),
        nominal_v=np.full(count, _LOW_VOLTAGE_V),
        shares=constant_power,
        reactive_shares=constant_power,
        band_v=np.tile([0.0, np.inf], (count, 1)),
    )
    network = phase_network(
        tree,
        (eye, series, eye, nothing),
        nothing,
        nothing,
        np.full(nodes, _LOW_VOLTAGE_V),
        elements,
        np.empty((0, 2), np.int64),
    )
    meters, first = np.unique(position, return_index=True)
    own_loss_per_w = own_loss_of_ways(
        lines.parent, lines.resistance_ohm, lines.zero_resistance_ohm, node[first], on[meters], _LOW_VOLTAGE_V
    )
    own_loss_per_w[roster.multiplier[meters] > 1] = 0.0
    area = _Area(lines, network, position, 1.0 / on.sum(axis=1)[position], first, own_loss_per_w)
    _of_rosters[roster] = area
    return area


def _tangents(rows: BlockRows, members: NDArray[np.int64]) -> NDArray[np.float64] | float:
    """Reactive over active power of some members."""
    if POWER_FACTOR_CHANNEL not in rows.channels:
        return _TANGENT
    told = rows.channels[POWER_FACTOR_CHANNEL][members]
    factor = np.clip(np.abs(told) / 1_000.0, 0.1, 1.0)
    # Whoever takes energy has none of 0: that is of an instant at which nothing flowed.
    unknown = (told == 0) | (told == CHANNELS[POWER_FACTOR_CHANNEL].missing)
    return np.asarray(np.where(unknown, _TANGENT, np.tan(np.arccos(factor))))


def _source_v(rows: BlockRows, numbers: NDArray[np.intp], roster: Roster) -> NDArray[np.complex128]:
    """Voltage at the busbar, (rows, 3): what the gateway meter tells of each phase, of all where it tells one."""
    volts = np.full((len(numbers), 3), np.nan)
    gateways = np.flatnonzero(roster.role & int(Role.GATEWAY))
    for phase, name in enumerate(_VOLTAGES):
        if name in rows.channels and len(gateways):
            told = rows.channels[name][rows.starts[numbers] + gateways[0]].astype(np.float64)
            volts[:, phase] = np.where(told > 0, told / 10.0, np.nan)
    volts = np.where(np.isnan(volts), volts[:, :1], volts)
    is_sound = np.abs(volts / _LOW_VOLTAGE_V - 1.0) < _VOLTAGE_BOUND
    return np.asarray(np.where(is_sound, volts, _LOW_VOLTAGE_V) * _PHASORS)


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
