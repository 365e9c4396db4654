"""An electrical network as the load flow takes it: conductors, transformers, loads; phase by phase.

Values come from a network model (`sync.sources.cim`) or from the master data, in SI units at the equipment itself, not
per unit. Names are those of IEC 61970 where it has one.
"""

from __future__ import annotations

import cmath
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from grid.model import unique

#: Conductors that equipment may have, in this order: the phases and the neutral.
CONDUCTORS = "ABCN"
#: Buses of one circuit. A large feeder has some thousands.
MAX_BUSES = 200_000

#: A square matrix by rows, in the order of the conductors that it belongs to.
Matrix = tuple[tuple[complex, ...], ...]


class Winding(StrEnum):
    """How the phases of a winding, load or capacitor are connected."""

    WYE = "wye"  # from each phase to neutral or earth
    DELTA = "delta"  # from each phase to the next


@dataclass(frozen=True, slots=True)
class Bus:
    """A point of one potential a conductor."""

    code: str
    nominal_v: float
    """Between phases, of the equipment's base voltage; per-unit voltages are its 1/√3."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line segment (ACLineSegment) of one to four conductors, of its whole length."""

    code: str
    from_bus: str
    to_bus: str
    conductors: str
    """Such as "ABC", "BC", "ABCN": the order of the matrices."""
    impedance_ohm: Matrix
    """In series."""
    charging_s: Matrix
    """Admittance to earth and between conductors, half of it at each end."""

    def __post_init__(self) -> None:
        _check_conductors(self.code, self.conductors, CONDUCTORS)
        for matrix in (self.impedance_ohm, self.charging_s):
            _check_matrix(self.code, matrix, len(self.conductors))


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch or fuse; without impedance while closed."""

    code: str
    from_bus: str
    to_bus: str
    conductors: str
    closed: bool

    def __post_init__(self) -> None:
        _check_conductors(self.code, self.conductors, CONDUCTORS)


@dataclass(frozen=True, slots=True)
class Transformer:
    """A transformer or a bank of single-phase ones, between two windings.

    The off-load ratio of phase p is `from_v` / (`to_v` × `tap_ratio[p]`). A wye winding counts as solidly earthed.
    """

    code: str
    from_bus: str
    to_bus: str
    phases: str
    """Of "ABC": which phases (wye) or pairs beginning with them (delta: A is A–B, B is B–C, C is C–A) it has."""
    from_winding: Winding
    to_winding: Winding
    from_v: float
    """Rated, between phases; of a bank of single-phase units in wye, √3 times what a unit has."""
    to_v: float
    impedance_ohm: complex
    """In series, of one phase, seen at the second winding as if that were in wye; load loss is in its real part."""
    magnetising_s: complex = 0j
    """Of one phase at the first winding as if that were in wye; no-load loss is in its real part."""
    tap_ratio: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """By phase A, B, C: above 1 raises the second winding's voltage. A regulator at a fixed tap is a transformer with
    equal voltages."""
    clock: int = 0
    """By how many times 30° the second winding's voltage lags (vector group); 0, 1, 5, 6, 7 or 11."""

    def __post_init__(self) -> None:
        _check_conductors(self.code, self.phases, "ABC")
        if not (self.from_v > 0 and self.to_v > 0):
            raise ValueError(f"transformer {self.code}: rated voltages {self.from_v} and {self.to_v}")
        if any(not 0.5 <= ratio <= 2.0 for ratio in self.tap_ratio):
            raise ValueError(f"transformer {self.code}: tap ratios {self.tap_ratio}")
        if self.clock not in (0, 1, 5, 6, 7, 11):
            raise ValueError(f"transformer {self.code}: clock {self.clock}")
        _check_finite(self.code, (self.impedance_ohm, self.magnetising_s))


@dataclass(frozen=True, slots=True)
class Load:
    """A load by phase, at its nominal voltage, of constant power, current or impedance or a mixture of them."""

    code: str
    bus: str
    phases: str
    """Of "ABC": the phases of a wye load, or the pairs of a delta load by the first of each (C is C–A)."""
    winding: Winding
    power_va: tuple[complex, ...]
    """Of each of `phases`, taken positive."""
    nominal_v: float
    """Between phases, at which `power_va` is taken."""
    shares: tuple[float, float, float] = (1.0, 0.0, 0.0)
    """Of active power: constant power, current, impedance; they sum to 1."""
    reactive_shares: tuple[float, float, float] = (1.0, 0.0, 0.0)
    band_pu: tuple[float, float] = (0.0, float("inf"))
    """Of nominal voltage: beyond it the load is the constant impedance that it has at the limit (as OpenDSS does)."""

    def __post_init__(self) -> None:
        _check_conductors(self.code, self.phases, "ABC")
        if len(self.power_va) != len(self.phases):
            raise ValueError(f"load {self.code}: {len(self.power_va)} powers for phases {self.phases}")
        _check_finite(self.code, self.power_va)
        if not self.nominal_v > 0:
            raise ValueError(f"load {self.code}: nominal voltage {self.nominal_v}")
        for shares in (self.shares, self.reactive_shares):
            if abs(sum(shares) - 1.0) > 1e-6:
                raise ValueError(f"load {self.code}: shares {shares} don't sum to 1")
        if not 0.0 <= self.band_pu[0] <= self.band_pu[1]:
            raise ValueError(f"load {self.code}: band {self.band_pu}")


