"""Workers under a load offered at a pace: their processor time by number, their memory, delay beside backfill."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from benchmarks.pace import Message, Sender, Watch, followed, send_paced
from benchmarks.report import Result, result
from benchmarks.scene import BlockTemplate, make_model, meters_of, unit_ids, whole_intervals_us
from benchmarks.stack import benchmark_stack, processor_seconds, worker_memory_mib, worker_peak_mib, worker_sums
from deploy.stack import StackSpec, start_programs
from grid.model import GridModel
from grid.topics import TELEMETRY_AREA, TELEMETRY_BACKFILL
from meterline.bootstrap import make_producer, opener
from meterline.config import Settings
from meterline.ready import wait_for_workers
from sync.load import load_grid

_SIZE = 400
_FEEDERS = 20
_INTERVAL_S = 60
_MINUTE_US = _INTERVAL_S * 1_000_000
_READY_S = 120.0
_TIMEOUT_S = 600.0

_NUMBERS = (1, 2, 4)
#: An area has so many intervals a second: 1,200,000 readings a second, so that the work is compared and not what a
#: worker costs that idles; one worker still keeps up, and the intervals lie within six hours.
_PACED_AREAS, _PACED_EACH = 500, 6
_PACED_S = 35
_WARM_S = 20

_MEMORY_AREAS = 2_500

_LIVE_AREAS = 125
_LIVE_S = 60
_LIVE_EVERY = 7
#: A month of quarter-hours of these areas waits in the backfill's lane.
_PAST_AREAS = 60
_PAST = 30 * 96


def processor_time() -> list[Result]:
    """Processor time of all workers for a million readings, offered at one pace to groups of several sizes."""
    model = make_model(_PACED_AREAS, _FEEDERS, _SIZE)
    seconds = {}
    for workers in _NUMBERS:
        with benchmark_stack(workers) as (spec, settings):
            one = _started(spec, settings, model, workers, (_WARM_S + _PACED_S) * _PACED_EACH)
            senders = [_often(s, n) for s in one for n in range(_PACED_EACH)]
            send_paced(make_producer(settings), senders, 0, _WARM_S, Watch(), 1 << 62)
            before = processor_seconds(spec)["worker"], _readings(spec)
            later = [Sender(s.offset_s, _later(s.make, _WARM_S)) for s in senders]
            send_paced(make_producer(settings), later, 0, _PACED_S, Watch(), 1 << 62)
            spent = processor_seconds(spec)["worker"] - before[0]
            seconds[workers] = spent / (_readings(spec) - before[1]) * 1e6
    rate = _PACED_AREAS * _PACED_EACH * _SIZE
    results = [
        result(f"processor time at {rate:,} readings/s, workers: {n}", s, "s/million") for n, s in seconds.items()
    ]
    spread = max(seconds.values()) / min(seconds.values())
    return [*results, result("the greatest over the least", spread, "times", 1.15, less_is_better=True)]


def memory() -> list[Result]:
    """Resident memory of one worker before it has met any meter, and when it has met a million, two intervals each."""
    model = make_model(_MEMORY_AREAS, _FEEDERS, _SIZE)
    with benchmark_stack() as (spec, settings):
        senders = _started(spec, settings, model, 1, 2)
        before = worker_memory_mib(spec)
        producer = make_producer(settings)
        for second in range(2):
            for sender in senders:
                topic, key, value, _ = sender.make(second, 0)
                producer.send(topic, key=key, value=value)
        producer.flush()
        producer.close()
        _wait(lambda: _rows(spec, "areas") >= 2 * len(senders), "not every area was settled")
        held, peak = worker_memory_mib(spec), worker_peak_mib(spec)
    meters = _MEMORY_AREAS * _SIZE
    return [
        result(f"memory of a worker of {meters:,} meters", _megabytes(held), "MB", 800, less_is_better=True),
        result("the most that it took so far", _megabytes(peak), "MB"),
        result("memory of a worker that has met none", _megabytes(before), "MB"),
    ]


def beside_backfill() -> list[Result]:
    """Delay of live blocks, alone and while a month of the past is written."""
    model = make_model(_LIVE_AREAS, _FEEDERS, _SIZE)
    delays = {}
    written = 0
    for past in (False, True):
        with benchmark_stack(2) as (spec, settings):
            if past:
                _fill_past(settings, model)
            senders = _started(spec, settings, model, 2, _READY_S + _LIVE_S)
            if past:
                _wait(lambda: _rows(spec, "backfill") > 0, "nothing of the past is written")
            delays[past] = _live_p99_s(settings, senders)
            written = _rows(spec, "backfill")
            assert written < _PAST_AREAS * _PAST, "the past was written before the end"
    return [
        result("live, 50,000 readings/s: receipt to queryable row, p99", delays[False], "s"),
        result("the same beside backfill, p99", delays[True], "s", 1.5 * delays[False], less_is_better=True),
        result("readings of the past written beside it", written * _SIZE, "readings"),
    ]


def _live_p99_s(settings: Settings, senders: list[Sender]) -> float:
    watch = Watch()
    with followed(watch, opener(settings, "benchmark-watch")):
        send_paced(make_producer(settings), senders, int(_READY_S), _LIVE_S, watch, _LIVE_EVERY)
    return watch.percentile_s("readings", 99)


def _started(spec: StackSpec, settings: Settings, model: GridModel, workers: int, intervals: float) -> list[Sender]:
    """Workers that are ready, and what sends a block of each area every second, a minute after the one before."""
    with opener(settings, "benchmark")() as connection:
        load_grid(connection, model)
        connection.commit()
        ids = unit_ids(connection)
    start_programs(spec)
    wait_for_workers(settings, workers, _READY_S)
    first_us = whole_intervals_us(_INTERVAL_S) - (int(intervals) + 5) * _MINUTE_US
    return _senders(model, ids, first_us)


def _senders(model: GridModel, ids: Mapping[str, int], first_us: int) -> list[Sender]:
    codes = meters_of(model)

    def sender(place: float, code: str) -> Sender:
        template = BlockTemplate(code, codes[code], _INTERVAL_S)

        def make(second: int, _due_us: int) -> Message:
            at_us = first_us + second * _MINUTE_US
            value = template.at(at_us, at_us + 5_000_000)
            return TELEMETRY_AREA, code.encode(), value, ("readings", ids[code], at_us, 0)

        return Sender(place, make)

    return [sender(n / len(codes), code) for n, code in enumerate(codes)]


def _often(sender: Sender, number: int) -> Sender:
    """That one of `_PACED_EACH` that sends every so many intervals, at a time of its own within the second."""
    offset_s = (sender.offset_s + number / _PACED_EACH) % 1
    return Sender(offset_s, lambda second, due_us: sender.make(second * _PACED_EACH + number, due_us))


def _later(make: Callable[[int, int], Message], by: int) -> Callable[[int, int], Message]:
    return lambda second, due_us: make(second + by, due_us)


def _fill_past(settings: Settings, model: GridModel) -> None:
    interval_s = 900
    end_us = whole_intervals_us(interval_s) - 86_400 * 1_000_000
    codes = list(meters_of(model).items())[:_PAST_AREAS]
    templates = {code.encode(): BlockTemplate(code, meters, interval_s) for code, meters in codes}
    producer = make_producer(settings)
    for i in range(_PAST):
        at_us = end_us - (_PAST - i) * interval_s * 1_000_000
        for key, template in templates.items():
            producer.send(TELEMETRY_BACKFILL, key=key, value=template.at(at_us, at_us + 5_000_000))
    producer.flush()
    producer.close()


def _megabytes(mib: float) -> float:
    return mib * 2**20 / 1e6


def _rows(spec: StackSpec, units: str) -> int:
    return int(sum(worker_sums(spec, "meterline_worker_rows_written_total", units=units)))


def _readings(spec: StackSpec) -> float:
    return sum(worker_sums(spec, "meterline_worker_readings_total", units="areas"))


def _wait(done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.5)
