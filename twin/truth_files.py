"""The truth folder: what truly flowed and happened in a city, as files beside what its meters said.

===========================  =====================================================================================
``manifest.json``            whose truth it is; written last, so a folder without it is not whole
``units.parquet``            energies of areas and feeders by interval
``events.parquet``           what happened
``associations.parquet``     where each meter truly hangs, and where the records say it does
``inconsistencies.parquet``  what was made wrong in the source systems' extracts; only where extracts were made
===========================  =====================================================================================

The same content gives the same bytes, however it was cut into calls (with one release of PyArrow, whose name Parquet
carries). Times are UTC.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from twin.events import Event, EventKind
from twin.truth_tables import GROUP, INSTANT, WORD, TruthError, make_writer, open_table, write_table

FORMAT = "meterline-truth/1"
MANIFEST, UNITS, EVENTS = "manifest.json", "units.parquet", "events.parquet"
ASSOCIATIONS, INCONSISTENCIES = "associations.parquet", "inconsistencies.parquet"

#: Share of what flows by which an interval's energies may fail to close, and the least that is asked for.
_CLOSES, _CLOSES_WH = 1e-6, 1e-3

UNIT_SCHEMA = pa.schema(
    [
        pa.field("unit", WORD, nullable=False),
        pa.field("observed_at", INSTANT, nullable=False),
        pa.field("interval_s", pa.int32(), nullable=False),
        *(
            pa.field(f"{name}_wh", pa.float64(), nullable=False)
            for name in ("import", "export", "sold", "generation", "technical", "unmetered")
        ),
    ]
)
EVENT_SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("kind", WORD, nullable=False),
        pa.field("entity", pa.string(), nullable=False),
        pa.field("begin_at", INSTANT, nullable=False),
        pa.field("end_at", INSTANT),
        pa.field("size", pa.float64(), nullable=False),
        pa.field("other", pa.string(), nullable=False),
        pa.field("to_be_found", pa.bool_(), nullable=False),
    ]
)
ASSOCIATION_SCHEMA = pa.schema(
    [
        pa.field("meter", pa.string(), nullable=False),
        pa.field("true_unit", WORD, nullable=False),
        pa.field("recorded_unit", WORD),
        pa.field("true_phase", WORD),
        pa.field("recorded_phase", WORD),
        pa.field("true_multiplier", pa.int32(), nullable=False),
        pa.field("recorded_multiplier", pa.int32()),
    ]
)
#: What scoring reads of it; `field`, `true_value` and `given_value` may be null.
INCONSISTENCY_SCHEMA = pa.schema(
    [
        pa.field(name, pa.string(), nullable=name in {"field", "true_value", "given_value"})
        for name in ("system", "table", "key", "code", "kind", "field", "true_value", "given_value")
    ]
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Whose truth it is: that of `city` by `seed`, from `begin_s` until `end_s`, seconds since 1970 UTC."""

    city: str
    seed: int
    begin_s: int
    end_s: int
    interval_s: int
    counts: Mapping[str, int]
    """How many there are, such as ``{"meters": 35675, "units": 448}``."""


@dataclass(frozen=True, slots=True, eq=False)
class UnitEnergies:
    """What truly flowed in units, watt-hours; arrays of shape (intervals, units) or (rows,), none negative but
    `unmetered_wh`.

    ``import_wh - export_wh = sold_wh - generation_wh + technical_wh + unmetered_wh``

    Attributes
    ----------
    import_wh, export_wh
        Through the gateway: at an area's transformer, at a feeder's head. True also where that meter errs.
    sold_wh, generation_wh
        What customers take and generators give, as far as registers count it: before their class error and rounding,
        after frauds and faults at them. Of a feeder, what its areas and dedicated customers took and gave back.
    technical_wh
        Lines of an area; medium-voltage lines and transformers of a feeder.
    unmetered_wh
        What is taken and no register of the unit counts: fraud of every kind, and what a fault at a customer's meter
        leaves out; negative where such a fault counts more than is taken.
    """

    import_wh: NDArray[np.float64]
    export_wh: NDArray[np.float64]
    sold_wh: NDArray[np.float64]
    generation_wh: NDArray[np.float64]
    technical_wh: NDArray[np.float64]
    unmetered_wh: NDArray[np.float64]

    @property
    def loss_wh(self) -> NDArray[np.float64]:
        """True loss: technical and unmetered."""
        return self.technical_wh + self.unmetered_wh

    @property
    def supply_wh(self) -> NDArray[np.float64]:
        """True inflow, of which a loss rate is a share: import and generation."""
        return self.import_wh + self.generation_wh


@dataclass(frozen=True, slots=True, eq=False)
class UnitRows:
    """A piece of the units' truth, one row a unit and interval; arrays of shape (rows,)."""

    units: tuple[str, ...]
    unit: NDArray[np.int64]
    """Position in `units`."""
    end_s: NDArray[np.int64]
    interval_s: NDArray[np.int64]
    energies: UnitEnergies


