"""The backward/forward sweep of `kernels.load_flow_phases`, compiled.

`LANES` cases go side by side, each lane through consecutive cases and from its last solution.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.load_flow_tree import Outcome

#: Cases side by side.
LANES = 16

CONVERGED, DIVERGED = np.int8(Outcome.CONVERGED), np.int8(Outcome.DIVERGED)
MISSING, NOT_SOLVED = np.int8(Outcome.MISSING), np.int8(Outcome.NOT_SOLVED)

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
def sweep_flow(  # type: ignore[no-untyped-def]  # noqa: C901  # numba infers
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
