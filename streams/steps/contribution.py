"""What one message adds to a unit's interval, whichever kind of message it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grid.block import Block
from grid.errors import Reason, Rejection
from grid.quality import MISSING_DV, MISSING_WH
from grid.roster import UnitView
from grid.unit_energy import UnitEnergies


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """Readings of one unit at one interval by roster position; arrays of shape (n,), position −1 = no member."""

    view: UnitView
    observed_at_us: int
    interval_s: int
    received_at_us: int
    positions: NDArray[np.int32]
    sequence: NDArray[np.int64]
    import_wh: NDArray[np.int64]
    export_wh: NDArray[np.int64]
    loss_wh: NDArray[np.int64]
    voltage_dv: NDArray[np.int16]
    quality: NDArray[np.uint8]


def from_block(block: Block, view: UnitView, topic: str, original: bytes) -> tuple[Contribution, list[Rejection]]:
    """A block's contribution to its unit; readings of meters that aren't members then go to quarantine."""
    positions = view.positions(block.observed_at_us, block.meters)
    rejections = []
    if len(positions) and positions.min() < 0:
        unknown = tuple(block.meters[int(i)].as_py() for i in np.flatnonzero(positions < 0))
        detail = f"{len(unknown)} of {len(block)} meters are not members of {view.unit} at that time"
        rejections.append(Rejection(Reason.UNKNOWN_METER, detail, topic, original, unknown))
    size = len(block)
    contribution = Contribution(
        view=view,
        observed_at_us=block.observed_at_us,
        interval_s=block.interval_s,
        received_at_us=block.received_at_us,
        positions=positions,
        sequence=np.full(size, block.sequence, np.int64),
        import_wh=block.import_wh,
        export_wh=block.export_wh,
        loss_wh=np.full(size, MISSING_WH, np.int64),
        voltage_dv=block.voltage_dv,
        quality=block.quality,
    )
    return contribution, rejections


def from_energies(energies: UnitEnergies, view: UnitView) -> list[Contribution]:
    """Contributions of children to their parent, one an interval; a child that is no member then is passed over."""
    contributions = []
    keys = np.stack((energies.observed_at_us, energies.interval_s.astype(np.int64)))
    for observed_at_us, interval_s in np.unique(keys, axis=1).T.tolist():
        rows = np.flatnonzero((energies.observed_at_us == observed_at_us) & (energies.interval_s == interval_s))
        known = view.roster(observed_at_us).position_of_child
        contributions.append(
            Contribution(
                view=view,
                observed_at_us=observed_at_us,
                interval_s=interval_s,
                received_at_us=int(energies.received_at_us[rows].max()),
                positions=np.array([known.get(child, -1) for child in energies.child_id[rows].tolist()], np.int32),
                sequence=energies.revision[rows],
                import_wh=energies.taken_wh[rows],
                export_wh=energies.returned_wh[rows],
                loss_wh=energies.loss_wh[rows],
                voltage_dv=np.full(len(rows), MISSING_DV, np.int16),
                quality=energies.quality[rows],
            )
        )
    return contributions
