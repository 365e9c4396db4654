"""Small network models in CIM RDF/XML for tests: objects as Python values, changed and written."""

from collections.abc import Mapping
from pathlib import Path

from sync.sources.cim.network import CimNetwork, read_network

CIM = "http://iec.ch/TC57/CIM100#"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"

#: Class and values of an object: numbers and texts, "@id" for another object, "#Kind.value" for an enumerated value.
Object = tuple[str, dict[str, object]]


def terminal(equipment: str, node: str, number: int = 1, **more: object) -> Object:
    return "Terminal", {
        "Terminal.ConductingEquipment": f"@{equipment}",
        "Terminal.ConnectivityNode": f"@{node}",
        "ACDCTerminal.sequenceNumber": number,
        **{name.replace("__", "."): value for name, value in more.items()},
    }


def node(name: str) -> Object:
    return "ConnectivityNode", {"IdentifiedObject.name": name}


def feeder() -> dict[str, Object]:
    """A source, a line of 100 m and a load, at 400 V."""
    base: dict[str, object] = {"ConductingEquipment.BaseVoltage": "@bv"}
    return {
        "bv": ("BaseVoltage", {"BaseVoltage.nominalVoltage": 400}),
        "n1": node("head"),
        "n2": node("end"),
        "source": (
            "EnergySource",
            base
            | {"IdentifiedObject.name": "grid", "EnergySource.voltageMagnitude": 400, "EnergySource.voltageAngle": 0},
        ),
        "source_t": terminal("source", "n1"),
        "line": (
            "ACLineSegment",
            base
            | {
                "IdentifiedObject.name": "cable",
                "Conductor.length": 100,
                "ACLineSegment.r": 0.1,
                "ACLineSegment.x": 0.05,
            }
            | {"ACLineSegment.r0": 0.4, "ACLineSegment.x0": 0.2},
        ),
        "line_t1": terminal("line", "n1", 1),
        "line_t2": terminal("line", "n2", 2),
        "load": (
            "EnergyConsumer",
            base | {"IdentifiedObject.name": "house", "EnergyConsumer.p": 3000, "EnergyConsumer.q": 600},
        ),
        "load_t": terminal("load", "n2"),
    }


def changed(objects: Mapping[str, Object], **values: Mapping[str, object]) -> dict[str, Object]:
    """The objects with other values; None takes a value away."""
    result = dict(objects)
    for name, new in values.items():
        kind, old = result[name]
        result[name] = kind, {k: v for k, v in {**old, **new}.items() if v is not None}
    return result


def write(objects: Mapping[str, Object], namespace: str = CIM) -> str:
    lines = ['<?xml version="1.0" encoding="utf-8"?>', f'<rdf:RDF xmlns:cim="{namespace}" xmlns:rdf="{RDF}">']
    for key, (kind, values) in objects.items():
        lines.append(f'<cim:{kind} rdf:ID="_{key}">')
        for name, value in values.items():
            text = repr(value) if isinstance(value, float) else str(value)
            if text.startswith("@"):
                lines.append(f'  <cim:{name} rdf:resource="#_{text[1:]}"/>')
            elif text.startswith("#"):
                lines.append(f'  <cim:{name} rdf:resource="{namespace}{text[1:]}"/>')
            else:
                lines.append(f"  <cim:{name}>{text}</cim:{name}>")
        lines.append(f"</cim:{kind}>")
    return "\n".join([*lines, "</rdf:RDF>"])


def read(folder: Path, objects: Mapping[str, Object]) -> CimNetwork:
    path = folder / "network.xml"
    path.write_text(write(objects), encoding="utf-8")
    return read_network(path)
