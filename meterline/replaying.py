"""Replays files or stored blocks into a database: sources, target and model joined, with no broker."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import psycopg

from alerts.service import AlertSettings
from grid.errors import Rejection
from grid.limits import Limits
from grid.loss_rules import LossRules
from grid.ports import Directory
from grid.resettle import Resettle
from grid.topics import TELEMETRY_EVENT, TELEMETRY_REJECTED
from grid.unit_energy import UnitEnergies
from ingest.dispatch import take_message
from ingest.sources.files import read_messages
from ingest.topics import record_of
from meterline.embedded import embedded_database
from meterline.model_file import read_model
from meterline.points_file import read_points
from meterline.replay_moments import Moments, read_changes
from store.connection import Connection, connect
from store.directory import StoredDirectory
from store.migrate import migrate_database
from store.model_copy import ModelCopyError, copy_model, has_model, is_migrated
from store.points import load_points
from store.replaying import StoredDues, identity, read_hierarchy, read_span
from streams.counters import Counters, PointCounters
from streams.events import EventProcessor
from streams.join import Record
from streams.ordering import in_window, sorted_by_receipt
from streams.points import PointProcessor
from streams.processor import Processor
from streams.refusals import RefusalWriter
from streams.replay import Received, Replay
from streams.spans import said_again
from streams.view_cache import ViewCache
from sync.load import load_grid

_REFUSALS = 100


class ReplayError(RuntimeError):
    """The replay can't be done as it was asked for; the message says why."""


@dataclass(frozen=True, slots=True)
class Span:
    """Stored intervals within [from_, to], of some units or of all."""

    from_: datetime
    to: datetime
    units: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to replay and how.

    Attributes
    ----------
    files, span
        One of them: files in this order, or a span of the source database's blocks.
    sort
        Sort the input by receipt, through temporary files; else it must be in order but for a window.
    until
        Publish what is due before this instant; None = now.
    known_at
        With the model as it was believed then; None = as it is believed now.
    batch
        Messages that are settled at once.
    changes
        File of changes of the grid model, each made when the replayed time comes to the instant from which it holds.
    alerts
        Look for alerts as of the replayed time; None = none are looked for.
    limits, rules
        When figures are published, and what losses are judged by; `rules.zone` says where days begin.
    stand_in_interval_s
        Length of stand-in intervals of a unit that has no blocks yet.
    """

    files: tuple[Path, ...] = ()
    span: Span | None = None
    sort: bool = False
    until: datetime | None = None
    known_at: datetime | None = None
    batch: int = 1_000
    changes: Path | None = None
    alerts: AlertSettings | None = None
    limits: Limits = field(default_factory=Limits)
    rules: LossRules = field(default_factory=LossRules)
    stand_in_interval_s: int = 900


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay has done.

    Attributes
    ----------
    complete
        Whether it came to its end: the same again goes on where it was stopped.
    messages, readings
        Taken; a reading is what one message says of one meter.
    rows, revisions
        Written, and results published by them; both 0 for what was there already.
    rejected
        Inputs, or parts of them, that were not taken.
    changes, alerts
        Changes of the grid model that were made, and alerts that were opened.
    until
        Before when what was due is published.
    """

    complete: bool
    messages: int
    readings: int
    rows: int
    revisions: int
    rejected: int
    changes: int
    alerts: int
    until: datetime | None
    seconds: float
    readings_per_s: float


@contextmanager
def target_database(
    database: str | None, embedded: Path | None, configured: Callable[[], str]
) -> Iterator[Callable[[], Connection]]:
    """Opens connections to the database that is written, with our tables in it.

    Parameters
    ----------
    database, embedded
        At most one of them: a connection string, or the folder of an embedded database.
    configured
        Connection string of the configured database, where none of them is given.
    """
    opened: AbstractContextManager[str] = nullcontext(database or "")
    if embedded is not None:
        opened = embedded_database(embedded)
    elif database is None:
        opened = nullcontext(configured())
    with opened as conninfo:
        open_connection = partial(connect, conninfo, "meterline-replay")
        if embedded is not None:
            migrate_database(conninfo)
        else:
            with open_connection() as connection:
                migrated = is_migrated(connection)
            if not migrated:
                migrate_database(conninfo)
        yield open_connection


def provide_model(
    open_target: Callable[[], Connection], model: Path | None, open_source: Callable[[], Connection] | None
) -> str:
    """See to it that the target has a grid model; says where it has it from.

    A model that is there stays as it is, unless a file is given.

    Raises
    ------
    ReplayError
        When there is none to be had.
    """
    with open_target() as target:
        target.autocommit = True
        if model is not None:
            load_grid(target, read_model(model))
            return "file"
        if has_model(target):
            return "target"
        if open_source is None:
            raise ReplayError("the database has no grid model: name one with --model")
        with open_source() as source:
            source.autocommit = True
            try:
                copy_model(source, target)
            except psycopg.errors.InsufficientPrivilege:
                raise ReplayError(
                    "the database has no grid model, and only its owner may copy one into it: "
                    "name the owner in --database, or load a model"
                ) from None
            except ModelCopyError as error:
                raise ReplayError(str(error)) from None
        return "source"


def provide_points(open_target: Callable[[], Connection], points: Path) -> None:
    """Make the target know the SCADA points of a file; the same again changes nothing."""
    with open_target() as target:
        load_points(target, read_points(points))


def same_database(open_one: Callable[[], Connection], open_other: Callable[[], Connection]) -> bool:
    """Whether both lead to one database."""
    with open_one() as one, open_other() as other:
        return identity(one) == identity(other)


