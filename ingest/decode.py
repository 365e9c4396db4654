"""From an MQTT message to a block, pure: the only place where a device's input is checked.

What cannot be decoded is refused whole; a reading that makes no sense is refused alone and the rest of its block is
kept. Nothing here raises for what a peer sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from grid.block import DAYS_S, INTERVALS_S, Block
from grid.channels import CHANNELS, IMPORT, Values
from grid.errors import Reason, Rejection
from grid.model import MAX_ENERGY_WH, MAX_MEMBERS, UnitKind
from grid.ports import Directory
from grid.quality import MISSING_WH, Quality
from ingest.checks import MAX_AHEAD_US, MAX_BEHIND_US, RefusedError, check_sender, check_size, parse, parse_topic
from ingest.decode_plain import ENERGIES, FRACTIONS, MAX_REGISTER_WH, REGISTERS, PlainMessage, read_plain
from ingest.messages import BlockMessage

_COLUMNS = (*ENERGIES, *REGISTERS, *FRACTIONS)
_decoder = msgspec.json.Decoder(BlockMessage)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of one message: a block unless it was refused whole, its unit's kind, and what was refused."""

    block: Block | None
    kind: UnitKind | None
    rejections: tuple[Rejection, ...]


def decode_message(
    topic: str, payload: bytes, received_at_us: int, directory: Directory, zone: tzinfo = UTC
) -> Decoded:
    """Decode and check one MQTT message.

    Parameters
    ----------
    topic
        ``meterline/v1/{gateway}/block/{unit}``; the broker has made sure that {gateway} is the sender.
    payload
        Columnar JSON, see `ingest.messages.BlockMessage`.
    received_at_us
        When it came, microseconds since 1970 UTC.
    directory
        What is known of units and gateways.
    zone
        The utility's time zone, in which its days begin.
    """
    try:
        gateway, unit = parse_topic(topic, "block")
        check_size(payload)
        kind = check_sender(gateway, unit, directory)
        plain = read_plain(payload)
        if plain is not None:
            observed_at_us = check_interval(plain.message.observed_at, plain.message.interval_s, received_at_us, zone)
            return Decoded(_plain_block(plain, unit, gateway, observed_at_us, received_at_us), kind, ())
        message = parse(_decoder, payload)
        observed_at_us = check_interval(message.observed_at, message.interval_s, received_at_us, zone)
        size = _check_lengths(message)
    except RefusedError as refused:
        return Decoded(None, None, (Rejection(refused.reason, refused.detail, topic, payload),))

    channels, bad = _channels(message)
    rejections = []
    for reason, mask in bad.items():
        meters = tuple(message.meter[i] for i in np.flatnonzero(mask))
        rejections.append(Rejection(reason, f"{len(meters)} of {size} readings", topic, payload, meters))
    block = Block(
        unit=unit,
        gateway=gateway,
        observed_at_us=observed_at_us,
        interval_s=message.interval_s,
        received_at_us=received_at_us,
        meters=pa.array(message.meter, pa.string()),
        sequence=np.full(size, message.sequence, np.int64),
        channels=channels,
        quality=_quality(channels, size),
    )
    return Decoded(block, kind, tuple(rejections))


def _plain_block(plain: PlainMessage, unit: str, gateway: str, observed_at_us: int, received_at_us: int) -> Block:
    size = len(plain.meters)
    return Block(
        unit=unit,
        gateway=gateway,
        observed_at_us=observed_at_us,
        interval_s=plain.message.interval_s,
        received_at_us=received_at_us,
        meters=plain.meters,
        sequence=np.full(size, plain.message.sequence, np.int64),
        channels=plain.channels,
        quality=_quality(plain.channels, size),
    )


def _quality(channels: dict[str, Values], size: int) -> NDArray[np.uint8]:
    energy = channels.get(IMPORT)
    if energy is None:
        return np.full(size, Quality.MISSING, np.uint8)
    return np.where(energy == MISSING_WH, np.uint8(Quality.MISSING), np.uint8(Quality.VALID))


