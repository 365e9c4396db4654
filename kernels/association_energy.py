"""Which transformer and which phase a meter hangs on, by what it counts: energies against what comes into each phase.

What a transformer's meter counts in a phase is what that phase's meters count, and the loss. A meter that is recorded
elsewhere is missing there, quarter hour by quarter hour, and too much where it is recorded. All areas of a
neighbourhood are looked at together: each meter has one place, and what isn't explained has a covariance that is known:
readings that are missing, clocks, whole watt-hours, voltages' noise; and, as coefficients about zero, gains of meters,
and losses that go with squares and products of the phases' loads. They are integrated out (Rasmussen & Williams 2006,
ch. 2.7), so that a likelihood ratio means what it says. Described in docs/explanation/association.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.association_gaps import filled, in_step, tangent
from kernels.association_noise import Noise, covariance_of, differs, measured, whitening

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Of the method; another one may say another thing of the same energies.
VERSION = 1
#: Standard deviations of a meter's coefficient: in its own phase (its gain and its share of the loss), and of what it
#: loses in the others through the neutral.
_OWN, _OTHER = 0.02, 0.01
#: Of the loss that goes with products of loads, by phase and beyond that of all three; of the gains of the
#: transformer's meter; of the share of reactive power in the loss; of what is lost always, in watt-hours.
_LOSS, _LOSS_OF_ALL, _GAIN, _REACTIVE, _ALWAYS_WH = 0.03, 0.01, 0.01, 0.03, 30.0
#: How much larger noise is thought to be at first, while wrong records make it.
_FIRST = 10.0
#: Rounds in which noise is measured and places are looked for anew; log-likelihood that moves a meter while they are.
_ROUNDS, _MOVED = 10, 10.0
#: Log-likelihoods that differ by less are the same but for rounding.
_EQUAL = 1e-6
_NO_MORE_MOVES = 2_000
_SIGNS = np.array([[a, b, c] for a in (1.0, -1.0) for b in (1.0, -1.0) for c in (1.0, -1.0)])
_MOST_SINE = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class PhaseEnergies:
    """What was counted in a neighbourhood, in intervals of one length; t of them, m columns, a areas.

    A column is what one meter counts of one phase; group g is phase g % 3 of area g // 3.

    Attributes
    ----------
    energy_wh
        float64 (t, m): taken, less what was given back; NaN = missing.
    power_factor
        float64 (t, m): its sign doesn't count; NaN = missing.
    group
        int64 (m,): as recorded.
    certain
        bool (m,): it stays where it is, such as those of a three-phase meter.
    supply_wh
        float64 (t, a): of the transformer's meter; NaN = missing.
    supply_vah
        float64 (t, a, 3): its mean voltage times its mean current times the interval's hours, by phase; NaN = missing.
    """

    energy_wh: Floats
    power_factor: Floats
    group: Integers
    certain: NDArray[np.bool_]
    supply_wh: Floats
    supply_vah: Floats

    def __post_init__(self) -> None:
        times, columns = self.energy_wh.shape
        areas = self.supply_wh.shape[1]
        fits = self.power_factor.shape == (times, columns) and self.supply_wh.shape == (times, areas)
        if not fits or self.group.shape != (columns,) or self.certain.shape != (columns,):
            raise ValueError(f"energy_wh has shape {self.energy_wh.shape}, supply_wh {self.supply_wh.shape}")
        if self.supply_vah.shape != (times, areas, 3):
            raise ValueError(f"supply_vah has shape {self.supply_vah.shape}, not {(times, areas, 3)}")
        if columns and not 0 <= self.group.min() <= self.group.max() < 3 * areas:
            raise ValueError("a column's group doesn't exist")


@dataclass(frozen=True, slots=True, eq=False)
class EnergyFit:
    """What energies say of columns.

    Attributes
    ----------
    group
        int64 (m,): where each goes with most, all of them together.
    fit
        float64 (m, groups): log-likelihood of each group, less that of `group`, if all others are where they go with
        most; −inf = not asked, and of certain columns everywhere but where they are.
    share, deviation
        float64 (m, groups): part of what the column counts that is found in the group, if it stands in none, and its
        standard deviation; NaN = not asked or nothing known.
    in_step
        bool (m,): another column that may belong to one of the same areas goes up and down with it, so that the two may
        stand for each other.
    """

    group: Integers
    fit: Floats
    share: Floats
    deviation: Floats
    in_step: NDArray[np.bool_]


def energy_association(energies: PhaseEnergies, candidate: NDArray[np.bool_]) -> EnergyFit:
    """Find the places that explain best what came into each phase.

    Parameters
    ----------
    candidate
        bool (areas, areas): to which areas a column recorded in one may belong; its own always.

    Raises
    ------
    ValueError
        When `candidate` has another shape.
    """
    areas = energies.supply_wh.shape[1]
    if candidate.shape != (areas, areas):
        raise ValueError(f"candidate has shape {candidate.shape}, not {(areas, areas)}")
    energy, variance = filled(energies.energy_wh)
    reactive = np.abs(energy) * tangent(energies.power_factor, energy)
    all_ = _Columns(energies, energy, variance, reactive)
    recorded = energies.group // 3
    within = candidate | np.eye(areas, dtype=np.bool_)
    members = [np.flatnonzero(np.where(energies.certain, recorded == a, within[recorded, a])) for a in range(areas)]
    found, at = _rounds(all_, members, energies.group)
    may = np.zeros((areas, len(recorded)))
    for a, own in enumerate(members):
        may[a, own] = 1.0
    return _said(found, at, energies.certain, in_step(energies.energy_wh, may.T @ may > 0.0))


def _rounds(all_: _Columns, members: list[Integers], at: Integers) -> tuple[list[_Area], Integers]:
    """Areas and places when noise and places have been made anew until they stay."""
    areas, certain = range(len(members)), all_.given.certain
    noise = [Noise(_FIRST, np.ones(len(all_.energy)), np.zeros(4)) for _ in areas]
    found = [_area(all_, a, members[a], at, noise[a]) for a in areas]
    changed = set(areas)  # which times are far off is known only now
    for number in range(_ROUNDS):
        before = [one.noise for one in found]
        for a in changed:
            found[a] = _area(all_, a, members[a], at, found[a].noise)
        changed = {a for a in areas if differs(found[a].noise, before[a])}
        moved = _settled(found, at, certain)
        if number and np.array_equal(moved, at):
            break
        changed |= set((np.concatenate([moved[moved != at], at[moved != at]]) // 3).tolist())
        at = moved
    return found, at


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    """All columns, filled; `variance` of what is filled, `reactive` energy."""

    given: PhaseEnergies
    energy: Floats
    variance: Floats
    reactive: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Area:
    """An area's likelihood as a quadratic form of which of its n columns stand in which phase.

    Column k·n + i is member i in phase k; `matrix` (3n, 3n) holds products of columns in the inverse covariance,
    `along` (3n,) those with what came in.
    """

    members: Integers
    matrix: Floats
    along: Floats
    noise: Noise

    def left(self, area: int, at: Integers) -> tuple[Floats, NDArray[np.bool_], Integers]:
        """Products with what columns that stand here leave (3n,), which those are, and each one's column there (n,)."""
        count = len(self.members)
        here = at[self.members] // 3 == area
        stand = (at[self.members] % 3) * count + np.arange(count)
        return self.along - self.matrix[:, stand[here]].sum(axis=1), here, stand


