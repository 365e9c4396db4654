"""Line segments and switches of a network model."""

from __future__ import annotations

from collections.abc import Iterator

from grid.circuit import CONDUCTORS, Line, Matrix, Switch
from sync.sources.cim.rdf import Item
from sync.sources.cim.site import SWITCHES, Site, phase_of

_PER_LENGTH = ("PerLengthPhaseImpedance", "PerLengthSequenceImpedance")


def read_lines(site: Site) -> Iterator[Line]:
    """All line segments in service, with the impedance of their whole length.

    The impedance comes from a matrix per length, from sequence data per length, or from the segment's own sequence
    data, which stand for a transposed line (Kersting, Distribution System Modeling and Analysis, section 4.1).

    Raises
    ------
    CimError
        No impedance, or one that doesn't fit the phases.
    """
    phases = site.model.children("ACLineSegmentPhase", "ACLineSegmentPhase.ACLineSegment", "ACLineSegment")
    data = site.model.children("PhaseImpedanceData", "PhaseImpedanceData.PhaseImpedance", "PerLengthPhaseImpedance")
    for item in site.model.of("ACLineSegment"):
        if site.out_of_service(item):
            continue
        here, there = site.buses_of(item, 2)
        conductors = _conductors(site, item, phases.get(item.key, []))
        per_length = site.model.follow(item, "ACLineSegment.PerLengthImpedance", *_PER_LENGTH)
        if per_length is None:
            impedance, charging = _own(item, len(conductors))
        else:
            length_m = item.positive("Conductor.length")
            if per_length.kind == "PerLengthPhaseImpedance":
                matrices = _from_matrix(item, per_length, data.get(per_length.key, []), len(conductors))
            else:
                matrices = _from_sequence(per_length, "PerLengthSequenceImpedance", len(conductors))
            impedance, charging = (_times(matrix, length_m) for matrix in matrices)
        yield Line(site.codes[item.key], here, there, conductors, impedance, charging)


def read_switches(site: Site) -> Iterator[Switch]:
    """All switches in service, closed as the model says: by phase, else now, else normally.

    Raises
    ------
    CimError
        No position, or a phase that leads to another.
    """
    phases = site.model.children("SwitchPhase", "SwitchPhase.Switch", *SWITCHES)
    for item in site.model.of(*SWITCHES):
        if site.out_of_service(item):
            continue
        here, there = site.buses_of(item, 2)
        parts = phases.get(item.key, [])
        if parts:
            closed = "".join(phase for phase in CONDUCTORS if phase in dict(_closed_phases(item, parts)))
            conductors = closed or "".join(phase_of(part, "SwitchPhase.phaseSide1") for part in parts)
            is_closed = bool(closed)
        else:
            conductors, is_closed = site.phases_at(item), not _is_open(item)
        yield Switch(site.codes[item.key], here, there, conductors, is_closed)


def _closed_phases(item: Item, parts: list[Item]) -> Iterator[tuple[str, Item]]:
    for part in parts:
        phase = phase_of(part, "SwitchPhase.phaseSide1")
        if phase_of(part, "SwitchPhase.phaseSide2") != phase:
            raise item.error("a phase that leads to another isn't taken")
        closed = part.flag("SwitchPhase.closed")
        if closed is None:
            closed = not _is_open(item)
        if closed:
            yield phase, part


def _is_open(item: Item) -> bool:
    for name in ("Switch.open", "Switch.normalOpen"):
        if (state := item.flag(name)) is not None:
            return state
    raise item.error("neither Switch.open nor Switch.normalOpen is given")


def _conductors(site: Site, item: Item, parts: list[Item]) -> str:
    """Phases in the order of the matrix."""
    if not parts:
        return site.phases_at(item)
    if len(parts) > 1:
        parts = sorted(parts, key=lambda part: part.needed("ACLineSegmentPhase.sequenceNumber"))
        numbers = [part.needed("ACLineSegmentPhase.sequenceNumber") for part in parts]
        if numbers != list(range(1, len(parts) + 1)):
            raise item.error(f"sequence numbers of its phases are {numbers}")
    found = [phase_of(part, "ACLineSegmentPhase.phase") for part in parts]
    if len(set(found)) != len(found) or any(phase not in CONDUCTORS for phase in found):
        raise item.error(f"phases {' '.join(found)} aren't taken")
    return "".join(found)


