"""Faults of delivery: how often they happen, when, and the record of those that did."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.draws import stream
from twin.metering import MeterReadings
from twin.outbox import MessageKind

#: Days and weeks of silences are counted in UTC, weeks from a Monday.
_MONDAY_S = 4 * 86_400

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DeliveryFaults:
    """How often delivery fails; 0 turns a fault off, `DeliveryFaults.none()` all of them.

    Attributes
    ----------
    missing_share
        Readings that are missing by chance, each for itself.
    silent_share, silent_from_s, silent_to_s
        Share of readings that are missing since their meter isn't heard for some time, and how long that lasts.
    concentrator_silences_a_week, concentrator_from_s, concentrator_to_s
        How often (at most once) and for how long the unit's concentrator isn't heard.
    backlog_lost_share
        Of these silences, after how many what was held back never comes. After the others it comes at once.
    lost_share
        Messages that get lost.
    late_share, late_from_s, late_to_s
        Messages that come late (even in the logarithm).
    very_late_share, very_late_from_s, very_late_to_s
        The same by days.
    duplicate_share, duplicate_from_s, duplicate_to_s
        Messages that come once more, and how much later.
    delay_from_s, delay_to_s
        From the interval's end to the sending of a message in time.
    frozen_to_s
        Daily frozen registers are sent within this time after the delay.
    """

    missing_share: float = 0.003
    silent_share: float = 0.002
    silent_from_s: float = 3_600.0
    silent_to_s: float = 43_200.0
    concentrator_silences_a_week: float = 0.1
    concentrator_from_s: float = 3_600.0
    concentrator_to_s: float = 28_800.0
    backlog_lost_share: float = 0.1
    lost_share: float = 0.0001
    late_share: float = 0.01
    late_from_s: float = 120.0
    late_to_s: float = 21_600.0
    very_late_share: float = 0.0005
    very_late_from_s: float = 86_400.0
    very_late_to_s: float = 432_000.0
    duplicate_share: float = 0.005
    duplicate_from_s: float = 1.0
    duplicate_to_s: float = 3_600.0
    delay_from_s: float = 5.0
    delay_to_s: float = 30.0
    frozen_to_s: float = 1_800.0

    def __post_init__(self) -> None:
        for name in ("late", "very_late"):
            if not 0 < getattr(self, f"{name}_from_s") <= getattr(self, f"{name}_to_s"):
                raise ValueError(f"{name} is from more than 0 s up to no less")
        if self.lost_share + self.late_share + self.very_late_share > 1:
            raise ValueError("more than all messages are lost or late")

    @classmethod
    def none(cls) -> DeliveryFaults:
        """Everything comes once and in time."""
        off = {f.name: 0.0 for f in fields(cls) if f.name.endswith("_share")}
        return cls(**off, concentrator_silences_a_week=0.0)


class Fate(IntEnum):
    """What happened to a reading or to a message."""

    # Of a reading: it isn't in its message.
    MISSING = 1  # by chance
    SILENT = 2  # its meter isn't heard for some time
    OFF = 3  # its meter is without voltage
    # Of a whole message.
    NEVER_CAME = 4  # its concentrator was silent, and what it held is gone
    LOST = 5
    BACKLOG = 6  # its concentrator was silent, and sent it afterwards
    LATE = 7
    VERY_LATE = 8
    DUPLICATE = 9  # it came once more


#: Fates after which readings have not come.
NOT_DELIVERED = frozenset({Fate.MISSING, Fate.SILENT, Fate.OFF, Fate.NEVER_CAME, Fate.LOST})

TRUTH_DTYPE = np.dtype(
    [
        ("fate", "i1"),
        ("kind", "U6"),
        ("unit", "i4"),
        ("meter", "i4"),
        ("end_s", "i8"),
        ("interval_s", "i4"),
        ("sent_us", "i8"),
    ]
)


class DeliveryTruth:
    """What happened, a row each: `TRUTH_DTYPE`.

    `unit` and `meter` are positions, `meter` −1 for a whole message; `kind` is the message's; `sent_us` is when it came
    after all, of a duplicate when it came again, else 0. A reading without a message (since none of its unit's is
    there) has its own row alone.
    """

    def __init__(self) -> None:
        self._parts: list[NDArray[Any]] = []

    def add(
        self,
        fate: Fate,
        kind: MessageKind,
        units: NDArray[np.int64],
        meters: NDArray[np.int64] | int,
        readings: MeterReadings,
        interval_s: int,
        sent_us: NDArray[np.int64] | int = 0,
    ) -> None:
        """Add a row for each unit."""
        if not len(units):
            return
        rows = np.zeros(len(units), TRUTH_DTYPE)
        for name, value in zip(
            TRUTH_DTYPE.names or (), (fate, kind.value, units, meters, readings.end_s, interval_s, sent_us), strict=True
        ):
            rows[name] = value
        self._parts.append(rows)

    def take(self) -> NDArray[Any]:
        """Rows since the last call, in the order of their intervals."""
        parts, self._parts = self._parts, []
        return np.concatenate(parts) if parts else np.zeros(0, TRUTH_DTYPE)

    @staticmethod
    def counts(rows: NDArray[Any]) -> dict[Fate, int]:
        """Rows by fate."""
        return {fate: int((rows["fate"] == fate).sum()) for fate in Fate}


@dataclass(frozen=True, slots=True)
class Spells:
    """Times of silence: in each window one at most, with a chance, that begins anywhere in it and may outlast it."""

    seed: int
    purpose: str
    count: int
    window_s: int
    chance: float
    from_s: float
    to_s: float

    def at(
        self, instant_s: NDArray[np.float64]
    ) -> tuple[Mask, NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Whether each is silent at an instant; begin and end of that silence, and a number in [0, 1) that it has."""
        silent = np.zeros(self.count, np.bool_)
        begin_s, end_s, luck = (np.zeros(self.count) for _ in range(3))
        window = np.floor((instant_s - _MONDAY_S) / self.window_s).astype(np.int64)
        # A silence is no longer than a window: it began in this one or in the one before.
        for number in range(int(window.min()) - 1, int(window.max()) + 1):
            draw = stream(self.seed, self.purpose, number + 1).random((4, self.count))
            first_s = _MONDAY_S + number * self.window_s + draw[1] * self.window_s
            length_s = np.minimum(self.from_s + draw[2] * (self.to_s - self.from_s), self.window_s)
            within = (draw[0] < self.chance) & (instant_s >= first_s) & (instant_s < first_s + length_s)
            silent |= within
            begin_s = np.where(within, first_s, begin_s)
            end_s = np.where(within, first_s + length_s, end_s)
            luck = np.where(within, draw[3], luck)
        return silent, begin_s, end_s, luck
