"""Where equipment stands in a network model: nodes, terminals, phases, base voltages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from grid.circuit import Bus
from sync.sources.cim.rdf import CimError, Item, Model

SWITCHES = (
    "Switch",
    "Breaker",
    "DisconnectingCircuitBreaker",
    "Disconnector",
    "Fuse",
    "Jumper",
    "LoadBreakSwitch",
    "ProtectedSwitch",
    "Recloser",
    "Sectionaliser",
)
CONSUMERS = ("EnergyConsumer", "ConformLoad", "NonConformLoad", "StationSupply")
CONVERTER = "PowerElectronicsConnection"
#: What shares its names in a circuit.
_NAMESPACES = (
    ("ConnectivityNode",),
    ("TopologicalNode",),
    ("ACLineSegment",),
    SWITCHES,
    ("PowerTransformer",),
    (*CONSUMERS, CONVERTER),
    ("LinearShuntCompensator",),
    ("EnergySource",),
)
#: The two legs of a centre-tapped secondary.
LEGS = ("s1", "s2")
#: Between both, as an oven is.
_BETWEEN_LEGS = ("s12", "s12N")
_NOT_BETWEEN = "nothing between the legs of a centre-tapped secondary is taken; give s1 and s2, each with its power"


@dataclass(slots=True)
class Site:
    """A model with what the readers of its equipment share."""

    model: Model
    terminals: dict[str, list[Item]] = field(default_factory=dict)
    """By the equipment's identity, in their order."""
    codes: dict[str, str] = field(default_factory=dict)
    """Names of all objects that become a bus or equipment of a circuit, by identity; each only once."""
    nominal_v: dict[str, float] = field(default_factory=dict)
    """Between phases, by the node's identity."""
    split: dict[str, str] = field(default_factory=dict)
    """Nodes of centre-tapped secondaries: the primary's phase, by the node's identity."""
    inner: dict[str, Bus] = field(default_factory=dict)
    """Buses that no node stands for: star points, and what lies between a winding and the impedance of its earth."""

    def out_of_service(self, item: Item) -> bool:
        """Whether the model says that this equipment isn't in service."""
        state = item.flag("Equipment.inService")
        if state is None:
            state = item.flag("Equipment.normallyInService")
        return state is False

    def nodes_of(self, item: Item, count: int) -> list[Item]:
        """The nodes of equipment by its terminals.

        Raises
        ------
        CimError
            Another number of terminals, one that isn't connected, or one without a node.
        """
        terminals = self.terminals.get(item.key, [])
        if len(terminals) != count:
            raise item.error(f"{len(terminals)} terminals instead of {count}")
        return [self.node_at(terminal) for terminal in terminals]

    def node_at(self, terminal: Item) -> Item:
        """The node of a terminal.

        Raises
        ------
        CimError
            It isn't connected, or names no node.
        """
        if terminal.flag("ACDCTerminal.connected") is False:
            raise terminal.error("a terminal that isn't connected is taken only of equipment out of service")
        node = self.model.follow(terminal, "Terminal.ConnectivityNode", "ConnectivityNode")
        if node is None:
            node = self.model.parent(terminal, "Terminal.TopologicalNode", "TopologicalNode")
        return node

    def buses_of(self, item: Item, count: int) -> list[str]:
        """The buses of equipment that carries phases A, B, C.

        Raises
        ------
        CimError
            As of `nodes_of`, or a node of a centre-tapped secondary.
        """
        nodes = self.nodes_of(item, count)
        for node in nodes:
            if node.key in self.split:
                raise item.error(f"only loads and sources in phases s1, s2 can be at {self.codes[node.key]!r}")
        return [self.codes[node.key] for node in nodes]

    def leg(self, node: Item, leg: str) -> str:
        """The bus of one leg of a centre-tapped secondary."""
        return f"{self.codes[node.key]} {leg}"

    def phases_at(self, item: Item) -> str:
        """Phases of equipment that has no objects for them: those of its first terminal, else all three."""
        if item.key not in self.terminals:
            raise item.error("it has no terminal")
        phases = self.terminals[item.key][0].choice("Terminal.phases") or "ABC"
        letters = phases.removesuffix("N")
        if phases in _BETWEEN_LEGS:
            raise item.error(f"phases {phases}: {_NOT_BETWEEN}")
        if not letters or any(letter not in "ABC" for letter in letters):
            raise item.error(f"phases {phases} aren't taken")
        return letters

    def base_voltage(self, item: Item, name: str = "ConductingEquipment.BaseVoltage") -> float | None:
        """Voltage between phases of the base voltage that an object names, of its own or of its voltage level."""
        base = self.model.follow(item, name, "BaseVoltage")
        if base is None:
            level = self.model.follow(item, "Equipment.EquipmentContainer")
            if level is None or level.kind != "VoltageLevel":
                return None
            base = self.model.parent(level, "VoltageLevel.BaseVoltage", "BaseVoltage")
        return base.positive("BaseVoltage.nominalVoltage")

    def nominal_at(self, item: Item, node: Item) -> float:
        """The nominal voltage of equipment at a node, between phases.

        Raises
        ------
        CimError
            Neither it nor anything else at the node names one.
        """
        own = self.base_voltage(item)
        if own is not None:
            return own
        if node.key not in self.nominal_v:
            raise item.error(f"neither it nor anything else at {self.codes[node.key]!r} names a base voltage")
        return self.nominal_v[node.key]

    def add_inner(self, code: str, nominal_v: float) -> str:
        """A bus of our own."""
        self.inner[code] = Bus(code, nominal_v)
        return code


