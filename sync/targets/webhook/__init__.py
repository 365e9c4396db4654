"""A system that is told by signed webhooks, and asked what it holds by a signed question at an address of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from grid.document import Document, Key
from store.deliveries import Attempt, Outgoing, Send, Target
from sync.targets.contract import Parcel, TargetError, digest_of

#: Entities asked for in one question.
_PAGE = 200

#: Puts a signed question to the target; returns the JSON of its answer. Raises TargetError.
Ask = Callable[[bytes], Any]


class WebhookCopy:
    """A `Carrier`.

    Parameters
    ----------
    send
        Sends webhooks, as for notices.
    ask
        Puts a question to the target's ``read_url``.
    """

    def __init__(self, target: Target, send: Send, ask: Ask) -> None:
        self._target = target
        self._send = send
        self._ask = ask

    def send(self, parcels: Sequence[Parcel]) -> list[Attempt]:
        """The notice with the documents beside it; its id is the delivery's."""
        return list(self._send([self._outgoing(parcel) for parcel in parcels]))

    def _outgoing(self, parcel: Parcel) -> Outgoing:
        told = {
            **parcel.notice,
            "number": parcel.number,
            "entities": [
                *({"kind": d.key.kind, "code": d.key.code, "body": dict(d.body)} for d in parcel.documents),
                *({"kind": key.kind, "code": key.code, "body": None} for key in parcel.removed),
            ],
        }
        return Outgoing(parcel.delivery_id, self._target, msgspec.json.encode(told), parcel.attempt)

    def expected(self, document: Document) -> bytes | None:
        """The whole document."""
        return digest_of(document.body)

    def read(self, keys: Sequence[Key]) -> Mapping[Key, bytes]:
        """What the target answers of them."""
        found: dict[Key, bytes] = {}
        for page in _batched(keys):
            asked = {"type": "entities.read", "entities": [{"kind": kind, "code": code} for kind, code in page]}
            wanted = set(page)
            answer = self._ask(json.dumps(asked, ensure_ascii=False).encode())
            for entity in _entities(answer):
                key = Key(entity["kind"], entity["code"])
                if entity.get("body") is not None and key in wanted:
                    found[key] = digest_of(entity["body"])
        return found

    def keys(self) -> Iterable[Key] | None:
        """Nobody is asked for all that he has: what a target was once seen with is asked for."""
        return None


def _batched(keys: Sequence[Key]) -> Iterable[Sequence[Key]]:
    return (keys[start : start + _PAGE] for start in range(0, len(keys), _PAGE))


def _entities(answer: Any) -> list[dict[str, Any]]:
    entities = answer.get("entities") if isinstance(answer, dict) else None
    if not isinstance(entities, list) or not all(
        isinstance(e, dict) and isinstance(e.get("kind"), str) and isinstance(e.get("code"), str) for e in entities
    ):
        raise TargetError("the answer lists no entities")
    return entities
