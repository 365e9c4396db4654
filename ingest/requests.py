"""What Meterline asks of gateways, as types; their JSON Schema is published from here."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import msgspec

from grid.quality import MAX_SEQUENCE
from ingest.gaps import ResendRequest

Sequence = Annotated[int, msgspec.Meta(ge=0, lt=MAX_SEQUENCE)]


class ResendMessage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Asks a gateway to send some of its messages again, with the numbers that they had."""

    kind: Annotated[Literal["resend"], msgspec.Meta(description="What is asked; others may follow, to be passed over")]
    first: Annotated[Sequence, msgspec.Meta(description="Number of the first message")]
    last: Annotated[Sequence, msgspec.Meta(description="Number of the last message; not less than the first")]


class _Numbered(msgspec.Struct):
    sequence: Sequence


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Numbered)


def request_topic(gateway: str) -> str:
    """Topic of what is asked of a gateway."""
    return f"meterline/v1/{gateway}/request"


def encode_request(request: ResendRequest) -> bytes:
    """The payload of a request."""
    return _encoder.encode(ResendMessage("resend", request.first, request.last))


def gateway_of(topic: str) -> str | None:
    """Gateway that a message on `topic` is of; None for other topics. The broker has made sure of it."""
    parts = topic.split("/", 3)
    return parts[2] if len(parts) == 4 and parts[:2] == ["meterline", "v1"] else None


def sequence_of(payload: bytes) -> int | None:
    """Number of any message of a gateway, refused ones included; None where it has none that can be read."""
    try:
        return _decoder.decode(payload).sequence
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def request_schema() -> dict[str, Any]:
    """JSON Schema of the payload of topic ``meterline/v1/{gateway}/request``."""
    schema = msgspec.json.schema(ResendMessage)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def schema_files() -> dict[str, str]:
    """Published schema files by name."""
    return {"gateway-request.schema.json": json.dumps(request_schema(), indent=2) + "\n"}
