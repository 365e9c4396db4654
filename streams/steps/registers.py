"""Interval energy from registers, exactly: closing less opening, across rollover, replacement and change of multiplier.

A row keeps the registers at its end and, as openings, those at its beginning, which are the closings of the interval
before. So it can be settled without another row, and a late register is merged into the two rows that it concerns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.block import DAYS_S
from grid.channels import CLOSING, EXPORT, GAP_SIGMA, IMPORT, OPENING, SIGMA
from grid.model import MAX_ENERGY_WH
from grid.quality import COUNTED, MAX_SEQUENCE, MISSING_WH, NO_PRECEDENCE, Quality, precedence
from grid.roster import Part, Roster, UnitView
from grid.rows import NEVER_US, BlockRows, StoredBlock, any_by_row
from kernels.validation import SumCheck
from streams.steps.contribution import Cause, Contribution, Key
from streams.steps.shares import share

#: Two watt-hours, and a fiftieth for clocks and times of reading that aren't quite the same.
_SUM_CHECK = SumCheck(tolerance_wh=2, tolerance_rate=0.02)
#: Of a reading without any flag the precedence is greater.
_SAID_BY_METER = int(precedence(np.array([Quality.SUSPECT], np.uint8), MAX_SEQUENCE - 1)[0])
_DIRECTIONS = tuple(zip((IMPORT, EXPORT), CLOSING, OPENING, strict=True))


def with_registers(contributions: Sequence[Contribution]) -> list[Contribution]:
    """Those whose rows count from registers: they carry closing ones, or the model knows what their members' showed."""
    some = [c for c in contributions if c.roster.parts or CLOSING[0] in c.channels or CLOSING[1] in c.channels]
    return [c for c in some if _carries(c) or (_is_read(c.roster) and _speaks(c))]


def _carries(c: Contribution) -> bool:
    return any(np.any((c.channels[n] != MISSING_WH) & (c.positions >= 0)) for n in CLOSING if n in c.channels)


def _speaks(c: Contribution) -> bool:
    return c.cause is Cause.MODEL or (c.cause is Cause.DATA and bool(np.any(c.positions >= 0)))


def _is_read(roster: Roster) -> bool:
    return any(part.is_read for part in roster.parts)


def before(key: Key) -> list[Key]:
    """Keys that the interval before may have: of the same length, or of another where it is a day."""
    unit_id, end_us, length_s = key
    return [(unit_id, end_us - length_s * 1_000_000, length) for length in _lengths(length_s)]


def after(key: Key) -> list[Key]:
    """Keys that the interval after may have."""
    unit_id, end_us, length_s = key
    return [(unit_id, end_us + length * 1_000_000, length) for length in _lengths(length_s)]


def _lengths(length_s: int) -> tuple[int, ...]:
    return DAYS_S if length_s in DAYS_S else (length_s,)


def with_openings(contributions: Sequence[Contribution], stored: Mapping[Key, StoredBlock]) -> list[Contribution]:
    """Contributions of a batch, with what closing registers say of the intervals that begin with them.

    A row takes them when its own first registers come, as part of that step; what is received of the row before after
    that is a step of its own. So it depends neither on how messages were gathered into batches nor on repeats.

    Parameters
    ----------
    contributions
        In order of receipt.
    stored
        Rows by key: those of the contributions, and those before and after the ones with registers.
    """
    takers = set(map(id, with_registers(contributions)))
    if not takers:
        return list(contributions)
    takes = {key for key, row in stored.items() if _has_registers(row)}
    # Closings that wait for the first registers of the row after them.
    waiting: dict[Key, list[Contribution]] = {}
    asked: set[Key] = set()
    added: list[Contribution] = []
    for c in contributions:
        if id(c) not in takers:
            added.append(c)
            continue
        if c.key not in asked:
            added += [o for key in before(c.key) if key in stored for o in _stored_openings(key, stored[key], c)]
        asked.add(c.key)
        takes.add(c.key)
        added += [_opening(w, c.key, c) for w in waiting.pop(c.key, ())]
        added.append(c)
        for following in after(c.key) if _carries(c) else ():
            if following in takes or (following in stored and _is_read(c.view.roster(*following[1:]))):
                added.append(_opening(c, following, None))
            else:
                waiting.setdefault(following, []).append(c)
    return added


def _has_registers(row: StoredBlock) -> bool:
    return any(name in row.channels and np.any(row.channels[name] != MISSING_WH) for name in CLOSING)


def _opening(c: Contribution, key: Key, follower: Contribution | None) -> Contribution:
    """What `c` says of the interval after its own, as part of what `follower` brings where there is one."""
    roster = c.view.roster(key[1], key[2]) if follower is None else follower.roster
    at_us = c.received_at_us if follower is None else follower.received_at_us
    channels = {o: c.channels[name] for _, name, o in _DIRECTIONS if name in c.channels}
    positions = _at_beginning(c.roster, roster, c.positions)
    said = (positions, c.precedence, c.received_us, c.quality)
    return _moved(c.view, roster, key, at_us, channels, said, part=follower is not None)


