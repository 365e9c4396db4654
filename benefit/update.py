"""Brings the ledger up to date: what was done, what it did, what that is worth. In one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from benefit.effect import EffectError
from benefit.ledger import (
    Entry,
    Known,
    Repair,
    Source,
    digest_of,
    entries_of_effect,
    entries_of_source,
    group_repairs,
)
from benefit.measure import Measured, measure
from benefit.parameters import Parameters, read_parameters
from store.benefit import (
    add_effect,
    add_entry,
    approved_parameters,
    keep_outages,
    ledger_reached,
    lock_ledger,
    newest_effects,
    newest_entries,
    read_sources,
    withdraw_entry,
)
from store.connection import Connection, allow_long


class NotApprovedError(RuntimeError):
    """No parameters are approved: nothing can be valued."""


class LedgerAheadError(ValueError):
    """The ledger knows what was done later already; going back would take that away."""


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
    effects
        New versions of effects.
    waiting
        Repairs of which nothing can be said, or not yet: units, days and why.
    """

    sources: int = 0
    written: Counter[str] = field(default_factory=Counter)
    unchanged: int = 0
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


def update_ledger(connection: Connection, zone: ZoneInfo, at: datetime) -> Updated:
    """Enter what was done up to an instant; the same again writes nothing.

    Raises
    ------
    NotApprovedError
        None are approved.
    LedgerAheadError
        An earlier update went further; nothing was written.
    """
    done = Updated()
    with connection.transaction():
        allow_long(connection)
        lock_ledger(connection)
        number, parameters = load_approved(connection)
        today = at.astimezone(zone).date()
        entered, last_day = ledger_reached(connection)
        if (entered is not None and at < entered) or (last_day is not None and today <= last_day):
            raise LedgerAheadError(f"the ledger has gone beyond {at.isoformat()} already")
        keep_outages(connection, at)
        sources = [_source(row) for row in read_sources(connection, at)]
        done.sources = len(sources)
        entries = [entry for source in sources for entry in entries_of_source(source, parameters, number)]
        days = [source.done_at.astimezone(zone).date() for source in sources]
        reach = timedelta(days=parameters.windows.days_after)
        known = newest_effects(connection)
        busy = [(unit_id, day) for source, day in zip(sources, days, strict=True) for unit_id in source.treated]
        for repair in group_repairs(sources, days, reach):
            try:
                measured = measure(connection, repair, busy, parameters.windows, today)
            except EffectError as error:
                done.waiting.append(_waits(repair, sources, error))
                continue
            effect = _keep_effect(connection, measured, known, done)
            entries += entries_of_effect(repair, sources, effect, parameters, number)
        _write(connection, entries, {(s.source, s.source_id) for s in sources}, done)
    return done


def _source(row: Sequence[Any]) -> Source:
    source, source_id, kind, unit_id, organisation, done_at, treated, tariff, found_wh, customers, began_at, said = row
    return Source(
        source, source_id, kind, unit_id, organisation, done_at, tuple(int(u) for u in treated), tariff, found_wh,
        customers, began_at, said,
    )  # fmt: skip


def _waits(repair: Repair, sources: Sequence[Source], error: EffectError) -> dict[str, Any]:
    return {
        "sources": [f"{sources[i].source} {sources[i].source_id}" for i in repair.sources],
        "repaired": [repair.first.isoformat(), repair.last.isoformat()],
        "why": str(error),
    }


def _keep_effect(
    connection: Connection, measured: Measured, known: dict[str, tuple[int, int, bytes]], done: Updated
) -> Known:
    effect_id, version, digest = known.get(measured.key, (0, 0, b""))
    if digest != measured.digest:
        effect_id = add_effect(connection, {**measured.values, "version": version + 1, "digest": measured.digest})
        done.effects += 1
    values = measured.values
    return Known(effect_id, values["recovered_wh"], values["sigma_wh"], values["shown"], measured.digest)


def _write(connection: Connection, entries: Sequence[Entry], standing: set[tuple[str, int]], done: Updated) -> None:
    """New versions of what is new or other than it was; what lost its source counts no more.

    An avoided loss of which nothing can be said any more, since its days aren't kept, stays as it was.
    """
    newest = {(row[0], row[1], row[2]): row[3:] for row in newest_entries(connection)}
    for entry in entries:
        key = (entry.source, entry.source_id, entry.item)
        version, withdrawn, digest, parameters_id, said, _ = newest.get(key, (0, True, b"", None, None, None))
        if bytes(digest) == entry.digest() and not withdrawn:
            done.unchanged += 1
            continue
        reason = "new"
        if version and not withdrawn:
            changed = digest_of(said) != digest_of(dict(entry.evidence["source"]))
            of_parameters = parameters_id != entry.parameters_id
            reason = "source" if changed else "parameters" if of_parameters else "restated"
        values = {name: getattr(entry, name) for name in Entry.__slots__}
        add_entry(connection, {**values, "version": version + 1, "digest": entry.digest(), "reason": reason})
        done.written[reason] += 1
    for (source, source_id, item), (version, withdrawn, *_) in sorted(newest.items()):
        if not withdrawn and (source, source_id) not in standing:
            withdraw_entry(connection, source, source_id, item, version)
            done.written["withdrawn"] += 1
