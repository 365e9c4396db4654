"""How a gateway numbers its messages, and what is missing of them (补采: asking for it again)."""

from __future__ import annotations

from dataclasses import dataclass

#: A closed range of numbers (first, last).
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Numbering:
    """One counting of a gateway's messages, from a start or restart of its counter on.

    Attributes
    ----------
    gateway
        Account at the broker.
    numbering
        Which counting this is, from 1; it rises by one whenever the gateway's counter starts anew.
    started_at_us
        When its first message was noticed, microseconds since 1970 UTC.
    first, last
        First number that was heard of it, and the greatest that Kafka has acknowledged.
    zero_digest
        Check sum of the message with the number 0, which tells its repeat from a new start; None when it wasn't heard.
    """

    gateway: str
    numbering: int
    started_at_us: int
    first: int
    last: int
    zero_digest: int | None = None

    def __post_init__(self) -> None:
        if self.numbering < 1 or not 0 <= self.first <= self.last:
            raise ValueError(f"no numbering: {self}")


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers of one counting that were passed over.

    Attributes
    ----------
    first, last
        Numbers that the gap had when it was noticed; with `gateway` and `numbering`, `first` names it.
    missing
        What is still missing of them, rising; empty once it is filled.
    requests, requested_at_us
        How often it was asked for, and when last; None before.
    fruitless
        How many of the last of these in a row have brought nothing.
    filled_at_us
        When the last number came; None while any is missing.
    """

    gateway: str
    numbering: int
    first: int
    last: int
    missing: tuple[Span, ...]
    noticed_at_us: int
    requests: int = 0
    requested_at_us: int | None = None
    fruitless: int = 0
    filled_at_us: int | None = None

    def __post_init__(self) -> None:
        edges = [self.first, *(edge for span in self.missing for edge in span), self.last]
        if edges != sorted(edges) or bool(self.missing) != (self.filled_at_us is None):
            raise ValueError(f"no gap: {self}")
