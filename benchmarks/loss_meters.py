"""Error bars from single meters' sums, beside what is stated: the naive one, and one that adds up each meter first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.loss_city import Month, Park
from grid.model import Role
from grid.quality import MISSING_WH
from twin.draws import truncated_normal

_UNIFORM = 1.0 / (100.0 * 3**0.5)
_STEP_VARIANCE = 1.0 / 6.0
#: As of the energy balance: a normal error that is cut off at two σ, the class.
_SIGMA, _CUT_SIGMA, _CUT = 0.5 / 100.0, 0.44 / 100.0, 2.0

_BOTH = Role.GATEWAY | Role.CUSTOMER


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """Meters whose errors enter one unit's loss, as at the month's begin; `at` are their positions.

    Attributes
    ----------
    accuracy_class
        Percent.
    sign
        1 for what goes in, −1 for what goes out.
    """

    at: NDArray[np.int64]
    accuracy_class: NDArray[np.float64]
    multiplier: NDArray[np.float64]
    sign: NDArray[np.float64]

    def energies(self, park: Park, there: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Import and export, primary, where the unit is computable, else 0; shape (2, intervals, members)."""
        both = np.stack([park.import_wh[:, self.at], park.export_wh[:, self.at]])
        return np.where((both == MISSING_WH) | ~there[:, None], 0.0, both * self.multiplier)


def members_of(month: Month) -> Iterator[Members]:
    """Of each of `City.truth_units`: of an area its meters, of a feeder its head and the gateways below it."""
    meters = month.city.recorded.meters
    feeder = {area.code: area.feeder for area in month.city.recorded.areas}
    places: dict[str, list[tuple[int, float]]] = {code: [] for code in month.city.truth_units}
    for i, meter in enumerate(meters):
        is_gateway = bool(meter.role & Role.GATEWAY)
        # A dedicated customer's meter is on both sides of its own unit.
        if meter.role != _BOTH:
            places[meter.unit].append((i, 1.0 if is_gateway else -1.0))
        above = feeder.get(meter.unit) if is_gateway else None
        if above is not None:
            places[above].append((i, -1.0))
    for of_unit in places.values():
        at = np.array([i for i, _ in of_unit], np.int64)
        yield Members(
            at,
            np.array([meters[i].accuracy_class for i in at]),
            np.array([meters[i].multiplier for i in at], np.float64),
            np.array([sign for _, sign in of_unit]),
        )


def naive_sigma(month: Month, park: Park, there: NDArray[np.bool_]) -> NDArray[np.float64]:
    """σ at each interval: each class uniform within its limits; 0 where a unit isn't computable.

    Parameters
    ----------
    there
        Whether each unit is computable; shape (intervals, units), as the result.
    """
    found = np.zeros(there.shape)
    for u, members in enumerate(members_of(month)):
        energies = members.energies(park, there[:, u])
        variance = (energies**2).sum(axis=0) @ (_UNIFORM * members.accuracy_class) ** 2
        found[:, u] = np.sqrt(variance + _STEP_VARIANCE * (members.multiplier**2).sum())
    return np.where(there, found, 0.0)


def systematic_by_meters(
    month: Month, park: Park, there: NDArray[np.bool_], firsts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Part of σ from classes over periods, where each meter's energy is added up first; shape (periods, units).

    Parameters
    ----------
    firsts
        First interval of each period.
    """
    found = np.zeros((len(firsts), there.shape[1]))
    for u, members in enumerate(members_of(month)):
        sums = np.add.reduceat(members.energies(park, there[:, u]), firsts, axis=1)
        found[:, u] = np.sqrt((sums**2).sum(axis=0) @ (_CUT_SIGMA * members.accuracy_class) ** 2)
    return found


def class_errors(
    month: Month, park: Park, there: NDArray[np.bool_], firsts: NDArray[np.int64], draws: int, seed: int
) -> NDArray[np.float64]:
    """Errors of periods' losses by nothing but classes, of many draws of all meters; shape (draws, periods, units).

    Each meter and direction has a gain that stays, normal with half of the class as σ and cut off at the class.
    """
    random = np.random.default_rng(seed)
    found = np.zeros((draws, len(firsts), there.shape[1]))
    for u, members in enumerate(members_of(month)):
        sums = np.add.reduceat(members.energies(park, there[:, u]), firsts, axis=1) * members.sign
        gain = truncated_normal(random.random((draws, 2, len(members.at))), _CUT) * _SIGMA * members.accuracy_class
        found[:, :, u] = gain[:, 0] @ sums[0].T - gain[:, 1] @ sums[1].T
    return found
