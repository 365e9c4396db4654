"""One contradiction."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sync.identity.clusters import Cluster


class ConflictKind(StrEnum):
    """How records contradict each other."""

    MISSING = "missing"  # a system lacks what others have
    ORPHAN = "orphan"  # a reference leads nowhere
    DUPLICATE = "duplicate"  # one thing is there more than once
    FIELD_DIFFERS = "field_differs"
    RELATION_DIFFERS = "relation_differs"  # station-line-transformer-customer (站-线-变-户)
    OUTDATED = "outdated"  # what once was so
    IMPOSSIBLE = "impossible"  # measurements say otherwise


@dataclass(frozen=True, slots=True, eq=False)
class Finding:
    """A contradiction, and the record that differs from the rest.

    Attributes
    ----------
    cluster
        The entity.
    field
        Of the mapping; of a missing or repeated record ``record``.
    system, dataset, key
        The record; system ``model`` is the grid model itself. `key` None: of a missing record that nothing tells.
    believed, given
        What the rest says, and what stands there.
    said
        What each says, by dataset and key.
    confidence
        How sure it is that all these records are the same thing.
    """

    kind: ConflictKind
    cluster: Cluster
    field: str
    system: str
    dataset: str
    key: str | None
    believed: str | None
    given: str | None
    said: Mapping[str, str | None]
    confidence: float = 1.0

    @property
    def fingerprint(self) -> bytes:
        """The same for the same contradiction, whenever it is found and in whatever order."""
        entity = self.cluster.code or "/".join(self.cluster.identity)
        of = self.key if self.key is not None else entity
        parts = (self.kind.value, self.cluster.kind, self.field, self.system, self.dataset, of)
        return hashlib.blake2b("\x00".join(parts).encode(), digest_size=16).digest()


def text(value: object) -> str | None:
    """A value as a conflict shows it."""
    if value is None:
        return None
    return f"{value:.10g}" if isinstance(value, float) else str(value)
