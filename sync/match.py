"""Which records are the same thing, and where they contradict each other: one transaction finds and writes it."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter

import msgspec
import numpy as np
from numpy.typing import NDArray

from store.connection import Connection, allow_long, read_whole_tables
from store.sync_conflicts import (
    ConflictCounts,
    ConflictRow,
    read_authority,
    write_conflicts,
    write_consistency,
)
from store.sync_grid import read_former_values, read_grid_view, read_measured
from store.sync_identity import (
    CrosswalkRow,
    Decision,
    new_numbers,
    read_decisions,
    stream_crosswalk,
    write_identity,
)
from store.sync_indicators import write_completeness
from store.sync_records import read_former_records, read_records, read_systems
from sync.authority import Authority, AuthorityRow
from sync.conflicts.find import find_conflicts
from sync.conflicts.finding import ConflictKind, Finding, text
from sync.conflicts.measured import Former, Measured
from sync.conflicts.presence import COMPLETE
from sync.identity.clusters import Cluster, Clusters
from sync.identity.resolve import resolve
from sync.identity.scoring import SURE
from sync.mapping import SourceMapping
from sync.reading import Rows, fold_cim, read_rows

_DECODER = msgspec.json.Decoder(dict[str, object])
#: Only one match at a time; the number has no meaning.
_LOCK = 7_304_001
#: By title the entity of each row, 0 where it has none yet.
Held = dict[str, NDArray[np.int64]]
#: System and kind of entity.
Owned = tuple[str, str]


@dataclass(frozen=True, slots=True)
class MatchReport:
    """What a match came to."""

    records: int
    entities: int
    identified: int
    unsure: int
    in_model: int
    changed: int
    conflicts: ConflictCounts


def match(connection: Connection, mapping: SourceMapping, day: date, at: datetime) -> MatchReport:
    """Compare all that is held of all systems with each other and with the grid model.

    What is as before stays as it is: the same records give the same entities, crosswalk and conflicts.
    """
    with _uncollected(), connection.transaction():
        # A whole city is compared in memory meanwhile.
        allow_long(connection)
        read_whole_tables(connection)
        connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
        systems = [system for system in read_systems(connection) if system in mapping.systems]
        tables = _read_tables(connection, systems, mapping)
        grid = read_grid_view(connection)
        clusters = resolve(tables, grid, mapping.words)
        decisions = read_decisions(connection)
        held = _held(connection, clusters)
        decided = _apply(clusters, decisions, held)
        _number(connection, clusters, held, decided)
        counted: Counter[str] = Counter()
        changed = write_identity(connection, _entities(clusters), _crosswalk_rows(clusters, decided, counted), at)
        authority = Authority((AuthorityRow(*row) for row in read_authority(connection)), at)
        measured = (Measured(*row) for row in read_measured(connection, at))
        findings = find_conflicts(clusters, grid, authority, measured, _former(connection, systems, mapping))
        counts = write_conflicts(connection, (_conflict(f, mapping) for f in findings), at)
        write_consistency(connection, day, at)
        write_completeness(connection, day, *_completeness(tables, findings))
    numbered = [cluster.code for listed in clusters.all.values() for cluster in listed if cluster.number is not None]
    known = len(numbered) - numbered.count(None)
    records = sum(map(len, tables))
    return MatchReport(records, len(numbered), counted.total(), counted["unsure"], known, changed, counts)


@contextmanager
def _uncollected() -> Iterator[None]:
    """What is built here goes when nothing refers to it any more; to look for cycles among millions takes a tenth."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _held(connection: Connection, clusters: Clusters) -> Held:
    """What the crosswalk says of the records that are here."""
    held = {title: np.zeros(len(table), np.int64) for title, table in clusters.tables.items()}
    for title, rows in groupby(stream_crosswalk(connection), itemgetter(0)):
        table = clusters.tables.get(title)
        if table is not None:
            # Of one dataset at a time: where each key stands takes as much room as the keys.
            at = {key: row for row, key in enumerate(table.keys)}
            numbers = held[title]
            for _, key, number in rows:
                if key in at:
                    numbers[at[key]] = number
    return held


def _completeness(tables: list[Rows], findings: list[Finding]) -> tuple[Counter[Owned], Counter[Owned]]:
    """How many records each system has of the kinds that it should have all of, and how many it lacks."""
    records: Counter[Owned] = Counter()
    for table in tables:
        # A register of codes has what it has: nobody asks more of it.
        if table.mapping.entity in COMPLETE and not table.mapping.codes:
            records[table.system, table.mapping.entity] += len(table)
    missing = Counter((f.system, f.cluster.kind) for f in findings if f.kind is ConflictKind.MISSING)
    return records, Counter({owned: count for owned, count in missing.items() if owned in records})


def _read_tables(connection: Connection, systems: Sequence[str], mapping: SourceMapping) -> list[Rows]:
    tables: list[Rows] = []
    for system in systems:
        records = ((d, key, _DECODER.decode(body)) for d, key, body in read_records(connection, system))
        read = read_rows(system, fold_cim(records) if system == "cim" else records, mapping)
        tables += read.values()
    return tables