def replay(
    options: ReplayOptions,
    open_target: Callable[[], Connection],
    open_source: Callable[[], Connection] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    progress: Callable[[int, int], None] = lambda _messages, _readings: None,
) -> ReplayReport:
    """Settle the source into the target by the steps of the live path.

    Parameters
    ----------
    open_source
        Where a span is read.
    stopped
        Asked between batches: whether to end early.
    progress
        Told after each batch: messages and readings so far.
    """
    started = time.monotonic()
    counters = Counters()
    views = ViewCache(known_at=options.known_at)
    points = PointCounters()
    processor = Processor(open_target, counters, options.limits, options.rules, views)
    events = Counters()
    changes = [] if options.changes is None else read_changes(options.changes, _microseconds)
    stand_ins = PointProcessor(open_target, points, options.stand_in_interval_s, known_at=options.known_at)
    steps = _Steps(EventProcessor(open_target, events), stand_ins, processor)
    refusals = _Refusals(open_target)
    dues = open_target()
    messages = readings = 0
    complete, until = False, None
    try:
        dues.autocommit = True
        run = Replay(steps, StoredDues(dues), read_hierarchy(dues))
        moments = Moments(run, dues, changes, options.alerts)
        records = _source(options, views, refusals, open_target, open_source)
        for batch in _batches(records, options.batch):
            if stopped():
                break
            moments.take(batch)
            messages += len(batch)
            readings += sum(record.readings for record in batch)
            progress(messages, readings)
        else:
            until = options.until or datetime.now(UTC)
            moments.finish(_microseconds(until))
            run.publish_until(_microseconds(until))
            complete = True
    finally:
        refusals.flush()
        steps.close()
        dues.close()
    seconds = time.monotonic() - started
    return ReplayReport(
        complete=complete,
        messages=messages,
        readings=readings,
        rows=counters.rows_written,
        revisions=counters.published,
        rejected=counters.rejected + points.rejected + events.rejected + refusals.count,
        changes=moments.changed,
        alerts=moments.alerts,
        until=until,
        seconds=round(seconds, 3),
        readings_per_s=round(readings / seconds, 1),
    )


class _Steps:
    """What a worker does with a batch: device events are stored, points are stored and stand in for registers, then
    units are settled.

    Switches that have moved don't change the model: it is taken as it is.
    """

    def __init__(self, events: EventProcessor, points: PointProcessor, processor: Processor) -> None:
        self._events = events
        self._points = points
        self._processor = processor

    def process(self, records: Sequence[Record]) -> list[UnitEnergies]:
        if events := [record for record in records if record.topic == TELEMETRY_EVENT]:
            self._events.process(events)
            records = [record for record in records if record.topic != TELEMETRY_EVENT]
        return self._processor.process(self._points.process(records))

    def settle_again(self, order: Resettle) -> Iterator[list[UnitEnergies]]:
        return self._processor.settle_again(order)

    def close(self) -> None:
        self._events.close()
        self._points.close()
        self._processor.close()


def _source(
    options: ReplayOptions,
    views: ViewCache,
    refusals: _Refusals,
    open_target: Callable[[], Connection],
    open_source: Callable[[], Connection] | None,
) -> Iterator[Received]:
    if options.span is None:
        records = _of_files(options.files, StoredDirectory(open_target, options.rules.zone), refusals)
        return sorted_by_receipt(records) if options.sort else in_window(records)
    if open_source is None:
        raise ReplayError("a span is read from a database, and none is named")
    # By time of receipt whatever was asked for: rows hold values of many times.
    return sorted_by_receipt(_of_span(options.span, views, open_target, open_source))


def _of_files(files: Sequence[Path], directory: Directory, refusals: _Refusals) -> Iterator[Received]:
    for path in files:
        for message in read_messages(path, refusals.add):
            taken = take_message(message.topic, message.payload, message.received_at_us, directory)
            for rejection in taken.rejections:
                refusals.add(rejection)
            if taken.block is not None:
                block, kind = taken.block
                if message.sequence is not None:
                    block = replace(block, sequence=message.sequence)
                record = record_of(block, kind)
                yield Received(block.received_at_us, block.unit, Record(record.topic, record.value), len(block))
            for record in taken.records:
                if record.topic != TELEMETRY_REJECTED:
                    yield Received(message.received_at_us, record.key.decode(), Record(record.topic, record.value))


def _of_span(
    span: Span, views: ViewCache, open_target: Callable[[], Connection], open_source: Callable[[], Connection]
) -> Iterator[Received]:
    with open_source() as source, open_target() as target:
        source.autocommit = target.autocommit = True
        for row in read_span(source, span.from_, span.to, span.units):
            yield from said_again(row, lambda unit: views.get(target, {unit}).get(unit))


class _Refusals:
    """What the decoder refuses, written a few at a time."""

    def __init__(self, open_connection: Callable[[], Connection]) -> None:
        self._writer = RefusalWriter(open_connection)
        self._held: list[Rejection] = []
        self.count = 0

    def add(self, rejection: Rejection) -> None:
        self._held.append(rejection)
        self.count += 1
        if len(self._held) >= _REFUSALS:
            self.flush()

    def flush(self) -> None:
        if self._held:
            self._writer.write(self._held)
            self._held = []


def _batches(records: Iterable[Received], size: int) -> Iterator[list[Received]]:
    iterator = iter(records)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _microseconds(at: datetime) -> int:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
