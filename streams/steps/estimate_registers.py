"""Estimates brought to what registers say: the energy of a day or between two readings, less what is known of it.

Limits pass one interval after the other, and each looks again at what is known by then. So the rest of a register's
energy, after what was measured and what was estimated for good before, is shared among the intervals that are still
open, by the estimates that their provisional limits have made. The last of them gets all that is left: measured and
estimated intervals add up to the register's energy exactly. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo

import numpy as np

from grid.channels import EXPORT, GAP_SIGMA, IMPORT, SIGMA
from grid.history import Past
from grid.model import MAX_ENERGY_WH
from grid.period import midnight_us
from grid.quality import MISSING_WH
from streams.steps.contribution import Contribution, Key
from streams.steps.gap import ESTIMATE_PRECEDENCE, OFFLINE, ONLINE, Filled, Gap, contribution_of

_SECOND_US = 1_000_000
#: A meter of one watt-hour's step tells the last open interval no better than this.
_LEAST_SIGMA_WH = 1

#: Estimates of a batch that no row holds yet: by key, position and whether they are final, when and how much.
Fresh = dict[tuple[Key, int, bool], tuple[int, int]]


def day_key(gap: Gap, zone: tzinfo) -> Key:
    """Key of the row of daily registers that a gap lies in."""
    begin_us, end_us = _day_us(gap, zone)
    return gap.view.unit_id, end_us, (end_us - begin_us) // _SECOND_US


def has_registers(gap: Gap, past: Mapping[Key, Past], zone: tzinfo) -> bool:
    """Whether the day's energy is known, or registers were read in rows of the unit around the gap."""
    if day_key(gap, zone) in past:
        return True
    return any(
        held.register_wh is not None
        for n in (-2, -1, 1, 2)
        if (held := past.get((gap.view.unit_id, gap.observed_at_us + n * gap.interval_s * _SECOND_US, gap.interval_s)))
    )


def rows_of_day(gap: Gap, zone: tzinfo) -> list[Key]:
    """Keys of the gap's local day: the row that ends with its beginning, its intervals, and its daily registers."""
    begin_us, end_us = _day_us(gap, zone)
    step_us = gap.interval_s * _SECOND_US
    ends = range(begin_us, end_us + 1, step_us)
    return [*((gap.view.unit_id, end, gap.interval_s) for end in ends), day_key(gap, zone)]


def fresh_of(contributions: Sequence[Contribution]) -> Fresh:
    """Estimates as they were made, before registers."""
    return {
        (c.key, position, precedence == ESTIMATE_PRECEDENCE[OFFLINE]): (c.received_at_us, energy)
        for c in contributions
        for position, precedence, energy in zip(
            c.positions.tolist(), c.precedence.tolist(), c.channels[IMPORT].tolist(), strict=True
        )
    }


def to_registers(
    gap: Gap, made: Contribution | None, past: Mapping[Key, Past], fresh: Fresh, zone: tzinfo
) -> Contribution | None:
    """The estimates of a final limit, brought to registers where there are any.

    Parameters
    ----------
    made
        What was estimated without them; None = nothing.
    past
        Rows of `rows_of_day`, as far as there are any.
    fresh
        Other estimates of the batch; taken up with what is found. Gaps of one unit come in order of their limits.
    """
    size = len(gap.positions)
    filled = Filled(*(np.full(size, MISSING_WH) for _ in range(4)))
    if made is not None:
        at = np.searchsorted(gap.positions, made.positions)
        columns = filled.import_wh, filled.export_wh, filled.sigma_wh, filled.gap_sigma_wh
        for name, column in zip((IMPORT, EXPORT, SIGMA, GAP_SIGMA), columns, strict=True):
            column[at] = made.channels[name]
    for i, position in enumerate(gap.positions.tolist()):
        prior = int(filled.import_wh[i]), int(filled.sigma_wh[i]), int(filled.gap_sigma_wh[i])
        found = _of_register(gap, position, prior, past, fresh, zone)
        if found is not None:
            filled.import_wh[i], filled.sigma_wh[i], filled.gap_sigma_wh[i] = found
        if filled.import_wh[i] != MISSING_WH:
            fresh[(gap.key, position, True)] = gap.at_us, int(filled.import_wh[i])
    there = filled.import_wh != MISSING_WH
    return contribution_of(gap, filled, there) if there.any() else None


