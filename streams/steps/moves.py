"""Readings of meters that belonged to several units, over one interval or by what is believed now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np

from grid.block import DAYS_S
from grid.channels import CHANNELS, CLOSING, IMPORT, MEASURED, OPENING, SIGMA
from grid.model import Role
from grid.quality import COUNTED, MISSING_WH, NO_PRECEDENCE
from grid.roster import Roster, UnitView
from grid.rows import StoredBlock
from streams.steps.contribution import Contribution, Key, at_multiplier
from streams.steps.registers import before

#: What is copied of a row of the same interval, and of the one before: by channel, as which.
_SAME = {name: name for name in (*MEASURED, *OPENING)}
_TIE = int(Role.TIE_IN | Role.TIE_OUT)
_OPENED = dict(zip(CLOSING, OPENING, strict=True))

#: A unit's id, a position in it, and the multiplier there.
Home = tuple[int, int, int]


def absent_parts(c: Contribution) -> list[str]:
    """Meters of which a contribution speaks, and which its unit had for a part of the interval only."""
    if c.child or not c.roster.parts:
        return []
    length_us = c.interval_s * 1_000_000
    there = set(c.positions.tolist())
    partial = [p.last for p in c.roster.parts if p.to_us - p.from_us < length_us and p.position in there]
    return sorted({m.meter for m in partial if m.meter is not None})


def tie_meters(c: Contribution) -> list[str]:
    """Meters of which a contribution speaks, and which stand between its unit and another."""
    if c.child or not c.roster.has_ties:
        return []
    there = set(c.positions.tolist())
    tied = [m for m, position in c.roster.position_of_meter.items() if c.roster.role[position] & _TIE]
    return sorted(m for m in tied if not there.isdisjoint(positions_of(c.roster, m)))


def for_tied_unit(c: Contribution, meters: Sequence[str], view: UnitView) -> Contribution | None:
    """What `c` says of some ties, registers too, as the unit at their other end takes it; None when it hadn't them."""
    return for_other_unit(c, meters, view, kept=())


def for_other_unit(
    c: Contribution, meters: Sequence[str], view: UnitView, kept: Sequence[str] = CLOSING
) -> Contribution | None:
    """What `c` says of some meters, as it concerns another unit that had them in the interval; None when it hadn't.

    Energies are of the whole interval: each unit takes its share. The channels `kept`, registers, stay where the meter
    was read.
    """
    roster = view.roster(c.observed_at_us, c.interval_s)
    pairs = [
        (position, c.roster.position_of_meter[meter])
        for meter in meters
        if meter in roster.position_of_meter and meter in c.roster.position_of_meter
        for position in positions_of(roster, meter)
    ]
    place = {position: i for i, position in enumerate(c.positions.tolist())}
    pairs = [(there, place[here]) for there, here in pairs if here in place]
    if not pairs:
        return None
    source = np.array([i for _, i in pairs])
    positions = np.array([position for position, _ in pairs], np.int32)
    channels = at_multiplier(
        {n: v[source] for n, v in c.channels.items() if n not in kept},
        c.quality[source],
        c.roster.multiplier[c.positions[source]],
        roster.multiplier[positions],
    )
    return Contribution(
        view=view,
        roster=roster,
        observed_at_us=c.observed_at_us,
        interval_s=c.interval_s,
        received_at_us=c.received_at_us,
        positions=positions,
        precedence=c.precedence[source],
        received_us=c.received_us[source],
        channels=channels,
        quality=c.quality[source],
    )


def leaving(c: Contribution) -> list[str]:
    """Meters of whose closing registers a contribution speaks, and whose stay ends with its interval."""
    if c.child or not c.roster.parts or not any(name in c.channels for name in CLOSING):
        return []
    length_us = c.interval_s * 1_000_000
    there = set(c.positions.tolist())
    ending = [p.last.meter for p in c.roster.parts if p.ends and p.to_us == length_us and p.position in there]
    return sorted({meter for meter in ending if meter is not None})


