"""The network channel (通道) between a site and the centre: what was measured of it, and what the site's traffic needs.

A round trip is from the site to the broker and back by the site's own clock, since one way can't be measured without
trusting two clocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

import numpy as np

#: Of a reading with all its columns as columnar JSON, and of a message around its readings with its headers below.
BYTES_PER_METER = 112
BYTES_PER_BLOCK = 512
_HIGH = 95.0


class Shortfall(StrEnum):
    """Where a channel doesn't do what its traffic needs."""

    UNREACHABLE = "unreachable"
    DELAY = "delay"
    JITTER = "jitter"
    LOSS = "loss"
    THROUGHPUT = "throughput"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a site sends: `blocks` messages an interval with `meters` readings together."""

    meters: int
    blocks: int
    interval_s: int

    def __post_init__(self) -> None:
        if self.meters < 0 or self.blocks < 0 or self.interval_s <= 0:
            raise ValueError(
                "traffic is so many meters and messages, none negative, in an interval longer than nothing"
            )

    @property
    def bytes_per_interval(self) -> int:
        """Size of what is sent in an interval."""
        return self.meters * BYTES_PER_METER + self.blocks * BYTES_PER_BLOCK


@dataclass(frozen=True, slots=True)
class Limits:
    """What a channel must keep.

    Attributes
    ----------
    delay_s
        95th percentile of the round trip.
    jitter_s
        Mean difference between one round trip and the next.
    loss
        Share of messages that don't come back.
    clock_s
        How far the site's clock may be off.
    share
        Of an interval, in which all its traffic must be through; the rest is for what is sent again (补采).
    """

    delay_s: float = 1.0
    jitter_s: float = 0.3
    loss: float = 0.01
    clock_s: float = 1.0
    share: float = 0.1


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured; None where it couldn't be. See `Limits`.

    Attributes
    ----------
    delay_s, delay_high_s
        Median and 95th percentile of the round trips that came back.
    bytes_per_s
        Payload that the broker acknowledged.
    clock_offset_s, clock_error_s
        The site's clock less the centre's, and what it is known to within (±).
    """

    sent: int
    returned: int
    delay_s: float | None = None
    delay_high_s: float | None = None
    jitter_s: float | None = None
    bytes_per_s: float | None = None
    clock_offset_s: float | None = None
    clock_error_s: float | None = None

    def __post_init__(self) -> None:
        numbers = (
            self.delay_s, self.delay_high_s, self.jitter_s, self.bytes_per_s, self.clock_offset_s, self.clock_error_s
        )  # fmt: skip
        if any(number is not None and not isfinite(number) for number in numbers):
            raise ValueError("what was measured is a number")
        if any(number is not None and number < 0 for number in (*numbers[:4], self.clock_error_s)):
            raise ValueError("nothing but a clock's offset is negative")
        if self.sent <= 0 or not 0 <= self.returned <= self.sent:
            raise ValueError("some messages were sent, and not more came back")
        delays = (self.delay_s, self.delay_high_s, self.jitter_s)
        if any((delay is None) != (self.returned == 0) for delay in delays):
            raise ValueError("delays are known of what came back")
        if self.delay_s is not None and self.delay_high_s is not None and self.delay_high_s < self.delay_s:
            raise ValueError("the 95th percentile is not below the median")
        if (self.clock_offset_s is None) != (self.clock_error_s is None):
            raise ValueError("a clock's offset is told with its error")

    @property
    def loss(self) -> float:
        """Share that didn't come back."""
        return (self.sent - self.returned) / self.sent


def summarise(
    delays_s: Sequence[float | None],
    bytes_per_s: float | None = None,
    clock: tuple[float, float] | None = None,
) -> Measured:
    """What a series of round trips comes to.

    Parameters
    ----------
    delays_s
        In the order sent; None: it didn't come back.
    clock
        Offset and its error.

    Notes
    -----
    Jitter is the mean of the absolute differences between one round trip and the next that came back (delay variation
    of RFC 3393 between neighbours); 0 where only one did.
    """
    back = np.array([delay for delay in delays_s if delay is not None], np.float64)
    offset, error = (None, None) if clock is None else clock
    if back.size == 0:
        return Measured(len(delays_s), 0, None, None, None, bytes_per_s, offset, error)
    jitter = float(np.abs(np.diff(back)).mean()) if back.size > 1 else 0.0
    middle, high = (float(value) for value in np.percentile(back, [50.0, _HIGH]))
    return Measured(len(delays_s), int(back.size), middle, high, jitter, bytes_per_s, offset, error)


def bytes_per_s_needed(traffic: Traffic, limits: Limits) -> float:
    """Throughput with which an interval's traffic is through in its share of the interval."""
    return traffic.bytes_per_interval / (limits.share * traffic.interval_s)


def shortfalls(measured: Measured, traffic: Traffic, limits: Limits) -> tuple[Shortfall, ...]:
    """What a channel doesn't keep; a clock is off only where that is certain, with its error."""
    if measured.delay_high_s is None or measured.jitter_s is None:
        return (Shortfall.UNREACHABLE,)
    offset, error = measured.clock_offset_s, measured.clock_error_s
    needed = bytes_per_s_needed(traffic, limits)
    broken = {
        Shortfall.DELAY: measured.delay_high_s > limits.delay_s,
        Shortfall.JITTER: measured.jitter_s > limits.jitter_s,
        Shortfall.LOSS: measured.loss > limits.loss,
        Shortfall.THROUGHPUT: measured.bytes_per_s is not None and measured.bytes_per_s < needed,
        Shortfall.CLOCK: offset is not None and error is not None and abs(offset) - error > limits.clock_s,
    }
    return tuple(shortfall for shortfall, is_broken in broken.items() if is_broken)
