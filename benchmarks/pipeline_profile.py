"""Where the processor time of one worker goes, for each block: without Kafka, which is measured with the rest.

Batches of 1,000 blocks go through the processor of a worker into a database of its own. Processor time of this process
and of the database's is counted without a profiler; then the same number of batches goes on with one, which says what
share of it each function has.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pipeline_bridge import profile_bridge
from benchmarks.report import Result, result
from benchmarks.scene import BlockTemplate, make_model, meters_of, whole_intervals_us
from benchmarks.stack import benchmark_stack, processor_seconds
from deploy.stack import StackSpec
from grid.topics import ENERGY_UNIT, TELEMETRY_AREA
from meterline.bootstrap import opener
from meterline.config import Settings
from store.connection import Connection
from streams.counters import Counters
from streams.join import Record
from streams.processor import Processor
from streams.telling import bundled
from sync.load import load_grid

_AREAS = 500
_FEEDERS = 20
_INTERVAL_S = 60
_BATCH = 1_000
_BATCHES = 16
_WARM_UP = 4
_PARTITIONS = 16
_FUNCTIONS = 45
_ROOT = str(Path(__file__).resolve().parents[1])


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor seconds for a block, by what they were spent on, and a profile."""

    seconds: dict[str, float]
    profile: pstats.Stats


def profile(sizes: Sequence[int]) -> list[Result]:
    """Figures of each size of block; the functions go to standard error."""
    results = []
    for size in sizes:
        with benchmark_stack() as (spec, settings):
            spent = _measure(spec, settings, size)
        _show(spent.profile, f"blocks of {size}", _BATCHES * _BATCH)
        for what, seconds in spent.seconds.items():
            results.append(result(f"processor time, {what}, blocks of {size}", seconds * 1e6, "µs/block"))
            results.append(result(f"the same, {what}, blocks of {size}", seconds * 1e6 / size, "s/million"))
    bridge, of_functions, messages = profile_bridge()
    _show(of_functions, "the bridge", messages)
    return results + bridge


def _measure(spec: StackSpec, settings: Settings, size: int) -> Spent:
    model = make_model(_AREAS, _FEEDERS, size)
    opened = opener(settings, "benchmark")
    with opened() as connection:
        load_grid(connection, model)
    templates = [BlockTemplate(code, meters, _INTERVAL_S) for code, meters in meters_of(model).items()]
    batches = _batches(templates)
    areas, greater = Processor(opened, Counters()), Processor(opened, Counters())

    def take() -> tuple[float, float]:
        """Processor seconds of a batch of areas, and of what it tells the units above."""
        records = next(batches)
        started = time.process_time()
        told = [Record(ENERGY_UNIT, value) for _, value in bundled(areas.process(records), _PARTITIONS)]
        taken = time.process_time()
        greater.process(told)
        return taken - started, time.process_time() - taken

    for _ in range(_WARM_UP):
        take()
    before = processor_seconds(spec)["postgres"]
    of_areas, of_greater = zip(*(take() for _ in range(_BATCHES)), strict=True)
    postgres_s = processor_seconds(spec)["postgres"] - before
    profiler = cProfile.Profile(time.process_time)
    profiler.enable()
    for _ in range(_BATCHES):
        take()
    profiler.disable()
    for processor in (areas, greater):
        processor.close()
    with opened() as connection:
        _check(connection, (_WARM_UP + 2 * _BATCHES) * _BATCH)
    seconds = {
        "areas": statistics.median(of_areas) / _BATCH,
        "units above": statistics.median(of_greater) / _BATCH,
        "database": postgres_s / _BATCHES / _BATCH,
    }
    return Spent(seconds, pstats.Stats(profiler))


def _batches(templates: Sequence[BlockTemplate]) -> Iterator[list[Record]]:
    """Blocks of one interval after another, as they lie on Kafka."""
    at_us = whole_intervals_us(_INTERVAL_S) - 6 * 3_600 * 1_000_000
    records: list[Record] = []
    while True:
        for template in templates:
            records.append(Record(TELEMETRY_AREA, template.at(at_us, at_us + 5_000_000)))
            if len(records) == _BATCH:
                yield records
                records = []
        at_us += _INTERVAL_S * 1_000_000


def _check(connection: Connection, blocks: int) -> None:
    row = connection.execute("select count(*) from telemetry.block where loss_wh is null").fetchone()
    assert row == (blocks,), f"blocks: {row}"


def _show(stats: pstats.Stats, what: str, blocks: int) -> None:
    """The functions that took longest, microseconds a block, with and without what they called."""
    of_function = stats.stats  # type: ignore[attr-defined]  # typeshed leaves it out
    rows = sorted(
        ((own, whole, calls, where) for where, (_, calls, own, whole, _) in of_function.items()), reverse=True
    )
    sys.stderr.write(f"\n{what}: own and whole microseconds a block under the profiler, calls a block\n")
    for own, whole, calls, (path, line, name) in sorted(rows, reverse=True)[:_FUNCTIONS]:
        place = f"{path.removeprefix(_ROOT).lstrip('/')}:{line}" if line else ""
        figures = f"{own / blocks * 1e6:8.2f} {whole / blocks * 1e6:8.2f} {calls / blocks:8.2f}"
        sys.stderr.write(f"{figures}  {name} {place}\n")
