"""A breaker before a receiver: after some failures in a row it is left alone for a while, then tried with one; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta


@dataclass(slots=True)
class Breaker:
    """State of one receiver, of one process; a new process begins with a closed one.

    Attributes
    ----------
    failures
        In a row, after which it opens.
    first_s, most_s
        How long it stays open: doubled each time the trial fails, up to the second.
    """

    failures: int = 5
    first_s: float = 5.0
    most_s: float = 300.0
    _failed: int = field(default=0, init=False)
    _opened: int = field(default=0, init=False)
    _until: datetime | None = field(default=None, init=False)

    def allowed(self, now: datetime, most: int) -> int:
        """How many deliveries may be tried now."""
        if self._until is None:
            return most
        return 1 if now >= self._until else 0

    def note(self, delivered: int, failed: int, now: datetime) -> None:
        """Count what came of some deliveries; one that arrived closes it."""
        if delivered:
            self._failed, self._opened, self._until = 0, 0, None
            return
        self._failed += failed
        if failed and self._failed >= self.failures:
            pause_s = min(self.most_s, self.first_s * 2.0 ** min(self._opened, 20))
            self._opened += 1
            self._until = now + timedelta(seconds=pause_s)
