"""GeoJSON (RFC 7946): a feature collection whose features have an `id`, which is the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from sync.sources.contract import (
    KEPT,
    MAX_FIELDS,
    MAX_RECORD,
    RawRecord,
    Refusal,
    SourceError,
    Taken,
    checked_key,
    not_utf8,
)

#: A file is decoded in pieces of features; it is held as bytes.
_MAX_BYTES = 512 << 20
_POINTS = 10_000

_DECODER = msgspec.json.Decoder(list[msgspec.Raw])


class _Collection(msgspec.Struct):
    type: str
    features: msgspec.Raw


class _Geometry(msgspec.Struct):
    type: str
    coordinates: msgspec.Raw


class _Feature(msgspec.Struct):
    type: str
    id: str | int
    geometry: _Geometry | None
    properties: dict[str, Any] | None = None


_FEATURE = msgspec.json.Decoder(_Feature)


def read_geojson(path: Path, dataset: str) -> Taken:
    """Features as records: the properties, and the positions under ``geometry`` as a list of [longitude, latitude].

    Raises
    ------
    SourceError
        Not JSON (with line and column), no feature collection, or too large.
    """
    if (size := path.stat().st_size) > _MAX_BYTES:
        raise SourceError(f"{path}: {size} bytes, of at most {_MAX_BYTES}")
    data = path.read_bytes()
    try:
        collection = msgspec.json.decode(data, type=_Collection)
        if collection.type != "FeatureCollection":
            raise SourceError(f"{path}: not a FeatureCollection but {collection.type[:40]!r}")
        features = _DECODER.decode(collection.features)
    except msgspec.DecodeError as error:
        raise SourceError(f"{path}: {_placed(data, str(error))}") from None
    except UnicodeDecodeError:
        raise SourceError(f"{path}: {not_utf8(path)}") from None
    except RecursionError:
        raise SourceError(f"{path}: lists in lists without end") from None
    # The pieces lie in the file in this order: their lines are counted on the way.
    at, line = 0, 1
    for raw in features:
        piece = bytes(raw)
        begin = data.index(piece, at)
        line += data.count(b"\n", at, begin)
        yield _record(piece, dataset, line)
        line += piece.count(b"\n")
        at = begin + len(piece)


def _record(piece: bytes, dataset: str, line: int) -> RawRecord | Refusal:
    original = piece[:KEPT].decode("utf-8", "replace")
    if len(piece) > MAX_RECORD:
        return Refusal(line, None, f"a feature of more than {MAX_RECORD} bytes", original)
    try:
        feature = _FEATURE.decode(piece)
        places = None if feature.geometry is None else _places(feature.geometry)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return Refusal(line, None, f"not a feature: {error}", original)
    key = checked_key(feature.id, line, None, original)
    if isinstance(key, Refusal):
        return key
    properties = feature.properties or {}
    if len(properties) > MAX_FIELDS:
        return Refusal(line, None, f"{len(properties)} properties, of at most {MAX_FIELDS}", original)
    if "geometry" in properties:
        return Refusal(line, None, "a property named geometry", original)
    return RawRecord(dataset, key, {**properties, "geometry": places}, line)


def _places(geometry: _Geometry) -> list[list[float]]:
    """Positions of a point or a line string.

    Raises
    ------
    ValueError
        Another geometry, or a position that isn't on the globe.
    """
    if geometry.type == "Point":
        places = [msgspec.json.decode(geometry.coordinates, type=list[float])]
    elif geometry.type == "LineString":
        places = msgspec.json.decode(geometry.coordinates, type=list[list[float]])
    else:
        raise ValueError(f"geometry {geometry.type[:40]!r} isn't taken: Point and LineString are")
    if not 0 < len(places) <= _POINTS:
        raise ValueError(f"{len(places)} positions, of at most {_POINTS}")
    for place in places:
        if not (2 <= len(place) <= 3 and abs(place[0]) <= 180 and abs(place[1]) <= 90):
            raise ValueError(f"no position on the globe: {place}")
    return places


def _placed(data: bytes, message: str) -> str:
    """The decoder's message with line and column in place of its byte."""
    head, _, byte = message.partition("(byte ")
    if not byte:
        return message
    at = int(byte.rstrip(")"))
    line = data.count(b"\n", 0, at) + 1
    column = at - (data.rfind(b"\n", 0, at) + 1) + 1
    return f"line {line}, column {column}: {head.strip()}"
