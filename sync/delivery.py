"""Sends what is owed to targets that hold a copy, reads them back, and compares."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from grid.document import MODEL_KINDS, Document, Key
from store.connection import Connection
from store.deliveries import Attempt, Outgoing, Send, Target
from store.sync_documents import members_of, read_documents
from store.sync_targets import Compared, read_arrived, read_pending, write_compared
from sync.targets.contract import Carrier, Parcel

#: Deliveries read back at once.
_READ_BATCH = 64
#: Of what is on its way, as much as is looked at.
_PENDING = 2_000
#: Names in a change's payload, with the kind of what they name.
_NAMED = {"meter": "meter", "new_meter": "meter", "account": "account"}


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A target of the sync service.

    Attributes
    ----------
    carrier
        How it is sent to and read back; None: it is told, and holds no copy.
    subjects
        What it wants beside the grid model.
    reads
        Whether it can be read back.
    grid
        Whether it wants the grid model.
    """

    target: Target
    carrier: Carrier | None = None
    subjects: frozenset[str] = field(default_factory=frozenset)
    reads: bool = True
    grid: bool = True

    @property
    def name(self) -> str:
        return self.target.name

    @property
    def to_read(self) -> bool:
        """Whether its deliveries are to be read back."""
        return self.carrier is not None and self.reads


def keys_of(notice: Mapping[str, Any]) -> tuple[list[Key], list[str]]:
    """The entities that a notice concerns, and the units with which all that belongs to them was loaded; pure.

    The units of a payload are those whose loss it changes: what is said of them stays as it was.
    """
    data = notice["data"]
    listed = data.get("entities") or (data.get("payload") or {}).get("entities") or ()
    keys = [Key(kind, code) for kind, code in listed]
    loaded: list[str] = []
    if "aggregatetype" in data:
        payload = data["payload"]
        if data["aggregatetype"] in MODEL_KINDS:
            keys.append(Key(data["aggregatetype"], data["aggregateid"]))
        keys += [Key(kind, payload[name]) for name, kind in _NAMED.items() if isinstance(payload.get(name), str)]
        if data["type"] == "unit.loaded":
            loaded.append(data["aggregateid"])
    return list(dict.fromkeys(keys)), loaded


def sender(connection: Connection, carrier: Carrier) -> Send:
    """A `store.deliveries.Send` that puts the documents into each parcel, as they are believed now."""

    def send(batch: Sequence[Outgoing]) -> Sequence[Attempt]:
        return carrier.send(compose(connection, batch))

    return send


def compose(connection: Connection, batch: Sequence[Outgoing]) -> list[Parcel]:
    """Parcels of some deliveries; what several concern is read once, and is the same in each."""
    notices = [json.loads(outgoing.body) for outgoing in batch]
    concerned = [_all_keys(connection, notice) for notice in notices]
    with connection.transaction():
        row = connection.execute("select pg_snapshot_xmin(pg_current_snapshot())::text::bigint").fetchone()
        assert row is not None  # noqa: S101  # a select without from
        documents = read_documents(connection, dict.fromkeys(key for keys in concerned for key in keys))
    return [
        Parcel(
            outgoing.delivery_id, row[0], notice, tuple(documents[key] for key in keys if key in documents),
            tuple(key for key in keys if key not in documents), outgoing.attempt,
        )
        for outgoing, notice, keys in zip(batch, notices, concerned, strict=True)
    ]  # fmt: skip


def _all_keys(connection: Connection, notice: Mapping[str, Any]) -> list[Key]:
    keys, loaded = keys_of(notice)
    if loaded:
        keys += members_of(connection, loaded)
    return list(dict.fromkeys(keys))


def read_back(connection: Connection, subscriber: Subscriber, at: datetime) -> tuple[int, list[Compared]]:
    """Read what has arrived at a target, compare it with the model as it is, and note what was seen.

    What is still on its way to the target is no disagreement: the entity is compared again when that has arrived.

    Returns
    -------
    settled
        Deliveries that are read back now.
    compared
        Of each entity.

    Raises
    ------
    sync.targets.contract.TargetError
        The target can't be read; it is tried again later.
    """
    arrived = read_arrived(connection, subscriber.name, _READ_BATCH)
    if not arrived:
        return 0, []
    keys = dict.fromkeys(key for each in arrived for key in _all_keys(connection, each.payload))
    numbers = [each.delivery_id for each in arrived]
    compared = settled(connection, subscriber, compare(connection, subscriber, list(keys)), numbers)
    write_compared(connection, subscriber.name, compared, numbers, at)
    return len(arrived), compared


def settled(
    connection: Connection, subscriber: Subscriber, compared: Sequence[Compared], but: Sequence[UUID] = ()
) -> list[Compared]:
    """Those that agree, or disagree though nothing about them is on its way to the target.

    Parameters
    ----------
    but
        Deliveries that are just being read back.
    """
    differing = [each.key.code for each in compared if not each.agrees]
    if not differing:
        return list(compared)
    on_way, notices = read_pending(connection, subscriber.name, differing, but, _PENDING)
    # With so much on its way nobody can say which of it explains what.
    if on_way >= _PENDING:
        return [each for each in compared if each.agrees]
    pending = {key for notice in notices for key in _all_keys(connection, notice)}
    return [each for each in compared if each.agrees or each.key not in pending]


def compare(connection: Connection, subscriber: Subscriber, keys: Sequence[Key]) -> list[Compared]:
    """What a target holds of some entities against what the model says."""
    documents = read_documents(connection, keys)
    return compare_documents(subscriber, keys, documents.values())


def compare_documents(subscriber: Subscriber, keys: Sequence[Key], documents: Iterable[Document]) -> list[Compared]:
    """The same of documents that were read already."""
    carrier = subscriber.carrier
    assert carrier is not None  # noqa: S101  # only those that hold a copy are compared
    seen = carrier.read(keys)
    expected = {document.key: carrier.expected(document) for document in documents}
    return [Compared(key, expected.get(key), seen.get(key)) for key in keys]
