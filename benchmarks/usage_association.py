"""Transformer and phase by voltage and energy on the twin, and the repair of pairs of areas with two meters exchanged.

Of 24 areas over four weeks (`benchmarks.association_twin`), with 0.2 % of noise on voltages and 5 % of the readings
missing. 10 % of the single-phase meters are wrongly recorded: half on a transformer up to two places away on the same
feeder, half on another phase. Three-phase meters and transformers' meters are recorded right.

For the repair, two areas of 30 stretches of real homes over four weeks; one meter of each is recorded in the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.association_twin import SLOTS, Drawn, Shown, draw, play
from benchmarks.report import Result, result
from benchmarks.usage_households import Households
from benchmarks.usage_localisation import stretches
from kernels.association import Association, paired_repair, voltage_association
from kernels.association_energy import energy_association
from kernels.member import MISSING_WH

SEEDS = (20_341, 20_342, 20_343)
_CITY_SEED = 11
_HOMES, _PAIRS = 30, 100


def association() -> list[Result]:
    """What is found of wrong records, and how many right ones are doubted."""
    twin = play(_CITY_SEED)
    counts = np.array([found(draw(twin, seed), twin) for seed in SEEDS]).sum(axis=0)
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


def told(drawn: Drawn, twin: Shown) -> Association:
    """What energies and voltages say together."""
    groups = 3 * len(twin.near)
    by_energy = np.where(drawn.group[:, None] == np.arange(groups), 0.0, -np.inf)
    counted = energy_association(drawn.energies, twin.near)
    by_energy[: len(drawn.energies.group)] = counted.fit
    in_step = np.zeros(len(drawn.group), np.bool_)
    in_step[: len(drawn.energies.group)] = counted.in_step
    return voltage_association(
        drawn.voltage_v,
        drawn.group,
        np.kron(twin.near, np.ones((3, 3), np.bool_)),
        SLOTS,
        drawn.certain,
        area=np.arange(groups) // 3,
        by_energy=by_energy,
        in_step=in_step,
    )


def found(drawn: Drawn, twin: Shown) -> NDArray[np.int64]:
    """Pairs of hits and of how many, as `association` names them."""
    said = told(drawn, twin)
    group, true, judged = drawn.group, drawn.true, ~drawn.certain
    wrong = judged & (group != true)
    moved = wrong & (group // 3 != true // 3)
    dealt = wrong & ~moved
    decided = np.where(said.doubted, said.group, group)
    pairs = (
        (said.group // 3 == true // 3, judged),
        (decided % 3 == true % 3, judged),
        (decided // 3 == true // 3, moved),
        (said.doubted & (said.group % 3 == true % 3), dealt),
        (said.doubted, judged & ~wrong),
    )
    return np.array([count for hits, of in pairs for count in ((hits & of).sum(), of.sum())])


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
