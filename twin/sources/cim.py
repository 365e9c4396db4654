"""The medium-voltage network in the classes of CIM17 (IEC 61970-301, IEC 61968-11), as tables: one a class.

Columns are named as CIM names the attribute or association. ``1:`` and ``2:`` before a name say of which of an
object's terminals or transformer ends it is; those become objects of their own in `twin.sources.rdf`. Units are
those of the exchange profiles: kV, MVA, km, ohm, siemens.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid5

from grid.network import SwitchKind, SwitchPosition
from twin.sources.faults import changed, misspelt, orphan, rating, replaced, whole
from twin.sources.scada import abbreviation, bay_name
from twin.sources.scene import Scene
from twin.sources.table import Change, Column, Kind, Slot, Table, Value

SYSTEM = "cim"

_NAMESPACE = UUID("6f0a1f0e-5d0c-5b7e-9c39-2f4f6c1d7a55")
NAME, CONTAINER, BASE = "IdentifiedObject.name", "Equipment.EquipmentContainer", "ConductingEquipment.BaseVoltage"
NODES = ("1:Terminal.ConnectivityNode", "2:Terminal.ConnectivityNode")
_SWITCH_CLASS = {
    SwitchKind.BREAKER: "Breaker", SwitchKind.LOAD_BREAK: "LoadBreakSwitch", SwitchKind.DISCONNECTOR: "Disconnector",
}  # fmt: skip
#: Columns that refer to objects; of which class.
_REFERS = {
    "SubGeographicalRegion.Region": "GeographicalRegion",
    "Substation.Region": "SubGeographicalRegion",
    "VoltageLevel.Substation": "Substation",
    "VoltageLevel.BaseVoltage": "BaseVoltage",
    "Feeder.NormalEnergizingSubstation": "Substation",
    "ConnectivityNode.ConnectivityNodeContainer": "VoltageLevel",
    BASE: "BaseVoltage",
    CONTAINER: "Feeder",
    NODES[0]: "ConnectivityNode",
    NODES[1]: "ConnectivityNode",
}


def mrid(seed: int, name: str) -> str:
    """Identifier of an object: version 5 of RFC 9562, so that the same city has the same ones."""
    return str(uuid5(_NAMESPACE, f"{seed}/{name}"))


class _Maker:
    """Makes tables; knows the identifiers of what has been made."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.tables: list[Table] = []

    def id(self, kind: str, code: str) -> str:
        return mrid(self.seed, f"{kind}/{code}")

    def keys(self, kind: str) -> list[Value]:
        return next(t.keys for t in self.tables if t.name == kind)

    def add(
        self,
        kind: str,
        codes: Sequence[str],
        values: dict[str, list[Value]],
        refers: dict[str, str] | None = None,
        slots: Sequence[Slot] = (),
    ) -> None:
        """Add a class; `values` without the key."""
        targets = _REFERS | (refers or {})
        keyed: dict[str, list[Value]] = {"mRID": [self.id(kind, code) for code in codes], **values}
        columns = tuple(Column(name, "text", "", targets.get(name, "")) for name in keyed)

        def spare(number: int) -> str:
            return self.id(kind, f"/spare/{number}")

        self.tables.append(Table(SYSTEM, kind, "", columns, keyed, list(codes), spare, tuple(slots)))


def cim_tables(scene: Scene) -> list[Table]:
    """Objects of the medium-voltage network and its transformers, class by class.

    A public area is a transformer and a consumer behind it; a dedicated customer is a consumer or a machine at medium
    voltage. Busbars' own customers are not in the network, as in the grid model. An `EnergySource` stands for the
    high-voltage side of each busbar that a feeder's breaker is connected to.
    """
    make = _Maker(scene.seed)
    _containers(scene, make)
    _nodes(scene, make)
    _conductors(scene, make)
    _areas(scene, make)
    _dedicated(scene, make)
    return make.tables


def _voltage(make: _Maker, volts: float) -> str:
    return make.id("BaseVoltage", f"{volts / 1e3:g}")


def _containers(scene: Scene, make: _Maker) -> None:
    substations, feeders = scene.model.substations, scene.model.feeders
    volts = {float(s.medium_voltage_v) for s in substations} | {
        a.transformer.low_voltage_v for a in scene.network.areas
    }
    levels = sorted(volts)
    make.add("BaseVoltage", [f"{v / 1e3:g}" for v in levels], {"BaseVoltage.nominalVoltage": [v / 1e3 for v in levels]})
    make.add("GeographicalRegion", ["city"], {NAME: ["City"]})
    make.add(
        "SubGeographicalRegion", ["city"],
        {NAME: ["City"], "SubGeographicalRegion.Region": [make.id("GeographicalRegion", "city")]},
    )  # fmt: skip
    codes = [s.code for s in substations]
    names: dict[str, list[Value]] = {NAME: [abbreviation(scene.station[code]) for code in codes]}
    region: Value = make.id("SubGeographicalRegion", "city")
    make.add("Substation", codes, names | {"Substation.Region": [region] * len(codes)}, slots=(misspelt(names, NAME),))
    make.add(
        "VoltageLevel",
        codes,
        {
            NAME: [f"{s.medium_voltage_v / 1e3:g} kV" for s in substations],
            "VoltageLevel.Substation": [make.id("Substation", code) for code in codes],
            "VoltageLevel.BaseVoltage": [_voltage(make, s.medium_voltage_v) for s in substations],
        },
    )
    names = {NAME: [bay_name(scene, f.code) for f in feeders]}
    at: dict[str, list[Value]] = {
        "Feeder.NormalEnergizingSubstation": [make.id("Substation", f.substation) for f in feeders]
    }
    make.add("Feeder", [f.code for f in feeders], names | at, slots=(misspelt(names, NAME),))


