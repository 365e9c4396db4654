"""What a panel and a board are made of: data only, so that Grafana, the console and a report draw the same.

SQL may use Grafana's macros ``$__timeFilter(column)``, ``$__timeFrom()``, ``$__timeTo()`` and ``$__interval``;
`deploy.boards.macros.expand` fills them in where no Grafana does. Energies come out in Wh, power in W, rates as
fractions, ages and delays in seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_KEY = re.compile(r"[a-z][a-z0-9_]*\Z")
_SPAN = re.compile(r"[1-9][0-9]*[smhd]\Z")


class Picture(StrEnum):
    """How a panel is drawn."""

    TABLE = "table"
    LINES = "lines"  # a column named `time`, and one column a line or one named `metric`
    FIGURES = "figures"  # one row, a large figure a column


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

    def __post_init__(self) -> None:
        if not _KEY.match(self.name):
            raise ValueError(f"not a column name: {self.name!r}")
        starts = [step.start for step in self.steps]
        if starts != sorted(set(starts)):
            raise ValueError(f"{self.name}: steps do not rise")


@dataclass(frozen=True, slots=True)
class Link:
    """Where a reader goes on from a panel; `url` may be relative to the server that shows it."""

    title: str
    url: str


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
    links: tuple[Link, ...] = ()
    nothing: str = "No data"
    """Shown when the query returns no row."""

    def __post_init__(self) -> None:
        if not _KEY.match(self.key):
            raise ValueError(f"not a panel key: {self.key!r}")
        if self.span is not None and not _SPAN.match(self.span):
            raise ValueError(f"{self.key}: not a span of time: {self.span!r}")
        if ";" in self.sql:
            raise ValueError(f"{self.key}: a panel is one statement")
        names = [column.name for column in self.columns]
        if len(set(names)) != len(names):
            raise ValueError(f"{self.key} describes a column twice")
        if self.band is not None and not set(self.band) <= set(names):
            raise ValueError(f"{self.key}: a band lies between described columns")


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
