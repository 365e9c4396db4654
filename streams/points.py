"""SCADA points from Kafka to the database, and what follows from them: stand-ins for registers, moved switches.

Points are stored durably in one transaction, with the switches that they say have moved. Stand-ins are computed after
that from what is stored, so a batch that is repeated after a crash comes to the same ones.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import structlog

from grid.arrow import InvalidBlockError, OtherRecordError
from grid.block import encode_block
from grid.errors import Reason, Rejection
from grid.point_table import PointTable
from grid.points import MINUTE_US, PointBatch, decode_points
from grid.topics import TELEMETRY_SCADA
from store.blocks import to_datetime
from store.connection import STORE_ERRORS, Connection
from store.held import HeldConnection
from store.points import (
    load_table,
    next_position,
    read_around,
    read_last,
    read_multipliers,
    read_power,
    write_reports,
)
from store.rejected import add_rejections
from store.topology import SwitchError
from streams.counters import PointCounters
from streams.join import Record
from streams.steps.point_rows import Arranged, SwitchChange, arrange, switch_changes
from streams.steps.stand_in import StandIn, Touched, Window, due_windows, hold_of, stand_ins, to_block

log = structlog.get_logger("streams.points")

#: However many unknown points are invented, the table is read again at most this often.
_REFRESH_S = 5.0
#: Windows that are computed together; bounds what is read at once when a backlog comes.
_MAX_WINDOWS = 1_000


#: A message and what it says.
Taken = tuple[Record, PointBatch]


class SwitchWriter(Protocol):
    """Writes a switch's position into the topology, inside the caller's transaction; the same again changes nothing.

    Raises `SwitchError` for a switch that the model doesn't have, or has connected to nothing.
    """

    def __call__(self, connection: Connection, switch: str, closed: bool, at: datetime) -> object:
        """From `at` on the switch is in this position, until the next position that is known."""


class TableCache:
    """The table of points, read on demand and again when a unit with points changes or a point isn't known.

    One thread asks for it while another drops it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._table: PointTable | None = None
        self._changed = False
        self._read_at = 0.0
        self._drops = 0
        self._lock = threading.Lock()

    def get(self, connection: Connection) -> PointTable:
        """All points that are known."""
        with self._lock:
            if self._table is not None:
                return self._table
            drops = self._drops
            self._changed = False
            self._read_at = self._clock()
        table = load_table(connection)
        with self._lock:
            # When anything changed meanwhile, what was read may be from before: it serves this once.
            if drops == self._drops:
                self._table = table
        return table

    def miss(self) -> bool:
        """A point wasn't in the table: drops it when it may be out of date, and says so."""
        with self._lock:
            if not self._changed and self._clock() - self._read_at < _REFRESH_S:
                return False
            self._table = None
            return True

    def drop(self, code: str) -> None:
        """A unit has changed."""
        with self._lock:
            self._drops += 1
            self._changed = True
            if self._table is not None and code in self._table.units:
                self._table = None

    def clear(self) -> None:
        """Anything may have changed."""
        with self._lock:
            self._drops += 1
            self._table = None


