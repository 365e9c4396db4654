"""Entities of the unified grid model, as the loader receives them. Values are checked at construction."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntFlag, StrEnum
from typing import TYPE_CHECKING

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


class UnitKind(StrEnum):
    """Kind of an assessment unit (考核单元)."""

    AREA = "area"  # public transformer area (台区)
    DEDICATED = "dedicated"  # dedicated transformer (专变): an area of one meter
    FEEDER = "feeder"  # line (线路)
    REGION = "region"  # 区域


class Role(IntFlag):
    """What a member's energy means for its unit; a dedicated customer's meter is both."""

    GATEWAY = 1  # import flows into the unit, export out of it (关口表)
    CUSTOMER = 2  # import is sold, export is generation fed in
    UNIT = 4  # a smaller unit: import is what it took, export what it gave back


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

    def __post_init__(self) -> None:
        check_code(self.code)
        if self.kind not in (UnitKind.AREA, UnitKind.DEDICATED):
            raise ValueError(f"{self.code}: a transformer area cannot be of kind {self.kind}")


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
    account: str | None = None

    def __post_init__(self) -> None:
        check_code(self.code)
        if not 1 <= self.multiplier <= MAX_MULTIPLIER:
            raise ValueError(f"{self.code}: multiplier {self.multiplier} is not in 1..{MAX_MULTIPLIER}")
        if not 0 < self.accuracy_class <= 10:
            raise ValueError(f"{self.code}: accuracy class {self.accuracy_class} is not in (0, 10]")


@dataclass(frozen=True, slots=True)
class Account:
    """A marketing account. Names and addresses stay with marketing."""

    code: str
    tariff_class: str
    contract_w: int
    status: AccountStatus = AccountStatus.ACTIVE


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
    network: Network | None = None
    """Nodes, line segments and switches; None when nothing is known of them."""

    def __post_init__(self) -> None:
        units = _unique("unit", [f.code for f in self.feeders] + [a.code for a in self.areas])
        _unique("meter", [m.code for m in self.meters])
        accounts = _unique("account", [a.code for a in self.accounts])
        substations = _unique("substation", [s.code for s in self.substations])
        feeders = {f.code for f in self.feeders}
        _resolve("feeder", "substation", [(f.code, f.substation) for f in self.feeders], substations)
        _resolve("area", "feeder", [(a.code, a.feeder) for a in self.areas if a.feeder is not None], feeders)
        _resolve("meter", "unit", [(m.code, m.unit) for m in self.meters], units)
        _resolve("meter", "account", [(m.code, m.account) for m in self.meters if m.account], accounts)
        _resolve("feeder gateway", "feeder", [(g, f) for f, g in self.feeder_gateways.items()], feeders)
        if self.network is not None:
            areas = {a.code for a in self.areas}
            _resolve("node", "substation", [(n.code, n.substation) for n in self.network.nodes], substations)
            _resolve("head", "feeder", [(h.node, h.feeder) for h in self.network.heads], feeders)
            _resolve("connection", "area", [(c.node, c.area) for c in self.network.connections], areas)


def _unique(what: str, codes: list[str]) -> set[str]:
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