def _nodes(scene: Scene, make: _Maker) -> None:
    low = [(f"{a.code}-low", scene.network.feeders[a.feeder].grid) for a in scene.network.areas]
    nodes = [(n.code, n.substation) for n in scene.switched.nodes] + low
    make.add(
        "ConnectivityNode",
        [code for code, _ in nodes],
        {
            NAME: [f"N{i + 1}" for i in range(len(nodes))],
            "ConnectivityNode.ConnectivityNodeContainer": [make.id("VoltageLevel", place) for _, place in nodes],
        },
    )
    heads = {h.breaker: h for h in scene.switched.heads if h.breaker is not None}
    sources: dict[str, str] = {}
    for switch in scene.switched.switches:
        head = heads.get(switch.code)
        if head is not None:
            busbar = switch.to_node if switch.from_node == head.node else switch.from_node
            sources[busbar] = scene.substation_of[head.feeder]
    make.add(
        "EnergySource",
        list(sources),
        {
            NAME: [f"{abbreviation(scene.station[code])} source {i + 1}" for i, code in enumerate(sources.values())],
            CONTAINER: [make.id("VoltageLevel", code) for code in sources.values()],
            NODES[0]: [make.id("ConnectivityNode", node) for node in sources],
        },
        {CONTAINER: "VoltageLevel"},
    )


def _container(make: _Maker, feeder: str) -> Value:
    return make.id("Feeder", feeder) if feeder else None


def _conductors(scene: Scene, make: _Maker) -> None:
    segments, switches = scene.elements()
    medium = {s.code: _voltage(make, s.medium_voltage_v) for s in scene.model.substations}
    base: dict[str, Value] = {n.code: medium[n.substation] for n in scene.switched.nodes}
    feeders = make.keys("Feeder")

    def ends(elements: Sequence[tuple[object, str, int]]) -> dict[str, list[Value]]:
        found = {}
        for column, end in zip(NODES, ("from_node", "to_node"), strict=True):
            found[column] = [make.id("ConnectivityNode", getattr(e, end)) for e, _, _ in elements]
        return found  # type: ignore[return-value]

    def common(values: dict[str, list[Value]]) -> tuple[Slot, ...]:
        return (
            *whole(),
            orphan(NODES[1]),
            misspelt(values, NAME),
            replaced(Kind.WRONG_RELATION, CONTAINER, feeders),
            replaced(Kind.OUT_OF_DATE, CONTAINER, feeders),
        )

    values: dict[str, list[Value]] = {
        NAME: [f"{bay_name(scene, f) if f else 'BB'} L{n}" for _, f, n in segments],
        CONTAINER: [_container(make, f) for _, f, _ in segments],
        BASE: [base[s.from_node] for s, _, _ in segments],
        "Conductor.length": [s.length_m / 1e3 for s, _, _ in segments],
        "ACLineSegment.r": [s.resistance_ohm for s, _, _ in segments],
        "ACLineSegment.x": [s.reactance_ohm for s, _, _ in segments],
        **ends(segments),
    }
    make.add("ACLineSegment", [s.code for s, _, _ in segments], values, slots=common(values))
    for kind, name in _SWITCH_CLASS.items():
        found = [entry for entry in switches if entry[0].kind is kind]
        is_open: list[Value] = [s.normal is SwitchPosition.OPEN for s, _, _ in found]
        values = {
            NAME: [f"{bay_name(scene, f) if f else 'BB'} Q{n}" for _, f, n in found],
            CONTAINER: [_container(make, f) for _, f, _ in found],
            BASE: [base[s.from_node] for s, _, _ in found],
            "Switch.normalOpen": is_open,
            **ends(found),
        }
        turned = changed(Kind.OUT_OF_DATE, "Switch.normalOpen", _negation(is_open))
        make.add(name, [s.code for s, _, _ in found], values, slots=(*common(values), turned))


def _negation(values: Sequence[Value]) -> Change:
    return lambda row, _draw: not values[row]


