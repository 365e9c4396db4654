"""A finding: that something is wrong somewhere, as any part of Meterline says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import isfinite
from types import MappingProxyType
from typing import Any

#: What a figure may be: never a list, so that no series of readings can leave with it.
Scalar = int | float | str | bool | None

_KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MAX_FIGURES = 32
_MAX_TEXT = 200


class Severity(StrEnum):
    """How much it matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Greater matters more."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition at a unit or a meter, as it was seen at an instant.

    The same condition seen again has the same fingerprint: it is one finding for as long as it holds.

    Attributes
    ----------
    kind
        What is wrong, such as ``high_loss``: lower case letters, digits, underscores.
    unit
        Code of the unit that it is about, or that the meter hangs on.
    fingerprint
        Names the condition, at most 200 characters.
    begin
        Since when it holds; aware.
    seen_at
        When it was seen to hold, or not to hold any more; aware, not before `begin`.
    holds
        False: it has ended.
    figures
        What others are told of it: at most 32 numbers and short texts, with units in their names.
    evidence
        What stays inside: how it was found, whom it concerns. Plain values that JSON can hold.

    Raises
    ------
    ValueError
        When a field is none of these.
    """

    kind: str
    severity: Severity
    unit: str
    fingerprint: str
    begin: datetime
    seen_at: datetime
    holds: bool = True
    meter: str | None = None
    figures: Mapping[str, Scalar] = field(default_factory=dict)
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _KIND.fullmatch(self.kind):
            raise ValueError(f"no kind of finding: {self.kind!r}")
        if not 0 < len(self.fingerprint) <= _MAX_TEXT or not self.unit:
            raise ValueError("a finding needs a fingerprint of at most 200 characters, and a unit")
        if self.begin.tzinfo is None or self.seen_at.tzinfo is None:
            raise ValueError("times of a finding say their time zone")
        if self.seen_at < self.begin:
            raise ValueError("a finding isn't seen before it begins")
        if len(self.figures) > _MAX_FIGURES or not all(_is_figure(value) for value in self.figures.values()):
            raise ValueError(f"figures are at most {_MAX_FIGURES} finite numbers and short texts")
        object.__setattr__(self, "figures", MappingProxyType(dict(self.figures)))
        object.__setattr__(self, "evidence", MappingProxyType(dict(self.evidence)))


def fingerprint_of(kind: str, unit: str, meter: str | None = None) -> str:
    """The usual name of a condition: its kind and where it is."""
    return f"{kind}:{unit}" if meter is None else f"{kind}:{unit}/{meter}"


def _is_figure(value: object) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    return value is None or isinstance(value, bool | int) or (isinstance(value, str) and len(value) <= _MAX_TEXT)