def _former(connection: Connection, systems: Sequence[str], mapping: SourceMapping) -> Former:
    """What the model and the records said before."""
    model: dict[tuple[str, str, str], set[str]] = {}
    for kind, code, name, value in read_former_values(connection):
        if (shown := text(value)) is not None:
            model.setdefault((kind, code, name), set()).add(shown)
    records: dict[tuple[str, str, str], set[str]] = {}
    for system in systems:
        # A network model's records are folded together: of a former one alone nothing can be said.
        if system != "cim":
            bodies = ((d, key, _DECODER.decode(body)) for d, key, body in read_former_records(connection, system))
            for table in read_rows(system, bodies, mapping).values():
                for name, values in table.fields.items():
                    for key, value in zip(table.keys, values, strict=True):
                        if (shown := text(value)) is not None:
                            records.setdefault((table.title, key, name), set()).add(shown)
    return Former(
        {place: frozenset(values) for place, values in model.items()},
        {place: frozenset(values) for place, values in records.items()},
    )


def _apply(clusters: Clusters, decisions: list[Decision], held: Held) -> dict[tuple[str, int], Decision]:
    """Put records where somebody decided that they belong; returns the decision of each."""
    decided: dict[tuple[str, int], Decision] = {}
    at = _rows_of(clusters, {(decision.title, decision.key) for decision in decisions})
    for decision in decisions:
        row = at.get((decision.title, decision.key))
        if row is None:
            continue
        decided[decision.title, row] = decision
        target = _cluster_of_entity(clusters, held, decision.entity_id, (decision.title, row))
        if target is None or decision.action == "split":
            kind, identity = clusters.tables[decision.title].mapping.entity, ("decided", str(decision.entity_id))
            target = clusters.find(kind, identity) or clusters.make(kind, identity)
        clusters.move((decision.title, row), target, f"decided: {decision.action}", 1.0)
    return decided


def _rows_of(clusters: Clusters, places: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """Rows of some records by title and key, as far as they are here."""
    tables = [clusters.tables[title] for title in {title for title, _ in places} & clusters.tables.keys()]
    return {
        (table.title, key): row
        for table in tables
        for row, key in enumerate(table.keys)
        if (table.title, key) in places
    }


def _cluster_of_entity(clusters: Clusters, held: Held, entity: int, but: tuple[str, int]) -> Cluster | None:
    votes: Counter[int] = Counter()
    by_id: dict[int, Cluster] = {}
    for title, numbers in held.items():
        for row in np.flatnonzero(numbers == entity).tolist():
            cluster = clusters.of[title][row]
            if cluster is not None and (title, row) != but:
                votes[id(cluster)] += 1
                by_id[id(cluster)] = cluster
    return by_id[votes.most_common(1)[0][0]] if votes else None


def _number(connection: Connection, clusters: Clusters, held: Held, decided: dict[tuple[str, int], Decision]) -> None:
    """Give each cluster its entity's number: the one that most of its records had, else a new one."""
    wishes: list[tuple[int, int, Cluster]] = []
    listed: list[Cluster] = []
    for kind, of_kind in clusters.all.items():
        if kind == "node":
            continue
        for cluster in of_kind:
            if not cluster.size:
                continue
            listed.append(cluster)
            votes: dict[int, int] = {}
            for place in cluster.places():
                decision = decided.get(place)
                number = int(held[place[0]][place[1]]) if decision is None else decision.entity_id
                if number:
                    votes[number] = votes.get(number, 0) + (1 if decision is None else 1_000_000)
            wishes += [(count, number, cluster) for number, count in votes.items()]
    taken: set[int] = set()
    for _, number, cluster in sorted(wishes, key=lambda wish: (-wish[0], wish[1])):
        if cluster.number is None and number not in taken:
            cluster.number = number
            taken.add(number)
    fresh = [cluster for cluster in listed if cluster.number is None]
    for cluster, number in zip(fresh, new_numbers(connection, len(fresh)), strict=True):
        cluster.number = number


def _entities(clusters: Clusters) -> Iterator[tuple[int, str, str | None]]:
    for kind, listed in clusters.all.items():
        seen: set[str] = set()
        for cluster in listed:
            if cluster.number is not None:
                code = None if cluster.code is None or cluster.code in seen else cluster.code
                if code is not None:
                    seen.add(code)
                yield cluster.number, kind, code


def _crosswalk_rows(
    clusters: Clusters, decided: dict[tuple[str, int], Decision], counted: Counter[str]
) -> Iterator[CrosswalkRow]:
    """Rows as they are written; `counted` counts them by state."""
    for title, of in clusters.of.items():
        keys = clusters.tables[title].keys
        for row, cluster in enumerate(of):
            if cluster is None or cluster.number is None:
                continue
            method, confidence = cluster.link((title, row)) or ("keys and names", 1.0)
            decision = decided.get((title, row))
            state = "confirmed" if decision is not None else "sure" if confidence >= SURE else "unsure"
            counted[state] += 1
            yield CrosswalkRow(
                title,
                keys[row],
                cluster.number,
                method,
                confidence,
                state,
                None if decision is None else decision.decision_id,
            )


def _conflict(finding: Finding, mapping: SourceMapping) -> ConflictRow:
    entity = finding.cluster.number
    if entity is None and finding.cluster.expected_of is not None:
        entity = finding.cluster.expected_of.number
    return ConflictRow(
        finding.fingerprint, finding.kind.value, finding.cluster.kind, entity, finding.field, finding.system,
        finding.dataset, finding.key, mapping.department(finding.system, finding.dataset), finding.believed,
        finding.given, finding.said, finding.confidence,
    )  # fmt: skip
