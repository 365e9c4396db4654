"""Gaps in what gateways number, pure: which numbers are missing, and which of them to ask for now.

The rules:

- A number one above the last is the usual case. One further above leaves a gap of those between.
- A number that is missing in a gap fills it; any other that isn't above the last is a repeat.
- Two numbers in a row, over `MAX_GAP` away from the last and near each other, are a new numbering: the gateway's
  counter was set anew. One alone may be a fault of the gateway and moves nothing.
- The number 0 is a new numbering at once, unless it is missing or has come already with the same content.
- What was missing of an earlier numbering can't be asked for any more, since its numbers mean other messages now.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from grid.numbering import Gap, Numbering, Span

#: A gateway that was off for a week of quarter-hours and reads a hundred areas comes back with less.
MAX_GAP = 100_000
#: Ranges of missing numbers that are kept of one gateway; further gaps become one with the newest.
MAX_SPANS = 1_024
MAX_GATEWAYS = 200_000
_MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class AskLimits:
    """How patiently gaps are asked for.

    Attributes
    ----------
    wait_us
        From noticing to the first request; then it doubles with each that brought nothing, up to `longest_us`.
    tries
        Requests in a row that bring nothing, after which a gap is given up.
    outstanding
        Requests of one gateway that may be unanswered.
    numbers
        Messages that one request may ask for.
    at_once
        Requests in one round, over all gateways.
    """

    wait_us: int = 5_000_000
    longest_us: int = 60 * _MINUTE_US
    tries: int = 10
    outstanding: int = 4
    numbers: int = 1_000
    at_once: int = 200

    def __post_init__(self) -> None:
        if min(self.wait_us, self.tries, self.outstanding, self.numbers, self.at_once) < 1:
            raise ValueError(f"every limit must be positive: {self}")


@dataclass(frozen=True, slots=True)
class ResendRequest:
    """Messages `first` to `last` of a gateway, both included, that it is to send again."""

    gateway: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What the ledger doesn't have yet."""

    numberings: tuple[Numbering, ...]
    gaps: tuple[Gap, ...]

    def __bool__(self) -> bool:
        return bool(self.numberings or self.gaps)


@dataclass(slots=True)
class _Open:
    first: int
    last: int
    noticed_at_us: int
    missing: list[Span]
    requests: int = 0
    requested_at_us: int | None = None
    # Requests since the last number that came, what they asked for, and when it came.
    fruitless: int = 0
    asked_to: int = -1
    progress_at_us: int = 0
    #: The ledger knows of it, or may.
    kept: bool = False

    def frozen(self, gateway: str, numbering: int, filled_at_us: int | None = None) -> Gap:
        return Gap(
            gateway,
            numbering,
            self.first,
            self.last,
            tuple(self.missing),
            self.noticed_at_us,
            self.requests,
            self.requested_at_us,
            self.fruitless,
            filled_at_us,
        )

    def take(self, number: int, room: bool) -> bool:
        """Take `number` out of what is missing; false when it wasn't, or there is no room to split a range."""
        at = bisect_right(self.missing, (number, 1 << 63)) - 1
        if at < 0 or self.missing[at][1] < number:
            return False
        first, last = self.missing[at]
        left = [(first, number - 1)] if first < number else []
        right = [(number + 1, last)] if number < last else []
        if left and right and not room:
            return False
        self.missing[at : at + 1] = left + right
        return True


@dataclass(slots=True)
class _Gateway:
    numbering: int
    started_at_us: int
    first: int
    last: int
    zero_digest: int | None
    heard_at_us: int
    far: int | None = None
    gaps: list[_Open] = field(default_factory=list)

    def frozen(self, gateway: str) -> Numbering:
        return Numbering(gateway, self.numbering, self.started_at_us, self.first, self.last, self.zero_digest)

    @property
    def spans(self) -> int:
        return sum(len(gap.missing) for gap in self.gaps)


