"""Faust with less work for each message: of the time that it spent on one, two fifths went into what nobody needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from typing import Any, cast

import faust
from aiokafka import AIOKafkaConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Producer, Transport
from faust.transport.producer import ProducerBuffer
from faust.types import TP, AppT, ChannelT, EventT, Message
from faust.types.transports import TransportT
from mode import Service, ServiceT
from mode.services import WaitResults
from mode.utils.queues import ThrowableQueue

#: Bytes of messages that wait in one queue, whatever their number: blocks of the greatest areas have 30 kB, refused
#: inputs up to 16 MB.
QUEUE_BYTES = 32_000_000
#: Kafka answers as soon as it has so many bytes, compressed, for the worker, or after so long: with the first byte, as
#: usual, each record that comes alone would cost both a request that names all partitions.
FETCH_BYTES, FETCH_WAIT_MS = 512 * 1024, 200
#: What Kafka hands over of one partition at a time, compressed. A worker may have dozens of partitions with a backlog
#: each, and an answer lies in memory twice while it is read.
FETCH_MAX_BYTES = 1024 * 1024


class _Rest:
    """What is left of a coroutine whose first step has come to wait for something."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], awaited: Any) -> None:
        self._coroutine, self._awaited = coroutine, awaited

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            yield self._awaited
        except BaseException as error:  # noqa: BLE001  # the coroutine's own, as when it is cancelled
            try:
                yield self._coroutine.throw(error)
            except StopIteration as end:
                return end.value
        return (yield from self._coroutine.__await__())


class FirstStepAtOnce(Service):
    """Waits for the first of several without the four tasks that it takes, where the first has not to wait at all."""

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109  # as Mode has it
        """As Mode's, but the first coroutine takes its first step at once."""
        first = coros[0]
        if timeout is not None or not asyncio.iscoroutine(first):
            return await super().wait_first(*coros, timeout=timeout)
        try:
            awaited = first.send(None)
        except BaseException as end:
            for other in coros[1:]:
                other.close()
            if isinstance(end, StopIteration):
                return WaitResults([first], [end.value], self.should_stop)
            raise
        return await super().wait_first(_rest(first, awaited), *coros[1:])


async def _rest(coroutine: Coroutine[Any, Any, Any], awaited: Any) -> Any:
    return await _Rest(coroutine, awaited)


