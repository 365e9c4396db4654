"""Records that are the same thing, as clusters that grow while evidence is added."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from sync.mapping import EntityKind
from sync.naming import distance, skeleton
from sync.reading import Name, Rows

#: Dataset (as ``system.dataset``) and row.
Place = tuple[str, int]
Identity = tuple[str, ...]
#: A spelling so much rarer than one that is near it is a misspelling of that.
_RARER = 15


@dataclass(slots=True, eq=False)
class Cluster:
    """One entity.

    Attributes
    ----------
    identity
        What exact keys or names say it is, such as (station, number) of a feeder.
    rows
        By dataset; more than one row is a duplicate.
    code
        Of the grid model; None while it isn't found there.
    links
        How each row came in, and how sure that is; those of exact keys aren't listed.
    """

    kind: EntityKind
    identity: Identity
    rows: dict[str, tuple[int, ...]] = field(default_factory=dict)
    code: str | None = None
    links: dict[Place, tuple[str, float]] | None = None
    form: str | None = None
    """Of an area: public or dedicated; None while nobody says."""
    number: int | None = None
    """Of the entity, once it is given."""
    expected_of: Cluster | None = None
    """Of a SCADA point: the switch or feeder that should have it."""

    def link(self, place: Place) -> tuple[str, float] | None:
        """How a row came in, and how sure that is; None of one of exact keys or names."""
        return None if self.links is None else self.links.get(place)

    def add(self, title: str, row: int) -> None:
        """Take a row in."""
        self.rows[title] = (*self.rows.get(title, ()), row)

    def places(self) -> Iterator[Place]:
        """All rows."""
        for title, rows in self.rows.items():
            for row in rows:
                yield title, row


class Clusters:
    """All clusters; each row is in at most one."""

    def __init__(self, tables: Iterable[Rows], stations: Stations) -> None:
        self.stations = stations
        self.tables = {table.title: table for table in tables}
        self.of: dict[str, list[Cluster | None]] = {t.title: [None] * len(t) for t in self.tables.values()}
        self.all: dict[EntityKind, list[Cluster]] = defaultdict(list)
        self.adopted: dict[int, Cluster] = {}
        """By meter (`id`) its account, where no reference leads to it; see `sync.identity.accounts`."""
        self._by_identity: dict[str, dict[Identity, Cluster]] = defaultdict(dict)

    def titles(self, kind: EntityKind) -> list[str]:
        """Datasets whose rows are of a kind."""
        return [t.title for t in self.tables.values() if t.mapping.entity == kind]

    def find(self, kind: EntityKind, identity: Identity) -> Cluster | None:
        """The cluster of an identity."""
        return self._by_identity[kind].get(identity)

    def make(self, kind: EntityKind, identity: Identity) -> Cluster:
        """A new cluster without rows, of an identity that none has yet."""
        cluster = Cluster(kind, identity)
        self._by_identity[kind][identity] = cluster
        self.all[kind].append(cluster)
        return cluster

    def put(self, kind: EntityKind, identity: Identity, title: str, row: int) -> Cluster:
        """Put a row into the cluster of an identity, which is made when it isn't there."""
        cluster = self._by_identity[kind].get(identity) or self.make(kind, identity)
        cluster.add(title, row)
        self.of[title][row] = cluster
        return cluster

    def expect(self, kind: EntityKind, identity: Identity, of: Cluster) -> None:
        """Say that there should be something of an identity, since `of` is there."""
        cluster = self._by_identity[kind].get(identity) or self.make(kind, identity)
        cluster.expected_of = of

    def move(self, place: Place, to: Cluster, method: str, confidence: float) -> None:
        """Move a row into another cluster; one that is left empty goes."""
        title, row = place
        former = self.of[title][row]
        if former is not None and former is not to:
            former.rows[title] = tuple(each for each in former.rows[title] if each != row)
            if not former.rows[title]:
                del former.rows[title]
            if former.links is not None:
                former.links.pop(place, None)
            if not former.rows and former.expected_of is None:
                self._by_identity[former.kind].pop(former.identity, None)
                self.all[former.kind].remove(former)
        if former is not to:
            to.add(title, row)
        self.of[title][row] = to
        if to.links is None:
            to.links = {}
        to.links[place] = (method, confidence)

    def target(self, table: Rows, relation: str, row: int) -> Cluster | None:
        """The cluster that a row's reference leads to; None where it leads nowhere, or there is none."""
        if relation in table.refs:
            key = table.refs[relation][row]
            ref = table.mapping.refs[relation]
            other = self.tables.get(f"{table.system}.{ref.dataset}")
            if key is None or other is None or key not in other.at:
                return None
            return self.of[other.title][other.at[key]]
        if relation in table.named:
            name = table.named[relation][row]
            kind = table.mapping.refs[relation].name_of
            if name is None or name.parts is None or kind is None:
                return None
            return self._by_identity[kind].get(self.stations.feeder(name))
        return None


class Stations:
    """The stations' names as their skeletons, with rare spellings put right."""

    def __init__(self, tables: Iterable[Rows]) -> None:
        counts: Counter[str] = Counter()
        for table in tables:
            for names in (table.names, table.stations, *table.named.values()):
                counts.update(
                    skeleton(name.parts["station"])
                    for name in names
                    if name is not None and name.parts is not None and "station" in name.parts
                )
        self._right = {word: self._of(word, counts) for word in counts}

    @staticmethod
    def _of(word: str, counts: Counter[str]) -> str:
        near = [(n, other) for other, n in counts.items() if n >= _RARER * counts[word] and distance(word, other) <= 2]
        return max(near)[1] if near else word

    def station(self, text: str) -> str:
        """The station that a name means."""
        word = skeleton(text)
        return self._right.get(word, word)

    def feeder(self, name: Name) -> Identity:
        """(station, number) of a name's feeder; empty strings where it names none."""
        parts = name.parts or {}
        station = self.station(parts["station"]) if "station" in parts else ""
        return station, str(int(parts.get("number") or 0))


def identity_of(kind: EntityKind, name: Name, stations: Stations) -> Identity | None:
    """What a name says that its row is; None where it follows no rule."""
    if name.parts is None:
        return None
    if kind in {"substation", "rtu"}:
        return (stations.station(name.parts["station"]),)
    if kind == "feeder":
        return stations.feeder(name)
    if kind == "area":
        return (name.parts["place"],) if "place" in name.parts else None
    return *stations.feeder(name), name.parts["element"].casefold()
