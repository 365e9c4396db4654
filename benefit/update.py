"""Brings the ledger up to date: what was done, what it did, what that is worth. One update at a time.

It is made of many short transactions, so that nothing waits for it; one that was broken off is taken up by the next.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from benefit.around import tell_around
from benefit.effect import EffectError
from benefit.inputs import Inputs, first_day, last_day
from benefit.ledger import Known, Repair, Source, entries_of_effect, entries_of_source, group_repairs
from benefit.measure import METHOD, Measured, Sizes, key_of, measure
from benefit.parameters import Parameters, Windows, read_parameters
from benefit.write import EntryWriter
from store.benefit import (
    LastMeasured,
    NewestEffect,
    add_effect,
    add_run,
    approved_parameters,
    forget_measured,
    keep_outages,
    ledger_reached,
    newest_effects,
    note_measured,
    own_ledger,
    read_day_states,
    read_measured,
    read_sources,
    unit_codes,
)
from store.connection import Connection, allow_long


class NotApprovedError(RuntimeError):
    """No parameters are approved: nothing can be valued."""


class LedgerAheadError(ValueError):
    """The ledger knows what was done later already; going back would take that away."""


class LedgerBusyError(RuntimeError):
    """Another update is under way."""


@dataclass(slots=True)
class Updated:
    """What an update came to.

    Attributes
    ----------
    sources
        What was done, of which there is evidence.
    written
        New versions of entries by reason.
    unchanged
        Entries that stand as they did.
    measured
        Repairs that were measured: those of which nothing is another than it was aren't.
    effects
        New versions of effects.
    waiting
        Repairs of which nothing can be said, or not yet: units, days and why.
    """

    sources: int = 0
    written: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
    measured: int = 0
    effects: int = 0
    waiting: list[dict[str, Any]] = field(default_factory=list)


def load_approved(connection: Connection) -> tuple[int, Parameters]:
    """Number and content of the parameters that count.

    Raises
    ------
    NotApprovedError
        None are approved.
    """
    row = approved_parameters(connection)
    if row is None:
        raise NotApprovedError("no parameters are approved: meterline benefit parameters load, then approve")
    return int(row["parameters_id"]), read_parameters(row["body"])


def update_ledger(
    connection: Connection, zone: ZoneInfo, at: datetime, deliveries_kept: timedelta = timedelta(days=90)
) -> Updated:
    """Enter what was done up to an instant; the same again measures and writes nothing.

    Parameters
    ----------
    connection
        In autocommit.
    deliveries_kept
        How long deliveries stay before retention removes them.

    Raises
    ------
    NotApprovedError
        None are approved.
    LedgerAheadError
        An earlier update went further; nothing was written.
    LedgerBusyError
        Another one is under way; nothing was written.
    """
    with own_ledger(connection) as mine:
        if not mine:
            raise LedgerBusyError("another update of the ledger is under way")
        number, parameters = load_approved(connection)
        today = at.astimezone(zone).date()
        entered, last = ledger_reached(connection)
        if (entered is not None and at < entered) or (last is not None and today <= last):
            raise LedgerAheadError(f"the ledger has gone beyond {at.isoformat()} already")
        with connection.transaction():
            allow_long(connection)
            keep_outages(connection, at)
            sources = [_source(row, zone) for row in read_sources(connection, at)]
            writer = EntryWriter(connection)
        done = Updated(sources=len(sources), written=writer.written)
        for source in sources:
            writer.add(entries_of_source(source, parameters, number))
        effects = _Effects(connection, sources, parameters.windows, today)
        for repair in effects.repairs:
            effect = effects.of(repair)
            if isinstance(effect, Known):
                writer.add(entries_of_effect(repair, sources, effect, parameters, number))
            else:
                done.waiting.append(_waits(repair, sources, effect))
        effects.end()
        writer.end({(source.source, source.source_id) for source in sources})
        done.unchanged, done.measured, done.effects = writer.unchanged, effects.measured, effects.new
        with connection.transaction():
            allow_long(connection)
            around = tell_around(connection, parameters, at, at - deliveries_kept)
        add_run(
            connection,
            {
                "at": at, "sources": done.sources, "written": done.written.total(), "measured": done.measured,
                "waiting": len(done.waiting), **around,
            },
        )  # fmt: skip
    return done


class _Effects:
    """Effects of repairs: measured where what they rest on is another than when they were measured last."""

    def __init__(self, connection: Connection, sources: Sequence[Source], windows: Windows, today: date) -> None:
        self.measured = 0
        self.new = 0
        self.repairs = group_repairs(sources, timedelta(days=windows.days_after))
        self._connection, self._windows, self._today = connection, windows, today
        self._sizes = Sizes()
        self._keys: list[str] = []
        spans = [(first_day(r, windows), r.last + timedelta(days=windows.days_after)) for r in self.repairs]
        with connection.transaction():
            allow_long(connection)
            self._codes = unit_codes(connection, sorted({unit for r in self.repairs for unit in r.units}))
            self._newest, self._before = newest_effects(connection), read_measured(connection)
            states = read_day_states(connection, min(s[0] for s in spans), max(s[1] for s in spans)) if spans else {}
        self._inputs = Inputs(METHOD, windows, sources, states)

    def of(self, repair: Repair) -> Known | str:
        """The effect of a repair, or why nothing can be said, or not yet."""
        key = key_of(repair, self._codes)
        self._keys.append(key)
        try:
            last = last_day(repair, self._windows, self._today)
        except EffectError as error:
            return str(error)
        first = first_day(repair, self._windows)
        kinds = {self._codes[unit][1] for unit in repair.units}
        inputs = self._inputs.hash_of(repair, kinds, first, last)
        said = self._before.get(key)
        if said is None or said.inputs != inputs:
            said = self._measure(repair, key, first, last, inputs)
        if said.why is not None:
            return said.why
        effect = self._newest[key]
        return Known(effect.effect_id, effect.recovered_wh, effect.sigma_wh, effect.shown, effect.digest)

    def end(self) -> None:
        """Forget the measurements of repairs that there aren't any more."""
        forget_measured(self._connection, self._keys)

    def _measure(self, repair: Repair, key: str, first: date, last: date, inputs: bytes) -> LastMeasured:
        self.measured += 1
        with self._connection.transaction():
            self._connection.execute("set transaction isolation level repeatable read")
            allow_long(self._connection)
            try:
                barred = self._inputs.barred(first, last)
                found = measure(self._connection, repair, last, barred, self._windows, self._codes, self._sizes)
            except EffectError as error:
                said = LastMeasured(inputs, None, str(error))
            else:
                said = LastMeasured(inputs, self._keep(found), None)
            note_measured(self._connection, key, said)
        return said

    def _keep(self, found: Measured) -> int:
        """Number of the effect: a new version where it says something else."""
        newest = self._newest.get(found.key)
        if newest is None or newest.digest != found.digest:
            version = 1 if newest is None else newest.version + 1
            values = found.values
            number = add_effect(self._connection, {**values, "version": version, "digest": found.digest})
            newest = NewestEffect(
                number, version, found.digest, values["recovered_wh"], values["sigma_wh"], values["shown"]
            )
            self._newest[found.key] = newest
            self.new += 1
        return newest.effect_id


def _source(row: Sequence[Any], zone: ZoneInfo) -> Source:
    *what, done_at, treated, tariff, found_wh, customers, began_at, steps, changed_at, said = row
    source, source_id, kind, unit_id, organisation = what
    day = done_at.astimezone(zone).date()
    changed_on = day if changed_at is None else changed_at.astimezone(zone).date()
    return Source(
        source, source_id, kind, unit_id, organisation, done_at, tuple(int(u) for u in treated), tariff, found_wh,
        customers, began_at, steps or (), day, changed_on, said,
    )  # fmt: skip


def _waits(repair: Repair, sources: Sequence[Source], why: str) -> dict[str, Any]:
    return {
        "sources": [f"{sources[i].source} {sources[i].source_id}" for i in repair.sources],
        "repaired": [repair.first.isoformat(), repair.last.isoformat()],
        "why": why,
    }
