"""What a network model connects at one node: the source, loads, converters, capacitors."""

from __future__ import annotations

import cmath
from collections.abc import Iterator

from grid.circuit import Capacitor, Load, Source, Winding
from sync.sources.cim.lines import transposed
from sync.sources.cim.rdf import CimError, Item
from sync.sources.cim.site import CONSUMERS, CONVERTER, LEGS, Site, phase_of

_UNITS = ("PhotovoltaicUnit", "PowerElectronicsWindUnit", "BatteryUnit")
_SQRT3 = 3**0.5
_ALL_POWER = (1.0, 0.0, 0.0)
_PAIRS = {"AB": "A", "BC": "B", "AC": "C", "CA": "C"}


def read_source(site: Site) -> Source:
    """The one source in service.

    Raises
    ------
    CimError
        None, or more than one.
    """
    found = [item for item in site.model.of("EnergySource") if not site.out_of_service(item)]
    if not found:
        raise CimError("the model has no EnergySource in service")
    item, *others = found
    if others:
        raise others[0].error(f"a second source beside {item.name!r}: networks have one here")
    (bus,) = site.buses_of(item, 1)
    if site.phases_at(item) != "ABC":
        raise item.error("a source that hasn't all three phases isn't taken")
    magnitude_v = item.number("EnergySource.voltageMagnitude")
    if magnitude_v is None:
        magnitude_v = item.positive("EnergySource.nominalVoltage")
    if magnitude_v <= 0:
        raise item.error(f"EnergySource.voltageMagnitude is {magnitude_v:g}")
    angle = item.number("EnergySource.voltageAngle") or 0.0
    if abs(angle) > 2 * cmath.pi:
        raise item.error(f"EnergySource.voltageAngle is {angle:g}: it is in radians")
    first, second, third = (
        cmath.rect(magnitude_v / _SQRT3, angle + turn) for turn in (0.0, -2 * cmath.pi / 3, 2 * cmath.pi / 3)
    )
    values = [item.number(f"EnergySource.{name}") for name in ("r", "x", "r0", "x0")]
    if all(value is None for value in values):
        r = x = r0 = x0 = 0.0
    else:
        r, x, r0, x0 = (item.needed(f"EnergySource.{name}") for name in ("r", "x", "r0", "x0"))
    impedance = transposed(complex(r, x), complex(r0, x0), 3)
    return Source(site.codes[item.key], bus, (first, second, third), impedance)


def read_loads(site: Site) -> Iterator[Load]:
    """All consumers in service, at the power that the model gives them.

    Raises
    ------
    CimError
        A power is missing, phases and total differ, or a dependence on voltage that isn't one of power, current and
        impedance.
    """
    parts = site.model.children("EnergyConsumerPhase", "EnergyConsumerPhase.EnergyConsumer", *CONSUMERS)
    for item in site.model.of(*CONSUMERS):
        if site.out_of_service(item):
            continue
        powers = _powers(site, item, parts.get(item.key, []), "EnergyConsumer")
        winding = _winding(item, "EnergyConsumer.phaseConnection", "EnergyConsumer.grounded")
        active, reactive = _response(site, item)
        yield from _loads(site, item, powers, winding, active, reactive)


