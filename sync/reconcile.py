"""Compares all that a target holds with the model, and owes it what is to be repaired."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from grid.document import MODEL_KINDS, Key
from store.connection import Connection
from store.deliveries import owe_item
from store.outbox import last_change
from store.sync_documents import pages_of
from store.sync_targets import Compared, known_codes, list_drift, write_compared
from sync.delivery import Subscriber, compare, compare_documents, settled

_PAGE = 1_000
#: Entities in one parcel of a repair.
_PARCEL = 100


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a comparison came to: entities compared, those that disagree, and those of them left for what is owed."""

    target: str
    compared: int
    drifted: int
    waiting: int


def reconcile(connection: Connection, subscriber: Subscriber, now: Callable[[], datetime]) -> Reconciled:
    """Compare every entity of the model, and all else that the target says it holds.

    Raises
    ------
    sync.targets.contract.TargetError
    """
    compared = drifted = waiting = 0
    assert subscriber.carrier is not None  # noqa: S101  # only those that hold a copy are compared
    begun = now()
    held = subscriber.carrier.keys()
    extra = None if held is None else set(held)
    for kind in MODEL_KINDS:
        for documents in pages_of(connection, kind, _PAGE):
            keys = [document.key for document in documents]
            if extra is not None:
                extra.difference_update(keys)
            differing = _note(connection, subscriber, compare_documents(subscriber, keys, documents), now())
            compared += len(keys)
            drifted += differing[0]
            waiting += differing[1]
    # What it holds and the model doesn't know: of results, nobody can say what is too much.
    others = (
        _known(connection, subscriber, begun) if extra is None else sorted(k for k in extra if k.kind in MODEL_KINDS)
    )
    for page in _pages(others):
        differing = _note(connection, subscriber, compare(connection, subscriber, page), now())
        drifted += differing[0]
        waiting += differing[1]
    return Reconciled(subscriber.name, compared, drifted, waiting)


def owe_repairs(connection: Connection, target: str) -> int:
    """Owe a target all of which it is known to disagree; returns how many entities."""
    after, count = ("", "", ""), 0
    occasion = str(uuid4())
    while rows := list_drift(connection, target, _PARCEL, after):
        after = (rows[-1]["target"], rows[-1]["kind"], rows[-1]["code"])
        entities = [[row["kind"], row["code"]] for row in rows]
        with connection.transaction():
            row = connection.execute("select now()").fetchone()
            assert row is not None  # noqa: S101  # a select without from
            notice = {"type": "entities.repair", "timestamp": row[0].isoformat(), "data": {"entities": entities}}
            entity = f"repair:{entities[0][0]}:{entities[0][1]}"
            owe_item(connection, target, entity, last_change(connection), notice, occasion=occasion)
        count += len(rows)
    return count


def _note(connection: Connection, subscriber: Subscriber, found: list[Compared], at: datetime) -> tuple[int, int]:
    """Write what was found; an entity that disagrees while something is owed to it may just be on its way."""
    kept = settled(connection, subscriber, found)
    write_compared(connection, subscriber.name, kept, [], at)
    return sum(not each.agrees for each in kept), len(found) - len(kept)


def _known(connection: Connection, subscriber: Subscriber, before: datetime) -> Iterator[Key]:
    """What the target was seen with, and what this comparison hasn't come to."""
    for kind in MODEL_KINDS:
        after = ""
        while codes := known_codes(connection, subscriber.name, kind, before, after, _PAGE):
            yield from (Key(kind, code) for code in codes)
            after = codes[-1]


def _pages(keys: Iterable[Key]) -> Iterator[list[Key]]:
    page: list[Key] = []
    for key in keys:
        page.append(key)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page
