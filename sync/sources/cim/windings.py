"""Values of transformers in a network model, however the file gives them: taps, impedances, no-load branches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from grid.circuit import Winding
from sync.sources.cim.rdf import Item, Model

_SQRT3 = 3**0.5
_ONE = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class End:
    """One winding as the circuit takes it."""

    item: Item
    node: Item
    bus: str
    phases: str
    """Of "ABC": of a winding between two phases the first of the pair."""
    winding: Winding
    rated_v: float
    """Between phases; √3 times that of a single-phase unit between phase and neutral."""
    clock: int
    nominal_v: float
    """Of the base voltage."""
    earth_ohm: complex = 0j
    """Between star point and earth."""
    tap_ratio: tuple[float, float, float] = _ONE


@dataclass(frozen=True, slots=True)
class Values:
    """Impedances of a transformer, of one phase of the equivalent star, all seen at its first end."""

    star_ohm: tuple[complex, ...]
    """In series: of two windings the whole at the second place, of three their star equivalent."""
    zero_ohm: complex
    """By how much the zero sequence of two windings differs from the positive."""
    magnetising_s: complex


@dataclass(slots=True)
class Changers:
    """Tap changers by the end that they are at."""

    by_end: Mapping[str, list[Item]]
    states: Mapping[str, list[Item]] = field(default_factory=dict)

    def ratio(self, end: Item, rated_v: float) -> float:
        """By how much the end's turns are more than rated, as a ratio.

        Raises
        ------
        CimError
            Two changers, no step, one out of its range, or a neutral voltage that isn't the rated one.
        """
        changers = self.by_end.get(end.key, [])
        if not changers:
            return 1.0
        changer, *others = changers
        if others:
            raise others[0].error("a second tap changer at the same end")
        if "RatioTapChanger.RatioTapChangerTable" in changer.values:
            raise changer.error("a table of ratios isn't taken")
        neutral_v = changer.number("TapChanger.neutralU")
        # To earth in some files, between phases in others; any other would be another ratio at the neutral step.
        if neutral_v is not None and not any(abs(neutral_v / (rated_v / k) - 1) < 0.01 for k in (1.0, _SQRT3)):
            raise changer.error(f"TapChanger.neutralU is {neutral_v:g} V at an end of {rated_v:g} V")
        step = self._step(changer)
        low, high = changer.number("TapChanger.lowStep"), changer.number("TapChanger.highStep")
        if not (-math.inf if low is None else low) <= step <= (math.inf if high is None else high):
            raise changer.error(f"step {step:g} is outside of TapChanger.lowStep to highStep")
        steps = step - (changer.number("TapChanger.neutralStep") or 0.0)
        ratio = 1.0 + steps * changer.needed("RatioTapChanger.stepVoltageIncrement") / 100
        if not 0.5 <= ratio <= 2.0:
            raise changer.error(f"step {step:g} gives a ratio of {ratio:g}")
        return ratio

    def _step(self, changer: Item) -> float:
        for state in self.states.get(changer.key, []):
            return state.needed("SvTapStep.position")
        for name in ("TapChanger.step", "TapChanger.normalStep"):
            if (step := changer.number(name)) is not None:
                return step
        raise changer.error("neither TapChanger.step nor TapChanger.normalStep is given")


@dataclass(slots=True)
class Parts:
    """Objects that describe windings, by what they describe."""

    model: Model
    mesh: Mapping[str, list[Item]]
    core: Mapping[str, list[Item]]
    star: Mapping[str, list[Item]]
    end_infos: Mapping[str, list[Item]]
    short_circuit: Mapping[str, list[Item]]
    no_load: Mapping[str, list[Item]]


def find_parts(model: Model) -> Parts:
    """The parts of all transformers.

    Raises
    ------
    CimError
        A reference leads nowhere.
    """
    return Parts(
        model,
        model.children(
            "TransformerMeshImpedance",
            "TransformerMeshImpedance.FromTransformerEnd",
            "PowerTransformerEnd",
            inverse="TransformerEnd.FromMeshImpedance",
        ),
        model.children(
            "TransformerCoreAdmittance",
            "TransformerCoreAdmittance.TransformerEnd",
            "PowerTransformerEnd",
            inverse="TransformerEnd.CoreAdmittance",
        ),
        model.children(
            "TransformerStarImpedance",
            "TransformerStarImpedance.TransformerEnd",
            "PowerTransformerEnd",
            inverse="TransformerEnd.StarImpedance",
        ),
        model.children("TransformerEndInfo", "TransformerEndInfo.TransformerTankInfo", "TransformerTankInfo"),
        model.children("ShortCircuitTest", "ShortCircuitTest.EnergisedEnd", "TransformerEndInfo"),
        model.children("NoLoadTest", "NoLoadTest.EnergisedEnd", "TransformerEndInfo"),
    )


def of_ends(parts: Parts, transformer: Item, ends: list[End]) -> Values:
    """Values of a three-phase transformer: from mesh impedances, else star impedances, else those of its ends.

    Raises
    ------
    CimError
        None of them is complete.
    """
    items = [end.item for end in ends]
    pairs: dict[tuple[int, int], tuple[complex, complex]] = {}
    for number, item in enumerate(items):
        for mesh in parts.mesh.get(item.key, []):
            other = parts.model.parent(mesh, "TransformerMeshImpedance.ToTransformerEnd")
            if other not in items:
                raise mesh.error("it leads to an end of another transformer")
            to = items.index(other)
            pairs[min(number, to), max(number, to)] = _sequence(
                mesh, "TransformerMeshImpedance", _at_first(ends, number)
            )
    magnetising = sum((_magnetising(parts, item, _at_first(ends, n)) for n, item in enumerate(items)), 0j)
    if pairs:
        return _from_pairs(transformer, pairs, len(ends), magnetising)
    if any(item.key in parts.star for item in items):
        if any(item.key not in parts.star for item in items):
            raise transformer.error("only some of its ends have a star impedance")
        branches = [
            _sequence(parts.star[item.key][0], "TransformerStarImpedance", _at_first(ends, n))
            for n, item in enumerate(items)
        ]
    else:
        if all(item.number("PowerTransformerEnd.x") is None for item in items):
            raise transformer.error("it has no impedance: neither of a mesh, nor of a star, nor x of its ends")
        branches = [_sequence(item, "PowerTransformerEnd", _at_first(ends, n), 0.0) for n, item in enumerate(items)]
    return _from_star(transformer, branches, magnetising)


def of_tests(parts: Parts, tank: Item, ends: list[End], infos: list[Item], between: list[bool]) -> Values:
    """Values of a tank from its tests (IEC 60076-1): short circuit and no load.

    Parameters
    ----------
    between
        By end: whether it is a single winding between two phases, whose equivalent star has a third of its impedance.

    Raises
    ------
    CimError
        A test is missing or contradicts itself.
    """
    pairs: dict[tuple[int, int], tuple[complex, complex]] = {}
    magnetising = 0j
    for number, info in enumerate(infos):
        factor = _at_first(ends, number) / (3 if between[number] else 1)
        for test in parts.short_circuit.get(info.key, []):
            other = parts.model.parent(test, "ShortCircuitTest.GroundedEnds")
            if other not in infos or other is info:
                raise test.error("it grounds an end of another transformer, or its own")
            to = infos.index(other)
            z = factor * _leakage(test, info)
            pairs[min(number, to), max(number, to)] = (z, z)
        for test in parts.no_load.get(info.key, []):
            magnetising += _no_load(test, info) / factor
    return _from_pairs(tank, pairs, len(ends), magnetising)


def _leakage(test: Item, info: Item) -> complex:
    """Impedance of a short-circuit test in ohm: its magnitude is measured, its real part follows from the loss."""
    magnitude = test.needed("ShortCircuitTest.leakageImpedance")
    current = test.positive("TransformerTest.basePower") / info.positive("TransformerEndInfo.ratedU")
    resistance = test.needed("ShortCircuitTest.loss") * 1e3 / current**2  # in kW, as every loss of a test
    if not 0 <= resistance <= magnitude * 1.0001:
        raise test.error(f"a loss of {resistance:g} ohm in an impedance of {magnitude:g} ohm")
    return complex(resistance, math.sqrt(max(magnitude**2 - resistance**2, 0.0)))


def _no_load(test: Item, info: Item) -> complex:
    voltage = info.positive("TransformerEndInfo.ratedU")
    if test.number("NoLoadTest.energisedEndVoltage"):
        voltage = test.positive("NoLoadTest.energisedEndVoltage")
    conductance = test.needed("NoLoadTest.loss") * 1e3 / voltage**2
    base = test.positive("TransformerTest.basePower")
    magnitude = test.needed("NoLoadTest.excitingCurrent") / 100 * base / voltage**2
    if conductance < 0 or magnitude < 0:
        raise test.error("a loss or current below 0")
    return complex(conductance, -math.sqrt(max(magnitude**2 - conductance**2, 0.0)))


def _magnetising(parts: Parts, end: Item, factor: float) -> complex:
    """Of one end, seen at the first; inductive, whichever sign a file gives the susceptance."""
    sources = [(core, "TransformerCoreAdmittance") for core in parts.core.get(end.key, [])]
    total = 0j
    for item, kind in sources or [(end, "PowerTransformerEnd")]:
        total += complex(item.passive(f"{kind}.g"), -abs(item.number(f"{kind}.b") or 0.0))
    return total / factor


def _sequence(item: Item, kind: str, factor: float, default: float | None = None) -> tuple[complex, complex]:
    """Positive and zero sequence impedance, times `factor`; the zero sequence is the positive where it isn't given."""
    r, x = item.number(f"{kind}.r"), item.number(f"{kind}.x")
    r = item.needed(f"{kind}.r") if r is None and default is None else r or 0.0
    x = item.needed(f"{kind}.x") if x is None and default is None else x or 0.0
    r0, x0 = item.number(f"{kind}.r0"), item.number(f"{kind}.x0")
    return factor * complex(r, x), factor * complex(r if r0 is None else r0, x if x0 is None else x0)