def read_converters(site: Site) -> Iterator[Load]:
    """All converters in service (photovoltaics, batteries) as loads of constant power, negative when they feed in.

    Files differ in the sign: IEC 61970-301 counts a converter's power as a load's, exports of OpenDSS count what it
    feeds in. What the unit behind it does decides: photovoltaics and wind feed in, a battery does as its state says,
    and one that neither charges nor discharges only consumes.

    Raises
    ------
    CimError
        A converter with power and no unit that says which way it flows.
    """
    parts = site.model.children(f"{CONVERTER}Phase", f"{CONVERTER}Phase.{CONVERTER}", CONVERTER)
    units: dict[str, Item] = {}
    for unit in site.model.of(*_UNITS):
        if (owner := site.model.follow(unit, f"PowerElectronicsUnit.{CONVERTER}")) is not None:
            units[owner.key] = unit
    for item in site.model.of(CONVERTER):
        if site.out_of_service(item):
            continue
        powers = _powers(site, item, parts.get(item.key, []), CONVERTER)
        total = sum(powers.values())
        if all(power == 0 for power in powers.values()):
            continue
        behind = site.model.follow(item, f"{CONVERTER}.PowerElectronicsUnit", *_UNITS) or units.get(item.key)
        if behind is None or total.real == 0:
            raise item.error("it has power, and nothing that says whether it feeds in or consumes")
        feeds_in = behind.kind != "BatteryUnit" or behind.choice("BatteryUnit.batteryState") == "discharging"
        sign = -1.0 if feeds_in == (total.real > 0) else 1.0
        yield from _loads(
            site, item, {phase: sign * p for phase, p in powers.items()}, Winding.WYE, _ALL_POWER, _ALL_POWER
        )


def read_capacitors(site: Site) -> Iterator[Capacitor]:
    """All shunt compensators in service, at the sections that are on.

    Without values by phase, the susceptance is that of the positive sequence; a bank in star without earth is the delta
    of a third of it.

    Raises
    ------
    CimError
        No number of sections, or an unsymmetrical star without earth.
    """
    parts = site.model.children(
        "LinearShuntCompensatorPhase", "ShuntCompensatorPhase.ShuntCompensator", "LinearShuntCompensator"
    )
    for item in site.model.of("LinearShuntCompensator"):
        if site.out_of_service(item):
            continue
        (bus,) = site.buses_of(item, 1)
        winding = _winding(item, "ShuntCompensator.phaseConnection", None)
        earthed = winding is Winding.DELTA or item.flag("ShuntCompensator.grounded") is not False
        own = parts.get(item.key, [])
        if own and not earthed:
            raise item.error("a star without earth isn't taken by phase")
        if own:
            phases = "".join(phase_of(part, "ShuntCompensatorPhase.phase") for part in own)
            values = tuple(_admittance(part, "LinearShuntCompensatorPhase", item) for part in own)
        else:
            phases = site.phases_at(item)
            value = _admittance(item, "LinearShuntCompensator", item)
            if phases != "ABC":
                if winding is Winding.DELTA or not earthed:
                    raise item.error(
                        "a delta, or a star without earth, of fewer than three phases needs values by phase"
                    )
            elif winding is Winding.DELTA or not earthed:
                winding, value = Winding.DELTA, value / 3
            elif (zero := item.number("LinearShuntCompensator.b0PerSection")) is not None:
                b = item.needed("LinearShuntCompensator.bPerSection")
                if abs(zero - b) > 1e-6 * abs(b):
                    raise item.error("an earthed star whose b0PerSection isn't its bPerSection isn't taken")
            values = (value,) * len(phases)
        yield Capacitor(site.codes[item.key], bus, phases, winding, values)


def _admittance(item: Item, kind: str, bank: Item) -> complex:
    sections = item.number(f"{kind.removeprefix('Linear')}.sections")
    for name in ("ShuntCompensator.sections", "ShuntCompensator.normalSections"):
        sections = bank.number(name) if sections is None else sections
    if sections is None:
        raise bank.error("neither sections nor normalSections is given")
    return sections * complex(item.passive(f"{kind}.gPerSection"), item.needed(f"{kind}.bPerSection"))


