"""What every customer draws and every generator gives, load step by load step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from twin.customers import Customers
from twin.load import mean_shares
from twin.network import Point
from twin.simbench import Profiles
from twin.steps import Steps

_QUARTER_S = 900
#: Profiles of whole networks: many customers, who together vary little.
_OF_MANY = ("lv_", "mv_", "hv_")
#: Standard deviation of a customer's mean power in a load step about its quarter-hour's, as a share of it.
_ROUGHNESS = 0.15
_DAY_S = 86_400
#: Households, and every so many days, from which the mean power of all is taken.
_SAMPLED, _SAMPLE_EVERY = 2_000, 5


class HouseholdSource(Protocol):
    """Series of many households, each by its number."""

    def power_w(self, steps: Steps, household: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean power in watts of each household in each step; shape (steps, households)."""

    def power_factor(self, household: NDArray[np.int64]) -> NDArray[np.float64]:
        """Of each, constant; lagging."""


class Demand:
    """Demand of a network's points.

    Consumers with a household's profile take the series of a household of their own, scaled to their profile's energy
    of a year; other customers follow their profile in a way of their own (`twin.customers`). Generators follow theirs
    as it is, and so does what stands for a whole network. All but households vary inside each quarter-hour, which
    leaves its energy as it is.

    Parameters
    ----------
    points, profiles
        The points, and the profiles that they name.
    households
        None = households follow their profiles as they are.
    seed
        Of which household each is, of the other customers, and of the variation.
    shifted_day
        Of the day that an instant runs as, in seconds: on a holiday the Sunday before, for instance. None = its own.
        Generators keep to the sun and the wind of the day itself.
    """

    def __init__(
        self,
        points: tuple[Point, ...],
        profiles: Profiles,
        households: HouseholdSource | None = None,
        seed: int = 0,
        shifted: Callable[[int], int] | None = None,
    ) -> None:
        self._profiles = profiles
        self._profile = np.array([profiles.index[p.profile] for p in points])
        sign = np.array([-1.0 if p.generation else 1.0 for p in points])
        self._active_w = np.array([p.active_w for p in points]) * sign
        self._reactive_var = np.array([p.reactive_var for p in points]) * sign
        self._seed = seed
        self._shifted = shifted or (lambda at_s: at_s)
        self._households = households
        at_home = np.array([not p.generation and p.profile.startswith("H0") for p in points], np.bool_)
        is_household = at_home & (households is not None)
        alike = np.array([p.generation or p.profile.startswith(_OF_MANY) for p in points], np.bool_)
        varies = ~alike & ~at_home
        self._is_household = np.flatnonzero(is_household)
        self._varies = np.flatnonzero(varies)
        self._others = np.flatnonzero(~is_household & ~varies)
        self._generators = np.flatnonzero([p.generation for p in points])
        digests = [hashlib.blake2b(f"{seed}/household/{p.code}".encode(), digest_size=6).digest() for p in points]
        numbers = np.array([int.from_bytes(d, "little") for d in digests], np.int64)
        self._household = numbers[self._is_household]
        self._customers = Customers(profiles, self._profile[varies], numbers[varies], seed)
        if households is not None:
            yearly_w = profiles.active.mean(axis=0)[self._profile] * self._active_w
            self._scale = yearly_w[self._is_household] / _mean_w(households)
            factor = households.power_factor(self._household)
            self._tangent = np.sqrt(1 / factor**2 - 1)

    def at(self, steps: Steps) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean active and reactive power of each point in each step, generation negative; shape (steps, points)."""
        active = np.zeros((len(steps), len(self._profile)))
        reactive = np.zeros_like(active)
        others = self._others
        middle_s = steps.begin_s + steps.length_s // 2
        as_s = np.array([self._shifted(at_s) for at_s in middle_s.tolist()], np.int64)
        rough = self._variation(steps)
        self._follow_profiles(others, as_s, rough, active, reactive)
        if np.any(as_s != middle_s):
            self._follow_profiles(self._generators, middle_s, rough, active, reactive)
        at = self._varies
        for power, rated, share in zip(
            (active, reactive), (self._active_w, self._reactive_var), self._customers.shares(as_s), strict=True
        ):
            power[:, at] = share * rated[at] * rough[:, at]
        if self._households is not None:
            own = self._household_w(steps, as_s - middle_s) * self._scale
            active[:, self._is_household] = own
            reactive[:, self._is_household] = own * self._tangent
        return active, reactive

    def _follow_profiles(
        self,
        which: NDArray[np.int64],
        at_s: NDArray[np.int64],
        rough: NDArray[np.float64],
        active: NDArray[np.float64],
        reactive: NDArray[np.float64],
    ) -> None:
        """Give points the power of their profiles at an instant within each step."""
        shares = [
            mean_shares(self._profiles, end, _QUARTER_S) for end in ((at_s // _QUARTER_S + 1) * _QUARTER_S).tolist()
        ]
        profile, own = self._profile[which], rough[:, which]
        active[:, which] = np.array([a for a, _ in shares])[:, profile] * self._active_w[which] * own
        reactive[:, which] = np.array([r for _, r in shares])[:, profile] * self._reactive_var[which] * own

    def _household_w(self, steps: Steps, moved_s: NDArray[np.int64]) -> NDArray[np.float64]:
        """Households' power, each step as it is so much later: steps that are moved alike are asked for together."""
        assert self._households is not None  # noqa: S101  # only asked for where there are some
        edges = [0, *(np.flatnonzero(np.diff(moved_s)) + 1).tolist(), len(steps)]
        parts = []
        for first, last in pairwise(edges):
            part, by_s = steps.part(first, last), int(moved_s[first]) if last > first else 0
            moved = Steps(part.interval_s, part.begin_s + by_s, part.length_s, part.end_s + by_s, part.slot_s)
            parts.append(self._households.power_w(moved, self._household))
        return np.concatenate(parts)

    def _variation(self, steps: Steps) -> NDArray[np.float64]:
        """Factors about 1 of each step and point, whose mean over a quarter-hour of equal slots is 1."""
        slot_s = steps.slot_s
        slots_a_quarter = _QUARTER_S // slot_s
        slot = (steps.begin_s + steps.length_s // 2) // slot_s
        wanted = np.unique(slot // slots_a_quarter)
        factors = {}
        for quarter in wanted.tolist():
            generator = np.random.Generator(np.random.Philox(key=[self._seed & 0xFFFFFFFFFFFFFFFF, quarter]))
            z = generator.standard_normal((slots_a_quarter, len(self._profile)))
            z = np.clip(1 + _ROUGHNESS * (z - z.mean(axis=0)), 0.2, None)
            factors[quarter] = z / z.mean(axis=0)
        return np.array([factors[s // slots_a_quarter][s % slots_a_quarter] for s in slot.tolist()]).reshape(
            len(steps), -1
        )


def _mean_w(households: HouseholdSource) -> float:
    """Mean power of a household over a year: of so many of them that it is known to some percent."""
    days = np.arange(364)[::_SAMPLE_EVERY] * _DAY_S
    steps = Steps(_DAY_S, days, np.full(len(days), _DAY_S), days + _DAY_S, _DAY_S)
    return float(households.power_w(steps, np.arange(_SAMPLED)).mean())