def _area(all_: _Columns, area: int, members: Integers, at: Integers, noise: Noise) -> _Area:
    """The likelihood of an area with the columns that stand there at the time, and its noise as they leave it."""
    given = all_.given
    energy, reactive = all_.energy[:, members], all_.reactive[:, members]
    times, count = energy.shape
    inside = [np.flatnonzero(at[members] == 3 * area + k) for k in range(3)]
    active = np.stack([energy[:, own].sum(axis=1) for own in inside], axis=1)
    other = np.stack([reactive[:, own].sum(axis=1) for own in inside], axis=1)
    apparent = np.hypot(active, other)
    supply = np.concatenate([given.supply_vah[:, area], given.supply_wh[:, area, None]], axis=1)
    there = np.isfinite(supply)
    supply = np.where(there, supply, 0.0)
    cosine, sine = _angle(supply, other)
    # Where a phase's active power turns its direction, its apparent power doesn't say which.
    there[:, :3] &= np.abs(sine) < _MOST_SINE
    # What truly flows, whatever the records say; without currents what they say.
    apparent = np.where(there[:, :3], supply[:, :3], apparent)
    whiten = whitening(
        covariance_of(energy, all_.variance[:, members], inside, apparent, supply) * noise.factor, there, noise.weight
    )

    def new(rows: Floats) -> Floats:
        """What is new each time of rows (t, 4, …), without what the noise before leaves; a column each."""
        left = noise.lasting.reshape(4, *[1] * (rows.ndim - 2)) * rows[:-1]
        return np.concatenate([rows[:1], rows[1:] - left]).reshape(4 * times, -1)

    def white(rows: Floats) -> Floats:
        """What a column (t, 4) is where noise is one everywhere."""
        return new(np.einsum("tcd,td->tc", whiten, rows))[:, 0]

    # A column's part in the phase's apparent power is that along the phase's own, at whatever angle that is.
    shapes, deviations = _losses(apparent, other, supply)
    # Of all arrays here the largest by far: made once, and nothing of it twice.
    everything = np.empty((4 * times, 3 * count + len(shapes) + 1))
    for k in range(3):
        along = cosine[:, k, None] * energy + sine[:, k, None] * reactive
        both = whiten[:, :, k, None] * along[:, None, :] + whiten[:, :, 3, None] * energy[:, None, :]
        everything[:, k * count : (k + 1) * count] = new(both)
    for n, shape in enumerate([*shapes, supply], 3 * count):
        everything[:, n] = white(shape)
    products = everything.T @ everything
    own = [j * count + own for k, own in enumerate(inside) for j in range(3)]
    own_deviation = [np.full(len(own), _OWN if j == k else _OTHER) for k, own in enumerate(inside) for j in range(3)]
    free = np.concatenate([*own, 3 * count + np.arange(len(shapes))]).astype(np.int64)
    prior = np.concatenate([*own_deviation, np.array(deviations)])
    kept = np.append(np.arange(3 * count), products.shape[0] - 1)
    left, solved = integrated(products, free, prior, kept)
    stand = np.concatenate([k * count + own for k, own in enumerate(inside)]).astype(np.int64)
    part = np.zeros(everything.shape[1])
    part[free] = solved[:, -1] - solved[:, stand].sum(axis=1)
    part[stand] += 1.0
    residual = everything[:, -1] - everything @ part
    return _Area(members, left[:-1, :-1], left[:-1, -1], measured(residual.reshape(times, 4), there, noise))


