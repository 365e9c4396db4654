"""A message is handed on at once, or waited for as Faust would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams import app
from streams.counters import Vitals
from streams.faust_app import (
    FETCH_BYTES,
    FETCH_WAIT_MS,
    QUEUE_BYTES,
    FirstStepAtOnce,
    LeanApp,
    LeanBuffer,
    LeanStream,
    QueueOfBytes,
)
from tests.waiting import PATIENCE_S


class Waiting(FirstStepAtOnce):
    """A service that does nothing else."""


def run(make: Callable[[Waiting], Awaitable[None]]) -> None:
    async def with_service() -> None:
        service = Waiting()
        await service.start()
        try:
            await asyncio.wait_for(make(service), PATIENCE_S)
        finally:
            await service.stop()

    asyncio.run(with_service())


def test_what_needs_no_wait_is_done_without_a_task() -> None:
    async def check(service: Waiting) -> None:
        tasks: set[object] = set()

        async def hand_on() -> str:
            tasks.add(asyncio.current_task())
            return "done"

        found = await service.wait_first(hand_on(), asyncio.Event().wait())
        assert found.results == ["done"]
        assert not found.stopped
        assert tasks == {asyncio.current_task()}

    run(check)


def test_what_has_to_wait_is_waited_for_to_its_end() -> None:
    async def check(service: Waiting) -> None:
        room = asyncio.Event()
        steps: list[str] = []

        async def hand_on() -> str:
            steps.append("began")
            await room.wait()
            await asyncio.sleep(0)
            steps.append("ended")
            return "done"

        asyncio.get_running_loop().call_later(0.05, room.set)
        found = await service.wait_first(hand_on(), asyncio.Event().wait())
        assert found.results == ["done"]
        assert steps == ["began", "ended"]

    run(check)


def test_a_flow_that_is_suspended_ends_the_wait_and_what_waits() -> None:
    async def check(service: Waiting) -> None:
        suspended = asyncio.Event()
        steps: list[str] = []

        async def hand_on() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                steps.append("ended")

        asyncio.get_running_loop().call_later(0.05, suspended.set)
        found = await service.wait_first(hand_on(), suspended.wait())
        assert found.results == [True]
        await asyncio.sleep(0.05)
        assert steps == ["ended"]

    run(check)


def test_what_fails_at_once_or_later_is_raised() -> None:
    async def check(service: Waiting) -> None:
        async def fail(after_s: float | None) -> None:
            if after_s is not None:
                await asyncio.sleep(after_s)
            raise LookupError

        for after_s in (None, 0.01):
            with pytest.raises(LookupError):
                await service.wait_first(fail(after_s), asyncio.Event().wait())

    run(check)


def built(folder: Path) -> Any:
    """A worker's app that has not been started."""

    def open_connection() -> Any:
        raise AssertionError("nothing is asked of the store before the start")

    settings = app.WorkerSettings(bootstrap="127.0.0.1:1", instance="t", data_dir=str(folder), partitions=8)
    return app.build_app(settings, open_connection, Vitals())


def block(size: int) -> Any:
    return SimpleNamespace(value=bytes(size))


def test_a_queue_is_full_when_its_messages_are_large(tmp_path: Path) -> None:
    async def check() -> None:
        queue = built(tmp_path).FlowControlQueue(maxsize=8_192, clear_on_resume=True)
        assert isinstance(queue, QueueOfBytes)
        waits: list[str] = []
        marks = {"on_pressure_high": lambda: waits.append("high"), "on_pressure_drop": lambda: waits.append("drop")}
        taken = 0
        while not queue.full():
            queue.put_nowait_enhanced(value=block(30_000), **marks)
            taken += 1
        # The mark is passed so early that what has been taken from Kafka at once still has room.
        assert waits == ["high"]
        assert taken * 30_000 < QUEUE_BYTES + 30_000
        assert queue.qsize() * (1 - 1 / queue.pressure_high_ratio) * QUEUE_BYTES / 8_192 > app._POLL * 30_000
        for _ in range(taken):
            await queue.get()
        assert waits == ["high", "drop"]
        assert queue.qsize() == queue.held_bytes == 0
        # A message larger than all that may wait is let in alone.
        queue.put_nowait_enhanced(value=block(QUEUE_BYTES + 1), **marks)
        assert queue.full()
        queue.clear()
        assert not queue.full()

    asyncio.run(check())


def test_a_queue_of_small_messages_is_bounded_by_their_number(tmp_path: Path) -> None:
    async def check() -> None:
        queue = built(tmp_path).FlowControlQueue(maxsize=100)
        for _ in range(100):
            assert not queue.full()
            queue.put_nowait_enhanced(
                value=SimpleNamespace(value=None), on_pressure_high=lambda: None, on_pressure_drop=lambda: None
            )
        assert queue.full()
        assert queue.held_bytes == 0

    asyncio.run(check())


Check = Callable[[LeanApp, Callable[..., None], AsyncIterator[list[Any]]], Awaitable[None]]


