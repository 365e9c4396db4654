"""What the twin's meters show of four weeks, and what is told of wrong records by it: columns of one phase each.

Voltages are those of the twin's own power flow, by phase at every connection and at the transformers' meters.
Energies, currents and power factors are what its meters show: whole watt-hours and hundredths of amperes, with the
errors of their classes and their clocks. A reading is missing as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.loss_city import BEGIN
from kernels.association_energy import PhaseEnergies
from meterline.city import make_city
from twin.city import City
from twin.events import RECORD
from twin.metering import MeterErrors, Metering
from twin.phase_quantities import PhaseDisplay
from twin.phases import THREE_PHASE
from twin.unbalanced import Unbalanced

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

AREAS, DAYS, SLOTS = 24, 28, 96
_NOMINAL_V, _NOISE, _MISSING, _WRONG, _NEAR = 230.0, 0.002, 0.05, 0.10, 2


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """What meters at low voltage show, t intervals, m meters; those of transformers come last.

    Attributes
    ----------
    voltage_v
        float64 (t, m, 3): true, of the meter's node.
    energy_wh, power_factor
        float64 (t, m): energy taken less given back; NaN where nothing flows.
    current_a
        float64 (t, m, 3): a single-phase meter's is in the first.
    area, phase
        int64 (m,): phase `THREE_PHASE` = all three.
    near
        bool (areas, areas): where a wrong record may have a meter.
    """

    voltage_v: NDArray[np.float32]
    energy_wh: Floats
    power_factor: NDArray[np.float32]
    current_a: NDArray[np.float32]
    area: Integers
    phase: Integers
    near: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Columns with noise, gaps and wrong records; those of transformers' meters come last.

    Attributes
    ----------
    voltage_v
        float64 (t, columns).
    energies
        Of all columns but those of transformers' meters.
    group, true
        int64 (columns,): as recorded, and as it is.
    certain
        bool (columns,).
    """

    voltage_v: Floats
    energies: PhaseEnergies
    group: Integers
    true: Integers
    certain: NDArray[np.bool_]


class _Watched(Unbalanced):
    """Keeps the voltage of every node and phase of what it solves, as float32."""

    seen: list[NDArray[np.float32]]

    def _point_voltage(self, voltage: Floats) -> Floats:
        self.__dict__.setdefault("seen", []).append(voltage.astype(np.float32))
        return super()._point_voltage(voltage)


def play(seed: int, *, events: bool = False) -> Shown:
    """Four weeks of a city, without events or with all but those that touch records."""
    city = make_city("demonstration", areas=AREAS, begin=BEGIN, days=DAYS, seed=seed, events="default")
    kept = tuple(e for e in city.events if e.kind not in RECORD) if events else ()
    city = City(replace(city.plan, events=kept, counts=None, per_interval=1))
    city._physics.__class__ = _Watched  # noqa: SLF001  # a meter shows one node's phases, here all three are wanted
    meters = city.recorded.meters
    codes, classes = [m.code for m in meters], [m.accuracy_class for m in meters]
    transformers = np.array([[m.ct_class or 0.0 for m in meters], [m.pt_class or 0.0 for m in meters]])
    metering = Metering(
        codes, [m.multiplier for m in meters], classes, MeterErrors(), seed, transformer_class=transformers
    )
    display = PhaseDisplay(codes, classes, MeterErrors(), seed)
    energy, factor, current = [], [], []
    for stretch in city.stretches(city.plan.begin_s, DAYS * SLOTS):
        ended = metering.advance(stretch.steps, stretch.metered_w, stretch.voltage_v)
        energy += [one.import_wh - one.export_wh for one in ended]
        for i, end_s in enumerate(stretch.steps.ends_s.tolist()):
            columns = display.shown(end_s, stretch.phases.take(i)).columns
            factor.append(columns["power_factor"].astype(np.float32))
            current.append(np.stack([columns[f"current_{p}_a"] for p in "abc"], axis=1).astype(np.float32))
    energy += [one.import_wh - one.export_wh for one in metering.finish()]
    volts = np.concatenate(city._physics.seen) * np.float32(_NOMINAL_V)  # type: ignore[attr-defined]  # noqa: SLF001
    points, areas = city.network.points, city.network.areas
    area_of = {a.code: i for i, a in enumerate(areas)}
    masters = {a.code: next(i for i, m in enumerate(meters) if m.unit == a.code) for a in areas}
    at_point = {p.code: i for i, p in enumerate(points)}
    node, area, phase, which = [], [], [], []
    for i, meter in enumerate(meters):
        if meter.unit in area_of and masters[meter.unit] != i:
            point = at_point[meter.code]
            which.append(i)
            node.append(points[point].node)
            area.append(points[point].area)
            phase.append(int(city.phase[point]))
    which += [masters[a.code] for a in areas]
    node += [a.low_node for a in areas]
    area += list(range(len(areas)))
    phase += [int(THREE_PHASE)] * len(areas)
    multiplier = np.array([m.multiplier for m in meters])[which]
    feeder, place = np.array([a.feeder for a in areas]), np.arange(len(areas))
    return Shown(
        volts[:, node],
        np.array(energy)[:, which] * multiplier.astype(np.float64),
        np.array(factor)[:, which],
        np.array(current)[:, which],
        np.array(area),
        np.array(phase),
        (feeder[:, None] == feeder) & (np.abs(place[:, None] - place) <= _NEAR),
    )


