"""What workers and ingest hold of the grid model, read from the store."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from grid.area_network import NetworkPeriod
from grid.memberships import Lapse, Membership
from grid.model import MeteredSide, UnitKind
from grid.roster import BEGINNING_US, END_US, Parentage, Plate, UnitView
from store.connection import Connection
from store.sql import load_queries

_SQL = load_queries("views")


#: Known at any time from the beginning of what is believed now.
NOW = "infinity"


def read_model_version(connection: Connection) -> int:
    """Version of the model as committed. Read before `load_views`, the views are of it or of a newer one."""
    row = connection.execute(_SQL["model_version"]).fetchone()
    assert row is not None  # noqa: S101  # the one row that the migration made
    return int(row[0])


def load_views(connection: Connection, codes: list[str], known_at: datetime | None = None) -> dict[str, UnitView]:
    """Views of the units with these codes; codes that no unit has are left out.

    A member whose accuracy class or register changes while it is a member has a `Membership` for each part of that
    time, at the same position. Where nothing is known of a meter's class, its present one stands in.

    Parameters
    ----------
    known_at
        The model as it was believed then; None = as it is believed now.
    """
    units = connection.execute(_SQL["units"], {"codes": codes}).fetchall()
    arguments: dict[str, object] = {"unit_ids": [row[0] for row in units], "known_at": known_at or NOW}
    rows = connection.execute(_SQL["members"], arguments).fetchall()
    meters = _meter_states(connection, sorted({row[2] for row in rows if row[2] and row[6] is None}), arguments)
    children = _gateway_states(connection, sorted({row[3] for row in rows if row[3] is not None}), arguments)
    inner = _inner(connection, arguments)
    members: dict[int, list[Membership]] = defaultdict(list)
    for unit_id, position, meter, child_id, role, multiplier, accuracy, modulus, phases, start, end, *registers in rows:
        first, last = _start(start), _end(end)
        if accuracy is not None:
            parts = [_State(accuracy, modulus, first, last)]
        else:
            parts = _parts(meters[meter] if meter is not None else children[child_id], first, last)
            parts = _within(parts, inner.get((unit_id, child_id), []))
        for part in parts:
            members[unit_id].append(
                Membership(
                    position,
                    meter,
                    child_id,
                    role,
                    multiplier,
                    part.accuracy_class,
                    part.from_us,
                    part.to_us,
                    start_import_wh=registers[0] if part.from_us == first else None,
                    start_export_wh=registers[1] if part.from_us == first else None,
                    end_import_wh=registers[2] if part.to_us == last else None,
                    end_export_wh=registers[3] if part.to_us == last else None,
                    register_modulus_wh=part.register_modulus_wh,
                    phases=phases,
                    inner=part.inner,
                )
            )
    parents: dict[int, list[Parentage]] = defaultdict(list)
    for child_id, parent_id, parent, start, end, kind in connection.execute(_SQL["parents"], arguments):
        parents[child_id].append(Parentage(parent_id, parent, _start(start), _end(end), UnitKind(kind)))
    lapses: dict[int, list[Lapse]] = defaultdict(list)
    for unit_id, position, start, end in connection.execute(_SQL["lapses"], arguments):
        lapses[unit_id].append(Lapse(position, _start(start), _end(end)))
    networks: dict[int, list[NetworkPeriod]] = defaultdict(list)
    for unit_id, start, end, *columns in connection.execute(_SQL["area_networks"], arguments):
        parent, resistance, reactance, zero_resistance, zero_reactance, codes_there, nodes = columns
        networks[unit_id].append(
            NetworkPeriod(
                parent=np.array(parent, np.int64),
                resistance_ohm=np.array(resistance, np.float64),
                reactance_ohm=np.array(reactance, np.float64),
                zero_resistance_ohm=np.array(zero_resistance, np.float64),
                zero_reactance_ohm=np.array(zero_reactance, np.float64),
                node_of_meter=dict(zip(codes_there, nodes, strict=True)),
                valid_from_us=_start(start),
                valid_to_us=_end(end),
            )
        )
    plates: dict[int, list[Plate]] = defaultdict(list)
    for unit_id, side, rating, no_load, load, start, end in connection.execute(_SQL["plates"], arguments):
        plates[unit_id].append(Plate(MeteredSide(side), rating, no_load, load, _start(start), _end(end)))
    return {
        code: UnitView(
            unit_id,
            code,
            UnitKind(kind),
            tuple(members[unit_id]),
            tuple(parents[unit_id]),
            tuple(lapses[unit_id]),
            tuple(networks[unit_id]),
            tuple(plates[unit_id]),
            medium_voltage_v,
        )
        for unit_id, code, kind, medium_voltage_v in units
    }


class _State(NamedTuple):
    """Accuracy class, percent, and register of a member over [from_us, to_us)."""

    accuracy_class: float
    register_modulus_wh: int | None
    from_us: int
    to_us: int
    inner: bool = False


def _meter_states(connection: Connection, meters: list[str], arguments: dict[str, object]) -> dict[str, list[_State]]:
    states: dict[str, list[_State]] = defaultdict(list)
    if meters:
        for meter, accuracy, modulus, start, end in connection.execute(
            _SQL["meter_states"], {**arguments, "meters": meters}
        ):
            states[meter].append(_State(accuracy, modulus, _start(start), _end(end)))
    return states


def _gateway_states(connection: Connection, units: list[int], arguments: dict[str, object]) -> dict[int, list[_State]]:
    states: dict[int, list[_State]] = defaultdict(list)
    if units:
        for unit_id, accuracy, start, end in connection.execute(
            _SQL["gateway_states"], {**arguments, "unit_ids": units}
        ):
            states[unit_id].append(_State(accuracy, None, _start(start), _end(end)))
    return states


def _parts(states: list[_State], first: int, last: int) -> list[_State]:
    """A period cut where a state begins or ends: of several the worst class, of none the nearest before or after."""
    edges = {edge for state in states for edge in (state.from_us, state.to_us) if first < edge < last}
    cuts = [first, *sorted(edges), last]
    parts: list[_State] = []
    for start, end in pairwise(cuts):
        held = [s for s in states if s.from_us <= start < s.to_us] or _nearest(states, start)
        accuracy = max((s.accuracy_class for s in held), default=0.0)
        modulus = held[0].register_modulus_wh if len(held) == 1 else None
        if parts and parts[-1][:2] == (accuracy, modulus):
            parts[-1] = parts[-1]._replace(to_us=end)
        else:
            parts.append(_State(accuracy, modulus, start, end))
    return parts


def _inner(connection: Connection, arguments: dict[str, object]) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """By voltage level and member: when the member is within another one of the level."""
    spans: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for unit_id, child_id, start, end in connection.execute(_SQL["inner"], arguments):
        spans[unit_id, child_id].append((_start(start), _end(end)))
    return spans


def _within(parts: list[_State], spans: list[tuple[int, int]]) -> list[_State]:
    """The parts cut where a span begins or ends, and marked inside one."""
    if not spans:
        return parts
    edges = {edge for span in spans for edge in span}
    cut: list[_State] = []
    for part in parts:
        cuts = [part.from_us, *sorted(e for e in edges if part.from_us < e < part.to_us), part.to_us]
        for start, end in pairwise(cuts):
            held = any(first <= start < last for first, last in spans)
            cut.append(part._replace(from_us=start, to_us=end, inner=held))
    return cut


def _nearest(states: list[_State], at: int) -> list[_State]:
    before = [s for s in states if s.to_us <= at]
    if before:
        return [max(before, key=lambda s: s.to_us)]
    return sorted(states, key=lambda s: s.from_us)[:1]


def load_directory(connection: Connection) -> dict[str, tuple[UnitKind, str | None]]:
    """Kind and sender's account of every unit by its code."""
    return {code: (UnitKind(kind), gateway) for code, kind, gateway in connection.execute(_SQL["directory"])}


def _start(microseconds: int | None) -> int:
    return BEGINNING_US if microseconds is None else microseconds


def _end(microseconds: int | None) -> int:
    return END_US if microseconds is None else microseconds
