"""A truth folder of the small grid: an area and its feeder over two days of quarter-hours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from twin.events import Event
from twin.truth_files import Associations, Manifest, UnitEnergies, UnitTruthWriter, write_associations, write_events
from twin.truth_files import write_manifest as finish

#: 2026-11-20 00:00 UTC
BEGIN_S = 1_795_132_800
INTERVALS = 192
END_S = BEGIN_S + INTERVALS * 900
ENDS_S = np.arange(BEGIN_S + 900, END_S + 1, 900)
UNITS = ("A1", "A2", "F1")
ASSOCIATIONS = Associations(
    meter=("A1-m1", "A1-m2", "A2-m1", "A2-m2"),
    true_unit=("A1", "A1", "A2", "A2"),
    recorded_unit=("A1", "A2", "A2", "A2"),
    true_phase=("A", "B", None, "ABC"),
    recorded_phase=("A", "C", "A", None),
    true_multiplier=(1, 1, 1, 40),
    recorded_multiplier=(1, 1, 1, 20),
)


def constant_energies(
    intervals: int, loss_wh: Sequence[float], supply_wh: float = 10_000.0, unmetered_wh: float = 0.0
) -> UnitEnergies:
    """The same in every interval: of each unit a supply, of which 1,000 Wh are generation, and a loss."""
    shape = (intervals, len(loss_wh))
    loss = np.broadcast_to(np.asarray(loss_wh, np.float64), shape)

    def full(value: float) -> NDArray[np.float64]:
        return np.full(shape, value)

    return UnitEnergies(
        import_wh=full(supply_wh - 1_000),
        export_wh=full(500.0),
        sold_wh=supply_wh - 500 - loss,
        generation_wh=full(1_000.0),
        technical_wh=loss - unmetered_wh,
        unmetered_wh=full(unmetered_wh),
    )


def write_truth(
    folder: Path,
    events: Sequence[Event] = (),
    loss_wh: Sequence[float] = (400.0, 300.0, 200.0),
    units: Sequence[str] = UNITS,
    *,
    with_associations: bool = True,
) -> Path:
    """Write the folder and return it."""
    with UnitTruthWriter(folder, units) as writer:
        writer.write(ENDS_S, 900, constant_energies(INTERVALS, loss_wh, unmetered_wh=50.0))
    write_events(events, folder)
    if with_associations:
        write_associations(ASSOCIATIONS, folder)
    finish(Manifest("small", 7, BEGIN_S, END_S, 900, {"units": len(units), "meters": 4}), folder)
    return folder
