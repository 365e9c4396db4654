"""Transformers of a network model: of two windings, of three as a star, banks of tanks, centre-tapped ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from grid.circuit import Line, Transformer, Winding
from sync.sources.cim.rdf import Item
from sync.sources.cim.site import LEGS, Site
from sync.sources.cim.windings import Changers, End, Parts, Values, find_parts, of_ends, of_tests

_SQRT3 = 3**0.5
_WINDINGS = {"D": Winding.DELTA, "Y": Winding.WYE, "Yn": Winding.WYE}
#: Two phases in the order of a delta: the pair is named by its first.
_PAIRS = {"AB": "A", "BC": "B", "CA": "C"}


def read_transformers(site: Site) -> tuple[list[Transformer], list[Line]]:
    """All transformers in service at their tap steps, and lines that stand for impedances between star point and earth.

    Notes the nodes of centre-tapped secondaries and the star points in `site`, so it comes before loads.

    An impedance z between a star point and earth carries the sum of the phase currents, so it is a line whose matrix is
    z everywhere; a third of what the zero sequence differs by acts in the same way (Anderson, Analysis of Faulted Power
    Systems, chapter 7). Three windings are three two-winding transformers at a common star point.

    Raises
    ------
    CimError
        A kind of connection that the circuit doesn't have, or values that are missing.
    """
    model = site.model
    for kind, shifters in model.by_kind.items():
        if kind.startswith("PhaseTapChanger") and "Table" not in kind:
            raise shifters[0].error("phase shifters aren't taken")
    parts = find_parts(model)
    changers = Changers(
        model.children(
            "RatioTapChanger",
            "RatioTapChanger.TransformerEnd",
            "PowerTransformerEnd",
            "TransformerTankEnd",
            inverse="TransformerEnd.RatioTapChanger",
        ),
        model.children("SvTapStep", "SvTapStep.TapChanger", "RatioTapChanger"),
    )
    ends = model.children("PowerTransformerEnd", "PowerTransformerEnd.PowerTransformer", "PowerTransformer")
    tanks = model.children("TransformerTank", "TransformerTank.PowerTransformer", "PowerTransformer")
    tank_ends = model.children("TransformerTankEnd", "TransformerTankEnd.TransformerTank", "TransformerTank")
    transformers: list[Transformer] = []
    lines: list[Line] = []
    for item in model.of("PowerTransformer"):
        if site.out_of_service(item):
            continue
        own, units = ends.get(item.key, []), tanks.get(item.key, [])
        if bool(own) == bool(units):
            raise item.error("it has neither ends nor tanks" if not own else "it has both ends and tanks")
        code = site.codes[item.key]
        if own:
            taken = [_end(site, changers, end) for end in _in_order(item, own)]
            transformers += _build(site, item, code, taken, of_ends(parts, item, taken), lines)
            continue
        built: list[Transformer] = []
        for tank in units:
            own_code = code if len(units) == 1 else f"{code} {tank.name}"
            built += _tank(site, parts, changers, tank, own_code, tank_ends.get(tank.key, []), lines)
        transformers += _banked(built, code)
    return transformers, lines


def _in_order(item: Item, ends: list[Item]) -> list[Item]:
    ends = sorted(ends, key=lambda end: end.needed("TransformerEnd.endNumber"))
    if len(ends) not in (2, 3):
        raise item.error(f"{len(ends)} windings; 2 and 3 are taken")
    return ends


def _end(site: Site, changers: Changers, item: Item) -> End:
    """A winding of a three-phase transformer."""
    kind = item.choice("PowerTransformerEnd.connectionKind")
    if kind not in _WINDINGS:
        raise item.error(f"PowerTransformerEnd.connectionKind is {kind or 'missing'}; D, Y and Yn are taken")
    node = site.node_at(site.model.parent(item, "TransformerEnd.Terminal", "Terminal"))
    rated_v = item.positive("PowerTransformerEnd.ratedU")
    return End(
        item,
        node,
        site.codes[node.key],
        "ABC",
        _WINDINGS[kind],
        rated_v,
        int(item.number("PowerTransformerEnd.phaseAngleClock") or 0),
        site.nominal_v.get(node.key, rated_v),
        _earth(item, kind),
        (changers.ratio(item, rated_v),) * 3,
    )


def _earth(item: Item, kind: str) -> complex:
    """Impedance between the star point and earth."""
    if kind == "D":
        return 0j
    grounded = item.flag("TransformerEnd.grounded")
    if grounded is False or (grounded is None and kind == "Y"):
        raise item.error("a star without earth isn't taken")
    r, x = (item.number(f"TransformerEnd.{name}") or 0.0 for name in ("rground", "xground"))
    if r < 0:
        raise item.error(f"TransformerEnd.rground is {r:g}")
    return complex(r, x)


def _tank(
    site: Site, parts: Parts, changers: Changers, tank: Item, code: str, items: list[Item], lines: list[Line]
) -> list[Transformer]:
    info = site.model.parent(tank, "TransformerTank.TransformerTankInfo", "TransformerTankInfo")
    infos = {x.needed("TransformerEndInfo.endNumber"): x for x in parts.end_infos.get(info.key, [])}
    items = _in_order(tank, items)
    numbers = [item.needed("TransformerEnd.endNumber") for item in items]
    if lacking := [number for number in numbers if number not in infos]:
        raise tank.error(f"{info.name!r} describes no end {lacking[0]:g}")
    described = [infos[number] for number in numbers]
    ends, between = [], []
    for item, end_info in zip(items, described, strict=True):
        phases = (item.choice("TransformerTankEnd.orderedPhases") or "missing").replace("N", "")
        between.append(len(phases) == 2 and phases not in LEGS)
        ends.append(_tank_end(site, changers, item, end_info, phases))
    legs = [end for end in ends if end.phases in LEGS]
    if legs:
        ends = _centre_tapped(site, tank, ends)
    if len({end.phases for end in ends}) > 1:
        raise tank.error(f"its windings are in phases {', '.join(end.phases for end in ends)}")
    if between[0] != between[-1]:
        # A winding from A to neutral and one from A to B: in phase, which is 1 hour from star to delta.
        ends[-1] = replace(ends[-1], clock=ends[-1].clock + (11 if between[0] else 1))
    return _build(site, tank, code, ends, of_tests(parts, tank, ends, described, between), lines)


def _tank_end(site: Site, changers: Changers, item: Item, info: Item, phases: str) -> End:
    node = site.node_at(site.model.parent(item, "TransformerEnd.Terminal", "Terminal"))
    rated_v = info.positive("TransformerEndInfo.ratedU")
    clock = int(info.number("TransformerEndInfo.phaseAngleClock") or 0)
    kind = info.choice("TransformerEndInfo.connectionKind") or "missing"
    ratio = changers.ratio(item, rated_v)
    if phases == "ABC":
        if kind not in _WINDINGS:
            raise info.error(f"TransformerEndInfo.connectionKind is {kind}; D, Y and Yn are taken")
        tap_ratio, letters, winding = (ratio,) * 3, phases, _WINDINGS[kind]
    elif phases in {"A", "B", "C", *LEGS}:
        tap_ratio = tuple(ratio if letter == phases else 1.0 for letter in "ABC")  # type: ignore[assignment]
        letters, winding, rated_v = phases, Winding.WYE, rated_v * _SQRT3
    elif phases in _PAIRS or phases[::-1] in _PAIRS:
        clock += 0 if phases in _PAIRS else 6
        letters, winding = _PAIRS.get(phases) or _PAIRS[phases[::-1]], Winding.DELTA
        tap_ratio = tuple(ratio if letter == letters else 1.0 for letter in "ABC")  # type: ignore[assignment]
    else:
        raise item.error(f"TransformerTankEnd.orderedPhases is {phases}, which isn't taken")
    earth = 0j if winding is Winding.DELTA else _earth(item, "Yn")
    nominal_v = site.nominal_v.get(node.key, rated_v)
    return End(item, node, site.codes[node.key], letters, winding, rated_v, clock, nominal_v, earth, tap_ratio)


def _centre_tapped(site: Site, tank: Item, ends: list[End]) -> list[End]:
    """The ends with both legs in the primary's phase, each at a bus of its own."""
    first, *legs = ends
    nodes = {end.node.key for end in legs}
    if sorted(end.phases for end in legs) != list(LEGS) or len(nodes) != 1 or first.phases not in "ABC":
        raise tank.error("of centre-tapped transformers those from one phase to s1 and s2 of one node are taken")
    (key,) = nodes
    if key in site.split:
        raise tank.error(f"a second centre-tapped transformer at {legs[0].bus!r}")
    if first.winding is not Winding.WYE:
        raise tank.error("a centre-tapped transformer between two phases isn't taken")
    site.split[key] = first.phases
    return [first, *(replace(end, phases=first.phases, bus=site.leg(end.node, end.phases)) for end in legs)]


