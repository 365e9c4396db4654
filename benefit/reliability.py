"""Reliability indices of IEEE Std 1366: SAIDI, SAIFI, CAIDI, and time to restore; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median


@dataclass(frozen=True, slots=True)
class Outage:
    """An interruption of supply that is over."""

    begin_at: datetime
    ended_at: datetime
    customers: int
    planned: bool = False

    @property
    def seconds(self) -> float:
        """From the first customer out until supply is back."""
        return (self.ended_at - self.begin_at).total_seconds()


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

    An interruption of up to `sustained_s` is momentary, and is in MAIFI alone (IEEE 1366, 3.17: five minutes).
    """
    if customers <= 0:
        return None
    sustained = [o for o in outages if o.seconds > sustained_s]
    momentary = [o for o in outages if o.seconds <= sustained_s]
    interrupted = sum(o.customers for o in sustained)
    customer_s = sum(o.customers * o.seconds for o in sustained)
    lengths = [o.seconds / 60 for o in sustained]
    return Reliability(
        saidi_minutes=customer_s / 60 / customers,
        saifi=interrupted / customers,
        caidi_minutes=customer_s / 60 / interrupted if interrupted else None,
        maifi=sum(o.customers for o in momentary) / customers,
        restore_minutes=sum(lengths) / len(lengths) if lengths else None,
        restore_median_minutes=median(lengths) if lengths else None,
        sustained=len(sustained),
        momentary=len(momentary),
        customers=customers,
    )
