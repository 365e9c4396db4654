"""Where the bridge's processor time goes, for each message: alone with a broker and Kafka, without workers.

Messages wait in the bridge's session. Then the bridge runs in this process until Kafka has all of them, without a
profiler, and once more with one on the thread that decodes and sends. Decoding and encoding are measured by themselves
besides, since a share under a profiler says little of functions that small.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import threading
import time
from datetime import UTC

from benchmarks.mqtt_load import ACCOUNT, Intervals, Messages
from benchmarks.pipeline_drain import BY_MQTT, Drain
from benchmarks.report import Result, result
from benchmarks.scene import make_model, meters_of, whole_intervals_us
from benchmarks.stack import benchmark_stack, processor_seconds
from deploy.stack import set_gateways
from grid.block import Block, encode_block
from grid.model import GridModel, UnitKind
from ingest.decode import decode_message
from ingest.sources.mqtt import Bridge
from meterline.bootstrap import make_bridge, opener
from meterline.config import Settings
from store.blocks import to_datetime
from sync.load import load_grid

_AREAS = 100
_FEEDERS = 20
_INTERVALS = 40
_INTERVAL_S = 60
_ROUNDS = 7
_TIMEOUT_S = 300.0
_POLL_S = 0.02


def profile_bridge() -> tuple[list[Result], pstats.Stats, int]:
    """Processor time of a message; and a profile of the thread that decodes and sends, with its number of messages."""
    drain = Drain(size=BY_MQTT.size, areas=_AREAS, intervals=_INTERVALS, target=0)
    model = make_model(drain.areas, _FEEDERS, drain.size)
    results = _alone(model, drain.size)
    with benchmark_stack() as (spec, settings):
        with opener(settings, "benchmark")() as connection:
            load_grid(connection, model)
        set_gateways(spec, [ACCOUNT])
        _run(settings, 0)  # the broker keeps messages for who has subscribed
        messages = Intervals(meters_of(model), drain.intervals, _INTERVAL_S)
        messages.publish(settings, range(drain.intervals))
        before = processor_seconds(spec)
        bridge_s = _run(settings, drain.blocks)
        after = processor_seconds(spec)
        messages.publish(settings, range(drain.intervals))
        profiler = cProfile.Profile(time.thread_time)
        _run(settings, drain.blocks, profiler)
    seconds = {"bridge": bridge_s} | {name: after[name] - before[name] for name in ("mosquitto", "kafka")}
    results += [
        result(f"processor time of a message, {name}, blocks of {drain.size}", s / drain.blocks * 1e6, "µs/message")
        for name, s in seconds.items()
    ]
    return results, pstats.Stats(profiler), drain.blocks


def _run(settings: Settings, messages: int, profiler: cProfile.Profile | None = None) -> float:
    """Processor seconds of this process until Kafka has so many messages; 0: until the bridge has subscribed."""
    bridge = make_bridge(settings)
    stop = threading.Event()
    watch = threading.Thread(target=_stop_when_done, args=(bridge, messages, stop))
    before_s = time.process_time()
    watch.start()
    if profiler is not None:
        profiler.enable()
    bridge.run(stop)
    if profiler is not None:
        profiler.disable()
    watch.join()
    assert bridge.forwarded == messages, f"{bridge.forwarded} of {messages} messages were forwarded"
    return time.process_time() - before_s


def _stop_when_done(bridge: Bridge, messages: int, stop: threading.Event) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while (bridge.idle_reason() or bridge.forwarded < messages or bridge.held_bytes) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    time.sleep(0 if messages else 1.0)
    stop.set()


class _AllKnown:
    """A directory in which the account may send anything."""

    zone = UTC

    def unit_kind(self, unit: str) -> UnitKind | None:  # noqa: ARG002  # as the protocol has it
        return UnitKind.AREA

    def may_send(self, gateway: str, unit: str) -> bool:  # noqa: ARG002
        return True


def _alone(model: GridModel, size: int) -> list[Result]:
    at_us = whole_intervals_us(_INTERVAL_S)
    areas = [Messages(code, meters.to_pylist(), _INTERVAL_S) for code, meters in meters_of(model).items()]
    decoding_s, encoding_s = [], []
    for n in range(_ROUNDS):
        observed_at = to_datetime(at_us - n * _INTERVAL_S * 1_000_000).isoformat()
        messages = [(area.topic, area.message(n, observed_at)) for area in areas]
        started_s = time.process_time()
        decoded = [decode_message(topic, payload, at_us, _AllKnown()) for topic, payload in messages]
        decoding_s.append((time.process_time() - started_s) / len(messages))
        blocks: list[Block] = [each.block for each in decoded if each.block is not None]
        assert len(blocks) == len(messages), f"{len(blocks)} of {len(messages)} messages were taken"
        started_s = time.process_time()
        for block in blocks:
            encode_block(block)
        encoding_s.append((time.process_time() - started_s) / len(messages))
    return [
        result(f"processor time, decoding, blocks of {size}", statistics.median(decoding_s) * 1e6, "µs/message"),
        result(f"processor time, encoding, blocks of {size}", statistics.median(encoding_s) * 1e6, "µs/message"),
    ]
