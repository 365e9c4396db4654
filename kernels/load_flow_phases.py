"""Technical loss of radial networks phase by phase, with the neutral where it is its own conductor.

The iteration is the backward/forward sweep of `kernels.load_flow`, with a two-port of n by n matrices for every branch
(Kersting, Distribution System Modeling and Analysis); constant admittances are eliminated beforehand and chains
without load merged (`kernels.load_flow_tree`), both exactly. The sweep itself, many cases side by side, is
`kernels.load_flow_sweep`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.load_flow_sweep import sweep_flow
from kernels.load_flow_tree import Complexes, Integers, Orientation, Shape, eliminate, is_plain, merge

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Elements:
    """Loads, each between two conductors of a bus or from one to earth.

    Attributes
    ----------
    position
        int64 (elements,): where each is, as `Orientation` counts.
    from_conductor, to_conductor
        int64 (elements,); −1 in the second: earth.
    nominal_v
        float64 (elements,): voltage across it at which it takes its nominal power.
    shares, reactive_shares
        float64 (elements, 3): constant power, current, impedance, which sum to 1; of active and reactive power.
    band_v
        float64 (elements, 2): least and greatest voltage at which that holds; beyond, it is the constant impedance of
        the limit. (0, inf): always.
    """

    position: Integers
    from_conductor: Integers
    to_conductor: Integers
    nominal_v: Floats
    shares: Floats
    reactive_shares: Floats
    band_v: Floats

    def __post_init__(self) -> None:
        count = len(self.position)
        for array in (self.from_conductor, self.to_conductor, self.nominal_v):
            if array.shape != (count,):
                raise ValueError(f"an array of shape {array.shape} for {count} elements")
        if np.any(self.from_conductor == self.to_conductor) or not np.all(self.nominal_v > 0):
            raise ValueError("an element joins a conductor to itself or has no nominal voltage")
        if self.band_v.shape != (count, 2) or not np.all(self.band_v[:, 0] <= self.band_v[:, 1]):
            raise ValueError("band_v must be a least and a greatest voltage an element")
        for shares in (self.shares, self.reactive_shares):
            if shares.shape != (count, 3) or not np.allclose(shares.sum(axis=1), 1.0, rtol=0, atol=1e-6):
                raise ValueError("shares must be three an element, and sum to 1")


@dataclass(frozen=True, slots=True, eq=False)
class PhaseNetwork:
    """One network made ready for `unbalanced_flow` by `phase_network`; positions count what was kept.

    Attributes
    ----------
    shape
        What isn't RADIAL gets NaN for every case, and its arrays are empty.
    parent, a, b, d, plain
        By position: two-port from the one above, with the admittances below eliminated; whether A and D are the
        identity.
    weight
        float64 (positions,): 1 / nominal voltage².
    meter, meter_shunt
        Position where the supply is counted; complex128 (n, n): admittance of all there and below.
    iron_position, iron
        int64 (m,), complex128 (m, n, n): admittances whose active power is no-load loss.
    position, between, factor
        Of the loads: int64 (elements,), (elements, 2); float64 (elements, 8): what nominal P is multiplied with for
        1, V and V², the same for Q, and the least and greatest 1 / V² of the band.
    watch
        int64 (watched, 2): position and conductor.
    """

    shape: Shape
    parent: Integers
    a: Complexes
    b: Complexes
    d: Complexes
    plain: NDArray[np.bool_]
    weight: Floats
    meter: int
    meter_shunt: Complexes
    iron_position: Integers
    iron: Complexes
    position: Integers
    between: Integers
    factor: Floats
    watch: Integers


@dataclass(frozen=True, slots=True, eq=False)
class PhaseFlow:
    """Result of `unbalanced_flow`.

    Attributes
    ----------
    load_w
        float64 (cases,): what the loads take at the solved voltages. NaN unless converged.
    loss_w, no_load_loss_w
        float64 (cases,): all loss from the meter to the loads; of it that in iron, which is there without load. The
        rest is load loss. NaN unless converged.
    iterations
        int64 (cases,): sweeps that the case took.
    outcome
        int8 (cases,): `Outcome`.
    voltage
        complex128 (cases, watched), to earth. NaN unless converged.
    """

    load_w: Floats
    loss_w: Floats
    no_load_loss_w: Floats
    iterations: Integers
    outcome: NDArray[np.int8]
    voltage: Complexes


def phase_network(
    orientation: Orientation,
    two_ports: tuple[Complexes, Complexes, Complexes, Complexes],
    shunt: Complexes,
    iron: Complexes,
    nominal_v: Floats,
    elements: Elements,
    watch: Integers,
    *,
    meter: int = 0,
) -> PhaseNetwork:
    """Prepare one network, once for all its cases.

    Parameters
    ----------
    orientation
        Of one network, from `load_flow_tree.orient`; position 0 is the source, whose voltage is given.
    two_ports
        A, B, D, Y of the branch to each position from the one above, complex128 (positions, n, n), such as
        `load_flow_windings.two_port` makes; position 0 has none.
    shunt, iron
        complex128 (positions, n, n): constant admittances at each position: such without no-load loss, and such with.
    nominal_v
        float64 (positions,), above 0: phase to earth.
    elements
        The loads.
    watch
        int64 (watched, 2): positions and conductors whose voltages are wanted.
    meter
        Position where the supply is counted; it isn't 0 where the first branch is the source's own impedance, whose
        loss doesn't count.

    Raises
    ------
    ValueError
        When shapes disagree, a number names no position or conductor, a value isn't finite, or admittances resonate
        with a branch.
    """
    size, n = len(orientation.parent), shunt.shape[-1]
    if len(orientation.shape) != 1:
        raise ValueError(f"{len(orientation.shape)} networks, not one")
    for array in (*two_ports, shunt, iron):
        if array.shape != (size, n, n) or not np.all(np.isfinite(array)):
            raise ValueError(f"a matrix isn't finite or of shape {array.shape}, not ({size}, {n}, {n})")
    if nominal_v.shape != (size,) or not np.all(nominal_v > 0):
        raise ValueError(f"nominal_v must be {size} voltages above 0")
    if watch.ndim != 2 or watch.shape[1] != 2:
        raise ValueError(f"watch has shape {watch.shape}, not (watched, 2)")
    between = np.column_stack([elements.from_conductor, elements.to_conductor])
    inside = (elements.position, watch[:, 0], np.array([meter]))
    if any(np.any((at < 0) | (at >= size)) for at in inside):
        raise ValueError("a position isn't there")
    if np.any(between >= n) or np.any(between < (0, -1)) or np.any((watch[:, 1] < 0) | (watch[:, 1] >= n)):
        raise ValueError("a conductor isn't there")
    shape = Shape(int(orientation.shape[0]))
    a, b, d, y = (array.astype(np.complex128) for array in two_ports)
    parent, total = orientation.parent.copy(), shunt + iron
    kept = np.arange(size)
    irons = np.flatnonzero(iron.any(axis=(1, 2)))
    if shape is Shape.RADIAL:
        eliminate(parent, a, b, d, y, total)
        keep = np.zeros(size, np.bool_)
        keep[np.concatenate([(0, meter), elements.position, watch[:, 0], irons])] = True
        kept = merge(parent, a, b, d, keep)
    new = np.full(size + 1, -1)  # the last is that of no parent
    new[kept] = np.arange(len(kept))
    ones, v = np.ones(len(elements.position)), elements.nominal_v
    powers = np.column_stack([ones, v, v**2])
    with np.errstate(divide="ignore"):
        band = 1.0 / elements.band_v[:, ::-1] ** 2
    return PhaseNetwork(
        shape=shape,
        parent=new[parent[kept]],
        a=a[kept],
        b=b[kept],
        d=d[kept],
        plain=is_plain(a[kept], d[kept]),
        weight=1.0 / nominal_v[kept] ** 2,
        meter=int(new[meter]),
        meter_shunt=total[meter],
        iron_position=new[irons],
        iron=iron[irons],
        position=new[elements.position],
        between=between,
        factor=np.hstack([elements.shares / powers, elements.reactive_shares / powers, band]),
        watch=np.column_stack([new[watch[:, 0]], watch[:, 1]]),
    )


def unbalanced_flow(
    network: PhaseNetwork,
    p_w: Floats,
    q_var: Floats,
    source_v: Complexes,
    *,
    tolerance: float = 1e-8,
    max_iterations: int = 100,
) -> PhaseFlow:
    """Loss and chosen voltages of every case.

    Parameters
    ----------
    network
        From `phase_network`.
    p_w, q_var
        float64 (cases, elements): power taken at nominal voltage, export negative. A value that isn't finite makes its
        case MISSING.
    source_v
        complex128, of shape (n,) or (cases, n): conductors to earth at the source.
    tolerance
        A case has converged when the root mean square of its voltage changes in a sweep, over buses and per unit, is
        below. Loss and voltages are then right to about that, relative.
    max_iterations
        Sweeps after which a case counts as DIVERGED.

    Raises
    ------
    ValueError
        When shapes disagree.
    """
    n = network.a.shape[1]
    if p_w.ndim != 2 or p_w.shape[1] != len(network.position) or q_var.shape != p_w.shape:
        raise ValueError(f"p_w has shape {p_w.shape}, q_var {q_var.shape}, not both (cases, {len(network.position)})")
    if source_v.shape not in ((n,), (len(p_w), n)):
        raise ValueError(f"source_v has shape {source_v.shape}, not ({n},) or ({len(p_w)}, {n})")
    if max_iterations < 1 or not tolerance > 0:
        raise ValueError("tolerance must be above 0 and max_iterations at least 1")
    t = network
    return PhaseFlow(
        *sweep_flow(
            t.shape == Shape.RADIAL, t.parent, t.a, t.b, t.d, t.plain, t.weight, t.meter, t.meter_shunt,
            t.iron_position, t.iron, t.position, t.between, t.factor, t.watch,
            np.ascontiguousarray(p_w, np.float64), np.ascontiguousarray(q_var, np.float64),
            np.ascontiguousarray(np.broadcast_to(source_v, (len(p_w), n)), np.complex128), tolerance, max_iterations,
        )
    )  # fmt: skip
