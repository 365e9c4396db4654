"""Days and months of units: what is read to sum them up, what is written, what is asked of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grid.block import DAYS_S
from grid.loss_class import LossClass, LossReason
from grid.model import UnitKind
from grid.period import (
    ENERGIES,
    JUDGED,
    JUDGED_OF,
    PIECE_COLUMNS,
    TECHNICAL,
    UNPUBLISHED_US,
    PeriodKeys,
    PeriodKind,
    PeriodRows,
    Pieces,
    day_after,
    judged_of,
    midnight_us,
)
from grid.rows import NEVER_US, Status
from store.blocks import to_datetime
from store.connection import ArrayLoader, Connection
from store.horizon import read_horizon
from store.sql import load_queries

_SQL = load_queries("periods")

#: A unit and the first local day of its period.
Place = tuple[int, date]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far interval rows have been taken, and how far they may be now: all before is committed."""

    through: datetime
    horizon: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """Interval rows that were recorded up to an instant."""

    until: datetime
    rows: int


def begin_refresh(connection: Connection) -> Progress | None:
    """Take the lock of the periods, for the transaction; None while another has it."""
    row = connection.execute(_SQL["lock"]).fetchone()
    return None if row is None else Progress(row[0], read_horizon(connection))


def next_batch(connection: Connection, progress: Progress, limit: int) -> Batch | None:
    """About `limit` of the interval rows that have changed since, the oldest change first; None without any."""
    arguments = {"through": progress.through, "horizon": progress.horizon, "limit": limit}
    row = connection.execute(_SQL["batch"], arguments).fetchone()
    return None if row is None or row[0] is None else Batch(row[0], row[1])


def changed_days(connection: Connection, progress: Progress, until: datetime, zone: str) -> list[Place]:
    """Days of the batch, by day and unit."""
    arguments = {"through": progress.through, "until": until, "zone": zone}
    return connection.execute(_SQL["changed"], arguments).fetchall()


def due_periods(connection: Connection, until: datetime, limit: int) -> list[tuple[int, PeriodKind, date]]:
    """Unit, kind and first day of periods of which a revision was due before `until`, the oldest first."""
    rows = connection.execute(_SQL["due"], {"until": until, "limit": limit})
    return [(unit_id, PeriodKind(period), first) for unit_id, period, first in rows]


def end_refresh(connection: Connection, until: datetime) -> None:
    """Put down that interval rows were taken up to an instant."""
    connection.execute(_SQL["advance"], {"until": until})


def make_keys(connection: Connection, kind: PeriodKind, places: Sequence[Place], zone: tzinfo) -> PeriodKeys:
    """The periods of known units among `places`, with what is to be known of the units."""
    unit_ids = sorted({unit_id for unit_id, _ in places})
    units = {row[0]: (UnitKind(row[1]), row[2]) for row in connection.execute(_SQL["units"], {"unit_ids": unit_ids})}
    known = [(unit_id, first) for unit_id, first in places if unit_id in units]
    bounds = {
        first: (midnight_us(first, zone), midnight_us(day_after(kind, first), zone)) for first in {f for _, f in known}
    }
    return PeriodKeys(
        kind=kind,
        unit_id=np.array([unit_id for unit_id, _ in known], np.int32),
        unit_kind=[units[unit_id][0] for unit_id, _ in known],
        medium_voltage_v=[units[unit_id][1] for unit_id, _ in known],
        first=[first for _, first in known],
        begin_us=np.array([bounds[first][0] for _, first in known], np.int64),
        end_us=np.array([bounds[first][1] for _, first in known], np.int64),
    )


#: What both statements of pieces end with.
_SUMMED = (*ENERGIES, *TECHNICAL, "sigma_wh", "systematic_sigma_wh", "ends_sigma_wh", "export_sigma_wh", "reasons")
_KEY = ("period", "end_us", "length_s", "revision", "final", "published_us")
_OF_INTERVALS = (*_KEY, "computable", *_SUMMED)
_OF_DAYS = (
    *(*_KEY, "covered_s", "intervals", "from_us", "to_us", "opening_sigma_wh", "closing_sigma_wh"),
    *(*JUDGED, "judged_random_sigma_wh", *_SUMMED),
)


