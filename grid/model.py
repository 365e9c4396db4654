"""Entities of the unified grid model, as the loader receives them. Values are checked at construction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag, StrEnum
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from grid.area_network import AreaNetwork

if TYPE_CHECKING:
    from grid.network import Network

#: Members (gateway and customer meters, child units) of one unit; a concentrator reads up to 2,000 meters.
MAX_MEMBERS = 4_096
#: Bounds that keep every sum over a unit inside int64: 4,096 × 2 × 10⁹ Wh × 10⁶ < 2⁶³.
MAX_ENERGY_WH = 1_000_000_000
MAX_MULTIPLIER = 1_000_000
#: The same for sums over smaller units; a unit with more is told upwards as missing.
MAX_UNIT_ENERGY_WH = 10**14
_MAX_CODE = 64

#: Phases that a meter may be connected to.
PHASES = ("A", "B", "C", "AB", "BC", "CA", "ABC")


class UnitKind(StrEnum):
    """Kind of an assessment unit (考核单元)."""

    AREA = "area"  # public transformer area (台区)
    DEDICATED = "dedicated"  # dedicated transformer (专变): an area of one meter
    FEEDER = "feeder"  # line (线路)
    REGION = "region"  # 区域
    VOLTAGE_LEVEL = "voltage_level"  # 电压等级
    ELEMENT = "element"  # transformer or busbar (元件)


#: Kinds that stand above the areas: they may have smaller units as members.
GREATER_KINDS = frozenset({UnitKind.FEEDER, UnitKind.REGION, UnitKind.VOLTAGE_LEVEL, UnitKind.ELEMENT})


class Role(IntFlag):
    """What a member's energy means for its unit; a dedicated customer's meter is gateway and customer."""

    GATEWAY = 1  # import flows into the unit, export out of it (关口表)
    CUSTOMER = 2  # import is sold, export is generation fed in
    UNIT = 4  # a smaller unit: import is what it took, export what it gave back
    TIE_IN = 32  # between the unit and a neighbour, not the unit above: import flows in, export out (联络)
    TIE_OUT = 64  # the same the other way round: import flows out


class MeteredSide(StrEnum):
    """Side of its transformer at which a unit's gateway meter stands (计量方式)."""

    HIGH = "high"  # 高供高计
    LOW = "low"  # of a customer 高供低计; of a public area the usual


class Owner(StrEnum):
    """Who owns a unit's equipment (资产归属)."""

    UTILITY = "utility"
    CUSTOMER = "customer"
    OTHER = "other"


class AccountStatus(StrEnum):
    """State of a marketing account."""

    ACTIVE = "active"
    CLOSED = "closed"


def check_code(code: str) -> str:
    """Return `code` when it can name an entity, on every side: 1 to 64 characters, none of them a control
    character, '/', '+', '#' (MQTT) or a space at an end.

    Raises
    ------
    ValueError
        With the offending code.
    """
    if not 0 < len(code) <= _MAX_CODE or code != code.strip() or any(c in "/+#" or ord(c) < 32 for c in code):
        raise ValueError(f"not a usable code: {code!r}")
    return code


@dataclass(frozen=True, slots=True)
class Substation:
    """A primary substation (变电站)."""

    code: str
    name: str
    high_voltage_v: int
    medium_voltage_v: int

    def __post_init__(self) -> None:
        check_code(self.code)


@dataclass(frozen=True, slots=True)
class Feeder:
    """A medium-voltage line (线路) that leaves a substation's busbar."""

    code: str
    name: str
    substation: str

    def __post_init__(self) -> None:
        check_code(self.code)