def _stored_openings(key: Key, earlier: StoredBlock, c: Contribution) -> list[Contribution]:
    previous = c.view.roster(key[1], key[2])
    positions = _at_beginning(previous, c.roster, np.arange(len(earlier.quality), dtype=np.int32))
    return [
        _moved(
            c.view,
            c.roster,
            c.key,
            c.received_at_us,
            {opening: earlier.channels[closing]},
            (positions, earlier.precedence[closing], earlier.received_us[closing], earlier.quality),
            part=True,
        )
        for _, closing, opening in _DIRECTIONS
        if closing in earlier.channels
    ]


def _moved(
    view: UnitView,
    roster: Roster,
    key: Key,
    received_at_us: int,
    channels: dict[str, NDArray[np.int64]],
    said: tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]],
    *,
    part: bool,
) -> Contribution:
    positions, precedence, received_us, quality = said
    return Contribution(
        view=view,
        roster=roster,
        observed_at_us=key[1],
        interval_s=key[2],
        received_at_us=received_at_us,
        positions=positions,
        precedence=precedence,
        received_us=received_us,
        channels=channels,
        quality=quality,
        part=part,
    )


def _at_beginning(previous: Roster, roster: Roster, positions: NDArray[np.int32]) -> NDArray[np.int32]:
    """Positions at the beginning of the interval of `roster`, of members that had `positions` in the one before."""
    if previous is roster:
        return positions
    # A meter whose multiplier changes with the interval goes on under another position; one that changes it later
    # still begins under its old one.
    first = {}
    for stay in roster.parts:
        if stay.from_us == 0 and stay.first.meter is not None:
            first[stay.first.meter] = stay.position
    place = {}
    for meter, position in previous.position_of_meter.items():
        now = first.get(meter, roster.position_of_meter.get(meter))
        if now is not None:
            place[position] = now
    return np.array([place.get(p, -1) for p in positions.tolist()], np.int32)