def read_pieces(connection: Connection, keys: PeriodKeys) -> Pieces:
    """All published versions of what the periods are summed from: intervals of days, days of months."""
    if not len(keys):
        return Pieces.none()
    of_intervals = keys.kind is PeriodKind.DAY
    arguments: dict[str, object] = {"unit_ids": keys.unit_id.tolist()}
    if of_intervals:
        begins, ends = ([to_datetime(us) for us in column.tolist()] for column in (keys.begin_us, keys.end_us))
        arguments |= {"begins": begins, "ends": ends, "first": min(begins), "last": max(ends)}
        columns = _fetch(connection, "intervals", arguments, _OF_INTERVALS)
    else:
        arguments["first_days"] = list(keys.first)
        arguments["next_days"] = [day_after(keys.kind, first) for first in keys.first]
        arguments["unpublished"] = UNPUBLISHED_US
        columns = _fetch(connection, "days", arguments, _OF_DAYS)
    length_s = columns["length_s"]
    columns["begin_us"] = columns["end_us"] - length_s * 1_000_000
    columns["whole"] = (length_s >= DAYS_S[0]) & of_intervals
    if of_intervals:
        columns["covered_s"] = length_s * columns["computable"]
        columns["intervals"] = columns["computable"]
        columns["from_us"], columns["to_us"] = columns["begin_us"], columns["end_us"]
        # What neighbours give and take is made half at either end.
        half = columns["ends_sigma_wh"] / np.sqrt(2.0)
        columns["opening_sigma_wh"] = columns["closing_sigma_wh"] = half
        columns["reasons"] |= np.where(columns["whole"], int(LossReason.REGISTERS), 0)
        columns |= judged_of(**{name: columns[name] for name in JUDGED_OF})
    order = np.lexsort(tuple(columns[name] for name in ("revision", "length_s", "end_us", "period")))
    return Pieces(**{name: columns[name][order].astype(dtype, copy=False) for name, dtype in PIECE_COLUMNS.items()})


def _fetch(
    connection: Connection, statement: str, arguments: dict[str, object], names: Sequence[str]
) -> dict[str, NDArray[Any]]:
    """Columns of a statement that yields plain numbers, as arrays: without a Python object a value."""
    arrays = ", ".join(f"array_agg({name})" for name in names)
    query = f"select {arrays} from ({_SQL[statement]}) v ({', '.join(names)})".encode()  # noqa: S608  # our own names
    with connection.cursor(binary=True) as cursor:
        cursor.adapters.register_loader(cursor.adapters.types["float8"].array_oid, ArrayLoader)
        row = cursor.execute(query, arguments).fetchone()
    found = (
        np.empty(0, PIECE_COLUMNS.get(name, np.int64)) if a is None else a
        for name, a in zip(names, row or (), strict=True)
    )
    return dict(zip(names, found, strict=True))


_CLASS = {c.value: c.name.lower() for c in LossClass}
_STATUS = {s.value: s.name.lower() for s in Status}


def write_periods(connection: Connection, keys: PeriodKeys, rows: PeriodRows) -> int:
    """Make these the revisions of the periods; returns how many rows were new or other than before."""
    if not len(rows):
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_SQL["stage"])
        cursor.execute(_SQL["empty"])
        with cursor.copy(_SQL["copy"]) as copy:
            for row in _plain(keys, rows):
                copy.write_row(row)
        removed = cursor.execute(_SQL["remove"]).rowcount
        return removed + cursor.execute(_SQL["write"]).rowcount


