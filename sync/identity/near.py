"""The second step: records left over are compared with what still lacks one, by all that both say; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np

from sync.identity.bipartite import pair_up
from sync.identity.clusters import Cluster, Clusters, Identity, OneOf
from sync.identity.ends import Ends
from sync.identity.scoring import POSSIBLE, SURE, likelihood_ratio
from sync.mapping import EntityKind
from sync.naming import distance, plain, render
from sync.reading import Name, Rows, Value

#: In this order: what comes later refers to what comes earlier.
_KINDS: tuple[EntityKind, ...] = ("substation", "rtu", "feeder", "area", "segment", "switch", "point")
#: Of all pairs of one dataset; beyond, the name alone chooses who is compared.
_MOST_PAIRS = 2_000_000
#: Of several things that a record may be, those that are at least so probable beside the most probable one.
_WORTH_SAYING = 0.1
#: What these are called by within their feeder is a number.
_NUMBERED: frozenset[EntityKind] = frozenset({"segment", "switch", "point"})


def match_near(clusters: Clusters, words: Mapping[str, str]) -> None:
    """Move what was left over to where it most probably belongs."""
    for kind in _KINDS:
        for title in clusters.titles(kind):
            _match(clusters, clusters.tables[title], kind, words)


def _match(clusters: Clusters, table: Rows, kind: EntityKind, words: Mapping[str, str]) -> None:
    clusters.open_between.pop(table.title, None)
    of = clusters.of[table.title]
    strays = [row for row, cluster in enumerate(of) if cluster is None or _is_stray(clusters, cluster, table.title)]
    system = {title for title in clusters.titles(kind) if clusters.tables[title].system == table.system}
    gaps = [c for c in clusters.all[kind] if system.isdisjoint(c.titles) and _is_known(c, table)]
    if not strays or not gaps or len(strays) * len(gaps) > _MOST_PAIRS:
        return
    style = Style(table, clusters)
    shared = _shared_members(clusters, table) if kind == "area" else {}
    ends = Ends(clusters) if kind == "segment" else None
    ratios = np.empty((len(strays), len(gaps)))
    for i, row in enumerate(strays):
        for j, gap in enumerate(gaps):
            features = _name_features(table, row, gap, style.names(gap), words) | _features(clusters, table, row, gap)
            if kind == "area" and shared:
                features["members"] = shared.get(row) is gap
            if ends is not None:
                features["ends"] = ends.agree((table.title, row), gap)
            ratios[i, j] = likelihood_ratio(features)
    left_open: dict[int, OneOf] = {}
    for row, found in zip(strays, pair_up(ratios), strict=True):
        best = int(found.argmax())
        confidence = float(found[best])
        if confidence >= POSSIBLE:
            method = "names, values and relations" if confidence >= SURE else "perhaps: names, values and relations"
            clusters.move((table.title, row), gaps[best], method, round(confidence, 4))
        elif found.sum() >= POSSIBLE:
            some = np.flatnonzero(found >= confidence * _WORTH_SAYING).tolist()
            left_open[row] = OneOf(tuple((gaps[j], float(found[j])) for j in some))
    clusters.open_between[table.title] = left_open


def _is_stray(clusters: Clusters, cluster: Cluster, title: str) -> bool:
    if cluster.titles != (title,) or cluster.expected_of is not None:
        return False
    if cluster.kind != "switch":
        return True
    # A switch of that very number that SCADA has a point of is there, though one system alone has a record of it.
    station, number, element = cluster.identity
    names = [f"sw{element}", f"tie{element}"]
    if cluster.code in clusters.heads and element.isdigit():
        names.append("cb")
    points = (clusters.find("point", (station, number, name)) for name in names)
    return all(point is None or not point.size for point in points)


def _is_known(cluster: Cluster, table: Rows) -> bool:
    """Whether a cluster is something that this dataset might lack."""
    covers = table.mapping.covers
    if covers is not None and cluster.form is not None and covers != cluster.form:
        return False
    return bool(cluster.size) or cluster.expected_of is not None


class Style:
    """How a dataset writes what others write otherwise."""

    def __init__(self, table: Rows, clusters: Clusters) -> None:
        self._templates = () if table.mapping.name is None else table.mapping.name.templates
        self._other = () if table.mapping.other_name is None else table.mapping.other_name.templates
        counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for name in table.names:
            if name is not None and name.parts is not None and "station" in name.parts:
                station = clusters.stations.station(name.parts["station"])
                for slot in ("station", "kv"):
                    if slot in name.parts:
                        counts[station, slot][name.parts[slot]] += 1
        self._words = {key: counted.most_common(1)[0][0] for key, counted in counts.items()}

    def names(self, cluster: Cluster) -> list[str]:
        """What the dataset might call a cluster, in plain form."""
        found = []
        for parts in _parts(cluster.kind, cluster.identity):
            station = parts.get("station", "")
            written = dict(parts)
            for slot in ("station", "kv"):
                if (station, slot) in self._words:
                    written[slot] = self._words[station, slot]
            for template in (*self._templates, *self._other):
                name = render(template, written)
                if name is not None:
                    found.append(name.casefold())
        return found


def _parts(kind: EntityKind, identity: Identity) -> list[dict[str, str]]:
    if kind in {"substation", "rtu"}:
        return [{"station": identity[0]}]
    if kind == "area":
        return [{"place": identity[0]}]
    named = {"station": identity[0]}
    if len(identity) > 2:
        named["element"] = identity[2]
    return [named | {"number": n} for n in (identity[1], identity[1].zfill(2))]


def _name_features(
    table: Rows, row: int, gap: Cluster, names: Sequence[str], words: Mapping[str, str]
) -> dict[str, bool | None]:
    mine = [
        plain(name.raw, words)
        for names_of in (table.names, table.other_names)
        if names_of and (name := names_of[row]) is not None
    ]
    if table.mapping.entity == "area":
        # What stands around the place is a matter of the template, and of the feeder.
        mine += [
            name.parts["place"]
            for names_of in (table.names, table.other_names)
            if names_of and (name := names_of[row]) is not None and name.parts is not None and "place" in name.parts
        ]
    if not mine or not names:
        return {}
    # What somebody has put behind the name, such as -2.
    if any(a.startswith(b) and not a[len(b)].isalnum() for a in mine for b in names if len(a) > len(b)):
        return {"name_near": False, "name_begins": True}
    if _is_other_number(table, row, gap):
        return {"name_near": False}
    best = min(distance(a, b) for a in mine for b in names)
    return {"name_near": True} if best <= 1 else {"name_near": False, "name_like": best <= 3}


def _is_other_number(table: Rows, row: int, gap: Cluster) -> bool:
    """Whether a name follows the rule and has another number: how like it is then says no more than its feeder."""
    name = table.names[row] if gap.kind in _NUMBERED and table.names else None
    if name is None or name.parts is None or "element" not in name.parts or len(gap.identity) < 3:
        return False
    return _digits(name.parts["element"]) != _digits(gap.identity[2])


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def _features(clusters: Clusters, table: Rows, row: int, gap: Cluster) -> dict[str, bool | None]:
    found: dict[str, bool | None] = {}
    mine = feeder_of_row(clusters, table, row)
    if mine is not None:
        theirs = feeder_of_cluster(clusters, gap)
        found["feeder"] = None if theirs is None else mine == theirs
    for feature, names in (
        ("rating", ("rating_va",)),
        ("losses", ("load_loss_w",)),
        ("impedance", ("length_m", "resistance_ohm", "reactance_ohm")),
        ("normal", ("normal",)),
    ):
        if all(name in table.fields for name in names):
            found[feature] = _agree(clusters, [table.fields[name][row] for name in names], gap, names)
    if gap.kind == "switch":
        found["form"] = _same_form(clusters, table, row, gap)
    return found


def _same_form(clusters: Clusters, table: Rows, row: int, gap: Cluster) -> bool | None:
    """Whether a switch is a breaker, a load-break switch or a disconnector in both; None where one doesn't say."""
    others = [(clusters.tables[title], other) for title, other in gap.places()]
    forms = {value for each in (table, *(of for of, _ in others)) for value in _forms(each)}
    mine = _form(table, row, forms)
    theirs = {form for of, other in others if (form := _form(of, other, forms)) is not None}
    return mine in theirs if mine is not None and theirs else None