def opening_elsewhere(c: Contribution, meters: Sequence[str], view: UnitView, zone: tzinfo) -> Contribution | None:
    """Closing registers of meters that leave at the interval's end, as openings where another unit has them from then.

    None when it hasn't. They begin the row where it isn't there yet, so it doesn't matter whose message is first.
    """
    interval_s = c.interval_s
    if interval_s in DAYS_S:
        interval_s = _next_day_s(c.observed_at_us, zone)
        if interval_s not in DAYS_S:
            return None
    observed_at_us = c.observed_at_us + interval_s * 1_000_000
    roster = view.roster(observed_at_us, interval_s)
    place = {position: i for i, position in enumerate(c.positions.tolist())}
    pairs = [
        (stay.first.position, place[c.roster.position_of_meter[stay.first.meter]])
        for stay in roster.parts
        if stay.begins and stay.from_us == 0 and stay.first.meter is not None and stay.first.meter in meters
    ]
    source = np.array([i for _, i in pairs], np.intp)
    channels = {o: c.channels[name][source] for name, o in zip(CLOSING, OPENING, strict=True) if name in c.channels}
    if not any(np.any(values != MISSING_WH) for values in channels.values()):
        return None
    return Contribution(
        view=view,
        roster=roster,
        observed_at_us=observed_at_us,
        interval_s=interval_s,
        received_at_us=c.received_at_us,
        positions=np.array([position for position, _ in pairs], np.int32),
        precedence=c.precedence[source],
        received_us=c.received_us[source],
        channels=channels,
        quality=c.quality[source],
    )


def _next_day_s(end_us: int, zone: tzinfo) -> int:
    """Length of the local day that begins where another ends."""
    begin = datetime.fromtimestamp(end_us // 1_000_000, zone)
    end = begin + timedelta(days=1)  # by the clock on the wall
    return round((end.astimezone(UTC) - begin.astimezone(UTC)).total_seconds())


def positions_of(roster: Roster, meter: str) -> list[int]:
    """All positions that a meter has in the interval; none when it isn't a member."""
    last = roster.position_of_meter.get(meter)
    return [] if last is None else [last, *roster.others.get(last, ())]


def adopted(
    view: UnitView,
    key: Key,
    homes: Mapping[str, Sequence[Home]],
    stored: Mapping[Key, StoredBlock],
    at_us: int,
) -> list[Contribution]:
    """What rows hold of this unit's meters at places where they were before: their values are copied, none is moved.

    What stands in for a register comes to the same energy at another multiplier. They are parts of the step that looks
    at the row again, which must follow.

    Parameters
    ----------
    homes
        By meter: other units, or positions in this one, where it was ever believed to be, and its multiplier there.
    stored
        Rows of those units at the same interval, and at the one before, whose closing registers open this one.
    """
    unit_id, observed_at_us, interval_s = key
    roster = view.roster(observed_at_us, interval_s)
    contributions = []
    for meter, places in homes.items():
        for other, there, multiplier in places:
            for position in positions_of(roster, meter):
                if (other, there) != (unit_id, position):
                    block = stored.get((other, observed_at_us, interval_s))
                    contributions += _copies(view, key, position, block, (there, multiplier), at_us, _SAME)
                for earlier in before(key):
                    block = stored.get((other, *earlier[1:]))
                    contributions += _copies(view, key, position, block, (there, multiplier), at_us, _OPENED)
    return contributions


def _copies(
    view: UnitView,
    key: Key,
    position: int,
    block: StoredBlock | None,
    at: tuple[int, int],
    at_us: int,
    names: Mapping[str, str],
) -> list[Contribution]:
    """One a channel, since each has a precedence of its own; `names` says as what a channel is copied.

    `at` is the position in the block with its multiplier.
    """
    there, multiplier = at
    if block is None or there >= len(block.quality):
        return []
    part = slice(there, there + 1)
    roster = view.roster(key[1], key[2])
    said = {name: values[part] for name, values in block.channels.items()}
    scaled = at_multiplier(said, block.quality[part], np.array([multiplier]), roster.multiplier[[position]])
    copies = []
    for name, as_what in names.items():
        if name not in block.channels or block.precedence[name][there] in (NO_PRECEDENCE, COUNTED):
            continue
        if block.channels[name][there] == CHANNELS[name].missing:
            continue
        # What the row keeps of quality and deviation is the import's: an export that came with it has the same.
        with_import = block.precedence[name][there] == block.precedence[IMPORT][there]
        channels = {as_what: (scaled if with_import else said)[name]}
        if name == IMPORT and SIGMA in scaled:
            channels[SIGMA] = scaled[SIGMA]
        copies.append(
            Contribution(
                view=view,
                roster=roster,
                observed_at_us=key[1],
                interval_s=key[2],
                received_at_us=at_us,
                positions=np.array([position], np.int32),
                precedence=block.precedence[name][part],
                received_us=block.received_us[name][part],
                channels=channels,
                quality=block.quality[part],
                part=True,
            )
        )
    return copies
