"""CIM objects as RDF/XML (IEC 61970-552)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from twin.sources.cim import mrid
from twin.sources.table import Table, Value, text

CIM = "http://iec.ch/TC57/CIM100#"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
MODEL = "http://iec.ch/TC57/61970-552/ModelDescription/1#"
#: The model's own date: that of the profiles, not of the writing.
CREATED = "2016-01-01T00:00:00Z"


def rdf_lines(tables: Iterable[Table], seed: int) -> Iterator[str]:
    """Lines of the document: every row is an object, its terminals and transformer ends follow it."""
    yield '<?xml version="1.0" encoding="UTF-8"?>'
    yield f'<rdf:RDF xmlns:rdf="{RDF}" xmlns:cim="{CIM}" xmlns:md="{MODEL}">'
    yield f'  <md:FullModel rdf:about="urn:uuid:{mrid(seed, "model")}">'
    yield f"    <md:Model.created>{CREATED}</md:Model.created>"
    yield "    <md:Model.description>medium-voltage network of a made-up city</md:Model.description>"
    yield "  </md:FullModel>"
    for table in tables:
        for row in range(len(table)):
            yield from _object(table, row, seed)
    yield "</rdf:RDF>"


def _object(table: Table, row: int, seed: int) -> Iterator[str]:
    own: list[tuple[str, Value, bool]] = []
    parts: dict[tuple[str, int], list[tuple[str, Value, bool]]] = defaultdict(list)
    for column in table.columns[1:]:
        value, is_reference = table.values[column.name][row], bool(column.refers)
        number, _, name = column.name.rpartition(":")
        of = name.split(".")[0]
        if of == "Terminal":
            parts["Terminal", int(number)].append((name, value, is_reference))
        elif of in {"PowerTransformerEnd", "TransformerEnd"}:
            for n in [int(number)] if number else [1, 2]:
                parts["PowerTransformerEnd", n].append((name, value, is_reference))
        else:
            own.append((name, value, is_reference))
    key = str(table.keys[row])
    yield from _element(table.name, key, own)
    ends = {number: mrid(seed, f"{key}/Terminal/{number}") for kind, number in parts if kind == "Terminal"}
    for (kind, n), values in sorted(parts.items(), reverse=True):
        if kind == "Terminal":
            values += [("Terminal.ConductingEquipment", key, True), ("ACDCTerminal.sequenceNumber", n, False)]
        else:
            values += [
                ("PowerTransformerEnd.PowerTransformer", key, True),
                ("TransformerEnd.endNumber", n, False),
                ("TransformerEnd.Terminal", ends[n], True),
            ]
        yield from _element(kind, mrid(seed, f"{key}/{kind}/{n}"), values)


def _element(kind: str, key: str, values: Iterable[tuple[str, Value, bool]]) -> Iterator[str]:
    yield f'  <cim:{kind} rdf:ID="_{key}">'
    yield f"    <cim:IdentifiedObject.mRID>{key}</cim:IdentifiedObject.mRID>"
    for name, value, is_reference in values:
        if value is None:
            continue
        if is_reference:
            yield f'    <cim:{name} rdf:resource="#_{value}"/>'
        else:
            yield f"    <cim:{name}>{escape(text(value))}</cim:{name}>"
    yield f"  </cim:{kind}>"
