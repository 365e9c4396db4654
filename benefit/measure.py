"""Finds what a repair did to the loss of its units: reads their days and those of units like them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benefit.comparison import choose_controls, compare, sides, to_matrix
from benefit.effect import Effect, EffectError
from benefit.inputs import first_day
from benefit.ledger import Repair, digest_of
from benefit.matching import LEAST_SHARE
from benefit.parameters import Windows
from store.benefit import DayRow, Row, read_days, read_days_as_taken, read_sizes, unit_codes
from store.connection import Connection

#: Raised with every change of the method that gives other figures.
METHOD = "did-placebo-2"
#: Units of about the same size among which controls are looked for.
_CANDIDATES = 200
#: Units of a repair, as the ledger takes them.
_MOST_UNITS = 64
#: Lists of sizes that are kept: repairs come in the order of their days.
_SIZES = 4

Codes = Mapping[int, tuple[str, str]]
"""Code and kind of units."""


@dataclass(frozen=True, slots=True)
class Measured:
    """An effect with what it rests on, as `benefit.effect` keeps it."""

    key: str
    values: dict[str, Any]
    digest: bytes


class Sizes:
    """Sizes of all units of a kind over some days, read once."""

    def __init__(self) -> None:
        self._read: dict[tuple[str, date, date, int], tuple[NDArray[np.int64], NDArray[np.float64]]] = {}

    def of(
        self, connection: Connection, kind: str, first: date, until: date, least: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Units and their mean daily inflow; as `store.benefit.read_sizes`."""
        wanted = kind, first, until, least
        if wanted not in self._read:
            if len(self._read) >= _SIZES:
                self._read.pop(next(iter(self._read)))
            rows = read_sizes(connection, kind, first, until, least)
            self._read[wanted] = np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows])
        return self._read[wanted]


def key_of(repair: Repair, codes: Codes) -> str:
    """Units and days of a repair: measurements of one key are of the same question."""
    return f"{','.join(codes[u][0] for u in repair.units)}@{repair.first}..{repair.last}"


def measure(
    connection: Connection,
    repair: Repair,
    last: date,
    barred: frozenset[int],
    windows: Windows,
    codes: Codes,
    sizes: Sizes,
) -> Measured:
    """Measure what a repair did.

    Parameters
    ----------
    last
        Last day that is looked at, as `benefit.inputs.last_day`.
    barred
        Units at which something was done within the days: none of them is a control.
    codes
        Of the repair's units at least.

    Raises
    ------
    EffectError
        Nothing can be said.
    """
    if len(repair.units) > _MOST_UNITS:
        raise EffectError(
            f"{len(repair.units)} units were repaired together; at most {_MOST_UNITS} are compared as one"
        )
    first = first_day(repair, windows)
    kinds = {codes[unit][1] for unit in repair.units}
    if len(kinds) != 1:
        raise EffectError("units of different kinds")
    before, after = sides(first, last, (repair.first, repair.last))

    rows = read_days(connection, repair.units, first, last)
    loss, inflow, revisions = to_matrix(rows, repair.units, first, last)
    # What one unit of a repair loses the other may gain: they are compared as one, with units of their mean size.
    treated_wh, treated_inflow_wh = loss.sum(axis=1), inflow.sum(axis=1)
    there = np.isfinite(treated_wh)
    if there[before].mean() < LEAST_SHARE or there[after].mean() < LEAST_SHARE:
        raise EffectError("too many days of the unit are not computable, or not published")
    if there[after].sum() < windows.least_days_after * LEAST_SHARE:
        raise EffectError("too few days after are known")

    count = len(repair.units)
    size = float(np.mean(treated_inflow_wh[there & before])) / count
    if not size > 0:
        raise EffectError("the unit has no inflow")
    least = int(np.ceil((repair.first - first).days * LEAST_SHARE))
    unit_ids, sizes_wh = sizes.of(connection, kinds.pop(), first, repair.first, least)
    is_barred, is_own = np.isin(unit_ids, sorted(barred)), np.isin(unit_ids, repair.units)
    kept_out = int((is_barred & ~is_own).sum())
    free = ~(is_barred | is_own)
    candidates = _nearest(unit_ids[free], sizes_wh[free], size)
    others = read_days(connection, candidates, first, last)
    their_loss, their_inflow, their_revisions = to_matrix(others, candidates, first, last)
    try:
        chosen = choose_controls(
            treated_wh / count, treated_inflow_wh / count, their_loss, their_inflow, before, after, windows.rules()
        )
    except EffectError as error:
        raise EffectError(f"{error}; {kept_out} more are none, since something was done at them too") from None

    controls = [candidates[i] for i in chosen.tolist()]
    named = {**codes, **unit_codes(connection, controls)}
    key = key_of(repair, codes)
    seed = int.from_bytes(digest_of(key)[:4], "little")
    effect = compare(treated_wh, treated_inflow_wh, their_loss[:, chosen], their_inflow[:, chosen], before, after, seed)
    evidence = {
        "seed": seed,
        "barred": kept_out,
        "treated": [_rests(named[u][0], u, first, revisions[:, i], rows) for i, u in enumerate(repair.units)],
        "controls": [
            _rests(named[u][0], u, first, their_revisions[:, i], others)
            for u, i in zip(controls, chosen.tolist(), strict=True)
        ],
    }  # fmt: skip
    values = {
        "key": key, "units": list(repair.units), "method": METHOD, "first_day": first, "repaired_from": repair.first,
        "repaired_to": repair.last, "last_day": last, **_figures(effect), "evidence": evidence,
    }  # fmt: skip
    return Measured(key, values, digest_of(values))


