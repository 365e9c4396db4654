"""Checks that messages of every kind share, pure: where they come from, and whether they can be read at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.errors import Reason, Rejection
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
BatchT = TypeVar("BatchT")


@dataclass(frozen=True, slots=True)
class DecodedBatch(Generic[BatchT]):
    """What came of one message: its entries unless all were refused, and what was refused."""

    batch: BatchT | None
    rejections: tuple[Rejection, ...]


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


def instants_us(instants: Sequence[datetime]) -> NDArray[np.int64]:
    """Microseconds since 1970 UTC; converted by Arrow, without Python for each."""
    try:
        column = pa.array(instants, pa.timestamp("us", tz="UTC"))
    except (pa.ArrowInvalid, OverflowError, ValueError) as error:  # an offset that leads out of the calendar
        raise RefusedError(Reason.INVALID_FIELD, f"observed_at: {error}") from None
    return np.asarray(column.cast(pa.int64()).to_numpy(), dtype=np.int64)


def check_lengths(size: int, what: str, **columns: Sequence[object] | None) -> None:
    """Refuse a message whose columns have not all one value for each of its meters or points."""
    for name, column in columns.items():
        if column is not None and len(column) != size:
            raise RefusedError(Reason.UNEQUAL_LENGTHS, f"{name} has {len(column)} values for {size} {what}")


def impossible_times(observed_at_us: NDArray[np.int64], received_at_us: int) -> dict[Reason, NDArray[np.bool_]]:
    """Which of the entries, of shape (n,), bear a time at which they can't have been made."""
    return {
        Reason.TIME_IN_FUTURE: observed_at_us - received_at_us > MAX_AHEAD_US,
        Reason.TIME_TOO_OLD: (received_at_us - observed_at_us > MAX_BEHIND_US) | (observed_at_us <= 0),
    }


def sift(
    bad: Mapping[Reason, NDArray[np.bool_]], names: Sequence[str], what: str, topic: str, payload: bytes
) -> tuple[NDArray[np.bool_], tuple[Rejection, ...]]:
    """Which entries of a message are taken, and a rejection for each reason that some are not.

    Parameters
    ----------
    bad
        For each reason the entries that it holds for, of shape (n,).
    names
        Of the meter or point of each entry, of length n.
    what
        The entries are, in the plural.
    """
    keep = np.ones(len(names), np.bool_)
    rejections = []
    for reason, mask in bad.items():
        if mask.any():
            concerned = tuple(dict.fromkeys(names[i] for i in np.flatnonzero(mask).tolist()))
            detail = f"{int(mask.sum())} of {len(keep)} {what}"
            rejections.append(Rejection(reason, detail, topic, payload, concerned))
            keep &= ~mask
    return keep, tuple(rejections)
