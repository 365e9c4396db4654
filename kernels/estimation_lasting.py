"""How long the error of an estimate lasts: a household's is soon another, that of many together stays for hours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels.estimation_model import Model
from kernels.known import mean_of_known

#: What a large meter or the sun is off by fades over so many hours.
LASTING_HOURS = 5.0
#: Standard deviation of the z of correlations between meters: households, shops, generators, whole areas.
_SPREAD = 0.7
_LARGEST = 0.995


@dataclass(frozen=True, slots=True, eq=False)
class Lasting:
    """How errors of estimates hang together, by meter.

    Attributes
    ----------
    shares, decay
        Errors k intervals apart correlate by Σ share × decay^k; shapes (meters, 3) and (3,).
    """

    shares: NDArray[np.float64]
    decay: NDArray[np.float64]

    def correlation(self, apart: int) -> NDArray[np.float64]:
        """Between errors so many intervals apart; shape (meters,)."""
        return np.asarray(self.shares @ self.decay**apart)

    def factor(self, runs: NDArray[np.int64], sides: float = 1.0) -> NDArray[np.float64]:
        """Covariance of an error with the sum of those before and after it in its gap, over its variance.

        Parameters
        ----------
        runs
            int64 of shape (meters, 2): how many intervals are missing before and after it.
        sides
            How often each of them counts.
        """
        reach = self.decay * (1.0 - self.decay ** runs[:, :, None]) / (1.0 - self.decay)
        return np.asarray(1.0 + sides * (self.shares[:, None, :] * reach).sum(axis=(1, 2)))

    def independent(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """How many independent values a history of some days, three beside each other on each, is worth.

        Parameters
        ----------
        values
            Shape (meters, days, 3), NaN where not known.
        """
        of_day = (~np.isnan(values)).sum(axis=2)
        return np.asarray((of_day / (1.0 + np.maximum(of_day - 1, 0) * self.correlation(1)[:, None])).sum(axis=1))


def lasting(values: NDArray[np.float64], model: Model, interval_minutes: float) -> Lasting:
    """How errors of meters' estimates hang together, from how their own values did on other days.

    Parameters
    ----------
    values
        Shape (meters, days, 3): energies at a slot and the two beside it on other days, NaN where not known.

    Notes
    -----
    What a value differs by from its slot's mean is what an estimate is off by where nothing beside it is known. A
    household's own doings are soon over: the model's two shares. Those of many even out, and what they have in common
    stays, the weather above all: e^(−t / 5 h). Between the two lies a meter by its own correlation of values two
    intervals apart. That is known from a dozen days alone, so the common one is what is believed before: normal in
    Fisher's z (Biometrika 10, 1915), with the spread that there is between kinds of meters. Two intervals, since what
    crosses from one to the next is common to both.
    """
    shares, decay = model.errors(interval_minutes)
    stays = float(np.exp(-interval_minutes / 60.0 / LASTING_HOURS))
    common, most = float(shares @ decay**2), stays**2
    off = values - mean_of_known(values, axis=1)[:, None, :]
    both = ~np.isnan(off[:, :, 0]) & ~np.isnan(off[:, :, 2])
    first, last = (np.where(both, off[:, :, side], 0.0) for side in (0, 2))
    squares = np.sqrt((first**2).sum(axis=1) * (last**2).sum(axis=1))
    seen = np.divide((first * last).sum(axis=1), squares, out=np.zeros(len(values)), where=squares > 0.0)
    sure = np.where(squares > 0.0, np.maximum(both.sum(axis=1) - 3.0, 0.0), 0.0)
    before = 1.0 / _SPREAD**2
    z = np.arctanh(np.clip(seen, -_LARGEST, _LARGEST))
    own = np.tanh((before * np.arctanh(common) + sure * z) / (before + sure))
    part = np.clip((own - common) / (most - common), 0.0, 1.0)[:, None] if most > common else np.zeros((len(own), 1))
    return Lasting(np.concatenate([(1.0 - part) * shares, part], axis=1), np.append(decay, stays))
