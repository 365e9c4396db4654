"""Finds what a repair did to the loss of its units: reads their days and those of units like them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from benefit.comparison import choose_controls, compare, sides, to_matrix
from benefit.effect import Effect, EffectError
from benefit.ledger import Repair, days_around, digest_of
from benefit.matching import LEAST_SHARE
from benefit.parameters import Windows
from store.benefit import DayRow, Row, read_days, read_days_as_taken, read_sizes, unit_codes
from store.connection import Connection

#: Raised with every change of the method that gives other figures.
METHOD = "did-placebo-1"
#: Units of about the same size among which controls are looked for.
_CANDIDATES = 200


@dataclass(frozen=True, slots=True)
class Measured:
    """An effect with what it rests on, as `benefit.effect` keeps it."""

    key: str
    values: dict[str, Any]
    digest: bytes


def measure(
    connection: Connection, repair: Repair, busy: Sequence[tuple[int, date]], windows: Windows, today: date
) -> Measured:
    """Measure what a repair did.

    Parameters
    ----------
    busy
        Units at which something was done, with the local day: none of them is a control in those days.
    today
        Local day of which nothing is known yet.

    Raises
    ------
    EffectError
        Nothing can be said, or not yet.
    """
    first, last = days_around(repair, windows.days_before, windows.days_after)
    last = min(last, today - timedelta(days=1))
    so_far = (last - repair.last).days
    if so_far < windows.least_days_after:
        raise EffectError(f"{max(so_far, 0)} of {windows.least_days_after} days after are over")
    codes = unit_codes(connection, repair.units)
    kinds = {kind for _, kind in codes.values()}
    if len(kinds) != 1:
        raise EffectError("units of different kinds")
    before, after = sides(first, last, (repair.first, repair.last))

    rows = read_days(connection, repair.units, first, last)
    loss, inflow, revisions = to_matrix(rows, repair.units, first, last)
    # What one unit of a repair loses the other may gain: they are compared as one.
    treated_wh, treated_inflow_wh = loss.sum(axis=1), inflow.sum(axis=1)
    there = np.isfinite(treated_wh)
    if there[before].mean() < LEAST_SHARE or there[after].mean() < LEAST_SHARE:
        raise EffectError("too many days of the unit are not computable, or not published")
    if there[after].sum() < windows.least_days_after * LEAST_SHARE:
        raise EffectError("too few days after are known")

    barred = {unit_id for unit_id, day in busy if first <= day <= last} | set(repair.units)
    size = float(np.mean(treated_inflow_wh[there & before]))
    candidates = _candidates(connection, kinds.pop(), first, repair.first, size, barred)
    others = read_days(connection, candidates, first, last)
    their_loss, their_inflow, their_revisions = to_matrix(others, candidates, first, last)
    chosen = choose_controls(treated_wh, treated_inflow_wh, their_loss, their_inflow, before, after, windows.rules())

    controls = [candidates[i] for i in chosen.tolist()]
    codes |= unit_codes(connection, controls)
    key = f"{','.join(codes[u][0] for u in repair.units)}@{repair.first}..{repair.last}"
    seed = int.from_bytes(digest_of(key)[:4], "little")
    effect = compare(treated_wh, treated_inflow_wh, their_loss[:, chosen], their_inflow[:, chosen], before, after, seed)
    evidence = {
        "seed": seed,
        "treated": [_rests(codes[u][0], u, first, revisions[:, i], rows) for i, u in enumerate(repair.units)],
        "controls": [
            _rests(codes[u][0], u, first, their_revisions[:, i], others)
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


def _candidates(
    connection: Connection, kind: str, first: date, until: date, size_wh: float, barred: set[int]
) -> list[int]:
    """Units of the nearest size, ascending."""
    if not size_wh > 0:
        raise EffectError("the unit has no inflow")
    least = int(np.ceil((until - first).days * LEAST_SHARE))
    sizes = [
        (unit_id, wh) for unit_id, wh in read_sizes(connection, kind, first, until, least) if unit_id not in barred
    ]
    nearest = sorted(sizes, key=lambda row: (abs(np.log(row[1] / size_wh)), row[0]))
    return sorted(unit_id for unit_id, _ in nearest[:_CANDIDATES])


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
