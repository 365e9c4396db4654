"""Rows of interval blocks and of settled balances as flat arrays: what steps compute and the store writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from grid.channels import Values
from grid.loss_class import LossClass

#: No instant: nothing was published, nothing is due.
NEVER_US = np.iinfo(np.int64).min


class Status(IntEnum):
    """State of a result."""

    PROVISIONAL = 0  # data can still be expected
    FINAL = 1
    RESTATED = 2  # later data changed a final figure


def any_by_row(mask: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether any member of each row is set; a row without members has none.

    Parameters
    ----------
    mask
        Of shape (m,): members of row r are at starts[r]:starts[r + 1].
    """
    counts = np.concatenate(([0], np.cumsum(mask)))
    return np.asarray(counts[starts[1:]] > counts[starts[:-1]])


@dataclass(frozen=True, slots=True, eq=False)
class BlockRows:
    """Interval blocks of k units, their members in flat arrays of length m.

    Attributes
    ----------
    unit_id, interval_s
        int32 of shape (k,).
    observed_at_us
        int64 of shape (k,), end of the interval in microseconds since 1970 UTC.
    read_version, version
        int64 of shape (k,): of the stored row that was read (0: there was none) and of this one.
    received_at_us
        int64 of shape (k,): when the last message came that changed the row.
    starts
        int64 of shape (k + 1,): members of row r are at starts[r]:starts[r + 1].
    channels
        Arrays of shape (m,) by name (`grid.channels.CHANNELS`).
    quality
        uint8 of shape (m,).
    precedence, received_us
        int64 arrays of shape (m,) by name of a voting channel: by which precedence its value stands
        (`grid.quality.NO_PRECEDENCE`: nothing was said) and when that was received.
    """

    unit_id: NDArray[np.int32]
    interval_s: NDArray[np.int32]
    observed_at_us: NDArray[np.int64]
    read_version: NDArray[np.int64]
    version: NDArray[np.int64]
    received_at_us: NDArray[np.int64]
    starts: NDArray[np.int64]
    channels: Mapping[str, Values]
    quality: NDArray[np.uint8]
    precedence: Mapping[str, NDArray[np.int64]]
    received_us: Mapping[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.unit_id)

    def part(self, row: int) -> slice:
        """Where the members of a row lie in the flat arrays."""
        return slice(int(self.starts[row]), int(self.starts[row + 1]))


@dataclass(frozen=True, slots=True, eq=False)
class BalanceRows:
    """Settled results, row by row; arrays of shape (k,). For the figures see `kernels.energy_balance.Balance`.

    Attributes
    ----------
    coverage
        float32.
    computable
        Whether a loss is told: every member is there, be it estimated.
    uncontracted_wh
        int64: taken by customers' meters in the part of the interval in which they had no active account.
    technical_wh, averaging_wh, technical_sigma_wh
        float64: technical loss, the part of it that the mean over the interval hides, and its standard deviation; NaN
        where not known.
    members_technical_wh
        float64: technical loss inside the smaller units; NaN where not known of one of them.
    total_sigma_wh, total_systematic_sigma_wh
        float64: standard deviation of `loss_wh` + `members_loss_wh`, and its systematic part.
    export_sigma_wh
        float64: part of `systematic_sigma_wh` from what was exported.
    gap_sigma_wh
        float64: what the error adds to a sum over time beyond `sigma_wh`, since errors of estimates inside a gap hang
        together.
    loss_class, reasons
        int8 and int32, of `grid.loss_class`.
    status
        int8, of `Status`.
    revision
        int32: number of the publication, 0 while nothing was published.
    published_us, due_us
        int64: when this revision came to be, by the times of receipt and the limits alone; when the next is due at the
        latest. `NEVER_US` where there is none.
    """

    inflow_wh: NDArray[np.int64]
    outflow_wh: NDArray[np.int64]
    loss_wh: NDArray[np.int64]
    members_loss_wh: NDArray[np.int64]
    uncontracted_wh: NDArray[np.int64]
    sigma_wh: NDArray[np.float64]
    coverage: NDArray[np.float32]
    computable: NDArray[np.bool_]
    generation_wh: NDArray[np.int64]
    estimated_wh: NDArray[np.int64]
    technical_wh: NDArray[np.float64]
    averaging_wh: NDArray[np.float64]
    technical_sigma_wh: NDArray[np.float64]
    members_technical_wh: NDArray[np.float64]
    systematic_sigma_wh: NDArray[np.float64]
    ends_sigma_wh: NDArray[np.float64]
    total_sigma_wh: NDArray[np.float64]
    total_systematic_sigma_wh: NDArray[np.float64]
    export_sigma_wh: NDArray[np.float64]
    gap_sigma_wh: NDArray[np.float64]
    loss_class: NDArray[np.int8]
    reasons: NDArray[np.int32]
    status: NDArray[np.int8]
    revision: NDArray[np.int32]
    published_us: NDArray[np.int64]
    due_us: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.status)

    def take(self, rows: NDArray[np.intp]) -> BalanceRows:
        """Copies of some rows."""
        return BalanceRows(**{name: getattr(self, name)[rows] for name in BALANCE_COLUMNS})