def _areas(scene: Scene, make: _Maker) -> None:
    node = {c.area: c.node for c in scene.switched.connections}
    areas = [a for a in scene.network.areas if a.code in node]
    codes = [a.code for a in areas]
    plates = [a.transformer for a in areas]
    count = [0] * len(scene.network.areas)
    for point in scene.network.points:
        if point.area >= 0 and not point.generation:
            count[point.area] += 1
    customers = {a.code: n for a, n in zip(scene.network.areas, count, strict=True)}
    low: list[Value] = [make.id("ConnectivityNode", f"{code}-low") for code in codes]
    place: list[Value] = [make.id("Feeder", scene.network.feeders[a.feeder].code) for a in areas]
    impedance = [p.short_circuit_voltage * p.high_voltage_v**2 / p.rating_va for p in plates]
    resistance = [p.load_loss_w * p.high_voltage_v**2 / p.rating_va**2 for p in plates]
    values: dict[str, list[Value]] = {
        NAME: [f"{bay_name(scene, scene.network.feeders[a.feeder].code)} T{i + 1}" for i, a in enumerate(areas)],
        CONTAINER: place,
        "PowerTransformerEnd.ratedS": [p.rating_va / 1e6 for p in plates],
        "1:PowerTransformerEnd.ratedU": [p.high_voltage_v / 1e3 for p in plates],
        "2:PowerTransformerEnd.ratedU": [p.low_voltage_v / 1e3 for p in plates],
        "1:PowerTransformerEnd.r": [*resistance],
        "1:PowerTransformerEnd.x": [(z**2 - r**2) ** 0.5 for z, r in zip(impedance, resistance, strict=True)],
        "1:PowerTransformerEnd.g": [p.no_load_loss_w / p.high_voltage_v**2 for p in plates],
        "2:PowerTransformerEnd.phaseAngleClock": [p.clock for p in plates],
        "1:TransformerEnd.BaseVoltage": [
            _voltage(make, scene.network.medium_voltage_v[scene.network.feeders[a.feeder].grid]) for a in areas
        ],
        "2:TransformerEnd.BaseVoltage": [_voltage(make, p.low_voltage_v) for p in plates],
        NODES[0]: [make.id("ConnectivityNode", node[code]) for code in codes],
        NODES[1]: low,
    }
    slots = (
        *whole(),
        orphan(NODES[0]),
        misspelt(values, NAME),
        replaced(Kind.WRONG_RELATION, CONTAINER, make.keys("Feeder")),
        rating(values, Kind.OUT_OF_DATE, "PowerTransformerEnd.ratedS", 1e3),
        rating(values, Kind.CONFLICTING_CAPACITY, "PowerTransformerEnd.ratedS", 1e3),
    )
    voltages = dict.fromkeys(("1:TransformerEnd.BaseVoltage", "2:TransformerEnd.BaseVoltage"), "BaseVoltage")
    make.add("PowerTransformer", codes, values, voltages, slots)
    taken = {p.code: p for p in scene.network.points if p.area < 0 and not p.generation and p.code in node}
    make.add(
        "EnergyConsumer",
        [*codes, *taken],
        {
            NAME: [f"D{i + 1}" for i in range(len(codes) + len(taken))],
            CONTAINER: [*place, *(make.id("Feeder", scene.network.feeders[p.feeder].code) for p in taken.values())],
            "EnergyConsumer.customerCount": [*(customers[code] for code in codes), *([1] * len(taken))],
            NODES[0]: [*low, *(make.id("ConnectivityNode", node[code]) for code in taken)],
        },
    )


def _dedicated(scene: Scene, make: _Maker) -> None:
    """Generators at medium voltage, and the usage points of all customers there."""
    node = {c.area: c.node for c in scene.switched.connections}
    there = [p for p in scene.network.points if p.area < 0 and p.code in node]
    kind_of = {p.code: "EnergyConsumer" for p in there}
    for kind, wanted in (("PowerElectronicsConnection", True), ("SynchronousMachine", False)):
        found = [p for p in there if p.generation and p.profile.startswith(("PV", "WP")) is wanted]
        kind_of |= {p.code: kind for p in found}
        rated = "PowerElectronicsConnection.ratedS" if wanted else "RotatingMachine.ratedS"
        make.add(
            kind,
            [p.code for p in found],
            {
                NAME: [f"G{i + 1}{'' if wanted else 'S'}" for i in range(len(found))],
                CONTAINER: [make.id("Feeder", scene.network.feeders[p.feeder].code) for p in found],
                rated: [p.rating_va / 1e6 for p in found],
                NODES[0]: [make.id("ConnectivityNode", node[p.code]) for p in found],
            },
        )
    make.add(
        "UsagePoint",
        [p.code for p in there],
        {
            NAME: [f"U{i + 1}" for i in range(len(there))],
            "UsagePoint.Equipments": [make.id(kind_of[p.code], p.code) for p in there],
        },
        {"UsagePoint.Equipments": "Equipment"},
    )
