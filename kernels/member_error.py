"""How far one member's energy may be off: what its class says, and what is said of it beyond that.

One place for all kernels that add up the errors of members.
"""

from __future__ import annotations

from numba import njit

#: Standard deviation of a normal error that is cut off at two of its σ, as a share of that limit; percent.
CLASS_TO_SIGMA = 0.44 / 100.0
#: Variance of the difference of two registers that step by one watt-hour.
STEP_VARIANCE = 1.0 / 6.0


@njit(cache=True, nogil=True, inline="always")
def class_variances(accuracy_class, taken_wh, given_wh):  # type: ignore[no-untyped-def]  # numba infers
    """Of a meter's class, in percent, of its import and of its export: each has a gain that intervals share."""
    share = accuracy_class * CLASS_TO_SIGMA
    share *= share
    return share * taken_wh * taken_wh, share * given_wh * given_wh


@njit(cache=True, nogil=True, inline="always")
def extra_variances(sigma_wh, shared_wh, ratio):  # type: ignore[no-untyped-def]  # numba infers
    """Of what is said of a member beyond class and step, before its multiplier: what intervals share, and the rest.

    The shared part is at most the whole. A missing or negative figure counts as 0.
    """
    # Compared as integers, which takes no branch.
    whole = max(sigma_wh, 0)
    sigma, shared = whole * ratio, min(max(shared_wh, 0), whole) * ratio
    return shared * shared, sigma * sigma - shared * shared
