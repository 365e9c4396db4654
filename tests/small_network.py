"""A ring of three feeders in two substations, with ties, for the tests of switching."""

from __future__ import annotations

from dataclasses import replace

from grid.model import Feeder, GridModel, Meter, Role, Substation, TransformerArea, UnitKind
from grid.network import AreaConnection, FeederHead, Network, Node, Segment, Switch, SwitchKind, SwitchPosition

FEEDERS = {"F1": "S", "F2": "S", "F3": "T"}
#: Ties between the ends of the feeders.
TIES = {"T12": ("F1-3", "F2-3"), "T23": ("F2-2", "F3-3"), "T13": ("F1-2", "F3-2")}


def small_network() -> Network:
    """Each feeder: busbar – breaker Fi-B – node Fi-1 – segment – Fi-1b – switch Fi-Q – Fi-2 – segment – Fi-3.

    Areas Fi-A, Fi-C and Fi-D hang on its nodes 1, 2 and 3.
    """
    nodes, segments, switches, heads, taps = [], [], [], [], []
    for f, substation in FEEDERS.items():
        nodes += [Node(f"{f}-{n}", substation) for n in ("0", "1", "1b", "2", "3")]
        switches.append(Switch(f"{f}-B", SwitchKind.BREAKER, f"{f}-0", f"{f}-1"))
        switches.append(Switch(f"{f}-Q", SwitchKind.LOAD_BREAK, f"{f}-1b", f"{f}-2"))
        segments.append(Segment(f"{f}-L1", f"{f}-1", f"{f}-1b", 800.0, 0.2, 0.1))
        segments.append(Segment(f"{f}-L2", f"{f}-2", f"{f}-3", 500.0, 0.1, 0.05))
        heads.append(FeederHead(f, f"{f}-1", f"{f}-B"))
        taps += [AreaConnection(f"{f}-{area}", f"{f}-{n}") for area, n in (("A", 1), ("C", 2), ("D", 3))]
    switches += [Switch(t, SwitchKind.LOAD_BREAK, a, b, SwitchPosition.OPEN) for t, (a, b) in TIES.items()]
    return Network(tuple(nodes), tuple(segments), tuple(switches), tuple(heads), tuple(taps))


def switched_model() -> GridModel:
    """The grid model with that network: three feeders of three areas, each with its master meter."""
    network = small_network()
    areas = tuple(
        TransformerArea(c.area, c.area, UnitKind.AREA, "headend", c.area.split("-")[0], 400_000)
        for c in network.connections
    )
    meters = [Meter(f"{f}-head", f, Role.GATEWAY, 40, 0.2) for f in FEEDERS]
    meters += [Meter(f"{a.code}-master", a.code, Role.GATEWAY, 1, 0.5) for a in areas]
    return GridModel(
        substations=tuple(Substation(s, s, 110_000, 20_000) for s in ("S", "T")),
        feeders=tuple(Feeder(f, f, s) for f, s in FEEDERS.items()),
        areas=areas,
        meters=tuple(meters),
        feeder_gateways=dict.fromkeys(FEEDERS, "rtu"),
        network=network,
    )


def without_network(model: GridModel) -> GridModel:
    """The same, without its network."""
    return replace(model, network=None)
