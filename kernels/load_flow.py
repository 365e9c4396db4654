"""Technical loss of radial feeders in balanced operation: backward/forward sweep, one phase for three.

Many networks and many cases (intervals) are solved in one call, on the calling thread and without the interpreter's
lock. The iteration is that of Shirmohammadi et al. (IEEE Trans. Power Systems 3(2), 1988): with the loads' currents at
the last voltages, sum the currents from the leaves up, then set the voltages from the source down. Phases and neutral
apart are in `kernels.load_flow_phases`.

`LANES` cases go side by side, in arrays with the cases innermost, real part before imaginary, so that the compiled
loops use the processor's vector units. Each lane walks through consecutive cases and starts from its last solution.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.load_flow_tree import Integers, Outcome, Shape, orient

Floats = NDArray[np.float64]

#: Shares of constant power, constant current and constant impedance.
Shares = tuple[float, float, float] | Floats

#: Cases side by side.
LANES = 16
#: Where they stand in a row of the working arrays: voltage (or current), real and imaginary; active, reactive power.
X, Y, P, Q = 0, LANES, 2 * LANES, 3 * LANES


@dataclass(frozen=True, slots=True, eq=False)
class RadialNetworks:
    """Networks made ready for `balanced_flow` by `radial_networks`.

    All is referred to the source's side of the transformers, so that their ratios are gone: positions follow
    `load_flow_tree.Orientation`.

    Attributes
    ----------
    shape
        int8 (networks,): `Shape`. What isn't RADIAL gets NaN for every case.
    starts, parent
        int64 (networks + 1,) and (positions,).
    position
        int64 (buses,): of each bus.
    nominal_v, r_ohm, x_ohm, g_s, b_s
        float64 (positions,): nominal voltage; series impedance from the parent; admittance to earth.
    """

    shape: NDArray[np.int8]
    starts: Integers
    parent: Integers
    position: Integers
    nominal_v: Floats
    r_ohm: Floats
    x_ohm: Floats
    g_s: Floats
    b_s: Floats


@dataclass(frozen=True, slots=True, eq=False)
class BalancedFlow:
    """Result of `balanced_flow`; arrays have shape (cases, networks).

    Attributes
    ----------
    loss_w, no_load_loss_w
        All loss, and the part in iron; the rest is load loss in the series impedances. NaN unless converged.
    min_voltage_pu
        Lowest voltage of a bus over its nominal. NaN unless converged.
    iterations
        int64: sweeps that the case took.
    outcome
        int8: `Outcome`.
    """

    loss_w: Floats
    no_load_loss_w: Floats
    min_voltage_pu: Floats
    iterations: Integers
    outcome: NDArray[np.int8]


def radial_networks(
    starts: Integers,
    source: Integers,
    nominal_v: Floats,
    from_bus: Integers,
    to_bus: Integers,
    r_ohm: Floats,
    x_ohm: Floats,
    *,
    ratio: Floats | None = None,
    shunt_g_s: Floats | None = None,
    shunt_b_s: Floats | None = None,
) -> RadialNetworks:
    """Prepare networks of lines and transformers, once for all their cases.

    Parameters
    ----------
    starts
        int64 of shape (networks + 1,), rising from 0 to the number of buses: buses of network u are
        starts[u]:starts[u+1].
    source
        int64 of shape (networks,): bus of each network whose voltage is given.
    nominal_v
        float64 of shape (buses,): between lines, above 0. Constant current and impedance refer to it.
    from_bus, to_bus
        int64 of shape (branches,): ends of each line or transformer, in either direction.
    r_ohm, x_ohm
        float64 of shape (branches,): in series, of one phase, as seen at `to_bus`.
    ratio
        float64 of shape (branches,): off-load voltage at `from_bus` over that at `to_bus`, above 0; of a transformer at
        its fixed tap. None: 1 throughout.
    shunt_g_s, shunt_b_s
        float64 of shape (buses,): constant admittance to earth of one phase, at the bus's own voltage. Conductance is
        taken as iron (no-load loss); susceptance (above 0: capacitive) is that of capacitors, charging, magnetising.

    Raises
    ------
    ValueError
        When shapes disagree, a value isn't finite or not above 0 where it must be, or a number names no bus.

    Notes
    -----
    A loop, or a bus out of the source's reach, isn't an error: it is told in `shape`, by network.
    """
    branches, buses = len(from_bus), len(nominal_v)
    ratio = np.ones(branches) if ratio is None else ratio
    shunt_g_s = np.zeros(buses) if shunt_g_s is None else shunt_g_s
    shunt_b_s = np.zeros(buses) if shunt_b_s is None else shunt_b_s
    for name, array, size, positive in (
        ("nominal_v", nominal_v, buses, True),
        ("r_ohm", r_ohm, branches, False),
        ("x_ohm", x_ohm, branches, False),
        ("ratio", ratio, branches, True),
        ("shunt_g_s", shunt_g_s, buses, False),
        ("shunt_b_s", shunt_b_s, buses, False),
    ):
        if array.shape != (size,):
            raise ValueError(f"{name} has shape {array.shape}, not ({size},)")
        if not np.all(np.isfinite(array)) or (positive and np.any(array <= 0)):
            raise ValueError(f"{name} has a value that isn't {'above 0' if positive else 'finite'}")
    if len(starts) < 1 or starts[-1] != buses:
        raise ValueError("starts must end with the number of buses")
    found = orient(starts, source, from_bus, to_bus)
    there = found.branch >= 0
    k = found.branch[there]
    step, as_seen = np.ones(buses), np.ones(buses)
    step[there] = np.where(found.reversed_[there], 1.0 / ratio[k], ratio[k])
    to_source = _products(found.parent, step)
    as_seen[there] = np.where(found.reversed_[there], ratio[k], 1.0)  # the impedance, from `to_bus` to the bus below
    r, x = np.zeros(buses), np.zeros(buses)
    r[there], x[there] = r_ohm[k], x_ohm[k]
    squared = to_source**2
    return RadialNetworks(
        shape=found.shape,
        starts=starts,
        parent=found.parent,
        position=np.argsort(found.bus),
        nominal_v=nominal_v[found.bus] * to_source,
        r_ohm=r * as_seen**2 * squared,
        x_ohm=x * as_seen**2 * squared,
        g_s=shunt_g_s[found.bus] / squared,
        b_s=shunt_b_s[found.bus] / squared,
    )


@njit(cache=True, nogil=True)
def _products(parent, step):  # type: ignore[no-untyped-def]  # numba infers
    """Products of `step` from the source to each position."""
    made = np.ones(len(parent))
    for c in range(len(parent)):
        if parent[c] >= 0:
            made[c] = made[parent[c]] * step[c]
    return made


def balanced_flow(
    networks: RadialNetworks,
    p_w: Floats,
    q_var: Floats,
    source_v: float | Floats,
    *,
    shares: Shares = (1.0, 0.0, 0.0),
    tolerance: float = 1e-7,
    max_iterations: int = 100,
) -> BalancedFlow:
    """Loss and lowest voltage of every case of every network.

    Parameters
    ----------
    networks
        From `radial_networks`.
    p_w, q_var
        float64 of shape (cases, buses): three-phase power taken at nominal voltage, export negative. A value that
        isn't finite makes its case MISSING, of its network alone.
    source_v
        Line-to-line voltage at the sources: one for all, or float64 that broadcasts to (cases, networks).
    shares
        Constant power, current and impedance of the loads, which sum to 1; or float64 of shape (3, buses).
    tolerance
        A case has converged when the root of the summed squares of its buses' voltage changes in a sweep, per unit, is
        below. The loss is then right to some twice of that, relative.
    max_iterations
        Sweeps after which a case counts as DIVERGED.

    Raises
    ------
    ValueError
        When shapes disagree, or shares don't sum to 1.
    """
    buses, count = len(networks.parent), len(networks.shape)
    if p_w.ndim != 2 or p_w.shape[1] != buses or q_var.shape != p_w.shape:
        raise ValueError(f"p_w has shape {p_w.shape}, q_var {q_var.shape}, not both (cases, {buses})")
    if max_iterations < 1 or not tolerance > 0:
        raise ValueError("tolerance must be above 0 and max_iterations at least 1")
    parts = np.asarray(shares, np.float64)
    if parts.shape not in ((3,), (3, buses)) or not np.allclose(parts.sum(axis=0), 1.0, rtol=0, atol=1e-6):
        raise ValueError("shares must be three that sum to 1, for all buses or for each")
    order = np.argsort(networks.position)
    by_position = np.broadcast_to(parts[:, None], (3, buses)) if parts.ndim == 1 else parts[:, order]
    nominal = networks.nominal_v
    factor = np.ascontiguousarray(by_position / np.stack([np.ones(buses), nominal, nominal**2]))
    voltages = np.broadcast_to(np.asarray(source_v, np.float64), (len(p_w), count))
    n = networks
    return BalancedFlow(
        *_flow(
            n.shape, n.starts, n.parent, n.position, 1.0 / nominal**2, n.r_ohm, n.x_ohm, n.g_s, n.b_s, factor,
            np.ascontiguousarray(p_w, np.float64), np.ascontiguousarray(q_var, np.float64),
            np.ascontiguousarray(voltages), tolerance, max_iterations,
        )
    )  # fmt: skip


# Signed zeros and the order of sums don't matter here. NaN does: `nnan` and `ninf` stay off.
_FAST = {"contract", "reassoc", "nsz", "arcp"}
# A loop over lanes that writes a row of an array reads no other row of it: only then is it made a vector loop.


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _load(first, last, position, case, p_w, q_var, state, poor):  # type: ignore[no-untyped-def]  # numba infers
    """Bring the powers of each lane's case into order; `poor` becomes NaN where one isn't finite."""
    poor[:] = 0.0
    for bus in range(first, last):
        c = position[bus] - first
        for t in range(LANES):
            k = case[t]
            state[c, P + t] = p_w[k, bus]
            state[c, Q + t] = q_var[k, bus]
        for t in range(len(poor)):
            poor[t] += 0.0 * state[c, P + t] + 0.0 * state[c, Q + t]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _up(parent, g, b, factor, state, below, total):  # type: ignore[no-untyped-def]  # numba infers
    """Sum the currents from the leaves up: `total` from each bus down; `below`, 0 before, without its own."""
    for c in range(len(parent) - 1, 0, -1):
        gc, bc, f0, f1, f2 = g[c], b[c], factor[0, c], factor[1, c], factor[2, c]
        if f1 == 0.0 and f2 == 0.0:
            for t in range(LANES):
                x, y = state[c, X + t], state[c, Y + t]
                inverse = f0 / (x * x + y * y)
                p, q = state[c, P + t] * inverse + gc, state[c, Q + t] * inverse - bc
                total[c, X + t] = below[c, X + t] + p * x + q * y
                total[c, Y + t] = below[c, Y + t] + p * y - q * x
        else:
            for t in range(LANES):
                x, y = state[c, X + t], state[c, Y + t]
                inverse = 1.0 / (x * x + y * y)
                share = f0 * inverse + f1 * np.sqrt(inverse) + f2
                p, q = state[c, P + t] * share + gc, state[c, Q + t] * share - bc
                total[c, X + t] = below[c, X + t] + p * x + q * y
                total[c, Y + t] = below[c, Y + t] + p * y - q * x
        above = parent[c]
        for t in range(below.shape[1]):  # not a constant, lest it be unrolled one by one
            below[above, t] += total[c, t]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _down(parent, r, x, weight, state, below, total, sums):  # type: ignore[no-untyped-def]  # numba infers
    """Set the voltages from the source down; `below` becomes 0, and `total` of each bus its old voltage."""
    sums[:] = 0.0
    below[0] = 0.0
    for c in range(1, len(parent)):
        above, rc, xc, wc = parent[c], r[c], x[c], weight[c]
        for t in range(LANES):
            real, imaginary = total[c, X + t], total[c, Y + t]
            sums[1, t] += rc * (real * real + imaginary * imaginary)
            below[c, X + t] = state[above, X + t] - rc * real + xc * imaginary
            below[c, Y + t] = state[above, Y + t] - rc * imaginary - xc * real
        for t in range(LANES):
            real, imaginary = below[c, X + t], below[c, Y + t]
            dx, dy = real - state[c, X + t], imaginary - state[c, Y + t]
            sums[0, t] += wc * (dx * dx + dy * dy)
            state[c, X + t], state[c, Y + t] = real, imaginary
            below[c, X + t] = 0.0
            below[c, Y + t] = 0.0


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _look(g, weight, state, iron, low):  # type: ignore[no-untyped-def]  # numba infers
    """Loss in iron and the lowest voltage, squared and per unit."""
    iron[:] = 0.0
    low[:] = np.inf
    for c in range(len(g)):
        gc, wc = g[c], weight[c]
        for t in range(len(low)):
            squared = state[c, X + t] * state[c, X + t] + state[c, Y + t] * state[c, Y + t]
            iron[t] += gc * squared
            low[t] = min(low[t], wc * squared)


@njit(cache=True, nogil=True)
def _flow(  # type: ignore[no-untyped-def]  # noqa: C901  # numba infers
    shape, starts, parents, position, weights, r, x, g, b, factors, p_w, q_var, source_v, tolerance, max_iterations
):
    cases, networks = source_v.shape
    loss_w = np.full((cases, networks), np.nan)
    iron_w, low_pu = loss_w.copy(), loss_w.copy()
    iterations = np.zeros((cases, networks), np.int64)
    outcome = np.full((cases, networks), NOT_SOLVED, np.int8)
    sums = np.zeros((2, LANES))  # of squared voltage changes; series loss
    iron, low, poor = np.zeros(LANES), np.zeros(LANES), np.zeros(LANES)
    case, taken = np.zeros(LANES, np.int64), np.zeros(LANES, np.int64)
    steps = (cases + LANES - 1) // LANES
    for u in range(networks):
        if shape[u] != RADIAL:
            continue
        first, last = starts[u], starts[u + 1]
        small = tolerance * tolerance * (last - first)
        parent, weight, factor = parents[first:last] - first, weights[first:last], factors[:, first:last].copy()
        parent[0] = -1
        state = np.zeros((last - first, 4 * LANES))
        below, total = np.zeros((last - first, 2 * LANES)), np.zeros((last - first, 2 * LANES))
        fresh = True  # voltages to start from are those without any drop
        for step in range(steps):
            for t in range(LANES):  # the last lanes may repeat the last case
                case[t] = min(t * steps + step, cases - 1)
                state[0, X + t], taken[t] = source_v[case[t], u], 0
            if fresh:
                state[:, X : X + LANES] = state[0, X : X + LANES]
                state[:, Y : Y + LANES] = 0.0
                below[:] = 0.0
            _load(first, last, position, case, p_w, q_var, state, poor)
            for sweep in range(1, max_iterations + 1):
                _up(parent, g[first:last], b[first:last], factor, state, below, total)
                _down(parent, r[first:last], x[first:last], weight, state, below, total, sums)
                open_lanes = 0
                for t in range(LANES):
                    if taken[t] == 0 and sums[0, t] <= small:
                        taken[t] = sweep
                    open_lanes += taken[t] == 0 and poor[t] == 0.0
                if open_lanes == 0:
                    break
            _look(g[first:last], weight, state, iron, low)
            fresh = False
            for t in range(LANES):
                k = case[t]
                if not (poor[t] == 0.0 and np.isfinite(source_v[k, u])):
                    outcome[k, u] = MISSING
                elif taken[t] == 0:
                    outcome[k, u], iterations[k, u] = DIVERGED, max_iterations
                else:
                    outcome[k, u], iterations[k, u] = CONVERGED, taken[t]
                    loss_w[k, u], iron_w[k, u], low_pu[k, u] = sums[1, t] + iron[t], iron[t], np.sqrt(low[t])
                fresh |= outcome[k, u] != CONVERGED
    return loss_w, iron_w, low_pu, iterations, outcome


RADIAL = np.int8(Shape.RADIAL)
CONVERGED, DIVERGED = np.int8(Outcome.CONVERGED), np.int8(Outcome.DIVERGED)
MISSING, NOT_SOLVED = np.int8(Outcome.MISSING), np.int8(Outcome.NOT_SOLVED)
