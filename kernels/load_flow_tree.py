"""The tree under a load flow: which bus hangs on which, and each branch's part in a sweep, prepared once.

A branch between a bus p and the bus c that it feeds is a linear two-port of n conductors: V_c = A V_p − B I_c and
I_p = D I_c + Y V_p, with I_c the current that it delivers and I_p what it takes (Kersting's forward and backward
matrices, with the wave of constant admittances left to the buses). Currents of constant admittances (charging,
magnetising, capacitors, earthing) are eliminated from the leaves upwards, so that a sweep has only the loads' currents
J left: V_c = A' V_p − B' J_c and J_p = Σ D' J_c. That is exact, and such admittances then cost nothing and can't spoil
the convergence.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Complexes = NDArray[np.complex128]
Integers = NDArray[np.int64]


class Shape(IntEnum):
    """What a network looks like from its source."""

    RADIAL = 0
    MESHED = 1  # a loop, or two branches side by side
    ISLANDED = 2  # buses that the source doesn't reach


class Outcome(IntEnum):
    """What became of one case of one network."""

    CONVERGED = 0
    DIVERGED = 1  # no solution within the sweeps allowed
    MISSING = 2  # a power or source voltage isn't finite
    NOT_SOLVED = 3  # the network isn't radial: see its shape


@dataclass(frozen=True, slots=True, eq=False)
class Orientation:
    """Result of `orient`. A position is a bus's place in the order in which every bus follows the one it hangs on.

    Attributes
    ----------
    shape
        int8 of shape (networks,): `Shape`.
    bus
        int64 of shape (buses,): the bus at each position. Positions of network u are those of its buses.
    parent
        int64 of shape (buses,): position that feeds this one; −1 for a source and for what no source reaches.
    branch
        int64 of shape (buses,): the branch from the parent; −1 where there is none.
    reversed_
        bool of shape (buses,): the branch is fed at its `to_bus`.
    """

    shape: NDArray[np.int8]
    bus: Integers
    parent: Integers
    branch: Integers
    reversed_: NDArray[np.bool_]


def orient(starts: Integers, source: Integers, from_bus: Integers, to_bus: Integers) -> Orientation:
    """Walk networks from their sources.

    Parameters
    ----------
    starts
        int64 of shape (networks + 1,), rising from 0 to the number of buses: buses of network u are
        starts[u]:starts[u+1].
    source
        int64 of shape (networks,): bus that feeds each network.
    from_bus, to_bus
        int64 of shape (branches,): ends of each branch, both in the same network.

    Raises
    ------
    ValueError
        When shapes disagree, a number names no bus, a branch joins two networks or a bus to itself.
    """
    if len(starts) < 1 or starts[0] != 0 or np.any(np.diff(starts) < 1):
        raise ValueError("starts must rise from 0, by a bus at least")
    if source.shape != (len(starts) - 1,) or np.any(source < starts[:-1]) or np.any(source >= starts[1:]):
        raise ValueError("source must name one bus of each network")
    if from_bus.shape != to_bus.shape or from_bus.ndim != 1:
        raise ValueError(f"from_bus has shape {from_bus.shape}, to_bus {to_bus.shape}")
    ends = np.concatenate([from_bus, to_bus])
    if len(ends) and (ends.min() < 0 or ends.max() >= starts[-1]):
        raise ValueError("a branch names a bus that isn't there")
    if np.any(from_bus == to_bus):
        raise ValueError("a branch joins a bus to itself")
    networks = np.searchsorted(starts, ends, side="right")
    if np.any(networks[: len(from_bus)] != networks[len(from_bus) :]):
        raise ValueError("a branch joins two networks")
    ordered = np.argsort(ends, kind="stable")
    first = np.searchsorted(ends[ordered], np.arange(starts[-1] + 1))
    return Orientation(*_orient(starts, source, from_bus, to_bus, ordered, first))


@njit(cache=True, nogil=True)
def _orient(starts, source, from_bus, to_bus, ordered, first):  # type: ignore[no-untyped-def]  # numba infers
    buses, branches = starts[-1], len(from_bus)
    shape = np.zeros(len(source), np.int8)
    order = np.empty(buses, np.int64)
    parent = np.full(buses, -1, np.int64)
    branch = np.full(buses, -1, np.int64)
    backwards = np.zeros(buses, np.bool_)
    position = np.full(buses, -1, np.int64)
    stack = np.empty(2 * branches + 1, np.int64)  # branch ends: k, or k + branches for the other one; −1: the source
    for u in range(len(source)):
        last = starts[u]
        stack[0] = -1
        height = 1
        while height > 0:
            height -= 1
            end = stack[height]
            k = end % branches if end >= 0 else -1
            bus = source[u]
            above = -1
            if end >= 0:  # the end stands at the bus that feeds
                bus = to_bus[k] if end < branches else from_bus[k]
                above = position[from_bus[k] if end < branches else to_bus[k]]
            if position[bus] >= 0:
                shape[u] = MESHED
                continue
            position[bus] = last
            order[last], parent[last], branch[last], backwards[last] = bus, above, k, end >= branches
            last += 1
            for i in range(first[bus], first[bus + 1]):
                if ordered[i] % branches != k:
                    stack[height] = ordered[i]
                    height += 1
        if last < starts[u + 1] and shape[u] == RADIAL:
            shape[u] = ISLANDED
        for bus in range(starts[u], starts[u + 1]):
            if position[bus] < 0:
                order[last] = bus
                last += 1
    return shape, order, parent, branch, backwards


RADIAL, MESHED, ISLANDED = np.int8(Shape.RADIAL), np.int8(Shape.MESHED), np.int8(Shape.ISLANDED)


@njit(cache=True, nogil=True)
def _solve(matrix, right):  # type: ignore[no-untyped-def]  # noqa: C901  # numba infers
    """Gauss elimination with pivots, in place: `right` becomes the solution; False when there is none."""
    n = len(matrix)
    for k in range(n):
        pivot = k
        for i in range(k + 1, n):
            if abs(matrix[i, k]) > abs(matrix[pivot, k]):
                pivot = i
        if not abs(matrix[pivot, k]) > 0.0:
            return False
        for j in range(n):
            matrix[k, j], matrix[pivot, j] = matrix[pivot, j], matrix[k, j]
        for j in range(right.shape[1]):
            right[k, j], right[pivot, j] = right[pivot, j], right[k, j]
        for i in range(n):
            if i != k:
                factor = matrix[i, k] / matrix[k, k]
                for j in range(k, n):
                    matrix[i, j] -= factor * matrix[k, j]
                for j in range(right.shape[1]):
                    right[i, j] -= factor * right[k, j]
    for k in range(n):
        for j in range(right.shape[1]):
            right[k, j] /= matrix[k, k]
    return True


@njit(cache=True, nogil=True)
def _product(x, y):  # type: ignore[no-untyped-def]  # numba infers
    n = len(x)
    out = np.zeros((n, n), np.complex128)
    for i in range(n):
        for k in range(n):
            if x[i, k] != 0:
                for j in range(n):
                    out[i, j] += x[i, k] * y[k, j]
    return out


def eliminate(parent: Integers, a: Complexes, b: Complexes, d: Complexes, y: Complexes, shunt: Complexes) -> None:
    """Make A, B, D of each position those of the sweep (A', B', D'), in place.

    Parameters
    ----------
    parent
        int64 of shape (buses,): position above, less than its own; −1 for none.
    a, b, d, y
        complex128 of shape (buses, n, n): the two-port from the parent. `y` is left as it is.
    shunt
        complex128 of shape (buses, n, n): constant admittance at the bus; becomes that of all below too, so that a
        bus takes the current `shunt` V + J.

    Raises
    ------
    ValueError
        When a branch and what hangs on it are in resonance.
    """
    position = _eliminate(parent, a, b, d, y, shunt)
    if position >= 0:
        raise ValueError(f"the admittances below position {position} resonate with its branch")


@njit(cache=True, nogil=True)
def _eliminate(parent, a, b, d, y, shunt):  # type: ignore[no-untyped-def]  # numba infers
    n = a.shape[1]
    both = np.empty((n, 2 * n), np.complex128)
    for c in range(len(parent) - 1, -1, -1):
        if parent[c] < 0:
            continue
        if np.any(shunt[c]):
            matrix = _product(b[c], shunt[c])
            for i in range(n):
                matrix[i, i] += 1.0
            both[:, :n] = a[c]
            both[:, n:] = b[c]
            if not _solve(matrix, both):
                return c
            a[c] = both[:, :n]
            b[c] = both[:, n:]
            taken = _product(d[c], shunt[c])
            shunt[parent[c]] += _product(taken, a[c])
            d[c] -= _product(taken, b[c])
        shunt[parent[c]] += y[c]
    return -1


def merge(parent: Integers, a: Complexes, b: Complexes, d: Complexes, keep: NDArray[np.bool_]) -> Integers:
    """Join chains of branches between buses that matter, in place and exactly, after `eliminate`.

    Parameters
    ----------
    parent, a, b, d
        As `eliminate` left them. What hangs on a bus that goes is joined to the one above it.
    keep
        bool of shape (buses,): buses that stay in any case: with loads, looked at, or a source. The others stay only
        where the network forks.

    Returns
    -------
    int64 of shape (kept,)
        Positions that stay, rising; `parent` still counts in the old positions.
    """
    return np.flatnonzero(_merge(parent, a, b, d, keep))


@njit(cache=True, nogil=True)
def _merge(parent, a, b, d, keep):  # type: ignore[no-untyped-def]  # numba infers
    below = np.zeros(len(parent), np.int64)  # branches that lead on to something kept
    stays = keep.copy()
    for c in range(len(parent) - 1, -1, -1):
        stays[c] |= below[c] > 1
        if parent[c] >= 0 and (stays[c] or below[c] > 0):
            below[parent[c]] += 1
    for c in range(len(parent)):
        above = parent[c]
        if above >= 0 and not stays[above]:
            b[c] += _product(_product(a[c], b[above]), d[c])
            a[c] = _product(a[c], a[above])
            d[c] = _product(d[above], d[c])
            parent[c] = parent[above]
    return stays


def is_plain(a: Complexes, d: Complexes) -> NDArray[np.bool_]:
    """Where A and D are the identity, as of a line with no admittance below; shape (buses,)."""
    unit: Any = np.eye(a.shape[1])
    return np.asarray(np.all((a == unit) & (d == unit), axis=(1, 2)))
