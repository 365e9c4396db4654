"""What a panel and a board are made of: data only, so that Grafana, the console and a report draw the same.

SQL may use Grafana's macros ``$__timeFilter(column)``, ``$__timeFrom()``, ``$__timeTo()``, ``$__interval`` and, in
quotes, ``$__timezone`` (in which days are counted), and name a variable of its board as ``${feeder:sqlstring}``, which
becomes a quoted text. `deploy.boards.macros.bind` makes bound parameters of them where no Grafana fills them in.
Energies come out in Wh, power in W, rates as fractions, ages and delays in seconds. Texts are English;
`deploy.boards.language` has them in Chinese.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_KEY = re.compile(r"[a-z][a-z0-9_]*\Z")
_SPAN = re.compile(r"[1-9][0-9]*[smhd]\Z")
_PATH = re.compile(r"(/[a-z0-9_-]+|/\{[a-z][a-z0-9_]*\})+\Z")
_VARIABLE = re.compile(r"\$\{([a-z][a-z0-9_]*):sqlstring\}")

#: A variable's value that stands for "no restriction".
ALL = "*"


def variables_of(*statements: str | None) -> frozenset[str]:
    """Names of the variables that `statements` ask for."""
    return frozenset(name for sql in statements if sql is not None for name in _VARIABLE.findall(sql))


class Source(StrEnum):
    """Whose eyes a statement is for: which role of the database it runs as."""

    OPERATIONS = "operations"  # meterline_board: no series below the area
    REVENUE = "revenue"  # meterline_revenue: a meter's series through the audited function


class Picture(StrEnum):
    """How a panel is drawn."""

    TABLE = "table"
    LINES = "lines"  # a column named `time`, and one column a line or one named `metric`
    FIGURES = "figures"  # one row, a large figure a column
    BARS = "bars"  # the first column names a bar, each further one is a bar beside it, or on it when stacked
    GAUGES = "gauges"  # the first column names a bar, the second is its value, from 0 to `most` of that column
    WATERFALL = "waterfall"  # `part`, `from_wh`, `to_wh` and `kind`: rise, fall, total; a floating bar a row, in order
    MAP = "map"  # a point a row: `longitude_deg`, `latitude_deg`, `name`, and `class` or `state` for its colour
    NETWORK = "network"  # rows `id`, `title`, `subtitle`, `state`, sources first; and `edges`: `id`, `source`, `target`


class Unit(StrEnum):
    """What a number is measured in."""

    NONE = "none"
    COUNT = "count"
    ENERGY_WH = "energy_wh"
    POWER_W = "power_w"
    FRACTION = "fraction"
    SECONDS = "seconds"
    BYTES = "bytes"
    PER_MINUTE = "per_minute"
    PER_SECOND = "per_second"
    VOLTS = "volts"
    AMPERES = "amperes"


class Colour(StrEnum):
    """What a colour says; the drawing chooses the tint."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"
    MUTED = "muted"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Step:
    """From this value on, up to the next step, a number has this colour."""

    start: float
    colour: Colour


@dataclass(frozen=True, slots=True)
class Word:
    """A text in the data with the text and colour that stand for it."""

    value: str
    text: str
    colour: Colour