def verify(connection: Connection, effect: Row) -> str:
    """Computes a stored effect again from the revisions that it rests on: `same`, `gone` or `differs`.

    `gone`: days that it rests on aren't kept any more, so that nobody can tell.
    """
    evidence = effect["evidence"]
    first, last = effect["first_day"], effect["last_day"]
    units = [*evidence["treated"], *evidence["controls"]]
    keys = [
        (unit["unit_id"], first + timedelta(days=n), revision)
        for unit in units
        for n, revision in enumerate(unit["revisions"])
        if revision
    ]
    rows = read_days_as_taken(connection, keys)
    if len(rows) < len(keys):
        return "gone"
    if effect["method"] != METHOD:
        return "differs"
    ids = [unit["unit_id"] for unit in units]
    loss, inflow, _ = to_matrix(rows, ids, first, last)
    own = len(evidence["treated"])
    before, after = sides(first, last, (effect["repaired_from"], effect["repaired_to"]))
    again = compare(
        loss[:, :own].sum(axis=1), inflow[:, :own].sum(axis=1), loss[:, own:], inflow[:, own:], before, after,
        evidence["seed"],
    )  # fmt: skip
    hashes = all(unit["hash"] == _hash(unit["unit_id"], rows) for unit in units)
    return "same" if hashes and all(effect[name] == value for name, value in _figures(again).items()) else "differs"


def _nearest(unit_ids: NDArray[np.int64], sizes_wh: NDArray[np.float64], size_wh: float) -> list[int]:
    """Units of the nearest size, ascending."""
    order = np.lexsort((unit_ids, np.abs(np.log(sizes_wh / size_wh))))
    return sorted(unit_ids[order[:_CANDIDATES]].tolist())


def _figures(effect: Effect) -> dict[str, Any]:
    """As they are stored: whole watt-hours."""
    figures = asdict(effect)
    del figures["level"]
    return {name: round(value) if name.endswith("_wh") else value for name, value in figures.items()}


def _rests(code: str, unit_id: int, first: date, revisions: Any, rows: Sequence[DayRow]) -> dict[str, Any]:
    """The days of a unit: from the first on the revision of each, 0 for one that wasn't there."""
    return {
        "unit": code, "unit_id": unit_id, "first": first.isoformat(), "revisions": revisions.tolist(),
        "hash": _hash(unit_id, rows),
    }  # fmt: skip


def _hash(unit_id: int, rows: Sequence[DayRow]) -> str:
    return digest_of([[str(row[1]), *row[2:]] for row in rows if row[0] == unit_id]).hex()
