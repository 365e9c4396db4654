"""Which lines meet at their ends: by positions in one dataset, by the nodes of a network model in another; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator

from sync.identity.clusters import Cluster, Clusters, Place
from sync.identity.network import Edge, join_nodes
from sync.reading import Rows

#: Two ends that are nearer than this are one, degrees (about a metre).
_NEAR_DEG = 1e-5


class Ends:
    """Lines by where they end; what closed switches join is one place."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters
        self._ends: dict[Place, frozenset[Hashable]] = {}
        self._at: dict[tuple[str, Hashable], list[int]] = defaultdict(list)
        joined = join_nodes(list(_edges(clusters)))
        for title in clusters.titles("segment"):
            table = clusters.tables[title]
            for row in range(len(table)):
                ends = _ends(table, row)
                self._ends[title, row] = frozenset(joined.get(str(end), end) for end in ends)
                for end in self._ends[title, row]:
                    self._at[title, end].append(row)

    def agree(self, place: Place, gap: Cluster) -> bool | None:
        """Whether a row meets mostly the same lines as another thing does; None where one of them meets none."""
        said: list[bool] = []
        for other in gap.places():
            # Of lines that only one of the two datasets knows nothing can be said.
            mine = {line for line in self._beside(place) if other[0] in line.titles}
            theirs = {line for line in self._beside(other) if place[0] in line.titles}
            if mine and theirs:
                said.append(2 * len(mine & theirs) >= len(mine | theirs))
        return any(said) if said else None

    def _beside(self, place: Place) -> Iterator[Cluster]:
        title, row = place
        of = self._clusters.of[title]
        for end in self._ends.get(place, ()):
            for other in self._at[title, end]:
                cluster = of[other]
                if other != row and cluster is not None:
                    yield cluster


def _edges(clusters: Clusters) -> Iterator[Edge]:
    for title in clusters.titles("switch"):
        table = clusters.tables[title]
        for row, (first, second) in enumerate(table.nodes):
            if first is not None and second is not None:
                yield Edge(f"{title}/{row}", first, second, None, table.fields["normal"][row] == "closed")


def _ends(table: Rows, row: int) -> list[Hashable]:
    if table.nodes:
        return [node for node in table.nodes[row] if node is not None]
    places = table.places[row] if table.places else None
    if places is None:
        return []
    return [(round(x / _NEAR_DEG), round(y / _NEAR_DEG)) for x, y in (places[0], places[-1])]
