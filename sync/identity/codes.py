"""What the grid model calls each entity: by exact keys, position, members and connections; pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from grid.present import AreaView, GridView
from sync.identity.accounts import adopt_accounts
from sync.identity.clusters import Cluster, Clusters, Place
from sync.identity.near import feeder_of_cluster
from sync.identity.network import Edge, Matched, match_networks
from sync.mapping import EntityKind
from sync.reading import Rows

#: Two positions that are nearer than this are the same, degrees (about a metre).
_NEAR_DEG = 1e-5
#: What a position counts for, in members that say the same.
_POSITION_VOTES = 3
#: So many votes, and such a share of a record's, say clearly which area it is.
_CLEAR_VOTES, _CLEAR_SHARE = 5, 0.8


def find_codes(clusters: Clusters, grid: GridView) -> Matched:
    """Give each cluster the code that the grid model has for it, and put transformers of a network model into areas."""
    _areas(clusters, grid)
    _feeders(clusters, grid)
    matched = _network(clusters, grid)
    _transformers(clusters, grid, matched)
    _accounts(clusters, grid)
    return matched


def _areas(clusters: Clusters, grid: GridView) -> None:
    of_row = _area_votes(clusters, grid)
    _part_namesakes(clusters, of_row)
    by_id = {id(cluster): cluster for cluster in clusters.all["area"]}
    votes: dict[int, Counter[str]] = defaultdict(Counter)
    for (title, row), counted in of_row.items():
        cluster = clusters.of[title][row]
        if cluster is not None:
            votes[id(cluster)].update(counted)
    known = {area.code for area in grid.areas}
    _elect(votes, by_id, known)
    _join_by_code(clusters, votes, by_id)
    forms = {area.code: "public" if area.kind == "area" else "dedicated" for area in grid.areas}
    for cluster in clusters.all["area"]:
        said = [
            str(form)
            for title, row in cluster.places()
            if (form := clusters.tables[title].fields.get("kind", [None] * (row + 1))[row]) is not None
        ]
        cluster.form = forms.get(cluster.code or "", said[0] if said else None)


def _area_votes(clusters: Clusters, grid: GridView) -> Mapping[Place, Counter[str]]:
    """Which areas of the model a record is, by its position and by the meters that name it."""
    at: dict[tuple[int, int], list[AreaView]] = defaultdict(list)
    for area in grid.areas:
        if area.longitude_deg is not None and area.latitude_deg is not None:
            at[_cell(area.longitude_deg, area.latitude_deg)].append(area)
    votes: dict[Place, Counter[str]] = defaultdict(Counter)
    for cluster in clusters.all["area"]:
        for title, row in cluster.places():
            places = clusters.tables[title].places
            if not places or places[row] is None:
                continue
            longitude, latitude = places[row][0]  # type: ignore[index]
            for area in at.get(_cell(longitude, latitude), ()):
                rating = clusters.tables[title].fields.get("rating_va", [None] * (row + 1))[row]
                votes[title, row][area.code] += _POSITION_VOTES + (rating == area.rating_va)
    for cluster in clusters.all["meter"]:
        meter = None if cluster.code is None else grid.meters.get(cluster.code)
        if meter is None or meter.unit is None:
            continue
        for title, row in cluster.places():
            area_row = clusters.target_row(clusters.tables[title], "area", row)
            if area_row is not None:
                votes[area_row][meter.unit] += 1
    return votes


def _part_namesakes(clusters: Clusters, votes: Mapping[Place, Counter[str]]) -> None:
    """Put records apart that one name brought together, though they clearly are different areas of the model."""
    for cluster in list(clusters.all["area"]):
        clear: dict[Place, str] = {}
        total: Counter[str] = Counter()
        for place in cluster.places():
            code, count = next(iter(votes.get(place, Counter()).most_common(1)), ("", 0))
            if count >= _CLEAR_VOTES and count >= _CLEAR_SHARE * votes[place].total():
                clear[place] = code
                total[code] += count
        for (title, row), code in clear.items():
            if code != total.most_common(1)[0][0]:
                key = clusters.tables[title].keys[row]
                apart = clusters.make("area", (f"{cluster.identity[0]} ({key})",))
                clusters.move((title, row), apart, "another area than what has its name", 0.98)


def _join_by_code(clusters: Clusters, votes: Mapping[int, Counter[str]], by_id: Mapping[int, Cluster]) -> None:
    """Put together what lies at the same place, or has the same members, of which neither system has the other's."""
    by_code = {cluster.code: cluster for cluster in by_id.values() if cluster.code is not None}
    for number, counted in votes.items():
        cluster = by_id[number]
        other = by_code.get(counted.most_common(1)[0][0]) if cluster.code is None else None
        if other is None or set(cluster.titles) & set(other.titles):
            continue
        small, large = sorted((cluster, other), key=lambda c: len(c.titles))
        large.code = other.code
        for place in list(small.places()):
            clusters.move(place, large, "same place or members as in the model", 0.98)
        small.code = None
        by_code[str(large.code)] = large


