"""Transformer and phase by voltage on the twin, and the repair of pairs of areas with two meters exchanged.

Voltages are those of the twin's own power flow (24 areas, four weeks), by phase at every connection and at the
transformers' master meters, with 0.2 % of noise a reading and 5 % missing. 10 % of the single-phase meters are
wrongly recorded: half on a transformer up to two places away on the same feeder, half on another phase. Three-phase
meters and master meters are recorded right.

For the repair, two areas of 30 stretches of real homes over four weeks; one meter of each is recorded in the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.loss_city import BEGIN
from benchmarks.report import Result, result
from benchmarks.usage_households import Households
from benchmarks.usage_localisation import stretches
from kernels.association import paired_repair, voltage_association
from kernels.energy_balance import MISSING_WH
from meterline.city import make_city
from twin.city import City
from twin.unbalanced import THREE_PHASE, Unbalanced

SEEDS = (20_341, 20_342, 20_343)
_AREAS, _DAYS, _SLOTS, _CITY_SEED = 24, 28, 96, 11
_NOMINAL_V, _NOISE, _MISSING, _WRONG, _NEAR = 230.0, 0.002, 0.05, 0.10, 2
_HOMES, _PAIRS = 30, 100


@dataclass(frozen=True, slots=True, eq=False)
class Voltages:
    """True voltages by column, shape (times, columns), with each column's area, phase and whether it is certain."""

    voltage_v: NDArray[np.float64]
    area: NDArray[np.int64]
    phase: NDArray[np.int64]
    certain: NDArray[np.bool_]
    near: NDArray[np.bool_]


class _Watched(Unbalanced):
    """Keeps the voltage of every node and phase of what it solves, as float32."""

    seen: list[NDArray[np.float32]]

    def _point_voltage(self, voltage: NDArray[np.float64]) -> NDArray[np.float64]:
        self.__dict__.setdefault("seen", []).append(voltage.astype(np.float32))
        return super()._point_voltage(voltage)


def twin_voltages() -> Voltages:
    """Four weeks without events."""
    city = make_city("demonstration", areas=_AREAS, begin=BEGIN, days=_DAYS, seed=_CITY_SEED, events="default")
    city = City(replace(city.plan, events=(), counts=None, per_interval=1))
    city._physics.__class__ = _Watched  # noqa: SLF001  # the twin tells one voltage a meter, here all three are wanted
    for _ in city.stretches(city.plan.begin_s, _DAYS * _SLOTS):
        pass
    volts = np.concatenate(city._physics.seen) * np.float32(_NOMINAL_V)  # type: ignore[attr-defined]  # noqa: SLF001
    points, areas = city.network.points, city.network.areas
    node = np.array([p.node for p in points])
    area = np.array([p.area for p in points])
    low = np.array([a.low_node for a in areas])
    single = np.flatnonzero((city.phase != THREE_PHASE) & (area >= 0))
    three = np.flatnonzero((city.phase == THREE_PHASE) & (area >= 0))
    columns = [volts[:, node[single], city.phase[single]]]
    columns += [volts[:, at, k] for k in range(3) for at in (low, node[three])]
    of_area = [area[single]] + [of for _ in range(3) for of in (np.arange(len(areas)), area[three])]
    of_phase = [city.phase[single].astype(np.int64)]
    of_phase += [np.full(n, k) for k in range(3) for n in (len(areas), len(three))]
    feeder, place = np.array([a.feeder for a in areas]), np.arange(len(areas))
    near = (feeder[:, None] == feeder) & (np.abs(place[:, None] - place) <= _NEAR)
    phase = np.concatenate(of_phase)
    return Voltages(
        np.concatenate(columns, axis=1).astype(np.float64),
        np.concatenate(of_area).astype(np.int64),
        phase,
        np.arange(len(phase)) >= len(single),
        near,
    )


