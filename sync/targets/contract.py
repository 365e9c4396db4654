"""What every target gives: it takes parcels, and says what it holds.

A parcel is one delivery with its own id and the documents of all entities that it concerns, as they are believed when
it is sent: never older than the change that it tells of. So a parcel that comes twice, or after a later one was tried,
leaves a copy as it should be. What a target holds is read back from it and compared by digests; a target that carries
less than a whole document says what it would hold of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import msgspec

from grid.document import Document, Key
from store.deliveries import Attempt


class TargetError(RuntimeError):
    """A target that can't be reached, or doesn't answer as it must; the message says why."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One delivery.

    Attributes
    ----------
    number
        Rises with what is sent later: a copy never takes a lower one over a higher.
    notice
        What happened, as webhooks tell it.
    removed
        Entities of which the model knows nothing (any more).
    """

    delivery_id: UUID
    number: int
    notice: Mapping[str, Any]
    documents: tuple[Document, ...] = ()
    removed: tuple[Key, ...] = ()
    attempt: int = 1


class Carrier(Protocol):
    """A target that holds a copy and can be read back."""

    def send(self, parcels: Sequence[Parcel]) -> list[Attempt]:
        """Hand over parcels in their order; one attempt for each. What the peer does wrong is no exception."""

    def expected(self, document: Document) -> bytes | None:
        """Digest of what the target should hold of a document; None: it carries nothing of such."""

    def read(self, keys: Sequence[Key]) -> Mapping[Key, bytes]:
        """Digests of what it holds of some entities; one that it doesn't hold is left out.

        Raises
        ------
        TargetError
        """

    def keys(self) -> Iterable[Key] | None:
        """All entities that it holds; None when it can't say.

        Raises
        ------
        TargetError
        """


def digest_of(value: object) -> bytes:
    """What stands for a value as JSON has it when copies are compared: 16 bytes of BLAKE2b."""
    try:
        data = msgspec.json.encode(value, order="deterministic")
    except UnicodeEncodeError:
        # Half a surrogate pair, of which a target's answer may be made: no document has it.
        data = repr(value).encode("utf-8", "backslashreplace")
    return hashlib.blake2b(data, digest_size=16).digest()