@dataclass(frozen=True, slots=True)
class Capacitor:
    """A shunt capacitor or reactor (LinearShuntCompensator), of constant admittance."""

    code: str
    bus: str
    phases: str
    winding: Winding
    admittance_s: tuple[complex, ...]
    """Of each of `phases`."""

    def __post_init__(self) -> None:
        _check_conductors(self.code, self.phases, "ABC")
        if len(self.admittance_s) != len(self.phases):
            raise ValueError(f"capacitor {self.code}: {len(self.admittance_s)} admittances for phases {self.phases}")
        _check_finite(self.code, self.admittance_s)


@dataclass(frozen=True, slots=True)
class Earthing:
    """Where a neutral conductor is joined to earth, besides the transformer that feeds it."""

    code: str
    bus: str
    resistance_ohm: float
    """0: solidly."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.resistance_ohm < float("inf"):
            raise ValueError(f"earthing {self.code}: resistance {self.resistance_ohm}")


@dataclass(frozen=True, slots=True)
class Source:
    """What the circuit is fed from (EnergySource): a stiff voltage behind an impedance."""

    code: str
    bus: str
    voltage_v: tuple[complex, complex, complex]
    """Of phases A, B, C to earth, with their angles."""
    impedance_ohm: Matrix = ((0j, 0j, 0j), (0j, 0j, 0j), (0j, 0j, 0j))

    def __post_init__(self) -> None:
        _check_finite(self.code, self.voltage_v)
        _check_matrix(self.code, self.impedance_ohm, 3)


@dataclass(frozen=True, slots=True)
class Circuit:
    """A network with one source; codes are unique within each tuple and references to buses resolve."""

    source: Source
    buses: tuple[Bus, ...]
    lines: tuple[Line, ...] = ()
    switches: tuple[Switch, ...] = ()
    transformers: tuple[Transformer, ...] = ()
    loads: tuple[Load, ...] = ()
    capacitors: tuple[Capacitor, ...] = ()
    earthings: tuple[Earthing, ...] = ()

    def __post_init__(self) -> None:
        if len(self.buses) > MAX_BUSES:
            raise ValueError(f"a circuit of {len(self.buses)} buses, of at most {MAX_BUSES}")
        known = unique("bus", (b.code for b in self.buses))
        unique("line", (x.code for x in self.lines))
        unique("switch", (x.code for x in self.switches))
        unique("transformer", (x.code for x in self.transformers))
        unique("load", (x.code for x in self.loads))
        unique("capacitor", (x.code for x in self.capacitors))
        unique("earthing", (x.code for x in self.earthings))
        branches: tuple[Line | Switch | Transformer, ...] = (*self.lines, *self.switches, *self.transformers)
        hanging: tuple[Load | Capacitor | Earthing | Source, ...] = (
            *self.loads, *self.capacitors, *self.earthings, self.source,
        )  # fmt: skip
        ends = [(branch.code, end) for branch in branches for end in _ends(branch)]
        ends += [(item.code, item.bus) for item in hanging]
        for code, bus in ends:
            if bus not in known:
                raise ValueError(f"{code} names an unknown bus: {bus}")


def _ends(branch: Line | Switch | Transformer) -> tuple[str, str]:
    if branch.from_bus == branch.to_bus:
        raise ValueError(f"{branch.code} joins bus {branch.from_bus} to itself")
    return branch.from_bus, branch.to_bus


def _check_conductors(code: str, conductors: str, among: str) -> None:
    if not conductors or len(set(conductors)) != len(conductors) or any(c not in among for c in conductors):
        raise ValueError(f"{code}: conductors {conductors!r} are none of {among}")


def _check_matrix(code: str, matrix: Matrix, size: int) -> None:
    if len(matrix) != size or any(len(row) != size for row in matrix):
        raise ValueError(f"{code}: a matrix isn't {size} by {size}")
    _check_finite(code, (value for row in matrix for value in row))


def _check_finite(code: str, values: Iterable[complex]) -> None:
    if not all(map(cmath.isfinite, values)):
        raise ValueError(f"{code}: a value isn't finite")
