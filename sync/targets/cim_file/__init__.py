"""A file of the network as CIM100 RDF/XML (IEC 61970-552): substations, lines, transformers, switches, segments,
meters and usage points as they are now; written whole and put in place at once.

CIM has no valid times, so this target carries the present alone: what comes into force by the clock reaches it with the
next parcel or a repair, and is shown as a disagreement until then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5
from xml.sax.saxutils import escape, quoteattr

from grid.document import Document, Key
from grid.membership import covers
from store.deliveries import Attempt, Outcome
from sync.sources.cim.rdf import CimError, read_model
from sync.sources.cim.rdf import Item as RdfItem
from sync.targets.contract import Parcel, TargetError, digest_of

_NAMESPACE = UUID("0d4f6dd9-2f7c-54b3-a5b2-6a5a55f4b0d1")
_HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#">\n'
)
#: Classes of an entity's object, with the kind of entity.
_UNITS = {"feeder": "Feeder", "area": "PowerTransformer", "dedicated": "PowerTransformer"}
_SWITCHES = {"breaker": "Breaker", "load_break": "LoadBreakSwitch", "disconnector": "Disconnector"}
_KINDS = {
    "Substation": "substation", "Meter": "meter", "ACLineSegment": "segment",
    **dict.fromkeys(_UNITS.values(), "unit"), **dict.fromkeys(_SWITCHES.values(), "switch"),
}  # fmt: skip
#: Properties that name another object, with the kind of what they name.
_REFERENCES = {
    "Feeder.NormalEnergizingSubstation": "substation",
    "Equipment.EquipmentContainer": "unit",
    "UsagePoint.Equipments": "unit",
}
#: Classes that CIM keeps apart from an entity's object: which object names the other, and how.
_PARTS = {
    "PowerTransformerEnd": ("part", "PowerTransformerEnd.PowerTransformer"),
    "UsagePoint": ("whole", "EndDevice.UsagePoint"),
}
_LINKS = {link for _, link in _PARTS.values()}

#: An object: its class, and its values by property; of a reference the mRID.
Item = tuple[str, Mapping[str, str]]


class CimFile:
    """A `Carrier`.

    Parameters
    ----------
    now
        As of when documents are taken.
    """

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self._path = path
        self._now = now
        self._items: dict[Key, Item] = {}
        self._stamp: tuple[int, int] | None = None

    def send(self, parcels: Sequence[Parcel]) -> list[Attempt]:
        """Write the file anew with what the parcels change, and put it in the place of the old one."""
        try:
            self._load()
            items, now = dict(self._items), self._now()
            for parcel in parcels:
                for document in parcel.documents:
                    item = item_of(document, now)
                    if item is None:
                        items.pop(document.key, None)
                    else:
                        items[document.key] = item
                for key in parcel.removed:
                    items.pop(key, None)
            if items != self._items or self._stamp is None:
                self._write(items)
        except (OSError, TargetError) as error:
            return [Attempt(Outcome.FAILED, f"{type(error).__name__}: {error}")] * len(parcels)
        return [Attempt(Outcome.DELIVERED)] * len(parcels)

    def expected(self, document: Document) -> bytes | None:
        """What CIM says of it at present."""
        item = item_of(document, self._now())
        return None if item is None else _digest(item)

    def read(self, keys: Sequence[Key]) -> Mapping[Key, bytes]:
        """As the file is now, whoever wrote it."""
        self._load()
        return {key: _digest(self._items[key]) for key in keys if key in self._items}

    def keys(self) -> Iterable[Key]:
        """By kind and code."""
        self._load()
        return sorted(self._items)

    def _load(self) -> None:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp != self._stamp:
                self._items = dict(_read(self._path))
                self._stamp = stamp
        except FileNotFoundError:
            self._items, self._stamp = {}, None
        except (OSError, CimError) as error:
            # A file that can't be read holds nothing that counts: the next parcels write it anew.
            self._items, self._stamp = {}, None
            if not isinstance(error, CimError):
                raise TargetError(str(error)) from None

    def _write(self, items: Mapping[Key, Item]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        beside = self._path.with_suffix(".new")
        with beside.open("w", encoding="utf-8") as file:
            file.write(_HEAD)
            file.writelines(text for key, item in sorted(items.items()) for text in _elements(key, item))
            file.write("</rdf:RDF>\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)
        self._load()


def item_of(document: Document, at: datetime) -> Item | None:
    """The object of an entity as it is at an instant; None when CIM has none, or it isn't there then."""
    kind, body = document.key.kind, document.body
    state = _now(body.get("states"), at)
    values: dict[str, Any] = {"IdentifiedObject.name": document.key.code}
    if kind == "substation" and state is not None:
        return "Substation", _said(values | {"IdentifiedObject.description": state["name"]})
    if kind == "unit" and body.get("unit_kind") in _UNITS and state is not None:
        values["IdentifiedObject.description"] = state["name"]
        if body["unit_kind"] == "feeder":
            values["Feeder.NormalEnergizingSubstation"] = state["substation"]
        else:
            parents = [p for p in body.get("parents") or () if p["parent_kind"] == "feeder"]
            values["Equipment.EquipmentContainer"] = (_now(parents, at) or {}).get("parent")
            values["PowerTransformerEnd.ratedS"] = state["rating_va"]
        return _UNITS[body["unit_kind"]], _said(values)
    if kind == "meter" and state is not None:
        member = _now(body.get("members"), at)
        if member is None:
            return None
        values["UsagePoint.Equipments"] = member["unit"]
        return "Meter", _said(values)
    connected = _now(body.get("connections"), at)
    if kind == "switch" and connected is not None:
        values["Switch.normalOpen"] = "true" if body["normal"] == "open" else "false"
        return _SWITCHES[body["switch_kind"]], _said(values)
    if kind == "segment" and connected is not None:
        values |= {
            "Conductor.length": body["length_m"],
            "ACLineSegment.r": body["resistance_ohm"],
            "ACLineSegment.x": body["reactance_ohm"],
        }
        return "ACLineSegment", _said(values)
    return None


