"""Reliability indices of IEEE Std 1366: SAIDI, SAIFI, CAIDI, and time to restore; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

#: How many customers were without supply from so many seconds after the begin on.
Steps = Sequence[tuple[float, int]]
#: Seconds without supply, and how many customers had them.
Part = tuple[float, int]


def restored(length_s: float, customers: int, steps: Steps = ()) -> list[Part]:
    """How long customers of an outage were without supply, as it came back step by step.

    Parameters
    ----------
    length_s
        From the first customer out until all have supply.
    customers
        How many were interrupted: for the whole length where no steps are known.
    steps
        In the order of time. Who lost supply first is taken to have it back first: the sum of customers times seconds
        doesn't depend on that.
    """
    out: deque[tuple[float, int]] = deque()
    parts: list[Part] = []
    number = 0
    for n, (after_s, count) in enumerate(steps or ((0.0, customers),)):
        at_s = min(max(float(after_s), 0.0), length_s) if n else 0.0
        if count > number:
            out.append((at_s, count - number))
        back = max(number - count, 0)
        while back:
            since_s, lost = out.popleft()
            parts.append((at_s - since_s, min(back, lost)))
            if lost > back:
                out.appendleft((since_s, lost - back))
            back -= min(back, lost)
        number = count
    return parts + [(length_s - since_s, lost) for since_s, lost in out]


@dataclass(frozen=True, slots=True)
class Outage:
    """An interruption of supply that is over."""

    begin_at: datetime
    ended_at: datetime
    customers: int
    planned: bool = False
    steps: Steps = ()

    @property
    def seconds(self) -> float:
        """From the first customer out until supply is back."""
        return (self.ended_at - self.begin_at).total_seconds()

    @property
    def parts(self) -> list[Part]:
        """As `restored`."""
        return restored(self.seconds, self.customers, self.steps)


@dataclass(frozen=True, slots=True)
class Reliability:
    """Indices of a span.

    Attributes
    ----------
    saidi_minutes
        Minutes without supply of a customer, on average over all who are served.
    saifi
        Sustained interruptions of a customer, on average.
    caidi_minutes
        Minutes of an interruption, on average over those interrupted: SAIDI / SAIFI; None without any.
    maifi
        Momentary interruptions of a customer, on average.
    restore_minutes, restore_median_minutes
        Of an outage, whomever it concerned; None without any.
    sustained, momentary
        How many outages.
    customers
        Who are served.
    """

    saidi_minutes: float
    saifi: float
    caidi_minutes: float | None
    maifi: float
    restore_minutes: float | None
    restore_median_minutes: float | None
    sustained: int
    momentary: int
    customers: int


def indices(outages: Sequence[Outage], customers: int, sustained_s: float = 300.0) -> Reliability | None:
    """Indices of outages that began within a span; None where nobody is served.

    An interruption of up to `sustained_s` is momentary, and is in MAIFI alone (IEEE 1366, 3.17: five minutes), also
    when others of the same outage wait longer.
    """
    if customers <= 0:
        return None
    parts = [part for o in outages for part in o.parts]
    interrupted = sum(count for seconds, count in parts if seconds > sustained_s)
    customer_s = sum(count * seconds for seconds, count in parts if seconds > sustained_s)
    momentary = sum(count for seconds, count in parts if seconds <= sustained_s)
    lengths = [o.seconds / 60 for o in outages if o.seconds > sustained_s]
    return Reliability(
        saidi_minutes=customer_s / 60 / customers,
        saifi=interrupted / customers,
        caidi_minutes=customer_s / 60 / interrupted if interrupted else None,
        maifi=momentary / customers,
        restore_minutes=sum(lengths) / len(lengths) if lengths else None,
        restore_median_minutes=median(lengths) if lengths else None,
        sustained=len(lengths),
        momentary=len(outages) - len(lengths),
        customers=customers,
    )