def association() -> list[Result]:
    """What is found of wrong records, and how many right ones are doubted."""
    twin = twin_voltages()
    counts = np.array([_one(twin, seed) for seed in SEEDS]).sum(axis=0)
    names = (
        ("single-phase meters whose transformer is told rightly", 0.97),
        ("single-phase meters whose phase is told rightly", 0.99),
        ("wrong transformers found, of those recorded wrong", 0.97),
        ("wrong phases found, of those recorded wrong", 0.99),
        ("right records doubted", 0.001),
    )
    return [
        result(
            f"association on the twin: {name}", float(hits / of), "", target, less_is_better=name.endswith("doubted")
        )
        for (name, target), (hits, of) in zip(names, counts.reshape(-1, 2), strict=True)
    ]


def _one(twin: Voltages, seed: int) -> NDArray[np.int64]:
    random = np.random.default_rng(seed)
    voltage = twin.voltage_v + random.normal(0, _NOISE * _NOMINAL_V, twin.voltage_v.shape)
    voltage[random.random(voltage.shape) < _MISSING] = np.nan
    area, phase = twin.area.copy(), twin.phase.copy()
    wrong = (random.random(len(area)) < _WRONG) & ~twin.certain
    for m in np.flatnonzero(wrong).tolist():
        others = np.flatnonzero(twin.near[twin.area[m]] & (np.arange(len(twin.near)) != twin.area[m]))
        if random.random() < 0.5 and len(others):
            area[m], phase[m] = random.choice(others), random.integers(3)
        else:
            phase[m] = (twin.phase[m] + random.integers(1, 3)) % 3
    said = voltage_association(
        voltage,
        area * 3 + phase,
        np.kron(twin.near, np.ones((3, 3), np.bool_)),
        _SLOTS,
        twin.certain,
        area=np.arange(3 * len(twin.near)) // 3,
    )
    judged = ~twin.certain
    moved, dealt = area != twin.area, wrong & (area == twin.area)
    to_area, to_phase = np.where(said.doubted, said.group, area * 3 + phase) // 3, said.group % 3
    return np.array(
        [
            ((said.group // 3 == twin.area) & judged).sum(),
            judged.sum(),
            ((to_phase == twin.phase) & judged).sum(),
            judged.sum(),
            ((to_area == twin.area) & moved).sum(),
            moved.sum(),
            ((to_phase == twin.phase) & said.doubted & dealt).sum(),
            dealt.sum(),
            (said.doubted & judged & ~wrong).sum(),
            (judged & ~wrong).sum(),
        ]
    )


def repair(data: Households) -> list[Result]:
    """Swapped pairs that are mended exactly, and pairs without an error that are left alone."""
    places = stretches(data, range(1, len(data.energy_wh), 2))
    exact = left = 0
    for seed in range(20_351, 20_351 + _PAIRS):
        random = np.random.default_rng(seed)
        picked = [places[i] for i in random.choice(len(places), 2 * _HOMES, replace=False)]
        use = np.stack([data.energy_wh[h, s + 28 : s + 56].ravel() for h, s in picked]).astype(np.float64)
        use[use == MISSING_WH] = np.nan
        true = np.nan_to_num(use)
        # What is expected of the loss is wrong by a tenth of the technical loss and by the gateway's class.
        losses = []
        for homes in (true[:_HOMES], true[_HOMES:]):
            sold = homes.sum(axis=0)
            technical = 0.03 * sold**2 / sold.mean()
            gateway = (sold + technical) * (1 + random.normal(0, 0.003)) * (1 + random.normal(0, 0.005, sold.shape))
            losses.append(gateway - sold - technical * (1 + random.normal(0, 0.1)))
        fine = paired_repair(losses[0], losses[1], use[:_HOMES], use[_HOMES:])
        left += not (fine.to_first or fine.to_second)
        a, b = int(random.integers(_HOMES)), int(random.integers(_HOMES))
        told = use.copy()
        told[[a, _HOMES + b]] = use[[_HOMES + b, a]]
        apart = true[a] - true[_HOMES + b]
        said = paired_repair(losses[0] + apart, losses[1] - apart, told[:_HOMES], told[_HOMES:])
        exact += said.to_second == (a,) and said.to_first == (b,)
    return [
        result("swapped pairs mended exactly", exact / _PAIRS, "", 0.9),
        result("pairs of areas without an error left alone", left / _PAIRS, ""),
    ]
