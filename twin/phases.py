"""Which phase each customer and generator is on, and what lines are in the zero sequence.

SimBench is balanced: neither is in its data.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from twin.draws import draw
from twin.network import Lines, Network, Point
from twin.tariffs import tariff_class

#: Value of a three-phase point; 0, 1, 2 are the phases A, B, C.
THREE_PHASE = 3
#: Of `grid.model.PHASES`, by the value.
PHASE_NAMES = ("A", "B", "C", "ABC")

#: A customer with less has a single-phase supply in China (供电营业规则 of 1996, article 8: 220 V below 10 kW).
SINGLE_PHASE_VA = 10_000.0
#: Between the phases of a connection, of generators (VDE-AR-N 4105) and of charging points and heat pumps
#: (VDE-AR-N 4100): what is larger has three phases.
UNBALANCE_VA = 4_600.0

#: Share of those below their limit that are single-phase. An assumption: nothing is published for SimBench's grids.
_SINGLE_PHASE_SHARE = {
    "household": 0.9,
    "commercial": 0.5,
    "agricultural": 0.3,
    "industrial": 0.0,
    "charging": 1.0,
    "heating": 0.5,
    "generation": 1.0,
}
_BY_UNBALANCE = frozenset({"charging", "heating", "generation"})


def assign_phases(network: Network, seed: int) -> NDArray[np.int8]:
    """Phase of each point, shape (points,): 0, 1, 2 = A, B, C, and 3 = three-phase.

    A point is single-phase when its rating is within the limit of its kind and the draw of its code is within the
    share. The single-phase consumers of an area are dealt out to A, B, C in the order of a second draw, and its
    generators likewise, beginning at a phase of the area's own: so their numbers differ by one at most, and what
    they draw differs by chance. At medium voltage everything is three-phase. The same code and seed give the same
    phase, however many areas are read.
    """
    points = network.points
    single = _single_phase(points, seed)
    phases = np.full(len(points), THREE_PHASE, dtype=np.int8)
    at = np.flatnonzero(single)
    if not len(at):
        return phases
    group = np.array([2 * points[i].area + points[i].generation for i in at], dtype=np.int64)
    order = np.lexsort((draw(seed, "phase", [points[i].code for i in at]), group))
    ordered = group[order]
    firsts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
    rank = np.arange(len(ordered)) - np.repeat(firsts, np.diff(np.append(firsts, len(ordered))))
    names = [f"{area.code}/{kind}" for area in network.areas for kind in ("consumers", "generators")]
    begin = np.floor(3 * draw(seed, "first phase", names)).astype(np.int64)
    phases[at[order]] = (rank + begin[ordered]) % 3
    return phases


def _single_phase(points: Sequence[Point], seed: int) -> NDArray[np.bool_]:
    kinds = [tariff_class(p.profile, generation=p.generation) for p in points]
    limit_va = np.array([UNBALANCE_VA if kind in _BY_UNBALANCE else SINGLE_PHASE_VA for kind in kinds])
    share = np.array([_SINGLE_PHASE_SHARE.get(kind, 0.0) for kind in kinds])
    rating_va = np.array([p.rating_va for p in points])
    low_voltage = np.array([p.area >= 0 for p in points], dtype=np.bool_)
    drawn = draw(seed, "single phase", [p.code for p in points])
    single: NDArray[np.bool_] = low_voltage & (rating_va <= limit_va) & (drawn < share)
    return single


def zero_sequence(lines: Lines) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Zero-sequence resistance and reactance in ohms and capacitance in farads, of each line's whole length.

    Low voltage: a cable of four equal cores (SimBench's are NAYY 4×150 and 4×240) with the return in the neutral
    alone. After IEC 60909-2 (DIN EN 60909-0 supplement 4), table 7, its impedance is then

        Z0 = 4 R + j 4 ω μ0/2π (1/4 + ln(√(d_LN³ / d) / r)),

    where the geometric mean distances d between the line conductors and d_LN from these to the neutral are the same
    for cores at the corners of a square. So ``r0 = 4 r1`` and ``x0 = 4 x1``: the loop of one phase and the neutral,
    ``(2 r1 + r0) / 3``, has twice the resistance of a core. Earth in parallel to the neutral would lower both. The
    capacitance to the neutral and earth is taken as half of the operating capacitance, as is usual for cables with
    common insulation; at low voltage its current is of no account.

    Medium voltage: the same ratios, and ``c0 = c1`` as of single-core cables with a screen each. They only keep the
    equations regular: distribution transformers are delta-connected there and customers have no neutral, so that no
    zero-sequence current flows however unbalanced the low voltage is.
    """
    low = lines.area >= 0
    return 4.0 * lines.resistance_ohm, 4.0 * lines.reactance_ohm, np.where(low, 0.5, 1.0) * lines.capacitance_f
