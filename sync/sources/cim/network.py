"""A network model as a circuit for the load flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from grid.circuit import Circuit
from sync.sources.cim.lines import read_lines, read_switches
from sync.sources.cim.rdf import CimError, read_model
from sync.sources.cim.shunts import (
    read_capacitors,
    read_converters,
    read_loads,
    read_source,
)
from sync.sources.cim.site import CONSUMERS, CONVERTER, LEGS, SWITCHES, Site, buses, make_site
from sync.sources.cim.transformers import read_transformers

_TAKEN = frozenset(
    {
        *SWITCHES,
        *CONSUMERS,
        CONVERTER,
        "ACLineSegment",
        "PowerTransformer",
        "EnergySource",
        "LinearShuntCompensator",
    }
)
#: At one node and without influence.
_WITHOUT_EFFECT = frozenset({"BusbarSection", "Junction", "FaultIndicator", "SurgeArrester", "WaveTrap"})
_MACHINES = ("SynchronousMachine", "AsynchronousMachine")


@dataclass(frozen=True, slots=True)
class CimNetwork:
    """A circuit and what its buses are called in the file."""

    circuit: Circuit
    inner: frozenset[str]
    """Buses that no node of the file stands for: star points of transformers."""
    legs: Mapping[str, tuple[str, str]]
    """Buses of one leg of a centre-tapped secondary: the node's name, and s1 or s2."""
    generation_w: float
    """What converters feed in; the circuit has it among its loads, below zero."""


def read_network(path: Path) -> CimNetwork:
    """The network of a CIM100 model in RDF/XML (IEC 61970-301, 61968-11; written after 61970-552).

    Assets, locations, measurements, limits and diagrams are passed over, so are controls: tap changers and capacitors
    stand at their steps. Equipment that isn't in service is left out.

    Raises
    ------
    CimError
        The file isn't such a model, or has equipment that the circuit can't hold; the message names it.
    OSError
        The file can't be read.
    """
    model = read_model(path)
    site = make_site(model)
    _refuse_others(site)
    transformers, earths = read_transformers(site)
    lines = [*earths, *read_lines(site)]
    switches = tuple(read_switches(site))
    converters = tuple(read_converters(site))
    loads = (*read_loads(site), *converters)
    legs = {site.leg(model.items[key], leg): (site.codes[key], leg) for key in site.split for leg in LEGS}
    source = read_source(site)
    capacitors = tuple(read_capacitors(site))
    try:
        circuit = Circuit(source, tuple(buses(site)), tuple(lines), switches, tuple(transformers), loads, capacitors)
    except CimError:
        raise
    except ValueError as error:
        raise CimError(str(error)) from None
    fed_in = sum(-power.real for load in converters for power in load.power_va if power.real < 0)
    return CimNetwork(circuit, frozenset(site.inner), legs, fed_in)


def _refuse_others(site: Site) -> None:
    """Raise at the first equipment that would change the result and isn't read."""
    connected = [site.model.items[key] for key in site.terminals]
    for item in [*connected, *site.model.of(*_MACHINES)]:
        if item.kind in _WITHOUT_EFFECT or site.out_of_service(item):
            continue
        if item.kind in _MACHINES and item.number("RotatingMachine.p") == 0 == item.number("RotatingMachine.q"):
            continue
        if item.kind not in _TAKEN:
            raise item.error("equipment of this class isn't supported by the load flow")
