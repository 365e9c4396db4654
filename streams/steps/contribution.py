"""What one message adds to a unit's interval, whichever kind of message it was."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from grid.arrow import Names
from grid.block import Block, filled
from grid.channels import CHANNELS, CLOSING, EXPORT, IMPORT, SIGMA, Values
from grid.errors import Reason, Rejection
from grid.model import MAX_ENERGY_WH
from grid.quality import Quality, precedence
from grid.roster import Roster, UnitView
from grid.unit_energy import UnitEnergies

#: (unit id, end of the interval in microseconds, its length in seconds): what a row is keyed by.
Key = tuple[int, int, int]


class Cause(Enum):
    """Why a row is looked at."""

    DATA = "data"
    TICK = "tick"  # time has passed
    MODEL = "model"  # what is believed of the grid has changed
    ESTIMATE = "estimate"  # what stands in for readings that are missing at a limit


@dataclass(frozen=True, slots=True, eq=False)
class Contribution:
    """Readings of one unit at one interval by roster position; arrays of shape (n,).

    Attributes
    ----------
    received_at_us
        When the message came that says so.
    positions
        int32; −1 = no member.
    precedence, received_us
        int64 a reading. `received_us` may be earlier than `received_at_us` for what the store held already.
    channels
        What is said, by channel; a missing value says nothing, unless it is said of a `child`.
    child
        The members spoken of are units: whether a value is missing is known, and `precedence` is their row's version.
    part
        No step of its own, but part of the one of the row's next contribution.
    """

    view: UnitView
    roster: Roster
    observed_at_us: int
    interval_s: int
    received_at_us: int
    positions: NDArray[np.int32]
    precedence: NDArray[np.int64]
    received_us: NDArray[np.int64]
    channels: Mapping[str, Values]
    quality: NDArray[np.uint8]
    child: bool = False
    cause: Cause = Cause.DATA
    part: bool = False

    @property
    def key(self) -> Key:
        """Key of the row that it is for."""
        return self.view.unit_id, self.observed_at_us, self.interval_s


def from_block(block: Block, view: UnitView, topic: str, original: bytes) -> tuple[Contribution, list[Rejection]]:
    """A block's contribution to its unit; readings of meters that aren't members then go to quarantine."""
    roster = view.roster(block.observed_at_us, block.interval_s)
    positions = view.positions(roster, block.meters)
    rejections = []
    if len(positions) and positions.min() < 0:
        unknown = Names(block.meters.take(np.flatnonzero(positions < 0)))
        detail = f"{len(unknown)} of {len(block)} meters are not members of {view.unit} at that time"
        rejections.append(Rejection(Reason.UNKNOWN_METER, detail, topic, original, unknown))
    contribution = Contribution(
        view=view,
        roster=roster,
        observed_at_us=block.observed_at_us,
        interval_s=block.interval_s,
        received_at_us=block.received_at_us,
        positions=positions,
        precedence=precedence(block.quality, block.sequence),
        received_us=filled(len(block), block.received_at_us),
        channels=block.channels,
        quality=block.quality,
    )
    if roster.others:
        contribution = _with_other_positions(contribution, roster)
    return contribution, rejections


def at_multiplier(
    channels: Mapping[str, Values], quality: NDArray[np.uint8], before: NDArray[np.int64], after: NDArray[np.int64]
) -> dict[str, Values]:
    """What is said of meters at some multipliers, as the same meters say it at others; arrays of shape (n,).

    A register shows the same at any multiplier. Power that stands in for one was divided by the multiplier, and comes
    to the same energy only by another quotient.
    """
    scaled = dict(channels)
    if SIGMA not in channels:
        return scaled
    missing = CHANNELS[SIGMA].missing
    stands_in = (quality & np.uint8(Quality.SUBSTITUTED) != 0) & (channels[SIGMA] != missing) & (before != after)
    for name, rounded in ((IMPORT, round), (EXPORT, round), (SIGMA, math.ceil)):
        there = np.flatnonzero(stands_in & (channels[name] != missing)) if name in channels else ()
        if not len(there):
            continue
        values = scaled[name] = channels[name].copy()
        for i in there:
            wh = rounded(int(values[i]) * int(before[i]) / int(after[i]))
            values[i] = wh if wh <= MAX_ENERGY_WH else missing
    return scaled


def _with_other_positions(c: Contribution, roster: Roster) -> Contribution:
    """Say the same of the other positions that a meter had in the interval, but for its closing register."""
    place = {position: i for i, position in enumerate(c.positions.tolist())}
    pairs = [(place[last], other) for last, others in roster.others.items() if last in place for other in others]
    if not pairs:
        return c
    source = np.concatenate((np.arange(len(c.positions)), [i for i, _ in pairs])).astype(np.intp)
    again = slice(len(c.positions), None)
    positions = np.concatenate((c.positions, [p for _, p in pairs])).astype(np.int32)
    channels = at_multiplier(
        {name: values[source] for name, values in c.channels.items()},
        c.quality[source],
        roster.multiplier[c.positions[source]],
        roster.multiplier[positions],
    )
    for name in CLOSING:
        if name in channels:
            channels[name][again] = CHANNELS[name].missing
    return Contribution(
        view=c.view,
        roster=roster,
        observed_at_us=c.observed_at_us,
        interval_s=c.interval_s,
        received_at_us=c.received_at_us,
        positions=positions,
        precedence=c.precedence[source],
        received_us=c.received_us[source],
        channels=channels,
        quality=c.quality[source],
    )


def from_energies(energies: UnitEnergies, view: UnitView) -> list[Contribution]:
    """Contributions of children to their parent; a child that is no member then is passed over.

    One for each interval and time of receipt, so that what a parent publishes doesn't depend on how its children's
    messages were gathered into records.
    """
    groups: dict[tuple[int, int, int], list[int]] = {}
    keys = zip(
        energies.observed_at_us.tolist(), energies.interval_s.tolist(), energies.received_at_us.tolist(), strict=True
    )
    for row, key in enumerate(keys):
        groups.setdefault(key, []).append(row)
    children = energies.child_id.tolist()
    contributions = []
    for (observed_at_us, interval_s, received_at_us), of_group in groups.items():
        roster = view.roster(observed_at_us, interval_s)
        rows = np.array(of_group)
        contributions.append(
            Contribution(
                view=view,
                roster=roster,
                observed_at_us=observed_at_us,
                interval_s=interval_s,
                received_at_us=received_at_us,
                positions=np.array([roster.position_of_child.get(children[row], -1) for row in of_group], np.int32),
                precedence=energies.version[rows],
                received_us=energies.received_at_us[rows],
                channels={
                    "import_wh": energies.taken_wh[rows],
                    "export_wh": energies.returned_wh[rows],
                    "loss_wh": energies.loss_wh[rows],
                    "sigma_wh": energies.sigma_wh[rows],
                    "technical_milli_wh": energies.technical_milli_wh[rows],
                    "sold_sigma_wh": energies.sold_sigma_wh[rows],
                    "sold_systematic_wh": energies.sold_systematic_wh[rows],
                    "sigma_systematic_wh": energies.sigma_systematic_wh[rows],
                    "final_us": energies.final_us[rows],
                },
                quality=energies.quality[rows],
                child=True,
            )
        )
    return contributions


def look_again(view: UnitView, observed_at_us: int, interval_s: int, at_us: int, cause: Cause) -> Contribution:
    """Nothing new for a row but that time has passed until `at_us`, or that the model has changed then."""
    none = np.empty(0, np.int64)
    return Contribution(
        view=view,
        roster=view.roster(observed_at_us, interval_s),
        observed_at_us=observed_at_us,
        interval_s=interval_s,
        received_at_us=at_us,
        positions=np.empty(0, np.int32),
        precedence=none,
        received_us=none,
        channels={},
        quality=np.empty(0, np.uint8),
        cause=cause,
    )
