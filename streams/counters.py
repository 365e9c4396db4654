"""What a worker counts while it works, for logs and metrics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from grid.errors import Rejection
from streams.view_cache import CacheFigures

#: Upper edges of the histograms of delay, seconds; the last bucket has none.
DELAY_EDGES_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 600.0)
#: Of the time from the end of an interval: a concentrator may report hours later.
AGE_EDGES_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 604_800.0)
#: Of the time that a batch takes until it is durable.
FLUSH_EDGES_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
#: Of the records in a batch.
BATCH_EDGES = (1, 4, 16, 64, 256, 1_000, 4_096, 20_000)


class Histogram:
    """How many values lie up to each edge, and their sum.

    Parameters
    ----------
    edges
        Upper edges, rising; a value on an edge lies below it. The last bucket has none.
    """

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = tuple(edges)
        self.counts: NDArray[np.int64] = np.zeros(len(edges) + 1, np.int64)
        self.total = 0.0

    def add(self, values: ArrayLike) -> None:
        """Count values; what lies below 0, by a clock that runs ahead, counts as 0."""
        array = np.maximum(np.atleast_1d(np.asarray(values, np.float64)), 0.0)
        self.counts = self.counts + np.bincount(np.searchsorted(self.edges, array), minlength=len(self.counts))
        self.total += float(array.sum())


@dataclass(slots=True)
class Counters:
    """What one processor has done since it started."""

    batches: int = 0
    records: int = 0
    readings: int = 0
    rows_written: int = 0
    published: int = 0
    """Revisions of results."""
    rejected: int = 0
    conflicts: int = 0
    seconds: float = 0.0
    busy_since: float | None = None
    """When the batch in hand was taken, by the monotonic clock; None while there is none."""
    reasons: Counter[str] = field(default_factory=Counter)
    """What was put into the rejected store, by reason."""
    received_delay: Histogram = field(default_factory=lambda: Histogram(DELAY_EDGES_S))
    """Seconds from the receipt of a record to its commit."""
    observed_delay: Histogram = field(default_factory=lambda: Histogram(AGE_EDGES_S))
    """Seconds from the end of the interval that a record is of to its commit."""
    batch_records: Histogram = field(default_factory=lambda: Histogram(BATCH_EDGES))
    flush: Histogram = field(default_factory=lambda: Histogram(FLUSH_EDGES_S))
    """Seconds from taking a batch to its commit, the waits for an absent store included."""
    slowest_flush_s: float = 0.0
    """The longest of these since it was last told."""
    estimates: Counter[str] = field(default_factory=Counter)
    """Values that were missing when a limit passed, by what was made of them (`streams.steps.estimate.KINDS`)."""
    estimate_seconds: float = 0.0

    last_delay_s: float = 0.0
    """Mean delay from receipt of the last batch."""
    last_commit_s: float = float("-inf")
    """When it was committed, by the monotonic clock."""

    def committed(
        self, received_at_us: Sequence[int], now_s: float, observed_at_us: Sequence[int] | NDArray[np.int64] = ()
    ) -> None:
        """Count the delays of records that were received, and observed, at these instants and are durable now."""
        received_s = now_s - np.array(received_at_us, np.int64) / 1e6
        self.received_delay.add(received_s)
        if len(received_s):
            self.last_delay_s = float(received_s.mean())
            self.last_commit_s = time.monotonic()
        self.observed_delay.add(now_s - np.array(observed_at_us, np.int64) / 1e6)

    def flushed(self, records: int, seconds: float) -> None:
        """Count a batch of so many records that became durable so long after it was taken."""
        self.batch_records.add(records)
        self.flush.add(seconds)
        self.slowest_flush_s = max(self.slowest_flush_s, seconds)

    def refused(self, rejections: Iterable[Rejection]) -> None:
        """Count what was put into the rejected store."""
        for rejection in rejections:
            self.rejected += 1
            self.reasons[rejection.reason.value] += 1

    def figures(self) -> dict[str, float]:
        """The plain counts by name."""
        return {
            "batches": self.batches,
            "records": self.records,
            "readings": self.readings,
            "rows_written": self.rows_written,
            "published": self.published,
            "rejected": self.rejected,
            "conflicts": self.conflicts,
            "seconds": round(self.seconds, 3),
        }


@dataclass(slots=True)
class PointCounters:
    """What has become of SCADA points since the worker started."""

    messages: int = 0
    reports: int = 0
    rows_written: int = 0
    rejected: int = 0
    stand_ins: int = 0
    stand_ins_without_meter: int = 0
    switch_changes: int = 0
    switch_changes_unwritten: int = 0
    seconds: float = 0.0

    def figures(self) -> dict[str, float]:
        """The counts by name."""
        return {name: round(getattr(self, name), 3) for name in PointCounters.__dataclass_fields__}


@dataclass(slots=True)
class Vitals:
    """What a worker's parts count.

    Attributes
    ----------
    areas, greater, scada, events, again, backfill, refusals
        Counters of the units of meters, of the units of units, of what the SCADA's topic brings, of device events, of
        what is settled again, of the backfill's lane, and of what ingest refused.
    points
        Counters of SCADA points.
    cache
        Asked for the state of the cache of the grid model, which they share.
    lag
        Records of a topic's partition that are not acknowledged, of this worker's partitions; replaced as a whole, and
        empty while Kafka doesn't answer.
    backfill_lag
        The same of the backfill's lane, as of the last batch of each partition.
    dropped
        Records of a topic's partition that Kafka's retention removed before they were acknowledged.
    """

    areas: Counters = field(default_factory=Counters)
    greater: Counters = field(default_factory=Counters)
    scada: Counters = field(default_factory=Counters)
    events: Counters = field(default_factory=Counters)
    again: Counters = field(default_factory=Counters)
    backfill: Counters = field(default_factory=Counters)
    refusals: Counters = field(default_factory=Counters)
    points: PointCounters = field(default_factory=PointCounters)
    cache: Callable[[], CacheFigures] = lambda: CacheFigures(0, 0, 0, 0)
    lag: Mapping[tuple[str, int], int] = field(default_factory=dict)
    backfill_lag: dict[tuple[str, int], int] = field(default_factory=dict)
    dropped: Counter[tuple[str, int]] = field(default_factory=Counter)

    def by_name(self) -> dict[str, Counters]:
        """Counters by what they are of."""
        return {
            "areas": self.areas,
            "greater": self.greater,
            "scada": self.scada,
            "events": self.events,
            "again": self.again,
            "backfill": self.backfill,
            "refusals": self.refusals,
        }

    def stalled(self, limit_s: float) -> str | None:
        """Says so when a batch has been in hand for longer than `limit_s`; None when commits go on."""
        for name, counters in self.by_name().items():
            since = counters.busy_since
            if since is not None and (busy_s := time.monotonic() - since) > limit_s:
                return f"nothing was committed for {name} for {busy_s:.0f} s"
        return None
