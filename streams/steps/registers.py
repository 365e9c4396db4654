"""Interval energy from registers, exactly: closing less opening, across rollover, replacement and change of multiplier.

A row keeps the registers at its end and, as openings, those at its beginning, which are the closings of the interval
before. So it can be settled without another row, and a late register is merged into the two rows that it concerns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from grid.channels import CLOSING, EXPORT, IMPORT, OPENING
from grid.model import MAX_ENERGY_WH
from grid.quality import MISSING_WH, NO_PRECEDENCE, Quality
from grid.roster import Roster
from grid.rows import BlockRows, StoredBlock
from streams.steps.contribution import Contribution, Key

_DIRECTIONS = tuple(zip((IMPORT, EXPORT), CLOSING, OPENING, strict=True))


def with_registers(contributions: Sequence[Contribution]) -> list[Contribution]:
    """Those that carry closing registers."""
    return [c for c in contributions if any(name in c.channels for name in CLOSING)]


def before(key: Key) -> Key:
    """Key of the interval before, of the same length."""
    return key[0], key[1] - key[2] * 1_000_000, key[2]


def after(key: Key) -> Key:
    """Key of the interval after, of the same length."""
    return key[0], key[1] + key[2] * 1_000_000, key[2]


def openings(contributions: Sequence[Contribution], stored: Mapping[Key, StoredBlock]) -> list[Contribution]:
    """What closing registers say of the intervals that begin with them.

    Parameters
    ----------
    contributions
        Of a batch.
    stored
        Rows by key: those of the contributions, and those before and after the ones with registers.

    Returns
    -------
    list
        Contributions to rows that are there or come to be in this batch.
    """
    carriers = with_registers(contributions)
    if not carriers:
        return []
    own = {c.key: c for c in contributions}
    added = []
    for c in carriers:
        follower = own.get(after(c.key))
        if follower is not None or after(c.key) in stored:
            added.append(_opening(c, follower))
    first: dict[Key, Contribution] = {}
    for c in sorted(carriers, key=lambda c: c.received_at_us):
        first.setdefault(c.key, c)
    for key, c in first.items():
        earlier = stored.get(before(key))
        if earlier is not None:
            added += _stored_openings(earlier, c)
    return added


def _opening(c: Contribution, follower: Contribution | None) -> Contribution:
    _, end_us, interval_s = after(c.key)
    roster = c.view.roster(end_us, interval_s) if follower is None else follower.roster
    channels = {o: c.channels[name] for _, name, o in _DIRECTIONS if name in c.channels}
    return _moved(c, roster, end_us, channels, c.received_at_us, (c.positions, c.precedence, c.received_us, c.quality))


def _stored_openings(earlier: StoredBlock, c: Contribution) -> list[Contribution]:
    positions = np.arange(len(earlier.quality), dtype=np.int32)
    return [
        _moved(
            c,
            c.roster,
            c.observed_at_us,
            {opening: earlier.channels[closing]},
            c.received_at_us,
            (positions, earlier.precedence[closing], earlier.received_us[closing], earlier.quality),
        )
        for _, closing, opening in _DIRECTIONS
        if closing in earlier.channels
    ]


def _moved(
    c: Contribution,
    roster: Roster,
    end_us: int,
    channels: dict[str, NDArray[np.int64]],
    received_at_us: int,
    said: tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]],
) -> Contribution:
    positions, precedence, received_us, quality = said
    return Contribution(
        view=c.view,
        roster=roster,
        observed_at_us=end_us,
        interval_s=c.interval_s,
        received_at_us=received_at_us,
        positions=_at_beginning(c, roster, end_us, positions),
        precedence=precedence,
        received_us=received_us,
        channels=channels,
        quality=quality,
    )


def _at_beginning(c: Contribution, roster: Roster, end_us: int, positions: NDArray[np.int32]) -> NDArray[np.int32]:
    """Positions at the beginning of the interval of `roster`, of members that had `positions` in the one before."""
    previous = c.view.roster(end_us - c.interval_s * 1_000_000, c.interval_s)
    if previous is roster:
        return positions
    # A meter whose multiplier changes with the interval goes on under another position; one that changes it later
    # still begins under its old one.
    first = {part.member.position: part.earlier for part in roster.parts if part.earlier >= 0}
    place = {}
    for meter, position in previous.position_of_meter.items():
        now = roster.position_of_meter.get(meter)
        if now is not None:
            place[position] = first.get(now, now)
    return np.array([place.get(p, -1) for p in positions.tolist()], np.int32)


def derive(rows: BlockRows, numbers: NDArray[np.intp], rosters: Sequence[Roster]) -> None:
    """Set the energies of some rows, where none was received, from their registers.

    A difference below 0 is a rollover where the register's modulus is known; one that is still out of the bounds of a
    reading is no energy. What is derived carries `Quality.DERIVED` and no precedence.

    Parameters
    ----------
    rows
        With opening and closing channels; changed in place.
    numbers, rosters
        Rows to look at, and the roster of each.
    """
    for r, roster in zip(numbers.tolist(), rosters, strict=True):
        part = rows.part(r)
        for energy, closing_name, opening_name in _DIRECTIONS:
            opening = rows.channels[opening_name][part].copy()
            closing = rows.channels[closing_name][part].copy()
            _at_edges(opening, closing, roster, int(rows.interval_s[r]) * 1_000_000, imports=energy == IMPORT)
            size = len(roster)
            modulus = np.zeros(len(opening), np.int64)
            modulus[:size] = roster.modulus_wh
            derived = difference(opening, closing, modulus)
            split = _continue_earlier(derived, opening, closing, modulus, roster)
            received = rows.precedence[energy][part] != NO_PRECEDENCE
            known = ~received & (derived != MISSING_WH)
            rows.channels[energy][part] = np.where(
                received, rows.channels[energy][part], np.where(known, derived, MISSING_WH)
            )
            if energy == IMPORT:
                flags = np.where(known, np.uint8(Quality.DERIVED), np.uint8(Quality.MISSING))
                flags[split] |= np.uint8(Quality.ESTIMATED)
                rows.quality[part] = np.where(received, rows.quality[part], flags)


def difference(
    opening_wh: NDArray[np.int64], closing_wh: NDArray[np.int64], modulus_wh: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Energy between two registers; `MISSING_WH` where one is missing or the difference can't be an energy.

    Parameters
    ----------
    modulus_wh
        What the register counts up to; 0 where not known, and a register that fell is then no energy.
    """
    there = (opening_wh != MISSING_WH) & (closing_wh != MISSING_WH)
    energy = np.where(there, closing_wh, 0) - np.where(there, opening_wh, 0)
    energy = np.where((energy < 0) & (modulus_wh > 0), energy + modulus_wh, energy)
    return np.where(there & (energy >= 0) & (energy <= MAX_ENERGY_WH), energy, MISSING_WH)