class PointProcessor:
    """Takes messages of points out of batches, through one database connection.

    Parameters
    ----------
    open_connection
        Opens a connection; called again after the connection was lost.
    counters
        Where it counts what it does.
    interval_s
        Length of stand-in intervals of a unit that has no blocks yet.
    switches
        Told of moved switches. None, or one that the model doesn't have = it is counted, and its last value stored.
    known_at
        With multipliers as they were believed then; None = as they are believed now.
    """

    def __init__(
        self,
        open_connection: Callable[[], Connection],
        counters: PointCounters,
        interval_s: int = 900,
        switches: SwitchWriter | None = None,
        known_at: datetime | None = None,
    ) -> None:
        self._held = HeldConnection(open_connection)
        self._interval_s = interval_s
        self._switches = switches
        self._known_at = known_at
        self.counters = counters
        self.table = TableCache()
        # By unit: the minute up to which its closed intervals were looked for.
        self._looked: dict[int, int] = {}

    def close(self) -> None:
        """Close the connection."""
        self._held.close()

    def process(self, records: Sequence[Record]) -> list[Record]:
        """Make the points of a batch durable; returns the records that aren't points, and the stand-ins as blocks.

        A record that fails for a reason of its own goes to the rejected store, alone.

        Raises
        ------
        psycopg.Error
            One of `STORE_ERRORS`, when the store can't be used or gives way: the batch may be tried again.
        """
        started = time.perf_counter()
        taken, others, rejections = _decoded(records)
        if not taken and not rejections:
            return others
        try:
            blocks = self._process(taken, rejections)
        except STORE_ERRORS:
            self._looked.clear()
            self._held.close()
            raise
        self.counters.messages += len(records) - len(others)
        self.counters.seconds += time.perf_counter() - started
        return others + blocks

    def _process(self, taken: Sequence[Taken], rejections: Sequence[Rejection]) -> list[Record]:
        try:
            return self._take(taken, rejections)
        except STORE_ERRORS:
            raise
        except Exception as error:  # one poisoned record must not stop all partitions
            log.exception("a batch of points failed; its records are tried one by one", records=len(taken))
            self._looked.clear()
            self._held.rollback()
            if len(taken) == 1:
                rejections = [*rejections, Rejection.of_failure(error, taken[0][0].topic, taken[0][0].value)]
            self._reject(rejections)
            return [] if len(taken) == 1 else [block for each in taken for block in self._process([each], ())]

    def _take(self, taken: Sequence[Taken], refused: Sequence[Rejection]) -> list[Record]:
        connection = self._held.get()
        origins, batches = [record for record, _ in taken], [batch for _, batch in taken]
        rejections = list(refused)
        table, arranged = self._arranged(connection, batches)
        connection.commit()
        for number, codes in arranged.unknown.items():
            record = origins[number]
            detail = f"{len(codes)} points are not known in unit {batches[number].unit!r}"
            rejections.append(Rejection(Reason.UNKNOWN_POINT, detail, record.topic, record.value, codes))
        with connection.transaction():
            switched = np.unique(arranged.reports.position[table.is_switch[arranged.reports.position]])
            stored = read_last(connection, table.point_id[switched].tolist())
            write_reports(connection, arranged.rows, arranged.last, table)
            for change in switch_changes(arranged.reports, table, stored):
                rejections += self._switch(connection, table, change, stored, batches, origins)
            if rejections:
                add_rejections(connection, rejections, datetime.now(UTC))
        self.counters.reports += len(arranged.reports)
        self.counters.rows_written += len(arranged.rows)
        self.counters.rejected += len(rejections)
        touched = self._touched(connection, arranged, table)
        windows = due_windows(touched, arranged.reports, table)
        blocks: list[Record] = []
        for first in range(0, len(windows), _MAX_WINDOWS):
            blocks += self._stand_ins(connection, windows[first : first + _MAX_WINDOWS], table)
        for t in touched:
            self._looked[t.unit_id] = max(self._looked.get(t.unit_id, 0), t.minute_us)
        return blocks

    def _arranged(self, connection: Connection, batches: Sequence[PointBatch]) -> tuple[PointTable, Arranged]:
        table = self.table.get(connection)
        arranged = arrange(batches, table)
        if arranged.unknown and self.table.miss():
            table = self.table.get(connection)
            arranged = arrange(batches, table)
        return table, arranged

    def _switch(
        self,
        connection: Connection,
        table: PointTable,
        change: SwitchChange,
        stored: dict[int, tuple[int, float, int]],
        batches: Sequence[PointBatch],
        origins: Sequence[Record],
    ) -> list[Rejection]:
        self.counters.switch_changes += 1
        known = table.known[change.position]
        switch = known.point.switch
        if self._switches is None or switch is None:
            self.counters.switch_changes_unwritten += 1
            return []
        try:
            with connection.transaction():
                self._switches(connection, switch, change.closed, to_datetime(change.observed_at_us))
                if change.late:
                    # A position that was confirmed since, and so wasn't told, still holds from when it was seen.
                    until_us = stored[known.point_id][0]
                    following = next_position(
                        connection, known.unit_id, known.point_id, change.observed_at_us, until_us
                    )
                    if following is not None:
                        self._switches(connection, switch, following[1] == 1, to_datetime(following[0]))
        except STORE_ERRORS:
            raise
        except SwitchError as error:  # a utility may report more switches than its model has
            log.warning("the topology doesn't have a switch that has moved", switch=switch, error=str(error))
            self.counters.switch_changes_unwritten += 1
            return []
        except Exception as error:  # the points are worth keeping, whatever the topology says
            log.exception("the topology didn't take a switch's position", switch=switch)
            self.counters.switch_changes_unwritten += 1
            origin = _origin_of(change, known.point.code, batches, origins)
            return [Rejection.of_failure(error, origin.topic, origin.value, (known.point.code,))]
        return []

    def _touched(self, connection: Connection, arranged: Arranged, table: PointTable) -> list[Touched]:
        """Minutes of the batch that may close or reopen an interval, with what is stored around them."""
        rows = arranged.rows
        least: dict[tuple[int, int], int] = {}
        for unit_id, minute_us, first_us in zip(
            rows.unit_id.tolist(), rows.minute_us.tolist(), rows.first_us.tolist(), strict=True
        ):
            # In a minute that was looked at before nothing closes, and nothing observed later has come yet.
            if unit_id in table.groups_of_unit and self._looked.get(unit_id) != minute_us:
                key = (unit_id, minute_us)
                least[key] = min(first_us, least.get(key, first_us))
        if not least:
            return []
        with connection.transaction():
            around = read_around(connection, [key[0] for key in least], [key[1] for key in least], list(least.values()))
        return [
            Touched(unit_id, minute_us, a.newest_us, a.prior_us, a.interval_s or self._interval_s)
            for (unit_id, minute_us), a in zip(least, around, strict=True)
        ]

    def _stand_ins(self, connection: Connection, windows: Sequence[Window], table: PointTable) -> list[Record]:
        spans = _spans(windows, table)
        with connection.transaction():
            found = read_power(connection, [s[0] for s in spans], [s[1] for s in spans], [s[2] for s in spans], table)
            by_unit: dict[int, list[int]] = {}
            for n in found:
                by_unit.setdefault(spans[n][0], []).append(n)
            reports = {
                unit_id: found[of[0]] if len(of) == 1 else found[of[0]].join([found[n] for n in of[1:]])
                for unit_id, of in by_unit.items()
            }
            made = stand_ins(windows, reports, table)
            keys = [(s.group.unit_id, s.group.meter, s.window.end_us) for s in made]
            multipliers = read_multipliers(connection, keys, self._known_at) if keys else {}
        return [record for i, s in enumerate(made) for record in self._record(s, multipliers.get(i))]

    def _record(self, stand_in: StandIn, multiplier: int | None) -> list[Record]:
        block = None if multiplier is None else to_block(stand_in, multiplier)
        if block is None:
            self.counters.stand_ins_without_meter += 1
            return []
        self.counters.stand_ins += 1
        return [Record(TELEMETRY_SCADA, encode_block(block), block.unit.encode())]

    def _reject(self, rejections: Sequence[Rejection]) -> None:
        if not rejections:
            return
        connection = self._held.get()
        with connection.transaction():
            add_rejections(connection, rejections, datetime.now(UTC))
        self.counters.rejected += len(rejections)


