"""From one record of single readings to what they say, pure: any JSON of the schema, one reading after another.

Most records have the common form, which `ingest.reading_kernel` takes many of at a time; what it passes over comes
here, and what is refused is refused here.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import NamedTuple

import msgspec

from grid.errors import Reason, Rejection
from grid.model import MAX_ENERGY_WH
from grid.quality import MISSING_WH
from grid.topics import TELEMETRY_READING
from ingest.checks import MAX_PAYLOAD, RefusedError, parse
from ingest.decode import check_interval
from ingest.decode_plain import ENERGIES, FRACTIONS, MAX_REGISTER_WH, REGISTERS
from ingest.reading_messages import ReadingMessage

_decoder = msgspec.json.Decoder(ReadingMessage)
#: Lines in a record, each a reading. More are refused together: a refusal costs far more than the bytes of a line.
MAX_LINES = 1_000
#: Names of a reading's values in its message, in the order of `grid.channels.MEASURED`.
FIELDS = (*ENERGIES, *REGISTERS, *FRACTIONS)


class Reading(NamedTuple):
    """What one meter says of one interval; `values` in steps of their channel, by `FIELDS`; `MISSING_WH` for none."""

    meter: str
    observed_at_us: int
    interval_s: int
    sequence: int
    values: list[int]


def decode_record(
    record: bytes, received_at_us: int, zone: tzinfo
) -> tuple[list[tuple[Reading, bytes]], list[Rejection]]:
    """Readings of one record with the bytes of each, and what is refused of it.

    A record is one reading. Several, a line each, are what was refused together and is given back.
    """
    if len(record) > MAX_PAYLOAD:
        detail = f"{len(record)} bytes; the limit is {MAX_PAYLOAD}; the first of them are kept"
        return [], [Rejection(Reason.TOO_LARGE, detail, TELEMETRY_READING, record[:MAX_PAYLOAD])]
    lines = [line for line in record.split(b"\n") if line.strip()]
    if len(lines) > 1 and not _is_one(record):
        if len(lines) > MAX_LINES:
            detail = f"{len(lines)} lines; the limit is {MAX_LINES}"
            return [], [Rejection(Reason.TOO_LARGE, detail, TELEMETRY_READING, record)]
        readings: list[tuple[Reading, bytes]] = []
        rejections: list[Rejection] = []
        for line in lines:
            reading, refused = _decode(line, received_at_us, zone)
            readings += [] if reading is None else [(reading, line)]
            rejections += refused
        return readings, rejections
    reading, rejections = _decode(record, received_at_us, zone)
    return [] if reading is None else [(reading, record)], rejections


def _is_one(record: bytes) -> bool:
    try:
        msgspec.json.decode(record, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _decode(text: bytes, received_at_us: int, zone: tzinfo) -> tuple[Reading | None, list[Rejection]]:
    try:
        message = parse(_decoder, text)
        observed_at_us = check_interval(message.observed_at, message.interval_s, received_at_us, zone)
        values, refused = _values(message)
    except RefusedError as error:
        return None, [Rejection(error.reason, error.detail, TELEMETRY_READING, text)]
    if not refused and all(value is None for value in values):
        return None, [Rejection(Reason.INVALID_FIELD, "no value", TELEMETRY_READING, text)]
    rejections = [
        Rejection(reason, ", ".join(names), TELEMETRY_READING, text, (message.meter,))
        for reason, names in refused.items()
    ]
    if all(value is None for value in values):
        return None, rejections
    said = [MISSING_WH if value is None else value for value in values]
    return Reading(message.meter, observed_at_us, message.interval_s, message.sequence, said), rejections


def _values(message: ReadingMessage) -> tuple[list[int | None], dict[Reason, list[str]]]:
    """Values without what makes no sense, and the names of that by reason."""
    refused: dict[Reason, list[str]] = {}
    values: dict[str, int | None] = {}
    for name in ENERGIES:
        values[name] = energy = getattr(message, name)
        if energy is not None and not 0 <= energy <= MAX_ENERGY_WH:
            refused.setdefault(Reason.NEGATIVE_ENERGY if energy < 0 else Reason.ENERGY_TOO_LARGE, []).append(name)
    if refused:
        # Import and export are one reading.
        values = dict.fromkeys(ENERGIES)
    for name in REGISTERS:
        values[name] = register = getattr(message, name)
        if register is not None and not 0 <= register <= MAX_REGISTER_WH:
            refused.setdefault(Reason.VALUE_OUT_OF_RANGE, []).append(name)
            values[name] = None
    for name, (_, steps, least, greatest) in FRACTIONS.items():
        value = getattr(message, name)
        if value is not None and not least <= value <= greatest:
            refused.setdefault(Reason.VALUE_OUT_OF_RANGE, []).append(name)
            value = None
        values[name] = None if value is None else round(value * steps)
    return [values[name] for name in FIELDS], refused
