"""Gives rejected inputs back to the pipeline."""

from __future__ import annotations

import time
from collections.abc import Callable

from kafka import KafkaProducer

from grid.arrow import InvalidBlockError, OtherRecordError
from grid.block import decode_block
from grid.device_events import decode_events
from grid.points import decode_points
from grid.ports import Directory
from grid.resettle import decode_resettle
from grid.topics import (
    ENERGY_UNIT,
    GRID_RESETTLE,
    TELEMETRY_AREA,
    TELEMETRY_BACKFILL,
    TELEMETRY_EVENT,
    TELEMETRY_READING,
    TELEMETRY_SCADA,
)
from grid.unit_energy import decode_unit_energies
from ingest.collect import SENDER
from ingest.dispatch import take_message
from ingest.reading_lines import as_records
from meterline.bootstrap import backfill_after_us, make_producer, opener
from meterline.config import Settings
from store.directory import StoredDirectory
from store.rejected import mark_replayed, open_originals

_PAGE = 100


def replay_rejected(settings: Settings, ids: list[int] | None, reason: str | None, limit: int) -> dict[str, int]:
    """Send entries again, the way they first came: devices' messages through the decoder, records as they are.

    Returns
    -------
    dict
        `replayed`: entries given back; `refused`: those of them that the decoder refused again, which puts them
        back into the rejected store.
    """
    open_connection = opener(settings, "meterline-cli")
    directory = StoredDirectory(open_connection, settings.settling.zone())
    producer = make_producer(settings)
    replayed = refused = after = 0
    with open_connection() as connection:
        # A page at a time: an entry may be of a mebibyte, and there may be thousands.
        while entries := open_originals(connection, ids, reason, min(_PAGE, limit - replayed), after):
            # Marked first, in the same transaction that is committed after Kafka has the messages: an entry that is
            # refused again meanwhile is opened again by its writer, which waits for this transaction.
            mark_replayed(connection, [entry for entry, _, _ in entries])
            refused += _send(producer, directory, entries, backfill_after_us(settings))
            connection.commit()
            replayed += len(entries)
            after = entries[-1][0]
    producer.close(timeout=10)
    return {"replayed": replayed, "refused": refused}


def _send(
    producer: KafkaProducer, directory: Directory, entries: list[tuple[int, str, bytes]], old_after_us: int
) -> int:
    """Give entries to Kafka and wait for it; returns how many the decoder refused again."""
    refused = 0
    futures = []
    for _, topic, original in entries:
        if again := _single_readings(topic, original):
            futures += [producer.send(TELEMETRY_READING, value=record) for record in again]
            continue
        if topic in _KEYS:
            futures.append(producer.send(topic, key=_key_of(topic, original), value=original))
            continue
        taken = take_message(topic, original, int(time.time() * 1e6), directory)
        refused += bool(taken.rejections)
        futures += [
            producer.send(record.topic, key=record.key, value=record.value, headers=record.headers)
            for record in taken.all_records(old_after_us)
        ]
    producer.flush(timeout=60)
    for future in futures:
        future.get(timeout=60)
    return refused


def _single_readings(topic: str, original: bytes) -> list[bytes]:
    """A block of single readings as such again: their meters may have another unit by now. Empty for all else."""
    if topic not in {TELEMETRY_AREA, TELEMETRY_BACKFILL, TELEMETRY_SCADA, ENERGY_UNIT}:
        return []
    try:
        block = decode_block(original)
    except InvalidBlockError:
        return []
    return as_records(block) if block.gateway == SENDER else []


def _scada_unit(original: bytes) -> str:
    try:
        return decode_points(original).unit
    except OtherRecordError:
        return decode_block(original).unit


def _told_unit(original: bytes) -> str:
    try:
        return decode_unit_energies(original)[0].parent
    except OtherRecordError:  # of the unit's own gateway
        return decode_block(original).unit


_KEYS: dict[str, Callable[[bytes], str | None]] = {
    TELEMETRY_AREA: lambda original: decode_block(original).unit,
    TELEMETRY_BACKFILL: lambda original: decode_block(original).unit,
    TELEMETRY_SCADA: _scada_unit,
    TELEMETRY_EVENT: lambda original: decode_events(original).unit,
    ENERGY_UNIT: _told_unit,
    GRID_RESETTLE: lambda original: decode_resettle(original).unit,
    # Whose order doesn't matter.
    TELEMETRY_READING: lambda _: None,
}


def _key_of(topic: str, original: bytes) -> bytes | None:
    try:
        unit = _KEYS[topic](original)
        return None if unit is None else unit.encode()
    except ValueError:  # it can't be read: whoever takes it refuses it again
        return None