def _plain(keys: PeriodKeys, rows: PeriodRows) -> Iterator[tuple[object, ...]]:
    f = rows.figures
    expected_s = ((keys.end_us - keys.begin_us) // 1_000_000).tolist()
    columns: list[Iterable[object]] = [
        f["covered_s"].tolist(),
        f["intervals"].tolist(),
        map(_instant, f["from_us"].tolist()),
        map(_instant, f["to_us"].tolist()),
        *(f[name].tolist() for name in ENERGIES),
        *(map(_known, f[name].tolist()) for name in TECHNICAL),
        *(f[name].tolist() for name in ("systematic_sigma_wh", "sigma_wh", "ends_sigma_wh")),
        *(f[name].tolist() for name in ("opening_sigma_wh", "closing_sigma_wh", "export_sigma_wh")),
        *(f[name].tolist() for name in (*JUDGED, "judged_random_sigma_wh", "computable")),
        map(_CLASS.__getitem__, f["loss_class"].tolist()),
        f["reasons"].tolist(),
        map(_STATUS.__getitem__, rows.status.tolist()),
        *(map(_instant, column.tolist()) for column in (rows.published_us, rows.until_us, rows.due_us)),
    ]
    for p, revision, *row in zip(rows.period.tolist(), rows.revision.tolist(), *columns, strict=True):
        begin, end = to_datetime(int(keys.begin_us[p])), to_datetime(int(keys.end_us[p]))
        yield (int(keys.unit_id[p]), keys.kind.value, keys.first[p], revision, begin, end, expected_s[p], *row)


def _instant(us: int) -> datetime | None:
    return None if us == NEVER_US else to_datetime(us)


def _known(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124  # NaN


@dataclass(frozen=True, slots=True)
class Period:
    """A unit's day or month as it stands; for the figures see docs/reference/database.md."""

    unit: str
    unit_kind: str
    unit_name: str
    substation: str | None
    medium_voltage_v: int | None
    period: str
    first_day: date
    revision: int
    expected_s: int
    covered_s: int
    intervals: int
    inflow_wh: int
    outflow_wh: int
    loss_wh: int
    members_loss_wh: int
    uncontracted_wh: int
    generation_wh: int
    estimated_wh: int
    estimated_share: float | None
    technical_wh: float | None
    averaging_wh: float | None
    technical_sigma_wh: float | None
    sigma_wh: float
    systematic_sigma_wh: float
    ends_sigma_wh: float
    judged_s: int
    judged_inflow_wh: int
    judged_loss_wh: int
    judged_random_sigma_wh: float
    computable: bool
    loss_class: str
    reasons: int
    status: str
    published_at: datetime | None

    @property
    def loss_rate(self) -> float | None:
        """Loss over inflow; None where it may not be told."""
        return self.loss_wh / self.inflow_wh if self.computable and self.inflow_wh > 0 else None


def read_periods(
    connection: Connection,
    period: PeriodKind,
    first: date,
    last: date,
    kind: UnitKind | None = None,
    units: Sequence[str] | None = None,
) -> list[Period]:
    """Periods whose first day lies from `first` to `last`, both included, by day and unit."""
    arguments = {"period": period.value, "first": first, "last": last, "kind": kind and kind.value}
    rows = connection.execute(_SQL["read"], {**arguments, "units": None if units is None else list(units)})
    return [Period(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Rates:
    """How many units of a kind and group are qualified (合格) in a period.

    Attributes
    ----------
    member
        Code of the substation or organisation; empty where units aren't grouped, or have none.
    assessed
        Units that there were.
    computable
        Those of which a class could be told; qualified, high and negative add up to it.
    """

    first_day: date
    unit_kind: str
    member: str
    assessed: int
    computable: int
    qualified: int
    high: int
    negative: int

    @property
    def computable_rate(self) -> float | None:
        """Part of the assessed ones of which a class could be told (可算率)."""
        return self.computable / self.assessed if self.assessed else None

    @property
    def qualified_rate(self) -> float | None:
        """Part of the assessed ones that are normal (合格率): what can't be computed isn't qualified."""
        return self.qualified / self.assessed if self.assessed else None

    @property
    def abnormal_rate(self) -> float | None:
        """Part of the computable ones that are high or negative (异常率)."""
        return (self.high + self.negative) / self.computable if self.computable else None


def read_rates(
    connection: Connection, period: PeriodKind, first: date, last: date, by: str, kind: UnitKind | None = None
) -> list[Rates]:
    """Rates of each period, kind of unit and group; `by` is all, substation or organisation.

    An organisation is the one that answers for the unit's operation.
    """
    arguments = {"period": period.value, "first": first, "last": last, "by": by, "kind": kind and kind.value}
    return [Rates(*row) for row in connection.execute(_SQL["rates"], arguments)]