def make_site(model: Model) -> Site:
    """Terminals, codes and base voltages of a model.

    Raises
    ------
    CimError
        A reference leads nowhere, or two base voltages meet at a node.
    """
    site = Site(model)
    site.terminals = model.children("Terminal", "Terminal.ConductingEquipment")
    for terminals in site.terminals.values():
        terminals.sort(
            key=lambda t: t.number("ACDCTerminal.sequenceNumber") or t.number("Terminal.sequenceNumber") or 0
        )
    equipment = [model.items[key] for key in site.terminals]
    for kinds in _NAMESPACES:
        site.codes |= _codes(model.of(*kinds))
    _find_voltages(site, equipment)
    return site


def buses(site: Site) -> list[Bus]:
    """The buses of all nodes that equipment is at.

    Raises
    ------
    CimError
        A node whose equipment names no base voltage.
    """
    used: dict[str, Item] = {}
    for key, terminals in site.terminals.items():
        if not site.out_of_service(site.model.items[key]):
            used.update((node.key, node) for node in map(site.node_at, terminals))
    found = []
    for key, node in used.items():
        if key not in site.nominal_v:
            raise node.error("nothing at it names a base voltage")
        codes = [site.leg(node, leg) for leg in LEGS] if key in site.split else [site.codes[key]]
        found += [Bus(code, site.nominal_v[key]) for code in codes]
    return [*found, *site.inner.values()]


def _codes(items: Iterable[Item]) -> dict[str, str]:
    """A name for each, with the mRID where several objects have one name."""
    items = list(items)
    seen = Counter(item.name for item in items)
    return {item.key: item.name if seen[item.name] == 1 else f"{item.name} ({item.mrid})" for item in items}


def _find_voltages(site: Site, equipment: list[Item]) -> None:
    model = site.model
    for node in model.of("ConnectivityNode"):
        level = model.items.get(node.text("ConnectivityNode.ConnectivityNodeContainer") or "")
        if level is not None and level.kind == "VoltageLevel":
            base = model.parent(level, "VoltageLevel.BaseVoltage", "BaseVoltage")
            site.nominal_v[node.key] = base.positive("BaseVoltage.nominalVoltage")
    for item in equipment:
        if item.kind != "PowerTransformer" and (nominal_v := site.base_voltage(item)) is not None:
            for terminal in site.terminals[item.key]:
                _note_voltage(site, terminal, nominal_v)
    for end in model.of("PowerTransformerEnd", "TransformerTankEnd"):
        if (nominal_v := site.base_voltage(end, "TransformerEnd.BaseVoltage")) is not None:
            _note_voltage(site, model.parent(end, "TransformerEnd.Terminal", "Terminal"), nominal_v)


def _note_voltage(site: Site, terminal: Item, nominal_v: float) -> None:
    if terminal.flag("ACDCTerminal.connected") is False:
        return
    node = site.node_at(terminal)
    if site.nominal_v.setdefault(node.key, nominal_v) != nominal_v:
        raise CimError(
            f"{node.kind} {node.name!r} (mRID {node.mrid}, line {node.line}): base voltages of "
            f"{site.nominal_v[node.key]:g} and {nominal_v:g} V meet at it"
        )


def phase_of(item: Item, name: str) -> str:
    """The phase that an object gives: A, B, C, N, s1 or s2.

    Raises
    ------
    CimError
        None, or another.
    """
    phase = item.choice(name)
    if phase in _BETWEEN_LEGS:
        raise item.error(f"{name} is {phase}: {_NOT_BETWEEN}")
    if phase not in {"A", "B", "C", "N", *LEGS}:
        raise item.error(f"{name} is {phase or 'missing'}")
    return phase
