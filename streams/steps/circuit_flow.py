"""From a `Circuit` to the load flow's arrays, and back to values by the circuit's own names."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from grid.circuit import CONDUCTORS, Circuit, Line, Load, Matrix, Switch, Transformer, Winding
from kernels.load_flow_phases import Elements, PhaseNetwork, phase_network, unbalanced_flow
from kernels.load_flow_tree import Outcome, Shape, orient
from kernels.load_flow_windings import Windings, side_by_side, two_port

Branch = Line | Switch | Transformer
Complexes = NDArray[np.complex128]

_SQRT_3 = math.sqrt(3.0)
#: By connection (of the first and the second winding) and clock: which winding of the second belongs to the first's
#: winding A, and whether it is turned round. Yd11 has the second's A–B from −B, so the first's A feeds C–A.
_PAIRING = {
    (Winding.WYE, Winding.WYE): {0: (0, 1), 6: (0, -1)},
    (Winding.DELTA, Winding.DELTA): {0: (0, 1), 6: (0, -1)},
    (Winding.DELTA, Winding.WYE): {11: (0, 1), 5: (0, -1), 1: (1, -1), 7: (1, 1)},
    (Winding.WYE, Winding.DELTA): {1: (0, 1), 7: (0, -1), 11: (2, -1), 5: (2, 1)},
}


class CircuitError(ValueError):
    """A circuit that can't be solved; the message names the object at fault."""