def _at_first(ends: list[End], number: int) -> float:
    return (ends[0].rated_v / ends[number].rated_v) ** 2


def _from_pairs(
    owner: Item, pairs: Mapping[tuple[int, int], tuple[complex, complex]], count: int, magnetising: complex
) -> Values:
    wanted = [(0, 1)] if count == 2 else [(0, 1), (0, 2), (1, 2)]
    if lacking := [pair for pair in wanted if pair not in pairs]:
        raise owner.error(f"no impedance between its ends {lacking[0][0] + 1} and {lacking[0][1] + 1}")
    if count == 2:
        positive, zero = pairs[0, 1]
        return Values((0j, positive), zero - positive, magnetising)
    if any(positive != zero for positive, zero in pairs.values()):
        raise owner.error("three windings with a zero-sequence impedance of their own aren't taken")
    first, second, third = (pairs[pair][0] for pair in wanted)
    star = ((first + second - third) / 2, (first + third - second) / 2, (second + third - first) / 2)
    return Values(star, 0j, magnetising)


def _from_star(owner: Item, branches: list[tuple[complex, complex]], magnetising: complex) -> Values:
    if len(branches) == 2:
        (first, first_zero), (second, second_zero) = branches
        positive = first + second
        return Values((0j, positive), first_zero + second_zero - positive, magnetising)
    if any(positive != zero for positive, zero in branches):
        raise owner.error("three windings with a zero-sequence impedance of their own aren't taken")
    return Values(tuple(positive for positive, _ in branches), 0j, magnetising)
