"""A block that was made of single readings as such readings again, pure: to find the units of their meters anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from grid.block import Block
from grid.channels import MEASURED
from ingest.decode_plain import FRACTIONS
from ingest.decode_reading import FIELDS, MAX_LINES


def as_records(block: Block) -> list[bytes]:
    """Records of topic ``telemetry.reading`` that say what the block says, a line each reading.

    As many lines as one may have are below its limit of bytes, with the longest codes and all values.
    """
    lines = list(_lines(block))
    return [b"\n".join(lines[begin : begin + MAX_LINES]) for begin in range(0, len(lines), MAX_LINES)]


def _lines(block: Block) -> Iterator[bytes]:
    observed_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=block.observed_at_us)
    head = {"observed_at": observed_at.isoformat(), "interval_s": block.interval_s}
    columns = [
        (field, channel.missing, FRACTIONS[field][1] if field in FRACTIONS else None, block.channels[name].tolist())
        for field, (name, channel) in zip(FIELDS, MEASURED.items(), strict=True)
        if name in block.channels
    ]
    for n, (meter, sequence) in enumerate(zip(block.meters.to_pylist(), block.sequence.tolist(), strict=True)):
        values = {
            field: column[n] if steps is None else column[n] / steps
            for field, missing, steps, column in columns
            if column[n] != missing
        }
        yield json.dumps({"meter": meter, **head, "sequence": sequence, **values}, ensure_ascii=False).encode()
