"""The demonstration grid as one object: its records, its meters' readings and the truth behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grid.model import GridModel, UnitKind
from twin.grid_model import build_grid_model
from twin.load import mean_shares
from twin.network import Network, read_network
from twin.physics import Flows, Physics, sum_by
from twin.registers import Registers
from twin.simbench import data_folder, read_profiles

#: A hook before the meter in one area of the demonstration: watts by area.
DEMONSTRATION_UNMETERED: dict[str, float] = {"LV1.101": 6_000.0}

#: Steps that are solved together.
_CHUNK = 4
#: Phase to neutral.
_NOMINAL_V = 400 / 3**0.5


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """An interval by its end, seconds since 1970 UTC, and its length."""

    end_s: int
    length_s: int

    @property
    def observed_at(self) -> datetime:
        """Its end."""
        return datetime.fromtimestamp(self.end_s, UTC)


@dataclass(frozen=True, slots=True)
class Unit:
    """Who sends a message, and for which meters: positions `first` to `last` of the model's meters."""

    code: str
    gateway: str
    first: int
    last: int
    has_voltage: bool


@dataclass(frozen=True, slots=True)
class Readings:
    """What all meters show for one interval, in the order of the model's meters."""

    interval: Interval
    import_wh: NDArray[np.int64]
    """At the meter, before the multiplier."""
    export_wh: NDArray[np.int64]
    voltage_v: NDArray[np.float64]
    """Between phase and neutral, to a tenth; of low-voltage meters, else 0."""


@dataclass(frozen=True, slots=True)
class UnitTruth:
    """What truly flowed in one unit and interval, watt-hours.

    ``import_wh - export_wh = sold_wh - generation_wh + technical_wh + unmetered_wh``; of a feeder, what its areas
    took is sold and what they gave back is generation.
    """

    code: str
    import_wh: float
    export_wh: float
    sold_wh: float
    generation_wh: float
    technical_wh: float
    """Lines of an area; medium-voltage lines and transformers of a feeder."""
    unmetered_wh: float


class Twin:
    """A grid whose physics is known.

    Attributes
    ----------
    network, model
        The grid as it is and as the utility's records have it.
    units
        In the order of the model: areas, dedicated customers, feeders.
    unmetered_w
        Constant consumption before the meters, by area.
    """

    def __init__(
        self, folder: Path, *, areas: int | None = None, unmetered_w: Mapping[str, float] | None = None, seed: int = 0
    ) -> None:
        self.network = read_network(folder, areas)
        self.model: GridModel = build_grid_model(self.network)
        self.unmetered_w = dict(unmetered_w or {})
        self.seed = seed
        self.units = units_of(self.model)
        points = self.network.points
        self._profiles = read_profiles(folder, sorted({p.profile for p in points}))
        self._profile_of_point = np.array([self._profiles.index[p.profile] for p in points])
        sign = np.array([-1.0 if p.generation else 1.0 for p in points])
        self._active_w = np.array([p.active_w for p in points]) * sign
        self._reactive_var = np.array([p.reactive_var for p in points]) * sign
        self._physics = Physics(self.network, _hooks(self.network, self.unmetered_w))
        self._source_of_meter, self._has_voltage = meter_sources(self.network)

    def registers(self) -> Registers:
        """The meters' registers before the first interval."""
        meters = self.model.meters
        return Registers([m.code for m in meters], [m.multiplier for m in meters], self.seed)

    def solve(self, intervals: Iterable[Interval]) -> Flows:
        """Powers and losses over each interval."""
        shares = [mean_shares(self._profiles, i.end_s, i.length_s) for i in intervals]
        active = np.array([a for a, _ in shares])[:, self._profile_of_point]
        reactive = np.array([r for _, r in shares])[:, self._profile_of_point]
        return self._physics.solve(active * self._active_w, reactive * self._reactive_var)

    def readings(self, intervals: Iterable[Interval], registers: Registers | None = None) -> Iterator[Readings]:
        """Readings of all meters, interval by interval in the order given; solved a few at a time."""
        registers = registers or self.registers()
        remaining = iter(intervals)
        while chunk := list(islice(remaining, _CHUNK)):
            flows = self.solve(chunk)
            power_w = np.concatenate([flows.point_w, flows.area_w, flows.feeder_w], axis=1)[:, self._source_of_meter]
            per_unit = np.concatenate([flows.point_voltage, flows.area_voltage], axis=1)
            voltage_v = np.zeros_like(power_w)
            low = self._has_voltage
            voltage_v[:, low] = np.round(per_unit[:, self._source_of_meter[low]] * _NOMINAL_V, 1)
            for i, interval in enumerate(chunk):
                imported, exported = registers.advance(power_w[i] * (interval.length_s / 3600))
                yield Readings(interval, imported, exported, voltage_v[i])

    def truth(self, interval: Interval) -> tuple[UnitTruth, ...]:
        """What truly flowed in every area and feeder over an interval: areas first, in the network's order."""
        flows, hours = self.solve([interval]), interval.length_s / 3600
        points, areas, feeders = self.network.points, self.network.areas, self.network.feeders
        area_of_point = np.array([p.area for p in points])
        feeder_of_customer = np.array([p.feeder if p.area < 0 else -1 for p in points])
        feeder_of_area = np.array([a.feeder for a in areas])
        taken, given = np.maximum(flows.point_w, 0), np.maximum(-flows.point_w, 0)
        area_in, area_out = np.maximum(flows.area_w, 0), np.maximum(-flows.area_w, 0)
        feeder_in, feeder_out = np.maximum(flows.feeder_w, 0), np.maximum(-flows.feeder_w, 0)
        unmetered_w = np.array([self.unmetered_w.get(a.code, 0.0) for a in areas])
        sold_w = sum_by(taken, feeder_of_customer, len(feeders)) + sum_by(area_in, feeder_of_area, len(feeders))
        generation_w = sum_by(given, feeder_of_customer, len(feeders)) + sum_by(area_out, feeder_of_area, len(feeders))
        transformer_w = sum_by(flows.area_transformer_loss_w, feeder_of_area, len(feeders))
        area_figures = np.stack(
            [area_in[0], area_out[0], sum_by(taken, area_of_point, len(areas))[0],
             sum_by(given, area_of_point, len(areas))[0], flows.area_line_loss_w[0], unmetered_w], axis=1,
        )  # fmt: skip
        feeder_figures = np.stack(
            [feeder_in[0], feeder_out[0], sold_w[0], generation_w[0],
             flows.feeder_line_loss_w[0] + transformer_w[0], np.zeros(len(feeders))], axis=1,
        )  # fmt: skip
        figures = np.concatenate([area_figures, feeder_figures]) * hours
        codes = [a.code for a in areas] + [f.code for f in feeders]
        return tuple(UnitTruth(code, *row) for code, row in zip(codes, figures.tolist(), strict=True))


