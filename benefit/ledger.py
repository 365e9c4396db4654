"""What is entered for what was done: groups of repairs, shares of an effect, energy, money and emissions; pure.

Everything is a whole number (Wh, cents, thousandths of a visit, seconds, grams), so that sums are exact.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, NamedTuple

from benefit.parameters import Parameters
from benefit.reliability import Steps, restored
from benefit.split import split


@dataclass(frozen=True, slots=True)
class Source:
    """Something that was done, and is over.

    Attributes
    ----------
    source, source_id
        work_order, proposal, conflict or outage, and its number.
    kind
        Of the alert or conflict.
    unit_id, organisation
        Where, and who answers for it; None: not known.
    treated
        Units whose loss may have changed by it; empty: none.
    tariff
        Class of the customer; None: not known.
    found_wh
        Energy that the crew found, and that is billed after all.
    customers, began_at, steps
        Of an outage; steps as in `benefit.reliability.restored`.
    day
        Local day on which it was done: its prices hold.
    changed_on
        Local day from which on the loss is another: of a relation when it became true, not when it was approved.
    row
        What the source says, as evidence.
    """

    source: str
    source_id: int
    kind: str
    unit_id: int | None
    organisation: str | None
    done_at: datetime
    treated: tuple[int, ...]
    tariff: str | None
    found_wh: int
    customers: int | None
    began_at: datetime | None
    steps: Steps
    day: date
    changed_on: date
    row: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done to some units within so short a time that its effects can't be told apart.

    Attributes
    ----------
    sources
        Positions in the list of sources.
    units
        Ascending.
    first, last
        Local days from which on the first and the last thing that was done held.
    """

    sources: tuple[int, ...]
    units: tuple[int, ...]
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Known:
    """An effect as it is stored: what entries rest on."""

    effect_id: int
    recovered_wh: int
    sigma_wh: int
    shown: bool
    digest: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger before it has a version; see the table `benefit.entry`."""

    source: str
    source_id: int
    item: str
    kind: str
    unit_id: int | None
    organisation: str | None
    done_at: datetime
    energy_wh: int
    sigma_wh: int
    shown: bool
    money_cents: int
    visits_milli: int
    work_s: int
    outage_customer_s: int
    co2_g: int
    basis: str
    method: str
    parameters_id: int
    effect_id: int | None
    evidence: Mapping[str, Any]

    def digest(self) -> bytes:
        """BLAKE2b of everything that it says, and of what it rests on."""
        said = {name: getattr(self, name) for name in Entry.__slots__ if name != "effect_id"}
        return digest_of(said)


class _Group(NamedTuple):
    members: list[int]
    units: set[int]
    first: date
    last: date


def digest_of(value: Any) -> bytes:
    """BLAKE2b of the canonical JSON of a value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


def group_repairs(sources: Sequence[Source], reach: timedelta) -> list[Repair]:
    """Sources whose units meet within `reach` of each other become one repair.

    Parameters
    ----------
    reach
        Days after a repair over which its effect is looked for: another one within them can't be told from it.
    """
    order = sorted((i for i, s in enumerate(sources) if s.treated), key=lambda i: (sources[i].changed_on, i))
    live: list[_Group] = []
    over: list[_Group] = []
    for i in order:
        day = sources[i].changed_on
        over += [group for group in live if day - group.last > reach]
        joined = _Group([i], set(sources[i].treated), day, day)
        rest = []
        for group in live:
            if day - group.last > reach:
                continue
            if group.units & joined.units:
                joined = _Group(
                    [*group.members, *joined.members], joined.units | group.units, min(joined.first, group.first), day
                )
            else:
                rest.append(group)
        live = [*rest, joined]
    repairs = [Repair(tuple(sorted(g.members)), tuple(sorted(g.units)), g.first, g.last) for g in (*over, *live)]
    return sorted(repairs, key=lambda r: (r.first, r.sources))


def money_cents(energy_wh: int, price_per_kwh: Decimal) -> int:
    """What an energy is worth in cents, half to even."""
    return _whole(Decimal(energy_wh) * price_per_kwh / 10)


