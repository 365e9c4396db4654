"""Records that are the same thing, as clusters that grow while evidence is added."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args

from sync.mapping import EntityKind
from sync.naming import distance, skeleton
from sync.reading import Name, Rows

#: Dataset (as ``system.dataset``) and row.
Place = tuple[str, int]
Identity = tuple[str, ...]
#: A spelling so much rarer than one that is near it is a misspelling of that.
_RARER = 15


@lru_cache(maxsize=4096)
def _with(titles: tuple[str, ...], end: int, title: str) -> tuple[str, ...]:
    # A million clusters have rows of the same few datasets: the tuple is kept once.
    return *titles[:end], title, *titles[end:]


@lru_cache(maxsize=4096)
def _distinct(titles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(titles))


class Cluster:
    """One entity.

    Attributes
    ----------
    code
        Of the grid model; None while it isn't found there.
    links
        How each row came in, and how sure that is; those of exact keys aren't listed.
    form
        Of an area: public or dedicated; None while nobody says.
    number
        Of the entity, once it is given.
    expected_of
        Of a SCADA point: the switch or feeder that should have it.
    """

    # A utility has millions of them: what all have in common, and what few have, takes no room in each.
    __slots__ = ("_rows", "_titles", "code", "expected_of", "form", "kind", "known_as", "links", "number")

    def __init__(self, kind: EntityKind, identity: Identity) -> None:
        self.kind = kind
        self.known_as = _bare(identity)
        self.code: str | None = None
        self.links: dict[Place, tuple[str, float]] | None = None
        self.form: str | None = None
        self.number: int | None = None
        self.expected_of: Cluster | None = None
        # Of each row its dataset, those of one side by side, and which it is.
        self._titles: tuple[str, ...] = ()
        self._rows: tuple[int, ...] = ()

    @property
    def identity(self) -> Identity:
        """What exact keys or names say it is, such as (station, number) of a feeder."""
        return (self.known_as,) if isinstance(self.known_as, str) else self.known_as

    @property
    def titles(self) -> tuple[str, ...]:
        """Datasets that have it, each once."""
        return _distinct(self._titles)

    @property
    def size(self) -> int:
        """Number of rows; more than there are datasets when one has it twice."""
        return len(self._rows)

    def rows(self, title: str) -> list[int]:
        """Its rows in a dataset; more than one is a duplicate."""
        return [row for of, row in self.places() if of == title]

    def link(self, place: Place) -> tuple[str, float] | None:
        """How a row came in, and how sure that is; None of one of exact keys or names."""
        return None if self.links is None else self.links.get(place)

    def add(self, title: str, row: int) -> None:
        """Take a row in."""
        same = self._titles.count(title)
        end = self._titles.index(title) + same if same else len(self._titles)
        self._titles = _with(self._titles, end, title)
        self._rows = (*self._rows[:end], row, *self._rows[end:])

    def remove(self, place: Place) -> None:
        """Give a row away."""
        kept = [each for each in self.places() if each != place]
        self._titles = tuple(title for title, _ in kept)
        self._rows = tuple(row for _, row in kept)
        if self.links is not None:
            self.links.pop(place, None)

    def places(self) -> Iterator[Place]:
        """All rows."""
        return zip(self._titles, self._rows, strict=True)


def _bare(identity: Identity) -> str | Identity:
    # Most are a number alone, that of a meter or an account: no tuple is kept around each.
    return identity[0] if len(identity) == 1 else identity


@dataclass(frozen=True, slots=True, eq=False)
class OneOf:
    """What a record may be: things, each with its probability."""

    among: tuple[tuple[Cluster, float], ...]

    @property
    def probability(self) -> float:
        """That it is one of them."""
        return sum(probability for _, probability in self.among)


class Clusters:
    """All clusters; each row is in at most one."""

    def __init__(self, tables: Iterable[Rows], stations: Stations) -> None:
        self.stations = stations
        self.tables = {table.title: table for table in tables}
        self.of: dict[str, list[Cluster | None]] = {t.title: [None] * len(t) for t in self.tables.values()}
        self.adopted: dict[int, Cluster] = {}
        """By meter (`id`) its account, where no reference leads to it; see `sync.identity.accounts`."""
        self.heads: frozenset[str] = frozenset()
        """Codes of the breakers at the feeders' heads."""
        self.open_between: dict[str, dict[int, OneOf]] = {}
        """By title the rows that are one of several things that the dataset lacks, nobody can say which."""
        self._led = {
            (table.title, relation): (keys, other)
            for table in self.tables.values()
            for relation, keys in table.refs.items()
            if (other := self.tables.get(f"{table.system}.{table.mapping.refs[relation].dataset}")) is not None
        }
        """By title and relation what leads to the related rows: keys, and the table in which they stand."""
        self._by_identity: dict[EntityKind, dict[str | Identity, Cluster]] = {kind: {} for kind in get_args(EntityKind)}
        self.all = {kind: found.values() for kind, found in self._by_identity.items()}
        """By kind."""

    def titles(self, kind: EntityKind) -> list[str]:
        """Datasets whose rows are of a kind."""
        return [t.title for t in self.tables.values() if t.mapping.entity == kind]

    def find(self, kind: EntityKind, identity: Identity) -> Cluster | None:
        """The cluster of an identity."""
        return self._by_identity[kind].get(_bare(identity))

    def make(self, kind: EntityKind, identity: Identity) -> Cluster:
        """A new cluster without rows, of an identity that none has yet."""
        cluster = Cluster(kind, identity)
        self._by_identity[kind][cluster.known_as] = cluster
        return cluster

    def put(self, kind: EntityKind, identity: Identity, title: str, row: int) -> Cluster:
        """Put a row into the cluster of an identity, which is made when it isn't there."""
        cluster = self.find(kind, identity) or self.make(kind, identity)
        cluster.add(title, row)
        self.of[title][row] = cluster
        return cluster

    def expect(self, kind: EntityKind, identity: Identity, of: Cluster) -> None:
        """Say that there should be something of an identity, since `of` is there."""
        cluster = self.find(kind, identity) or self.make(kind, identity)
        cluster.expected_of = of

    def move(self, place: Place, to: Cluster, method: str, confidence: float) -> None:
        """Move a row into another cluster; one that is left empty goes."""
        title, row = place
        former = self.of[title][row]
        if former is not None and former is not to:
            former.remove(place)
            if not former.size and former.expected_of is None:
                self._by_identity[former.kind].pop(former.known_as, None)
        if former is not to:
            to.add(title, row)
        self.of[title][row] = to
        if to.links is None:
            to.links = {}
        to.links[place] = (method, confidence)

    def target_row(self, table: Rows, relation: str, row: int) -> Place | None:
        """The row that a row's reference leads to; None where it leads nowhere, or there is none."""
        led = self._led.get((table.title, relation))
        if led is None:
            return None
        keys, other = led
        key = keys[row]
        to = None if key is None else other.at.get(key)
        return None if to is None else (other.title, to)

    def target(self, table: Rows, relation: str, row: int) -> Cluster | None:
        """The cluster that a row's reference leads to; None where it leads nowhere, or there is none."""
        if (table.title, relation) in self._led:
            place = self.target_row(table, relation, row)
            return None if place is None else self.of[place[0]][place[1]]
        if relation in table.named:
            name = table.named[relation][row]
            kind = table.mapping.refs[relation].name_of
            if name is None or name.parts is None or kind is None:
                return None
            return self.find(kind, self.stations.feeder(name))
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
