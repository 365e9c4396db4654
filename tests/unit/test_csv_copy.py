"""The journals of a CSV target: they are written anew when most of them is past, and only then."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from grid.document import Document, Key
from sync.targets.contract import Parcel
from sync.targets.csv_file import CsvFolder

_METERS = 2_500


def meter(number: int, states: int) -> Document:
    """A meter of so many states and members: twice as many lines, and one."""
    each = [{"from": f"2026-01-{n + 1:02}T00:00:00Z", "to": None} for n in range(states)]
    body = {"states": [{**e, "accuracy_class": 1} for e in each], "members": [{**e, "unit": "A1"} for e in each]}
    return Document(Key("meter", f"M{number}"), body)


def parcel(number: int, *documents: Document) -> Parcel:
    return Parcel(UUID(int=number), number, {"type": "grid.change"}, documents)


def files_of(copy: CsvFolder, path: Path, first: int, count: int, states: int) -> set[int]:
    """The files that stood in the journal's place while one meter after another was told."""
    found = set()
    for number in range(first, first + count):
        (attempt,) = copy.send([parcel(number, meter(number % 10, states))])
        assert attempt.outcome == "delivered", attempt
        found.add(path.stat().st_ino)
    return found


def test_a_journal_of_much_that_stands_is_not_written_anew_for_each_parcel(tmp_path: Path) -> None:
    copy = CsvFolder(tmp_path)
    copy.send([parcel(1, *(meter(n, 4) for n in range(_METERS)))])
    assert len((tmp_path / "meter.csv").read_bytes().splitlines()) == _METERS * 9 + 1
    assert len(files_of(copy, tmp_path / "meter.csv", 2, 6, 4)) == 1


def test_a_journal_keeps_at_most_as_much_that_is_past_as_what_stands(tmp_path: Path) -> None:
    copy = CsvFolder(tmp_path)
    path = tmp_path / "meter.csv"
    copy.send([parcel(1, *(meter(n, 1) for n in range(_METERS)))])
    for number in range(2, 8):
        copy.send([parcel(number, *(meter(n, number % 3) for n in range(_METERS)))])
        assert len(path.read_bytes().splitlines()) <= 20_000 + _METERS * 5
    said = {key: copy.expected(meter(int(key.code[1:]), 7 % 3)) for key in list(copy.keys())}
    assert len(said) == _METERS
    assert copy.read(list(said)) == said
    assert CsvFolder(tmp_path).read(list(said)) == said