def entries_of_effect(
    repair: Repair, sources: Sequence[Source], known: Known, parameters: Parameters, parameters_id: int
) -> list[Entry]:
    """The loss avoided, shared equally among what was done; the shares add up to the watt-hour.

    Where no effect is shown nothing is credited, but the error that was found stands.
    """
    equal = [1] * len(repair.sources)
    energies = split(known.recovered_wh if known.shown else 0, equal)
    sigmas = split(known.sigma_wh, equal)
    entries = []
    for position, energy_wh, sigma_wh in zip(repair.sources, energies, sigmas, strict=True):
        source = sources[position]
        tariff, price = parameters.price_of(source.tariff, source.day)
        saved = Decimal(energy_wh) * parameters.carbon.saved_share * parameters.carbon.g_per_kwh / 1_000
        entries.append(
            _entry(
                source, "loss_avoided", parameters_id,
                energy_wh=energy_wh, sigma_wh=sigma_wh, shown=known.shown, money_cents=money_cents(energy_wh, price),
                co2_g=_whole(saved), method="difference-in-differences", effect_id=known.effect_id,
                evidence={
                    "effect": known.digest.hex(), "shared_by": len(repair.sources),
                    "tariff": tariff, "price": str(price),
                },
            )
        )  # fmt: skip
    return entries


def entries_of_source(source: Source, parameters: Parameters, parameters_id: int) -> list[Entry]:
    """What a source brings by itself: energy billed after all, visits that weren't needed, a shorter outage."""
    entries = []
    if source.found_wh > 0:
        tariff, price = parameters.price_of(source.tariff, source.day)
        entries.append(
            _entry(
                source, "recovered", parameters_id,
                energy_wh=source.found_wh, money_cents=money_cents(source.found_wh, price), basis="measured",
                method="found on the spot", evidence={"tariff": tariff, "price": str(price)},
            )
        )  # fmt: skip
    if source.source in {"proposal", "conflict"}:
        visits = parameters.visits
        share = visits.by_proposal if source.source == "proposal" else visits.by_conflict
        entries.append(
            _entry(
                source, "visits", parameters_id,
                visits_milli=_whole(share * 1_000), work_s=_whole(share * visits.hours * 3_600),
                money_cents=_whole(share * visits.cost * 100), basis="estimate", method="visits by case",
                evidence={"visits": str(share), "hours": str(visits.hours), "cost": str(visits.cost)},
            )
        )  # fmt: skip
    if source.began_at is not None:
        entries += _entries_of_outage(source, source.began_at, parameters, parameters_id)
    return entries


def _entries_of_outage(source: Source, began_at: datetime, parameters: Parameters, parameters_id: int) -> list[Entry]:
    """What customers were without supply less than before; a momentary interruption is compared with nothing."""
    length_s = (source.done_at - began_at).total_seconds()
    sustained_s = parameters.outages.sustained_minutes * 60
    parts = [
        (round(seconds), customers)
        for seconds, customers in restored(length_s, source.customers or 0, source.steps)
        if customers and seconds > sustained_s
    ]
    if not parts:
        return []
    baseline_s = _whole(parameters.outages.baseline_minutes * 60)
    customers, customer_s = sum(count for _, count in parts), sum(seconds * count for seconds, count in parts)
    avoided = baseline_s * customers - customer_s
    worth = Decimal(avoided) / 3_600 * parameters.outages.value_per_customer_hour
    evidence = {
        "baseline_s": baseline_s, "sustained_s": str(sustained_s), "customers": customers, "customer_s": customer_s,
        "parts": parts,
    }  # fmt: skip
    return [
        _entry(
            source, "outage", parameters_id, outage_customer_s=avoided, money_cents=_whole(worth * 100),
            basis="estimate", method="against the time to restore before", evidence=evidence,
        )
    ]  # fmt: skip


def _entry(source: Source, item: str, parameters_id: int, **figures: Any) -> Entry:
    none: dict[str, Any] = {
        "energy_wh": 0,
        "sigma_wh": 0,
        "shown": True,
        "money_cents": 0,
        "visits_milli": 0,
        "work_s": 0,
    }
    none |= {"outage_customer_s": 0, "co2_g": 0, "basis": "measured", "effect_id": None}
    evidence = {"source": dict(source.row), "source_hash": digest_of(source.row).hex(), **figures.pop("evidence")}
    return Entry(
        source=source.source, source_id=source.source_id, item=item, kind=source.kind, unit_id=source.unit_id,
        organisation=source.organisation, done_at=source.done_at, parameters_id=parameters_id, evidence=evidence,
        **(none | figures),
    )  # fmt: skip


def _whole(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_HALF_EVEN))
