"""A folder of CSV files, one a kind: a journal to which versions of entities are added, the last one standing.

A version is a run of lines: one of list ``entity`` that says how many follow, then a line for each entry of its lists.
A run that isn't whole, since the power failed, doesn't count, and is written again.
"""

from __future__ import annotations

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from grid.document import LISTS, VALUES, Document, Key, canonical
from store.deliveries import Attempt, Outcome
from sync.targets.contract import Parcel, TargetError, digest_of

_FIRST = ("delivery", "number", "code", "list", "lines", "from", "to")
#: A journal is written anew when it has this many lines, and more than twice those that stand.
_COMPACT_FROM = 20_000

Line = tuple[str, ...]


class CsvFolder:
    """A `Carrier`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journals: dict[str, _Journal] = {}

    def send(self, parcels: Sequence[Parcel]) -> list[Attempt]:
        """Add the parcels to the journals, which are on the disk when this returns."""
        try:
            by_kind: dict[str, list[tuple[Parcel, Key, list[Line]]]] = {}
            for parcel in parcels:
                for document in parcel.documents:
                    by_kind.setdefault(document.key.kind, []).append((parcel, document.key, lines_of(document)))
                for key in parcel.removed:
                    by_kind.setdefault(key.kind, []).append((parcel, key, []))
            for kind, versions in by_kind.items():
                self._journal(kind).add(versions)
        except (OSError, TargetError) as error:
            return [Attempt(Outcome.FAILED, f"{type(error).__name__}: {error}")] * len(parcels)
        return [Attempt(Outcome.DELIVERED)] * len(parcels)

    def expected(self, document: Document) -> bytes | None:
        """Its lines, as text."""
        return digest_of(lines_of(document))

    def read(self, keys: Sequence[Key]) -> Mapping[Key, bytes]:
        """As the files are now, whoever wrote them."""
        try:
            for kind in {key.kind for key in keys}:
                self._journal(kind).catch_up()
        except (OSError, UnicodeError, csv.Error) as error:
            raise TargetError(f"{type(error).__name__}: {error}") from None
        found = {key: self._journal(key.kind).standing.get(key.code) for key in keys}
        return {key: version.digest for key, version in found.items() if version is not None and version.digest}

    def keys(self) -> Iterable[Key]:
        """By kind and code."""
        if not self._folder.is_dir():
            return
        for path in sorted(self._folder.glob("*.csv")):
            if path.stem in COLUMNS:
                journal = self._journal(path.stem)
                journal.catch_up(whole=True)
                yield from (
                    Key(path.stem, code) for code, version in sorted(journal.standing.items()) if version.digest
                )

    def _journal(self, kind: str) -> _Journal:
        if kind not in self._journals:
            self._journals[kind] = _Journal(self._folder / f"{kind}.csv", kind)
        return self._journals[kind]


#: Columns of each kind's file.
COLUMNS: dict[str, tuple[str, ...]] = {
    kind: (
        *_FIRST,
        *dict.fromkeys((*VALUES.get(kind, ()), *(c for entry in LISTS.get(kind, {}).values() for c in entry))),
    )
    for kind in (*LISTS, *VALUES)
}


class _Places(NamedTuple):
    """Where the values of a kind's documents stand among its own columns: place and name, by list."""

    width: int
    values: tuple[tuple[int, str], ...]
    lists: dict[str, tuple[tuple[int, str], ...]]


def _places(kind: str) -> _Places:
    at = {name: place for place, name in enumerate(COLUMNS[kind][len(_FIRST) :])}

    def of(names: Iterable[str]) -> tuple[tuple[int, str], ...]:
        return tuple((at[name], name) for name in names)

    lists = {name: of(own) for name, own in LISTS.get(kind, {}).items()}
    return _Places(len(at), of(VALUES.get(kind, ())), lists)


_PLACES = {kind: _places(kind) for kind in COLUMNS}


def lines_of(document: Document) -> list[Line]:
    """A document's lines without what stands before them: the list's name, from, to, and the columns of its kind."""
    body, places = document.body, _PLACES[document.key.kind]
    lines = [("entity", "", "", *_cells(body, places.width, places.values))]
    for name, own in places.lists.items():
        lines += (
            (name, _cell(entry.get("from")), _cell(entry.get("to")), *_cells(entry, places.width, own))
            for entry in body.get(name) or ()
        )
    return lines


