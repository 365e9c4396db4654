"""A local day of an area as the usage kernels take it, from the intervals that are stored. Pure.

Slots are quarter hours, or as long as the area's intervals where these are longer. What was estimated or substituted
isn't what a meter counted: it is missing here.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from grid.model import Role
from grid.quality import MISSING_WH, Quality
from grid.roster import UNCONTRACTED, Roster, UnitView
from grid.usage import AreaIntervals

Floats = NDArray[np.float64]

_SLOT_S = 900
_NOT_COUNTED = int(Quality.MISSING | Quality.ESTIMATED | Quality.SUBSTITUTED)
#: Share of a day's intervals whose unexplained loss must be known for that of the day to be.
_LEAST_KNOWN = 0.75
#: Unexplained loss of so many days together says whether an area is abnormal: beyond this share of what it was
#: supplied with, and beyond two standard deviations.
ABNORMAL_DAYS, ABNORMAL_SHARE, BAND = 3, 0.015, 2.0


@dataclass(frozen=True, slots=True, eq=False)
class AreaDay:
    """A local day; m positions of the roster, s slots.

    Attributes
    ----------
    energy_wh
        int64 (m, s): what customers' meters counted, times the multiplier, less what they gave back; `MISSING_WH` = no
        reading, or no customer's meter.
    minutes
        Length of a slot.
    unexplained_by_slot_wh
        float64 (s,): loss less technical loss; NaN = not known.
    supply_by_slot_wh, technical_by_slot_wh
        float64 (s,): what it was supplied with, and the technical loss, where the loss is known.
    supply_wh, loss_wh
        Of the intervals whose loss is known.
    unexplained_wh, sigma_wh
        Of the day, and its standard deviation; NaN = not known of most of it.
    uncontracted
        bool (m,): the meter had no active account in any interval of the day.
    readings
        How many there are.
    """

    energy_wh: NDArray[np.int64]
    minutes: float
    unexplained_by_slot_wh: Floats
    supply_by_slot_wh: Floats
    technical_by_slot_wh: Floats
    supply_wh: int
    loss_wh: int
    unexplained_wh: float
    sigma_wh: float
    uncontracted: NDArray[np.bool_]
    readings: int

    def digest(self) -> bytes:
        """Names the series: 16 bytes of BLAKE2b over the meters' energies, the area's and who had no account.

        Trailing positions without a reading are left out, so that a roster that grows later changes nothing.
        """
        there = (self.energy_wh != MISSING_WH).any(axis=1) | self.uncontracted
        meters = int(np.flatnonzero(there)[-1]) + 1 if there.any() else 0
        by_slot = (self.unexplained_by_slot_wh, self.supply_by_slot_wh, self.technical_by_slot_wh)
        parts = (self.energy_wh[:meters], *by_slot, self.uncontracted[:meters])
        hashed = hashlib.blake2b(
            f"{self.energy_wh.shape[1]} {self.minutes:g} {self.sigma_wh:.3f}".encode(), digest_size=16
        )
        for part in parts:
            hashed.update(np.ascontiguousarray(part).tobytes())
        return hashed.digest()


def chain_of(before: bytes, digest: bytes) -> bytes:
    """Names all days up to one: 16 bytes over the chain of the day before and the day's own digest."""
    return hashlib.blake2b(before + digest, digest_size=16).digest()


