"""The RDF/XML that network models are written in (IEC 61970-552): a flat list of objects with their values.

Of RDF/XML only what that standard writes is taken: an object is an element with an identity, its values are child
elements that hold a text or name another object. Everything else is refused with its place in the file, a document type
declaration first of all, so that no entity is ever defined, expanded or fetched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from sys import intern
from typing import BinaryIO
from xml.parsers import expat

#: Of a file. A feeder of 8,500 nodes takes some 60 MB.
MAX_BYTES = 256 << 20
#: Of one text value.
MAX_TEXT = 100_000

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_CIM = re.compile(r"https?://iec\.ch/TC57/(\S*CIM\S*|CIM100)#", re.IGNORECASE)
_CHUNK = 1 << 20
#: Numbers outside of this are faults of the file; within it no product or quotient here overflows.
_LARGEST = 1e15
_SMALLEST = 1e-9
#: Depth of the root, of an object and of a value.
_ROOT, _OBJECT, _VALUE = 0, 1, 2


class CimError(ValueError):
    """A network model that can't be taken; the message names the object or the place."""


@dataclass(slots=True)
class Item:
    """One object of the file."""

    kind: str
    """Its class, such as "ACLineSegment"; one of another namespace keeps that in front."""
    key: str
    line: int
    values: dict[str, list[str]] = field(default_factory=dict)
    """By property, such as "Conductor.length": texts, and identities of other objects or of enumerated values."""

    @property
    def mrid(self) -> str:
        return self.text("IdentifiedObject.mRID") or self.key

    @property
    def name(self) -> str:
        return self.text("IdentifiedObject.name") or self.mrid

    def error(self, what: str) -> CimError:
        """What is wrong with this object, for `raise`."""
        return CimError(f"{self.kind} {self.name!r} (mRID {self.mrid}, line {self.line}): {what}")

    def text(self, name: str) -> str | None:
        """The value of a property, None without one.

        Raises
        ------
        CimError
            Two that differ.
        """
        values = self.values.get(name)
        if not values:
            return None
        if any(value != values[0] for value in values):
            raise self.error(f"{name} is given twice")
        return values[0]

    def number(self, name: str) -> float | None:
        """The number that a property gives, None without one.

        Raises
        ------
        CimError
            Not a number, or one of a size that nothing here has.
        """
        text = self.text(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not abs(value) <= _LARGEST:
            raise self.error(f"{name} is no number up to {_LARGEST:g}: {text[:40]!r}")
        return value

    def needed(self, name: str) -> float:
        """The number that a property gives.

        Raises
        ------
        CimError
            None, or not a number.
        """
        value = self.number(name)
        if value is None:
            raise self.error(f"{name} is missing")
        return value

    def passive(self, name: str) -> float:
        """The resistance or conductance that a property gives, 0 without one.

        Raises
        ------
        CimError
            Not a number, or below 0: it would make energy of nothing.
        """
        value = self.number(name) or 0.0
        if value < 0:
            raise self.error(f"{name} is {value:g}, which must not be below 0")
        return value

    def positive(self, name: str) -> float:
        """The number above zero that a property gives.

        Raises
        ------
        CimError
            None, or not above zero.
        """
        value = self.needed(name)
        if value < _SMALLEST:
            raise self.error(f"{name} is {value:g}, which must be above 0")
        return value

    def flag(self, name: str) -> bool | None:
        """Whether a property is true, None without one.

        Raises
        ------
        CimError
            Neither true nor false.
        """
        text = self.text(name)
        if text is None:
            return None
        value = {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
        if value is None:
            raise self.error(f"{name} is neither true nor false: {text[:40]!r}")
        return value

    def choice(self, name: str) -> str | None:
        """The enumerated value that a property gives, such as "Yn" of WindingConnection.Yn; None without one."""
        text = self.text(name)
        return None if text is None else text.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Model:
    """All objects of a file, by identity and by class."""

    items: Mapping[str, Item]
    by_kind: Mapping[str, list[Item]]

    def of(self, *kinds: str) -> Iterator[Item]:
        """The objects of these classes, class by class, each in the order of the file."""
        return chain.from_iterable(self.by_kind.get(kind, ()) for kind in kinds)

    def follow(self, item: Item, name: str, *kinds: str) -> Item | None:
        """The object that a property names, None without the property.

        Raises
        ------
        CimError
            The file has no such object, or it is of none of these classes.
        """
        key = item.text(name)
        if key is None:
            return None
        found = self.items.get(key)
        if found is None:
            raise item.error(f"{name} names an object that the file doesn't have: {key[:80]}")
        if kinds and found.kind not in kinds:
            raise item.error(f"{name} names {found.kind} {found.name!r}, which is none of {', '.join(kinds)}")
        return found

    def parent(self, item: Item, name: str, *kinds: str) -> Item:
        """The object that a property names.

        Raises
        ------
        CimError
            No such property, no such object, or one of none of these classes.
        """
        found = self.follow(item, name, *kinds)
        if found is None:
            raise item.error(f"{name} is missing")
        return found

    def children(self, kind: str, name: str, *kinds: str, inverse: str | None = None) -> dict[str, list[Item]]:
        """The objects of a class by the identity of the object, of one of `kinds`, that their property names.

        A file may write an association at its other side: `inverse` is the property there.

        Raises
        ------
        CimError
            One that belongs to nothing, to an object that the file doesn't have, or to one of another class.
        """
        found: dict[str, list[Item]] = {}
        owners: dict[str, str] | None = None
        for item in self.of(kind):
            if item.text(name) is None and inverse is not None:
                owners = self._owners(inverse) if owners is None else owners
                if item.key in owners:
                    found.setdefault(owners[item.key], []).append(item)
                    continue
            found.setdefault(self.parent(item, name, *kinds).key, []).append(item)
        return found

    def _owners(self, inverse: str) -> dict[str, str]:
        return {key: owner.key for owner in self.items.values() for key in owner.values.get(inverse, ())}


def read_model(path: Path) -> Model:
    """All objects of a file.

    Raises
    ------
    CimError
        Too large, not well-formed, with a document type declaration, not the RDF/XML of IEC 61970-552, two objects of
        one identity, or nothing of CIM in it.
    OSError
        The file can't be read.
    """
    with path.open("rb") as file:
        return _Reader().read(file)


class _Reader:
    """Takes the parser's events; `depth` says what an element is."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.by_kind: dict[str, list[Item]] = {}
        self.depth = _ROOT
        self.item: Item | None = None
        self.name = ""
        self.texts: list[str] = []
        self.length = 0
        self.refers = False
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self.doctype
        self.parser.StartElementHandler = self.start
        self.parser.EndElementHandler = self.end
        self.parser.CharacterDataHandler = self.characters

    def read(self, file: BinaryIO) -> Model:
        size = 0
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            if size > MAX_BYTES:
                raise CimError(f"the file is larger than {MAX_BYTES >> 20} MiB")
            self.parse(chunk, last=False)
        self.parse(b"", last=True)
        if all(" " in kind for kind in self.by_kind):
            raise CimError("no object of CIM (namespace http://iec.ch/TC57/CIM100#) is in the file")
        return Model(self.items, self.by_kind)

    def parse(self, chunk: bytes, *, last: bool) -> None:
        try:
            self.parser.Parse(chunk, last)
        except expat.ExpatError as error:
            why = expat.ErrorString(error.code)
            raise CimError(f"line {error.lineno}, column {error.offset + 1}: not well-formed XML: {why}") from None
        except CimError:
            raise
        except (LookupError, ValueError) as error:  # of an encoding that the parser looks for elsewhere
            raise CimError(f"an encoding that isn't taken; write UTF-8: {error}") from None

    def fault(self, what: str) -> CimError:
        return CimError(f"line {self.parser.CurrentLineNumber}, column {self.parser.CurrentColumnNumber + 1}: {what}")

    def doctype(self, *_: object) -> None:
        raise self.fault("a document type declaration isn't taken, nor any entity")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self.depth == _ROOT:
            if tag != f"{_RDF} RDF":
                raise self.fault(f"not RDF/XML: the root element is {_shown(tag)}")
        elif self.depth == _OBJECT:
            self.start_object(tag, attributes)
        elif self.depth == _VALUE:
            self.start_value(tag, attributes)
        else:
            raise self.fault(f"an element within a value, which IEC 61970-552 doesn't write: {_shown(tag)}")
        self.depth += 1

    def start_object(self, tag: str, attributes: dict[str, str]) -> None:
        identity = attributes.get(f"{_RDF} ID") or attributes.get(f"{_RDF} about")
        if identity is None or tag == f"{_RDF} Description":
            raise self.fault(f"not an object with a class and rdf:ID or rdf:about: {_shown(tag)}")
        key = _key(identity)
        item = Item(intern(_local(tag)), key, self.parser.CurrentLineNumber)
        other = self.items.setdefault(key, item)
        if other is not item:
            raise self.fault(f"{item.kind} has the identity of {other.kind} in line {other.line}: {key[:80]}")
        self.by_kind.setdefault(item.kind, []).append(item)
        self.item = item

    def start_value(self, tag: str, attributes: dict[str, str]) -> None:
        self.name = intern(_local(tag))
        self.texts.clear()
        self.length = 0
        target = attributes.get(f"{_RDF} resource")
        self.refers = target is not None
        if target is not None:
            self.texts.append(_key(target))
        elif f"{_RDF} parseType" in attributes:
            raise self.fault(f"rdf:parseType, which IEC 61970-552 doesn't write: {_shown(tag)}")

    def characters(self, text: str) -> None:
        if self.depth <= _VALUE or self.refers:
            if not text.isspace():
                raise self.fault(f"a text outside any value: {text.strip()[:40]!r}")
            return
        self.length += len(text)
        if self.length > MAX_TEXT:
            raise self.fault(f"a value of more than {MAX_TEXT} characters")
        self.texts.append(text)

    def end(self, _: str) -> None:
        self.depth -= 1
        if self.depth == _VALUE and self.item is not None:
            self.item.values.setdefault(self.name, []).append("".join(self.texts).strip())


def _local(tag: str) -> str:
    """A name of CIM without its namespace; another's stays in front of it."""
    namespace, _, name = tag.rpartition(" ")
    return name if _CIM.fullmatch(namespace) else f"{namespace} {name}"


def _shown(tag: str) -> str:
    return tag.rpartition(" ")[2][:80]


def _key(identity: str) -> str:
    """One spelling for what rdf:ID="_x", rdf:about="#_x", "urn:uuid:x" and "x" call the same."""
    namespace, hash_sign, local = identity.rpartition("#")
    if hash_sign and _CIM.fullmatch(f"{namespace}#"):
        return intern(local)  # an enumerated value
    return (local if hash_sign else identity).removeprefix("urn:uuid:").removeprefix("_")