def _cells(said: Mapping[str, Any], width: int, own: tuple[tuple[int, str], ...]) -> list[str]:
    cells = [""] * width
    for place, name in own:
        cells[place] = _cell(said.get(name))
    return cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    # As `canonical` has them; it takes ten times as long for a single number.
    return repr(value) if type(value) is int or type(value) is float else canonical(value).decode()


class _Version(NamedTuple):
    """What stands of a code, in so many lines; without a digest it was removed."""

    number: int
    digest: bytes | None
    delivery: str
    lines: int


class _Journal:
    """One file, read on from where it was read to; of each code the version that stands."""

    def __init__(self, path: Path, kind: str) -> None:
        self.standing: dict[str, _Version] = {}
        self._path = path
        self._columns = COLUMNS[kind]
        self._lines = 0
        self._standing_lines = 0
        self._stamp: tuple[int, int, int] | None = None

    def add(self, versions: Sequence[tuple[Parcel, Key, list[Line]]]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._load(file)
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            if file.seek(0, os.SEEK_END) == 0:
                writer.writerow(self._columns)
            elif _is_torn(file):
                text.write("\n")
            for parcel, key, lines in versions:
                before = self.standing.get(key.code)
                if before is not None and (before.number > parcel.number or before.delivery == str(parcel.delivery_id)):
                    continue
                writer.writerows(_run(self._columns, parcel.delivery_id, parcel.number, key.code, lines))
            file.write(text.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())
            self._load(file)
            if self._lines > max(_COMPACT_FROM, 2 * self._standing_lines):
                self._compact()

    def catch_up(self, whole: bool = False) -> None:
        """Read what was added, or all of it: what was changed amid the file is only seen then."""
        if whole:
            self._forget()
        try:
            with self._path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH)
                self._load(file)
        except FileNotFoundError:
            self._forget()

    def _load(self, file: BinaryIO) -> None:
        status = os.fstat(file.fileno())
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        if stamp == self._stamp:
            return
        if self._stamp is None or stamp[0] != self._stamp[0] or stamp[1] <= self._stamp[1]:
            self._forget()
        file.seek(self._stamp[1] if self._stamp is not None else 0)
        rows = csv.reader(io.StringIO(file.read().decode("utf-8", "replace"), newline=""))
        for delivery, number, code, lines in _runs(rows, self._columns):
            count = max(len(lines), 1)
            self._lines += count
            before = self.standing.get(code)
            if before is None or before.number <= number:
                self._standing_lines += count - (0 if before is None else before.lines)
                self.standing[code] = _Version(number, digest_of(lines) if lines else None, delivery, count)
        self._stamp = stamp

    def _forget(self) -> None:
        self.standing, self._lines, self._standing_lines, self._stamp = {}, 0, 0, None

    def _compact(self) -> None:
        """Write the journal anew with what stands, in its order."""
        with self._path.open(encoding="utf-8", newline="") as file:
            last: dict[str, list[Line]] = {}
            for delivery, number, code, lines in _runs(csv.reader(file), self._columns):
                if number >= self.standing[code].number:
                    last[code] = list(_run(self._columns, delivery, number, code, lines))
        beside = self._path.with_suffix(".new")
        with beside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self._columns)
            for run in last.values():
                writer.writerows(run)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)


def _is_torn(file: BinaryIO) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _run(columns: Sequence[str], delivery: object, number: int, code: str, lines: Sequence[Line]) -> Iterator[Line]:
    first = lines[0] if lines else ("removed", *[""] * (len(columns) - len(_FIRST) + 2))
    yield (str(delivery), str(number), code, first[0], str(max(len(lines) - 1, 0)), *first[1:])
    for line in lines[1:]:
        yield (str(delivery), str(number), code, line[0], "", *line[1:])


def _runs(rows: Iterator[list[str]], columns: Sequence[str]) -> Iterator[tuple[str, int, str, list[Line]]]:
    """Whole runs: delivery, number, code and the lines; no lines: removed."""
    head: list[str] | None = None
    lines: list[Line] = []
    left = 0
    for row in rows:
        if row[3:4] in (["entity"], ["removed"]):
            head, lines = None, []
            if len(row) == len(columns) and row[1].isdecimal() and row[4].isdecimal():
                head, left = row, int(row[4])
                if row[3] == "entity":
                    lines.append((row[3], *row[5:]))
        elif head is not None and left > 0 and len(row) == len(columns) and row[:3] == head[:3]:
            lines.append((row[3], *row[5:]))
            left -= 1
        else:
            head = None
        if head is not None and left == 0:
            yield head[0], int(head[1]), head[2], lines
            head = None
