"""What isn't explained of what comes into an area's phases: how large it is, how long it lasts, which times count.

Four figures a time: what came into each phase, as apparent energy, and all that came in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Noise of what voltage times current shows, as a share and in volt-ampere-hours; of a phase's energies beyond what is
#: named, as a share; part of a change of load that a clock moves into the next interval.
_SHOWN, _SHOWN_VAH, _BEYOND, _CLOCK = 0.002, 1.0, 0.0005, 0.0027
#: Variance of a difference of whole watt-hours.
_ROUNDED_WH2 = 1.0 / 6.0
#: Degrees of freedom of what isn't explained, and the median of a square against its mean.
_FREEDOM, _MEDIAN = 5.0, 0.84
#: Most that is left of what isn't explained an interval later.
_MOST_LASTING = 0.95
#: An area is computed anew when its noise has changed by this part.
_SAME_NOISE = 0.1


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """Of an area: how much larger the covariance is than thought, and how much each time counts.

    `lasting` (4,) is the part of each figure's noise that is left an interval later (Cochrane & Orcutt 1949).
    """

    factor: float
    weight: Floats
    lasting: Floats


def differs(one: Noise, other: Noise) -> bool:
    """Whether an area is to be computed anew."""
    factor = abs(one.factor / other.factor - 1.0)
    return max(factor, float(np.abs(one.lasting - other.lasting).max())) > _SAME_NOISE


def covariance_of(
    energies: Floats, variances: Floats, inside: list[NDArray[np.intp]], apparent: Floats, supply: Floats
) -> Floats:
    """Of the three phases' and the whole area's energies, (t, 4, 4), by what is known of their noise.

    Parameters
    ----------
    energies, variances
        Of the area's columns, Wh and Wh², (t, n).
    inside
        Which of them stand in each phase.
    apparent, supply
        What flows in each phase (t, 3), and what was counted of the four figures (t, 4).
    """
    covariance = np.zeros((len(supply), 4, 4))
    for k, own in enumerate(inside):
        energy, variance = energies[:, own], variances[:, own]
        change = np.diff(energy, axis=0, prepend=energy[:1])
        # A meter's own error is its phase's and the area's.
        meters = (variance + (_CLOCK * change) ** 2 + _ROUNDED_WH2).sum(axis=1)
        covariance[:, k, 3] = covariance[:, 3, k] = meters
        covariance[:, k, k] = meters + (_SHOWN * apparent[:, k]) ** 2 + _SHOWN_VAH**2
        covariance[:, 3, 3] += meters + (_BEYOND * apparent[:, k]) ** 2
    change = np.diff(supply[:, 3], prepend=supply[:1, 3])
    covariance[:, 3, 3] += (_CLOCK * change) ** 2 + _ROUNDED_WH2 + 1.0
    return covariance


def whitening(covariance: Floats, there: NDArray[np.bool_], weight: Floats) -> Floats:
    """Matrices (t, 4, 4) that make noise one and independent; 0 for what is missing."""
    both = there[:, :, None] & there[:, None, :]
    factor = np.linalg.cholesky(np.where(both, covariance, np.eye(4)))
    return np.asarray(np.linalg.inv(factor) * both * np.sqrt(weight)[:, None, None])


def measured(residual: Floats, there: NDArray[np.bool_], noise: Noise) -> Noise:
    """The noise by what is left: its size, and times that are far off count less (Student's t)."""
    rows = there.sum(axis=1)
    known = (rows > 0) & (noise.weight > 0.0)
    if not known.any():
        return noise
    square = (residual**2).sum(axis=1) / np.where(known, noise.weight, 1.0)
    factor = max(float(np.median(square[known] / rows[known])) / _MEDIAN, 1e-3)
    weight = np.where(known, (_FREEDOM + rows) / (_FREEDOM + square / factor), 0.0)
    whole = residual.copy()
    for time in range(1, len(whole)):
        whole[time] += noise.lasting * whole[time - 1]
    squares = (whole**2).sum(axis=0)
    lasting = (whole[1:] * whole[:-1]).sum(axis=0) / np.where(squares > 0.0, squares, 1.0)
    return Noise(noise.factor * factor, weight, np.clip(lasting, 0.0, _MOST_LASTING))
