"""The first step: records that keys or exact names call the same; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from sync.identity.clusters import Cluster, Clusters, Stations, identity_of
from sync.reading import Rows


def exact_clusters(tables: Sequence[Rows]) -> Clusters:
    """Clusters by keys (accounts, meters) and by names (all else); rows whose names follow no rule are in none."""
    clusters = Clusters(tables, Stations(tables))
    for table in tables:
        kind = table.mapping.entity
        if table.mapping.same_as is not None:
            _by_number(clusters, table, table.same_as)
        elif kind in {"meter", "account", "node"}:
            _by_number(clusters, table, table.keys)
        else:
            _by_name(clusters, table)
        if table.mapping.codes:
            for row, key in enumerate(table.keys):
                cluster = clusters.of[table.title][row]
                if cluster is not None:
                    cluster.code = key
    return clusters


def _by_number(clusters: Clusters, table: Rows, numbers: list[Any]) -> None:
    for row, number in enumerate(numbers):
        if number is not None:
            cluster = clusters.put(table.mapping.entity, (number,), table.title, row)
            # A meter's number stands in the records of several systems: it is kept once.
            numbers[row] = cluster.known_as


def _by_name(clusters: Clusters, table: Rows) -> None:
    for row, name in enumerate(table.names):
        identity = None if name is None else identity_of(table.mapping.entity, name, clusters.stations)
        if identity is not None:
            clusters.put(table.mapping.entity, identity, table.title, row)


def fold_repeated(clusters: Clusters) -> None:
    """Put accounts and meters that are there twice under two keys into one cluster: of those that nothing refers to."""
    lost = _lost_addresses(clusters)
    for kind in ("account", "meter"):
        for title in clusters.titles(kind):
            table = clusters.tables[title]
            if table.mapping.same_as is None and (alike := _alike(table)):
                of = clusters.of[title]
                asked = {of[row] for rows in alike for row in rows}
                referred = {cluster for cluster in _referred(clusters) if cluster in asked}
                for rows in alike:
                    _fold(clusters, table, rows, referred, lost)


def _alike(table: Rows) -> list[list[int]]:
    """Rows that say the same."""
    # Of a million hardly any has its like: the rest is seen by hashes, which cost less to hold.
    hashes = np.fromiter((hash(_content(table, row)) for row in range(len(table))), np.int64, len(table))
    ranked = np.sort(hashes)
    twice = np.isin(hashes, ranked[1:][ranked[1:] == ranked[:-1]])
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for row in np.flatnonzero(twice).tolist():
        alike[_content(table, row)].append(row)
    return [rows for rows in alike.values() if len(rows) > 1]


def _fold(clusters: Clusters, table: Rows, rows: list[int], referred: set[Cluster], lost: dict[str, int]) -> None:
    of = clusters.of[table.title]
    first = [row for row in rows if of[row] in referred]
    spare = [row for row in rows if of[row] not in referred]
    if table.mapping.entity == "account":
        # One whose meter is lacking in the extract is no repetition: GIS shows a meter there that marketing lacks.
        name = table.addresses[rows[0]] if table.addresses else None
        spare = spare[lost.get(_address(name), 0) :]
    kept = of[first[0]] if first else of[spare[0]] if spare else None
    if kept is None:
        return
    for row in spare:
        if of[row] is not kept and of[row] is not None:
            clusters.move((table.title, row), kept, "same content under another key", 0.99)


def _referred(clusters: Clusters) -> Iterator[Cluster]:
    """Accounts and meters that another record leads to."""
    for table in clusters.tables.values():
        for relation in table.refs:
            other = clusters.tables.get(f"{table.system}.{table.mapping.refs[relation].dataset}")
            if other is not None and other.mapping.entity == "account":
                targets = (clusters.target(table, relation, row) for row in range(len(table)))
                yield from (cluster for cluster in targets if cluster is not None)
    yield from (cluster for cluster in clusters.all["meter"] if len(cluster.titles) > 1)


def _lost_addresses(clusters: Clusters) -> dict[str, int]:
    """How many meters GIS has at an address of which marketing has no record."""
    found: dict[str, int] = defaultdict(int)
    for title in clusters.titles("meter"):
        table = clusters.tables[title]
        if table.mapping.same_as is None or not table.addresses:
            continue
        other = table.mapping.same_as.dataset
        for row, name in enumerate(table.addresses):
            cluster = clusters.of[title][row]
            if cluster is not None and other not in cluster.titles:
                found[_address(name)] += 1
    return found


def address_key(parts: dict[str, str] | None) -> tuple[str, str, str, str] | None:
    """An address in comparable parts: place, street, house, unit."""
    if parts is None or "street" not in parts:
        return None
    return parts["place"], parts["street"], parts["house"], parts.get("unit") or ""


def _address(name: object) -> str:
    parts = getattr(name, "parts", None)
    return "\x00".join(address_key(parts) or ())


def _content(table: Rows, row: int) -> Hashable:
    """What a row says, but for its key."""
    address = table.addresses.raw[row] if table.addresses else None
    refs = tuple(refs[row] for refs in table.refs.values())
    fields = tuple(values[row] for values in table.fields.values())
    if address is None and all(ref is None for ref in refs):
        return table.keys[row]
    return address, refs, fields