def _elect(votes: Mapping[int, Counter[str]], by_id: Mapping[int, Cluster], known: set[str]) -> None:
    """Give codes by majority, each once, the clearest first."""
    listed = sorted(
        ((count, code, cluster) for cluster, counted in votes.items() for code, count in counted.items()),
        key=lambda vote: (-vote[0], vote[1]),
    )
    taken: set[str] = set()
    for _, code, number in listed:
        cluster = by_id.get(number)
        if cluster is not None and cluster.code is None and code in known and code not in taken:
            cluster.code = code
            taken.add(code)


def _feeders(clusters: Clusters, grid: GridView) -> None:
    feeder_of = {area.code: area.feeder for area in grid.areas}
    votes: dict[int, Counter[str]] = defaultdict(Counter)
    by_id = {id(cluster): cluster for cluster in clusters.all["feeder"]}
    for cluster in clusters.all["area"]:
        code = None if cluster.code is None else feeder_of.get(cluster.code)
        identity = feeder_of_cluster(clusters, cluster)
        feeder = None if identity is None else clusters.find("feeder", identity)
        if code is not None and feeder is not None:
            votes[id(feeder)][code] += 1
    _elect(votes, by_id, set(grid.feeders))
    substations: dict[int, Counter[str]] = defaultdict(Counter)
    of_id = {id(cluster): cluster for cluster in clusters.all["substation"]}
    for feeder in clusters.all["feeder"]:
        station = clusters.find("substation", feeder.identity[:1])
        if feeder.code is not None and station is not None:
            substations[id(station)][grid.feeders[feeder.code]] += 1
    _elect(substations, of_id, set(grid.feeders.values()))


def _network(clusters: Clusters, grid: GridView) -> Matched:
    theirs: list[Edge] = []
    place: dict[str, tuple[str, int]] = {}
    kinds: tuple[EntityKind, ...] = ("segment", "switch")
    for kind in kinds:
        for title in clusters.titles(kind):
            table = clusters.tables[title]
            for row, (first, second) in enumerate(table.nodes):
                if first is not None and second is not None:
                    theirs.append(_edge(table, row, first, second))
                    place[theirs[-1].key] = (title, row)
    matched = match_networks(theirs, list(_model_edges(grid)))
    taken = {(kind, cluster.code) for kind in kinds for cluster in clusters.all[kind]}
    for key, code in matched.edges.items():
        title, row = place[key]
        cluster = clusters.of[title][row]
        if cluster is not None and cluster.code is None and (cluster.kind, code) not in taken:
            cluster.code = code
            taken.add((cluster.kind, code))
    return matched


def _edge(table: Rows, row: int, first: str, second: str) -> Edge:
    key = f"{table.title}/{row}"
    if table.mapping.entity == "switch":
        return Edge(key, first, second, None, table.fields["normal"][row] == "closed")
    return Edge(key, first, second, tuple(_rounded(table.fields[name][row]) for name in _LINE))


_LINE = ("length_m", "resistance_ohm", "reactance_ohm")


def _model_edges(grid: GridView) -> Iterator[Edge]:
    for edge in grid.segments:
        values = (edge.length_m, edge.resistance_ohm, edge.reactance_ohm)
        yield Edge(edge.code, edge.from_node, edge.to_node, tuple(map(_rounded, values)))
    for edge in grid.switches:
        yield Edge(edge.code, edge.from_node, edge.to_node, None, edge.normal == "closed")


def _rounded(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else ""


def _transformers(clusters: Clusters, grid: GridView, matched: Matched) -> None:
    """Put each transformer of a network model into the area on whose node it hangs."""
    public: dict[str, list[AreaView]] = defaultdict(list)
    for area in grid.areas:
        if area.node is not None and area.kind == "area":
            public[area.node].append(area)
    by_code = {cluster.code: cluster for cluster in clusters.all["area"] if cluster.code is not None}
    for title in clusters.titles("area"):
        table = clusters.tables[title]
        for row, (first, second) in enumerate(table.nodes):
            if clusters.of[title][row] is not None:
                continue
            nodes = {n for end in (first, second) if end is not None for n in matched.places.get(end, ())}
            there = [area for node in sorted(nodes) for area in public.get(node, ())]
            if len(there) > 1:
                there = [area for area in there if area.rating_va == table.fields["rating_va"][row]]
            if len(there) == 1 and there[0].code in by_code:
                clusters.move((title, row), by_code[there[0].code], "hangs on its node", 0.99)


def _accounts(clusters: Clusters, grid: GridView) -> None:
    """An account is the one that the model serves at its meter."""
    taken: set[str] = set()
    for cluster in clusters.all["meter"]:
        code = _served(grid, cluster)
        if code is None or code in taken:
            continue
        for title, row in cluster.places():
            account = clusters.target(clusters.tables[title], "account", row)
            if account is not None and account.code is None:
                account.code = code
                taken.add(code)
    clusters.adopted = adopt_accounts(clusters)
    for cluster in clusters.all["meter"]:
        code = _served(grid, cluster)
        adopted = clusters.adopted.get(id(cluster))
        if code is not None and adopted is not None and adopted.code is None and code not in taken:
            adopted.code = code
            taken.add(code)


def _served(grid: GridView, cluster: Cluster) -> str | None:
    """The model's account of a meter."""
    meter = None if cluster.code is None else grid.meters.get(cluster.code)
    return None if meter is None else meter.account


def _cell(longitude: float, latitude: float) -> tuple[int, int]:
    return round(longitude / _NEAR_DEG), round(latitude / _NEAR_DEG)
