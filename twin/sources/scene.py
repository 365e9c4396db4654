"""What all source systems describe, each in its own words: the grid with places, names of stations and addresses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from grid.model import GridModel
from grid.network import Network as SwitchedNetwork
from grid.network import Segment, Switch, SwitchPosition
from twin.network import Network, Point
from twin.sources.addresses import Address, find_addresses, number_places, place_name, station_name


@dataclass(frozen=True, slots=True)
class Scene:
    """The grid as the systems' extracts are made from it.

    Attributes
    ----------
    point_of_meter, point_of_account
        By code; master and head meters have none.
    address
        By the point's code.
    place
        Number of each area's place.
    line_number
        Of each feeder, counted from 1 in its substation.
    substation_of
        Of each feeder, a code.
    feeder_of_node
        Which feeder energises a node in normal state.
    """

    network: Network
    model: GridModel
    switched: SwitchedNetwork
    seed: int
    point_of_meter: Mapping[str, Point]
    point_of_account: Mapping[str, Point]
    address: Mapping[str, Address]
    place: Mapping[str, int]
    station: Mapping[str, str]
    line_number: Mapping[str, int]
    substation_of: Mapping[str, str]
    feeder_of_node: Mapping[str, str]

    def place_name(self, area: str) -> str:
        """Name of an area's place."""
        return place_name(self.seed, self.place[area])

    def spare_place(self, draw: int) -> str:
        """Name of a place that no area has."""
        return place_name(self.seed, len(self.place) + draw % (1 + len(self.place)))

    def station_of(self, feeder: str) -> str:
        """Name of a feeder's substation."""
        return self.station[self.substation_of[feeder]]

    def medium_kv(self, feeder: str) -> float:
        """Voltage of a feeder."""
        code = self.substation_of[feeder]
        return next(s.medium_voltage_v for s in self.model.substations if s.code == code) / 1e3

    def elements(self) -> tuple[list[tuple[Segment, str, int]], list[tuple[Switch, str, int]]]:
        """Line segments and switches, each with its feeder ("" where no feeder energises it) and its number there."""
        breakers = {h.breaker: h.feeder for h in self.switched.heads if h.breaker is not None}
        numbers: dict[str, int] = defaultdict(int)
        segments, switches = [], []
        for segment in self.switched.segments:
            feeder = self.feeder_of_node.get(segment.from_node, "")
            numbers[feeder] += 1
            segments.append((segment, feeder, numbers[feeder]))
        numbers.clear()
        for switch in self.switched.switches:
            ends = (self.feeder_of_node.get(switch.from_node), self.feeder_of_node.get(switch.to_node))
            feeder = breakers.get(switch.code) or ends[0] or ends[1] or ""
            numbers[feeder] += 1
            switches.append((switch, feeder, numbers[feeder]))
        return segments, switches


def make_scene(network: Network, model: GridModel, seed: int) -> Scene:
    """Name everything; the same seed gives the same names."""
    points = {p.code: p for p in network.points}
    point_of_meter = {}
    for meter in model.meters:
        point = points.get(meter.code) or points.get(meter.code.removesuffix("-meter"))
        if point is not None:
            point_of_meter[meter.code] = point
    place = number_places(seed, [a.code for a in model.areas])
    switched = model.network or SwitchedNetwork((), (), (), (), ())
    line_number: dict[str, int] = {}
    counted: dict[str, int] = defaultdict(int)
    for feeder in model.feeders:
        counted[feeder.substation] += 1
        line_number[feeder.code] = counted[feeder.substation]
    return Scene(
        network=network,
        model=model,
        switched=switched,
        seed=seed,
        point_of_meter=point_of_meter,
        point_of_account={
            m.account: point_of_meter[m.code] for m in model.meters if m.account and m.code in point_of_meter
        },
        address=find_addresses(network, place, seed),
        place=place,
        station={s.code: station_name(seed % 7 + i) for i, s in enumerate(model.substations)},
        line_number=line_number,
        substation_of={f.code: f.substation for f in model.feeders},
        feeder_of_node=_energised(switched),
    )


def _energised(switched: SwitchedNetwork) -> dict[str, str]:
    """Feeder of each node in normal state; breakers at the heads are not passed."""
    breakers = {h.breaker for h in switched.heads}
    near: dict[str, list[str]] = defaultdict(list)
    edges: list[Segment | Switch] = [*switched.segments]
    edges += [s for s in switched.switches if s.normal is SwitchPosition.CLOSED and s.code not in breakers]
    for edge in edges:
        near[edge.from_node].append(edge.to_node)
        near[edge.to_node].append(edge.from_node)
    feeder_of: dict[str, str] = {}
    for head in switched.heads:
        stack = [head.node]
        while stack:
            node = stack.pop()
            if node not in feeder_of:
                feeder_of[node] = head.feeder
                stack += near[node]
    return feeder_of