def integrated(products: Floats, free: Integers, deviation: Floats, kept: Integers) -> tuple[Floats, Floats]:
    """Products of columns in the inverse covariance of noise and of columns whose coefficients are random about zero.

    Parameters
    ----------
    products
        float64 (c, c): of all columns where noise is one.
    free, deviation
        Columns with a random coefficient, f of them, and its standard deviation.
    kept
        Columns that are asked for, k of them.

    Returns
    -------
    products, coefficients
        float64 (k, k), and (f, k): the free columns' part in each kept one.
    """
    along = products[np.ix_(free, kept)]
    coefficients = np.linalg.solve(products[np.ix_(free, free)] + np.diag(1.0 / deviation**2), along)
    return products[np.ix_(kept, kept)] - along.T @ coefficients, np.asarray(coefficients)


def _angle(supply: Floats, reactive: Floats) -> tuple[Floats, Floats]:
    """Cosine and sine of each phase's apparent power, (t, 3): signs so that phases make what all three together are."""
    sine = np.clip(reactive / np.maximum(supply[:, :3], 1.0), -_MOST_SINE, _MOST_SINE)
    cosine = np.sqrt(1.0 - sine**2)
    active = supply[:, :3] * cosine
    # Where phases give back, one may and another not.
    apart = np.abs(active @ _SIGNS.T - supply[:, 3, None])
    return cosine * _SIGNS[apart.argmin(axis=1)], sine


