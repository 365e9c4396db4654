"""Which system is believed for which field, from when on; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

#: What a utility usually agrees on (DOMAIN: accounts and meters marketing, equipment PMS, position and connection GIS,
#: switch positions dispatch). A row in `sync.authority` takes the place of one of these.
DEFAULTS: dict[tuple[str, str], tuple[str, ...]] = {
    ("account", "*"): ("marketing", "gis"),
    ("meter", "*"): ("marketing", "gis"),
    ("meter", "area"): ("marketing", "gis"),
    ("area", "*"): ("pms", "gis", "marketing", "cim"),
    ("area", "feeder"): ("gis", "pms", "marketing", "cim"),
    ("area", "position"): ("gis",),
    ("feeder", "*"): ("pms", "cim", "marketing", "gis"),
    ("segment", "*"): ("pms", "cim", "gis"),
    ("segment", "feeder"): ("gis", "pms", "cim"),
    ("switch", "*"): ("pms", "cim", "scada"),
    ("switch", "normal"): ("scada", "pms", "cim"),
    ("point", "*"): ("scada", "pms"),
}
#: Fields that are compared, by entity.
FIELDS: dict[str, tuple[str, ...]] = {
    "account": ("contract_w", "tariff_class", "status", "address"),
    "meter": ("multiplier", "accuracy_class", "area", "account", "address", "contract_w"),
    "area": ("rating_va", "no_load_loss_w", "load_loss_w", "feeder", "position", "name"),
    "feeder": ("substation", "name"),
    "segment": ("length_m", "resistance_ohm", "reactance_ohm", "feeder"),
    "switch": ("normal", "feeder", "name"),
    "point": ("rtu",),
}
_LAST = ("marketing", "pms", "gis", "scada", "cim")


@dataclass(frozen=True, slots=True)
class AuthorityRow:
    """A rule as recorded; `field` ``*`` is all fields of the entity that have none of their own."""

    entity: str
    field: str
    systems: tuple[str, ...]
    valid_from: datetime
    recorded_at: datetime


class Authority:
    """The rules that hold at an instant; of two for one field the later valid one, then the later recorded one."""

    def __init__(self, rows: Iterable[AuthorityRow] = (), at: datetime | None = None) -> None:
        self._rules = dict(DEFAULTS)
        for row in sorted(rows, key=lambda r: (r.valid_from, r.recorded_at)):
            if at is None or row.valid_from <= at:
                self._rules[row.entity, row.field] = row.systems

    def order(self, entity: str, field: str) -> Sequence[str]:
        """Systems, the most believed first."""
        return self._rules.get((entity, field)) or self._rules.get((entity, "*")) or _LAST

    def rules(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Entity, field and systems of every rule."""
        return sorted((entity, field, systems) for (entity, field), systems in self._rules.items())


def is_known(entity: str, field: str) -> bool:
    """Whether a rule can be made for a field."""
    return entity in FIELDS and (field == "*" or field in FIELDS[entity])
