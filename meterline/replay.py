"""Gives rejected inputs back to the pipeline."""

from __future__ import annotations

import time

from grid.block import InvalidBlockError, decode_block, encode_block
from ingest.decode import decode_message
from ingest.topics import TELEMETRY_AREA, TELEMETRY_REJECTED, TELEMETRY_SCADA, rejection_headers, topic_of
from meterline.bootstrap import make_producer, opener
from meterline.config import Settings
from store.directory import StoredDirectory
from store.rejected import mark_replayed, open_originals


def replay_rejected(settings: Settings, ids: list[int] | None, reason: str | None, limit: int) -> dict[str, int]:
    """Send entries again, the way they first came: devices' messages through the decoder, blocks as they are.

    Returns
    -------
    dict
        `replayed`: entries given back; `refused`: those of them that the decoder refused again, which puts them
        back into the rejected store.
    """
    open_connection = opener(settings, "meterline-cli")
    directory = StoredDirectory(open_connection)
    producer = make_producer(settings)
    refused = 0
    with open_connection() as connection:
        entries = open_originals(connection, ids, reason, limit)
        # Marked first, in the same transaction that is committed after Kafka has the messages: an entry that is
        # refused again meanwhile is opened again by its writer, which waits for this transaction.
        mark_replayed(connection, [entry for entry, _, _ in entries])
        futures = []
        for _, topic, original in entries:
            if topic in (TELEMETRY_AREA, TELEMETRY_SCADA):
                futures.append(producer.send(topic, key=_unit_of(original), value=original))
                continue
            decoded = decode_message(topic, original, int(time.time() * 1e6), directory)
            refused += bool(decoded.rejections)
            if decoded.block is not None and decoded.kind is not None:
                key = decoded.block.unit.encode()
                futures.append(producer.send(topic_of(decoded.kind), key=key, value=encode_block(decoded.block)))
            for rejection in decoded.rejections:
                headers = rejection_headers(rejection)
                futures.append(producer.send(TELEMETRY_REJECTED, value=rejection.original, headers=headers))
        producer.flush(timeout=60)
        for future in futures:
            future.get(timeout=60)
        connection.commit()
    producer.close(timeout=10)
    return {"replayed": len(entries), "refused": refused}


def _unit_of(original: bytes) -> bytes | None:
    try:
        return decode_block(original).unit.encode()
    except InvalidBlockError:
        return None
