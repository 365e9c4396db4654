"""Technical loss of radial networks phase by phase, with the neutral where it is its own conductor.

The iteration is the backward/forward sweep of `kernels.load_flow`, with a two-port of n by n matrices for every branch
(Kersting, Distribution System Modeling and Analysis); constant admittances are eliminated beforehand and chains
without load merged (`kernels.load_flow_tree`), both exactly. `LANES` cases go side by side, each lane through
consecutive cases and from its last solution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.load_flow_tree import Complexes, Integers, Orientation, Outcome, Shape, eliminate, is_plain, merge

Floats = NDArray[np.float64]

#: Cases side by side.
LANES = 16


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
        *_flow(
            t.shape == Shape.RADIAL, t.parent, t.a, t.b, t.d, t.plain, t.weight, t.meter, t.meter_shunt,
            t.iron_position, t.iron, t.position, t.between, t.factor, t.watch,
            np.ascontiguousarray(p_w, np.float64), np.ascontiguousarray(q_var, np.float64),
            np.ascontiguousarray(np.broadcast_to(source_v, (len(p_w), n)), np.complex128), tolerance, max_iterations,
        )
    )  # fmt: skip


# Signed zeros and the order of sums don't matter here. NaN does: `nnan` and `ninf` stay off.
_FAST = {"contract", "reassoc", "nsz", "arcp"}
# As in `kernels.load_flow`, a loop over lanes that writes a row of an array reads no other row of it, and its length is
# no constant: else the compiler doesn't make a vector loop of it. Rows hold real parts, then imaginary ones.


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _currents(position, between, factor, s, v, own, total, row):  # type: ignore[no-untyped-def]  # numba infers
    """Currents of the loads at the voltages `v`: each alone (`own`) and summed by bus (`total`)."""
    lanes = row.shape[1] // 2
    for e in range(len(position)):
        c, i, k = position[e], between[e, 0], between[e, 1]
        p0, p1, p2 = factor[e, 0], factor[e, 1], factor[e, 2]
        q0, q1, q2 = factor[e, 3], factor[e, 4], factor[e, 5]
        least, most = factor[e, 6], factor[e, 7]
        for t in range(2 * lanes):
            row[0, t] = v[c, i, t]
        if k >= 0:
            for t in range(2 * lanes):
                row[0, t] -= v[c, k, t]
        if p1 == 0.0 and p2 == 0.0 and q1 == 0.0 and q2 == 0.0:
            for t in range(lanes):
                x, y = row[0, t], row[0, lanes + t]
                inverse = min(max(1.0 / (x * x + y * y), least), most)
                p, q = s[e, t] * inverse, s[e, lanes + t] * inverse
                own[e, t], own[e, lanes + t] = p * x + q * y, p * y - q * x
        else:
            for t in range(lanes):
                x, y = row[0, t], row[0, lanes + t]
                inverse = min(max(1.0 / (x * x + y * y), least), most)
                root = np.sqrt(inverse)
                p = s[e, t] * (p0 * inverse + p1 * root + p2)
                q = s[e, lanes + t] * (q0 * inverse + q1 * root + q2)
                own[e, t], own[e, lanes + t] = p * x + q * y, p * y - q * x
        for t in range(2 * lanes):
            total[c, i, t] += own[e, t]
        if k >= 0:
            for t in range(2 * lanes):
                total[c, k, t] -= own[e, t]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _up(parent, plain, d, total, row):  # type: ignore[no-untyped-def]  # numba infers
    """Sum the currents from the leaves up."""
    n, lanes = len(row), row.shape[1] // 2
    for c in range(len(parent) - 1, 0, -1):
        above = parent[c]
        for i in range(n):
            for t in range(2 * lanes):
                row[i, t] = total[c, i, t]
        for i in range(n):
            if plain[c]:
                for t in range(2 * lanes):
                    total[above, i, t] += row[i, t]
                continue
            for k in range(n):
                x, y = d[c, i, k].real, d[c, i, k].imag
                if x != 0.0 or y != 0.0:
                    for t in range(lanes):
                        total[above, i, t] += x * row[k, t] - y * row[k, lanes + t]
                        total[above, i, lanes + t] += x * row[k, lanes + t] + y * row[k, t]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _down(parent, plain, a, b, weight, v, total, row, change):  # type: ignore[no-untyped-def]  # noqa: C901  # numba infers
    """Set the voltages from the source down; `change` becomes the sum of their squared changes."""
    n, lanes = len(row), row.shape[1] // 2
    change[:] = 0.0
    for c in range(1, len(parent)):
        above, wc = parent[c], weight[c]
        for i in range(n):
            if plain[c]:
                for t in range(2 * lanes):
                    row[i, t] = v[above, i, t]
            else:
                row[i] = 0.0
                for k in range(n):
                    x, y = a[c, i, k].real, a[c, i, k].imag
                    if x != 0.0 or y != 0.0:
                        for t in range(lanes):
                            row[i, t] += x * v[above, k, t] - y * v[above, k, lanes + t]
                            row[i, lanes + t] += x * v[above, k, lanes + t] + y * v[above, k, t]
            for k in range(n):
                x, y = b[c, i, k].real, b[c, i, k].imag
                if x != 0.0 or y != 0.0:
                    for t in range(lanes):
                        row[i, t] -= x * total[c, k, t] - y * total[c, k, lanes + t]
                        row[i, lanes + t] -= x * total[c, k, lanes + t] + y * total[c, k, t]
        for i in range(n):
            for t in range(lanes):
                x, y = row[i, t] - v[c, i, t], row[i, lanes + t] - v[c, i, lanes + t]
                change[t] += wc * (x * x + y * y)
                v[c, i, t], v[c, i, lanes + t] = row[i, t], row[i, lanes + t]


@njit(cache=True, nogil=True)
def _active(admittance, current, v, t):  # type: ignore[no-untyped-def]  # numba infers
    """Active power of an admittance and a current at the voltages of lane t."""
    n, lanes = len(v), v.shape[1] // 2
    power = 0.0
    for i in range(n):
        x, y = current[i, t], current[i, lanes + t]
        for k in range(n):
            g, b = admittance[i, k].real, admittance[i, k].imag
            x += g * v[k, t] - b * v[k, lanes + t]
            y += g * v[k, lanes + t] + b * v[k, t]
        power += v[i, t] * x + v[i, lanes + t] * y
    return power


@njit(cache=True, nogil=True)
def _used(position, between, own, v, t):  # type: ignore[no-untyped-def]  # numba infers
    """Active power of all loads in lane t."""
    lanes = v.shape[2] // 2
    power = 0.0
    for e in range(len(position)):
        c, i, k = position[e], between[e, 0], between[e, 1]
        x, y = v[c, i, t], v[c, i, lanes + t]
        if k >= 0:
            x, y = x - v[c, k, t], y - v[c, k, lanes + t]
        power += x * own[e, t] + y * own[e, lanes + t]
    return power


@njit(cache=True, nogil=True)
def _load(cases, p_w, q_var, source_v, s, v):  # type: ignore[no-untyped-def]  # numba infers
    """Bring powers and source voltages of each lane's case into place; False where one isn't finite."""
    n, lanes = v.shape[1], len(cases)
    finite = np.ones(lanes, np.bool_)
    for t in range(lanes):
        k = cases[t]
        poor = 0.0
        for e in range(len(s)):
            s[e, t], s[e, lanes + t] = p_w[k, e], q_var[k, e]
            poor += 0.0 * p_w[k, e] + 0.0 * q_var[k, e]
        for i in range(n):
            v[0, i, t], v[0, i, lanes + t] = source_v[k, i].real, source_v[k, i].imag
            poor += 0.0 * source_v[k, i].real + 0.0 * source_v[k, i].imag
        finite[t] = poor == 0.0
    return finite


@njit(cache=True, nogil=True)
def _flow(  # type: ignore[no-untyped-def]  # noqa: C901  # numba infers
    radial, parent, a, b, d, plain, weight, meter, meter_shunt, iron_position, iron, position, between, factor, watch,
    p_w, q_var, source_v, tolerance, max_iterations,
):  # fmt: skip
    cases, n = source_v.shape
    load_w = np.full(cases, np.nan)
    loss_w, iron_w = load_w.copy(), load_w.copy()
    iterations, outcome = np.zeros(cases, np.int64), np.full(cases, NOT_SOLVED, np.int8)
    voltage = np.full((cases, len(watch)), complex(np.nan, np.nan))
    if not radial:
        return load_w, loss_w, iron_w, iterations, outcome, voltage
    v, total = np.zeros((len(parent), n, 2 * LANES)), np.zeros((len(parent), n, 2 * LANES))
    s, own = np.zeros((len(position), 2 * LANES)), np.zeros((len(position), 2 * LANES))
    row, none = np.zeros((n, 2 * LANES)), np.zeros((n, 2 * LANES))
    change, case, taken = np.zeros(LANES), np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    small = tolerance * tolerance * len(parent)
    steps = (cases + LANES - 1) // LANES
    fresh = True  # voltages to start from are those without load
    for step in range(steps):
        for t in range(LANES):  # the last lanes may repeat the last case
            case[t] = min(t * steps + step, cases - 1)
        finite = _load(case, p_w, q_var, source_v, s, v)
        if fresh:
            total[:] = 0.0
            _down(parent, plain, a, b, weight, v, total, row, change)
        taken[:] = 0
        for sweep in range(1, max_iterations + 1):
            total[:] = 0.0
            _currents(position, between, factor, s, v, own, total, row)
            _up(parent, plain, d, total, row)
            _down(parent, plain, a, b, weight, v, total, row, change)
            open_lanes = 0
            for t in range(LANES):
                if taken[t] == 0 and change[t] <= small:
                    taken[t] = sweep
                open_lanes += taken[t] == 0 and finite[t]
            if open_lanes == 0:
                break
        fresh = False
        for t in range(LANES):
            k = case[t]
            if not finite[t]:
                outcome[k] = MISSING
            elif taken[t] == 0:
                outcome[k], iterations[k] = DIVERGED, max_iterations
            else:
                outcome[k], iterations[k] = CONVERGED, taken[t]
                load_w[k] = _used(position, between, own, v, t)
                loss_w[k] = _active(meter_shunt, total[meter], v[meter], t) - load_w[k]
                iron_w[k] = 0.0
                for o in range(len(iron)):
                    iron_w[k] += _active(iron[o], none, v[iron_position[o]], t)
                for w in range(len(watch)):
                    x = v[watch[w, 0], watch[w, 1]]
                    voltage[k, w] = complex(x[t], x[LANES + t])
            fresh |= outcome[k] != CONVERGED
    return load_w, loss_w, iron_w, iterations, outcome, voltage


CONVERGED, DIVERGED = np.int8(Outcome.CONVERGED), np.int8(Outcome.DIVERGED)
MISSING, NOT_SOLVED = np.int8(Outcome.MISSING), np.int8(Outcome.NOT_SOLVED)
