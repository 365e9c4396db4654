"""The Faust worker: takes batches, lets the processor make them durable, tells the units above, then acknowledges.

Facts this rests on: ``noack_take`` hands out events unacknowledged (``take`` acknowledges a failed batch too);
concurrency stays 1, since Faust can commit past an unfinished event otherwise; an agent that fails ends the process,
and the supervisor of the deployment starts it again.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import faust
import structlog
from faust.exceptions import ConsumerNotStarted
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from grid.errors import Reason, Rejection
from grid.limits import Limits
from grid.loss_rules import LossRules
from grid.resettle import decode_resettle
from grid.topics import (
    ENERGY_UNIT,
    GRID_RESETTLE,
    TELEMETRY_AREA,
    TELEMETRY_EVENT,
    TELEMETRY_REJECTED,
    TELEMETRY_SCADA,
)
from grid.unit_energy import UnitEnergies
from store.connection import STORE_ERRORS, Connection
from streams.backfill import HEARTBEATS, LaneSettings, follow_backfill
from streams.counters import Counters, Vitals
from streams.events import EventProcessor
from streams.faust_app import FETCH_MAX_BYTES, LeanApp, RawSchema
from streams.join import Record
from streams.lag import watch_lag
from streams.model_changes import follow_changes_of_model
from streams.points import PointProcessor, SwitchWriter
from streams.processor import Processor
from streams.refusals import RefusalWriter
from streams.sweep import Sweeper
from streams.telling import bundled
from streams.view_cache import ViewCache
from streams.worker_state import StateTeller

log = structlog.get_logger("streams.app")

T = TypeVar("T")

#: Refused inputs in a batch, and waiting for the next one: each may have megabytes.
_REFUSALS = 8
#: Records that are taken from Kafka's buffers at a time, where they lie compressed: no more than fit between the mark
#: from which a queue wants no more and its bound, even of the largest blocks.
_POLL = 200
#: The longest wait before a store that couldn't be used is tried again: it is what a recovery may take longer.
_RETRY_S = 2.0
#: Messages of device events in a batch, and waiting for the next one: each may have thousands of events.
_EVENTS = 64


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker joins its group and how it batches.

    Attributes
    ----------
    instance
        Fixed name of this worker in the group: one that was killed gets its partitions back at once.
    partitions
        Of each topic.
    batch, linger_s
        A batch of blocks is settled when it has this many records or this much time has passed.
    gather, gather_s
        The same for units above the areas: they wait for their members, so that a row is written about once.
    backfill_batch, backfill_share
        Of `streams.backfill.LaneSettings`.
    """

    bootstrap: str
    instance: str
    data_dir: str
    partitions: int
    group: str = "meterline"
    batch: int = 1_000
    linger_s: float = 0.5
    gather: int = 4_096
    gather_s: float = 1.5
    session_timeout_s: float = 10.0
    sweep_s: float = 10.0
    stand_in_interval_s: int = 900
    backfill_batch: int = 500
    backfill_share: float = 0.5
    backfill_after_s: float = 7_200
    limits: Limits = field(default_factory=Limits)
    rules: LossRules = field(default_factory=LossRules)


@dataclass(frozen=True, slots=True)
class _Told:
    """Where units are told what those below have come to."""

    topic: Any
    partitions: int


