"""Names and addresses that are written otherwise than elsewhere; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from sync.authority import Authority
from sync.conflicts.finding import ConflictKind, Finding
from sync.identity.accounts import account_of
from sync.identity.clusters import Cluster, Clusters
from sync.identity.exact import address_key
from sync.naming import nearest
from sync.reading import Name, Rows


def compare_names(clusters: Clusters) -> Iterator[Finding]:
    """Names that follow no rule, or name another place, line or number than the thing has."""
    for title, table in clusters.tables.items():
        spelling = _spellings(clusters, table)
        for column, names in (("name", table.names), ("other_name", table.other_names), ("station", table.stations)):
            for row, name in enumerate(names):
                cluster = clusters.of[title][row]
                if name is None:
                    continue
                should = _should(clusters, cluster, name, spelling)
                of = cluster or Cluster(table.mapping.entity, (table.keys[row],))
                confidence = (of.link((title, row)) or ("", 1.0))[1]
                one_of = clusters.open_between.get(title, {}).get(row)
                if one_of is not None and column == "name" and (should == "" or (should is None and cluster)):
                    # It follows no rule, or nobody else knows what it names; and it may mean either.
                    should = " or ".join(sorted(" ".join(each.identity) for each, _ in one_of.among))
                    confidence = round(one_of.probability, 4)
                if should is not None:
                    said: dict[str, str | None] = {f"{title}/{table.keys[row]}": name.raw}
                    yield Finding(
                        ConflictKind.FIELD_DIFFERS, of, column, table.system, table.dataset, table.keys[row], should,
                        name.raw, said, confidence,
                    )  # fmt: skip


def _spellings(clusters: Clusters, table: Rows) -> dict[str, str]:
    """How a dataset writes each station."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    # A dataset that names each station once can't say which spelling is right: then all of its system's names do.
    tables = [t for t in clusters.tables.values() if t.system == table.system]
    for each in tables:
        for names in (each.names, each.stations, *each.named.values()):
            for name in names:
                if name is not None and name.parts is not None and "station" in name.parts:
                    counts[clusters.stations.station(name.parts["station"])][name.parts["station"]] += 1
    return {station: counted.most_common(1)[0][0] for station, counted in counts.items()}


def _should(clusters: Clusters, cluster: Cluster | None, name: Name, spelling: Mapping[str, str]) -> str | None:
    """What the name should say; None where it says so."""
    if name.parts is None:
        return "" if cluster is None else " ".join(cluster.identity)
    parts = name.parts
    if "station" in parts and parts["station"] != spelling.get(clusters.stations.station(parts["station"])):
        return spelling.get(clusters.stations.station(parts["station"]), "")
    if cluster is None or not cluster.size:
        return None
    if cluster.kind == "area":
        if "place" not in parts:
            return None
        place = _place(clusters, cluster)
        return place if place is not None and parts["place"] != place else None
    if cluster.kind in {"segment", "switch", "point"} and parts["element"].casefold() != cluster.identity[-1]:
        return " ".join(cluster.identity)
    return None


def _place(clusters: Clusters, cluster: Cluster) -> str | None:
    votes: Counter[str] = Counter()
    for title, row in cluster.places():
        table = clusters.tables[title]
        for names in (table.names, table.other_names):
            name = names[row] if names else None
            if name is not None and name.parts is not None and "place" in name.parts:
                votes[name.parts["place"]] += 1
    if not votes:
        return None
    ranked = votes.most_common(2)
    # Of two that differ none is more often right: what keys and exact names began with stands.
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        return cluster.identity[0] if cluster.identity[0] in votes else ranked[0][0]
    return ranked[0][0]


def compare_addresses(clusters: Clusters, authority: Authority) -> Iterator[Finding]:
    """Addresses of an account and of its meter that differ; the rarer spelling is taken to be the wrong one."""
    counts: Counter[object] = Counter()
    for table in clusters.tables.values():
        for name in table.addresses:
            if name is not None:
                counts.update(_words(name))
    yield from _lonely(clusters, counts)
    for meter, both in _address_pairs(clusters):
        (table, row, name), (other, other_row, other_name) = both
        if name.parts is not None and address_key(name.parts) == address_key(other_name.parts):
            continue
        wrong = _wrong(both, counts, authority.order("account", "address"))
        (table, row, name), (other, other_row, other_name) = both if wrong == 0 else (both[1], both[0])
        said: dict[str, str | None] = {
            f"{table.title}/{table.keys[row]}": name.raw, f"{other.title}/{other.keys[other_row]}": other_name.raw,
        }  # fmt: skip
        yield Finding(
            ConflictKind.FIELD_DIFFERS, meter, "address", table.system, table.dataset, table.keys[row],
            other_name.raw, name.raw, said,
        )  # fmt: skip