def _losses(apparent: Floats, reactive: Floats, supply: Floats) -> tuple[list[Floats], list[float]]:
    """What is lost and what the transformer's meter errs by: shapes (t, 4) and deviations of their coefficients."""
    mean = max(float(apparent.mean()), 1.0)
    shapes, deviations = [], []

    def add(values: Floats, rows: list[int], deviation: float) -> None:
        shape = np.zeros(supply.shape)
        shape[:, rows] = values[:, None]
        shapes.append(shape)
        deviations.append(deviation)

    for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        product = apparent[:, i] * apparent[:, j] / mean
        for k in range(3):
            add(product, [k, 3], _LOSS)
        add(product, [3], _LOSS_OF_ALL)
    for row in range(4):
        add(np.ones(len(supply)), [row], _ALWAYS_WH)
        add(supply[:, row], [row], _GAIN)
    for k in range(3):
        add(reactive[:, k], [k], _REACTIVE)
    return shapes, deviations


def _table(found: list[_Area], at: Integers) -> Floats:
    """Log-likelihood of every column in every group, less that of where it stands; −inf = not asked."""
    columns = len(at)
    fit = np.full((columns, 3 * len(found)), -np.inf)
    leaving = np.zeros(columns)
    left = []
    for area, one in enumerate(found):
        along, here, stand = one.left(area, at)
        left.append((along, here, stand))
        leaving[one.members[here]] = 0.5 * np.diag(one.matrix)[stand[here]] + along[stand[here]]
    for area, (one, (along, here, stand)) in enumerate(zip(found, left, strict=True)):
        count = len(one.members)
        for k in range(3):
            place = k * count + np.arange(count)
            worse = 0.5 * np.diag(one.matrix)[place] - along[place] + leaving[one.members]
            # Inside an area both are of one quadratic form.
            worse -= np.where(here, one.matrix[place, stand], 0.0)
            fit[one.members, 3 * area + k] = np.where(here & (at[one.members] % 3 == k), 0.0, -worse)
    return fit


def _settled(found: list[_Area], at: Integers, certain: NDArray[np.bool_]) -> Integers:
    """Places when what gains most has been moved, one after another."""
    at = at.copy()
    for _ in range(_NO_MORE_MOVES):
        fit = _table(found, at)
        fit[certain] = -np.inf
        column, group = divmod(int(np.argmax(fit)), fit.shape[1])
        if not fit[column, group] > _MOVED:
            break
        at[column] = group
    return at


def _said(found: list[_Area], at: Integers, certain: NDArray[np.bool_], alike: NDArray[np.bool_]) -> EnergyFit:
    fit = _table(found, at)
    share, deviation = np.full(fit.shape, np.nan), np.full(fit.shape, np.nan)
    for area, one in enumerate(found):
        count = len(one.members)
        along, here, stand = one.left(area, at)
        square = np.diag(one.matrix)
        for k in range(3):
            place = k * count + np.arange(count)
            # Without the column itself, wherever in the area it stands.
            without = along[place] + np.where(here, one.matrix[place, stand], 0.0)
            known = square[place] > 0.0
            size = np.where(known, square[place], 1.0)
            share[one.members, 3 * area + k] = np.where(known, without / size, np.nan)
            deviation[one.members, 3 * area + k] = np.where(known, 1.0 / np.sqrt(size), np.nan)
    elsewhere = certain[:, None] & (np.arange(fit.shape[1]) != at[:, None])
    fit[elsewhere] = -np.inf
    best = np.where(fit.max(axis=1) > _EQUAL, fit.argmax(axis=1), at)
    fit -= fit[np.arange(len(at)), best][:, None]
    return EnergyFit(best.astype(np.int64), fit, share, deviation, alike)