def draw(shown: Shown, seed: int) -> Drawn:
    """Noise, missing readings, and wrong records of single-phase meters."""
    random = np.random.default_rng(seed)
    areas = len(shown.near)
    lost = random.random(shown.energy_wh.shape) < _MISSING
    voltage = shown.voltage_v + random.normal(0, _NOISE * _NOMINAL_V, shown.voltage_v.shape)
    voltage[lost] = np.nan
    energy, factor, current = (
        np.where(lost[:, :, None] if of.ndim == 3 else lost, np.nan, of)
        for of in (shown.energy_wh, shown.power_factor, shown.current_a)
    )
    customers = np.arange(len(shown.area) - areas)
    single = customers[shown.phase[customers] != THREE_PHASE]
    three = customers[shown.phase[customers] == THREE_PHASE]
    area, phase = shown.area.copy(), shown.phase.copy()
    for m in single[random.random(len(single)) < _WRONG].tolist():
        others = np.flatnonzero(shown.near[shown.area[m]] & (np.arange(areas) != shown.area[m]))
        if random.random() < 0.5 and len(others):
            area[m], phase[m] = random.choice(others), random.integers(3)
        else:
            phase[m] = (shown.phase[m] + random.integers(1, 3)) % 3
    # A three-phase meter's energy by what flows in its phases.
    through = voltage[:, three] * current[:, three]
    whole = through.sum(axis=2, keepdims=True)
    split = np.where(whole > 0, through / np.where(whole > 0, whole, 1.0), 1 / 3)
    masters = np.arange(len(customers), len(shown.area))
    times = np.arange(len(voltage))[:, None]
    columns = [voltage[times, single, shown.phase[single]]]
    columns += [voltage[:, of, k] for of in (three, masters) for k in range(3)]
    fixed = [shown.area[of] * 3 + k for of in (three, masters) for k in range(3)]
    group = np.concatenate([area[single] * 3 + phase[single], *fixed]).astype(np.int64)
    true = np.concatenate([shown.area[single] * 3 + shown.phase[single], *fixed]).astype(np.int64)
    certain = np.arange(len(group)) >= len(single)
    counted = len(group) - 3 * areas
    energies = PhaseEnergies(
        np.concatenate([energy[:, single], *(energy[:, three] * split[:, :, k] for k in range(3))], axis=1),
        np.concatenate([factor[:, single], *[factor[:, three]] * 3], axis=1).astype(np.float64),
        group[:counted],
        certain[:counted],
        energy[:, masters],
        voltage[:, masters] * current[:, masters] * (24.0 / SLOTS),
    )
    return Drawn(np.concatenate(columns, axis=1), energies, group, true, certain)
