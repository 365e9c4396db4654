"""What is missing, what is there twice, and what refers to nothing; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from sync.conflicts.finding import ConflictKind, Finding
from sync.conflicts.values import label
from sync.identity.clusters import Cluster, Clusters
from sync.identity.near import feeder_of_cluster
from sync.identity.scoring import POSSIBLE
from sync.mapping import EntityKind
from sync.reading import Rows

#: Kinds of which each system that has some must have all.
COMPLETE: tuple[EntityKind, ...] = ("area", "segment", "switch", "meter")


def find_missing(clusters: Clusters, told: set[tuple[str, int]]) -> Iterator[Finding]:
    """Records that a system lacks though at least two others know the thing (the model counts as one).

    Parameters
    ----------
    told
        Title and cluster (`id`) of what `find_orphans` has told already.
    """
    told = told | _stood_for(clusters)
    for kind in COMPLETE:
        tables = [clusters.tables[t] for t in clusters.titles(kind) if len(clusters.tables[t])]
        pointed = {id(c.expected_of) for c in clusters.all["point"] if c.size and c.expected_of is not None}
        for cluster in clusters.all[kind]:
            present = {title.partition(".")[0] for title in cluster.titles}
            known = len(present) + (cluster.code is not None or id(cluster) in pointed)
            for system in sorted({table.system for table in tables} - present):
                of_system = [t for t in tables if t.system == system]
                table = _where(clusters, cluster, of_system)
                covers = table.mapping.covers
                if table.mapping.codes or (covers is not None and covers != cluster.form):
                    continue
                if known < 2 or (table.title, id(cluster)) in told:
                    continue
                # Meters are known by their number, which is marketing's key.
                key = cluster.identity[0] if kind == "meter" and table.mapping.same_as is None else None
                said = _present(clusters, cluster)
                yield Finding(
                    ConflictKind.MISSING, cluster, "record", system, table.dataset, key, label(cluster), None, said
                )
    yield from _missing_points(clusters)


def _stood_for(clusters: Clusters) -> set[tuple[str, int]]:
    """Title and cluster (`id`) of things that rather have a record under another name, though nobody can say which."""
    found: set[tuple[str, int]] = set()
    for title, rows in clusters.open_between.items():
        shares: dict[int, float] = defaultdict(float)
        for one_of in rows.values():
            for cluster, probability in one_of.among:
                shares[id(cluster)] += probability
        found |= {(title, number) for number, share in shares.items() if share >= POSSIBLE}
    return found


def _missing_points(clusters: Clusters) -> Iterator[Finding]:
    titles = [t for t in clusters.titles("point") if len(clusters.tables[t])]
    for title in titles:
        table = clusters.tables[title]
        for cluster in clusters.all["point"]:
            if cluster.expected_of is not None and title not in cluster.titles:
                name = ".".join(cluster.identity)
                said = _present(clusters, cluster.expected_of)
                yield Finding(
                    ConflictKind.MISSING, cluster, "record", table.system, table.dataset, None, name, None, said
                )


def _where(clusters: Clusters, cluster: Cluster, tables: list[Rows]) -> Rows:
    """In which dataset of a system a thing should be: what another says of its form tells."""
    if len(tables) > 1:
        for title, row in cluster.places():
            form = clusters.tables[title].fields.get("form")
            for table in tables:
                if form is not None and form[row] == table.dataset:
                    return table
    return tables[0]


def _present(clusters: Clusters, cluster: Cluster) -> dict[str, str | None]:
    said: dict[str, str | None] = {
        f"{title}/{clusters.tables[title].keys[row]}": "present" for title, row in cluster.places()
    }
    if cluster.code is not None:
        said["model"] = cluster.code
    return said


def find_duplicates(clusters: Clusters) -> Iterator[Finding]:
    """Things that a dataset has more than once; the record is the one that the fewest refer to."""
    for kind, listed in clusters.all.items():
        if kind == "node":
            continue
        for cluster in listed:
            if cluster.size == len(cluster.titles):
                continue
            for title in cluster.titles:
                table = clusters.tables[title]
                keys = [table.keys[row] for row in cluster.rows(title)]
                first = cluster.identity[0] if cluster.identity[0] in keys else min(keys)
                for key in sorted(set(keys) - {first}):
                    said: dict[str, str | None] = {f"{title}/{k}": "present" for k in keys}
                    yield Finding(
                        ConflictKind.DUPLICATE, cluster, "record", table.system, table.dataset, key, first, key, said
                    )


def find_orphans(clusters: Clusters) -> tuple[list[Finding], set[tuple[str, int]]]:
    """References that lead nowhere: either what they name is missing, or they name something that never was.

    Returns
    -------
    findings, told
        `told` names what is told as missing here: title and cluster (`id`).
    """
    findings: list[Finding] = []
    told: set[tuple[str, int]] = set()
    for table in clusters.tables.values():
        for relation in table.refs:
            target = clusters.tables.get(f"{table.system}.{table.mapping.refs[relation].dataset}")
            if target is None or not len(target):
                continue
            lost: dict[str, list[int]] = defaultdict(list)
            for row, key in enumerate(table.refs[relation]):
                if key is not None and key not in target.at:
                    lost[key].append(row)
            for key, rows in sorted(lost.items()):
                findings += _explain(clusters, table, relation, target, key, rows, told)
    return findings, told


def _explain(
    clusters: Clusters,
    table: Rows,
    relation: str,
    target: Rows,
    key: str,
    rows: list[int],
    told: set[tuple[str, int]],
) -> Iterator[Finding]:
    lacking = _lacking(clusters, table, relation, target, rows)
    if target.mapping.entity == "account":
        # Where the account itself is there and no meter names it, the reference is what is wrong.
        if id(clusters.of[table.title][rows[0]]) not in clusters.adopted:
            cluster = Cluster("account", (key,))
            said: dict[str, str | None] = {f"{table.title}/{table.keys[row]}": key for row in rows}
            yield Finding(ConflictKind.MISSING, cluster, "record", target.system, target.dataset, key, key, None, said)
            return
    elif lacking is not None:
        told.add((target.title, id(lacking)))
        said = {**{f"{table.title}/{table.keys[row]}": key for row in rows[:20]}, **_present(clusters, lacking)}
        yield Finding(
            ConflictKind.MISSING, lacking, "record", target.system, target.dataset, key, label(lacking), None, said
        )
        return
    for row in rows:
        cluster_of = clusters.of[table.title][row] or Cluster(table.mapping.entity, (table.keys[row],))
        said = {f"{table.title}/{table.keys[row]}": key}
        yield Finding(
            ConflictKind.ORPHAN, cluster_of, relation, table.system, table.dataset, table.keys[row], None, key, said
        )


def _lacking(clusters: Clusters, table: Rows, relation: str, target: Rows, rows: list[int]) -> Cluster | None:
    """What the rows should refer to, by what the other systems say, if the target's dataset lacks just that."""
    votes: Counter[int] = Counter()
    by_id: dict[int, Cluster] = {}
    for row in rows:
        cluster = clusters.of[table.title][row]
        if cluster is None:
            continue
        for title, other in cluster.places():
            if title != table.title:
                related = clusters.target(clusters.tables[title], relation, other)
                if related is not None:
                    votes[id(related)] += 1
                    by_id[id(related)] = related
        if relation == "feeder":
            identity = feeder_of_cluster(clusters, cluster)
            feeder = None if identity is None else clusters.find("feeder", identity)
            if feeder is not None:
                votes[id(feeder)] += 1
                by_id[id(feeder)] = feeder
    if not votes:
        return None
    found = by_id[votes.most_common(1)[0][0]]
    return None if target.title in found.titles else found