def _at_edges(
    opening: NDArray[np.int64], closing: NDArray[np.int64], roster: Roster, length_us: int, *, imports: bool
) -> None:
    """Registers that the model knows of the instants at which members come and go."""
    for part in roster.parts:
        p, member = part.member.position, part.member
        start = member.start_import_wh if imports else member.start_export_wh
        end = member.end_import_wh if imports else member.end_export_wh
        # What the meter itself said at the interval's very edges stands before the record of the work.
        if part.begins and (part.from_us > 0 or opening[p] == MISSING_WH):
            opening[p] = MISSING_WH if start is None else start
        if part.ends and (part.to_us < length_us or closing[p] == MISSING_WH):
            closing[p] = MISSING_WH if end is None else end


def _continue_earlier(
    derived: NDArray[np.int64],
    opening: NDArray[np.int64],
    closing: NDArray[np.int64],
    modulus: NDArray[np.int64],
    roster: Roster,
) -> list[int]:
    """Where nobody read a meter when its multiplier changed, its energy is split by time between both positions.

    Returns those positions.
    """
    split = []
    for part in roster.parts:
        p, q = part.earlier, part.member.position
        if p < 0 or derived[p] != MISSING_WH or derived[q] != MISSING_WH:
            continue
        whole = difference(opening[p : p + 1], closing[q : q + 1], modulus[q : q + 1])[0]
        if whole != MISSING_WH:
            first = next((o for o in roster.parts if o.member.position == p), None)
            from_us = 0 if first is None else first.from_us
            derived[p] = int(whole) * (part.from_us - from_us) // (part.to_us - from_us)
            derived[q] = whole - derived[p]
            split += [p, q]
    return split


def carriers_of(rows: BlockRows, numbers: NDArray[np.intp]) -> NDArray[np.intp]:
    """Those of some rows that have a register."""
    if CLOSING[0] not in rows.channels:
        return numbers[:0]
    some = np.zeros(len(rows.quality), np.bool_)
    for name in (*CLOSING, *OPENING):
        some |= rows.channels[name] != MISSING_WH
    counts = np.concatenate(([0], np.cumsum(some)))
    return numbers[counts[rows.starts[numbers + 1]] > counts[rows.starts[numbers]]]


def keys_around(contributions: Sequence[Contribution]) -> Collection[Key]:
    """Keys of the rows beside those that carry registers."""
    return {key for c in with_registers(contributions) for key in (before(c.key), after(c.key))}