@dataclass(frozen=True, slots=True)
class Link:
    """Where a reader goes on.

    Either to another board, whose variables take the values of columns of the row and of this board's variables; or to
    a `path` of the console, in which ``{column}`` stands for the row's value.
    """

    title: str
    board: str | None = None
    """Its uid."""
    values: tuple[tuple[str, str], ...] = ()
    """(variable of that board, column of the row)."""
    keep: tuple[str, ...] = ()
    """Variables that have the same name and value there as here."""
    path: str | None = None

    def __post_init__(self) -> None:
        if (self.board is None) == (self.path is None):
            raise ValueError(f"{self.title}: a link leads to a board or to a path")
        if self.path is not None and not _PATH.match(self.path):
            raise ValueError(f"{self.title}: not a path: {self.path!r}")

    @property
    def columns(self) -> frozenset[str]:
        """Columns of the row that it needs."""
        named = re.findall(r"\{(\w+)\}", self.path or "")
        return frozenset([*named, *(column for _, column in self.values)])


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the result. `below` colours what is under the first step."""

    name: str
    title: str
    unit: Unit = Unit.NONE
    decimals: int | None = None
    below: Colour = Colour.PLAIN
    steps: tuple[Step, ...] = ()
    words: tuple[Word, ...] = ()
    width_px: int | None = None
    most: float | None = None
    """Where a gauge is full."""
    hidden: bool = False
    """Not shown; links and pictures use it."""
    limit: bool = False
    """Of lines: a limit that others are held against, drawn as a dashed line."""
    link: Link | None = None

    def __post_init__(self) -> None:
        if not _KEY.match(self.name):
            raise ValueError(f"not a column name: {self.name!r}")
        if self.most is not None and self.most <= 0:
            raise ValueError(f"{self.name}: a gauge is full above 0")
        starts = [step.start for step in self.steps]
        if starts != sorted(set(starts)):
            raise ValueError(f"{self.name}: steps do not rise")


@dataclass(frozen=True, slots=True)
class Panel:
    """One question with its answer in SQL. Columns that are not described are shown as they come."""

    key: str
    title: str
    description: str
    sql: str
    picture: Picture
    columns: tuple[Column, ...] = ()
    unit: Unit = Unit.NONE
    """Of every line; columns of tables and figures carry their own."""
    below: Colour = Colour.PLAIN
    steps: tuple[Step, ...] = ()
    """Thresholds of every line."""
    stacked: bool = False
    band: tuple[str, str] | None = None
    """Columns between which the picture is filled: the low and the high end of a band."""
    span: str | None = None
    """Shows this much up to now, such as ``1h``, in place of the board's time range."""
    edges: str | None = None
    """Of a network: the second statement."""
    links: tuple[Link, ...] = ()
    """From the panel as a whole: they name no column."""
    nothing: str = "No data"
    """Shown when the query returns no row."""

    def __post_init__(self) -> None:
        if not _KEY.match(self.key):
            raise ValueError(f"not a panel key: {self.key!r}")
        if self.span is not None and not _SPAN.match(self.span):
            raise ValueError(f"{self.key}: not a span of time: {self.span!r}")
        if ";" in self.sql or ";" in (self.edges or ""):
            raise ValueError(f"{self.key}: a statement has no semicolon")
        if (self.edges is not None) != (self.picture is Picture.NETWORK):
            raise ValueError(f"{self.key}: a network, and nothing else, has edges")
        if any(link.columns for link in self.links):
            raise ValueError(f"{self.key}: a panel's link has no row")
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.key} describes a column twice")
        if self.band is not None and not set(self.band) <= set(names):
            raise ValueError(f"{self.key}: a band lies between described columns")

    @property
    def variables(self) -> frozenset[str]:
        """Names of the board's variables that it asks for."""
        return variables_of(self.sql, self.edges)


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice that a board's reader has. Its statement returns columns `__value` and `__text`, the default first.

    It may name variables that stand before it: it is asked again when one of them changes. A value that isn't among the
    rows gives way to the first.
    """

    name: str
    title: str
    sql: str
    says: tuple[str, ...] = ()
    """Texts that stand in the statement in quotes, for a reader."""

    def __post_init__(self) -> None:
        if not _KEY.match(self.name):
            raise ValueError(f"not a variable's name: {self.name!r}")
        if ";" in self.sql:
            raise ValueError(f"{self.name}: a statement has no semicolon")
        if any(f"'{text}'" not in self.sql for text in self.says):
            raise ValueError(f"{self.name}: a text isn't in the statement")

    @property
    def needs(self) -> frozenset[str]:
        """Names of the variables that its choice depends on."""
        return variables_of(self.sql)


@dataclass(frozen=True, slots=True)
class Annotation:
    """Events that are marked on each picture with a time axis: rows `time`, `timeend` (NULL: an instant) and `text`."""

    key: str
    title: str
    sql: str
    colour: Colour

    def __post_init__(self) -> None:
        if not _KEY.match(self.key):
            raise ValueError(f"not a key: {self.key!r}")
        if ";" in self.sql:
            raise ValueError(f"{self.key}: a statement has no semicolon")


#: Boards are 24 columns wide.
WIDTH = 24


@dataclass(frozen=True, slots=True)
class Place:
    """A panel and where it stands on its board, in columns and rows from the top left."""

    panel: Panel
    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.x < 0 or self.y < 0 or self.width < 1 or self.height < 1 or self.x + self.width > WIDTH:
            raise ValueError(f"{self.panel.key} does not fit on the board")

    def overlaps(self, other: Place) -> bool:
        """Whether the two cover a common cell."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )


@dataclass(frozen=True, slots=True)
class Board:
    """A screen of panels. `uid` is fixed, so that links and a second provisioning find the same board."""

    uid: str
    title: str
    description: str
    places: tuple[Place, ...]
    since: str = "now-24h"
    refresh: str = "5s"
    tags: tuple[str, ...] = ("meterline",)
    variables: tuple[Variable, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    links: tuple[Link, ...] = ()
    """At the top: up to the board that it is part of, and to boards of the same place."""
    source: Source = Source.OPERATIONS

    def __post_init__(self) -> None:
        if not 8 <= len(self.uid) <= 40:
            raise ValueError(f"{self.uid!r}: a board's uid has 8 to 40 characters")
        keys = [place.panel.key for place in self.places]
        if len(set(keys)) != len(keys):
            raise ValueError(f"{self.uid} shows a panel twice")
        for i, place in enumerate(self.places):
            for other in self.places[i + 1 :]:
                if place.overlaps(other):
                    raise ValueError(f"{self.uid}: {place.panel.key} and {other.panel.key} overlap")
        self._check_names()

    def _check_names(self) -> None:
        known: set[str] = set()
        for variable in self.variables:
            if variable.name in known or not variable.needs <= known:
                raise ValueError(f"{self.uid}: variable {variable.name} stands twice, or before what it needs")
            known.add(variable.name)
        for place in self.places:
            if not place.panel.variables <= known:
                raise ValueError(f"{self.uid}: {place.panel.key} asks for a variable that the board lacks")
        for annotation in self.annotations:
            if not variables_of(annotation.sql) <= known:
                raise ValueError(f"{self.uid}: {annotation.key} asks for a variable that the board lacks")
        columns = [column.link for place in self.places for column in place.panel.columns]
        panels = [link for place in self.places for link in place.panel.links]
        for link in (*self.links, *panels, *columns):
            if link is not None and not set(link.keep) <= known:
                raise ValueError(f"{self.uid}: link {link.title} keeps a variable that the board lacks")