def _channels(message: BlockMessage) -> tuple[dict[str, Values], dict[Reason, NDArray[np.bool_]]]:
    """Channels of a message without what makes no sense, and which readings that was, by reason."""
    channels: dict[str, Values] = {}
    bad: dict[Reason, NDArray[np.bool_]] = {}

    def refuse(reason: Reason, mask: NDArray[np.bool_]) -> None:
        if mask.any():
            bad[reason] = bad[reason] | mask if reason in bad else mask

    for name in ENERGIES:
        column = getattr(message, name)
        if column is not None:
            channels[name] = _integers(column)
            refuse(Reason.NEGATIVE_ENERGY, (channels[name] < 0) & (channels[name] != MISSING_WH))
            refuse(Reason.ENERGY_TOO_LARGE, channels[name] > MAX_ENERGY_WH)
    for energy in channels.values():
        # Import and export are one reading.
        for mask in bad.values():
            energy[mask] = MISSING_WH
    for name in REGISTERS:
        column = getattr(message, name)
        if column is not None:
            register = _integers(column)
            wrong = ((register < 0) & (register != MISSING_WH)) | (register > MAX_REGISTER_WH)
            refuse(Reason.VALUE_OUT_OF_RANGE, wrong)
            register[wrong] = MISSING_WH
            channels[name] = register
    for name, (channel, steps, least, greatest) in FRACTIONS.items():
        column = getattr(message, name)
        if column is not None:
            value = np.array(column, dtype=np.float64)
            wrong = (value < least) | (value > greatest)
            refuse(Reason.VALUE_OUT_OF_RANGE, wrong)
            unread = wrong | np.isnan(value)
            scaled = np.rint(np.where(unread, 0.0, value) * steps)
            channels[channel] = np.where(unread, CHANNELS[channel].missing, scaled).astype(np.int16)
    return channels, bad


def check_interval(observed_at: datetime, interval_s: int, received_at_us: int, zone: tzinfo) -> int:
    """End of an interval that can be taken, microseconds since 1970 UTC."""
    if interval_s not in INTERVALS_S and interval_s not in DAYS_S:
        raise RefusedError(Reason.INVALID_FIELD, f"interval_s {interval_s} is not one of {INTERVALS_S} or {DAYS_S}")
    since = observed_at - datetime(1970, 1, 1, tzinfo=UTC)
    observed_at_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    if observed_at_us - received_at_us > MAX_AHEAD_US:
        raise RefusedError(Reason.TIME_IN_FUTURE, f"observed_at {observed_at} is ahead of the clock")
    if received_at_us - observed_at_us > MAX_BEHIND_US:
        raise RefusedError(Reason.TIME_TOO_OLD, f"observed_at {observed_at} is over 400 days back")
    if interval_s in DAYS_S:
        if not _is_local_day(observed_at, interval_s, zone):
            raise RefusedError(Reason.TIME_NOT_ALIGNED, f"{interval_s} s until {observed_at} are no day in {zone}")
    elif observed_at_us <= 0 or observed_at_us % (interval_s * 1_000_000):
        raise RefusedError(Reason.TIME_NOT_ALIGNED, f"{observed_at} isn't aligned to {interval_s} s")
    return observed_at_us


def _is_local_day(end: datetime, length_s: int, zone: tzinfo) -> bool:
    end = end.astimezone(UTC)
    first, last = (end - timedelta(seconds=length_s)).astimezone(zone), end.astimezone(zone)
    midnights = all((t.hour, t.minute, t.second, t.microsecond) == (0, 0, 0, 0) for t in (first, last))
    return midnights and last.date() - first.date() == timedelta(days=1)


def _check_lengths(message: BlockMessage) -> int:
    size = len(message.meter)
    if size > MAX_MEMBERS:
        raise RefusedError(Reason.TOO_MANY_METERS, f"{size} meters; the limit is {MAX_MEMBERS}")
    lengths = {name: len(column) for name in _COLUMNS if (column := getattr(message, name)) is not None}
    if not lengths:
        raise RefusedError(Reason.INVALID_FIELD, "no column of readings")
    for name, length in lengths.items():
        if length != size:
            raise RefusedError(Reason.UNEQUAL_LENGTHS, f"{name} has {length} values for {size} meters")
    if len(set(message.meter)) != size:
        raise RefusedError(Reason.DUPLICATE_METER, "a meter is named twice")
    return size


def _integers(column: list[int | None]) -> NDArray[np.int64]:
    try:
        return np.array(column, dtype=np.int64)
    except TypeError:
        return np.array([MISSING_WH if value is None else value for value in column], dtype=np.int64)
