"""Conflicts that sync found, against the inconsistencies that were put into the extracts; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from twin.truth_files import Inconsistency

NOT_STORED = "nothing to compare: no extract was taken and matched; see meterline sync match"
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


@dataclass(frozen=True, slots=True)
class StoredConflict:
    """A conflict as the system keeps it: `key` None of a missing record; `said` are the records that speak of it."""

    kind: str
    system: str
    table: str
    key: str | None
    said: tuple[Found, ...]


def rows_found(
    conflicts: Iterable[StoredConflict], truth: Iterable[Inconsistency], references: Mapping[Found, str]
) -> set[Found]:
    """The rows that the conflicts are about, in the truth's words.

    A missing record's key nobody can know: it is found when the records that speak of it are of the object that is
    missing in that system. Of two rows of one object either may be called the second.
    """
    listed = list(truth)
    missing = {(each.system, each.code): _row(each) for each in listed if each.kind == "missing"}
    twice = {_row(each) for each in listed if each.kind == "duplicate"}
    found: set[Found] = set()
    for conflict in conflicts:
        row = (conflict.system, conflict.table, conflict.key or "")
        if conflict.kind == "missing":
            codes = sorted({references[place] for place in conflict.said if place in references})
            found.add(next((missing[conflict.system, c] for c in codes if (conflict.system, c) in missing), row))
        elif conflict.kind == "duplicate":
            found.add(next((place for place in conflict.said if place in twice), row))
        else:
            found.add(row)
    return found


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