@dataclass(frozen=True, slots=True)
class Associations:
    """Where each meter truly hangs and where the records say it does; a row a meter. None or 0 = not known."""

    meter: Sequence[str]
    true_unit: Sequence[str]
    recorded_unit: Sequence[str | None]
    true_phase: Sequence[str | None]
    recorded_phase: Sequence[str | None]
    true_multiplier: Sequence[int]
    recorded_multiplier: Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """A fault that was put into a source system's extract: row `key` of `table`, about the entity `code`."""

    system: str
    table: str
    key: str
    code: str
    kind: str
    field: str | None
    true_value: str | None
    given_value: str | None


class UnitTruthWriter:
    """Writes ``units.parquet`` interval by interval, in bounded memory.

    Parameters
    ----------
    folder
        Made where it isn't there.
    units
        Codes, each once: the axis of the arrays that follow.
    """

    def __init__(self, folder: Path, units: Sequence[str]) -> None:
        if len(set(units)) != len(units):
            raise ValueError("a unit stands twice")
        folder.mkdir(parents=True, exist_ok=True)
        self._units = tuple(units)
        self._words = pa.array(self._units, pa.string())
        self._writer = make_writer(folder / UNITS, UNIT_SCHEMA)
        self._held: list[list[NDArray[Any]]] = []
        self._rows = 0
        self._last_s: int | None = None

    def write(self, ends_s: NDArray[np.int64], interval_s: int, energies: UnitEnergies) -> None:
        """Append intervals of one length.

        Parameters
        ----------
        ends_s
            Ends, seconds since 1970 UTC, rising and after all before; shape (intervals,).
        energies
            Of shape (intervals, units).

        Raises
        ------
        ValueError
            When shapes disagree, intervals come out of order, or energies don't close to a millionth of what flows.
        """
        arrays = [getattr(energies, name) for name in UNIT_SCHEMA.names[3:]]
        shape = (len(ends_s), len(self._units))
        if any(a.shape != shape for a in arrays):
            raise ValueError(f"arrays are not of shape {shape}")
        if not len(ends_s):
            return
        if np.any(np.diff(ends_s) <= 0) or (self._last_s is not None and ends_s[0] <= self._last_s):
            raise ValueError("intervals must follow each other")
        self._check_closing(ends_s, energies)
        self._last_s = int(ends_s[-1])
        unit = np.tile(np.arange(shape[1], dtype=np.int32), shape[0])
        ends_us = np.repeat(np.asarray(ends_s, np.int64) * 1_000_000, shape[1])
        length = np.full(len(unit), interval_s, np.int32)
        self._held.append([unit, ends_us, length, *(np.ascontiguousarray(a, np.float64).ravel() for a in arrays)])
        self._rows += len(unit)
        if self._rows >= GROUP:
            self._flush(whole=True)

    def _check_closing(self, ends_s: NDArray[np.int64], energies: UnitEnergies) -> None:
        e = energies
        missing = e.import_wh - e.export_wh - (e.sold_wh - e.generation_wh + e.loss_wh)
        flows = e.import_wh + e.export_wh + e.sold_wh + e.generation_wh
        # Not "greater": NaN doesn't close either.
        open_ = ~(np.abs(missing) <= _CLOSES * np.abs(flows) + _CLOSES_WH)
        if np.any(open_):
            i, u = np.argwhere(open_)[0]
            raise ValueError(
                f"the energies of {self._units[u]} at {_text(int(ends_s[i]))} don't close: {missing[i, u]:.6g} Wh"
            )

    def _flush(self, *, whole: bool) -> None:
        """Write what is held; `whole` keeps back what doesn't fill a row group."""
        columns = [np.concatenate(parts) for parts in zip(*self._held, strict=True)]
        stop = self._rows - self._rows % GROUP if whole else self._rows
        for first in range(0, stop, GROUP):
            unit, ends_us, length, *energies = (column[first : min(first + GROUP, stop)] for column in columns)
            arrays = [
                pa.DictionaryArray.from_arrays(pa.array(unit), self._words),
                pa.array(ends_us).cast(INSTANT),
                *(pa.array(column) for column in (length, *energies)),
            ]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=UNIT_SCHEMA), row_group_size=GROUP)
        self._held = [[column[stop:] for column in columns]]
        self._rows -= stop

    def close(self) -> None:
        """Write what is left and end the file."""
        if self._rows:
            self._flush(whole=False)
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def read_unit_rows(folder: Path, begin_s: int | None = None, end_s: int | None = None) -> Iterator[UnitRows]:
    """Energies of the intervals that lie within begin and end, piece by piece, as the file has them."""
    file = open_table(folder / UNITS, UNIT_SCHEMA)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group)
        words = table["unit"].combine_chunks().cast(WORD)
        at_us = table["observed_at"].cast(INSTANT).cast(pa.int64()).to_numpy()
        ends_s, length = at_us // 1_000_000, table["interval_s"].to_numpy().astype(np.int64)
        inside = np.ones(len(ends_s), np.bool_)
        if begin_s is not None:
            inside &= ends_s - length >= begin_s
        if end_s is not None:
            inside &= ends_s <= end_s
        if not inside.any():
            continue
        energies = UnitEnergies(*(table[f.name].to_numpy()[inside] for f in list(UNIT_SCHEMA)[3:]))
        unit = words.indices.to_numpy().astype(np.int64)[inside]
        yield UnitRows(tuple(words.dictionary.to_pylist()), unit, ends_s[inside], length[inside], energies)