def _build(site: Site, owner: Item, code: str, ends: list[End], values: Values, lines: list[Line]) -> list[Transformer]:
    """The transformers that stand for one; adds to `lines` those for impedances of its earth."""
    extra = _zero_sequence(ends, values)
    # Such a line alone couples the phases and nothing else, which has no inverse; so it takes a part of the series
    # impedance with it, which lies in series with it anyway.
    if len(ends) == 2:
        star_ohm = [values.star_ohm[1] / (1 + sum(map(bool, extra)))] * 2
    else:
        star_ohm = [z / 2 if own else z for z, own in zip(values.star_ohm, extra, strict=True)]
    inner = []
    for number, (end, own, z) in enumerate(zip(ends, extra, star_ohm, strict=True), start=1):
        scale = (end.rated_v / ends[0].rated_v) ** 2
        inner.append(_behind_earth(site, f"{code} winding {number}", end, own, z * scale, lines))
    if len(ends) == 2:
        return [_between(owner, code, inner[0], inner[1], star_ohm[1], values.magnetising_s)]
    first, second, _ = inner
    # In star, at the second winding's voltage, and in phase with a winding in star.
    stars = [end for end in inner if end.winding is Winding.WYE]
    clock = stars[0].clock if stars else first.clock + 1
    bus = site.add_inner(f"{code} star point", second.nominal_v)
    centre = End(owner, second.node, bus, second.phases, Winding.WYE, second.rated_v, clock, second.nominal_v)
    scale = (second.rated_v / first.rated_v) ** 2
    found = [_between(owner, f"{code} winding 1", first, centre, star_ohm[0], values.magnetising_s)]
    for number, end in enumerate(inner[1:], start=2):
        branch = star_ohm[number - 1] * scale
        found.append(_between(owner, f"{code} winding {number}", centre, end, branch, 0j))
    return found