def _decoded(records: Sequence[Record]) -> tuple[list[Taken], list[Record], list[Rejection]]:
    """Messages of points, records of another kind, and broken messages of points."""
    taken, others, rejections = [], [], []
    for record in records:
        try:
            taken.append((record, decode_points(record.value)))
        except OtherRecordError:
            others.append(record)
        except InvalidBlockError as error:
            rejections.append(Rejection(Reason.INVALID_BLOCK, str(error), record.topic, record.value))
    return taken, others, rejections


def _origin_of(change: SwitchChange, code: str, batches: Sequence[PointBatch], origins: Sequence[Record]) -> Record:
    for batch, record in zip(batches, origins, strict=True):
        if change.observed_at_us in batch.observed_at_us and code in batch.codes.to_pylist():
            return record
    raise AssertionError("a change comes from a message of its batch")


def _spans(windows: Sequence[Window], table: PointTable) -> list[tuple[int, int, int]]:
    """(unit id, begin, end) in whole minutes that hold what the windows need; those that touch are one."""
    wanted = sorted(
        (
            table.groups[w.group].unit_id,
            (w.begin_us - hold_of(table.groups[w.group], table)) // MINUTE_US * MINUTE_US,
            w.end_us,
        )
        for w in windows
    )
    spans: list[tuple[int, int, int]] = []
    for unit_id, begin_us, end_us in wanted:
        if spans and spans[-1][0] == unit_id and begin_us <= spans[-1][2]:
            spans[-1] = (unit_id, spans[-1][1], max(spans[-1][2], end_us))
        else:
            spans.append((unit_id, begin_us, end_us))
    return spans