@dataclass(frozen=True, slots=True)
class TransformerArea:
    """What one distribution transformer serves: a public area (台区) or a dedicated customer (专变)."""

    code: str
    name: str
    kind: UnitKind
    gateway: str
    """Account of the concentrator or head-end that may send for it."""
    feeder: str | None
    """None for a customer on the substation's busbar."""
    rating_va: int = 0
    no_load_loss_w: float = 0.0
    load_loss_w: float = 0.0
    """At rated current."""
    longitude_deg: float | None = None
    latitude_deg: float | None = None
    owner: Owner | None = None
    """None = not known."""
    metered_side: MeteredSide | None = None
    """None = as usual: a public area at low voltage, a dedicated customer at high voltage."""

    def __post_init__(self) -> None:
        check_code(self.code)
        if self.kind not in (UnitKind.AREA, UnitKind.DEDICATED):
            raise ValueError(f"{self.code}: a transformer area cannot be of kind {self.kind}")


@dataclass(frozen=True, slots=True)
class GreaterUnit:
    """A region, a voltage level or an element: what lies above the lines, or across them."""

    code: str
    name: str
    kind: UnitKind
    gateway: str | None = None
    """Account that may send for its gateway meters; None when it has none."""
    substation: str | None = None

    def __post_init__(self) -> None:
        check_code(self.code)
        if self.kind not in GREATER_KINDS - {UnitKind.FEEDER}:
            raise ValueError(f"{self.code}: {self.kind} is not a kind of greater unit")


@dataclass(frozen=True, slots=True)
class UnitParent:
    """A unit as part of a greater one; of an area on its feeder `TransformerArea.feeder` says so."""

    unit: str
    parent: str


@dataclass(frozen=True, slots=True)
class Meter:
    """A meter and where it stands. `unit` is an area's or, for a gateway meter at its head, a feeder's code."""

    code: str
    unit: str
    role: Role
    multiplier: int = 1
    """CT × PT ratio (综合倍率)."""
    accuracy_class: float = 1.0
    """Percent, after IEC 62053."""
    ct_class: float | None = None
    """Of its current transformers, percent, after IEC 61869; None = it has none, or they aren't known."""
    pt_class: float | None = None
    """Of its voltage transformers."""
    account: str | None = None
    """The account that is served where the meter stands."""
    usage_point: str | None = None
    """Where it stands (用电点); left out, a meter with an account stands at a point of its own code."""
    phases: str | None = None
    """Of `PHASES`; None = not known."""
    register_modulus_wh: int | None = None
    """Its registers count from 0 to this, less one, and begin anew; None = not known."""

    def __post_init__(self) -> None:
        check_code(self.code)
        if self.usage_point is not None:
            check_code(self.usage_point)
        if self.phases is not None and self.phases not in PHASES:
            raise ValueError(f"{self.code}: phases {self.phases!r} are none of {', '.join(PHASES)}")
        if self.register_modulus_wh is not None and not 0 < self.register_modulus_wh < 2**62:
            raise ValueError(f"{self.code}: a register doesn't count to {self.register_modulus_wh} Wh")
        if not 1 <= self.multiplier <= MAX_MULTIPLIER:
            raise ValueError(f"{self.code}: multiplier {self.multiplier} is not in 1..{MAX_MULTIPLIER}")
        if not 0 < self.accuracy_class <= 10:
            raise ValueError(f"{self.code}: accuracy class {self.accuracy_class} is not in (0, 10]")
        for name, of_transformer in (("CT", self.ct_class), ("PT", self.pt_class)):
            if of_transformer is not None and not 0 < of_transformer <= 10:
                raise ValueError(f"{self.code}: {name} class {of_transformer} is not in (0, 10]")


@dataclass(frozen=True, slots=True)
class TieMeter:
    """A meter as the tie of a further unit: it stands between that unit and the one that its record names."""

    meter: str
    unit: str
    role: Role

    def __post_init__(self) -> None:
        if self.role not in (Role.TIE_IN, Role.TIE_OUT):
            raise ValueError(f"{self.meter}: as a tie of {self.unit} it can't have role {self.role!r}")


@dataclass(frozen=True, slots=True)
class Account:
    """A marketing account. Names and addresses stay with marketing."""

    code: str
    tariff_class: str
    contract_w: int
    status: AccountStatus = AccountStatus.ACTIVE


class OrganisationKind(StrEnum):
    """Rank of a part of the utility."""

    UNIT = "unit"  # 单位
    DEPARTMENT = "department"  # 部门
    CREW = "crew"  # 班组