def write_events(events: Iterable[Event], folder: Path) -> None:
    """Write ``events.parquet``, by begin and number."""
    rows = [
        {
            "number": e.number,
            "kind": e.kind.value,
            "entity": e.entity,
            "begin_at": e.begin_s * 1_000_000,
            "end_at": None if e.end_s is None else e.end_s * 1_000_000,
            "size": e.size,
            "other": e.other,
            "to_be_found": e.is_to_be_found,
        }
        for e in sorted(events)
    ]
    write_table(folder / EVENTS, EVENT_SCHEMA, {f.name: [row[f.name] for row in rows] for f in EVENT_SCHEMA})


def read_events(folder: Path) -> tuple[Event, ...]:
    """What `write_events` wrote."""
    rows = open_table(folder / EVENTS, EVENT_SCHEMA).read().to_pylist()
    try:
        return tuple(
            Event(
                begin_s=_seconds(row["begin_at"]),
                number=row["number"],
                kind=EventKind(row["kind"]),
                entity=row["entity"],
                end_s=None if row["end_at"] is None else _seconds(row["end_at"]),
                size=row["size"],
                other=row["other"],
            )
            for row in rows
        )
    except ValueError as error:
        raise TruthError(f"{folder / EVENTS}: {error}") from None


def write_associations(associations: Associations, folder: Path) -> None:
    """Write ``associations.parquet`` in the order given."""
    columns = {name: getattr(associations, name) for name in ASSOCIATION_SCHEMA.names}
    write_table(folder / ASSOCIATIONS, ASSOCIATION_SCHEMA, columns)


def read_associations(folder: Path) -> Associations:
    """What `write_associations` wrote."""
    table = open_table(folder / ASSOCIATIONS, ASSOCIATION_SCHEMA).read()
    return Associations(**{f.name: tuple(table[f.name].to_pylist()) for f in ASSOCIATION_SCHEMA})


def write_inconsistencies(inconsistencies: Iterable[Inconsistency], folder: Path) -> None:
    """Write ``inconsistencies.parquet`` in the order given."""
    rows = list(inconsistencies)
    columns = {f.name: [getattr(row, f.name) for row in rows] for f in INCONSISTENCY_SCHEMA}
    write_table(folder / INCONSISTENCIES, INCONSISTENCY_SCHEMA, columns)


def read_inconsistencies(folder: Path) -> tuple[Inconsistency, ...] | None:
    """What was made wrong in the extracts; None where the folder doesn't say."""
    if not (folder / INCONSISTENCIES).is_file():
        return None
    table = open_table(folder / INCONSISTENCIES, INCONSISTENCY_SCHEMA).read().select(INCONSISTENCY_SCHEMA.names)
    return tuple(Inconsistency(*row.values()) for row in table.cast(INCONSISTENCY_SCHEMA).to_pylist())


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write ``manifest.json``; the last of the files."""
    values = {
        "format": FORMAT,
        "city": manifest.city,
        "seed": manifest.seed,
        "from": _text(manifest.begin_s),
        "to": _text(manifest.end_s),
        "interval_s": manifest.interval_s,
        "counts": dict(sorted(manifest.counts.items())),
    }
    (folder / MANIFEST).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """What `write_manifest` wrote.

    Raises
    ------
    TruthError
        When there is no such folder, or it holds no truth.
    """
    if not folder.is_dir():
        raise TruthError(f"there is no folder {folder}")
    path = folder / MANIFEST
    if not path.is_file():
        raise TruthError(f"{folder} is no truth folder: it has no {MANIFEST}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != FORMAT:
            raise TruthError(f"{path}: its format is {values['format']}, not {FORMAT}")
        begin_s, end_s = (_seconds(datetime.fromisoformat(values[name])) for name in ("from", "to"))
        counts = {str(name): int(count) for name, count in values["counts"].items()}
        return Manifest(str(values["city"]), int(values["seed"]), begin_s, end_s, int(values["interval_s"]), counts)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
        if isinstance(error, TruthError):
            raise
        raise TruthError(f"{path} is no manifest of a truth folder: {error!r}") from None


def _seconds(at: datetime) -> int:
    return int(at.timestamp())


def _text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")
