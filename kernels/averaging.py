"""What a mean over the interval hides of a loss, from how much loads of a kind vary inside an interval.

Load loss goes with the square of the current, so the loss of the mean powers is less than the mean of the losses
(Urquhart and Thomson, Impacts of demand data time resolution on estimates of distribution system energy losses, IEEE
Transactions on Power Systems 30(3), 2015). To the second order, and for loads that vary independently of each other
inside the interval, the difference is the sum over the loads of the variance of each one's power (as in Mikić,
Variance-based energy loss computation in low voltage distribution networks, the same 22(1), 2007) times half the second
derivative of the network's loss by that power: without load this is the resistance of its way, there and back, over the
square of the voltage. The variance isn't known where one energy an interval is metered; its expectation at a given mean
is learned from finer samples of other days.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numba import njit
from numpy.typing import NDArray

from kernels.load_flow_phases import PhaseNetwork, unbalanced_flow

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Variation:
    """How much the loads of a kind vary inside an interval.

    The expected variance of a load's power about its mean p over the interval, in W², is
    `constant_w2` + `linear_w` |p| + `square` p².

    Attributes
    ----------
    interval_s
        Length of the interval; it holds for no other.
    constant_w2, linear_w, square
        W², W, and a number; none below 0.
    spread
        Standard deviation of a single interval's variance, over its expectation.
    error
        Relative standard error of the sum over many, from the few loads it was learned from.
    """

    interval_s: int
    constant_w2: float
    linear_w: float
    square: float
    spread: float
    error: float

    def __post_init__(self) -> None:
        if self.interval_s < 1:
            raise ValueError(f"an interval of {self.interval_s} s")
        for name in (field.name for field in fields(self)[1:]):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}, not a number from 0 up")


def fit_variation(power_w: Floats, per_interval: int, sample_s: int = 60) -> Variation:
    """Learn a `Variation` from fine samples of loads of one kind.

    Parameters
    ----------
    power_w
        float64 (meters, samples): mean power in consecutive samples that begin with an interval. An interval that has a
        NaN is passed over.
    per_interval
        Samples an interval, at least 2.
    sample_s
        Length of a sample. What varies inside a sample stays hidden.

    Returns
    -------
    Variation

    Raises
    ------
    ValueError
        When samples don't fill whole intervals, there are fewer than two meters or no whole interval, or no power.

    Notes
    -----
    The coefficients maximise the likelihood of Poisson counts, Σ v log μ − μ, by the multiplicative steps of
    Richardson and Lucy (Shepp and Vardi 1982), which keep them from 0 up. It weighs intervals as if the variance v
    scattered with its expectation μ, so that the few great ones don't decide alone; and at its maximum Σ μ = Σ v, so
    the sum is unbiased, which is what enters a loss. `error` is that of a ratio of sums over meters drawn at random.
    """
    if power_w.ndim != 2 or per_interval < 2 or sample_s < 1 or power_w.shape[1] % per_interval:
        raise ValueError(f"{power_w.shape}: not meters by samples of whole intervals of {per_interval}, of 2 at least")
    samples = power_w.reshape(len(power_w), -1, per_interval)
    mean, variance = np.abs(samples.mean(axis=2)), samples.var(axis=2)
    whole = np.isfinite(variance)
    meters = int(np.any(whole, axis=1).sum())
    if meters < 2:
        raise ValueError(f"whole intervals of {meters} meters; of two at least")
    scale_w = float(mean[whole].mean())
    if scale_w == 0.0:
        raise ValueError("no power in any sample")
    interval_s = per_interval * sample_s
    if not np.any(variance[whole]):
        return Variation(interval_s, 0.0, 0.0, 0.0, 0.0, 0.0)
    # Counted in the mean power and the mean variance, the three are of one order.
    of_mean, unit = mean / scale_w, float(variance[whole].mean())
    found = _climb(of_mean[whole], variance[whole] / unit, _STEPS, _STILL)
    found[found < _STILL] = 0.0
    expected = np.where(whole, unit * (found[0] + of_mean * (found[1] + of_mean * found[2])), 0.0)
    rest = np.where(whole, variance - expected, 0.0)
    return Variation(
        interval_s,
        constant_w2=float(found[0]) * unit,
        linear_w=float(found[1]) * unit / scale_w,
        square=float(found[2]) * unit / scale_w**2,
        spread=float(np.sqrt((rest**2).sum() / (expected**2).sum())),
        error=float(np.sqrt((rest.sum(axis=1) ** 2).sum() * meters / (meters - 1)) / expected.sum()),
    )


#: Steps at most, and the relative change at which the coefficients stand still.
_STEPS, _STILL = 2_000, 1e-7


@njit(cache=True, nogil=True)
def _climb(mean, variance, steps, still):  # type: ignore[no-untyped-def]  # numba infers
    """Coefficients of 1, p and p² by multiplicative steps, from a third of the sum each."""
    total, count = np.zeros(3), len(mean)
    for i in range(count):
        total[0] += 1.0
        total[1] += mean[i]
        total[2] += mean[i] * mean[i]
    found = variance.sum() / 3.0 / total
    for _ in range(steps):
        pull = np.zeros(3)
        for i in range(count):
            p = mean[i]
            expected = found[0] + p * (found[1] + p * found[2])
            # A load that took nothing, and doesn't vary then, has no part in it.
            if expected > 0.0:
                ratio = variance[i] / expected
                pull[0] += ratio
                pull[1] += ratio * p
                pull[2] += ratio * p * p
        moved = 0.0
        for j in range(3):
            new = found[j] * pull[j] / total[j]
            moved = max(moved, abs(new - found[j]))
            found[j] = new
        if moved < still:
            break
    return found


def own_loss(
    network: PhaseNetwork,
    load: NDArray[np.int64],
    share: Floats,
    source_v: NDArray[np.complex128],
    *,
    tangent: float = 0.0,
    base_w: Floats | None = None,
    step_w: float = 200.0,
) -> Floats:
    """Half the second derivative of a network's loss by the power of each load.

    Parameters
    ----------
    network
        From `phase_network`.
    load, share
        int64 and float64 (elements,): the load that each element belongs to, numbered from 0 without gaps, and its
        share of that load's power.
    source_v
        complex128 (n,): conductors to earth at the source.
    tangent
        Reactive over active power. Where the loads are of constant power, that of any other is this result for 0 times
        1 + tangent².
    base_w
        float64 (loads,): powers about which it is taken; None: without load.
    step_w
        By how much each is changed, up and down: small, but not so that the loss drowns in the flow's tolerance.

    Returns
    -------
    float64 (loads,) in 1/W: loss in W over the square of a change in W. NaN where the flow found no solution.

    Raises
    ------
    ValueError
        When shapes disagree or loads aren't numbered so.
    """
    elements = len(network.position)
    if load.shape != (elements,) or share.shape != (elements,):
        raise ValueError(f"load has shape {load.shape}, share {share.shape}, not both ({elements},)")
    loads = int(load.max(initial=-1)) + 1
    if len(np.unique(load)) != loads or np.any(load < 0):
        raise ValueError("loads must be numbered from 0 without gaps")
    base = np.zeros(loads) if base_w is None else base_w
    if base.shape != (loads,) or not step_w > 0:
        raise ValueError(f"base_w has shape {base.shape}, not ({loads},), or step_w is {step_w}")
    change = step_w * np.eye(loads)
    power_w = np.concatenate([base + change, base - change, base[None]])[:, load] * share
    loss = unbalanced_flow(network, power_w, power_w * tangent, source_v, tolerance=1e-11).loss_w
    return np.asarray((loss[:loads] + loss[loads : 2 * loads] - 2.0 * loss[2 * loads]) / (2.0 * step_w**2), np.float64)


def own_loss_of_ways(
    parent: NDArray[np.int64],
    one_ohm: Floats,
    zero_ohm: Floats,
    node: NDArray[np.int64],
    connected: NDArray[np.bool_],
    nominal_v: float,
) -> Floats:
    """`own_loss` without load of a tree of three-phase lines, for loads of constant power: by a formula, and quickly.

    Parameters
    ----------
    parent
        int64 (nodes,): the node nearer to the source, of a smaller number; −1 for node 0, the source.
    one_ohm, zero_ohm
        float64 (nodes,): resistance of the line to each node in the positive and the zero sequence; of node 0 it
        doesn't count.
    node, connected
        Of each load int64 (loads,), where it is, and bool (loads, 3): the phases from which to neutral it takes equal
        shares, one at least.
    nominal_v
        Phase to neutral, above 0.

    Returns
    -------
    float64 (loads,) in 1/W.

    Raises
    ------
    ValueError
        When shapes disagree or a number names nothing.

    Notes
    -----
    On each line the conductors have the positive sequence's resistance R₁, and what they carry together comes back
    through (R₀ − R₁) / 3. So 1 W from one phase loses (2 R₁ + R₀) / 3 / V², from all three R₁ / 3 / V².
    """
    nodes, loads = len(parent), len(node)
    if one_ohm.shape != (nodes,) or zero_ohm.shape != (nodes,) or connected.shape != (loads, 3) or not nominal_v > 0:
        raise ValueError(f"resistances of {nodes} nodes, phases of {loads} loads and a voltage above 0 are wanted")
    if not nodes or parent[0] != -1 or np.any((parent[1:] < 0) | (parent[1:] >= np.arange(1, nodes))):
        raise ValueError("node 0 must be the source, and each other node stand after its parent")
    if np.any((node < 0) | (node >= nodes)) or not np.all(connected.any(axis=1)):
        raise ValueError("a load's node isn't there, or it is on no phase")
    one, zero = _ways(parent, one_ohm)[node], _ways(parent, zero_ohm)[node]
    phases = connected.sum(axis=1)
    together = np.abs(connected @ _PHASORS) / phases
    return np.asarray((one / phases + (zero - one) / 3.0 * together**2) / nominal_v**2, np.float64)


_PHASORS = np.exp(-2j * np.pi / 3 * np.arange(3))


@njit(cache=True, nogil=True)
def _ways(parent, ohm):  # type: ignore[no-untyped-def]  # numba infers
    """Sum of the lines from node 0 to each node."""
    total = np.zeros(len(parent))
    for node in range(1, len(parent)):
        total[node] = total[parent[node]] + ohm[node]
    return total


@dataclass(frozen=True, slots=True, eq=False)
class AveragingLoss:
    """Result of `averaging_loss`; shape (cases,), in Wh. NaN where a power or a factor is NaN.

    Attributes
    ----------
    wh
        Expected loss beyond that of the mean powers.
    sigma_wh
        Its standard deviation: a single interval's chance, and what was learned from few loads. The second part,
        `Variation.error` × `wh`, is shared by all intervals.
    """

    wh: Floats
    sigma_wh: Floats


def averaging_loss(power_w: Floats, own_loss_per_w: Floats, variation: Variation) -> AveragingLoss:
    """Loss in many intervals of one network that the mean powers hide.

    Parameters
    ----------
    power_w
        float64 (cases, loads): mean power over the interval; of what is fed in the size counts.
    own_loss_per_w
        float64 (loads,) or (cases, loads), of `own_loss` or `own_loss_of_ways`, 1/W. 0 leaves a load out.
    variation
        Of these loads. The cases are intervals of its length.

    Raises
    ------
    ValueError
        When shapes disagree.

    Notes
    -----
    Loads that move together inside an interval, such as generators under one cloud or heating by a common signal, lose
    more than this says.
    """
    if power_w.ndim != 2 or own_loss_per_w.shape not in (power_w.shape, power_w.shape[1:]):
        raise ValueError(f"power_w has shape {power_w.shape}, own_loss_per_w {own_loss_per_w.shape}")
    factor = np.ascontiguousarray(np.broadcast_to(own_loss_per_w, power_w.shape), np.float64)
    hours = variation.interval_s / 3_600.0
    expected, squares = _averaging(
        np.ascontiguousarray(power_w, np.float64),
        factor,
        variation.constant_w2,
        variation.linear_w,
        variation.square,
    )
    wh = expected * hours
    return AveragingLoss(wh, np.hypot(variation.spread * hours * np.sqrt(squares), variation.error * wh))


@njit(cache=True, nogil=True)
def _averaging(power_w, factor, constant_w2, linear_w, square):  # type: ignore[no-untyped-def]  # numba infers
    """Sum of the loads' expected losses and of their squares, by case."""
    cases, loads = power_w.shape
    expected, squares = np.zeros(cases), np.zeros(cases)
    for k in range(cases):
        for m in range(loads):
            p = abs(power_w[k, m])
            own = factor[k, m] * (constant_w2 + p * (linear_w + p * square))
            expected[k] += own
            squares[k] += own * own
    return expected, squares