def take(size: int, check: Check, within_s: float = 0.05) -> None:
    """Let `check` put messages before a stream that takes batches of `size`, or what came within that time."""

    async def with_stream() -> None:
        app = LeanApp("test", broker="kafka://127.0.0.1:1", store="memory://", topic_disable_leader=True)
        app.flow_control.resume()
        channel = app.channel()
        stream = app.stream(channel)
        assert isinstance(stream, LeanStream)

        def put(offset: int, generation: int = app.consumer_generation_id) -> None:
            at = TP("t", 0)
            message = ConsumerMessage(
                "t", 0, offset, 0.0, 0, [], None, b"%d" % offset, None, tp=at, generation_id=generation
            )
            message.incref(1)
            event = app.create_event(None, message.value, {}, message)
            stream.channel.queue.put_nowait(event)  # type: ignore[attr-defined]

        batches = stream.noack_take(size, within=within_s)
        try:
            await asyncio.wait_for(check(app, put, batches), PATIENCE_S)
        finally:
            await batches.aclose()
            await stream.stop()

    asyncio.run(with_stream())


def offsets(events: list[Any]) -> list[int]:
    return [event.message.offset for event in events]


def test_a_batch_has_what_waits_and_no_more_than_it_may() -> None:
    async def check(app: LeanApp, put: Callable[..., None], batches: AsyncIterator[list[Any]]) -> None:
        for offset in range(5):
            put(offset)
        assert offsets(await anext(batches)) == [0, 1, 2]
        assert offsets(await anext(batches)) == [3, 4]
        asyncio.get_running_loop().call_later(0.01, put, 6)
        put(5)
        batch = await anext(batches)
        assert offsets(batch) == [5, 6]
        # Faust waits for these before it gives a partition away.
        assert {event.message for event in batch} <= set(app.consumer.unacked)

    take(3, check, within_s=1.0)


def test_messages_of_partitions_as_they_were_before_are_left_out() -> None:
    async def check(app: LeanApp, put: Callable[..., None], batches: AsyncIterator[list[Any]]) -> None:
        put(0, app.consumer_generation_id - 1)
        put(1)
        put(2, app.consumer_generation_id - 1)
        batch = await anext(batches)
        assert offsets(batch) == [1]
        assert set(app.consumer.unacked) == {batch[0].message}
        put(3, app.consumer_generation_id - 1)
        waiting = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0.15)
        assert not waiting.done()
        put(4)
        assert offsets(await waiting) == [4]
        app.flow_control.suspend()
        put(5)
        waiting = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0.15)
        assert not waiting.done()
        waiting.cancel()

    take(3, check)


def test_a_worker_fetches_what_has_gathered() -> None:
    async def fetched() -> dict[str, Any]:
        app = LeanApp("test", broker="kafka://127.0.0.1:1", store="memory://", topic_disable_leader=True)
        thread = app.consumer._new_consumer_thread()  # type: ignore[attr-defined]
        usual = AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
        own = thread._create_worker_consumer(app.transport)
        # Under another name they would be set and nobody would read them.
        assert vars(own).keys() == vars(usual).keys()
        return {**vars(own)}

    of_consumer = asyncio.run(fetched())
    assert (of_consumer["_fetch_min_bytes"], of_consumer["_fetch_max_wait_ms"]) == (FETCH_BYTES, FETCH_WAIT_MS)


def polled(checks: Callable[[LeanApp, Any, dict[TP, list[Any]]], Awaitable[None]]) -> None:
    """Let `checks` read what a poll of two partitions has brought, which are active, and of one that isn't."""

    def record(at: TP, offset: int) -> Any:
        names = ("timestamp_type", "headers", "key", "checksum", "serialized_key_size", "serialized_value_size")
        fields = {"timestamp": 1_000, "value": b"%d" % offset, **dict.fromkeys(names)}
        return SimpleNamespace(topic=at.topic, partition=at.partition, offset=offset, **fields)

    async def with_consumer() -> None:
        app = LeanApp("test", broker="kafka://127.0.0.1:1", store="memory://", topic_disable_leader=True)
        consumer: Any = app.consumer
        places = [TP("t", 0), TP("u", 0), TP("t", 9)]
        records = {at: [record(at, offset) for offset in range(3)] for at in places}
        consumer._active_partitions = set(places[:2])
        consumer.resume_flow()

        async def of_kafka(**_: Any) -> dict[TP, list[Any]]:
            return records

        consumer._getmany = of_kafka
        await asyncio.wait_for(checks(app, consumer, records), PATIENCE_S)

    asyncio.run(with_consumer())


def test_a_poll_hands_on_each_partition_in_order_and_only_what_is_active() -> None:
    async def check(app: LeanApp, consumer: Any, records: dict[TP, list[Any]]) -> None:
        taken = [(at, message.offset, message.value) async for at, message in consumer.getmany(timeout=1.0)]
        assert taken == [(at, r.offset, r.value) for at in list(records)[:2] for r in records[at]]

    polled(check)


def test_a_poll_ends_where_the_group_has_changed_or_the_flow_is_suspended() -> None:
    async def check(app: LeanApp, consumer: Any, records: dict[TP, list[Any]]) -> None:
        def rebalance() -> None:
            app.consumer_generation_id += 1

        for happens in (rebalance, consumer.stop_flow):
            taken = []
            async for _, message in consumer.getmany(timeout=1.0):
                taken.append(message.offset)
                if len(taken) == 2:
                    happens()
            assert taken == [0, 1]

    polled(check)


def test_what_waits_to_be_sent_is_counted() -> None:
    async def counted() -> tuple[int, int]:
        app = LeanApp("test", broker="kafka://127.0.0.1:1", store="memory://", topic_disable_leader=True)
        buffer = app.producer.buffer
        assert isinstance(buffer, LeanBuffer)
        assert buffer.app is app
        before = buffer.size
        for _ in range(3):
            buffer.put(SimpleNamespace())  # type: ignore[arg-type]  # what waits is not looked at
        return before, buffer.size

    assert asyncio.run(counted()) == (0, 3)