def build_app(
    settings: WorkerSettings,
    open_connection: Callable[[], Connection],
    vitals: Vitals,
    switches: SwitchWriter | None = None,
) -> faust.App:
    """A Faust application that settles areas, dedicated customers and feeders, and counts in `vitals`.

    SCADA points are stored, stand in for missing registers, and tell `switches` where a switch has moved.
    """
    app = _make_app(settings)
    raw = RawSchema()
    energy = _Told(app.topic(ENERGY_UNIT, schema=raw), settings.partitions)
    views = ViewCache()
    areas, greater, again, late = (
        Processor(open_connection, counters, settings.limits, settings.rules, views)
        for counters in (vitals.areas, vitals.greater, vitals.again, vitals.backfill)
    )
    again_refusals = RefusalWriter(open_connection)
    points = PointProcessor(open_connection, vitals.points, settings.stand_in_interval_s, switches)
    events = EventProcessor(open_connection, vitals.events)
    refusals = RefusalWriter(open_connection)
    sweeper = Sweeper(open_connection, settings.backfill_after_s)
    vitals.cache = views.figures

    async def settle_again(stream: Any) -> None:
        async for events, _ in _batches(stream, vitals.again, 1, settings.linger_s):
            for event in events:
                await _settle_again(again, energy, again_refusals, event)

    async def store_rejected(stream: Any) -> None:
        await _store_refusals(stream, refusals, vitals.refusals, settings.linger_s)

    async def store_events(stream: Any) -> None:
        await _store_events(stream, events, settings.linger_s)

    async def follow_changes() -> None:
        await follow_changes_of_model(settings.bootstrap, [views, points.table])

    async def settle_backfill() -> None:
        await _settle_backfill(settings, late, energy, vitals)

    async def sweep() -> None:
        await _sweep(app, sweeper)

    async def follow_lag() -> None:
        await watch_lag(
            settings.bootstrap,
            settings.group,
            lambda: _assigned(app),
            vitals,
        )

    teller = StateTeller(open_connection, settings.instance, vitals)

    async def report() -> None:
        await _report(vitals, teller)

    app.agent(app.topic(TELEMETRY_AREA, schema=raw), name="meterline.areas")(
        _settler(areas, energy, settings.batch, settings.linger_s)
    )
    app.agent(energy.topic, name="meterline.greater")(_settler(greater, energy, settings.gather, settings.gather_s))
    # An agent of its own: points, and switches, don't wait for what is told upwards.
    app.agent(app.topic(TELEMETRY_SCADA, schema=raw), name="meterline.scada")(
        _point_taker(points, vitals.scada, energy.topic, settings.batch, settings.linger_s)
    )
    device_events = app.topic(TELEMETRY_EVENT, schema=raw)
    device_events.maxsize = _EVENTS  # as below
    app.agent(device_events, name="meterline.events")(store_events)
    app.agent(app.topic(GRID_RESETTLE, schema=raw), name="meterline.again")(settle_again)
    rejected = app.topic(TELEMETRY_REJECTED, schema=raw)
    rejected.maxsize = _REFUSALS  # app.topic() takes a maxsize and drops it
    app.agent(rejected, name="meterline.rejected")(store_rejected)
    app.task(follow_changes)
    app.task(follow_lag)
    app.task(settle_backfill)
    app.timer(interval=10.0)(report)
    app.timer(interval=settings.sweep_s)(sweep)
    return app