def _between(owner: Item, code: str, first: End, second: End, z_ohm: complex, magnetising_s: complex) -> Transformer:
    """A two-winding transformer; `z_ohm` as seen at the first."""
    ratios = tuple(to / here for here, to in zip(first.tap_ratio, second.tap_ratio, strict=True))
    try:
        return Transformer(
            code,
            first.bus,
            second.bus,
            second.phases,
            first.winding,
            second.winding,
            first.rated_v,
            second.rated_v,
            z_ohm * (second.rated_v / first.rated_v) ** 2,
            magnetising_s,
            (ratios[0], ratios[1], ratios[2]),
            _clock(owner, first, second),
        )
    except ValueError as error:
        raise owner.error(str(error)) from None


def _clock(owner: Item, first: End, second: End) -> int:
    clock = (second.clock - first.clock) % 12
    odd = first.winding is not second.winding
    if clock % 2 != odd:
        raise owner.error(
            f"a vector group of {clock} hours between {first.winding} and {second.winding} isn't possible"
        )
    return clock


def _zero_sequence(ends: list[End], values: Values) -> list[complex]:
    """By end, what lies between its star point and earth, with a third of what the zero sequence differs by."""
    extra = [end.earth_ohm for end in ends]
    if values.zero_ohm != 0:
        # It acts at whichever star there is; between two deltas no current of that sequence flows.
        for number in (1, 0):
            if ends[number].winding is Winding.WYE:
                extra[number] += values.zero_ohm / 3 * (ends[number].rated_v / ends[0].rated_v) ** 2
                break
    return extra


def _behind_earth(site: Site, code: str, end: End, earth: complex, series: complex, lines: list[Line]) -> End:
    """The end itself, or behind a line that stands for the impedance of its earth; both in ohm, as seen at the end."""
    if earth == 0:
        return end
    bus = site.add_inner(code, end.nominal_v)
    size = range(len(end.phases))
    matrix = tuple(tuple(earth + series if row == column else earth for column in size) for row in size)
    lines.append(Line(f"{code} earth", bus, end.bus, end.phases, matrix, tuple((0j,) * len(size) for _ in size)))
    return replace(end, bus=bus)


def _banked(units: list[Transformer], code: str) -> list[Transformer]:
    """Single-phase units that are alike and lie between the same buses, as one transformer each such group."""
    groups: dict[Transformer, list[Transformer]] = {}
    for unit in units:
        groups.setdefault(replace(unit, code="", phases="A", tap_ratio=(1.0, 1.0, 1.0)), []).append(unit)
    return [t for group in groups.values() for t in _merged(group, code)]


def _merged(group: list[Transformer], code: str) -> Iterator[Transformer]:
    phases = "".join(unit.phases for unit in group)
    if len(group) == 1 or len(set(phases)) != len(phases):
        yield from group
        return
    by_phase = {phase: unit.tap_ratio["ABC".index(phase)] for unit in group for phase in unit.phases}
    a, b, c = (by_phase.get(phase, 1.0) for phase in "ABC")
    yield replace(group[0], code=code, phases="".join(p for p in "ABC" if p in phases), tap_ratio=(a, b, c))