def make_day(stored: AreaIntervals, view: UnitView, begin_us: int, end_us: int) -> AreaDay:
    """The local day [begin, end) of an area.

    Where intervals of several lengths lie in the day, those of the length that covers most of it are taken, the
    shortest of several.
    """
    inside = (stored.ends_us > begin_us) & (stored.ends_us <= end_us)
    lengths, counts = np.unique(stored.interval_s[inside], return_counts=True)
    length_s = int(lengths[np.argmax(counts * lengths)]) if len(lengths) else _SLOT_S
    slot_s = max(length_s, _SLOT_S)
    # A day of 23 hours has its 24th missing.
    slots, ratio = max((end_us - begin_us) // (slot_s * 1_000_000), 24), slot_s // length_s
    rows = np.flatnonzero(inside & (stored.interval_s == length_s))
    # Where midnight lies within an interval, as in a zone of half hours, the first is the one that ends after it.
    at = -((begin_us - stored.ends_us[rows]) // (length_s * 1_000_000)) - 1
    energy, uncontracted = _energies(stored, view, rows)
    fine_wh = np.full((view.size, slots * ratio), MISSING_WH, np.int64)
    fine_wh[:, at] = energy.T
    by_slot = fine_wh.reshape(view.size, slots, ratio)
    lacking = (by_slot == MISSING_WH).any(axis=2)
    known = stored.computable[rows]
    unexplained = np.where(known, stored.loss_wh[rows] - stored.technical_wh[rows], np.nan)
    by_area = np.full((3, slots * ratio), np.nan)
    by_area[:, at] = np.where(known, (unexplained, stored.inflow_wh[rows], stored.technical_wh[rows]), np.nan)
    loss, supply, technical = by_area.reshape(3, slots, ratio).sum(axis=2)
    told = np.isfinite(unexplained)
    enough = told.sum() >= _LEAST_KNOWN * slots * ratio
    systematic = stored.systematic_sigma_wh[rows][told]
    by_chance = stored.sigma_wh[rows][told] ** 2 - systematic**2
    return AreaDay(
        energy_wh=np.where(lacking, MISSING_WH, by_slot.sum(axis=2)),
        minutes=slot_s / 60.0,
        unexplained_by_slot_wh=loss,
        supply_by_slot_wh=supply,
        technical_by_slot_wh=technical,
        supply_wh=int(stored.inflow_wh[rows][known].sum()),
        loss_wh=int(stored.loss_wh[rows][known].sum()),
        unexplained_wh=float(unexplained[told].sum()) if enough else math.nan,
        sigma_wh=float(systematic.sum() + math.sqrt(max(by_chance.sum(), 0.0))),
        uncontracted=uncontracted,
        readings=int((energy != MISSING_WH).sum()),
    )


def fit_slots(energy_wh: NDArray[np.int64], loss_wh: Floats, slots: int) -> tuple[NDArray[np.int64], Floats]:
    """A day of 23 or 25 hours with as many slots as others: what lacks is missing, what is too much is left out."""
    lacking = max(slots - len(loss_wh), 0)
    return (
        np.pad(energy_wh[:, :slots], ((0, 0), (0, lacking)), constant_values=MISSING_WH),
        np.pad(loss_wh[:slots], (0, lacking), constant_values=np.nan),
    )


def is_abnormal(unexplained_wh: Sequence[float | None], sigma_wh: Sequence[float], supply_wh: Sequence[float]) -> bool:
    """Whether the unexplained loss of some days together is more than its band and a share of the supply.

    Where it isn't known of one of them (None), nothing is abnormal.
    """
    known = [wh for wh in unexplained_wh if wh is not None]
    limit_wh = max(BAND * sum(sigma_wh), ABNORMAL_SHARE * sum(supply_wh), 1.0)
    return len(known) == len(unexplained_wh) and sum(known) > limit_wh


def is_weekend(day: date, holidays: Mapping[date, bool]) -> bool:
    """Whether people are at home: the calendar of holidays stands above the week's pattern.

    Parameters
    ----------
    holidays
        Days that differ from the week's pattern, and whether they are working days.
    """
    working = holidays.get(day)
    return day.weekday() >= 5 if working is None else not working


def _energies(
    stored: AreaIntervals, view: UnitView, rows: NDArray[np.intp]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """What customers' meters counted in some intervals, (n, m), and who had no account in any of them, (m,)."""
    energy = np.full((len(rows), view.size), MISSING_WH, np.int64)
    without = np.zeros((len(rows), view.size), np.bool_)
    # Mostly one roster serves the whole day.
    rosters: dict[int, tuple[Roster, list[int]]] = {}
    for n, row in enumerate(rows.tolist()):
        roster = view.roster(int(stored.ends_us[row]), int(stored.interval_s[row]))
        rosters.setdefault(id(roster), (roster, []))[1].append(n)
    for roster, places in rosters.values():
        of = rows[places]
        taken, given = stored.import_wh[of], stored.export_wh[of]
        counted = (stored.quality[of] & _NOT_COUNTED == 0) & (taken != MISSING_WH)
        counted &= roster.role & int(Role.CUSTOMER) != 0
        net = (np.where(counted, taken, 0) - np.where(given == MISSING_WH, 0, given)) * roster.multiplier
        energy[places] = np.where(counted, net, MISSING_WH)
        without[places] = roster.role & UNCONTRACTED != 0
    return energy, np.asarray(without.all(axis=0) & (len(rows) > 0))
