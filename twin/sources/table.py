"""Tables of a source system, before they become CSV, SQL, GeoJSON or XML; and the random numbers behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Value = str | int | float | bool | None
#: A new value for a row, by its position and a random number; None where the row has none.
Change = Callable[[int, int], Value]
Position = tuple[float, float]
"""Longitude and latitude, degrees."""

#: Between the numbers of two keys in use; those in between are free for keys that come later, or never.
_STRIDE = 3


class Kind(StrEnum):
    """How an extract contradicts the grid."""

    MISSING = "missing"  # the object is absent in one system
    ORPHAN = "orphan"  # it points to a key that nothing has
    DUPLICATE = "duplicate"  # it is there a second time, under another key
    RENAMED = "renamed"  # it has another name than the other systems know
    MISSPELT = "misspelt"  # one letter of its name or address is wrong
    WRONG_RELATION = "wrong_relation"  # it points to another object than the true one
    OUT_OF_DATE = "out_of_date"  # a value is what it once was
    CONFLICTING_CAPACITY = "conflicting_capacity"  # rating or contract differs from the other systems'


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `refers` is the table of the same system whose keys it holds."""

    name: str
    sql: str
    comment: str
    refers: str = ""


@dataclass(frozen=True, slots=True)
class Slot:
    """That a kind of inconsistency may befall the rows of a table, in one column."""

    kind: Kind
    column: str = ""
    change: Change | None = None


@dataclass(slots=True, eq=False)
class Table:
    """A table; the first column is the key.

    Attributes
    ----------
    values
        By column, all of one length.
    codes
        Meterline's code of each row's object.
    key_of
        Key by number; `numbered_keys` uses only multiples of three.
    places
        Geometry of each row: one position is a point, several are a line string. Empty where there is none.
    """

    system: str
    name: str
    comment: str
    columns: tuple[Column, ...]
    values: dict[str, list[Value]]
    codes: list[str]
    key_of: Callable[[int], str]
    slots: tuple[Slot, ...] = ()
    places: list[tuple[Position, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if list(self.values) != [c.name for c in self.columns]:
            raise ValueError(f"{self.system}.{self.name}: columns {list(self.values)} are not as declared")
        lengths = {len(v) for v in (*self.values.values(), self.codes, self.places or self.codes)}
        if len(lengths) != 1:
            raise ValueError(f"{self.system}.{self.name}: columns of different lengths")

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def key(self) -> str:
        """Name of the key's column."""
        return self.columns[0].name

    @property
    def keys(self) -> list[Value]:
        """The keys, row by row."""
        return self.values[self.key]

    def key_by_code(self) -> dict[str, str]:
        """Key of each object."""
        return {code: str(key) for code, key in zip(self.codes, self.keys, strict=True)}

    def take(self, rows: Sequence[int]) -> None:
        """Keep these rows, in this order."""
        for name, column in self.values.items():
            self.values[name] = [column[i] for i in rows]
        self.codes = [self.codes[i] for i in rows]
        self.places = [self.places[i] for i in rows] if self.places else []

    def spare_key(self, draw: int, taken: set[str]) -> str:
        """A key of the right form that neither the table nor `taken` has; it is added to `taken`."""
        number = draw % max(1, len(self)) * _STRIDE + 1
        while (key := self.key_of(number)) in taken:
            number += 1 if number % _STRIDE == 1 else _STRIDE - 1
        taken.add(key)
        return key


def numbered_keys(seed: int, purpose: str, codes: Sequence[str], key_of: Callable[[int], str]) -> list[Value]:
    """Keys in an order that has nothing to do with that of the objects."""
    order = np.argsort(draws(seed, f"key/{purpose}", codes)[:, 0], kind="stable")
    numbers = np.empty(len(codes), dtype=np.int64)
    numbers[order] = np.arange(len(codes)) * _STRIDE
    return [key_of(n) for n in numbers.tolist()]


def draws(seed: int, purpose: str, codes: Iterable[str]) -> NDArray[np.uint64]:
    """Random numbers of each code, shape (codes, 8): they depend on seed, purpose and code alone (BLAKE2b)."""
    digests = (blake2b(f"{seed}/{purpose}/{code}".encode(), digest_size=64).digest() for code in codes)
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 8)


def dates(draw: NDArray[np.uint64], first: date, last: date) -> list[Value]:
    """Dates between the two, in ISO 8601, one for each random number."""
    days = [date.fromordinal(n).isoformat() for n in range(first.toordinal(), last.toordinal() + 1)]
    return [days[i] for i in (draw % np.uint64(len(days))).tolist()]


def text(value: Value) -> str:
    """A value as CSV and the truth have it; nothing for None."""
    if isinstance(value, str):  # nearly all
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