def derive(rows: BlockRows, numbers: NDArray[np.intp], rosters: Sequence[Roster]) -> None:
    """Set the energies of some rows from their registers, where the meter's own wasn't received.

    A difference below 0 is a rollover where the register's modulus is known; one that is still out of the bounds of a
    reading is no energy. What is derived carries `Quality.DERIVED`. Where both registers are there no substitute or
    estimate stands, whatever their difference: an energy that took the place of one keeps the precedence
    `grid.quality.COUNTED`, below which none comes back. So it doesn't matter which came first.

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
            opening, closing = rows.channels[opening_name][part], rows.channels[closing_name][part]
            modulus = np.zeros(len(opening), np.int64)
            modulus[: len(roster)] = roster.modulus_wh
            counted = (opening != MISSING_WH) & (closing != MISSING_WH)
            derived = difference(opening, closing, modulus)
            length_us = int(rows.interval_s[r]) * 1_000_000
            split = _of_stays(derived, counted, opening, closing, roster, length_us, imports=energy == IMPORT)
            _put(rows, part, energy, derived, counted, split)
            if energy == IMPORT:
                _doubt(rows, part, counted, derived)


def _put(
    rows: BlockRows,
    part: slice,
    energy: str,
    derived: NDArray[np.int64],
    counted: NDArray[np.bool_],
    split: Sequence[int],
) -> None:
    held = rows.precedence[energy][part]
    replaced = counted & (held != NO_PRECEDENCE) & (held <= COUNTED)
    held[~counted & (held == COUNTED)] = NO_PRECEDENCE
    held[replaced] = COUNTED
    open_ = replaced | (held == NO_PRECEDENCE)
    use, gone = open_ & (derived != MISSING_WH), open_ & (derived == MISSING_WH)
    rows.channels[energy][part][open_] = derived[open_]
    rows.received_us[energy][part][open_] = NEVER_US
    if energy == IMPORT:
        quality = rows.quality[part]
        quality[use] = Quality.DERIVED
        quality[gone] = Quality.MISSING
        quality[[p for p in split if use[p]]] |= np.uint8(Quality.ESTIMATED)
        if SIGMA in rows.channels:
            rows.channels[SIGMA][part][open_] = MISSING_WH
        if GAP_SIGMA in rows.channels:
            rows.channels[GAP_SIGMA][part][open_] = MISSING_WH


def _doubt(rows: BlockRows, part: slice, counted: NDArray[np.bool_], derived: NDArray[np.int64]) -> None:
    """Mark what a meter said of an interval and its own registers contradict as suspect, and by how much.

    It stands all the same: nobody knows which of the two is wrong. The mark follows from what the row holds, so it is
    the same whichever came first, and goes when a correction comes.
    """
    own = rows.precedence[IMPORT][part] > _SAID_BY_METER
    if not own.any():
        return
    energy = rows.channels[IMPORT][part]
    compared = own & counted & (derived != MISSING_WH)
    register = np.stack([np.zeros(len(derived), np.int64), np.where(compared, derived, MISSING_WH)], axis=1)
    differs = compared & (_SUM_CHECK.flags(energy[:, None], register)[:, 0] != 0)
    quality = rows.quality[part]
    quality[own] &= np.uint8(0xFF ^ Quality.SUSPECT)
    quality[differs] |= np.uint8(Quality.SUSPECT)
    rows.channels[SIGMA][part][own] = np.where(differs, np.abs(energy - derived), MISSING_WH)[own]


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


@dataclass(slots=True)
class _Leg:
    """One stay of a meter with the registers at its ends; None = not known."""

    stay: Part
    opening: int | None
    closing: int | None


def _of_stays(
    derived: NDArray[np.int64],
    counted: NDArray[np.bool_],
    opening: NDArray[np.int64],
    closing: NDArray[np.int64],
    roster: Roster,
    length_us: int,
    *,
    imports: bool,
) -> list[int]:
    """Set the energies of members that came or went in the interval, from what was read then, and whether they count.

    Where nobody read a meter at an instant at which it went on under another multiplier, the energy over both stays is
    split by time. Returns positions of such members.
    """
    by_meter: dict[str, list[_Leg]] = {}
    for stay in roster.parts:
        if stay.last.meter is not None:
            leg = _leg(stay, opening, closing, length_us, imports=imports)
            by_meter.setdefault(stay.last.meter, []).append(leg)
    split: list[int] = []
    for legs in by_meter.values():
        positions = {leg.stay.position for leg in legs}
        energies, known = dict.fromkeys(positions, 0), dict.fromkeys(positions, True)
        for run in _runs(legs):
            modulus = int(roster.modulus_wh[run[-1].stay.position])
            for leg, energy in zip(run, _energies_of(run, modulus), strict=True):
                position = leg.stay.position
                known[position] &= run[0].opening is not None and run[-1].closing is not None
                there = MISSING_WH not in (energy, energies[position])
                energies[position] = energies[position] + energy if there else MISSING_WH
            split += [leg.stay.position for leg in run] if len(run) > 1 else []
        for position in positions:
            derived[position], counted[position] = energies[position], known[position]
    return split


def _leg(stay: Part, opening: NDArray[np.int64], closing: NDArray[np.int64], length_us: int, *, imports: bool) -> _Leg:
    start = stay.first.start_import_wh if imports else stay.first.start_export_wh
    end = stay.last.end_import_wh if imports else stay.last.end_export_wh
    said_first, said_last = int(opening[stay.position]), int(closing[stay.position])
    # What the meter itself said at the interval's very edges stands before the record of the work.
    first = said_first if stay.from_us == 0 and said_first != MISSING_WH else start if stay.begins else None
    last = said_last if stay.to_us == length_us and said_last != MISSING_WH else end if stay.ends else None
    return _Leg(stay, first, last)


def _runs(legs: Sequence[_Leg]) -> list[list[_Leg]]:
    """Stays one after another between which the register is not known."""
    runs: list[list[_Leg]] = []
    for leg in legs:
        before = runs[-1][-1] if runs else None
        if before and before.closing is None and leg.opening is None and before.stay.to_us == leg.stay.from_us:
            runs[-1].append(leg)
        else:
            if before and before.stay.to_us == leg.stay.from_us:
                # One reading serves both.
                leg.opening = before.closing if leg.opening is None else leg.opening
                before.closing = leg.opening if before.closing is None else before.closing
            runs.append([leg])
    return runs


def _energies_of(run: Sequence[_Leg], modulus: int) -> list[int]:
    first, last = run[0].opening, run[-1].closing
    if first is None or last is None:
        return [MISSING_WH] * len(run)
    whole = int(difference(np.array([first]), np.array([last]), np.array([modulus]))[0])
    if whole == MISSING_WH:
        return [MISSING_WH] * len(run)
    begin, end = run[0].stay.from_us, run[-1].stay.to_us
    return [share(whole, leg.stay.from_us - begin, leg.stay.to_us - begin, end - begin) for leg in run]


def carriers_of(rows: BlockRows, numbers: NDArray[np.intp], rosters: Sequence[Roster]) -> NDArray[np.intp]:
    """Those of some rows that have a register, or a member whose registers the model knows; `rosters` of all rows."""
    if CLOSING[0] not in rows.channels:
        return numbers[:0]
    some = np.zeros(len(rows.quality), np.bool_)
    for name in (*CLOSING, *OPENING):
        some |= rows.channels[name] != MISSING_WH
    has = any_by_row(some, rows.starts)[numbers]
    read = np.array([any(part.is_read for part in rosters[r].parts) for r in numbers.tolist()], np.bool_)
    return numbers[has | read]


def keys_around(contributions: Sequence[Contribution]) -> Collection[Key]:
    """Keys of the rows beside those that carry registers."""
    return {key for c in with_registers(contributions) for key in (*before(c.key), *after(c.key))}