def _said(values: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: _mrid(_REFERENCES[name], str(value)) if name in _REFERENCES else str(value)
        for name, value in values.items()
        if value is not None
    }


def _now(entries: Iterable[Mapping[str, Any]] | None, at: datetime) -> Mapping[str, Any] | None:
    def instant(text: str | None) -> datetime | None:
        return None if text is None else datetime.fromisoformat(text)

    return next((e for e in entries or () if covers(instant(e["from"]), instant(e["to"]), at)), None)


def _digest(item: Item) -> bytes:
    return digest_of([item[0], dict(item[1])])


def _mrid(kind: str, code: str) -> str:
    return str(uuid5(_NAMESPACE, f"{kind}:{code}"))


def _elements(key: Key, item: Item) -> Iterator[str]:
    name, values = item
    own: dict[str, dict[str, str]] = {name: {}}
    for prop, value in values.items():
        part = prop.partition(".")[0]
        own.setdefault(part if part in _PARTS else name, {})[prop] = value
    for part in set(own) - {name}:
        holder, link = _PARTS[part]
        own[part if holder == "part" else name][link] = _mrid(*key) if holder == "part" else _mrid(part, key.code)
        own[part]["IdentifiedObject.name"] = key.code
        yield _element(part, _mrid(part, key.code), own[part])
    yield _element(name, _mrid(*key), own[name])


def _element(name: str, mrid: str, values: Mapping[str, str]) -> str:
    lines = [f"<cim:{name} rdf:about={quoteattr(f'urn:uuid:{mrid}')}>"]
    lines.append(f"<cim:IdentifiedObject.mRID>{mrid}</cim:IdentifiedObject.mRID>")
    for prop, value in sorted(values.items()):
        if prop in _REFERENCES or prop in _LINKS:
            lines.append(f"<cim:{prop} rdf:resource={quoteattr(f'urn:uuid:{value}')}/>")
        else:
            lines.append(f"<cim:{prop}>{escape(value)}</cim:{prop}>")
    return "\n  ".join(lines) + f"\n</cim:{name}>\n"


def _read(path: Path) -> dict[Key, Item]:
    """The file's objects by the entities that they stand for."""
    model = read_model(path)
    found: dict[Key, tuple[str, dict[str, str]]] = {}
    for name, listed in model.by_kind.items():
        if name in _KINDS:
            for each in listed:
                found[Key(_KINDS[name], each.name)] = (name, _values(each))
    for part, whole in (("PowerTransformerEnd", "unit"), ("UsagePoint", "meter")):
        for each in model.of(part):
            owner = found.get(Key(whole, each.name))
            if owner is not None:
                owner[1].update(_values(each))
    return dict(found)


def _values(each: RdfItem) -> dict[str, str]:
    apart = {"IdentifiedObject.mRID", *_LINKS}
    texts = {prop: each.text(prop) or "" for prop in each.values if prop not in apart}
    return {prop: text.removeprefix("urn:uuid:") for prop, text in texts.items()}
