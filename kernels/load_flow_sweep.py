"""The sweep itself: many cases of many networks at once, on one thread.

The iteration is the classical backward/forward sweep (Shirmohammadi et al., IEEE Trans. Power Systems 3(2), 1988): with
the loads' currents at the last voltages, sum the currents from the leaves up, then set the voltages from the source
down. Sixteen cases go side by side, in arrays with the cases innermost, real and imaginary part apart, so that the
compiled loops use the processor's vector units. Each of the sixteen walks through consecutive cases of its own and
starts from its last solution.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.load_flow_tree import Complexes, Integers, Shape

Floats = NDArray[np.float64]

#: Cases side by side.
LANES = 16


class Outcome(IntEnum):
    """What became of one case of one network."""

    CONVERGED = 0
    DIVERGED = 1  # no solution within the sweeps allowed
    MISSING = 2  # a power or source voltage isn't finite
    NOT_SOLVED = 3  # the network isn't radial: see its shape


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """Networks as the sweep takes them; u counts networks, positions are those of `load_flow_tree`.

    Attributes
    ----------
    shape
        int8 (networks,).
    starts
        int64 (networks + 1,): positions of network u; its source is the first.
    parent, a, b, d, plain
        By position, after `eliminate`.
    scale
        float64 (positions, n): 1 / nominal voltage², to compare voltages; 0 for a conductor that isn't there.
    meter, meter_shunt
        int64 (networks,), complex128 (networks, n, n): position where the supply is counted, and the admittance of all
        below.
    iron_starts, iron_position, iron
        int64 (networks + 1,), int64 (m,), complex128 (m, n, n): admittances whose active power is no-load loss.
    element_starts, element_position, element_from, element_to
        int64: loads of network u, the position of each and between which conductors it is; −1: earth.
    element_factor
        float64 (elements, 6): of active power, over the nominal power: 1, V and V² with their shares, as share,
        share / nominal V, share / nominal V²; then the same for reactive power.
    """

    shape: NDArray[np.int8]
    starts: Integers
    parent: Integers
    a: Complexes
    b: Complexes
    d: Complexes
    plain: NDArray[np.bool_]
    scale: Floats
    meter: Integers
    meter_shunt: Complexes
    iron_starts: Integers
    iron_position: Integers
    iron: Complexes
    element_starts: Integers
    element_position: Integers
    element_from: Integers
    element_to: Integers
    element_factor: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Flow:
    """Result of `sweep`; arrays have shape (cases, networks) but for `voltage`.

    Attributes
    ----------
    load_w
        What the loads take at the solved voltages.
    loss_w, no_load_loss_w
        All loss between the source's terminals and the loads; of it what is there without load (iron). NaN unless
        converged.
    min_voltage_pu
        Lowest voltage of a phase over its nominal. NaN unless converged.
    iterations
        int64. Sweeps that the case took.
    outcome
        int8: `Outcome`.
    voltage
        complex128 (cases, watched). NaN unless converged.
    """

    load_w: Floats
    loss_w: Floats
    no_load_loss_w: Floats
    min_voltage_pu: Floats
    iterations: Integers
    outcome: NDArray[np.int8]
    voltage: Complexes


def sweep(
    tree: Tree,
    p_w: Floats,
    q_var: Floats,
    source_v: Complexes,
    watch: Integers,
    tolerance: float,
    max_iterations: int,
) -> Flow:
    """Solve every case of every network; arguments are those of the public functions, already checked.

    Parameters
    ----------
    p_w, q_var
        float64 (cases, elements), of contiguous rows.
    source_v
        complex128 (cases, networks, n) or, the same for all cases, (1, networks, n).
    watch
        int64 (watched, 2): position and conductor whose voltages are wanted, by rising position.
    tolerance
        A case has converged when the root of the summed squares of all voltage changes of a sweep, over the nominal
        voltages, is below.
    """
    t = tree
    watch_starts = np.searchsorted(watch[:, 0], t.starts)
    return Flow(
        *_sweep(
            t.shape, t.starts, t.parent, t.a, t.b, t.d, t.plain, t.scale, t.meter, t.meter_shunt, t.iron_starts,
            t.iron_position, t.iron, t.element_starts, t.element_position, t.element_from, t.element_to,
            t.element_factor, p_w, q_var, source_v, watch_starts, watch, tolerance, max_iterations,
        )
    )  # fmt: skip


# Signed zeros and the order of sums don't matter here; NaN does, so `nnan` and `ninf` stay off.
_FAST = {"contract", "reassoc", "nsz", "arcp"}


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _currents(first, last, e_position, e_from, e_to, factor, sr, si, vr, vi, er, ei, jr, ji):  # type: ignore[no-untyped-def]  # numba infers
    """Currents of the loads at the voltages V, each alone (E) and summed by bus (J)."""
    for e in range(first, last):
        c, i, k, o = e_position[e], e_from[e], e_to[e], e - first
        p0, p1, p2 = factor[e, 0], factor[e, 1], factor[e, 2]
        q0, q1, q2 = factor[e, 3], factor[e, 4], factor[e, 5]
        mixed = p1 != 0.0 or p2 != 0.0 or q1 != 0.0 or q2 != 0.0
        if k < 0 and not mixed:
            for t in range(LANES):
                x, y = vr[c, i, t], vi[c, i, t]
                inverse = 1.0 / (x * x + y * y)
                p, q = sr[o, t] * inverse, si[o, t] * inverse
                real, imaginary = p * x + q * y, p * y - q * x
                er[o, t], ei[o, t] = real, imaginary
                jr[c, i, t] += real
                ji[c, i, t] += imaginary
            continue
        for t in range(LANES):
            x, y = vr[c, i, t], vi[c, i, t]
            if k >= 0:
                x, y = x - vr[c, k, t], y - vi[c, k, t]
            inverse = 1.0 / (x * x + y * y)
            root = np.sqrt(inverse)
            p = sr[o, t] * (p0 * inverse + p1 * root + p2)
            q = si[o, t] * (q0 * inverse + q1 * root + q2)
            real, imaginary = p * x + q * y, p * y - q * x
            er[o, t], ei[o, t] = real, imaginary
            jr[c, i, t] += real
            ji[c, i, t] += imaginary
            if k >= 0:
                jr[c, k, t] -= real
                ji[c, k, t] -= imaginary


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _backward(first, last, parent, plain, d, jr, ji):  # type: ignore[no-untyped-def]  # numba infers
    n = d.shape[1]
    for c in range(last - 1, first, -1):
        above = parent[c]
        for i in range(n):
            if plain[c]:
                for t in range(LANES):
                    jr[above, i, t] += jr[c, i, t]
                    ji[above, i, t] += ji[c, i, t]
                continue
            for k in range(n):
                x, y = d[c, i, k].real, d[c, i, k].imag
                if x != 0.0 or y != 0.0:
                    for t in range(LANES):
                        jr[above, i, t] += x * jr[c, k, t] - y * ji[c, k, t]
                        ji[above, i, t] += x * ji[c, k, t] + y * jr[c, k, t]


@njit(cache=True, nogil=True, error_model="numpy", fastmath=_FAST)
def _forward(first, last, parent, plain, a, b, scale, jr, ji, vr, vi, change):  # type: ignore[no-untyped-def]  # numba infers
    n = a.shape[1]
    real, imaginary = np.empty(LANES), np.empty(LANES)
    for c in range(first + 1, last):
        above = parent[c]
        for i in range(n):
            if plain[c]:
                for t in range(LANES):
                    real[t], imaginary[t] = vr[above, i, t], vi[above, i, t]
            else:
                real[:] = 0.0
                imaginary[:] = 0.0
                for k in range(n):
                    x, y = a[c, i, k].real, a[c, i, k].imag
                    if x != 0.0 or y != 0.0:
                        for t in range(LANES):
                            real[t] += x * vr[above, k, t] - y * vi[above, k, t]
                            imaginary[t] += x * vi[above, k, t] + y * vr[above, k, t]
            for k in range(n):
                x, y = b[c, i, k].real, b[c, i, k].imag
                if x != 0.0 or y != 0.0:
                    for t in range(LANES):
                        real[t] -= x * jr[c, k, t] - y * ji[c, k, t]
                        imaginary[t] -= x * ji[c, k, t] + y * jr[c, k, t]
            weight = scale[c, i]
            for t in range(LANES):
                x, y = real[t] - vr[c, i, t], imaginary[t] - vi[c, i, t]
                change[t] += weight * (x * x + y * y)
                vr[c, i, t], vi[c, i, t] = real[t], imaginary[t]


@njit(cache=True, nogil=True)
def _sweep(  # type: ignore[no-untyped-def]  # noqa: PLR0912, PLR0915  # numba infers; one pass
    shape, starts, parent, a, b, d, plain, scale, meter, meter_shunt, iron_starts, iron_position, iron,
    e_starts, e_position, e_from, e_to, factor, p_w, q_var, source, watch_starts, watch, tolerance, max_iterations,
):  # fmt: skip
    cases, networks, n = len(p_w), len(starts) - 1, a.shape[1]
    load_w = np.full((cases, networks), np.nan)
    loss_w = np.full((cases, networks), np.nan)
    iron_w = np.full((cases, networks), np.nan)
    low = np.full((cases, networks), np.nan)
    iterations = np.zeros((cases, networks), np.int64)
    outcome = np.full((cases, networks), NOT_SOLVED, np.int8)
    voltage = np.full((cases, len(watch)), complex(np.nan, np.nan))
    positions = elements = 0
    for u in range(networks):
        positions = max(positions, starts[u + 1] - starts[u])
        elements = max(elements, e_starts[u + 1] - e_starts[u])
    # Room for one network; positions count from the network's first.
    vr, vi = np.zeros((positions, n, LANES)), np.zeros((positions, n, LANES))
    jr, ji = np.zeros((positions, n, LANES)), np.zeros((positions, n, LANES))
    sr, si = np.zeros((elements, LANES)), np.zeros((elements, LANES))
    er, ei = np.zeros((elements, LANES)), np.zeros((elements, LANES))
    change, taken = np.zeros(LANES), np.zeros(LANES, np.int64)
    finite = np.zeros(LANES, np.bool_)
    steps = (cases + LANES - 1) // LANES
    for u in range(networks):
        if shape[u] != RADIAL:
            continue
        begin, end, e0, e1 = starts[u], starts[u + 1], e_starts[u], e_starts[u + 1]
        size = end - begin
        above = parent[begin:end] - begin
        au, bu, du = a[begin:end], b[begin:end], d[begin:end]
        plain_u, scale_u = plain[begin:end], scale[begin:end]
        where = e_position - begin
        m = meter[u] - begin
        fresh = True
        for s in range(steps):
            for t in range(LANES):
                case = min(t * steps + s, cases - 1)  # the last lanes may repeat the last case
                ok = True
                for i in range(n):
                    x = source[case if len(source) > 1 else 0, u, i]
                    ok &= np.isfinite(x.real) and np.isfinite(x.imag)
                    vr[0, i, t], vi[0, i, t] = x.real, x.imag
                for e in range(e0, e1):
                    sr[e - e0, t], si[e - e0, t] = p_w[case, e], q_var[case, e]
                    ok &= np.isfinite(p_w[case, e]) and np.isfinite(q_var[case, e])
                finite[t] = ok
                if not ok:
                    sr[: e1 - e0, t] = 0.0
                    si[: e1 - e0, t] = 0.0
                taken[t] = 0
            if fresh:  # the voltages without load
                jr[:] = 0.0
                ji[:] = 0.0
                _forward(0, size, above, plain_u, au, bu, scale_u, jr, ji, vr, vi, change)
            fresh = False
            for sweeps in range(1, max_iterations + 1):
                jr[:size] = 0.0
                ji[:size] = 0.0
                change[:] = 0.0
                _currents(e0, e1, where, e_from, e_to, factor, sr, si, vr, vi, er, ei, jr, ji)
                _backward(0, size, above, plain_u, du, jr, ji)
                _forward(0, size, above, plain_u, au, bu, scale_u, jr, ji, vr, vi, change)
                open_lanes = 0
                for t in range(LANES):
                    if taken[t] == 0 and change[t] <= tolerance * tolerance:
                        taken[t] = sweeps
                    open_lanes += finite[t] and taken[t] == 0
                if open_lanes == 0:
                    break
            for t in range(LANES):
                case = min(t * steps + s, cases - 1)
                if not finite[t]:
                    outcome[case, u] = MISSING
                    fresh = True
                    continue
                iterations[case, u] = taken[t] if taken[t] > 0 else max_iterations
                if taken[t] == 0:
                    outcome[case, u] = DIVERGED
                    fresh = True
                    continue
                outcome[case, u] = CONVERGED
                supply = 0.0
                for i in range(n):
                    total = complex(jr[m, i, t], ji[m, i, t])
                    for k in range(n):
                        total += meter_shunt[u, i, k] * complex(vr[m, k, t], vi[m, k, t])
                    supply += vr[m, i, t] * total.real + vi[m, i, t] * total.imag
                used = 0.0
                for e in range(e1 - e0):
                    c, i, k = where[e0 + e], e_from[e0 + e], e_to[e0 + e]
                    x, y = vr[c, i, t], vi[c, i, t]
                    if k >= 0:
                        x, y = x - vr[c, k, t], y - vi[c, k, t]
                    used += x * er[e, t] + y * ei[e, t]
                load_w[case, u], loss_w[case, u] = used, supply - used
                lost = 0.0
                for o in range(iron_starts[u], iron_starts[u + 1]):
                    c = iron_position[o] - begin
                    for i in range(n):
                        total = 0j
                        for k in range(n):
                            total += iron[o, i, k] * complex(vr[c, k, t], vi[c, k, t])
                        lost += vr[c, i, t] * total.real + vi[c, i, t] * total.imag
                iron_w[case, u] = lost
                least = np.inf
                for c in range(size):
                    for i in range(n):
                        if scale_u[c, i] > 0.0:
                            least = min(least, scale_u[c, i] * (vr[c, i, t] ** 2 + vi[c, i, t] ** 2))
                low[case, u] = np.sqrt(least)
                for w in range(watch_starts[u], watch_starts[u + 1]):
                    c, i = watch[w, 0] - begin, watch[w, 1]
                    voltage[case, w] = complex(vr[c, i, t], vi[c, i, t])
    return load_w, loss_w, iron_w, low, iterations, outcome, voltage


RADIAL = np.int8(Shape.RADIAL)
CONVERGED, DIVERGED = np.int8(Outcome.CONVERGED), np.int8(Outcome.DIVERGED)
MISSING, NOT_SOLVED = np.int8(Outcome.MISSING), np.int8(Outcome.NOT_SOLVED)
