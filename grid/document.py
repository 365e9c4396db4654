"""What is believed of one entity as a whole, as other systems receive and hold it.

A document has no present: it says what holds from when to when. So it changes when something is recorded, and never by
itself as time goes by, and two copies can be compared at any time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Key(NamedTuple):
    """An entity: its kind, such as ``meter``, and its code."""

    kind: str
    code: str


#: Kinds of the grid model, in the order in which they refer to each other.
MODEL_KINDS = ("substation", "unit", "account", "meter", "switch", "segment")
#: Kinds of results that can be subscribed to.
RESULT_KINDS = ("loss_day", "finding", "work_order")

#: Lists of a document by kind, with what each of their entries says beside ``from`` and ``to``.
LISTS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "substation": {"states": ("name", "high_voltage_v", "medium_voltage_v")},
    "unit": {
        "states": (
            "name", "substation", "owner", "rating_va", "no_load_loss_w", "load_loss_w", "longitude_deg",
            "latitude_deg", "metered_side",
        ),
        "parents": ("parent", "parent_kind"),
        "connections": ("node", "breaker"),
    },
    "account": {"states": ("tariff_class", "contract_w", "status")},
    "meter": {
        "states": ("accuracy_class", "register_modulus_wh", "ct_class", "pt_class"),
        "members": ("unit", "role", "multiplier", "phases"),
        "accounts": ("usage_point", "account"),
    },
    "switch": {"connections": ("node", "to_node")},
    "segment": {"connections": ("node", "to_node")},
}  # fmt: skip
#: Values of the document itself, by kind.
VALUES: Mapping[str, tuple[str, ...]] = {
    "unit": ("unit_kind",),
    "switch": ("switch_kind", "normal"),
    "segment": ("length_m", "resistance_ohm", "reactance_ohm"),
    "loss_day": (
        "unit", "day", "revision", "status", "class", "computable", "inflow_wh", "outflow_wh", "loss_wh",
        "technical_wh", "sigma_wh", "estimated_wh", "generation_wh", "covered_s", "expected_s", "reasons",
    ),
    "finding": (
        "finding_kind", "severity", "unit", "meter", "begin_at", "ended_at", "figures", "result",
    ),
    "work_order": (
        "alert_id", "state", "assignee", "created_at", "deadline", "expected_wh", "result", "found_wh", "done_at",
        "version",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Document:
    """An entity and all that is believed of it, as JSON has it."""

    key: Key
    body: Mapping[str, Any]


def canonical(body: object) -> bytes:
    """A value as JSON, the same bytes for the same value."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
