"""Checks that messages of every kind share, pure: where they come from, and whether they can be read at all."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from grid.errors import Reason
from grid.model import UnitKind
from grid.ports import Directory

#: A block of the greatest area is well below 1 MiB.
MAX_PAYLOAD = 1 << 20
#: A device's clock may be this far ahead; further, the message waits in quarantine.
MAX_AHEAD_US = 5 * 60 * 1_000_000
#: A device whose clock has fallen back to its first day would open a table for that day.
MAX_BEHIND_US = 400 * 86_400 * 1_000_000

_TOPIC_PARTS = 5

T = TypeVar("T")


class RefusedError(Exception):
    """A message can't be taken at all."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def parse_topic(topic: str, kind: str) -> tuple[str, str]:
    """Gateway and unit of a topic ``meterline/v1/{gateway}/{kind}/{unit}``."""
    parts = topic.split("/")
    if len(parts) != _TOPIC_PARTS or parts[:2] != ["meterline", "v1"] or parts[3] != kind:
        raise RefusedError(Reason.BAD_TOPIC, f"expected meterline/v1/{{gateway}}/{kind}/{{unit}}")
    return parts[2], parts[4]


def check_size(payload: bytes) -> None:
    """Refuse what is too large: first of all, since it must not wait in quarantine for its unit."""
    if len(payload) > MAX_PAYLOAD:
        raise RefusedError(Reason.TOO_LARGE, f"{len(payload)} bytes; the limit is {MAX_PAYLOAD}")


def check_sender(gateway: str, unit: str, directory: Directory) -> UnitKind:
    """Kind of the unit, which the gateway must read."""
    kind = directory.unit_kind(unit)
    if kind is None:
        raise RefusedError(Reason.UNKNOWN_UNIT, f"no unit {unit!r} in the grid model")
    if not directory.may_send(gateway, unit):
        raise RefusedError(Reason.NOT_SENDERS_UNIT, f"{gateway!r} doesn't read {unit!r}")
    return kind


def parse(decoder: msgspec.json.Decoder[T], payload: bytes) -> T:
    """The message that `payload` holds as JSON."""
    try:
        return decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise RefusedError(Reason.INVALID_FIELD, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(Reason.INVALID_JSON, str(error)) from None