def demonstration_grid(
    *, areas: int | None = None, unmetered_w: Mapping[str, float] | None = None, seed: int = 0
) -> Twin:
    """The demonstration grid from the installed SimBench data.

    Parameters
    ----------
    areas
        Only the first so many transformer areas, with the feeders that supply them.
    unmetered_w
        Watts that a hook before the meters draws, by area.
    seed
        Of where the registers stand at the start.

    Raises
    ------
    twin.simbench.DataMissingError
        When the data are not installed.
    ValueError
        When `unmetered_w` names an area that is not in the grid.
    """
    return Twin(data_folder(), areas=areas, unmetered_w=unmetered_w, seed=seed)


def units_of(model: GridModel) -> tuple[Unit, ...]:
    gateways = {a.code: a.gateway for a in model.areas} | model.feeder_gateways
    low_voltage = {a.code for a in model.areas if a.kind is UnitKind.AREA}
    units = []
    last = 0
    for code, meters in groupby(model.meters, key=lambda meter: meter.unit):
        first, last = last, last + len(list(meters))
        units.append(Unit(code, gateways[code], first, last, code in low_voltage))
    return tuple(units)


def meter_sources(network: Network) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each meter of the model: its position among (points, areas, feeders), and whether it is at low voltage."""
    points, areas = len(network.points), len(network.areas)
    sources: list[int] = []
    position = 0
    for i in range(areas):
        sources.append(points + i)
        while position < points and network.points[position].area == i:
            sources.append(position)
            position += 1
    low = len(sources)
    sources += range(position, points)
    sources += range(points + areas, points + areas + len(network.feeders))
    return np.array(sources), np.arange(len(sources)) < low


def _hooks(network: Network, unmetered_w: Mapping[str, float]) -> dict[int, float]:
    """Node and power of each hook: where the area's largest customer is connected."""
    known = {a.code: i for i, a in enumerate(network.areas)}
    hooks: dict[int, float] = {}
    for code, power_w in unmetered_w.items():
        if code not in known:
            raise ValueError(f"no area {code} to draw unmetered power in")
        customers = [p for p in network.points if p.area == known[code] and not p.generation]
        node = max(customers, key=lambda p: p.active_w).node
        hooks[node] = hooks.get(node, 0.0) + power_w
    return hooks
