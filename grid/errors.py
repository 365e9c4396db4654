"""What a peer did wrong, as a value. Our own mistakes raise; these never stop the service."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why an input, or one reading of it, was not taken."""

    BAD_TOPIC = "bad_topic"
    TOO_LARGE = "too_large"
    INVALID_JSON = "invalid_json"
    INVALID_FIELD = "invalid_field"
    UNEQUAL_LENGTHS = "unequal_lengths"
    DUPLICATE_METER = "duplicate_meter"
    TOO_MANY_METERS = "too_many_meters"
    TIME_IN_FUTURE = "time_in_future"
    TIME_TOO_OLD = "time_too_old"
    TIME_NOT_ALIGNED = "time_not_aligned"
    UNKNOWN_UNIT = "unknown_unit"
    NOT_SENDERS_UNIT = "not_senders_unit"
    NEGATIVE_ENERGY = "negative_energy"
    ENERGY_TOO_LARGE = "energy_too_large"
    VALUE_OUT_OF_RANGE = "value_out_of_range"
    UNKNOWN_METER = "unknown_meter"
    UNKNOWN_POINT = "unknown_point"
    INVALID_QUALITY = "invalid_quality"
    INVALID_BLOCK = "invalid_block"
    PROCESSING_FAILED = "processing_failed"


#: Reasons that pass when the grid model or the clock catches up: the input is quarantined, not refused.
QUARANTINED = frozenset({Reason.UNKNOWN_METER, Reason.UNKNOWN_UNIT, Reason.UNKNOWN_POINT, Reason.TIME_IN_FUTURE})


@dataclass(frozen=True, slots=True)
class Rejection:
    """An input that was not taken, whole or in part, with its original bytes.

    `meters` names the readings concerned; empty means the whole message.
    """

    reason: Reason
    detail: str
    topic: str
    original: bytes
    meters: Sequence[str] = ()

    @classmethod
    def of_failure(cls, error: BaseException, topic: str, original: bytes, meters: Sequence[str] = ()) -> Rejection:
        """An input that a fault of ours kept from being processed; the detail holds the end of the traceback."""
        detail = "".join(traceback.format_exception(error))[-4_000:]
        return cls(Reason.PROCESSING_FAILED, detail, topic, original, meters)

    @property
    def quarantined(self) -> bool:
        """Whether the input is worth another try once the model or the clock has caught up."""
        return self.reason in QUARANTINED
