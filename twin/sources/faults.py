"""Inconsistencies of known kind, put into clean tables; what was done is the truth that a check is scored by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from twin.sources.table import Change, Column, Kind, Slot, Table, Value, draws, text

_TRIES = 8
_STANDARD_KVA = (50, 63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000, 1250, 1600, 2000, 2500)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Which share of all objects suffers each kind, where it can befall them; a kind that is left out, none.

    An object is what has one code of Meterline's, in however many systems and tables. It is hit at most once.

    Raises
    ------
    ValueError
        When a rate is not in 0…1.
    """

    rates: Mapping[Kind, float] = field(default_factory=lambda: dict.fromkeys(Kind, 0.0035))

    def __post_init__(self) -> None:
        for kind, rate in self.rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"{Kind(kind)}: a rate of {rate} is not in 0..1")

    @classmethod
    def of(cls, total: float) -> FaultPlan:
        """All kinds alike."""
        return cls(dict.fromkeys(Kind, total / len(Kind)))


class Injection(NamedTuple):
    """One inconsistency: what stands in a system, and what should.

    `key` is the row's key in that system. Of a missing object `field` is the key's column, `true_value` the key that
    it would have had, and nothing is given. Of a duplicate `key` and `given_value` are the second key, `true_value`
    is the first.
    """

    system: str
    table: str
    key: str
    code: str
    kind: Kind
    field: str
    true_value: str
    given_value: str


class _Hit(NamedTuple):
    table: Table
    row: int
    slot: Slot
    draw: int


def inject(tables: Sequence[Table], plan: FaultPlan, seed: int) -> list[Injection]:
    """Put inconsistencies into the tables, which are changed; every table is sorted by its key afterwards.

    Each object has a random number for each kind, so that what befalls it doesn't depend on the other objects, nor
    on the order of the plan; of several kinds that would befall it, the one that is furthest below its rate does.
    """
    hits = list(_choose(tables, plan, seed))
    gone = {(h.table.system, h.table.name, str(h.table.keys[h.row])) for h in hits if h.slot.kind is Kind.MISSING}
    by_name = {(t.system, t.name): t for t in tables}
    taken = {name: {str(key) for key in t.keys} for name, t in by_name.items()}
    removed: dict[int, set[int]] = {id(t): set() for t in tables}
    found = []
    for hit in hits:
        table, row = hit.table, hit.row
        key, code, kind, name = str(table.keys[row]), table.codes[row], hit.slot.kind, hit.slot.column or table.key
        if kind is Kind.MISSING:
            removed[id(table)].add(row)
            true, given = key, ""
        elif kind is Kind.DUPLICATE:
            true, given = key, table.spare_key(hit.draw, taken[table.system, table.name])
            _repeat(table, row, given)
            key = given
        else:
            column = next(c for c in table.columns if c.name == name)
            target = (table.system, column.refers)
            true = text(table.values[name][row])
            if kind is Kind.ORPHAN:
                value: Value = by_name[target].spare_key(hit.draw, taken[target])
            else:
                value = _changed(hit, column, gone)
            table.values[name][row] = value
            given = text(value)
        found.append(Injection(table.system, table.name, key, code, kind, name, true, given))
    for table in tables:
        rows = [i for i in range(len(table)) if i not in removed[id(table)]]
        table.take(sorted(rows, key=lambda i, keys=table.keys: str(keys[i])))  # type: ignore[misc]
    return sorted(found)


def _choose(tables: Sequence[Table], plan: FaultPlan, seed: int) -> Iterator[_Hit]:
    """What befalls whom, in the order of codes."""
    rows: dict[str, list[tuple[Table, int]]] = {}
    for table in tables:
        if table.slots:
            for row, code in enumerate(table.codes):
                rows.setdefault(code, []).append((table, row))
    codes = sorted(rows)
    kinds = list(Kind)
    share = draws(seed, "inconsistency", codes)[:, : len(kinds)] / 2.0**64
    rate = np.array([plan.rates.get(kind, 0.0) for kind in kinds])
    with np.errstate(over="ignore"):  # a share of a rate next to nothing
        ratio = np.divide(share, rate, out=np.full_like(share, np.inf), where=rate > 0)
    hit = np.flatnonzero((ratio < 1).any(axis=1))
    more = draws(seed, "inconsistency/where", [codes[i] for i in hit.tolist()])
    for i, random in zip(hit.tolist(), more.tolist(), strict=True):
        for k in np.argsort(ratio[i], kind="stable").tolist():
            if not ratio[i, k] < 1:
                break
            chosen = _place(rows[codes[i]], kinds[k], random[0], random[1])
            if chosen is not None:
                yield chosen
                break


