"""What a person asked for and can't be done."""

from __future__ import annotations


class RolloutError(ValueError):
    """Nothing was written; the message says why."""


class NotFoundError(RolloutError):
    """There is no such thing."""


class TakenError(RolloutError):
    """Somebody else was faster: read it again."""