def _of_register(
    gap: Gap, position: int, prior: tuple[int, int, int], past: Mapping[Key, Past], fresh: Fresh, zone: tzinfo
) -> tuple[int, int, int] | None:
    """Energy, deviation and that of the gap, of a gap's member by registers; None where they don't tell.

    `prior` is the same without registers.
    """
    span = _span(gap, position, past, zone)
    if span is None:
        return None
    first_us, last_us, rest = span
    weights: dict[int, int | None] = {}
    for end_us in range(first_us, last_us + 1, gap.interval_s * _SECOND_US):
        key = (gap.view.unit_id, end_us, gap.interval_s)
        energy = None if end_us == gap.observed_at_us else _settled(past.get(key), key, position, gap.at_us, fresh)
        if energy is None:
            weights[end_us] = _foreseen(past.get(key), key, position, gap.at_us, fresh)
        else:
            rest -= energy
    if not 0 <= rest <= MAX_ENERGY_WH:
        return None
    known = [weight for weight in weights.values() if weight is not None]
    level = sum(known) / len(known) if sum(known) else 1.0
    open_ = {end: level if weight is None or not sum(known) else float(weight) for end, weight in weights.items()}
    share = open_[gap.observed_at_us] / sum(open_.values())
    if len(open_) == 1:
        return rest, _LEAST_SIGMA_WH, 0
    energy = round(rest * share)
    expected, sigma, of_gap = prior
    if expected == MISSING_WH:
        return energy, max(energy, _LEAST_SIGMA_WH), 0
    # Errors grow with the energy, which the register tells, and the sum of all open ones is known.
    scale = math.sqrt(energy / expected if expected > 0 else 1.0) * math.sqrt(1.0 - share)
    return energy, max(math.ceil(sigma * scale), _LEAST_SIGMA_WH), math.ceil(of_gap * scale)


def _span(gap: Gap, position: int, past: Mapping[Key, Past], zone: tzinfo) -> tuple[int, int, int] | None:
    """First and last interval's end, and energy, of the shortest span around a gap that registers tell."""
    begin_us, end_us = _day_us(gap, zone)
    step_us = gap.interval_s * _SECOND_US
    opening = closing = None
    for at_us in range(gap.observed_at_us - step_us, begin_us - 1, -step_us):
        opening = _register(past.get((gap.view.unit_id, at_us, gap.interval_s)), position, gap.at_us)
        if opening is not None:
            break
    for to_us in range(gap.observed_at_us, end_us + 1, step_us):
        closing = _register(past.get((gap.view.unit_id, to_us, gap.interval_s)), position, gap.at_us)
        if closing is not None:
            break
    if opening is not None and closing is not None:
        return at_us + step_us, to_us, closing - opening
    day = past.get(day_key(gap, zone))
    if day is None or position >= len(day.quality) or not day.measured(gap.at_us)[position]:
        return None
    return begin_us + step_us, end_us, int(day.import_wh[position])


def _register(held: Past | None, position: int, until_us: int) -> int | None:
    if held is None or held.register_wh is None or held.register_us is None or position >= len(held.quality):
        return None
    value = int(held.register_wh[position])
    return value if value != MISSING_WH and held.register_us[position] <= until_us else None


def _settled(held: Past | None, key: Key, position: int, until_us: int, fresh: Fresh) -> int | None:
    """What an interval has, measured or estimated for good by then; None while it is open."""
    if held is not None and position < len(held.quality):
        final = held.precedence[position] == ESTIMATE_PRECEDENCE[OFFLINE] and held.known_us[position] < until_us
        if held.measured(until_us)[position] or (final and held.import_wh[position] >= 0):
            return int(held.import_wh[position])
    at_us, energy = fresh.get((key, position, True), (until_us, 0))
    return energy if at_us < until_us else None


def _foreseen(held: Past | None, key: Key, position: int, until_us: int, fresh: Fresh) -> int | None:
    """The estimate of an open interval's provisional limit."""
    at_us, energy = fresh.get((key, position, False), (until_us, 0))
    if at_us < until_us:
        return energy
    if held is None or position >= len(held.quality) or held.known_us[position] >= until_us:
        return None
    online = held.precedence[position] == ESTIMATE_PRECEDENCE[ONLINE] and held.import_wh[position] >= 0
    return int(held.import_wh[position]) if online else None


def _day_us(gap: Gap, zone: tzinfo) -> tuple[int, int]:
    begin_s = gap.observed_at_us // _SECOND_US - gap.interval_s
    day: date = datetime.fromtimestamp(begin_s, UTC).astimezone(zone).date()
    return midnight_us(day, zone), midnight_us(day + timedelta(days=1), zone)