@dataclass(frozen=True, slots=True)
class Organisation:
    """A part of the utility; `parent` is the code of the part above it."""

    code: str
    name: str
    kind: OrganisationKind
    parent: str | None = None

    def __post_init__(self) -> None:
        check_code(self.code)
        if self.parent == self.code:
            raise ValueError(f"{self.code} is its own parent")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody responsible, with the least that a work order needs. How to reach them is kept elsewhere."""

    code: str
    role: str
    display_name: str | None = None

    def __post_init__(self) -> None:
        check_code(self.code)


class Duty(IntEnum):
    """What somebody answers for in a unit."""

    OPERATION = 1  # 运检
    MARKETING = 2  # 营销, such as the area manager (台区经理)
    METERING = 3  # 计量


@dataclass(frozen=True, slots=True)
class Responsibility:
    """Who answers for a unit: an organisation, a person or both."""

    unit: str
    duty: Duty
    organisation: str | None = None
    person: str | None = None

    def __post_init__(self) -> None:
        if self.organisation is None and self.person is None:
            raise ValueError(f"{self.unit}: nobody is named for {self.duty.name.lower()}")


@dataclass(frozen=True, slots=True)
class GridModel:
    """One grid as a whole; codes are unique within each tuple and references resolve.

    The order of `meters` within a unit is the order of its roster.
    """

    substations: tuple[Substation, ...]
    feeders: tuple[Feeder, ...]
    areas: tuple[TransformerArea, ...]
    meters: tuple[Meter, ...]
    accounts: tuple[Account, ...] = ()
    feeder_gateways: dict[str, str] = field(default_factory=dict)
    """Feeder code → account of the RTU that may send for it."""
    greater: tuple[GreaterUnit, ...] = ()
    parents: tuple[UnitParent, ...] = ()
    organisations: tuple[Organisation, ...] = ()
    """A part of the utility stands after the one above it."""
    persons: tuple[Person, ...] = ()
    responsibilities: tuple[Responsibility, ...] = ()
    ties: tuple[TieMeter, ...] = ()
    """The other units of meters that stand between two."""
    network: Network | None = None
    """Nodes, line segments and switches; None when nothing is known of them."""
    area_networks: tuple[AreaNetwork, ...] = ()
    """Low-voltage lines of some areas."""

    def __post_init__(self) -> None:
        kinds = [(f.code, UnitKind.FEEDER) for f in self.feeders]
        kinds += [(a.code, a.kind) for a in self.areas]
        kinds += [(g.code, g.kind) for g in self.greater]
        units = unique("unit", [code for code, _ in kinds])
        unique("meter", [m.code for m in self.meters])
        accounts = unique("account", [a.code for a in self.accounts])
        substations = unique("substation", [s.code for s in self.substations])
        feeders = {f.code for f in self.feeders}
        _resolve("feeder", "substation", [(f.code, f.substation) for f in self.feeders], substations)
        _resolve("area", "feeder", [(a.code, a.feeder) for a in self.areas if a.feeder is not None], feeders)
        _resolve("meter", "unit", [(m.code, m.unit) for m in self.meters], units)
        _resolve("meter", "account", [(m.code, m.account) for m in self.meters if m.account], accounts)
        _resolve("feeder gateway", "feeder", [(g, f) for f, g in self.feeder_gateways.items()], feeders)
        _resolve("unit", "substation", [(u.code, u.substation) for u in self.greater if u.substation], substations)
        _resolve("tie", "unit", [(t.meter, t.unit) for t in self.ties], units)
        ends = {m.code: m.unit for m in self.meters if m.role & (Role.TIE_IN | Role.TIE_OUT)}
        _resolve("tie", "tie meter", [(t.unit, t.meter) for t in self.ties], set(ends))
        unique("tie", [*(f"{m} of {u}" for m, u in ends.items()), *(f"{t.meter} of {t.unit}" for t in self.ties)])
        self._check_parents(dict(kinds), units)
        self._check_usage_points()
        self._check_organisations(units)
        if self.network is not None:
            areas = {a.code for a in self.areas}
            _resolve("node", "substation", [(n.code, n.substation) for n in self.network.nodes], substations)
            _resolve("head", "feeder", [(h.node, h.feeder) for h in self.network.heads], feeders)
            _resolve("connection", "area", [(c.node, c.area) for c in self.network.connections], areas)
        unique("network of area", [n.area for n in self.area_networks])
        _resolve("network", "area", [(n.area, n.area) for n in self.area_networks], {a.code for a in self.areas})

    def _check_parents(self, kinds: dict[str, UnitKind], units: set[str]) -> None:
        _resolve("part", "unit", [(p.unit, p.unit) for p in self.parents], units)
        _resolve("part", "parent", [(p.unit, p.parent) for p in self.parents], units)
        pairs = [(a.code, a.feeder) for a in self.areas if a.feeder is not None]
        pairs += [(p.unit, p.parent) for p in self.parents]
        for unit, parent in pairs:
            if kinds[parent] not in GREATER_KINDS:
                raise ValueError(f"unit {parent} is no greater unit that {unit} could be part of")
        unique("part", [f"{unit} of one {kinds[parent]}" for unit, parent in pairs])
        above: dict[str, set[str]] = {}
        for unit, parent in pairs:
            above.setdefault(unit, set()).add(parent)
        try:
            order = tuple(TopologicalSorter(above).static_order())
        except CycleError as error:
            raise ValueError(f"units are part of each other: {', '.join(error.args[1])}") from None
        _check_counted_once(order, above, kinds)

    def _check_usage_points(self) -> None:
        unique("usage point", [p for m in self.meters if (p := usage_point_of(m)) is not None])

    def _check_organisations(self, units: set[str]) -> None:
        seen: set[str] = set()
        for o in self.organisations:
            _resolve("organisation", "parent before it", [(o.code, o.parent)] if o.parent else [], seen)
            if o.code in seen:
                raise ValueError(f"organisation {o.code} appears twice")
            seen.add(o.code)
        persons = unique("person", [p.code for p in self.persons])
        held = self.responsibilities
        _resolve("responsibility", "unit", [(r.unit, r.unit) for r in held], units)
        _resolve("responsibility", "organisation", [(r.unit, r.organisation) for r in held if r.organisation], seen)
        _resolve("responsibility", "person", [(r.unit, r.person) for r in held if r.person], persons)
        unique("responsibility", [f"{r.duty.name.lower()} of {r.unit}" for r in held])


def _check_counted_once(order: Iterable[str], above: Mapping[str, set[str]], kinds: Mapping[str, UnitKind]) -> None:
    """Raise ValueError where a unit is part of another both by itself and within a third: its loss counted twice.

    A voltage level counts the own loss of each member, so whoever is within whom is all the same to it.
    """
    reached: dict[str, set[str]] = {}
    for unit in order:  # those above come first
        direct = {p for p in above.get(unit, ()) if kinds[p] is not UnitKind.VOLTAGE_LEVEL}
        through = {p: reached[p] for p in sorted(direct)}
        for parent, greater in through.items():
            if twice := direct & greater:
                raise ValueError(f"unit {unit} is part of {min(twice)} by itself and within {parent}")
        reached[unit] = direct.union(*through.values())


def usage_point_of(meter: Meter) -> str | None:
    """Code of the usage point where a meter stands; None for one that serves nobody."""
    return meter.usage_point or (meter.code if meter.account else None)


def unique(what: str, codes: Iterable[str]) -> set[str]:
    """The codes as a set; ValueError with the first that appears twice."""
    seen: set[str] = set()
    for code in codes:
        if code in seen:
            raise ValueError(f"{what} {code} appears twice")
        seen.add(code)
    return seen


def _resolve(what: str, target: str, pairs: list[tuple[str, str]], known: set[str]) -> None:
    for code, wanted in pairs:
        if wanted not in known:
            raise ValueError(f"{what} {code} names an unknown {target}: {wanted}")