class GapTracker:
    """What was heard of every gateway's numbers. Not safe for threads.

    Parameters
    ----------
    limits
        See `AskLimits`.
    numberings, gaps
        What the ledger has kept.
    """

    def __init__(
        self, limits: AskLimits, numberings: Iterable[Numbering] = (), gaps: Iterable[Gap] = (), now_us: int = 0
    ) -> None:
        self._limits = limits
        self._gateways = {
            n.gateway: _Gateway(n.numbering, n.started_at_us, n.first, n.last, n.zero_digest, now_us)
            for n in numberings
        }
        self._moved: set[str] = set()
        # Gaps that the ledger has otherwise, by gateway and first number; and those that were closed meanwhile.
        self._touched: dict[tuple[str, int], _Open] = {}
        self._closed: list[Gap] = []
        self._asking: set[str] = set()
        self.noticed = self.filled = self.requested = self.restarts = self.untracked = 0
        for gap in sorted(gaps, key=lambda gap: gap.first):
            state = self._gateways.get(gap.gateway)
            if state is not None and gap.numbering == state.numbering and gap.missing:
                self._asking.add(gap.gateway)
                state.gaps.append(
                    _Open(
                        gap.first,
                        gap.last,
                        gap.noticed_at_us,
                        list(gap.missing),
                        gap.requests,
                        gap.requested_at_us,
                        fruitless=gap.fruitless,
                        asked_to=gap.last if gap.requests else -1,
                        kept=True,
                    )
                )

    def observe(self, gateway: str, number: int, now_us: int, digest: int | None = None) -> None:
        """Take note of a message that is durable.

        Parameters
        ----------
        number
            The gateway's number of it.
        now_us
            Microseconds since 1970 UTC.
        digest
            Check sum of its content; needed of number 0 only.
        """
        state = self._gateways.get(gateway)
        if state is None:
            if len(self._gateways) >= MAX_GATEWAYS:
                self.untracked += 1
                return
            self._start(gateway, 1, number, now_us, digest)
            return
        state.heard_at_us = now_us
        if number == state.last + 1:
            state.last, state.far = number, None
            self._moved.add(gateway)
        elif self._fill(gateway, state, number, now_us):
            if number == 0:
                state.zero_digest = digest
                self._moved.add(gateway)
        elif number == 0 and digest != state.zero_digest:
            self._restart(gateway, state, number, now_us, digest)
        elif abs(number - state.last) > MAX_GAP + 1:
            self._far(gateway, state, number, now_us)
        elif number > state.last:
            state.far = None
            self._open(gateway, state, number, now_us)

    def _start(self, gateway: str, numbering: int, number: int, now_us: int, digest: int | None) -> None:
        zero = digest if number == 0 else None
        self._gateways[gateway] = _Gateway(numbering, now_us, number, number, zero, now_us)
        self._moved.add(gateway)

    def _restart(self, gateway: str, state: _Gateway, number: int, now_us: int, digest: int | None) -> None:
        self.restarts += 1
        self._asking.discard(gateway)
        for gap in state.gaps:
            if self._touched.pop((gateway, gap.first), None):
                self._closed.append(gap.frozen(gateway, state.numbering))
        self._start(gateway, state.numbering + 1, number, now_us, digest)

    def _far(self, gateway: str, state: _Gateway, number: int, now_us: int) -> None:
        first = state.far
        if first is None or not 0 < number - first <= MAX_GAP:
            state.far = number
            return
        self._restart(gateway, state, first, now_us, None)
        self.observe(gateway, number, now_us)

    def _open(self, gateway: str, state: _Gateway, number: int, now_us: int) -> None:
        missing = (state.last + 1, number - 1)
        if state.gaps and state.spans >= MAX_SPANS:
            # What lies between is asked for once more, and a repeat does no harm.
            gap = state.gaps[-1]
            gap.missing[-1] = (gap.missing[-1][0], missing[1])
            gap.last = missing[1]
        else:
            gap = _Open(*missing, now_us, [missing])
            state.gaps.append(gap)
            self.noticed += 1
        state.last = number
        self._moved.add(gateway)
        self._asking.add(gateway)
        self._touched[gateway, gap.first] = gap

    def _fill(self, gateway: str, state: _Gateway, number: int, now_us: int) -> bool:
        if not state.gaps or number > state.last:
            return False
        at = bisect_right(state.gaps, number, key=lambda gap: gap.first) - 1
        if at < 0 or not state.gaps[at].take(number, state.spans < MAX_SPANS):
            return False
        gap = state.gaps[at]
        gap.fruitless, gap.progress_at_us = 0, now_us
        if gap.missing:
            self._touched[gateway, gap.first] = gap
            return True
        del state.gaps[at]
        self._touched.pop((gateway, gap.first), None)
        self.filled += 1
        if not state.gaps:
            self._asking.discard(gateway)
        if gap.kept:  # what nobody was told of needn't be told as filled
            self._closed.append(gap.frozen(gateway, state.numbering, now_us))
        return True

    def ask(self, now_us: int) -> list[ResendRequest]:
        """Requests that are due, and from now on outstanding."""
        requests: list[ResendRequest] = []
        for gateway in sorted(self._asking):
            if len(requests) >= self._limits.at_once:
                break
            state = self._gateways[gateway]
            outstanding = 0
            for gap in state.gaps:
                if outstanding >= self._limits.outstanding or len(requests) >= self._limits.at_once:
                    break
                if gap.fruitless >= self._limits.tries:
                    continue
                if not self._is_due(gap, state, now_us):
                    outstanding += self._is_outstanding(gap, now_us)
                    continue
                outstanding += 1
                requests.append(self._request(gateway, gap, now_us))
        self.requested += len(requests)
        return requests

    def _is_outstanding(self, gap: _Open, now_us: int) -> bool:
        # One that has long been silent doesn't hold the others up, and is still asked for from time to time.
        return gap.requested_at_us is not None and now_us < gap.requested_at_us + 12 * self._limits.wait_us

    def _is_due(self, gap: _Open, state: _Gateway, now_us: int) -> bool:
        if gap.requested_at_us is None:
            return now_us >= gap.noticed_at_us + self._limits.wait_us
        if gap.fruitless and state.heard_at_us <= gap.requested_at_us:
            return False  # who is silent can't answer: no try is wasted on it
        if not gap.fruitless and gap.missing[0][0] > gap.asked_to:
            return True  # all that was asked for has come
        wait_us = min(self._limits.wait_us << gap.fruitless, self._limits.longest_us)
        return now_us >= max(gap.requested_at_us, gap.progress_at_us) + wait_us

    def _request(self, gateway: str, gap: _Open, now_us: int) -> ResendRequest:
        first = gap.missing[0][0]
        last = min(gap.missing[-1][1], first + self._limits.numbers - 1)
        gap.requests += 1
        gap.fruitless += 1
        gap.requested_at_us = now_us
        gap.asked_to = last
        self._touched[gateway, gap.first] = gap
        return ResendRequest(gateway, first, last)

    def take_changes(self) -> Changes:
        """What the ledger doesn't have yet; `put_back` it when it can't be saved."""
        changes = Changes(
            tuple(self._gateways[gateway].frozen(gateway) for gateway in sorted(self._moved)),
            tuple(self._closed)
            + tuple(
                gap.frozen(gateway, self._gateways[gateway].numbering) for (gateway, _), gap in self._touched.items()
            ),
        )
        for gap in self._touched.values():
            gap.kept = True
        self._moved.clear()
        self._touched.clear()
        self._closed.clear()
        return changes

    def put_back(self, changes: Changes) -> None:
        """Note that `changes` weren't saved."""
        self._moved.update(n.gateway for n in changes.numberings)
        for change in changes.gaps:
            state = self._gateways[change.gateway]
            gap = next((gap for gap in state.gaps if gap.first == change.first), None)
            if gap is not None and change.numbering == state.numbering:
                self._touched[change.gateway, gap.first] = gap
            elif change.filled_at_us is not None or change.numbering != state.numbering:
                self._closed.append(change)

    def open_gaps(self) -> tuple[int, int, int]:
        """Open gaps, messages missing in them, and how many of the gaps were given up."""
        gaps = [gap for gateway in self._asking for gap in self._gateways[gateway].gaps]
        missing = sum(last - first + 1 for gap in gaps for first, last in gap.missing)
        return len(gaps), missing, sum(gap.fruitless >= self._limits.tries for gap in gaps)