async def _sweep(app: faust.App, sweeper: Sweeper) -> None:
    try:
        orders = await asyncio.to_thread(sweeper.orders, time.time_ns() // 1_000)
    except STORE_ERRORS as error:
        log.warning("what is due could not be looked for; trying again later", error=str(error))
        return
    sends = [app.topic(order.topic).send(key=order.key, value=order.value) for order in orders]
    await asyncio.gather(*[await sent for sent in sends])


def _assigned(app: faust.App) -> list[tuple[str, int]]:
    try:
        return [(tp.topic, tp.partition) for tp in app.consumer.assignment()]
    except ConsumerNotStarted:
        return []


async def _report(vitals: Vitals, teller: StateTeller) -> None:
    for units, counters in vitals.by_name().items():
        if counters.records:
            log.info("settled", units=units, **counters.figures())
    if vitals.points.messages:
        log.info("took points", **vitals.points.figures())
    try:
        await asyncio.to_thread(teller.tell)
    except STORE_ERRORS as error:
        log.warning("the worker's state could not be told; trying again later", error=str(error))


def _make_app(settings: WorkerSettings) -> faust.App:
    return LeanApp(
        settings.group,
        broker=f"kafka://{settings.bootstrap}",
        datadir=settings.data_dir,
        store="memory://",
        value_serializer="raw",
        key_serializer="raw",
        agent_supervisor="mode.CrashingSupervisor",
        web_enabled=False,
        web_tables_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_group_instance_id=f"{settings.group}-{settings.instance}",
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_MAX_BYTES,
        broker_max_poll_records=_POLL,
        broker_session_timeout=settings.session_timeout_s,
        # By it a member learns that another one waits for its share.
        broker_heartbeat_interval=settings.session_timeout_s / HEARTBEATS,
        broker_commit_interval=1.0,
        stream_buffer_maxsize=8192,
        stream_wait_empty=True,
        producer_acks=-1,
        producer_linger=0.005,
        producer_max_request_size=24 * 1024 * 1024,
    )


async def _batches(
    stream: Any, counters: Counters, size: int, within_s: float
) -> AsyncIterator[tuple[list[Any], float]]:
    """Batches of events with when each was begun; acknowledged when the caller comes back for the next."""
    async for events in stream.noack_take(size, within=within_s):
        counters.busy_since = started = time.monotonic()
        yield events, started
        for event in events:
            await stream.ack(event)
        counters.busy_since = None


def _records(events: Sequence[Any]) -> list[Record]:
    return [Record(event.message.topic, event.value or b"", event.message.key) for event in events]


def _settler(processor: Processor, energy: _Told, size: int, within_s: float) -> Callable[[Any], Awaitable[None]]:
    async def settle(stream: Any) -> None:
        async for events, started in _batches(stream, processor.counters, size, within_s):
            energies = await _until_stored(functools.partial(processor.process, _records(events)))
            processor.counters.flushed(len(events), time.monotonic() - started)
            await _tell(energy, energies)

    return settle


def _point_taker(
    points: PointProcessor, counters: Counters, greater: Any, size: int, within_s: float
) -> Callable[[Any], Awaitable[None]]:
    """Stores points; passes the blocks of the topic, and those that stand in, on to who settles their unit.

    So a unit's own gateway is gathered with what its members tell, in the order in which all was received.
    """

    async def take(stream: Any) -> None:
        async for events, started in _batches(stream, counters, size, within_s):
            # What stands in rests on what is stored, so a repeat comes to the same.
            blocks = await _until_stored(functools.partial(points.process, _records(events)))
            counters.batches += 1
            counters.records += len(events)
            counters.flushed(len(events), time.monotonic() - started)
            await _sent([greater.send(key=block.key, value=block.value) for block in blocks])

    return take


async def _store_events(stream: Any, events: EventProcessor, within_s: float) -> None:
    async for batch, started in _batches(stream, events.counters, _EVENTS, within_s):
        await _until_stored(functools.partial(events.process, _records(batch)))
        events.counters.flushed(len(batch), time.monotonic() - started)


async def _store_refusals(stream: Any, refusals: RefusalWriter, counters: Counters, within_s: float) -> None:
    async for events, started in _batches(stream, counters, _REFUSALS, within_s):
        rejections = [_rejection(event) for event in events]
        await _until_stored(functools.partial(refusals.write, rejections))
        counters.flushed(len(events), time.monotonic() - started)
        counters.refused(rejections)
        counters.batches += 1
        counters.records += len(events)


async def _settle_again(processor: Processor, energy: _Told, refusals: RefusalWriter, event: Any) -> None:
    """Settle a unit again, page by page: each is durable, and told to the units above, before the next."""
    value = event.value or b""
    try:
        order = decode_resettle(value)
    except ValueError as error:
        rejection = Rejection(Reason.INVALID_BLOCK, str(error), event.message.topic, value)
        await _until_stored(functools.partial(refusals.write, [rejection]))
        return
    pages = processor.settle_again(order)

    def next_page() -> list[UnitEnergies] | None:
        nonlocal pages
        try:
            return next(pages, None)
        except STORE_ERRORS:
            pages = processor.settle_again(order)  # from the beginning: the same again changes nothing
            raise

    while True:
        try:
            energies = await _until_stored(next_page)
        except Exception as error:  # one poisoned order must not stop all
            log.exception("a unit could not be settled again", unit=order.unit)
            rejection = Rejection.of_failure(error, event.message.topic, value)
            await _until_stored(functools.partial(refusals.write, [rejection]))
            processor.close()
            return
        if energies is None:
            return
        processor.counters.batches += 1
        # That Kafka doesn't take it is no fault of the order: the worker ends, and the order comes again.
        await _tell(energy, energies)


async def _settle_backfill(settings: WorkerSettings, processor: Processor, energy: _Told, vitals: Vitals) -> None:
    async def settle(records: Sequence[Record]) -> None:
        await _tell(energy, await _until_stored(functools.partial(processor.process, records)))

    lane = LaneSettings(
        settings.bootstrap,
        settings.group,
        settings.instance,
        settings.backfill_batch,
        settings.backfill_share,
        settings.session_timeout_s,
    )
    await follow_backfill(lane, vitals, settle)


async def _tell(energy: _Told, energies: Sequence[UnitEnergies]) -> None:
    await _sent([energy.topic.send(value=value, partition=n) for n, value in bundled(energies, energy.partitions)])


async def _sent(sends: Sequence[Awaitable[Awaitable[Any]]]) -> None:
    # The first wait hands a record to the producer, the second is Kafka's acknowledgement.
    await asyncio.gather(*[await sent for sent in sends])


async def _until_stored(work: Callable[[], T]) -> T:
    """Run `work` in a thread until the store takes it: what isn't stored is not acknowledged, so nothing is lost."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type(STORE_ERRORS),
        wait=wait_random_exponential(multiplier=0.2, max=_RETRY_S),
        before_sleep=lambda state: log.warning(
            "the store can't be used; trying again",
            attempt=state.attempt_number,
            error=str(state.outcome.exception()) if state.outcome else "",
        ),
    ):
        with attempt:
            return await asyncio.to_thread(work)
    raise AssertionError("unreachable: retries never end")


def _rejection(event: Any) -> Rejection:
    value = event.value or b""
    try:
        headers = dict(event.message.headers or [])
        about = json.loads(headers["rejection"])
        return Rejection(
            Reason(about["reason"]), str(about["detail"]), str(about["topic"]), value, tuple(map(str, about["meters"]))
        )
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        return Rejection(Reason.INVALID_BLOCK, f"a rejection without its reason: {error}", event.message.topic, value)