def _powers(site: Site, item: Item, parts: list[Item], kind: str) -> dict[str, complex]:
    """Power by phase or leg, as the model signs it."""
    names = ("p", "q")
    total = [item.number(f"{kind}.{name}") for name in names]
    if kind == "EnergyConsumer" and total == [None, None]:
        total = [item.number(f"{kind}.{name}") for name in ("pfixed", "qfixed")]
    phases = [phase_of(part, f"{kind}Phase.phase") for part in parts]
    if len(set(phases)) != len(phases) or "N" in phases:
        raise item.error(f"phases {' '.join(phases)} aren't taken")
    given = [[part.number(f"{kind}Phase.{name}") for name in names] for part in parts]
    if parts and all(value is not None for pair in given for value in pair):
        powers = [complex(p or 0.0, q or 0.0) for p, q in given]
        whole = sum(powers)
        for name, value, summed in zip(names, total, (whole.real, whole.imag), strict=True):
            if value is not None and abs(value - summed) > 1.0 + 1e-6 * abs(value):
                raise item.error(f"{name} is {value:g} and that of its phases is {summed:g}")
        return dict(zip(phases, powers, strict=True))
    if any(value is not None for pair in given for value in pair) or None in total:
        raise item.error("it has no power p and q, or only some of its phases have")
    if not phases:
        phases = _phases_of_whole(site, item)
    share = complex(total[0] or 0.0, total[1] or 0.0) / len(phases)
    return dict.fromkeys(phases, share)


def _phases_of_whole(site: Site, item: Item) -> list[str]:
    letters = site.phases_at(item)
    if item.choice("EnergyConsumer.phaseConnection") == "D" and len(letters) < 3:
        if letters not in _PAIRS:
            raise item.error(f"a delta between phases {letters} isn't taken")
        return [_PAIRS[letters]]
    return list(letters)


def _winding(item: Item, name: str, grounded: str | None) -> Winding:
    kind = item.choice(name)
    if kind == "D":
        return Winding.DELTA
    if kind not in {None, "Y", "Yn", "I"}:
        raise item.error(f"{name} is {kind}, which isn't taken")
    if grounded is not None and kind == "Y" and item.flag(grounded) is False:
        raise item.error("a star without earth isn't taken")
    return Winding.WYE


def _loads(
    site: Site,
    item: Item,
    powers: dict[str, complex],
    winding: Winding,
    active: tuple[float, float, float],
    reactive: tuple[float, float, float],
) -> Iterator[Load]:
    """One load, or one a leg at a centre-tapped secondary."""
    (node,) = site.nodes_of(item, 1)
    code, nominal_v = site.codes[item.key], site.nominal_at(item, node)
    if node.key not in site.split:
        if any(phase in LEGS for phase in powers):
            raise item.error(f"phases s1, s2 at {site.codes[node.key]!r}, which no centre-tapped transformer feeds")
        bus = site.codes[node.key]
        yield Load(code, bus, "".join(powers), winding, tuple(powers.values()), nominal_v, active, reactive)
        return
    if winding is not Winding.WYE or any(phase not in LEGS for phase in powers):
        raise item.error("at a centre-tapped secondary only phases s1 and s2 to neutral are taken")
    phase = site.split[node.key]
    for leg, power in powers.items():
        yield Load(f"{code} {leg}", site.leg(node, leg), phase, winding, (power,), nominal_v, active, reactive)


def _response(site: Site, item: Item) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Shares of constant power, current and impedance in active and reactive power; all power without any."""
    response = site.model.follow(item, "EnergyConsumer.LoadResponse", "LoadResponseCharacteristic")
    if response is None:
        return _ALL_POWER, _ALL_POWER
    return _shares(response, "p"), _shares(response, "q")


def _shares(response: Item, letter: str) -> tuple[float, float, float]:
    kind = "LoadResponseCharacteristic"
    if response.flag(f"{kind}.exponentModel"):
        exponent = response.needed(f"{kind}.{letter}VoltageExponent")
        if exponent not in {0.0, 1.0, 2.0}:
            raise response.error(f"exponent {exponent:g} of voltage: only 0, 1 and 2 are taken")
        return (float(exponent == 0), float(exponent == 1), float(exponent == 2))
    values = [response.number(f"{kind}.{letter}Constant{name}") or 0.0 for name in ("Power", "Current", "Impedance")]
    whole = sum(values)
    # In percent or as fractions; files have both.
    if min(values) < 0 or not (abs(whole - 100) < 0.01 or abs(whole - 1) < 1e-4):
        raise response.error(f"shares of constant power, current and impedance of {letter} sum to {whole:g}")
    power, current, impedance = (value / whole for value in values)
    return power, current, impedance
