"""Runs validation rules over stored days whose last final limits have passed, and tells estimates what they doubt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta, tzinfo
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from grid.doubt import COUNTS_AFTER_S, Doubt
from grid.history import NEVER_DOUBTED_US, Past
from grid.period import midnight_us
from grid.quality import MISSING_WH
from store.blocks import Key, to_datetime
from store.connection import Connection
from store.history import read_history
from store.validation import Span, due_units, lock, read_sums, rows_between, write_day
from streams.steps.validate import Day, DayRules, doubts_of, jumps

#: What was received before a limit may still be on its way through Kafka and the workers for this long.
_GRACE_S = 120
#: Units of one transaction: two days of a unit are up to 2,880 rows.
_PAGE = 50
#: Days before the newest that are made up for where the service was away.
LOOK_BACK = 7


@dataclass(frozen=True, slots=True)
class Validated:
    """How many days of units a round has looked at, and how many doubts they have."""

    units: int
    doubts: int


def newest_day(now_us: int, final_s: int, zone: tzinfo) -> date:
    """The last local day whose intervals' final limits have all passed."""
    return to_datetime(now_us - (final_s + _GRACE_S) * 1_000_000).astimezone(zone).date() - timedelta(days=1)


def validate_due(
    connection: Connection,
    rules: DayRules,
    final_s: int,
    zone: tzinfo,
    now_us: int,
    *,
    days: Sequence[date] | None = None,
    units: Sequence[str] | None = None,
) -> Validated | None:
    """Look at some units' days, in one transaction a day and page; None while another process does.

    Parameters
    ----------
    connection
        In autocommit.
    final_s
        Final limit of areas.
    days
        Days to look at, also again; by default those up to a week back that nobody has looked at. A day whose limits
        haven't passed is left out.
    units
        Only these.

    Raises
    ------
    psycopg.Error
        When the store can't be used.
    """
    newest = newest_day(now_us, final_s, zone)
    wanted = sorted(days) if days is not None else [newest - timedelta(days=n) for n in range(LOOK_BACK, -1, -1)]
    looked = found = 0
    for day in wanted:
        if day > newest:
            continue
        after = 0
        while True:
            with connection.transaction():
                if not lock(connection):
                    return None
                bounds = to_datetime(midnight_us(day, zone)), to_datetime(midnight_us(day + timedelta(days=1), zone))
                unit_ids = due_units(connection, day, bounds, after, _PAGE, units, again=days is not None)
                if unit_ids:
                    found += _validate(connection, unit_ids, day, rules, final_s, zone)
            if not unit_ids:
                break
            looked, after = looked + len(unit_ids), unit_ids[-1]
    return Validated(looked, found)


def _validate(
    connection: Connection, unit_ids: Sequence[int], day: date, rules: DayRules, final_s: int, zone: tzinfo
) -> int:
    """Write what the rules say of a day of some units; returns how many doubts there are."""
    before_us, begin_us, end_us = (midnight_us(day + timedelta(days=n), zone) for n in (-1, 0, 1))
    as_of_us = end_us + final_s * 1_000_000
    keys = rows_between(connection, unit_ids, to_datetime(before_us), to_datetime(end_us))
    past = read_history(connection, keys)
    jump_days = rules.multiplier.days
    first = day - timedelta(days=2 * jump_days - 1)
    sums = read_sums(connection, unit_ids, first, day)
    found: dict[int, tuple[list[Doubt], NDArray[np.int64]]] = {}
    for unit_id, of_unit in groupby(keys, key=lambda key: key[0]):
        lengths = {length: list(its) for length, its in groupby(of_unit, key=lambda key: key[2])}
        # A unit whose interval was changed has two lengths for a day.
        _, its = max(lengths.items(), key=lambda item: (len(item[1]), -item[0]))
        matrix = _day_of(its, past, before_us, begin_us, end_us, as_of_us)
        own = matrix.sums_wh()
        doubts = doubts_of(matrix, rules)
        earlier = [sums.get((unit_id, first + timedelta(days=n))) for n in range(2 * jump_days - 1)]
        if all(one is not None for one in earlier):
            columns = np.full((len(own), 2 * jump_days), MISSING_WH)
            for column, one in enumerate([*earlier, own]):
                size = min(len(own), len(one))  # type: ignore[arg-type]  # none of them is None
                columns[:size, column] = one[:size]  # type: ignore[index]
            doubts += jumps(columns, midnight_us(day - timedelta(days=jump_days - 1), zone), end_us, rules)
        found[unit_id] = doubts, own
    write_day(connection, day, to_datetime(as_of_us), found)
    return sum(len(doubts) for doubts, _ in found.values())


def _day_of(
    keys: Sequence[Key], past: Mapping[Key, Past], before_us: int, begin_us: int, end_us: int, as_of_us: int
) -> Day:
    """A unit's readings of two days as they were known by an instant."""
    interval_s = keys[0][2]
    step_us = interval_s * 1_000_000
    rows = [(key[1], past[key]) for key in keys if key in past]
    size = max((len(held.import_wh) for _, held in rows), default=0)
    energy = np.full((size, (end_us - before_us) // step_us), MISSING_WH)
    for at_us, held in rows:
        column, rest = divmod(at_us - before_us, step_us)
        if not rest and 1 <= column <= energy.shape[1]:
            measured = held.measured(as_of_us)
            energy[: len(measured), column - 1] = np.where(measured, held.import_wh, MISSING_WH)
    return Day(energy, before_us, interval_s, (begin_us - before_us) // step_us)


def with_doubts(past: Mapping[Key, Past], spans: Mapping[int, Sequence[Span]]) -> dict[Key, Past]:
    """Rows with what is doubted of them, from when on estimates count that.

    A doubt holds of what was known when the rules looked: a value that was corrected later isn't meant.
    """
    marked = dict(past)
    for key, held in past.items():
        doubted_us = None
        for span in spans.get(key[0], ()):
            if span.begin_us < key[1] <= span.end_us and span.position < len(held.import_wh):
                if held.known_us[span.position] > span.as_of_us:
                    continue
                if doubted_us is None:
                    doubted_us = np.full(len(held.import_wh), NEVER_DOUBTED_US)
                counts_us = span.as_of_us + COUNTS_AFTER_S * 1_000_000
                doubted_us[span.position] = min(doubted_us[span.position], counts_us)
        if doubted_us is not None:
            marked[key] = replace(held, doubted_us=doubted_us)
    return marked