BALANCE_COLUMNS = tuple(BalanceRows.__dataclass_fields__)
#: Columns by which two results are the same result.
FIGURES = BALANCE_COLUMNS[: BALANCE_COLUMNS.index("status")]


def figures_differ(one: BalanceRows, rows: NDArray[np.intp], other: BalanceRows) -> NDArray[np.bool_]:
    """Whether figures of some rows differ from those of `other`, in its order; two that aren't known are the same."""
    differs = np.zeros(len(rows), np.bool_)
    for name in FIGURES:
        a, b = getattr(one, name)[rows], getattr(other, name)
        differs |= (a != b) & ((a == a) | (b == b))  # noqa: PLR0124  # NaN alone differs from itself
    return differs


def empty_balances(size: int) -> BalanceRows:
    """Results of rows of which nothing is known yet."""
    return BalanceRows(
        inflow_wh=np.zeros(size, np.int64),
        outflow_wh=np.zeros(size, np.int64),
        loss_wh=np.zeros(size, np.int64),
        members_loss_wh=np.zeros(size, np.int64),
        uncontracted_wh=np.zeros(size, np.int64),
        sigma_wh=np.zeros(size, np.float64),
        coverage=np.zeros(size, np.float32),
        computable=np.zeros(size, np.bool_),
        generation_wh=np.zeros(size, np.int64),
        estimated_wh=np.zeros(size, np.int64),
        technical_wh=np.full(size, np.nan),
        averaging_wh=np.full(size, np.nan),
        technical_sigma_wh=np.full(size, np.nan),
        members_technical_wh=np.zeros(size, np.float64),
        systematic_sigma_wh=np.zeros(size, np.float64),
        ends_sigma_wh=np.zeros(size, np.float64),
        total_sigma_wh=np.zeros(size, np.float64),
        total_systematic_sigma_wh=np.zeros(size, np.float64),
        export_sigma_wh=np.zeros(size, np.float64),
        gap_sigma_wh=np.zeros(size, np.float64),
        loss_class=np.full(size, LossClass.NOT_COMPUTABLE, np.int8),
        reasons=np.zeros(size, np.int32),
        status=np.full(size, Status.PROVISIONAL, np.int8),
        revision=np.zeros(size, np.int32),
        published_us=np.full(size, NEVER_US, np.int64),
        due_us=np.full(size, NEVER_US, np.int64),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Superseded:
    """Published results that a later revision has taken the place of, within one batch."""

    unit_id: NDArray[np.int32]
    interval_s: NDArray[np.int32]
    observed_at_us: NDArray[np.int64]
    balances: BalanceRows


@dataclass(frozen=True, slots=True, eq=False)
class StoredBlock:
    """One stored row, its members as arrays of the length they were written with, and its result.

    `balance` holds the values of `BalanceRows`' columns.
    """

    version: int
    received_at_us: int
    channels: Mapping[str, Values]
    quality: NDArray[np.uint8]
    precedence: Mapping[str, NDArray[np.int64]]
    received_us: Mapping[str, NDArray[np.int64]]
    balance: Mapping[str, float]
