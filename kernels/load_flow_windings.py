"""The two-port of what joins two buses: lines, switches, transformers of any connection, or several side by side.

Each piece is a set of windings. A winding w lies across C_from V of the bus that feeds and across C_to V of the one
that is fed; a conductor of a line is a winding of ratio 1. With J the currents that the windings deliver:

    C_to V_to = N C_from V_from − Z J        C_toᵀ J = I_to        I_from = C_fromᵀ N J

Solved for V_to and I_from this gives the matrices of Kersting (Distribution System Modeling and Analysis, ch. 8) for
wye and delta on either side, open banks, unequal taps and parallel units, without a case for each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.load_flow_tree import Complexes

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Windings:
    """Windings between two buses of n conductors, seen from the one that feeds.

    Attributes
    ----------
    feeding, fed
        float64 (windings, n): C_from and C_to; a row is a conductor (1) or a pair of them (1 and −1).
    ratio
        float64 (windings,): voltage across the fed side over that across the feeding side, off load, not 0; negative
        where a winding is turned round.
    impedance_ohm
        complex128 (windings, windings): in series, on the fed side.
    """

    feeding: Floats
    fed: Floats
    ratio: Floats
    impedance_ohm: Complexes

    def __post_init__(self) -> None:
        count = len(self.ratio)
        if self.feeding.shape != self.fed.shape or self.feeding.shape[0] != count:
            raise ValueError(f"windings of shapes {self.feeding.shape} and {self.fed.shape} for {count} ratios")
        if self.impedance_ohm.shape != (count, count):
            raise ValueError(f"an impedance of shape {self.impedance_ohm.shape} for {count} windings")

    def turned(self) -> Windings:
        """The same, fed from the other side."""
        scale = 1.0 / self.ratio
        return Windings(self.fed, self.feeding, scale, self.impedance_ohm * np.outer(scale, scale))


def side_by_side(pieces: list[Windings]) -> Windings:
    """Join pieces between the same two buses into one."""
    count = sum(len(piece.ratio) for piece in pieces)
    z = np.zeros((count, count), np.complex128)
    at = 0
    for piece in pieces:
        end = at + len(piece.ratio)
        z[at:end, at:end] = piece.impedance_ohm
        at = end
    return Windings(
        np.vstack([piece.feeding for piece in pieces]),
        np.vstack([piece.fed for piece in pieces]),
        np.concatenate([piece.ratio for piece in pieces]),
        z,
    )


def two_port(windings: Windings) -> tuple[Complexes, Complexes, Complexes, Complexes]:
    """A, B, D, Y of V_to = A V_from − B I_to and I_from = D I_to + Y V_from, each complex128 (n, n).

    Conductors without winding get 0 V. Behind a delta, where nothing ties the conductors to earth, the voltages sum
    to 0 and so must the currents: the sum of `I_to` is passed over.

    Raises
    ------
    ValueError
        When a closed delta without impedance leaves the current round it undetermined.
    """
    w = windings
    count, n = w.fed.shape
    # Currents are worked on as the volts they drop, so that the rank is told alike for milliohms and for kiloohms.
    unit_ohm = float(np.abs(w.impedance_ohm).max(initial=0.0)) or 1.0
    system = np.zeros((count + n, n + count), np.complex128)
    system[:count, :n] = w.fed
    system[:count, n:] = w.impedance_ohm / unit_ohm
    system[count:, n:] = w.fed.T
    driven = w.ratio[:, None] * w.feeding
    given = np.zeros((count + n, 2 * n), np.complex128)
    given[:count, :n] = driven
    given[count:, n:] = np.eye(n) * unit_ohm
    # The solution of least squares and least norm leaves out what is undetermined (V of absent conductors).
    answer = np.asarray(np.linalg.pinv(system, rcond=1e-12) @ given, np.complex128)
    if not np.allclose((system @ answer)[:count], given[:count], rtol=0, atol=1e-6 * float(np.abs(driven).max())):
        raise ValueError("a closed delta needs an impedance")
    current = np.asarray(driven.T @ answer[n:] / unit_ohm, np.complex128)
    return answer[:n, :n], -answer[:n, n:], current[:, n:], current[:, :n]
