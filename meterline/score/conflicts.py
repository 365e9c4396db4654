"""Conflicts that sync found, against the inconsistencies that were put into the extracts; pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from twin.truth_files import Inconsistency

NOT_STORED = "not stored: schema sync keeps no conflicts yet"
NO_TRUTH = "the truth has no inconsistencies.parquet"

#: System, table and key of a row in which the system found a conflict.
Found = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Share:
    """Inconsistencies and those that were found; None where `reason` says why."""

    injected: int | None
    found: int | None
    recall: float | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class ConflictScore:
    """All, by kind, and how many conflicts are about rows in which nothing is wrong."""

    all: Share
    by_kind: dict[str, Share]
    false: int | None
    reason: str | None


def score_conflicts(truth: Sequence[Inconsistency] | None, found: Collection[Found] | None) -> ConflictScore:
    """Compare by row.

    Parameters
    ----------
    truth
        None where the folder doesn't say.
    found
        None where the system stores none.
    """
    if truth is None:
        return ConflictScore(Share(None, None, None, NO_TRUTH), {}, None, NO_TRUTH)
    kinds = sorted({each.kind for each in truth})
    shares = {kind: _share([_row(each) for each in truth if each.kind == kind], found) for kind in kinds}
    if found is None:
        return ConflictScore(_share([_row(each) for each in truth], None), shares, None, NOT_STORED)
    rows = {_row(each) for each in truth}
    return ConflictScore(_share([_row(each) for each in truth], found), shares, len(set(found) - rows), None)


def _row(each: Inconsistency) -> Found:
    return each.system, each.table, each.key


def _share(rows: Sequence[Found], found: Collection[Found] | None) -> Share:
    if found is None:
        return Share(len(rows), None, None, NOT_STORED)
    if not rows:
        return Share(0, 0, None, "nothing was put in")
    seen = set(found)
    hits = sum(row in seen for row in rows)
    return Share(len(rows), hits, hits / len(rows), None)
