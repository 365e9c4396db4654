"""Voltages of a neighbourhood as a few factors, and how well each meter's share in them fits each group.

What moves the voltages of some areas together (the medium voltage, each transformer's and each cable's load) are few
things beside the noise of hundreds of meters: the principal components that stand above what noise alone would make
(Marchenko & Pastur 1967). A meter is a point in their space. The members of a group, an area's phase, lie about their
mean in some directions and not in others: those in which their cables differ. So each group is a multivariate t
distribution, whose scatter is shrunk towards that of its area and of all groups (Friedman 1989).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: A component counts from so much above the greatest that noise makes; and the most that are taken.
_ABOVE_NOISE, _MOST_FACTORS = 1.02, 40
#: Parts of a group's scatter that are its area's and all groups'; the rest is its own.
_OF_AREA, _OF_ALL = 0.1, 0.7
#: Degrees of freedom: a cable of one's own isn't a sign of another area.
_FREEDOM = 10.0
#: Least left of the scatter when a meter is taken out of it.
_LEAST_LEFT = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """A neighbourhood's columns in the space of its factors.

    Attributes
    ----------
    share
        float64 (columns, factors): volts times the root of the number of times.
    noise
        Variance of a share that is noise, the mean of all columns.
    length
        float64 (columns,): of the whole column, what isn't in any factor included.
    """

    share: Floats
    noise: float
    length: Floats


def voltage_factors(deviation: Floats, known: NDArray[np.bool_]) -> Factors:
    """Find the factors of columns; shapes (times, columns), deviations 0 where nothing is known.

    Notes
    -----
    Noise is the median of the components, since nearly all of them are noise. A missing reading makes a share smaller
    by as much, which is put right by the number of readings.
    """
    times, columns = deviation.shape
    value, vector = np.linalg.eigh(deviation.T @ deviation)
    value, vector = np.maximum(value[::-1], 1e-12), vector[:, ::-1]
    edge = np.median(value) / times * (np.sqrt(times) + np.sqrt(columns)) ** 2
    count = min(max(int((value > _ABOVE_NOISE * edge).sum()), 1), _MOST_FACTORS)
    more = times / np.maximum(known.sum(axis=0), 1)
    raw = vector[:, :count] * np.sqrt(value[:count])
    square = (deviation**2).sum(axis=0)
    noise = np.maximum(square - (raw**2).sum(axis=1), 1e-12) / np.maximum(times / more - count, 1) * more
    return Factors(raw * more[:, None], float(noise.mean()), np.sqrt(square * more))


def group_fit(
    factors: Factors, at: Integers, area: Integers, groups: Integers, asked: Integers
) -> tuple[Floats, Floats]:
    """Log-likelihood and correlation of columns with groups, each without the column itself.

    Parameters
    ----------
    at
        int64 (columns,): group that each stands in at the time.
    area
        int64 (groups of all, ): what each group is a phase of.
    groups, asked
        Groups that are looked at, and columns that are asked about.

    Returns
    -------
    fit, correlation
        float64 (asked, groups); −inf and NaN where a group has no other member.
    """
    share = factors.share
    mean, scatter, size = {}, {}, {}
    for g in groups.tolist():
        members = share[at == g]
        size[g] = len(members)
        mean[g] = members.mean(axis=0) if len(members) else np.zeros(share.shape[1])
        rest = members - mean[g]
        scatter[g] = rest.T @ rest
    whole = sum(scatter.values()) / max(sum(size.values()) - len(groups), 1)
    middle = np.mean([mean[g] for g in groups.tolist()], axis=0)
    fit = np.full((len(asked), len(groups)), -np.inf)
    along = np.full((len(asked), len(groups)), np.nan)
    for n, g in enumerate(groups.tolist()):
        inside = at[asked] == g
        there = size[g] - inside > 0
        alike = [h for h in groups.tolist() if area[h] == area[g]]
        own_count = max(size[g] - 1, 1)
        area_count = max(sum(size[h] for h in alike) - len(alike), 1)
        own = (1.0 - _OF_AREA - _OF_ALL) / own_count
        # A group that is alone in its area is shrunk towards all groups only.
        of_area = _OF_AREA / area_count if len(alike) > 1 else 0.0
        of_all = _OF_ALL if len(alike) > 1 else _OF_AREA + _OF_ALL
        spread = own * scatter[g] + of_area * sum(scatter[h] for h in alike) + of_all * whole
        value, vector = np.linalg.eigh(spread)
        value = np.maximum(value, factors.noise)
        apart = share[asked] - mean[g]
        distance = ((apart @ vector) ** 2 / value).sum(axis=1)
        # Taken out of its group, a member lies further from the mean, in a scatter that is less by its own part.
        left = np.where(inside, np.clip(1.0 - (own + of_area) * distance, _LEAST_LEFT, 1.0), 1.0)
        further = np.where(inside, size[g] / max(size[g] - 1, 1), 1.0)
        distance *= further**2 / left
        said = np.log(value).sum() + np.log(left) + (_FREEDOM + len(value)) * np.log1p(distance / _FREEDOM)
        fit[there, n] = -0.5 * said[there]
        others = share[asked] - apart * further[:, None] - middle
        span = np.maximum(np.linalg.norm(others, axis=1), 1e-12)
        own_side = share[asked] - middle
        outside = factors.length[asked] ** 2 - (share[asked] ** 2).sum(axis=1)
        length = np.sqrt(np.maximum(outside, 0.0) + (own_side**2).sum(axis=1))
        along[there, n] = ((own_side * others).sum(axis=1) / np.maximum(span * length, 1e-12))[there]
    return fit, along
