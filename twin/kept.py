"""What a gateway keeps of what it has sent, for when it is asked to send it again (补采)."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

#: Bytes of payloads that a gateway keeps; a concentrator keeps days.
MEMORY_BYTES = 32 << 20


class _Request(msgspec.Struct):
    kind: str
    first: int = 0
    last: int = -1


class KeptMessages:
    """The newest messages of one gateway by their sequence numbers, up to a number of bytes."""

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._bytes = 0
        self._messages: OrderedDict[int, tuple[str, bytes]] = OrderedDict()

    def keep(self, sequence: int, topic: str, payload: bytes) -> None:
        """Keep a message; the oldest ones make room."""
        if sequence in self._messages:
            return
        self._messages[sequence] = topic, payload
        self._bytes += len(payload)
        while self._bytes > self._memory_bytes and len(self._messages) > 1:
            _, (_, oldest) = self._messages.popitem(last=False)
            self._bytes -= len(oldest)

    def asked_for(self, request: bytes) -> list[tuple[str, bytes]]:
        """Topic and payload of the messages that a request wants and that are kept; nothing for what it isn't."""
        try:
            wanted = msgspec.json.decode(request, type=_Request)
        except msgspec.DecodeError:
            return []
        if wanted.kind != "resend":
            return []
        # However long the range, no more is looked at than is kept.
        return [message for number, message in self._messages.items() if wanted.first <= number <= wanted.last]
