"""What a worker counts while it works, for logs and metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: Upper edges of the delay's histogram, seconds; the last bucket has none.
DELAY_EDGES_S = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 600.0)


@dataclass(slots=True)
class Counters:
    """What one processor has done since it started."""

    batches: int = 0
    records: int = 0
    readings: int = 0
    rows_written: int = 0
    rejected: int = 0
    conflicts: int = 0
    seconds: float = 0.0
    busy_since: float | None = None
    """When the batch in hand was taken, by the monotonic clock; None while there is none."""
    delay_counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(DELAY_EDGES_S) + 1, np.int64))
    """Records by the time from their receipt to their commit."""
    delay_sum_s: float = 0.0

    def committed(self, received_at_us: Sequence[int], now_s: float) -> None:
        """Count the delay of records that were received at these instants and are durable now."""
        if received_at_us:
            delay_s = np.maximum(now_s - np.array(received_at_us) / 1e6, 0.0)
            self.delay_counts += np.bincount(np.searchsorted(DELAY_EDGES_S, delay_s), minlength=len(self.delay_counts))
            self.delay_sum_s += float(delay_s.sum())

    def figures(self) -> dict[str, float]:
        """The plain counts by name."""
        return {
            "batches": self.batches,
            "records": self.records,
            "readings": self.readings,
            "rows_written": self.rows_written,
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


@dataclass(frozen=True, slots=True)
class Vitals:
    """Counters of a worker's processors: `areas` for units of meters, `greater` for units of units, and points."""

    areas: Counters = field(default_factory=Counters)
    greater: Counters = field(default_factory=Counters)
    points: PointCounters = field(default_factory=PointCounters)

    def by_name(self) -> dict[str, Counters]:
        """Counters by the units that they are of."""
        return {"areas": self.areas, "greater": self.greater}

    def stalled(self, limit_s: float) -> str | None:
        """Says so when a batch has been in hand for longer than `limit_s`; None when commits go on."""
        for name, counters in self.by_name().items():
            since = counters.busy_since
            if since is not None and (busy_s := time.monotonic() - since) > limit_s:
                return f"nothing was committed for {name} for {busy_s:.0f} s"
        return None
