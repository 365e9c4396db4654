"""What to do about a conflict: change the grid model, or ask a system to correct its record; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sync.authority import Authority


class NothingToProposeError(ValueError):
    """No change mends such a conflict; the message says why."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A stored conflict, as much of it as a plan needs; `said` by dataset and key, or ``model``."""

    kind: str
    entity_kind: str
    code: str | None
    field: str
    system: str
    dataset: str
    key: str | None
    believed: str | None
    given: str | None
    said: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Plan:
    """A proposal.

    Attributes
    ----------
    target
        ``model``, or the system that is asked.
    change, inverse
        Of the grid model, as `sync.messages.Change` in JSON, and what takes it back; None of another system.
    """

    target: str
    before: dict[str, Any]
    after: dict[str, Any]
    change: dict[str, Any] | None = None
    inverse: dict[str, Any] | None = None


#: Kinds of which two values tell the whole.
_DIFFERING = frozenset({"field_differs", "relation_differs", "outdated", "impossible"})


def plan_proposal(conflict: Conflict, authority: Authority, valid_from: datetime) -> Plan:
    """The proposal that the rules of authority lead to.

    The grid model is changed when it differs from what the others say, or when the one system that is believed for the
    field is alone with it against the model. Otherwise the record that differs is to be corrected where it is kept.

    Raises
    ------
    NothingToProposeError
    """
    if conflict.kind in _DIFFERING and "model" in conflict.said:
        value = _wanted(conflict, authority)
        before = conflict.said["model"]
        if value is not None and before is not None and value != before:
            return _model_plan(conflict, value, before, valid_from)
    if conflict.system == "model":
        raise NothingToProposeError(f"no change of the grid model mends {conflict.kind} of {conflict.field}")
    place = {"system": conflict.system, "dataset": conflict.dataset, "key": conflict.key}
    return Plan(
        conflict.system,
        place | {conflict.field: conflict.given},
        place | {conflict.field: conflict.believed if conflict.kind != "duplicate" else None},
    )


def _wanted(conflict: Conflict, authority: Authority) -> str | None:
    """What the model should say, if anything else."""
    if conflict.system == "model":
        return conflict.believed
    others = {place.partition(".")[0]: value for place, value in conflict.said.items() if place != "model"}
    first = _first(authority.order(conflict.entity_kind, conflict.field), others)
    # Against the only system that is believed for it, the model has nobody to speak for it.
    return others[first] if len(others) == 1 and first == conflict.system else None


def _first(order: Sequence[str], said: Mapping[str, str | None]) -> str | None:
    return next((system for system in order if system in said), None)


def _model_plan(conflict: Conflict, value: str, before: str, valid_from: datetime) -> Plan:
    about = (conflict.entity_kind, conflict.code, conflict.field)
    change, inverse = make_change(about, value, before, valid_from.isoformat())
    return Plan("model", {conflict.field: before}, {conflict.field: value}, change, inverse)


def make_change(
    about: tuple[str, str | None, str], value: str, before: str, valid_from: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The change of the grid model that gives a field (kind of entity, code, field) a value, and what takes it back.

    Raises
    ------
    NothingToProposeError
    """
    entity_kind, code, field = about
    make = _CHANGES.get((entity_kind, field))
    if make is None or code is None:
        raise NothingToProposeError(f"no change of the grid model is known for {entity_kind} {field}")
    since = {"valid_from": valid_from}
    try:
        return make(code, value, before) | since, make(code, before, value) | since
    except ValueError:
        raise NothingToProposeError(f"{field} can't be {value!r}") from None


def _number(text: str) -> int:
    value = float(text)
    if value != round(value):
        raise ValueError(text)
    return int(value)


_Make = Callable[[str, str, str], dict[str, Any]]
#: Changes by entity and field: of a code, to a value, from another.
_CHANGES: dict[tuple[str, str], _Make] = {
    ("meter", "area"): lambda code, to, was: {"kind": "meter_move", "meter": code, "unit": to, "leaving": was},
    ("meter", "multiplier"): lambda code, to, _: {
        "kind": "meter_multiplier", "meter": code, "multiplier": _number(to),
    },
    ("meter", "accuracy_class"): lambda code, to, _: {
        "kind": "meter_class", "meter": code, "accuracy_class": float(to),
    },
    ("area", "rating_va"): lambda code, to, _: {"kind": "unit_rating", "unit": code, "rating_va": _number(to)},
    ("area", "no_load_loss_w"): lambda code, to, _: {"kind": "unit_rating", "unit": code, "no_load_loss_w": float(to)},
    ("area", "load_loss_w"): lambda code, to, _: {"kind": "unit_rating", "unit": code, "load_loss_w": float(to)},
    ("switch", "normal"): lambda code, to, _: {"kind": "switch_normal", "switch": code, "normal": to},
    ("area", "feeder"): lambda code, to, _: {"kind": "unit_parent", "unit": code, "parent": to},
    ("account", "contract_w"): lambda code, to, _: {
        "kind": "account_contract", "account": code, "contract_w": _number(to),
    },
    ("account", "tariff_class"): lambda code, to, _: {"kind": "account_contract", "account": code, "tariff_class": to},
    ("account", "status"): lambda code, to, _: {"kind": "account_status", "account": code, "status": to},
}  # fmt: skip
