"""Takes what a source system says: from its file, table or topic into records as received."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import msgspec

from store.connection import Connection, allow_long
from store.sync_records import (
    Origin,
    Refused,
    StagedRecord,
    TakeCounts,
    drop_repeated,
    is_last_taken,
    repeated_keys,
    stage,
    write_staged,
)
from sync.sources.cim.extract import read_cim
from sync.sources.contract import RawRecord, Refusal, SourceError, Taken
from sync.sources.csv_file import read_csv
from sync.sources.excel_file import read_excel
from sync.sources.geojson_file import read_geojson

#: Readers of files by the ends of their names; a dataset is named as its file.
READERS: dict[str, Callable[[Path], Taken]] = {
    ".csv": lambda path: read_csv(path, path.stem),
    ".geojson": lambda path: read_geojson(path, path.stem),
    ".xlsx": lambda path: read_excel(path, path.stem),
    ".xml": read_cim,
}
_CHUNK = 1 << 20
_ENCODER = msgspec.json.Encoder(order="sorted")


class RefusedError(SourceError):
    """A source that was refused whole; `refusals` say why, with line and column."""

    def __init__(self, origin: str, refusals: Sequence[Refused]) -> None:
        first = refusals[0]
        place = f"line {first.line}" + ("" if first.column is None else f", column {first.column}")
        more = f" (and {len(refusals) - 1} more)" if len(refusals) > 1 else ""
        super().__init__(f"{origin}: {place}: {first.reason}{more}: nothing of it was taken")
        self.refusals = tuple(refusals)


@dataclass(frozen=True, slots=True)
class TakeRules:
    """How records are taken.

    Attributes
    ----------
    in_part
        What can't be read is listed and the rest taken; otherwise one such line refuses the whole.
    max_refused
        More of them refuse the whole even so.
    withheld
        Columns by dataset that nothing here needs: a keyed hash stands in their place, so that a change shows.
    secret
        Of that hash.
    """

    in_part: bool = False
    max_refused: int = 1_000
    withheld: dict[str, frozenset[str]] = field(default_factory=dict)
    secret: bytes = b""


def find_files(folder: Path) -> list[Path]:
    """The files of a drop folder that can be taken, in order of their names."""
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in READERS)


def take_file(connection: Connection, path: Path, system: str, rules: TakeRules, at: datetime) -> TakeCounts:
    """Take a whole extract, in one transaction. The same file again changes nothing.

    Raises
    ------
    SourceError
        Nothing of it was taken; the message has line and column.
    OSError
        The file can't be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise SourceError(f"{path}: {path.suffix or 'a file without a suffix'} isn't taken: {', '.join(READERS)} are")
    origin = Origin(system, path.name, _digest(path), whole=True)
    with connection.transaction():
        if is_last_taken(connection, origin):
            return TakeCounts(None, 0, 0, 0, 0, 0)
        described = [path.stem] if path.suffix.lower() in {".csv", ".geojson"} else []
        return take_records(connection, reader(path), origin, rules, at, described)


def take_records(
    connection: Connection, taken: Taken, origin: Origin, rules: TakeRules, at: datetime, described: Sequence[str] = ()
) -> TakeCounts:
    """Take records inside the caller's transaction.

    Parameters
    ----------
    described
        Datasets that a whole origin describes even where it has no record of them.

    Raises
    ------
    SourceError
        Nothing was written.
    """
    # A whole system's extract takes longer than the role's statements may.
    allow_long(connection)
    refused: list[Refused] = []
    datasets = set(described)
    records = stage(connection, _staged(taken, origin, rules, refused, datasets))
    # What couldn't be read may be any record: then none has gone because it isn't there.
    described_whole = sorted(datasets) if origin.whole and not refused else ()
    again = repeated_keys(connection)
    # Of a stream of changes the last word of a key holds; in an extract a key can't be there twice.
    if again and origin.whole:
        for dataset, key, line in again:
            _refuse(Refused(line, None, f"key {key} comes again in {dataset}", key), origin, rules, refused)
    if again:
        drop_repeated(connection)
    return write_staged(connection, origin, described_whole, records, refused, at)


def _staged(
    taken: Taken, origin: Origin, rules: TakeRules, refused: list[Refused], datasets: set[str]
) -> Iterator[StagedRecord]:
    for item in taken:
        if isinstance(item, Refusal):
            _refuse(Refused(item.line, item.column, item.reason, item.original), origin, rules, refused)
            continue
        datasets.add(item.dataset)
        record = _encoded(item, rules)
        if "\\u0000" in record.body:
            _refuse(Refused(item.line, None, "a NUL character", item.key), origin, rules, refused)
            continue
        yield record


def _encoded(record: RawRecord, rules: TakeRules) -> StagedRecord:
    body = record.body
    encoded = _ENCODER.encode(body)
    whole = hashlib.blake2b(encoded, digest_size=16, key=rules.secret).digest()
    withheld = rules.withheld.get(record.dataset)
    if withheld:
        body = {name: _veiled(value, rules.secret) if name in withheld else value for name, value in body.items()}
        encoded = msgspec.json.encode(body)
    return StagedRecord(record.dataset, record.key, record.line, record.removed, encoded.decode(), whole, record.at_us)


def _veiled(value: object, secret: bytes) -> str | None:
    if value is None:
        return None
    return hashlib.blake2b(str(value).encode(), digest_size=8, key=secret).hexdigest()


def _refuse(refusal: Refused, origin: Origin, rules: TakeRules, refused: list[Refused]) -> None:
    # What is refused may be anything, and is listed even so: the database keeps no NUL.
    kept = replace(refusal, reason=refusal.reason.replace("\0", "?"), original=refusal.original.replace("\0", "?"))
    refused.append(kept)
    if not rules.in_part or len(refused) > rules.max_refused:
        raise RefusedError(origin.name, refused)


def _digest(path: Path) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.digest()