@dataclass(frozen=True, slots=True)
class CircuitFlow:
    """Result of `circuit_flow`."""

    load_w: float
    """What the loads take at the solved voltages."""
    loss_w: float
    """Between the source's terminals and the loads; that of the source's own impedance isn't in it."""
    no_load_loss_w: float
    """The part of it in iron."""
    iterations: int
    voltage_pu: dict[str, dict[str, float]]
    """To earth, over nominal / √3, by bus and phase; buses out of the source's reach have none."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedCircuit:
    """A circuit ready for many cases.

    Attributes
    ----------
    network
        For `unbalanced_flow`. Its elements are the phases of each load, in the order of the circuit's loads; what takes
        no power and can't be fed is left out.
    power_va
        complex128 (elements,): their powers as the circuit has them.
    source_v
        complex128 (n,).
    watched
        Bus and phase of each voltage of the flow.
    nominal_v
        float64 (watched,): between phases.
    """

    network: PhaseNetwork
    power_va: Complexes
    source_v: Complexes
    watched: tuple[tuple[str, str], ...]
    nominal_v: NDArray[np.float64]


def circuit_flow(circuit: Circuit, *, tolerance: float = 1e-9, max_iterations: int = 100) -> CircuitFlow:
    """Solve a circuit at the loads that it names.

    Raises
    ------
    CircuitError
        When it isn't radial, a load or capacitor can't be fed, a vector group doesn't exist, or no solution was found.
    """
    ready = prepare(circuit, [bus.code for bus in circuit.buses])
    powers = ready.power_va[None, :]
    flow = unbalanced_flow(
        ready.network,
        powers.real,
        powers.imag,
        ready.source_v,
        tolerance=tolerance,
        max_iterations=max_iterations,
    )
    if flow.outcome[0] != Outcome.CONVERGED:
        raise CircuitError(f"the circuit fed from {circuit.source.code} hasn't converged in {max_iterations} sweeps")
    voltage_pu: dict[str, dict[str, float]] = {}
    per_unit = np.abs(flow.voltage[0]) / ready.nominal_v * _SQRT_3
    for (bus, phase), value in zip(ready.watched, per_unit, strict=True):
        voltage_pu.setdefault(bus, {})[phase] = float(value)
    return CircuitFlow(
        float(flow.load_w[0]),
        float(flow.loss_w[0]),
        float(flow.no_load_loss_w[0]),
        int(flow.iterations[0]),
        voltage_pu,
    )


def prepare(circuit: Circuit, watch: Sequence[str] = ()) -> PreparedCircuit:
    """Make a circuit ready for many cases; `watch` names buses whose voltages are wanted.

    Raises
    ------
    CircuitError
        As `circuit_flow`, but for convergence.
    """
    n = (
        4
        if any("N" in c for c in [*(x.conductors for x in circuit.lines), *(x.conductors for x in circuit.switches)])
        else 3
    )
    groups = _side_by_side(circuit)
    place, buses = _reached(circuit, groups)
    ends = [(place[one], place[other]) for one, other in groups if one in place]
    reached = [group for (one, _), group in groups.items() if one in place]
    size = len(buses)
    from_bus, to_bus = np.array([(size, place[circuit.source.bus]), *ends], np.int64).T
    tree = orient(np.array([0, size + 1]), np.array([size]), from_bus.copy(), to_bus.copy())
    if tree.shape[0] == Shape.MESHED:
        raise CircuitError(f"{_closing(ends, reached)} closes a loop; only radial circuits are solved")

    a, b, d, y = np.zeros((4, size + 1, n, n), np.complex128)
    live = np.zeros((size + 1, n), np.bool_)
    live[0, :3] = True
    earthed = np.ones(size + 1, np.bool_)
    names = ["", *(buses[bus] for bus in tree.bus[1:])]
    for at in range(1, size + 1):
        above = int(tree.parent[at])
        if above == 0:
            stiff = Line(circuit.source.code, "", circuit.source.bus, "ABC", circuit.source.impedance_ohm, _NOTHING)
            group: list[Branch] = [stiff]
        else:
            group = reached[int(tree.branch[at]) - 1]
        a[at], b[at], d[at], y[at] = _two_port(group, names[above], live[above], earthed[above], live[at])
        grounds = [x.from_winding if x.to_bus == names[above] else x.to_winding for x in group if _transforms(x)]
        earthed[at] = Winding.WYE in grounds or (earthed[above] and len(grounds) < len(group))

    position = {code: at for at, code in enumerate(names)}
    shunt, iron = np.zeros((2, size + 1, n, n), np.complex128)
    for code, bus, admittance, to_earth in _admittances(circuit, n):
        if bus in position:
            at = position[bus]
            if to_earth and not earthed[at]:
                raise CircuitError(f"{code} joins bus {bus} to earth behind a delta winding, which isn't supported")
            (iron if np.any(admittance.real) else shunt)[at] += admittance
    for earthing in circuit.earthings:
        if earthing.bus in position and n == 4:
            shunt[position[earthing.bus], 3, 3] += 1.0 / max(earthing.resistance_ohm, _SOLID_OHM)
    nominal_v = {bus.code: bus.nominal_v for bus in circuit.buses}
    elements, powers = _elements(circuit.loads, position, live, earthed)
    watched = [(code, i) for code in watch if code in position for i in range(3) if live[position[code], i]]
    nominal = np.array([nominal_v[code] for code in [circuit.source.bus, *names[1:]]])
    try:
        network = phase_network(
            tree,
            (a, b, d, y),
            shunt,
            iron,
            nominal / _SQRT_3,
            elements,
            np.array([(position[code], i) for code, i in watched], np.int64).reshape(-1, 2),
            meter=1,
        )
    except ValueError as error:
        raise CircuitError(f"the circuit fed from {circuit.source.code}: {error}") from error
    return PreparedCircuit(
        network=network,
        power_va=powers,
        source_v=np.array([*circuit.source.voltage_v, 0j][:n]),
        watched=tuple((code, CONDUCTORS[i]) for code, i in watched),
        nominal_v=np.array([nominal_v[code] for code, _ in watched]),
    )


_NOTHING: Matrix = ((0j,) * 3,) * 3
#: Resistance of an earthing that is called solid.
_SOLID_OHM = 1e-6


def _transforms(branch: Branch) -> TypeGuard[Transformer]:
    return isinstance(branch, Transformer)


def _side_by_side(circuit: Circuit) -> dict[tuple[str, str], list[Branch]]:
    """Branches that are closed, by the two buses that they join."""
    groups: dict[tuple[str, str], list[Branch]] = {}
    branches: list[Branch] = [*circuit.lines, *(s for s in circuit.switches if s.closed), *circuit.transformers]
    for branch in branches:
        one, other = sorted((branch.from_bus, branch.to_bus))
        groups.setdefault((one, other), []).append(branch)
    return groups


def _reached(circuit: Circuit, groups: dict[tuple[str, str], list[Branch]]) -> tuple[dict[str, int], list[str]]:
    """Buses that the source reaches, numbered."""
    beside: dict[str, list[str]] = {}
    for one, other in groups:
        beside.setdefault(one, []).append(other)
        beside.setdefault(other, []).append(one)
    place = {circuit.source.bus: 0}
    order = [circuit.source.bus]
    for bus in order:
        for other in beside.get(bus, ()):
            if other not in place:
                place[other] = len(order)
                order.append(other)
    return place, order


def _closing(ends: list[tuple[int, int]], groups: list[list[Branch]]) -> str:
    """Code of the first branch that joins what is joined already."""
    root: dict[int, int] = {}

    def top(bus: int) -> int:
        while root.get(bus, bus) != bus:
            bus = root[bus]
        return bus

    for (one, other), group in zip(ends, groups, strict=True):
        if top(one) == top(other):
            return group[0].code
        root[top(one)] = top(other)
    raise AssertionError("no loop")


def _two_port(
    group: list[Branch],
    fed_from: str,
    live_above: NDArray[np.bool_],
    earthed_above: np.bool_,
    live: NDArray[np.bool_],
) -> tuple[Complexes, Complexes, Complexes, Complexes]:
    """A, B, D, Y of branches side by side; says in `live` which conductors they feed."""
    pieces = []
    for branch in group:
        piece = _windings(branch, len(live))
        turned = branch.to_bus == fed_from
        piece = piece.turned() if turned else piece
        fed = np.array([np.all(live_above[:3][row[:3] != 0]) for row in piece.feeding])
        if isinstance(branch, Transformer):
            if not fed.all():
                raise CircuitError(f"{branch.code} has a winding on a phase that bus {fed_from} doesn't have")
            if (branch.to_winding if turned else branch.from_winding) is Winding.WYE and not earthed_above:
                raise CircuitError(f"{branch.code} is earthed at bus {fed_from}, behind a delta winding")
        live |= np.any(piece.fed[fed] != 0, axis=0)
        pieces.append(piece)
    if len(group) == 1 and not isinstance(group[0], Transformer):
        there = np.diag(pieces[0].fed.sum(axis=0)).astype(np.complex128)
        return there, pieces[0].fed.T @ pieces[0].impedance_ohm @ pieces[0].fed, there, np.zeros_like(there)
    try:
        return two_port(side_by_side(pieces))
    except ValueError as error:
        raise CircuitError(f"{group[0].code}: {error}") from error


def _windings(branch: Branch, n: int) -> Windings:
    """Windings of a branch of any kind, fed at its `from_bus`."""
    if isinstance(branch, Transformer):
        return _transformer(branch, n)
    rows = np.eye(n)[[CONDUCTORS.index(c) for c in branch.conductors]]
    count = len(rows)
    z = np.array(branch.impedance_ohm) if isinstance(branch, Line) else np.zeros((count, count), np.complex128)
    return Windings(rows, rows, np.ones(count), z)


def _transformer(transformer: Transformer, n: int) -> Windings:
    pairing = _PAIRING[transformer.from_winding, transformer.to_winding]
    first = {CONDUCTORS.index(phase) for phase in transformer.phases}
    if len(first) < 3 and transformer.clock == 0:
        shift, sign = 0, 1  # a bank with windings missing: each winding feeds the one of its own name
    elif transformer.clock in pairing:
        shift, sign = pairing[transformer.clock]
    else:
        kinds = f"{transformer.from_winding}-{transformer.to_winding}"
        raise CircuitError(f"{transformer.code}: no {kinds} transformer has clock {transformer.clock}")
    of_from = sorted(first)
    of_to = [(i + shift) % 3 for i in of_from]
    across_from = 1.0 if transformer.from_winding is Winding.DELTA else 1.0 / _SQRT_3
    across_to = 1.0 if transformer.to_winding is Winding.DELTA else 1.0 / _SQRT_3
    ratio = sign * transformer.to_v * across_to / (transformer.from_v * across_from)
    z = transformer.impedance_ohm * (3.0 if transformer.to_winding is Winding.DELTA else 1.0)
    return Windings(
        _across(transformer.from_winding, of_from, n),
        _across(transformer.to_winding, of_to, n),
        ratio * np.array([transformer.tap_ratio[i] for i in of_to]),
        z * np.eye(len(of_to), dtype=np.complex128),
    )


def _across(winding: Winding, indices: Sequence[int], n: int) -> NDArray[np.float64]:
    """A row for each winding: 1 at its conductor and, in delta, −1 at the next phase."""
    rows = np.eye(n)[list(indices)]
    if winding is Winding.DELTA:
        rows -= np.eye(n)[[(i + 1) % 3 for i in indices]]
    return rows


def _admittances(circuit: Circuit, n: int) -> Iterator[tuple[str, str, Complexes, bool]]:
    """Code, bus, admittance and whether it needs a bus whose voltage to earth is known."""
    for line in circuit.lines:
        half = np.array(line.charging_s) / 2.0
        if np.any(half):
            rows = np.eye(n)[[CONDUCTORS.index(c) for c in line.conductors]]
            for bus in (line.from_bus, line.to_bus):
                yield line.code, bus, np.asarray(rows.T @ half @ rows, np.complex128), False
    for transformer in circuit.transformers:
        if transformer.magnetising_s:
            rows = _windings(transformer, n).feeding
            share = 3.0 if transformer.from_winding is Winding.DELTA else 1.0
            matrix = rows.T @ rows * np.complex128(transformer.magnetising_s / share)
            yield transformer.code, transformer.from_bus, matrix, False
    for capacitor in circuit.capacitors:
        rows = _across(capacitor.winding, [CONDUCTORS.index(phase) for phase in capacitor.phases], n)
        matrix = np.asarray(rows.T @ np.diag(capacitor.admittance_s) @ rows, np.complex128)
        yield capacitor.code, capacitor.bus, matrix, capacitor.winding is Winding.WYE


def _elements(
    loads: Sequence[Load], position: dict[str, int], live: NDArray[np.bool_], earthed: NDArray[np.bool_]
) -> tuple[Elements, Complexes]:
    """The loads' phases, each between two conductors or to earth, and their powers."""
    places, shares, volts, bands, powers = [], [], [], [], []
    for load in loads:
        at = position.get(load.bus, -1)
        for phase, power in zip(load.phases, load.power_va, strict=True):
            one = CONDUCTORS.index(phase)
            delta = load.winding is Winding.DELTA
            other = (one + 1) % 3 if delta else 3 if live.shape[1] == 4 and live[at, 3] else -1
            if at < 0 or not live[at, one] or not (other < 0 or live[at, other]):
                if power:
                    where = "out of the source's reach" if at < 0 else f"on a phase that isn't there: {phase}"
                    raise CircuitError(f"load {load.code} at bus {load.bus} is {where}")
                continue
            if not (delta or earthed[at]):
                raise CircuitError(f"load {load.code} joins bus {load.bus} to earth behind a delta winding")
            places.append((at, one, other))
            shares.append((load.shares, load.reactive_shares))
            volts.append(load.nominal_v if delta else load.nominal_v / _SQRT_3)
            bands.append(load.band_pu)
            powers.append(power)
    at_from_to = np.array(places, np.int64).reshape(-1, 3)
    both = np.array(shares, np.float64).reshape(-1, 2, 3)
    nominal_v = np.array(volts, np.float64)
    elements = Elements(
        position=at_from_to[:, 0].copy(),
        from_conductor=at_from_to[:, 1].copy(),
        to_conductor=at_from_to[:, 2].copy(),
        nominal_v=nominal_v,
        shares=both[:, 0],
        reactive_shares=both[:, 1],
        band_v=np.array(bands, np.float64).reshape(-1, 2) * nominal_v[:, None],
    )
    return elements, np.array(powers, np.complex128)