def _forms(table: Rows) -> Collection[str]:
    """What a dataset's column of forms may say; a network model has a dataset of each instead."""
    column = table.mapping.fields.get("form")
    return () if column is None or column.values is None else column.values.values()


def _form(table: Rows, row: int, forms: Collection[str]) -> Value:
    said = table.fields.get("form")
    if said is not None:
        return said[row]
    return table.dataset if table.dataset in forms else None


def _agree(clusters: Clusters, mine: Sequence[Value], gap: Cluster, names: Sequence[str]) -> bool | None:
    said = []
    for title, row in gap.places():
        fields = clusters.tables[title].fields
        if all(name in fields for name in names):
            said.append([fields[name][row] for name in names])
    if not said or any(value is None for value in mine):
        return None
    # One of three that agrees is enough: the third may be the one that is out of date.
    needed = max(len(names) - 1, 1)
    return any(sum(same(a, b) for a, b in zip(mine, theirs, strict=True)) >= needed for theirs in said)


def same(first: object, second: object) -> bool:
    """Whether two values are the same, but for what rounding does."""
    if isinstance(first, float) and isinstance(second, float):
        return abs(first - second) <= 1e-6 * max(abs(first), abs(second), 1e-9)
    return first == second


def feeder_of_row(clusters: Clusters, table: Rows, row: int) -> Identity | None:
    """(station, number) that a row says it is on: by its reference, else by its name."""
    target = clusters.target(table, "feeder", row)
    if target is not None:
        return target.identity
    name: Name | None = table.names[row] if table.names else None
    if name is not None and name.parts is not None and "station" in name.parts and "number" in name.parts:
        return clusters.stations.feeder(name)
    return None


def feeder_of_cluster(clusters: Clusters, cluster: Cluster) -> Identity | None:
    """The feeder that most of a cluster's rows name."""
    if cluster.expected_of is not None:
        return cluster.identity[:2]
    votes = Counter(
        feeder
        for title, row in cluster.places()
        if (feeder := feeder_of_row(clusters, clusters.tables[title], row)) is not None
    )
    if not votes:
        return cluster.identity[:2] if len(cluster.identity) > 1 else None
    return votes.most_common(1)[0][0]


def _shared_members(clusters: Clusters, table: Rows) -> dict[int, Cluster]:
    """By row of areas the cluster to which most of its meters belong in other systems."""
    votes: dict[int, Counter[int]] = defaultdict(Counter)
    by_id: dict[int, Cluster] = {}
    for cluster in clusters.all["meter"]:
        mine: list[int] = []
        others: list[Cluster] = []
        for title, row in cluster.places():
            meters = clusters.tables[title]
            if "area" not in meters.refs:
                continue
            key = meters.refs["area"][row]
            if meters.system == table.system and meters.mapping.refs["area"].dataset == table.dataset:
                if key is not None and key in table.at:
                    mine.append(table.at[key])
            elif (other := clusters.target(meters, "area", row)) is not None:
                others.append(other)
        for row in mine:
            for other in others:
                votes[row][id(other)] += 1
                by_id[id(other)] = other
    return {row: by_id[counted.most_common(1)[0][0]] for row, counted in votes.items()}