def _lonely(clusters: Clusters, counts: Mapping[object, int]) -> Iterator[Finding]:
    """Addresses with nothing to compare them with, in which a word is that nobody else writes but one letter off."""
    paired = _paired(clusters)
    places: dict[int, list[str]] = defaultdict(list)
    for word in counts:
        if isinstance(word, str) and counts[word] >= _USUAL:
            places[len(word)].append(word)
    for title, table in clusters.tables.items():
        without_rule = sum(name is not None and name.parts is None for name in table.addresses)
        for row, name in enumerate(table.addresses):
            if name is None or paired[title][row]:
                continue
            if name.parts is None:
                # Where nearly all follow a rule, one that doesn't is wrong.
                if without_rule <= _EXCEPTIONAL * len(table):
                    of = clusters.of[title][row] or Cluster(table.mapping.entity, (table.keys[row],))
                    yield Finding(
                        ConflictKind.FIELD_DIFFERS, of, "address", table.system, table.dataset, table.keys[row],
                        None, name.raw, {f"{title}/{table.keys[row]}": name.raw}, 0.9,
                    )  # fmt: skip
                continue
            for part in ("place", "street", "station"):
                word = name.parts.get(part, "")
                if not word or counts[word] >= _USUAL:
                    continue
                near = nearest(word, [w for n in (-1, 0, 1) for w in places[len(word) + n]], 1)
                if near is not None:
                    of = clusters.of[title][row] or Cluster(table.mapping.entity, (table.keys[row],))
                    said: dict[str, str | None] = {f"{title}/{table.keys[row]}": name.raw}
                    yield Finding(
                        ConflictKind.FIELD_DIFFERS, of, "address", table.system, table.dataset, table.keys[row],
                        near, name.raw, said, 0.9,
                    )  # fmt: skip


def _paired(clusters: Clusters) -> dict[str, bytearray]:
    """Which addresses of each dataset have another to be compared with."""
    paired = {title: bytearray(len(table)) for title, table in clusters.tables.items()}
    for _, both in _address_pairs(clusters):
        for table, row, _ in both:
            paired[table.title][row] = 1
    return paired


#: A share of addresses that follow no rule; beyond, the rule isn't one.
_EXCEPTIONAL = 0.02
#: So often a word is written that is no misspelling.
_USUAL = 3
_Place = tuple[Rows, int, Name]


def _address_pairs(clusters: Clusters) -> Iterator[tuple[Cluster, tuple[_Place, _Place]]]:
    for meter in clusters.all["meter"]:
        account = account_of(clusters, meter) or clusters.adopted.get(id(meter))
        if account is None:
            continue
        of_account = list(_named(clusters, account))
        for mine in _named(clusters, meter):
            for theirs in of_account:
                yield meter, (mine, theirs)


def _named(clusters: Clusters, cluster: Cluster) -> Iterator[_Place]:
    for title, row in cluster.places():
        table = clusters.tables[title]
        name = table.addresses[row] if table.addresses else None
        if name is not None and (name.parts is None or "street" in name.parts):
            yield table, row, name


def _words(name: Name) -> list[object]:
    if name.parts is None:
        return []
    if "street" not in name.parts:
        return [name.parts[part] for part in ("place", "station") if part in name.parts]
    return [(name.parts["place"], name.parts["street"]), name.parts["place"], name.parts["street"]]


def _wrong(both: tuple[_Place, _Place], counts: Mapping[object, int], order: Sequence[str]) -> int:
    """Which of the two is the less usual."""
    for i in (0, 1):
        if both[i][2].parts is None and both[1 - i][2].parts is not None:
            return i
    first, second = (_words(place[2]) for place in both)
    for a, b in zip(first, second, strict=False):
        if counts[a] != counts[b]:
            return 0 if counts[a] < counts[b] else 1
    ranks = [order.index(place[0].system) if place[0].system in order else len(order) for place in both]
    return 0 if ranks[0] >= ranks[1] else 1