def _own(item: Item, count: int) -> tuple[Matrix, Matrix]:
    if item.number("ACLineSegment.r") is None or item.number("ACLineSegment.x") is None:
        raise item.error("it has no impedance: neither ACLineSegment.PerLengthImpedance nor r and x of its own")
    return _from_sequence(item, "ACLineSegment", count)


def _from_sequence(item: Item, kind: str, count: int) -> tuple[Matrix, Matrix]:
    r, x, r0, x0 = (item.needed(f"{kind}.{name}") for name in ("r", "x", "r0", "x0"))
    if min(r, r0) < 0:
        raise item.error("a resistance below 0")
    g, g0 = (item.passive(f"{kind}.{name}") for name in ("gch", "g0ch"))
    b, b0 = (item.number(f"{kind}.{name}") or 0.0 for name in ("bch", "b0ch"))
    if count > 3:
        raise item.error("sequence data have no neutral")
    return transposed(complex(r, x), complex(r0, x0), count), transposed(complex(g, b), complex(g0, b0), count)


def transposed(positive: complex, zero: complex, count: int) -> Matrix:
    """The matrix of `count` phases that has these sequence values when all three are there."""
    own, mutual = (2 * positive + zero) / 3, (zero - positive) / 3
    return tuple(tuple(own if row == column else mutual for column in range(count)) for row in range(count))


def _from_matrix(item: Item, per_length: Item, data: list[Item], count: int) -> tuple[Matrix, Matrix]:
    conductors = per_length.number("PerLengthPhaseImpedance.conductorCount")
    if conductors is not None and conductors != count:
        raise item.error(f"{count} phases, with an impedance of {conductors:g} conductors: {per_length.name!r}")
    series: dict[tuple[int, int], complex] = {}
    shunt: dict[tuple[int, int], complex] = {}
    for entry in data:
        place = _place(per_length, entry, count)
        r, x = (entry.needed(f"PhaseImpedanceData.{name}") for name in ("r", "x"))
        g, b = (entry.number(f"PhaseImpedanceData.{name}") or 0.0 for name in ("g", "b"))
        z, y = complex(r, x), complex(g, b)
        if place[0] == place[1] and min(r, g) < 0:
            raise per_length.error(f"a resistance or conductance in line {entry.line} is below 0")
        if series.setdefault(place, z) != z or shunt.setdefault(place, y) != y:
            raise per_length.error(f"row {place[0] + 1}, column {place[1] + 1} is given twice")
    wanted = [(row, column) for row in range(count) for column in range(row + 1)]
    if lacking := [place for place in wanted if place not in series]:
        raise per_length.error(f"no value at row {lacking[0][0] + 1}, column {lacking[0][1] + 1}")
    return _symmetric(series, count), _symmetric(shunt, count)


def _place(per_length: Item, entry: Item, count: int) -> tuple[int, int]:
    """Row and column from 0, the row not before the column."""
    row, column = entry.number("PhaseImpedanceData.row"), entry.number("PhaseImpedanceData.column")
    places = [(low, left) for left in range(count) for low in range(left, count)]
    if row is None and column is None:  # CIM16 numbers the lower triangle column by column
        number = entry.needed("PhaseImpedanceData.sequenceNumber")
        if number in range(1, len(places) + 1):
            return places[int(number) - 1]
    elif row is not None and column is not None:
        low, left = max(row, column) - 1, min(row, column) - 1
        if (low, left) in places:
            return int(low), int(left)
    raise per_length.error(f"a value in line {entry.line} is outside the matrix of {count} conductors")


def _symmetric(values: dict[tuple[int, int], complex], count: int) -> Matrix:
    return tuple(tuple(values[max(row, column), min(row, column)] for column in range(count)) for row in range(count))


def _times(matrix: Matrix, factor: float) -> Matrix:
    return tuple(tuple(value * factor for value in row) for row in matrix)