class LeanConsumerThread(AIOKafkaConsumerThread):
    """Fetches what has gathered at Kafka, and not each record as it comes."""

    def _create_worker_consumer(self, transport: Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust passes only the wait on; the consumer makes its fetcher of both when it starts.
        consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = FETCH_BYTES, FETCH_WAIT_MS  # noqa: SLF001
        return consumer


class LeanConsumer(FirstStepAtOnce, Consumer):
    """Hands each message on; most often its stream has room."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return LeanConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncGenerator[tuple[TP, Message], None]:  # noqa: ASYNC109  # as Faust's
        """As Faust's, but the partitions of a poll come one after another, and nobody is told the end of each."""
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if self.should_stop:
            return
        if not self.flow_active:
            await self._seek_again()
            return
        for partition, of_partition in (records or {}).items():
            if active is None or partition in active or partition in self._buffered_partitions:
                for record in of_partition:
                    # What was read before a change of the group, its new owner reads.
                    if not self._is_current(generation):
                        return
                    yield partition, self._to_message(partition, record)

    def _is_current(self, generation: int) -> bool:
        return self.flow_active and self.app.consumer_generation_id == generation

    async def _seek_again(self) -> None:
        try:
            await self.perform_seek()
        except Exception as error:  # noqa: BLE001  # as Faust's: it is tried again by the next poll
            self.log.warning("can't go back to what is committed while the flow is suspended: %r", error)


class LeanBuffer(ProducerBuffer):
    """Tells how many messages wait to be sent, which is asked for each that comes, without a look at the settings."""

    @property
    def size(self) -> int:
        return self.pending.qsize()


class LeanProducer(Producer):
    """Sends through `LeanBuffer`; in the thread of the event loop, as Faust does by default."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.buffer = LeanBuffer(loop=self.loop, beacon=self.beacon)
        self.buffer.app = self.app


class LeanTransport(Transport):
    """Kafka by `LeanConsumer` and `LeanProducer`."""

    Consumer = LeanConsumer
    Producer = LeanProducer


class QueueOfBytes(ThrowableQueue[Any]):
    """A queue that is full when its events have too many bytes together, too.

    Faust asks how many wait: of events that are large, as many are told of as small ones would fill the same part.
    """

    def __init__(self, *args: Any, max_bytes: int = QUEUE_BYTES, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.max_bytes = max_bytes
        self.held_bytes = 0

    def qsize(self) -> int:
        """Events that wait, or the part of `maxsize` that their bytes fill, whichever is more."""
        return max(super().qsize(), self.held_bytes * self.maxsize // self.max_bytes)

    def clear(self) -> None:
        super().clear()
        self.held_bytes = 0

    def _put(self, item: Any) -> None:
        super()._put(item)
        self.held_bytes += _size(item)

    def _get(self) -> Any:
        item = super()._get()
        self.held_bytes -= _size(item)
        return item


def _size(event: Any) -> int:
    return len(event.value or b"")


class LeanStream(faust.Stream[bytes]):
    """Takes messages in batches straight from what the consumer put there.

    Faust's own iterator hands out one message in each turn of the event loop, which costs more than all else that is
    done for it.
    """

    async def noack_take(self, max_: int, within: Any) -> AsyncGenerator[Any, None]:
        """As Faust's, but the seconds within which a batch is full count from its first message."""
        await self.maybe_start()
        queue = cast("ChannelT[bytes]", self.channel).queue
        while not self.should_stop:
            events = self._current([await queue.get()])
            end_s = self.loop.time() + within
            while len(events) < max_:
                if queue.empty():
                    try:
                        event = await asyncio.wait_for(queue.get(), end_s - self.loop.time())
                    except TimeoutError:
                        break
                    events += self._current([event])
                else:
                    there: list[EventT[bytes]] = []
                    while len(events) + len(there) < max_ and not queue.empty():
                        there.append(queue.get_nowait())
                    events += self._current(there)
            if events:
                yield events

    async def ack(self, event: EventT[bytes]) -> bool:
        """Count a message as done."""
        return event.ack()

    def _current(self, events: Sequence[EventT[bytes]]) -> list[EventT[bytes]]:
        """Those of partitions as they are assigned now, of which Faust now knows that they are being worked on."""
        app = self.app
        if not app.flow_control.is_active():
            return []
        consumer = app.consumer
        current = [event for event in events if event.message.generation_id == app.consumer_generation_id]
        for event in current:
            consumer.track_message(event.message)
        return current


class LeanApp(faust.App):
    """With queues bounded in bytes, and without Faust's own monitor, which is asked several times a message."""

    def FlowControlQueue(  # noqa: N802  # Faust's name
        self, maxsize: int | None = None, *, clear_on_resume: bool = False
    ) -> ThrowableQueue[Any]:
        """As Faust's."""
        return QueueOfBytes(maxsize or 0, flow_control=self.flow_control, clear_on_resume=clear_on_resume)

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, Stream=LeanStream, **settings)

    def on_init_dependencies(self) -> Iterable[ServiceT]:
        services = super().on_init_dependencies()
        self.sensors.remove(self.monitor)
        return services

    def _new_transport(self) -> TransportT:
        return LeanTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> TransportT:
        return LeanTransport(self.conf.broker_producer, self)


class RawSchema(faust.Schema[bytes, bytes]):
    """Keys and values as they come: no codec is looked up for them."""

    def compile(self, app: AppT, **_: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:  # noqa: ARG001  # Faust passes it
            return create_event(message.key, message.value, message.headers, message)

        return decode
