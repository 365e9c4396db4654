"""From Kafka's records to contributions: each joined with what is believed of its unit at its interval."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo

from grid.arrow import InvalidBlockError, OtherRecordError
from grid.block import Block, decode_block
from grid.due import Due, decode_due, is_due
from grid.errors import Reason, Rejection
from grid.roster import UnitView
from grid.topics import ENERGY_UNIT, TELEMETRY_SCADA
from grid.unit_energy import UnitEnergies, decode_unit_energies
from store.connection import Connection
from store.resettling import memberships_elsewhere
from streams.steps.contribution import Cause, Contribution, from_block, from_energies, look_again
from streams.steps.moves import (
    absent_parts,
    for_other_unit,
    for_tied_unit,
    leaving,
    opening_elsewhere,
    tie_meters,
)
from streams.view_cache import ViewCache


@dataclass(frozen=True, slots=True)
class Record:
    """A Kafka record, as far as a step needs it."""

    topic: str
    value: bytes
    key: bytes | None = None


def join(
    connection: Connection, views: ViewCache, records: Sequence[Record], zone: tzinfo
) -> tuple[list[Contribution], list[Rejection]]:
    """What the records contribute, and what is refused; days end at the midnights of `zone`."""
    rejections: list[Rejection] = []
    blocks: list[tuple[Record, Block]] = []
    energies: list[UnitEnergies] = []
    dues: list[Due] = []
    for record in records:
        try:
            if is_due(record.value):
                dues.append(decode_due(record.value))
            elif record.topic != ENERGY_UNIT:
                blocks.append((record, decode_block(record.value)))
            else:
                try:
                    energies += decode_unit_energies(record.value)
                except OtherRecordError:  # of the unit's own gateway
                    came = replace(record, topic=TELEMETRY_SCADA)
                    blocks.append((came, decode_block(record.value)))
        except InvalidBlockError as error:
            rejections.append(Rejection(Reason.INVALID_BLOCK, str(error), record.topic, record.value))
    codes = {block.unit for _, block in blocks} | {e.parent for e in energies} | {due.unit for due in dues}
    found = views.get(connection, codes)
    connection.commit()
    contributions: list[Contribution] = []
    for record, block in blocks:
        view = found.get(block.unit)
        if view is None:
            detail = f"no unit {block.unit!r} in the grid model"
            rejections.append(Rejection(Reason.UNKNOWN_UNIT, detail, record.topic, record.value))
            continue
        contribution, refused = from_block(block, view, record.topic, record.value)
        contributions.append(contribution)
        rejections += refused
    contributions += _for_other_units(connection, views, contributions, zone)
    contributions += _of_children(connection, views, found, [e for e in energies if e.parent in found])
    contributions += [
        look_again(found[due.unit], observed_at_us, interval_s, due.until_us, Cause.TICK)
        for due in dues
        if due.unit in found
        for observed_at_us, interval_s in due.intervals
    ]
    return contributions, rejections


def _of_children(
    connection: Connection, views: ViewCache, found: dict[str, UnitView], energies: list[UnitEnergies]
) -> list[Contribution]:
    joined = [c for message in energies for c in from_energies(message, found[message.parent])]
    # A parent that doesn't know a child is the older view of the two: the child's own named the parent.
    older = {c.view.unit for c in joined if c.positions.min() < 0}
    if not older:
        return joined
    for code in older:
        views.drop(code)
    found |= views.get(connection, older)
    connection.commit()
    return [c for message in energies for c in from_energies(message, found[message.parent])]


def _for_other_units(
    connection: Connection, views: ViewCache, contributions: Sequence[Contribution], zone: tzinfo
) -> list[Contribution]:
    """What readings of meters that came or went in their interval, or with it, say of other units that had them.

    And what those of ties say of the unit at the other end.
    """
    moved = {c: its for c in contributions if any(its := (absent_parts(c), leaving(c), tie_meters(c)))}
    if not moved:
        return []
    elsewhere = memberships_elsewhere(
        connection, sorted({m for its in moved.values() for meters in its for m in meters}), views.known_at
    )
    found = views.get(connection, {unit for units in elsewhere.values() for unit in units})
    connection.commit()
    says: tuple[Callable[[Contribution, Sequence[str], UnitView], Contribution | None], ...] = (
        for_other_unit,
        functools.partial(opening_elsewhere, zone=zone),
        for_tied_unit,
    )
    return [
        other
        for c, its in moved.items()
        for meters, said_of in zip(its, says, strict=True)
        for unit in sorted({u for meter in meters for u in elsewhere.get(meter, ()) if u != c.view.unit})
        if unit in found and (other := said_of(c, meters, found[unit])) is not None
    ]