def _place(rows: list[tuple[Table, int]], kind: Kind, where: int, draw: int) -> _Hit | None:
    """One of the columns in which this kind can befall an object; None where there is none."""
    fit = [
        _Hit(table, row, slot, draw)
        for table, row in rows
        for slot in table.slots
        if slot.kind is kind and _applies(table, row, slot, draw)
    ]
    return fit[where % len(fit)] if fit else None


def _applies(table: Table, row: int, slot: Slot, draw: int) -> bool:
    if slot.kind in {Kind.MISSING, Kind.DUPLICATE}:
        return True
    old = table.values[slot.column][row]
    if slot.change is None:
        return old is not None
    return old is not None and any(_differs(slot.change(row, draw + t), old) for t in range(_TRIES))


def _differs(new: Value, old: Value) -> bool:
    return new is not None and text(new) != text(old)


def _changed(hit: _Hit, column: Column, gone: set[tuple[str, str, str]]) -> Value:
    """A value other than the true one; a reference is to something that is there, if one of a few tries finds it."""
    assert hit.slot.change is not None  # noqa: S101 - only orphans and whole rows have none
    old = hit.table.values[column.name][hit.row]
    tries = [hit.slot.change(hit.row, hit.draw + t) for t in range(_TRIES)]
    fit = [value for value in tries if _differs(value, old)]
    return next((v for v in fit if (hit.table.system, column.refers, text(v)) not in gone), fit[0])


def _repeat(table: Table, row: int, key: str) -> None:
    for name, column in table.values.items():
        column.append(key if name == table.key else column[row])
    table.codes.append(table.codes[row])
    if table.places:
        table.places.append(table.places[row])


def whole(*kinds: Kind) -> tuple[Slot, ...]:
    """Slots of kinds that befall a row as a whole; both when none is named."""
    return tuple(Slot(kind) for kind in kinds or (Kind.MISSING, Kind.DUPLICATE))


def orphan(column: str) -> Slot:
    """The column's reference leads nowhere."""
    return Slot(Kind.ORPHAN, column)


def misspelt(table_values: Mapping[str, list[Value]], column: str) -> Slot:
    """A letter of the column is left out, doubled, or changes places with the next."""
    values = table_values[column]

    def change(row: int, draw: int) -> Value:
        word = str(values[row] or "")
        at = [i for i in range(1, len(word)) if word[i].isalpha()]
        if not at:
            return None
        i = at[draw % len(at)]
        way = draw // len(at) % 3
        if way == 0:
            return word[:i] + word[i + 1 :]
        if way == 1 or i + 1 == len(word):
            return word[:i] + word[i] + word[i:]
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]

    return Slot(Kind.MISSPELT, column, change)


def replaced(kind: Kind, column: str, values: Sequence[Value]) -> Slot:
    """Any of `values` stands in the column."""
    return Slot(kind, column, lambda _row, draw: values[draw % len(values)] if values else None)


def rating(table_values: Mapping[str, list[Value]], kind: Kind, column: str, unit_kva: float = 1.0) -> Slot:
    """A standard rating stands in the column: of the next smaller transformer when out of date, else of a larger.

    Parameters
    ----------
    unit_kva
        What a 1 in the column means.
    """
    values = table_values[column]

    def change(row: int, draw: int) -> Value:
        kva = float(values[row] or 0) * unit_kva
        if kind is Kind.OUT_OF_DATE:
            smaller = [s for s in _STANDARD_KVA if s < kva * 0.999]
            return smaller[-1] / unit_kva if smaller else None
        larger = [s for s in _STANDARD_KVA if s > kva * 1.001][:2]
        return larger[draw % len(larger)] / unit_kva if larger else kva * 1.25 / unit_kva

    return Slot(kind, column, change)


def scaled(table_values: Mapping[str, list[Value]], kind: Kind, column: str, factors: tuple[float, ...]) -> Slot:
    """One of some multiples of the true value stands in the column."""
    values = table_values[column]

    def change(row: int, draw: int) -> Value:
        return round(float(values[row] or 0) * factors[draw % len(factors)], 3)

    return Slot(kind, column, change)


def changed(kind: Kind, column: str, change: Change) -> Slot:
    """What `change` says stands in the column."""
    return Slot(kind, column, change)
