"""Speed of the kernels on one core: the energy balance against NumPy's reduceat, the load flow against
power-grid-model and OpenDSS.

With ``--feeders DIR``, a folder that holds `european_lv` as OpenDSS files, the three-phase figures are of these;
without, of pandapower's copy of the same feeder with profiles made up here.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import load_flow
from benchmarks.report import Result, main, processor_seconds, result
from kernels.energy_balance import line_loss
from kernels.member import MISSING_WH


def measure(feeders: Path | None = None) -> list[Result]:
    """All kernels."""
    return [
        *energy_balance(),
        *load_flow.balanced(100, 2_000),
        *load_flow.balanced(1_000, 512),
        *load_flow.phases(feeders),
    ]


def energy_balance() -> list[Result]:
    """Balance 5,000 areas of 400 meters, 2 % of them missing, with all that the service says of a member and a unit."""
    units, members = 5_000, 400
    total = units * members
    random = np.random.default_rng(7)
    starts = np.arange(units + 1, dtype=np.int64) * members
    import_wh = random.integers(0, 2_000, total)
    import_wh[random.random(total) < 0.02] = MISSING_WH
    export_wh = np.where(import_wh == MISSING_WH, MISSING_WH, 0)
    loss_wh = np.full(total, MISSING_WH)
    multiplier = np.ones(total, np.int64)
    role = np.where(np.arange(total) % members == 0, 1, 2).astype(np.uint8)
    accuracy = np.ones(total)

    def with_numpy() -> tuple[NDArray[Any], ...]:
        there = import_wh != MISSING_WH
        taken = np.where(there, import_wh, 0) * multiplier
        given = np.where(there & (export_wh != MISSING_WH), export_wh, 0) * multiplier
        gateway, sink = role & 1 != 0, role & 6 != 0
        variance = (accuracy / 173.2 * taken) ** 2 + (accuracy / 173.2 * given) ** 2 + there / 6
        return (
            np.add.reduceat(np.where(gateway, taken, 0) + np.where(sink, given, 0), starts[:-1]),
            np.add.reduceat(np.where(gateway, given, 0) + np.where(sink, taken, 0), starts[:-1]),
            np.sqrt(np.add.reduceat(variance, starts[:-1])),
            np.add.reduceat(there.astype(np.int64), starts[:-1]),
        )

    arrays = (import_wh, export_wh, loss_wh, multiplier, role, accuracy)
    extra, quality, shared = np.zeros(total, np.int64), np.zeros(total, np.uint8), np.zeros(total, np.int64)
    more = (extra, quality, np.full(units, 1 / 300), shared, np.ones(units))
    assert np.array_equal(with_numpy()[0], line_loss(starts, *arrays, *more).inflow_wh)
    ours = total / processor_seconds(lambda: line_loss(starts, *arrays, *more))
    theirs = total / processor_seconds(with_numpy)
    return [result("energy balance", ours, "readings/s", 200e6, "NumPy reduceat", theirs)]


if __name__ == "__main__":
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--feeders", type=Path)
    known, sys.argv[1:] = options.parse_known_args()
    main(lambda: measure(known.feeders), __doc__ or "")
