"""Messages as a log in Parquet, as `meterline replay` reads it: topic, payload, time of receipt."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        pa.field("topic", pa.string(), nullable=False),
        pa.field("payload", pa.binary(), nullable=False),
        pa.field("received_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)
#: A row group ends with so many messages, or bytes of payload, whichever comes first.
_GROUP_MESSAGES = 8_192
_GROUP_BYTES = 32 << 20


class Receivable(Protocol):
    """What can be logged: `twin.outbox.Sent`."""

    @property
    def topic(self) -> str: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def send_at_us(self) -> int: ...


class MessageLog:
    """Writes messages in the order of their receipt; memory is bounded by a row group.

    The file has its name only once it is whole: until then it is `NAME.part`. The same messages give the same bytes
    (with the same version of Arrow).
    """

    def __init__(self, path: Path, group_messages: int = _GROUP_MESSAGES, group_bytes: int = _GROUP_BYTES) -> None:
        self.path = path
        self.messages = 0
        self._part = path.with_name(path.name + ".part")
        self._most = (group_messages, group_bytes)
        self._writer = pq.ParquetWriter(
            self._part,
            SCHEMA,
            compression="zstd",
            compression_level=3,
            use_dictionary=["topic"],
            write_statistics=["received_at"],
        )
        self._last_us = 0
        self._clear()

    def _clear(self) -> None:
        self._topics: list[str] = []
        self._payloads: list[bytes] = []
        self._received_us: list[int] = []
        self._bytes = 0

    def add(self, message: Receivable) -> None:
        """Log a message, received when it was sent.

        Raises
        ------
        ValueError
            When it was received before the one before it.
        """
        at_us = message.send_at_us
        if at_us < self._last_us:
            raise ValueError(f"a message of {at_us} µs comes after one of {self._last_us} µs")
        self._last_us = at_us
        payload = message.payload
        self._topics.append(message.topic)
        self._payloads.append(payload)
        self._received_us.append(at_us)
        self._bytes += len(payload)
        self.messages += 1
        if len(self._topics) >= self._most[0] or self._bytes >= self._most[1]:
            self._flush()

    def _flush(self) -> None:
        if self._topics:
            received = pa.array(self._received_us, pa.int64()).cast(SCHEMA.field("received_at").type)
            columns = [pa.array(self._topics, pa.string()), pa.array(self._payloads, pa.binary()), received]
            self._writer.write_table(pa.table(columns, schema=SCHEMA))
            self._clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._writer.close()
            self._part.unlink(missing_ok=True)
            return
        self._flush()
        self._writer.close()
        self._part.replace(self.path)


def write_messages(path: Path, messages: Iterable[Receivable]) -> int:
    """Log all messages, in the order of receipt; how many there were."""
    with MessageLog(path) as log:
        for message in messages:
            log.add(message)
    return log.messages
